"""Who reaches Ray's ports, and who is told to go away."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from platform_under_test import Namespace, wait_until
from training_under_test import install, long_config, values, wait_for_training

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]

PORTS = (8265, 6379, 8080, 10001, 44217, 44227, 52365)
AGENT_PORTS = (8080, 52365)  # of every pod: metrics, and Ray's agent
KNOCK = """
import concurrent.futures, json, socket, sys
def reached(address):
    host, _, port = address.partition(":")
    with socket.socket() as probe:
        probe.settimeout(5)
        return probe.connect_ex((host, int(port))) == 0
doors = sys.argv[1:]
with concurrent.futures.ThreadPoolExecutor(max_workers=len(doors)) as pool:
    print(json.dumps([door for door, open in zip(doors, pool.map(reached, doors)) if open]))
"""
ASK = """
import os, sys, urllib.error, urllib.request
headers = {"Authorization": "Bearer " + sys.argv[1]} if len(sys.argv) > 1 else {}
request = urllib.request.Request("http://127.0.0.1:8265/api/jobs/", headers=headers)
try:
    print(urllib.request.urlopen(request, timeout=10).status)
except urllib.error.HTTPError as refusal:
    print(refusal.code)
"""


def stranger(namespace, name: str, labels: dict[str, str]) -> None:
    """Start a pod that may send to anywhere, as far as its own side is concerned."""
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container = {
        "name": "stranger",
        "image": namespace.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sleep", "3600"],
        "securityContext": security,
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
    }
    pod = {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}}
    namespace.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": labels},
            "spec": {"securityContext": pod, "containers": [container]},
        },
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": f"{name}-may-send"},
            "spec": {
                "podSelector": {"matchLabels": labels},
                "policyTypes": ["Egress"],
                "egress": [{}],
            },
        },
    )
    namespace.kubectl("wait", "pod", name, "--for=condition=Ready", "--timeout=120s")


@pytest.fixture
def elsewhere(namespace) -> Iterator[Namespace]:
    """Another namespace."""
    made = replace(namespace, name=f"{namespace.name}-other")
    yield made
    made.delete()


def addresses(namespace) -> dict[str, list[str]]:
    """Return the addresses of the Ray pods by group."""
    groups = ("head", "learner", "sampler")
    return {group: [pod["status"]["podIP"] for pod in namespace.pods(group)] for group in groups}


def reached(namespace, pod: str, doors: list[str], container: str = "") -> list[str]:
    """Return which of the doors, `address:port`, open when a pod knocks."""
    words = ("python", "-c", KNOCK, *doors)
    return list(json.loads(namespace.exec(pod, *words, container=container)))


def test_strangers_reach_no_port_and_nobody_is_served_without_the_token(namespace, elsewhere):
    run_id = install(namespace, values(namespace, long_config()))
    stranger(namespace, "stranger", {"app": "stranger"})
    # The operator's label opens the head's port to the operator's namespace alone.
    for where in (namespace, elsewhere):
        stranger(where, "impostor", {"app.kubernetes.io/name": "kuberay-operator"})
    wait_for_training(namespace, run_id)
    (head,) = namespace.pods("head")
    name, at = head["metadata"]["name"], addresses(namespace)

    assert [len(found) for found in at.values()] == [1, 1, 2]
    doors = [f"{one}:{port}" for found in at.values() for one in found for port in PORTS]
    assert reached(namespace, "stranger", doors) == []
    assert reached(namespace, "impostor", doors) == []
    assert reached(elsewhere, "impostor", doors) == []
    # The same question from the head itself: the ports are open, the policy closes them.
    own = reached(namespace, name, doors, container="ray-head")
    assert {f"{at['head'][0]}:{port}" for port in PORTS} <= set(own)
    workers = at["learner"] + at["sampler"]
    assert {f"{one}:{port}" for one in workers for port in AGENT_PORTS} <= set(own)

    def answer(*words: str) -> str:
        return namespace.exec(name, "python", "-c", ASK, *words, container="ray-head").strip()

    token = namespace.exec(name, "printenv", "RAY_AUTH_TOKEN", container="ray-head").strip()
    assert answer() == "401"
    assert answer("not-the-token") == "403"
    assert answer(token) == "200"

    for pod in (pod for group in ("head", "learner", "sampler") for pod in namespace.pods(group)):
        for container in pod["spec"]["containers"]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] is True, pod["metadata"]["name"]
            assert context["allowPrivilegeEscalation"] is False
            assert "runAsUser" not in context or context["runAsUser"] != 0
    logs = namespace.kubectl("logs", name, "--all-containers", check=False)
    assert token not in logs
    assert namespace.postgres.password not in logs
    spec = json.dumps(namespace.get("rayjob", run_id))
    assert token not in spec
    assert namespace.postgres.password not in spec
    namespace.helm("uninstall", "rsc-train")
    wait_until(lambda: not namespace.pods("head"), seconds=240, what="the head to go")
