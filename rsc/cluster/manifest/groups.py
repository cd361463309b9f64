"""What a manifest's pods ask of the cluster and offer to Ray.

The numbers are KubeRay's: ``num-cpus`` from the CPU limit, rounded up, GPUs from the
limit, everything else from the group's ``resources``. A group with ``num-cpus: "0"``
(the head) offers no CPU to the run whatever its pod has.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from rsc.cluster.quantities import is_gpu, quantity, ray_cpus
from rsc.errors import UserError

HEAD = "head"
SUBMITTER = "submitter"


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One head or worker group."""

    name: str
    """``head`` or the worker group's name."""
    minimum: int
    maximum: int
    """Pods it keeps from the start, and most pods it may have."""
    cpu: float
    memory: float
    gpu: float
    """What one pod reserves of the cluster: CPUs, bytes, pieces."""
    offers: Mapping[str, float]
    """What one pod offers to Ray, by Ray's names."""


def groups_of(rayjob: Mapping[str, Any]) -> tuple[Group, ...]:
    """Return the groups of a RayJob, the head first.

    Raises
    ------
    UserError
        A quantity is none, or a group's numbers of pods contradict each other.
    """
    cluster = rayjob["spec"]["rayClusterSpec"]
    scaled = bool(cluster.get("enableInTreeAutoscaling"))
    head = _with_autoscaler(_group(HEAD, cluster["headGroupSpec"], 1, 1), cluster)
    workers = [_worker(spec, scaled=scaled) for spec in cluster.get("workerGroupSpecs") or []]
    return (head, *workers)


def submitter_of(rayjob: Mapping[str, Any]) -> Group | None:
    """Return the submitter's pod as a group that offers nothing; None when it has none."""
    template = rayjob["spec"].get("submitterPodTemplate")
    return _group(SUBMITTER, {"template": template}, 1, 1) if template else None


def _with_autoscaler(head: Group, cluster: Mapping[str, Any]) -> Group:
    """Add what the autoscaler asks, which shares the head's pod; KubeRay's default if unsaid."""
    if not cluster.get("enableInTreeAutoscaling"):
        return head
    resources = (cluster.get("autoscalerOptions") or {}).get("resources") or {}
    asked = {
        "cpu": "500m",
        "memory": "512Mi",
        **(resources.get("limits") or {}),
        **(resources.get("requests") or {}),
    }
    return replace(
        head,
        cpu=head.cpu + quantity(asked["cpu"], "autoscaler: cpu"),
        memory=head.memory + quantity(asked["memory"], "autoscaler: memory"),
    )


def _worker(spec: Mapping[str, Any], *, scaled: bool) -> Group:
    """Return a worker group; without an autoscaler its size is `replicas` for ever."""
    name = str(spec.get("groupName"))
    replicas = int(spec.get("replicas") or 0)
    minimum = int(spec.get("minReplicas") or 0)
    maximum = int(spec.get("maxReplicas") or 0)
    if minimum > maximum:
        message = (
            f"group {name}: minReplicas was {minimum}, must be at most maxReplicas ({maximum})"
        )
        raise UserError(message)
    if not scaled:
        return _group(name, spec, replicas, replicas)
    return _group(name, spec, max(minimum, replicas), maximum)


def _group(name: str, spec: Mapping[str, Any], minimum: int, maximum: int) -> Group:
    resources = main_resources(spec)
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    reserved = {**limits, **requests}  # a missing request is the limit

    def asked(key: str) -> float:
        return quantity(reserved.get(key, 0), f"group {name}: {key}")

    gpu_key = next(filter(is_gpu, {**requests, **limits}), "nvidia.com/gpu")
    return Group(
        name=name,
        minimum=minimum,
        maximum=maximum,
        cpu=asked("cpu"),
        memory=asked("memory"),
        gpu=asked(gpu_key),
        offers=_offers(name, spec, {**requests, **limits}, asked(gpu_key)),
    )


def main_resources(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the resources of a group's Ray container, which is always the first."""
    return spec["template"]["spec"]["containers"][0].get("resources") or {}


def _offers(
    name: str, spec: Mapping[str, Any], limits: Mapping[str, Any], gpu: float
) -> dict[str, float]:
    start = spec.get("rayStartParams") or {}
    where = f"group {name}: "
    offers = {
        "CPU": float(start.get("num-cpus", ray_cpus(limits.get("cpu", 0), f"{where}cpu"))),
        "GPU": float(start.get("num-gpus", gpu)),
    }
    custom: dict[str, Any] = dict(spec.get("resources") or {})
    if "resources" in start:
        # KubeRay wants JSON inside a quoted shell word here.
        custom |= json.loads(str(start["resources"]).strip("'\"").replace("\\", ""))
    for key, value in custom.items():
        offers[key] = quantity(value, f"{where}resources.{key}")
    return {key: value for key, value in offers.items() if value > 0}
