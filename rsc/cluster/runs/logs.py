"""Which log a person means, and its lines.

The driver's log is what the submitter's pod prints; it stays after the cluster is gone.
Every other pod is found by its name or by what it is for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from rsc.cluster.api.client import Cluster
from rsc.cluster.observed import (
    Json,
    Observed,
    is_finished,
    name_of,
    role_of,
    status_of,
)
from rsc.cluster.runs.observe import observe
from rsc.errors import UserError

SUBMITTER = "submitter"
_SIDECAR = "ray-job-submitter"
_POLL_SECONDS = 2.0


def find_log(observed: Observed, wanted: str, container: str | None = None) -> tuple[str, str]:
    """Return the pod and the container whose log is meant.

    Parameters
    ----------
    observed : Observed
        The run.
    wanted : str
        A pod's name, the beginning or the end of one, or what it is for: ``submitter``,
        ``head``, ``learner``, ``sampler``, ``migrate``, ….
    container : str, optional
        By default the pod's main one.

    Raises
    ------
    UserError
        There is no such pod, several are meant, or it has not started.
    """
    pods = _matching(observed, wanted)
    sidecar = next((pod for pod in observed.pods if _SIDECAR in _containers(pod)), None)
    if not pods and wanted == SUBMITTER and sidecar is not None:
        pods, container = [sidecar], container or _SIDECAR
    if not pods:
        raise _no_pod(observed, wanted)
    if len(pods) > 1 and wanted not in {role_of(pod) for pod in pods}:
        names = ", ".join(name_of(pod) for pod in pods[:5])
        message = f"--pod {wanted!r} was a part of {len(pods)} pods' names, must be of one"
        raise UserError(message, f"Pods: {names}")
    if len(pods) > 1 and role_of(pods[0]) not in {SUBMITTER, "migrate", "preflight", "head"}:
        names = ", ".join(name_of(pod) for pod in pods[:5])
        raise UserError(f"--pod {wanted!r} was {len(pods)} pods, must be one", f"Pods: {names}")
    pod = max(pods, key=lambda item: str(item["metadata"]["creationTimestamp"]))
    return name_of(pod), _container(pod, container)


def _matching(observed: Observed, wanted: str) -> list[Json]:
    """Return the pods of that name, else for that purpose, else whose name begins or ends so."""
    exact = [pod for pod in observed.pods if name_of(pod) == wanted]
    purpose = [pod for pod in observed.pods if role_of(pod) == wanted]
    part = [
        pod
        for pod in observed.pods
        if name_of(pod).startswith(wanted) or name_of(pod).endswith(wanted)
    ]
    return exact or purpose or part


def _containers(pod: Json) -> list[str]:
    spec = pod["spec"]
    return [
        str(item["name"]) for item in [*spec["containers"], *(spec.get("initContainers") or [])]
    ]


def _container(pod: Json, wanted: str | None) -> str:
    names = _containers(pod)
    if wanted is None:
        return names[0]
    if wanted not in names:
        message = f"--container was {wanted!r}, must be one of pod {name_of(pod)}"
        raise UserError(message, f"Containers: {', '.join(names)}")
    return wanted


def _no_pod(observed: Observed, wanted: str) -> UserError:
    from rsc.config.validation_errors import did_you_mean

    if wanted == SUBMITTER:
        name = name_of(observed.rayjob)
        message = f"run {name} has no driver log yet: its submitter pod was not made"
        return UserError(message, f"rsc status {name} says why.")
    words = sorted({word for pod in observed.pods for word in (role_of(pod), name_of(pod))})
    if not words:
        return UserError(f"--pod {wanted!r} was not found: the run has no pods", "See rsc status.")
    message = f"--pod {wanted!r} was not found{did_you_mean(wanted, words)}"
    return UserError(message, f"Pods: {', '.join(name_of(pod) for pod in observed.pods)}")


def driver_log(cluster: Cluster, observed: Observed, tail: int) -> tuple[str, ...]:
    """Return the last lines of the driver's log; none before it has one."""
    try:
        pod, container = find_log(observed, SUBMITTER)
        return tuple(cluster.log(pod, container, tail=tail))
    except UserError:
        return ()


def follow(
    cluster: Cluster,
    rayjob: Json,
    wanted: str,
    container: str | None,
    tail: int | None,
    say: Callable[[str], None],
) -> Iterator[str]:
    """Yield lines until the run has ended, from the next pod when one is replaced."""
    seen = ""
    while True:
        current = cluster.get("RayJob", name_of(rayjob))
        observed = observe(cluster, current or rayjob)
        try:
            pod, found = find_log(observed, wanted, container)
        except UserError:
            if seen or wanted != SUBMITTER or current is None or is_finished(current):
                if seen:
                    return
                raise
            pod = ""
        if pod and pod != seen and _has_started(observed, pod):
            if seen:
                say(f"pod {seen} has ended, {pod} goes on")
            seen = pod
            yield from cluster.log(pod, found, tail=tail, follow=True)
            continue
        if current is None or is_finished(current):
            return
        if not pod:
            say("waiting for the submitter pod: rsc status says what it waits for")
        time.sleep(_POLL_SECONDS)


def _has_started(observed: Observed, pod: str) -> bool:
    for item in observed.pods:
        if name_of(item) == pod:
            return status_of(item).get("phase") not in {None, "Pending"}
    return False
