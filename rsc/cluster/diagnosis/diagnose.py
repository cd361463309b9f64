"""Why nothing happens: from the objects of a run to sentences a person can act on.

A RayJob hides most of what goes wrong: Pod Security refusals, Pending pods, quotas and
dead autoscalers never reach its status. They stand in the conditions of the RayCluster,
in the states of pods, and in events that are gone after an hour. This module reads all
of them; it is a pure function of `Observed`. An old event blocks nothing when the pod it
speaks of exists by now, so every rule looks at what is missing first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from rsc.cluster.diagnosis.blocker import Blocker, BlockerKind
from rsc.cluster.diagnosis.driver_log import silent_since
from rsc.cluster.diagnosis.pod_blockers import autoscaler_blockers, node_blockers, pod_blockers
from rsc.cluster.diagnosis.refusals import refusal_blocker
from rsc.cluster.observed import (
    COMPONENT_LABEL,
    NODE_TYPE_LABEL,
    QUEUE_LABEL,
    Json,
    Observed,
    condition,
    created_at,
    is_finished,
    labels_of,
    last_words,
    moment_of,
    name_of,
    role_of,
    run_id_of,
    seconds_since,
    status_of,
)

_Rule: TypeAlias = Callable[[Observed], Iterator[Blocker]]
# A healthy operator answers within a second or two.
_OPERATOR_SECONDS = 20.0
# An orderly end of the driver takes the stop's 90 s and the pod's grace.
_DELETION_SECONDS = 150.0
# A pod with its image present starts in 20 s; longer waits deserve a word.
_PLACEMENT_SECONDS = 45.0
_CREATE_FAILURES = {"FailedToCreateHeadPod": "head", "FailedToCreateWorkerPod": "worker"}
# Samplers come up after the driver; until then Ray says the same of a healthy run.
_TRIAL_SECONDS = 120.0
_INFEASIBLE = "infeasible resource requests"
_ACCOUNT = re.compile(r"ServiceAccount [\w.-]+ is not found")
_JOB_WORDS = {"migrate": "migration", "preflight": "preflight"}


def diagnose(observed: Observed) -> tuple[Blocker, ...]:
    """Return what keeps a run from going on, the most decisive first.

    Parameters
    ----------
    observed : Observed
        One run.

    Returns
    -------
    tuple of Blocker
        Empty when nothing is wrong: the run works, or has succeeded.
    """
    if status_of(observed.rayjob).get("jobStatus") == "SUCCEEDED":
        return ()
    rules = (
        _ends,
        _deletion,
        _suspension,
        _operator,
        _failed_jobs,
        _refused_pods,
        pod_blockers,
        autoscaler_blockers,
        node_blockers,
        _placement,
    )
    return _found(rules, observed)


def diagnose_job(observed: Observed) -> tuple[Blocker, ...]:
    """Return what keeps a Job from its end that comes before there is a RayJob."""
    return _found((_failed_jobs, _refused_pods, pod_blockers), observed)


def _found(rules: Sequence[_Rule], observed: Observed) -> tuple[Blocker, ...]:
    found = [blocker for rule in rules for blocker in rule(observed)]
    return tuple(dict.fromkeys(found))


def _ends(observed: Observed) -> Iterator[Blocker]:
    """Explain a RayJob that has ended without success."""
    status = status_of(observed.rayjob)
    reason, message = status.get("reason"), _sentence(status.get("message"))
    spec = observed.rayjob.get("spec") or {}
    if reason == "DeadlineExceeded":
        what = f"activeDeadlineSeconds ({spec.get('activeDeadlineSeconds')} s) is over"
        hint = (
            "Its checkpoints are kept: rsc submit goes on with the same --run-id, another --name "
            "and a --manifest with a longer activeDeadlineSeconds."
        )
        yield Blocker(kind=BlockerKind.DEADLINE, what=what, hint=hint)
    elif reason == "PreRunningDeadlineExceeded":
        seconds = spec.get("preRunningDeadlineSeconds")
        what = f"the pods were not ready within preRunningDeadlineSeconds ({seconds} s)"
        yield Blocker(kind=BlockerKind.DEADLINE, what=what, hint=_last_warning(observed))
    elif reason == "ValidationFailed":
        yield Blocker(kind=BlockerKind.INVALID, what=f"the operator refuses the RayJob: {message}")
    elif reason == "AppFailed" and is_finished(observed.rayjob):
        said = last_words(status.get("message")) or "it left no message"
        what = f"the driver failed: {said}"
        yield Blocker(kind=BlockerKind.FAILED, what=what, hint="rsc logs shows all it said.")
    elif reason and is_finished(observed.rayjob):
        yield Blocker(kind=BlockerKind.FAILED, what=f"the RayJob failed ({reason}): {message}")


def _deletion(observed: Observed) -> Iterator[Blocker]:
    metadata = observed.rayjob.get("metadata") or {}
    since = moment_of(metadata.get("deletionTimestamp"))
    waited = seconds_since(since, observed.now)
    if since is None or waited < _DELETION_SECONDS:
        return
    options = (observed.rayjob.get("spec") or {}).get("rayClusterSpec", {}).get("authOptions") or {}
    secret = options.get("secretName")
    what = f"the RayJob has been in deletion for {waited:.0f} s, and its operator does not let go"
    hint = "The operator's log says why."
    if secret:
        hint += f" Without Secret {secret} it cannot: make it again until the RayJob is gone."
    yield Blocker(kind=BlockerKind.OPERATOR, what=what, hint=hint)


def _suspension(observed: Observed) -> Iterator[Blocker]:
    spec, name = observed.rayjob.get("spec") or {}, name_of(observed.rayjob)
    if not spec.get("suspend") or is_finished(observed.rayjob):
        return
    queue = labels_of(observed.rayjob).get(QUEUE_LABEL)
    if queue:
        what = f"Kueue holds the run back in queue {queue} until there is quota for all its pods"
        hint = "kubectl get workloads shows the queue and what it waits for."
        yield Blocker(kind=BlockerKind.QUEUED, what=what, hint=hint)
        return
    hint = f"""kubectl patch rayjob {name} --type merge -p '{{"spec":{{"suspend":false}}}}'"""
    yield Blocker(kind=BlockerKind.SUSPENDED, what="the RayJob is suspended", hint=hint)


def _operator(observed: Observed) -> Iterator[Blocker]:
    age = seconds_since(created_at(observed.rayjob), observed.now)
    suspended = (observed.rayjob.get("spec") or {}).get("suspend")
    if status_of(observed.rayjob).get("jobDeploymentStatus") or suspended:
        return
    if age > _OPERATOR_SECONDS:
        what = f"no operator has looked at the RayJob for {age:.0f} s"
        hint = "Is the KubeRay operator running, and does it watch this namespace?"
        yield Blocker(kind=BlockerKind.OPERATOR, what=what, hint=hint)


def _failed_jobs(observed: Observed) -> Iterator[Blocker]:
    """Explain a migration or preflight that failed or goes on failing."""
    for job in observed.jobs:
        component = labels_of(job).get(COMPONENT_LABEL)
        status = status_of(job)
        if component not in _JOB_WORDS or status.get("succeeded") or not status.get("failed"):
            continue
        word = _JOB_WORDS[component]
        reason = condition(job, "Failed").get("reason")
        ended = f"failed ({reason})" if reason else f"failed {status['failed']} times so far"
        said = _said_by(observed, name_of(job))
        what = f"the {word} Job {name_of(job)} {ended}" + (f": {said}" if said else "")
        hint = f"rsc logs {run_id_of(observed.rayjob)} --pod {component} shows all it said."
        yield Blocker(kind=BlockerKind.JOB, what=what, hint=hint)


def _said_by(observed: Observed, job: str) -> str:
    """Return the last words of a Job's newest failed pod."""
    pods = [pod for pod in observed.pods if labels_of(pod).get("job-name") == job]
    for pod in sorted(pods, key=lambda pod: str(created_at(pod)), reverse=True):
        for container in status_of(pod).get("containerStatuses") or []:
            ended = container.get("state", {}).get("terminated") or {}
            said = ended.get("message") or observed.logs.get(name_of(pod))
            if said:
                return last_words(said)
    return ""


