"""A Ray cluster of several nodes on this machine, with the resources of our pods.

Each node is a raylet of its own at an address of its own, so one can be killed as a pod
is: without a word. The head has no CPU, as in Kubernetes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ray.cluster_utils import Cluster

_STORE_BYTES = 100 * 2**20
_OFFERS = {
    "learner": {"rsc_main": 1, "rsc_learner": 1},
    "sampler": {"rsc_sampler": 2},
}
# A loaded machine needs longer than Ray's patience to start a node.
_ATTEMPTS = 4


class PodLikeCluster:
    """A head, and nodes that come and go by kind."""

    def __init__(self) -> None:
        self._cluster = _retry(self._start)
        self._nodes: dict[str, list[Any]] = {kind: [] for kind in _OFFERS}
        self._number = 2

    @staticmethod
    def _start() -> Cluster:
        head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": _STORE_BYTES}
        return Cluster(initialize_head=True, head_node_args=head)

    @property
    def address(self) -> str:
        """What RAY_ADDRESS must be."""
        return self._cluster.address

    def add(self, kind: str) -> None:
        """Start a node."""
        self._nodes[kind].append(_retry(lambda: self._add(kind)))

    def _add(self, kind: str) -> Any:
        self._number += 1
        return self._cluster.add_node(
            num_cpus=2,
            resources=_OFFERS[kind],
            labels={"rsc.dev/node-type": f"{kind}-node"},
            node_ip_address=f"127.0.0.{self._number}",
            object_store_memory=_STORE_BYTES,
        )

    def kill(self, kind: str) -> None:
        """Kill the oldest node of a kind without a word."""
        self._cluster.remove_node(self._nodes[kind].pop(0), allow_graceful=False)

    def shutdown(self) -> None:
        """End all of it."""
        self._cluster.shutdown()


def _retry(start: Any) -> Any:
    for left in range(_ATTEMPTS, 0, -1):
        try:
            return start()
        except Exception as error:
            if left == 1 or "timed out during startup" not in str(error):
                raise
    raise AssertionError


@contextmanager
def pod_like_cluster() -> Iterator[PodLikeCluster]:
    """Start a head, a learner's node and a samplers' node; end them."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    cluster = PodLikeCluster()
    try:
        cluster.add("learner")
        cluster.add("sampler")
        yield cluster
    finally:
        cluster.shutdown()
