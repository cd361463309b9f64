"""Who reaches Ray's ports, and who is told to go away."""

from __future__ import annotations

import json

import pytest
from platform_under_test import wait_until
from training_under_test import install, long_config, values, wait_for_training

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]

PORTS = (8265, 6379, 8080, 10001, 44217, 44227, 52365)
KNOCK = """
import concurrent.futures, json, socket, sys
def reached(port):
    with socket.socket() as probe:
        probe.settimeout(5)
        return probe.connect_ex((sys.argv[1], port)) == 0
ports = [int(word) for word in sys.argv[2:]]
with concurrent.futures.ThreadPoolExecutor() as pool:
    print(json.dumps([port for port, open in zip(ports, pool.map(reached, ports)) if open]))
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


def test_strangers_reach_no_port_and_nobody_is_served_without_the_token(namespace):
    run_id = install(namespace, values(namespace, long_config()))
    stranger(namespace, "stranger", {"app": "stranger"})
    wait_for_training(namespace, run_id)
    (head,) = namespace.pods("head")
    name, address = head["metadata"]["name"], head["status"]["podIP"]

    ports = [str(port) for port in PORTS]
    knock = ("python", "-c", KNOCK, address, *ports)
    assert json.loads(namespace.exec("stranger", *knock)) == []
    # The same question from the head itself: the ports are open, the policy closes them.
    own = json.loads(namespace.exec(name, *knock, container="ray-head"))
    assert own == list(PORTS)

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
