"""What pods say about themselves: not placed, not pulled, not mounted, crashed, evicted.

Each rule looks at the present state of a pod, with events only for details: the
scheduler's and the kubelet's words are kept, because they name the resource.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from rsc.cluster.diagnosis.blocker import Blocker, BlockerKind
from rsc.cluster.observed import (
    NODE_TYPE_LABEL,
    Json,
    Observed,
    condition,
    containers_of,
    created_at,
    is_finished,
    labels_of,
    last_words,
    name_of,
    role_of,
    seconds_since,
    status_of,
)
from rsc.cluster.quantities import quantity
from rsc.errors import UserError

_IMAGE_REASONS = {
    "ErrImagePull",
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "InvalidImageName",
    "ImageInspectError",
    "RegistryUnavailable",
}
_CONFIG_REASONS = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
# Mounts are retried at once; a pod made a moment before its ConfigMap is normal.
_MOUNT_SECONDS = 15.0
_INSUFFICIENT = re.compile(r"Insufficient ([\w./-]*\w)")
_JOBS = {"migrate", "preflight"}  # explained by their Job
_PRESSURES = {"MemoryPressure": "memory", "DiskPressure": "disk", "PIDPressure": "processes"}


def pod_blockers(observed: Observed) -> Iterator[Blocker]:
    """Explain pods that do not run."""
    yield from _image_blockers(observed)
    for pod in observed.pods:
        if status_of(pod).get("phase") == "Succeeded":
            continue
        if condition(pod, "PodScheduled").get("reason") == "Unschedulable":
            yield _unschedulable(pod, observed)
            continue
        if status_of(pod).get("reason") == "Evicted":
            what = f"{_pod(pod)} was evicted: {_short(status_of(pod).get('message'))}"
            hint = "The node ran short: ask for what the pod really uses (requests = limits)."
            yield Blocker(kind=BlockerKind.NODE, what=what, hint=hint, pod=name_of(pod))
            continue
        yield from _container_blockers(pod, observed)
        yield from _mount_blockers(pod, observed)


def _unschedulable(pod: Json, observed: Observed) -> Blocker:
    """Explain a Pending pod by the scheduler's own words."""
    said = str(condition(pod, "PodScheduled").get("message") or "")
    said = re.split(r" (?:preemption|no new claims)\b", said)[0]
    what = f"{_pod(pod)} is Pending: {_short(said).rstrip('.')}"
    lacking = dict.fromkeys(_INSUFFICIENT.findall(said))
    hints = [_asked(pod, resource, observed) for resource in lacking]
    if "untolerated taint" in said:
        hints.append("A node refuses it by a taint: set tolerations for its group.")
    if "node selector" in said or "node affinity" in said:
        hints.append("No node has the labels its group asks for.")
    return Blocker(
        kind=BlockerKind.UNSCHEDULABLE, what=what, hint=" ".join(hints), pod=name_of(pod)
    )


def _asked(pod: Json, resource: str, observed: Observed) -> str:
    """Return what a pod asks of a resource beside what the largest node has."""
    asked = sum(
        _amount(container.get("resources", {}).get("requests", {}).get(resource, 0))
        for container in pod["spec"]["containers"]
    )
    text = f"It asks for {resource} {_plain(asked, resource)}"
    nodes = [
        _amount(status_of(node).get("allocatable", {}).get(resource, 0)) for node in observed.nodes
    ]
    if nodes:
        text += f", the largest node offers {_plain(max(nodes), resource)} in all"
    return text + "."


def _amount(value: object) -> float:
    try:
        return quantity(value, "resource")
    except UserError:
        return 0.0


def _plain(number: float, resource: str) -> str:
    return (
        f"{number / 2**30:.3g} GiB" if resource.endswith(("memory", "storage")) else f"{number:g}"
    )


def _container_blockers(pod: Json, observed: Observed) -> Iterator[Blocker]:
    for container in containers_of(pod):
        state = container.get("state") or {}
        waiting = state.get("waiting") or {}
        reason = waiting.get("reason")
        if reason in _CONFIG_REASONS:
            what = f"{_pod(pod)} cannot start {container['name']}: {_short(waiting.get('message'))}"
            yield Blocker(kind=BlockerKind.MOUNT, what=what, hint=_MOUNT_HINT, pod=name_of(pod))
        elif reason == "CrashLoopBackOff":
            ended = container.get("lastState", {}).get("terminated") or {}
            yield _crash(pod, container, ended, observed)
        elif _is_a_crash(pod, container, ended := state.get("terminated") or {}, observed):
            yield _crash(pod, container, ended, observed)


_MOUNT_HINT = "A Secret or ConfigMap that the manifest names must exist in this namespace."


def _image_blockers(observed: Observed) -> Iterator[Blocker]:
    """Explain images that cannot be had, each once, whatever the number of its pods."""
    found: dict[str, list[tuple[Json, Json]]] = {}
    for pod in observed.pods:
        for container in containers_of(pod):
            waiting = container.get("state", {}).get("waiting") or {}
            if waiting.get("reason") in _IMAGE_REASONS:
                found.setdefault(str(container.get("image")), []).append((pod, waiting))
    for image, cases in found.items():
        roles = ", ".join(dict.fromkeys(role_of(pod) for pod, _ in cases))
        pod, waiting = max(cases, key=lambda case: len(str(case[1].get("message") or "")))
        plural = "pod waits" if len(cases) == 1 else "pods wait"
        what = f"the {roles} {plural} for image {image}: {_pull_failure(waiting)}"
        hint = "Does it exist under this name and tag, and may this cluster pull it?"
        if waiting.get("reason") == "ErrImageNeverPull":
            hint = "imagePullPolicy is Never: load the image onto the node."
        yield Blocker(kind=BlockerKind.IMAGE, what=what, hint=hint, pod=name_of(pod))


