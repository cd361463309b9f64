"""End a run in order: the driver is asked, and only made to when it does not answer.

``rsc stop`` inside the head's pod marks the run through the database; the driver then
writes its last checkpoint, closes its episodes and exits with 0. A run whose pods never
came up has nothing to close: its RayJob is deleted. A run that may have trained before it
was suspended is not: only the database can mark it, and no pod is there to do it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import StrEnum, unique

from rsc.cluster.api.client import Cluster
from rsc.cluster.diagnosis.diagnose import diagnose
from rsc.cluster.observed import (
    NODE_TYPE_LABEL,
    QUEUE_LABEL,
    Json,
    Observed,
    is_finished,
    labels_of,
    last_words,
    name_of,
    run_id_of,
    status_of,
)
from rsc.cluster.runs.observe import observe
from rsc.cluster.runs.views import Phase, phase_of
from rsc.cluster.runs.waiting import wait_for
from rsc.errors import CheckFailedError, TemporaryError, UserError

_COMMAND_SECONDS = 60.0
# What `ray job stop` and the pod's grace period allow a driver, and a little more.
_FORCED_SECONDS = 150.0


@unique
class Cancelled(StrEnum):
    """How a run was ended."""

    ALREADY = "already ended"
    IN_ORDER = "ended in order"
    FORCED = "stopped by Ray"
    DELETED = "deleted before it began"
    ASKED = "asked to end"


def cancel(
    cluster: Cluster, rayjob: Json, *, seconds: float, say: Callable[[str], None]
) -> Cancelled:
    """End a run and wait until it has ended.

    Parameters
    ----------
    cluster : Cluster
        Where it runs.
    rayjob : mapping
        Its RayJob.
    seconds : float
        How long the driver may take before Ray stops it; 0 only asks.
    say : callable
        Hears what is going on.

    Raises
    ------
    UserError
        It is suspended after it may have trained.
    CheckFailedError
        It ended in another way: it failed, or somebody deleted it meanwhile.
    TemporaryError
        It did not end even so.
    """
    observed = observe(cluster, rayjob)
    if is_finished(rayjob):
        return Cancelled.ALREADY
    if _never_began(observed):
        cluster.delete("RayJob", name_of(rayjob))
        _await_deletion(cluster, rayjob, seconds)
        return Cancelled.DELETED
    if phase_of(observed) in {Phase.QUEUED, Phase.SUSPENDED}:
        raise _suspended(rayjob)
    end = time.monotonic() + max(seconds, _COMMAND_SECONDS)
    head = _await_head(cluster, rayjob, end, say)
    if head is not None:
        _ask(cluster, head, run_id_of(rayjob), say)
        if not seconds:
            return Cancelled.ASKED
        ended = _ended(cluster, rayjob, end)
        if ended is not None:
            return _outcome(cluster, rayjob, ended)
        say("the driver did not end in time: Ray stops it")
        _stop_job(cluster, rayjob, say)
    ended = _ended(cluster, rayjob, time.monotonic() + _FORCED_SECONDS)
    if ended is not None:
        return _outcome(cluster, rayjob, ended)
    message = f"run {run_id_of(rayjob)} did not end within {seconds + _FORCED_SECONDS:.0f} s"
    raise TemporaryError(message, f"kubectl delete rayjob {name_of(rayjob)} ends it at once.")


def _suspended(rayjob: Json) -> UserError:
    run_id = run_id_of(rayjob)
    message = f"run {run_id} was suspended and may have trained before, must be marked as cancelled"
    hint = (
        f"rsc stop {run_id} --database URL does it from here; "
        f"then kubectl delete rayjob {name_of(rayjob)}."
    )
    return UserError(message, hint)


def _await_deletion(cluster: Cluster, rayjob: Json, seconds: float) -> None:
    def gone() -> bool | None:
        return True if cluster.get("RayJob", name_of(rayjob)) is None else None

    if not wait_for(gone, time.monotonic() + seconds) and seconds:
        message = f"RayJob {name_of(rayjob)} was deleted but is still there after {seconds:.0f} s"
        raise TemporaryError(message, "rsc status says why.")


def _never_began(observed: Observed) -> bool:
    """Return whether no driver of the run can have started yet."""
    status = status_of(observed.rayjob)
    phase = phase_of(observed)
    early = {
        *(Phase.SUBMITTED, Phase.QUEUED, Phase.SUSPENDED),
        *(Phase.PREPARING, Phase.STARTING),
    }
    ended = status.get("failed") or status.get("succeeded")
    began = ended or status.get("jobStatus") in {"RUNNING", "STOPPED", "FAILED"}
    return phase in early and not began and not _went_on(observed.rayjob)


def _went_on(rayjob: Json) -> bool:
    """Return whether this may be another start than the first, as after a preemption.

    A suspension clears all that the status says of the start before it, and `startTime` is
    there of a run that only waits in a queue. But each change of the spec counts up the
    generation: it is made with 1, KubeRay 1.6 writes the spec in its own form at once (2),
    Kueue admits it (3). A start after a suspension has two more.
    """
    first = 3 if labels_of(rayjob).get(QUEUE_LABEL) else 2
    return int(rayjob.get("metadata", {}).get("generation") or 1) > first


def _await_head(
    cluster: Cluster, rayjob: Json, end: float, say: Callable[[str], None]
) -> Json | None:
    """Return a head pod that takes commands; None when none comes up in time."""
    head = _head(observe(cluster, rayjob))
    if head is not None:
        return head
    say("the head pod is away: waiting for the next one")
    return wait_for(lambda: _head(observe(cluster, rayjob)), end)


def _head(observed: Observed) -> Json | None:
    for pod in observed.pods:
        states = status_of(pod).get("containerStatuses") or []
        going = pod["metadata"].get("deletionTimestamp")
        if labels_of(pod).get(NODE_TYPE_LABEL) == "head" and not going and states:
            main = _main_container(pod)
            if any(item["name"] == main and "running" in item["state"] for item in states):
                return pod
    return None


def _main_container(pod: Json) -> str:
    return str(pod["spec"]["containers"][0]["name"])


def _ask(cluster: Cluster, head: Json, run_id: str, say: Callable[[str], None]) -> None:
    """Have the run marked as cancelled, from inside: only the pods may know the database."""
    command = ("rsc", "stop", run_id, "--exact")
    done = cluster.execute(name_of(head), _main_container(head), command, seconds=_COMMAND_SECONDS)
    if done.code:
        why = last_words(done.err or done.out) or "it said nothing"
        say(f"rsc stop in pod {name_of(head)} exited with {done.code}: {why}")


def _stop_job(cluster: Cluster, rayjob: Json, say: Callable[[str], None]) -> None:
    current = cluster.get("RayJob", name_of(rayjob)) or rayjob
    head = _head(observe(cluster, current))
    job = status_of(current).get("jobId")
    if head is None or not job:
        return
    command = ("ray", "job", "stop", "--no-wait", str(job))
    done = cluster.execute(name_of(head), _main_container(head), command, seconds=_COMMAND_SECONDS)
    if done.code:
        say(f"ray job stop exited with {done.code}")


def _ended(cluster: Cluster, rayjob: Json, end: float) -> Json | None:
    """Wait until the driver's end is known; the cluster may stay for its TTL.

    Returns
    -------
    mapping or None
        The RayJob as it ended, empty when it is gone; None: it has not ended.
    """

    def finished() -> Json | None:
        current = cluster.get("RayJob", name_of(rayjob))
        if current is None:
            return {}
        job = status_of(current).get("jobStatus")
        return current if is_finished(current) or job in {"SUCCEEDED", "STOPPED"} else None

    return wait_for(finished, end)


def _outcome(cluster: Cluster, rayjob: Json, ended: Json) -> Cancelled:
    """Return how it ended; only an exit of the driver with 0 was in order."""
    job = status_of(ended).get("jobStatus")
    if job == "SUCCEEDED":
        return Cancelled.IN_ORDER
    if job == "STOPPED":
        return Cancelled.FORCED
    run_id = run_id_of(rayjob)
    hint = f"rsc show {run_id} says whether its last checkpoint was written."
    if not ended:
        message = f"run {run_id} was to end, but its RayJob {name_of(rayjob)} was deleted meanwhile"
        raise CheckFailedError(message, hint)
    blockers = diagnose(observe(cluster, ended))
    why = f": {blockers[0].what}" if blockers else ""
    raise CheckFailedError(f"run {run_id} had failed, must have ended in order{why}", hint)
