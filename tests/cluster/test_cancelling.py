"""Which runs are deleted by a cancel, because nothing of theirs can have been recorded."""

from __future__ import annotations

import time

import pytest

from rsc.cluster.observed import Observed
from rsc.cluster.runs import cancellation as cancelling
from rsc.errors import CheckFailedError, UserError

QUEUED = {"kueue.x-k8s.io/queue-name": "small"}


def _observed(generation, labels=None, *, suspend=False, **status):
    """As KubeRay leaves it: a suspension clears job, cluster and reason, but no startTime."""
    metadata = {"name": "a-1", "labels": {"rsc.dev/run-id": "1", **(labels or {})}}
    cleared = {"failed": 0, "succeeded": 0, "startTime": "2026-11-22T22:16:19Z", **status}
    return Observed(
        rayjob={
            "metadata": metadata | {"generation": generation},
            "spec": {"suspend": suspend},
            "status": cleared,
        }
    )


@pytest.mark.parametrize(
    ("observed", "never_began"),
    [
        (_observed(1, jobDeploymentStatus="Initializing"), True),
        (_observed(2, jobDeploymentStatus="Initializing"), True),
        (_observed(2, suspend=True, jobDeploymentStatus="Suspended"), True),
        (_observed(3, suspend=True, jobDeploymentStatus="Suspended"), False),
        (_observed(4, jobDeploymentStatus="Initializing"), False),
        (_observed(2, QUEUED, suspend=True, jobDeploymentStatus="Suspended"), True),
        (_observed(3, QUEUED, jobDeploymentStatus="Initializing"), True),
        (_observed(4, QUEUED, suspend=True, jobDeploymentStatus="Suspended"), False),
        (_observed(5, QUEUED, jobDeploymentStatus="Initializing"), False),
        (_observed(2, jobDeploymentStatus="Initializing", failed=1), False),
        (_observed(2, jobDeploymentStatus="Initializing", succeeded=1), False),
    ],
    ids=[
        *("just made", "a first start", "made suspended"),
        *("suspended after it began", "resumed after a suspension"),
        *("waits in a queue", "admitted by Kueue"),
        *("preempted by Kueue", "admitted again"),
        *("failed before", "succeeded before"),
    ],
)
def test_a_run_began_unless_this_is_its_first_start(observed, never_began):
    assert cancelling._never_began(observed) is never_began


@pytest.mark.parametrize("labels", [QUEUED, None], ids=["by Kueue", "by hand"])
def test_a_run_that_was_suspended_after_it_began_is_not_deleted(monkeypatch, labels):
    observed = _observed(4, labels, suspend=True, jobDeploymentStatus="Suspended")
    monkeypatch.setattr(cancelling, "observe", lambda cluster, rayjob: observed)
    with pytest.raises(UserError, match="run 1 was suspended and may have trained") as caught:
        cancelling.cancel(None, observed.rayjob, seconds=1, say=print)
    assert "rsc stop 1" in caught.value.hint
    assert "kubectl delete rayjob a-1" in caught.value.hint


class _Ending:
    """A cluster in which a RayJob is found as it ended; None: it is gone."""

    def __init__(self, **status):
        metadata = {"name": "a-1", "labels": {"rsc.dev/run-id": "1"}}
        self.found = {"metadata": metadata, "spec": {}, "status": status} if status else None

    def get(self, kind, name):
        assert (kind, name) == ("RayJob", "a-1")
        return self.found


def _end(monkeypatch, **status):
    cluster = _Ending(**status)
    monkeypatch.setattr(cancelling, "observe", lambda cluster, rayjob: Observed(rayjob=rayjob))
    rayjob = {"metadata": {"name": "a-1", "labels": {"rsc.dev/run-id": "1"}}}
    ended = cancelling._ended(cluster, rayjob, end=time.monotonic() + 5)
    return cancelling._outcome(cluster, rayjob, ended)


def test_only_a_driver_that_exited_with_0_has_ended_in_order(monkeypatch):
    assert _end(monkeypatch, jobStatus="SUCCEEDED") is cancelling.Cancelled.IN_ORDER
    assert _end(monkeypatch, jobStatus="STOPPED") is cancelling.Cancelled.FORCED


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (
            {
                "jobStatus": "FAILED",
                "jobDeploymentStatus": "Failed",
                "reason": "AppFailed",
                "message": "error: the disk was full",
            },
            "run 1 had failed, must have ended in order: the driver failed: the disk was full",
        ),
        (
            {
                "jobStatus": "RUNNING",
                "jobDeploymentStatus": "Failed",
                "reason": "DeadlineExceeded",
            },
            "run 1 had failed, must have ended in order: activeDeadlineSeconds",
        ),
        ({}, "run 1 was to end, but its RayJob a-1 was deleted meanwhile"),
    ],
    ids=["the driver failed", "the deadline", "deleted"],
)
def test_a_run_that_did_not_end_in_order_is_told_so(monkeypatch, status, sentence):
    with pytest.raises(CheckFailedError) as caught:
        _end(monkeypatch, **status)
    assert caught.value.message.startswith(sentence)
