"""A run on the cluster as a person sees it: its phase, its pods, what it has cost so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum, unique

from rsc.cluster.observed import (
    COMPONENT_LABEL,
    NODE_TYPE_LABEL,
    QUEUE_LABEL,
    Json,
    Observed,
    condition,
    containers_of,
    created_at,
    labels_of,
    moment_of,
    name_of,
    role_of,
    run_id_of,
    seconds_since,
    status_of,
)


@unique
class Phase(StrEnum):
    """Where a run stands on its way through the cluster."""

    SUBMITTED = "submitted"
    QUEUED = "queued"
    PREPARING = "preparing"
    STARTING = "starting pods"
    SUBMITTING = "submitting the driver"
    RUNNING = "running"
    STOPPING = "stopping"
    RETRYING = "retrying"
    DELETING = "being deleted"
    SUSPENDED = "suspended"
    ENDED = "ended"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class PodView:
    """One pod."""

    name: str
    """Its name."""
    role: str
    """``head``, the worker group, ``submitter``, ``migrate``, …."""
    state: str
    """What ``kubectl get pods`` says of it."""
    node: str
    """Where it is placed; empty: nowhere yet."""
    seconds: float
    """How long it has held its resources."""
    of_ray: bool
    """Whether it is one of the cluster's own, whose seconds are the cost."""


_SIMPLE = {
    "Failed": Phase.FAILED,
    "ValidationFailed": Phase.FAILED,
    "Suspending": Phase.STOPPING,
    "Suspended": Phase.SUSPENDED,
    "Retrying": Phase.RETRYING,
    "Initializing": Phase.STARTING,
    "Waiting": Phase.STARTING,
}


def phase_of(observed: Observed, recorded: str = "") -> Phase:
    """Return where a run stands.

    Parameters
    ----------
    observed : Observed
        The run as the cluster has it.
    recorded : str
        The run's state as the database has it; empty: nobody asked.

    Returns
    -------
    Phase
        ``ended`` where the driver exited with 0 and neither its log nor the database says
        whether the run was completed or cancelled.
    """
    status = status_of(observed.rayjob)
    deployment, job = status.get("jobDeploymentStatus") or "", status.get("jobStatus") or ""
    if observed.rayjob.get("metadata", {}).get("deletionTimestamp"):
        return Phase.DELETING
    if deployment == "Complete":
        return _completed(observed, job, recorded)
    if deployment == "Running":
        return _running(job)
    if deployment in {"", "Suspended"} and _queued(observed):
        return Phase.QUEUED
    if deployment in _SIMPLE:
        return _SIMPLE[deployment]
    return Phase.PREPARING if any(_prepares(job) for job in observed.jobs) else Phase.SUBMITTED


def _completed(observed: Observed, job: str, recorded: str) -> Phase:
    """Return how a RayJob without failure has ended; a cancelled run exits with 0, too."""
    if job != "SUCCEEDED":
        return Phase.STOPPED
    said = f"run {run_id_of(observed.rayjob)} was cancelled"
    if recorded == Phase.CANCELLED or any(said in line for line in observed.driver):
        return Phase.CANCELLED
    return Phase.COMPLETED if recorded == Phase.COMPLETED or observed.driver else Phase.ENDED


def _running(job: str) -> Phase:
    if job in {"SUCCEEDED", "FAILED", "STOPPED"}:
        return Phase.STOPPING
    return Phase.RUNNING if job == "RUNNING" else Phase.SUBMITTING


def _queued(observed: Observed) -> bool:
    spec = observed.rayjob.get("spec") or {}
    return bool(spec.get("suspend") and labels_of(observed.rayjob).get(QUEUE_LABEL))


def _prepares(job: Json) -> bool:
    component = labels_of(job).get(COMPONENT_LABEL)
    return component in {"migrate", "preflight"} and bool(status_of(job).get("active"))


def pods_of(observed: Observed) -> tuple[PodView, ...]:
    """Return the pods of a run, the head first."""
    return tuple(
        PodView(
            name=name_of(pod),
            role=role_of(pod),
            state=pod_state(pod),
            node=str(pod.get("spec", {}).get("nodeName") or ""),
            seconds=held_seconds(pod, observed.now),
            of_ray=NODE_TYPE_LABEL in labels_of(pod),
        )
        for pod in observed.pods
    )


def pod_state(pod: Json) -> str:
    """Return the state of a pod in one word: the worst thing that is true of it."""
    status = status_of(pod)
    phase = str(status.get("phase") or "Pending")
    if pod["metadata"].get("deletionTimestamp"):
        return "Terminating"
    if condition(pod, "PodScheduled").get("reason") == "Unschedulable":
        return "Unschedulable"
    for container in containers_of(pod):
        state = container.get("state") or {}
        if reason := (state.get("waiting") or {}).get("reason"):
            return str(reason)
        ended = state.get("terminated") or {}
        if ended.get("exitCode") and phase != "Succeeded":
            return str(ended.get("reason") or "Error")
    if phase == "Running" and condition(pod, "Ready").get("status") != "True":
        return "not ready"
    return str(status.get("reason") or phase)


def held_seconds(pod: Json, now: datetime) -> float:
    """Return how long a pod has held its resources: from its placement to its end."""
    placed = condition(pod, "PodScheduled")
    if placed.get("status") != "True":
        return 0.0
    begun = moment_of(placed.get("lastTransitionTime")) or created_at(pod)
    ends = [
        moment_of((container.get("state", {}).get("terminated") or {}).get("finishedAt"))
        for container in status_of(pod).get("containerStatuses") or []
    ]
    over = status_of(pod).get("phase") in {"Succeeded", "Failed"}
    known = [end for end in ends if end is not None]
    return seconds_since(begun, max(known) if over and known else now)


def seconds_by_group(pods: tuple[PodView, ...]) -> dict[str, float]:
    """Return the pod-seconds of the cluster's own pods that still exist, by group."""
    totals: dict[str, float] = {}
    for pod in pods:
        if pod.of_ray:
            totals[pod.role] = totals.get(pod.role, 0.0) + pod.seconds
    return totals


def money_of(seconds: Mapping[str, float], prices: Mapping[str, float]) -> float | None:
    """Return what pod-seconds cost; None when a group has no price.

    Parameters
    ----------
    seconds : mapping
        Pod-seconds by group.
    prices : mapping
        Money for one pod and hour by group.
    """
    if not prices or any(group not in prices for group, held in seconds.items() if held > 0):
        return None
    return sum(held * prices.get(group, 0.0) for group, held in seconds.items()) / 3600


def started_at(rayjob: Json) -> datetime | None:
    """Return when this attempt of a RayJob began, else when it was made."""
    return moment_of(status_of(rayjob).get("startTime")) or created_at(rayjob)


def ended_at(rayjob: Json) -> datetime | None:
    """Return when a RayJob ended."""
    return moment_of(status_of(rayjob).get("endTime"))
