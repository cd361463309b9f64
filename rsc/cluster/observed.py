"""What the API server says about one run at one moment, as plain mappings.

The client fills it, pure functions read it, and a test can store it: an `Observed` is
nothing but the JSON of Kubernetes objects and the moment they were read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

Json = Mapping[str, Any]

RUN_LABEL = "rsc.dev/run-id"
COMPONENT_LABEL = "app.kubernetes.io/component"
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
ORIGIN_LABEL = "ray.io/originated-from-cr-name"
NODE_TYPE_LABEL = "ray.io/node-type"
GROUP_LABEL = "ray.io/group"
CLUSTER_LABEL = "ray.io/cluster"


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """One run as the cluster has it."""

    rayjob: Json
    """The RayJob."""
    clusters: tuple[Json, ...] = ()
    jobs: tuple[Json, ...] = ()
    pods: tuple[Json, ...] = ()
    events: tuple[Json, ...] = ()
    """What belongs to it; events may name objects that are gone."""
    nodes: tuple[Json, ...] = ()
    """All nodes; empty when this user may not list them."""
    logs: Mapping[str, str] = field(default_factory=dict)
    """Last lines of pods whose end needs explaining, by pod name."""
    driver: tuple[str, ...] = ()
    """Last lines of the driver's log."""
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    """When this was read."""


def name_of(item: Json) -> str:
    """Return the name of an object."""
    return str(item.get("metadata", {}).get("name", ""))


def labels_of(item: Json) -> Json:
    """Return the labels of an object."""
    return item.get("metadata", {}).get("labels") or {}


def status_of(item: Json) -> Json:
    """Return the status of an object; empty before its controller has seen it."""
    return item.get("status") or {}


def run_id_of(item: Json) -> str:
    """Return the run an object belongs to; a RayJob without the label is named like its run."""
    return str(labels_of(item).get(RUN_LABEL) or name_of(item))


def created_at(item: Json) -> datetime | None:
    """Return when an object was made."""
    return moment_of(item.get("metadata", {}).get("creationTimestamp"))


def moment_of(timestamp: object) -> datetime | None:
    """Return a time timestamp of the API; None where there is none."""
    if not timestamp:
        return None
    return datetime.fromisoformat(str(timestamp))


def seconds_since(timestamp: datetime | None, now: datetime) -> float:
    """Return the seconds from `timestamp` to `now`, 0 when it is not known."""
    return 0.0 if timestamp is None else max(0.0, (now - timestamp).total_seconds())


def condition(item: Json, kind: str) -> Json:
    """Return a condition of an object by its type; empty when it has none."""
    for found in status_of(item).get("conditions") or []:
        if found.get("type") == kind:
            return dict(found)
    return {}


def containers_of(pod: Json) -> tuple[Json, ...]:
    """Return the states of all containers of a pod, init containers first."""
    status = status_of(pod)
    first = status.get("initContainerStatuses") or []
    return tuple(first) + tuple(status.get("containerStatuses") or [])


def role_of(pod: Json) -> str:
    """Return what a pod is for: head, a worker group's name, submitter, migrate, ….

    The submitter's pod carries the name of its Job, whatever its labels say.
    """
    labels = labels_of(pod)
    kind = labels.get(NODE_TYPE_LABEL)
    if kind == "head":
        return "head"
    if kind == "worker":
        return str(labels.get(GROUP_LABEL) or "worker")
    component = str(labels.get(COMPONENT_LABEL) or "")
    return component if component and component != "ray" else "submitter"


def is_finished(rayjob: Json) -> bool:
    """Return whether nothing will happen any more."""
    ends = {"Complete", "Failed", "ValidationFailed"}
    return status_of(rayjob).get("jobDeploymentStatus") in ends


def last_words(text: object) -> str:
    """Return the line of a log that says best why it ended: the last error, else the last line.

    Our own programs end with ``error: …`` and perhaps ``hint: …``.
    """
    lines = [line.strip() for line in str(text or "").splitlines() if line.strip()]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    chosen = errors or lines
    return chosen[-1][:300] if chosen else ""