def _pull_failure(waiting: Json) -> str:
    """Return the end of the runtime's message: its beginning repeats the image's name."""
    pieces = str(waiting.get("message") or waiting.get("reason")).split(": ")
    return _short(": ".join(pieces[-3:]))


def _is_a_crash(pod: Json, container: Json, ended: Json, observed: Observed) -> bool:
    """Return whether a container ended by a failure that nothing else explains.

    Jobs have a rule of their own, the autoscaler too, and pods of a cluster that is being
    taken down die by a signal.
    """
    if not ended.get("exitCode") or pod["metadata"].get("deletionTimestamp"):
        return False
    over = is_finished(observed.rayjob) and ended.get("reason") != "OOMKilled"
    elsewhere = role_of(pod) in {*_JOBS, "submitter"} or container["name"] == "autoscaler"
    return not over and not elsewhere


def _crash(pod: Json, container: Json, ended: Json, observed: Observed) -> Blocker:
    if ended.get("reason") == "OOMKilled":
        limit = _limit(pod, str(container["name"]), "memory")
        what = f"{_pod(pod)} used more memory than its limit{f' ({limit})' if limit else ''}"
        hint = "Give its group more memory, or use fewer accounts or a smaller buffer."
        return Blocker(kind=BlockerKind.MEMORY, what=what, hint=hint, pod=name_of(pod))
    said = last_words(ended.get("message") or observed.logs.get(name_of(pod)))
    code = ended.get("exitCode", "?")
    what = f"{_pod(pod)} crashed (container {container['name']}, exit code {code})"
    if said:
        what += f": {said}"
    return Blocker(kind=BlockerKind.CRASH, what=what, pod=name_of(pod))


def _limit(pod: Json, container: str, resource: str) -> str:
    for item in pod["spec"]["containers"]:
        if item["name"] == container:
            return str(item.get("resources", {}).get("limits", {}).get(resource, ""))
    return ""


def _mount_blockers(pod: Json, observed: Observed) -> Iterator[Blocker]:
    """Explain a pod that waits for a volume; only events say which."""
    waiting = [container.get("state", {}).get("waiting") or {} for container in containers_of(pod)]
    creating = any(
        state.get("reason") in {"ContainerCreating", "PodInitializing"} for state in waiting
    )
    old = seconds_since(created_at(pod), observed.now) > _MOUNT_SECONDS
    if (
        not creating
        or not old
        or condition(pod, "PodReadyToStartContainers").get("status") == "True"
    ):
        return
    for event in reversed(observed.events):
        about = event.get("involvedObject", {}).get("name") == name_of(pod)
        if about and event.get("reason") in {"FailedMount", "FailedAttachVolume"}:
            what = f"{_pod(pod)} waits for a volume: {_short(event.get('message'))}"
            yield Blocker(kind=BlockerKind.MOUNT, what=what, hint=_MOUNT_HINT, pod=name_of(pod))
            return


def autoscaler_blockers(observed: Observed) -> Iterator[Blocker]:
    """Explain a run whose autoscaler has died: the head does not restart it."""
    if is_finished(observed.rayjob):
        return
    for pod in observed.pods:
        if labels_of(pod).get(NODE_TYPE_LABEL) != "head" or pod["metadata"].get(
            "deletionTimestamp"
        ):
            continue
        states = {str(item["name"]): item.get("state") or {} for item in containers_of(pod)}
        ended = states.get("autoscaler", {}).get("terminated")
        alive = any("running" in state for name, state in states.items() if name != "autoscaler")
        if ended is not None and alive:
            said = last_words(ended.get("message") or observed.logs.get(name_of(pod)))
            what = f"the autoscaler has died (exit code {ended.get('exitCode', '?')})"
            yield Blocker(
                kind=BlockerKind.AUTOSCALER,
                what=what + (f": {said}" if said else "") + "; no pod is added or removed any more",
                hint="Nothing restarts it: deleting the head pod does, the run resumes.",
                pod=name_of(pod),
            )


def node_blockers(observed: Observed) -> Iterator[Blocker]:
    """Explain nodes of the run that are short of something, or gone."""
    if is_finished(observed.rayjob):
        return
    used = {str(pod["spec"].get("nodeName")) for pod in observed.pods}
    for node in observed.nodes:
        if name_of(node) not in used:
            continue
        for kind, word in _PRESSURES.items():
            if condition(node, kind).get("status") == "True":
                what = f"node {name_of(node)} is short of {word}"
                hint = "It evicts pods and takes no new ones until that is over."
                yield Blocker(kind=BlockerKind.NODE, what=what, hint=hint)
        ready = condition(node, "Ready")
        if ready and ready.get("status") != "True":
            what = f"node {name_of(node)} is not ready: {_short(ready.get('message'))}"
            yield Blocker(kind=BlockerKind.NODE, what=what)


def _pod(pod: Json) -> str:
    return f"the {role_of(pod)} pod {name_of(pod)}"


def _short(text: object) -> str:
    return " ".join(str(text or "no reason was given").split())[:300]


def failed_containers(pod: Json) -> tuple[str, ...]:
    """Return the containers of a pod whose last words may explain something."""
    return tuple(
        str(container["name"])
        for container in containers_of(pod)
        if any(
            ((container.get(key) or {}).get("terminated") or {}).get("exitCode")
            for key in ("state", "lastState")
        )
    )
