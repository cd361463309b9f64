"""What a run uses of a cluster: seconds of pods by worker group, as Ray sees its nodes.

A pod is a Ray node. Its group is the label that KubeRay gives it, else what its
resources say. What kind of machine it is on no pod can see: the chart says it in a label
of the group, or nobody does. Seconds are counted by looking now and then, so a pod that
lives for less than a heartbeat may be missed; a price is worked out of them elsewhere.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import ray

_GROUP_LABEL = "ray.io/node-group"
_NODE_TYPE_LABEL = "rsc.dev/node-type"
_HEAD_RESOURCE = "node:__internal_head__"
HEAD, LEARNER, SAMPLER, OTHER = "head", "learner", "sampler", "other"
MAIN_RESOURCE, SAMPLER_RESOURCE, LEARNER_RESOURCE = "rsc_main", "rsc_sampler", "rsc_learner"
# A look that took longer than this was a sleeping machine, not a living pod.
_LONGEST_GAP_SECONDS = 120.0


class PodClock:
    """Counts the seconds of all nodes of the cluster, by group, from now on."""

    def __init__(
        self,
        look: Callable[[], Iterable[Mapping[str, Any]]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._look = look or ray.nodes
        self._clock = clock
        self._last, self._passed = clock(), 0.0
        self._seconds: dict[str, float] = {}
        self._nodes: dict[str, set[str]] = {}
        self._node_types: dict[str, set[str]] = {}

    def _living(self) -> list[Mapping[str, Any]]:
        """Look; while Ray does not answer time goes on, and is counted by the next look."""
        now = self._clock()
        try:
            nodes = [node for node in self._look() if node.get("Alive")]
        except (ray.exceptions.RayError, RuntimeError, OSError):
            self._passed = 0.0
            return []
        self._passed, self._last = min(now - self._last, _LONGEST_GAP_SECONDS), now
        return nodes

    def sample(self) -> dict[str, Any]:
        """Look once; return what was seen so far, by group.

        ``pods`` are seconds, ``nodes`` names, ``node_types`` what the groups' labels say.
        """
        for node in self._living():
            group = group_of(node)
            self._seconds[group] = self._seconds.get(group, 0.0) + self._passed
            self._nodes.setdefault(group, set()).add(name_of(node))
            if node_type := node.get("Labels", {}).get(_NODE_TYPE_LABEL):
                self._node_types.setdefault(group, set()).add(str(node_type))
        return {
            "pods": dict(self._seconds),
            "nodes": _sorted(self._nodes),
            "node_types": _sorted(self._node_types),
        }


def _sorted(found: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    return {group: sorted(names) for group, names in found.items()}


def name_of(node: Mapping[str, Any]) -> str:
    """Return the name that one of `ray.nodes()` was started with, else its host.

    On Kubernetes that is the pod's node (``ray start --node-name``); its host is the pod.
    """
    given = node.get("NodeName")
    named = given and given != node.get("NodeManagerAddress")
    return str(given if named else node.get("NodeManagerHostname", ""))


def group_of(node: Mapping[str, Any]) -> str:
    """Return the worker group of one of `ray.nodes()`."""
    resources = node.get("Resources", {})
    if _HEAD_RESOURCE in resources:
        return HEAD
    label = node.get("Labels", {}).get(_GROUP_LABEL)
    if label:
        return str(label)
    if MAIN_RESOURCE in resources or LEARNER_RESOURCE in resources:
        return LEARNER
    return SAMPLER if SAMPLER_RESOURCE in resources else OTHER