def _refused_pods(observed: Observed) -> Iterator[Blocker]:
    """Explain pods that were never made."""
    if is_finished(observed.rayjob):
        return
    roles = {role_of(pod) for pod in observed.pods}
    workers = sum(labels_of(pod).get(NODE_TYPE_LABEL) == "worker" for pod in observed.pods)
    for cluster in observed.clusters:
        failure = condition(cluster, "ReplicaFailure")
        if failure.get("status") == "True":
            role = "head" if "Head" in str(failure.get("reason")) else "worker"
            yield refusal_blocker(role, str(failure.get("message")), observed)
            continue
        wanted = int(status_of(cluster).get("desiredWorkerReplicas") or 0)
        missing = {"head": "head" not in roles, "worker": workers < wanted}
        for event in _newest(observed, name_of(cluster), set(_CREATE_FAILURES)):
            role = _CREATE_FAILURES[event["reason"]]
            if missing[role]:
                yield refusal_blocker(role, str(event.get("message")), observed)
        if missing["head"]:
            yield from _head_warnings(observed, cluster)
    for job in observed.jobs:
        status = status_of(job)
        if any(status.get(key) for key in ("active", "succeeded", "failed")):
            continue
        for event in _newest(observed, name_of(job), {"FailedCreate"}):
            role = str(labels_of(job).get(COMPONENT_LABEL) or "submitter")
            role = "submitter" if role == "ray" else role
            yield refusal_blocker(role, str(event.get("message")), observed)


