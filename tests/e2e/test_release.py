"""A release of the chart: placement, autoscaling, verification, upgrade, uninstall."""

from __future__ import annotations

import json

import pytest
from platform_under_test import run, wait_until
from training_under_test import (
    ROOT,
    START_SECONDS,
    assert_verified,
    executions,
    install,
    long_config,
    the_run,
    values,
    wait_for_training,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

ACTORS = """
import json, ray
from ray.util.state import list_actors
ray.init(address="auto", logging_level="ERROR", log_to_driver=False)
pods = {node["NodeID"]: node["NodeManagerHostname"] for node in ray.nodes()}
alive = list_actors(filters=[("state", "=", "ALIVE")], limit=1000)
print(json.dumps([(one.class_name, pods[one.node_id]) for one in alive]))
"""


@pytest.fixture
def gpu():
    """Let the node offer one GPU: it decides where pods go, nothing can compute on it."""
    node = json.loads(run("kubectl", "get", "nodes", "-o", "json"))["items"][0]["metadata"]["name"]
    path = "/status/capacity/nvidia.com~1gpu"
    words = ("kubectl", "patch", "node", node, "--subresource=status", "--type=json", "-p")
    run(*words, json.dumps([{"op": "add", "path": path, "value": "1"}]))
    yield
    run(*words, json.dumps([{"op": "remove", "path": path}]))


def actors_by_pod(namespace) -> dict[str, set[str]]:
    """Return the classes of the living actors of each pod, from Ray's own state."""
    (head,) = namespace.ready("head")
    printed = namespace.exec(head, "python", "-c", ACTORS, container="ray-head")
    found: dict[str, set[str]] = {}
    for name, pod in json.loads(printed.strip().splitlines()[-1]):
        found.setdefault(pod, set()).add(name)
    return found


def test_a_release_places_scales_verifies_upgrades_and_leaves_nothing(namespace, gpu):
    del gpu
    given = values(namespace, long_config())
    given["learner"] |= {"gpus": 1}
    given["autoscaler"] |= {"idleTimeoutSeconds": 60}
    given["rayjob"] |= {"ttlSecondsAfterFinished": 150}
    first = install(namespace, given)
    assert namespace.pods("sampler") == []
    wait_for_training(namespace, first)

    placed = actors_by_pod(namespace)
    learner, samplers = namespace.ready("learner"), namespace.ready("sampler")
    (head,) = namespace.ready("head")
    assert len(samplers) == 2
    assert {"BatchEnvRunner"} <= placed[samplers[0]] & placed[samplers[1]]
    assert not any("BatchEnvRunner" in placed.get(pod, ()) for pod in (head, *learner))
    assert any("JobSupervisor" in name for name in placed[head])
    trial = [pod for pod, names in placed.items() if "ImplicitFunc" in names]  # Tune's function
    assert trial == learner, placed
    limits = namespace.pods("learner")[0]["spec"]["containers"][0]["resources"]["limits"]
    assert limits["nvidia.com/gpu"] == "1"
    for pod in namespace.pods("sampler") + namespace.pods("head"):
        assert all(
            "nvidia.com/gpu" not in c["resources"]["limits"] for c in pod["spec"]["containers"]
        )

    node = namespace.get("pod", head)["spec"]["nodeName"]
    held = executions(namespace, first)[0].nodes
    assert held == {"head": (node,), "learner": (node,), "sampler": (node,)}

    assert namespace.wait_for_end(first)[:2] == ("SUCCEEDED", "Complete")
    wait_until(
        lambda: not namespace.pods("sampler"), seconds=120, what="idle samplers to be removed"
    )
    assert namespace.pods("head"), "the cluster went away before its samplers were seen to go"
    namespace.helm("test", "rsc-train", "--timeout", f"{START_SECONDS}s")
    assert_verified(namespace, first)

    short = long_config(40_000)
    namespace.helm(
        "upgrade",
        "rsc-train",
        str(ROOT / "helm/rsc-train"),
        values=given | {"train": {"config": short}},
    )
    second = "rsc-train-r2"
    assert namespace.wait_for_end(second)[:2] == ("SUCCEEDED", "Complete")
    assert the_run(namespace, first).state == the_run(namespace, second).state == "completed"

    namespace.helm("uninstall", "rsc-train", "--wait")
    wait_until(lambda: not (namespace.get("pods") or []), seconds=240, what="all pods to be gone")
    kept = {"rsc-database", "rsc-database-ca", "rsc-ray-token", "rsc-s3"}
    secrets = {one["metadata"]["name"] for one in namespace.get("secrets") or []}
    left_on_purpose = {name for name in secrets - kept if "token" in name}
    assert secrets - kept == left_on_purpose
    for kind in ("rayjobs", "rayclusters", "jobs", "serviceaccounts", "roles", "rolebindings"):
        names = {one["metadata"]["name"] for one in namespace.get(kind) or []}
        assert names <= {"default"}, (kind, names)
