"""A release of the chart: placement, autoscaling, verification, upgrade, uninstall."""

from __future__ import annotations

import json
import os
import re
import subprocess

import pytest
from platform_under_test import run, wait_until
from training_under_test import (
    ROOT,
    RSC,
    START_SECONDS,
    assert_verified,
    attempts,
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
        found.setdefault(pod, set()).add(name.rpartition(".")[2])  # Ray may qualify it
    return found


def paste(namespace, command: str) -> None:
    """Run a command of the release's notes as a person would paste it into a shell.

    What would go on for ever is ended after some seconds; it must not end by itself before.
    """
    endless = any(word in command for word in ("--watch", "--follow", "port-forward"))
    words = ("timeout", "8") if endless else ()
    done = subprocess.run(
        [*words, "bash", "-c", command],
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        env=os.environ | {"PATH": f"{RSC.parent}:{os.environ['PATH']}"},
        check=False,
    )
    ended_by_us = endless and done.returncode == 124
    assert done.returncode == 0 or ended_by_us, f"{command}\n{done.stdout}\n{done.stderr}"
    assert "rror" not in done.stderr, f"{command}\n{done.stderr}"


def notes(namespace) -> list[str]:
    """Return the commands in the notes of the release."""
    lines = namespace.helm("get", "notes", "rsc-train").splitlines()
    return [line.strip() for line in lines if re.match(r"  (kubectl|rsc|helm) ", line)]


def test_a_release_places_scales_verifies_upgrades_and_leaves_nothing(namespace, gpu):
    del gpu
    config = long_config(200_000)
    config["resources"] |= {"num_learners": 1}
    given = values(namespace, config)
    given["learner"] |= {"gpus": 1, "cpus": 2, "nodeType": "gpu-test"}
    given["autoscaler"] |= {"idleTimeoutSeconds": 60}
    given["rayjob"] |= {"ttlSecondsAfterFinished": 150}
    first = install(namespace, given)
    assert namespace.pods("sampler") == []
    wait_for_training(namespace, first)
    assert_placed(namespace, first)

    assert namespace.wait_for_end(first)[:2] == ("SUCCEEDED", "Complete")
    wait_until(
        lambda: not namespace.pods("sampler"), seconds=120, what="idle samplers to be removed"
    )
    assert namespace.pods("head"), "the cluster went away before its samplers were seen to go"
    told = notes(namespace)
    assert any(command.startswith("helm test") for command in told)
    *while_it_is_there, clean_up = told
    for command in while_it_is_there:
        paste(namespace, command)
    assert_verified(namespace, first)

    token = namespace.get("secret", "rsc-train-ray-token")["data"]
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
    assert_verified(namespace, second)
    assert namespace.get("secret", "rsc-train-ray-token")["data"] == token

    namespace.helm("uninstall", "rsc-train", "--wait")
    wait_until(lambda: not (namespace.get("pods") or []), seconds=240, what="all pods to be gone")
    policies = {f"networkpolicies/rsc-train-{part}" for part in ("head", "ray", "submitter")}
    assert left(namespace) == {"secrets/rsc-train-ray-token", *policies}
    paste(namespace, clean_up)
    assert left(namespace) == set()


def assert_placed(namespace, run_id: str) -> None:
    """Fail unless every process is on the pod that it belongs to."""
    placed = actors_by_pod(namespace)
    learner, samplers = namespace.ready("learner"), namespace.ready("sampler")
    (head,) = namespace.ready("head")
    assert len(samplers) == 2
    assert {"BatchEnvRunner"} <= placed[samplers[0]] & placed[samplers[1]]
    assert not any("BatchEnvRunner" in placed.get(pod, ()) for pod in (head, *learner))
    assert any("JobSupervisor" in name for name in placed[head])
    assert [pod for pod, names in placed.items() if "ImplicitFunc" in names] == learner, placed
    # RLlib starts its learners as workers of Ray Train.
    workers = [pod for pod, names in placed.items() if any("_WrappedExec" in n for n in names)]
    assert workers == learner, placed
    limits = namespace.pods("learner")[0]["spec"]["containers"][0]["resources"]["limits"]
    assert limits["nvidia.com/gpu"] == "1"
    for pod in namespace.pods("sampler") + namespace.pods("head"):
        assert all(
            "nvidia.com/gpu" not in c["resources"]["limits"] for c in pod["spec"]["containers"]
        )
    node = namespace.get("pod", head)["spec"]["nodeName"]
    groups = dict.fromkeys(("head", "learner", "sampler"), (node,))
    wait_until(  # a heartbeat may come later than the first iteration
        lambda: attempts(namespace, run_id)[0].nodes == groups,
        seconds=30,
        what="the nodes of all groups to be recorded",
    )
    assert attempts(namespace, run_id)[0].node_types == {"learner": ("gpu-test",)}


# What the test itself has put there, and what Kubernetes puts into every namespace.
NOT_OF_THE_RELEASE = {
    *(f"secrets/rsc-{name}" for name in ("database", "database-ca", "ray-token", "s3")),
    "configmaps/kube-root-ca.crt",
    "networkpolicies/default-deny",
    "serviceaccounts/default",
}
KINDS = (
    *("rayjobs", "rayclusters", "jobs", "configmaps", "secrets", "services"),
    *("networkpolicies", "serviceaccounts", "roles", "rolebindings"),
)


def left(namespace) -> set[str]:
    """Return what is there of a release."""
    found = {
        f"{kind}/{one['metadata']['name']}" for kind in KINDS for one in namespace.get(kind) or []
    }
    return found - NOT_OF_THE_RELEASE
