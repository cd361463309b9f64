"""The one door to Kubernetes: objects as plain mappings, failures as sentences.

Everything is read and written as the JSON of the API itself, because manifests, blockers
and tests are plain mappings too. Nothing is retried for long: a person waits. The
library is imported when a connection is made, not when this module is.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsc.cluster.api.errors import ForbiddenError, explain_failure, is_absence, unreachable
from rsc.errors import TemporaryError, UserError

# Seconds to connect, and to wait for an answer.
_TIMEOUT = (5, 30)
_PAGE = 500
_FIELD_MANAGER = "rsc"
_IN_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_PLURALS = {
    "ConfigMap": "configmaps",
    "CronJob": "cronjobs",
    "Event": "events",
    "Job": "jobs",
    "NetworkPolicy": "networkpolicies",
    "Pod": "pods",
    "PodDisruptionBudget": "poddisruptionbudgets",
    "PodMonitor": "podmonitors",
    "PrometheusRule": "prometheusrules",
    "RayCluster": "rayclusters",
    "RayJob": "rayjobs",
    "Role": "roles",
    "RoleBinding": "rolebindings",
    "Secret": "secrets",
    "Service": "services",
    "ServiceAccount": "serviceaccounts",
}
_VERSIONS = {
    "ConfigMap": "v1",
    "Event": "v1",
    "Job": "batch/v1",
    "Pod": "v1",
    "RayCluster": "ray.io/v1",
    "RayJob": "ray.io/v1",
    "Secret": "v1",
}
_METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Executed:
    """What a command in a pod did."""

    code: int
    """Its exit code."""
    out: str
    err: str
    """What it wrote."""


class Cluster:
    """One namespace of one cluster.

    Attributes
    ----------
    namespace : str
        Where everything is read and written.
    server : str
        Address of the API server.
    """

    def __init__(self, api: Any, namespace: str) -> None:
        self._api = api
        self.namespace = namespace
        self.server = str(api.configuration.host)

    def get(self, kind: str, name: str, *, metadata_only: bool = False) -> dict[str, Any] | None:
        """Return an object, or None when there is none of that name.

        With `metadata_only` the contents, e.g. of a Secret, are never sent.
        """
        accept = _METADATA_ONLY if metadata_only else "application/json"
        path = f"{self._path(_VERSIONS[kind], kind)}/{name}"
        try:
            return self._call("GET", path, accept=accept)
        except _NotFoundError:
            return None

    def find_all(self, kind: str, selector: str = "") -> tuple[dict[str, Any], ...]:
        """Return the objects of a kind, those that a label selector matches."""
        found: list[dict[str, Any]] = []
        query = {"limit": str(_PAGE), "labelSelector": selector}
        while True:
            page = self._call("GET", self._path(_VERSIONS[kind], kind), query=query)
            found += page.get("items") or []
            following = page.get("metadata", {}).get("continue")
            if not following:
                return tuple(found)
            query["continue"] = following

    def nodes(self) -> tuple[dict[str, Any], ...]:
        """Return all nodes; none when this user may not list them."""
        try:
            return tuple(self._call("GET", "/api/v1/nodes").get("items") or [])
        except ForbiddenError:
            return ()

    def find(self, item: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the metadata of the object that has the kind and name of `item`, if any."""
        path = f"{self._path(item['apiVersion'], item['kind'])}/{item['metadata']['name']}"
        try:
            return self._call("GET", path, accept=_METADATA_ONLY)
        except _NotFoundError:
            return None

    def namespace_exists(self) -> bool:
        """Return whether the namespace is there; True when this user may not ask."""
        try:
            self._call("GET", f"/api/v1/namespaces/{self.namespace}")
        except _NotFoundError:
            return False
        except ForbiddenError:
            return True
        return True

    def create(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """Make an object; refuses when it exists."""
        path = self._path(item["apiVersion"], item["kind"])
        return self._call("POST", path, body=item, query={"fieldManager": _FIELD_MANAGER})

    def apply(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """Make an object, or change it to be as given (server-side apply)."""
        path = f"{self._path(item['apiVersion'], item['kind'])}/{item['metadata']['name']}"
        query = {"fieldManager": _FIELD_MANAGER, "force": "true"}
        content = "application/apply-patch+yaml"
        return self._call("PATCH", path, body=item, query=query, content=content)

    def check(self, item: Mapping[str, Any]) -> None:
        """Have the API server check an object without creating it."""
        path = self._path(item["apiVersion"], item["kind"])
        query = {"dryRun": "All", "fieldValidation": "Strict"}
        self._call("POST", path, body=item, query=query)

    def delete(self, kind: str, name: str) -> None:
        """Delete an object and what it owns; nothing happens when it is gone already."""
        path = f"{self._path(_VERSIONS[kind], kind)}/{name}"
        try:
            self._call("DELETE", path, query={"propagationPolicy": "Background"})
        except _NotFoundError:
            return

    def log(
        self, pod: str, container: str, *, tail: int | None = None, follow: bool = False
    ) -> Iterator[str]:
        """Yield the lines of a container's log; with `follow` until it ends."""
        query = {"container": container, "follow": "true" if follow else "false"}
        if tail is not None:
            query["tailLines"] = str(tail)
        path = f"{self._path('v1', 'Pod')}/{pod}/log"
        timeout = (_TIMEOUT[0], None) if follow else _TIMEOUT
        with self._sentences("get", "pods/log"):
            response = self._raw("GET", path, query=query, accept="*/*", timeout=timeout)
            try:
                yield from _lines(response)
            finally:
                response.close()

    def execute(
        self, pod: str, container: str, command: Sequence[str], *, seconds: float
    ) -> Executed:
        """Run a command in a container and wait for its end.

        Raises
        ------
        TemporaryError
            It did not end in time.
        """
        from kubernetes.client import CoreV1Api
        from kubernetes.stream import stream

        with self._sentences("create", "pods/exec"):
            socket = stream(
                CoreV1Api(self._api).connect_get_namespaced_pod_exec,
                pod,
                self.namespace,
                container=container,
                command=list(command),
                stdout=True,
                stderr=True,
                _preload_content=False,
            )
            socket.run_forever(timeout=seconds)
            if socket.is_open():
                socket.close()
                words = " ".join(command)
                raise TemporaryError(f"{words!r} in pod {pod} did not end within {seconds:.0f} s")
            code = int(socket.returncode or 0)
            return Executed(code=code, out=socket.read_stdout(), err=socket.read_stderr())

    def _path(self, version: str, kind: str) -> str:
        if kind not in _PLURALS:
            message = f"the manifest had an object of kind {kind}, must be one of the chart's"
            raise UserError(message, f"Known: {', '.join(_PLURALS)}")
        prefix = f"/apis/{version}" if "/" in version else f"/api/{version}"
        return f"{prefix}/namespaces/{self.namespace}/{_PLURALS[kind]}"

    def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        accept: str = "application/json",
        content: str = "application/json",
    ) -> dict[str, Any]:
        verb = {"GET": "get", "POST": "create", "PATCH": "patch", "DELETE": "delete"}[method]
        with self._sentences(verb, path):
            response = self._raw(
                method, path, query=query, body=body, accept=accept, content=content
            )
            return dict(json.loads(response.data or b"{}"))

    def _raw(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        accept: str = "application/json",
        content: str = "application/json",
        timeout: tuple[int, int | None] = _TIMEOUT,
    ) -> Any:
        headers = {"Accept": accept}
        if body is not None:
            headers["Content-Type"] = content
        return self._api.call_api(
            path,
            method,
            query_params=[(key, value) for key, value in (query or {}).items() if value],
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
            _preload_content=False,
            _request_timeout=timeout,
        )

    @contextmanager
    def _sentences(self, verb: str, what: str) -> Iterator[None]:
        """Turn what the library raises into our errors."""
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        try:
            yield
        except ApiException as error:
            status, body = int(error.status or 0), _text(error.body)
            if status == 404 and verb in {"get", "delete"} and is_absence(body):
                raise _NotFoundError(f"{what} was not found") from error
            reason = str(error.reason or "")
            raise explain_failure(status, body, reason=reason, what=what, where=self) from error
        except (HTTPError, OSError) as error:
            raise unreachable(self.server, str(error)) from error


class _NotFoundError(UserError):
    """An object that was asked for by name is not there."""


def connect(namespace: str | None = None, context: str | None = None) -> Cluster:
    """Return the cluster that the kubeconfig names, or the one this pod runs in.

    Parameters
    ----------
    namespace : str, optional
        By default the context's, else ``default``.
    context : str, optional
        By default the current one.

    Raises
    ------
    UserError
        There is no kubeconfig, it is broken, or has no such context.
    """
    from kubernetes.client import ApiClient, Configuration

    configuration = Configuration()
    own = _load(configuration, context)
    configuration.retries = 1
    # It warns of every attempt; the error that comes of them is told once.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    return Cluster(ApiClient(configuration), namespace or own or "default")


def _load(configuration: Any, context: str | None) -> str:
    """Fill in `configuration`; return the namespace of the context."""
    from kubernetes.config import (
        ConfigException,
        list_kube_config_contexts,
        load_incluster_config,
        load_kube_config,
    )

    file = os.environ.get("KUBECONFIG") or str(Path("~/.kube/config").expanduser())
    if not any(Path(part).exists() for part in file.split(os.pathsep)):
        if "KUBERNETES_SERVICE_HOST" in os.environ and _IN_POD.exists():
            load_incluster_config(client_configuration=configuration)
            return _IN_POD.read_text(encoding="utf-8").strip()
        message = f"kubeconfig {file} was not found, must exist to reach a cluster"
        raise UserError(message, "Set KUBECONFIG to the file that your kubectl uses.")
    try:
        contexts, active = list_kube_config_contexts(file)
        chosen = _context(context, contexts, active, file)
        load_kube_config(file, chosen["name"], configuration, persist_config=False)
    except ConfigException as error:
        what = " ".join(str(error).split())
        message = f"kubeconfig {file} was not usable ({what}), must name a cluster and a user"
        raise UserError(message, "kubectl config view shows what is in it.") from error
    return str(chosen["context"].get("namespace") or "")


def _context(
    wanted: str | None, contexts: Sequence[Mapping[str, Any]], active: Any, file: str
) -> Mapping[str, Any]:
    from rsc.config.validation_errors import did_you_mean

    if wanted is None:
        return dict(active)
    names = [str(item["name"]) for item in contexts]
    if wanted not in names:
        message = f"--context was {wanted!r}, must be one of {file}{did_you_mean(wanted, names)}"
        raise UserError(message, f"Contexts: {', '.join(names)}")
    return contexts[names.index(wanted)]


def _lines(response: Any) -> Iterator[str]:
    rest = b""
    for chunk in response.stream(8192):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (line.decode("utf-8", "replace") for line in lines)
    if rest:
        yield rest.decode("utf-8", "replace")


def _text(body: object) -> str:
    if isinstance(body, bytes):
        return body.decode("utf-8", "replace")
    return str(body or "")
