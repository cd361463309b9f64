"""A namespace of the cluster with everything a run needs, and questions to ask of it."""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml
from services import ObjectStore, Postgres

Answer = TypeVar("Answer")
POLL_SECONDS = 1.0
EVENTS_PRINTED = 25
LOOK_SECONDS = 30.0


def run(*words: str, given: str | None = None, check: bool = True, seconds: float = 300) -> str:
    """Run a command and return what it printed; its error output is the failure's text."""
    try:
        done = subprocess.run(
            words, input=given, capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired as late:
        assert not check, f"{' '.join(words)}: not done within {seconds:.0f} s"
        return str(late)
    if check:
        assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}\n{done.stderr}"
    return done.stdout if check else done.stdout + done.stderr


def wait_until(question: Callable[[], Answer], *, seconds: float, what: str) -> Answer:
    """Return the first true answer; fail with `what` and the last answer after `seconds`."""
    end, answer = time.monotonic() + seconds, None
    while time.monotonic() < end:
        if answer := question():
            return answer
        time.sleep(POLL_SECONDS)
    raise AssertionError(f"{what}: not within {seconds:.0f} s; last answer: {answer!r}")


def image_name() -> str:
    """Return the image that pods run."""
    return os.environ.get("RSC_IMAGE", "localhost/rsc:dev")


def reachable_address() -> str:
    """Return where pods reach this machine: the node itself, or the gateway of kind's network."""
    if given := os.environ.get("RSC_E2E_HOST"):
        return given
    nodes = json.loads(run("kubectl", "get", "nodes", "-o", "json"))["items"]
    addresses = {one["type"]: one["address"] for one in nodes[0]["status"]["addresses"]}
    node = addresses["InternalIP"]
    return node if node in run("hostname", "-I").split() else re.sub(r"\.\d+$", ".1", node)


def api_server() -> dict[str, Any]:
    """Return the address and port of the API server behind its Service."""
    words = ("kubectl", "get", "endpoints", "kubernetes", "-n", "default", "-o", "json")
    (subset, *_) = json.loads(run(*words))["subsets"]
    return {"cidr": f"{subset['addresses'][0]['ip']}/32", "port": subset["ports"][0]["port"]}


def operator_namespace() -> str:
    """Return the namespace of the operator: of its Deployment, as a stranger bears its label."""
    selector = "app.kubernetes.io/name=kuberay-operator"
    words = ("kubectl", "get", "deployments", "--all-namespaces", "-l", selector, "-o", "json")
    (found,) = {one["metadata"]["namespace"] for one in json.loads(run(*words))["items"]}
    return str(found)


