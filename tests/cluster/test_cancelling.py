"""Which runs are deleted by a cancel, because nothing of theirs can have been recorded."""

from __future__ import annotations

import pytest

from rsc.cluster import cancelling
from rsc.cluster.observed import Observed
from rsc.errors import UserError

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