def _head_warnings(observed: Observed, cluster: Json) -> Iterator[Blocker]:
    """Explain a head that the operator does not even try to make, e.g. without its account."""
    reasons = {str(event["reason"]) for event in observed.events if event.get("type") == "Warning"}
    for event in _newest(observed, name_of(cluster), reasons - set(_CREATE_FAILURES)):
        said = _sentence(event.get("message"))
        if match := _ACCOUNT.search(said):
            said = match[0]
        what = f"the operator cannot make the head pod: {said}"
        yield Blocker(kind=BlockerKind.ADMISSION, what=what)


def _newest(observed: Observed, name: str, reasons: set[str]) -> list[Json]:
    """Return the newest event of each reason about one object."""
    found: dict[str, Json] = {}
    for event in sorted(observed.events, key=_when):
        if event.get("involvedObject", {}).get("name") == name and event["reason"] in reasons:
            found[event["reason"]] = event
    return list(found.values())


def _when(event: Json) -> str:
    series = event.get("series") or {}
    timestamps = (
        series.get("lastObservedTime"),
        event.get("lastTimestamp"),
        event.get("eventTime"),
    )
    return str(next((timestamp for timestamp in timestamps if timestamp), ""))


def _placement(observed: Observed) -> Iterator[Blocker]:
    """Explain a driver, or a trial, that waits for a place to run."""
    status = status_of(observed.rayjob)
    if is_finished(observed.rayjob):
        return
    hint = "rsc plan shows what the run requests; in the head pod, ray status what there is."
    if status.get("jobStatus") == "PENDING":
        waited = seconds_since(moment_of(status.get("startTime")), observed.now)
        if waited > _PLACEMENT_SECONDS:
            what = f"Ray has not started the driver: {_sentence(status.get('message'))}"
            yield Blocker(kind=BlockerKind.RESOURCES, what=what, hint=hint)
    elif status.get("jobStatus") == "RUNNING" and any(_INFEASIBLE in x for x in observed.driver):
        waited = seconds_since(silent_since(observed.driver), observed.now)
        if waited > _TRIAL_SECONDS:
            what = (
                f"the driver has waited for {waited:.0f} s: "
                "Ray has no place for what the run requests"
            )
            yield Blocker(kind=BlockerKind.RESOURCES, what=what, hint=hint)


def _last_warning(observed: Observed) -> str:
    """Return the newest warning of a pod of the run: mostly why it was not ready."""
    warnings = [event for event in observed.events if event.get("type") == "Warning"]
    if not warnings:
        return ""
    newest = max(warnings, key=_when)
    return f"Last seen: {newest.get('reason')}: {_sentence(newest.get('message'))}"


def _sentence(text: object) -> str:
    return " ".join(str(text or "no reason was given").split())[:300]