@dataclass
class Namespace:
    """One namespace: Pod Security restricted, everything denied that is not allowed."""

    name: str
    postgres: Postgres
    objects: ObjectStore
    image: str
    artifacts: Path
    releases: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Create it, its secrets and its default-deny policy."""
        labels = {
            f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")
        }
        metadata = {"name": self.name, "labels": labels}
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        deny = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
        self.apply(
            {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "NetworkPolicy",
                "metadata": {"name": "default-deny"},
                "spec": deny,
            }
        )
        self.postgres.create_database(self.database)
        self.secret("rsc-database", {"url": self.postgres.plain_url(self.database)})
        self.secret("rsc-database-ca", {"ca.crt": self.postgres.certificates.authority.read_text()})
        self.secret("rsc-ray-token", {"auth_token": secrets.token_hex(24)})
        self.object_store_keys(self.objects.secret_key)

    @property
    def database(self) -> str:
        """Name of the database of this namespace alone."""
        return self.name.replace("-", "_")

    @property
    def database_url(self) -> str:
        """The database as this machine reaches it."""
        return self.postgres.url(self.database)

    def object_store_keys(self, secret_key: str) -> None:
        """Set the keys that pods use for S3."""
        self.secret(
            "rsc-s3",
            {
                "AWS_ACCESS_KEY_ID": self.objects.access_key,
                "AWS_SECRET_ACCESS_KEY": secret_key,
                "AWS_ENDPOINT_URL": self.objects.endpoint,
                "AWS_REGION": "us-east-1",
            },
        )

    # --- asking and telling the API server --------------------------------------------------

    def kubectl(self, *words: str, given: str | None = None, check: bool = True) -> str:
        """Run kubectl in the namespace."""
        return run("kubectl", "-n", self.name, *words, given=given, check=check)

    def look(self, *words: str) -> str:
        """Return what kubectl says of the namespace, an error too; a stuck cluster soon ends it."""
        return run("kubectl", "-n", self.name, *words, check=False, seconds=LOOK_SECONDS)

    def apply(self, *documents: dict[str, Any]) -> None:
        """Apply documents."""
        self.kubectl("apply", "-f", "-", given=yaml.safe_dump_all(documents))

    def secret(self, name: str, values: dict[str, str]) -> None:
        """Create or change a Secret."""
        data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
        kind = {"apiVersion": "v1", "kind": "Secret"}
        self.apply(kind | {"metadata": {"name": name}, "data": data})

    def get(self, kind: str, name: str = "", selector: str = "") -> Any:
        """Return an object, or the items of a list; None when there is no such object."""
        words = [word for word in (kind, name) if word] + (["-l", selector] if selector else [])
        text = self.kubectl("get", *words, "-o", "json", "--ignore-not-found")
        document = json.loads(text) if text.strip() else None
        return document["items"] if document and not name else document

    def pods(self, group: str = "") -> list[dict[str, Any]]:
        """Return the living pods of a Ray group (head, learner, sampler ...), or all."""
        selector = f"rsc.dev/group={group}" if group else ""
        return [
            pod
            for pod in self.get("pods", selector=selector) or []
            if "deletionTimestamp" not in pod["metadata"]
            and pod["status"].get("phase") in ("Pending", "Running")
        ]

    def ready(self, group: str) -> list[str]:
        """Return the names of the group's pods whose containers are all ready."""
        return [
            pod["metadata"]["name"]
            for pod in self.pods(group)
            if (states := pod["status"].get("containerStatuses"))
            and all(state["ready"] for state in states)
        ]

    def delete_pod(self, name: str, *, grace: int | None = None) -> None:
        """Delete a pod: with force at once, or with its own grace period."""
        force = ("--grace-period=0", "--force") if grace == 0 else ()
        self.kubectl("delete", "pod", name, "--wait=false", *force)

    # --- the RayJob --------------------------------------------------------------------------

    def rayjob(self, name: str) -> dict[str, Any]:
        """Return the status of a RayJob."""
        return (self.get("rayjob", name) or {}).get("status", {})

    def states(self, name: str) -> tuple[str, str, str]:
        """Return job status, deployment status and reason."""
        status = self.rayjob(name)
        return tuple(status.get(key, "") for key in ("jobStatus", "jobDeploymentStatus", "reason"))

    def wait_for_end(self, name: str, *, seconds: float = 600) -> tuple[str, str, str]:
        """Return the final states of a RayJob."""
        return wait_until(
            lambda: found if (found := self.states(name))[1] in ("Complete", "Failed") else None,
            seconds=seconds,
            what=f"RayJob {name} to end (now {self.states(name)})",
        )

    def exec(self, pod: str, *words: str, container: str = "") -> str:
        """Run a command in a pod."""
        chosen = ("-c", container) if container else ()
        return self.kubectl("exec", pod, *chosen, "--", *words)

    # --- Helm --------------------------------------------------------------------------------

    def helm(self, *words: str, values: dict[str, Any] | None = None, check: bool = True) -> str:
        """Run helm in the namespace, with values on its standard input."""
        given = yaml.safe_dump(values) if values is not None else None
        from_input = ("-f", "-") if values is not None else ()
        return run("helm", "-n", self.name, *words, *from_input, given=given, check=check)

    # --- the end -----------------------------------------------------------------------------

    def save(self, test: str, failure: str) -> None:
        """Keep what a person needs to understand a failure, and print the short of it."""
        folder = self.artifacts / test
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "failure.txt").write_text(failure)
        for kind in ("rayjobs", "rayclusters", "pods", "jobs", "events"):
            text = self.look("get", kind, "-o", "yaml")
            (folder / f"{kind}.yaml").write_text(text)
        events = self.look("get", "events", "--sort-by=.lastTimestamp")
        (folder / "events.txt").write_text(events)
        print(self.look("get", "rayjobs,rayclusters,jobs,pods"))
        print("\n".join(events.splitlines()[-EVENTS_PRINTED:]))
        for pod in self.get("pods") or []:
            name = pod["metadata"]["name"]
            log = self.look("logs", name, "--all-containers", "--tail=2000")
            (folder / f"{name}.log").write_text(log)

    def delete(self) -> None:
        """Remove the namespace and what is in it; nobody waits for the end of a run."""
        self.kubectl("delete", "rayjobs", "--all", "--wait=false", check=False)

        def gone() -> bool:
            self.kubectl("delete", "pods", "--all", "--grace-period=0", "--force", check=False)
            return not self.get("rayclusters")

        wait_until(gone, seconds=150, what="clusters to go")
        run("kubectl", "delete", "namespace", self.name, "--wait=true", "--timeout=180s")
