"""Observed objects as JSON files: trimmed to what a reader of them can want."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from rsc.cluster.observed import Observed

RECORDED = Path(__file__).parent / "recorded"
_METADATA = {
    "name",
    "namespace",
    "labels",
    "creationTimestamp",
    "deletionTimestamp",
    "ownerReferences",
    "uid",
}
_LABELS = ("rsc.dev/", "ray.io/", "app.kubernetes.io/", "job-name", "kueue.x-k8s.io/")
_ALLOCATABLE = ("cpu", "memory", "ephemeral-storage", "nvidia.com/gpu")
# Addresses, ids and copies of the spec: nobody explains anything with them.
_NOISE = {
    "allocatedResources",
    "containerID",
    "endpoints",
    "head",
    "hostIP",
    "hostIPs",
    "imageID",
    "observedGeneration",
    "podIP",
    "podIPs",
    "rayClusterStatus",
    "user",
    "volumeMounts",
}
_KINDS = ("clusters", "jobs", "pods", "events", "nodes")


def to_document(observed: Observed) -> dict[str, Any]:
    """Return what was observed as plain values, trimmed."""
    document: dict[str, Any] = {"now": observed.now.isoformat(), "logs": dict(observed.logs)}
    document["rayjob"] = _trim(observed.rayjob)
    for kind in ("clusters", "jobs", "pods"):
        document[kind] = [_trim(item) for item in getattr(observed, kind)]
    document["events"] = [_event(item) for item in observed.events]
    document["nodes"] = [_node(item) for item in observed.nodes]
    return document


def read(name: str) -> Observed:
    """Return a recording."""
    document = json.loads((RECORDED / f"{name}.json").read_text(encoding="utf-8"))
    return Observed(
        rayjob=document["rayjob"],
        logs=document["logs"],
        now=datetime.fromisoformat(document["now"]),
        **{kind: tuple(document[kind]) for kind in _KINDS},
    )


def _trim(item: Any) -> dict[str, Any]:
    kept = {"metadata": _metadata(item), "status": _without_noise(item.get("status") or {})}
    spec = item.get("spec") or {}
    if "containers" in spec:  # a pod
        kept["spec"] = {
            "nodeName": spec.get("nodeName"),
            "containers": [
                {"name": one["name"], "resources": one.get("resources", {})}
                for one in spec["containers"]
            ],
        }
    elif "rayClusterSpec" in spec:
        kept["spec"] = {key: value for key, value in spec.items() if _is_plain(value)}
        options = spec["rayClusterSpec"].get("authOptions")
        kept["spec"]["rayClusterSpec"] = {"authOptions": options}
    return kept


def _without_noise(node: Any, *, inside: bool = False) -> Any:
    if isinstance(node, dict):
        noise = _NOISE | ({"resources"} if inside else set())
        return {k: _without_noise(v, inside=True) for k, v in node.items() if k not in noise}
    if isinstance(node, list):
        return [_without_noise(value, inside=True) for value in node]
    return node


def _is_plain(value: Any) -> bool:
    return isinstance(value, (str, int, bool))


def _metadata(item: Any) -> dict[str, Any]:
    kept = {key: value for key, value in item["metadata"].items() if key in _METADATA}
    labels = kept.get("labels") or {}
    kept["labels"] = {k: v for k, v in labels.items() if k.startswith(_LABELS)}
    return kept


def _event(item: Any) -> dict[str, Any]:
    keys = ("type", "reason", "message", "count", "lastTimestamp", "eventTime", "series")
    kept = {key: item[key] for key in keys if item.get(key) is not None}
    about = item["involvedObject"]
    return {**kept, "involvedObject": {"kind": about["kind"], "name": about["name"]}}


def _node(item: Any) -> dict[str, Any]:
    status = item["status"]
    return {
        "metadata": {"name": item["metadata"]["name"]},
        "status": {
            "allocatable": {k: v for k, v in status["allocatable"].items() if k in _ALLOCATABLE},
            "conditions": [
                {key: one.get(key) for key in ("type", "status", "reason")}
                for one in status["conditions"]
            ],
        },
    }
