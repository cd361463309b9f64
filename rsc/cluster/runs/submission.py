"""Making the objects of one run: everything that can be refused is refused first.

The order matters: what the pods refer to is checked, the RayJob is checked by the API
server without being made, shared objects are applied, and only then the run's own
objects appear. They belong to the RayJob: deleting it removes them. The Jobs that came
before it do not, and end by their own TTL.
"""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rsc.cluster.api.client import Cluster
from rsc.cluster.api.errors import ForbiddenError
from rsc.cluster.diagnosis.diagnose import diagnose_job
from rsc.cluster.manifest.rayjob import is_of_one_run, pod_templates, rayjob_of
from rsc.cluster.observed import (
    COMPONENT_LABEL,
    Json,
    condition,
    labels_of,
    last_words,
    name_of,
    status_of,
)
from rsc.cluster.runs.observe import observe_job
from rsc.cluster.runs.waiting import wait_for
from rsc.errors import RscError, UserError

_TOKEN_KEY = "auth_token"  # noqa: S105 (the name of a key)
_HOOK = "helm.sh/hook"
_HOOK_SECONDS = 600.0


def submit(
    cluster: Cluster, objects: Sequence[dict[str, Any]], say: Callable[[str], None]
) -> dict[str, Any]:
    """Make all objects of a run and return its RayJob.

    Raises
    ------
    UserError
        Something the pods need is missing, the run exists already, the API server
        refuses an object, or a Job that must come first failed.
    """
    check(cluster, objects)
    for item in objects:
        if not is_of_one_run(item):
            _share(cluster, item)
    _make_token(cluster, rayjob_of(objects))
    own = [item for item in objects if is_of_one_run(item)]
    maps = [item for item in own if item["kind"] == "ConfigMap"]
    first = [*maps, *sorted(filter(_comes_first, own), key=_weight)]
    made: list[dict[str, Any]] = []
    try:
        for item in first:
            made.append(cluster.create(item))
            if item["kind"] == "Job":
                _await_job(cluster, made[-1], say)
        rayjob = cluster.create(rayjob_of(objects))
        made.append(rayjob)
        for item in own:
            if item["kind"] == "ConfigMap":
                cluster.apply(_owned(item, rayjob))
            elif item["kind"] == "Job" and item not in first:
                cluster.create(_with_owner(item, rayjob))
    except BaseException:
        for item in reversed(made):
            cluster.delete(item["kind"], name_of(item))
        raise
    return rayjob


def check(cluster: Cluster, objects: Sequence[dict[str, Any]]) -> None:
    """Refuse what would only fail later, inside a pod.

    Raises
    ------
    UserError
        The namespace, a Secret or a ConfigMap is missing, the RayJob exists already, or
        the API server refuses it.
    """
    if not cluster.namespace_exists():
        message = f"namespace {cluster.namespace} was not found, must exist"
        raise UserError(message, f"Create it: kubectl create namespace {cluster.namespace}")
    _check_new(cluster, objects)
    cluster.check(rayjob_of(objects))
    given = {(item["kind"], name_of(item)) for item in objects}
    given.add(("Secret", str(_token_secret(rayjob_of(objects)))))
    for kind, name, user in references(objects):
        if (kind, name) not in given and not _exists(cluster, kind, name):
            message = f"{kind} {name} was not found in namespace {cluster.namespace}, must exist"
            raise UserError(message, f"{user} needs it: kubectl create {kind.lower()} --help")


def _check_new(cluster: Cluster, objects: Sequence[dict[str, Any]]) -> None:
    """Refuse the name of a RayJob that is there: one that has ended never starts again."""
    name = name_of(rayjob_of(objects))
    try:
        if cluster.get("RayJob", name, metadata_only=True) is None:
            return
    except ForbiddenError:
        return
    # The Jobs that came before it are not its own: they outlive it for a while.
    own = [f"{item['kind'].lower()}/{name_of(item)}" for item in objects if is_of_one_run(item)]
    hint = (
        "Give another --name: the run goes on under its --run-id. Or first: "
        f"kubectl delete --namespace {cluster.namespace} --ignore-not-found {' '.join(own)}"
    )
    raise UserError(f"RayJob {name} exists already", hint)


def _exists(cluster: Cluster, kind: str, name: str) -> bool:
    """Return whether an object is there; True when this user may not ask."""
    try:
        return cluster.get(kind, name, metadata_only=True) is not None
    except ForbiddenError:
        return True


def references(objects: Sequence[Json]) -> list[tuple[str, str, str]]:
    """Return (kind, name, who) of each Secret and ConfigMap that pods cannot start without."""
    found: dict[tuple[str, str], str] = {}
    for item in objects:
        if item["kind"] not in {"RayJob", "Job"}:
            continue
        for template in pod_templates(item):
            for kind, name in _references(template["spec"]):
                found.setdefault((kind, name), f"{item['kind']} {name_of(item)}")
    return [(kind, name, user) for (kind, name), user in found.items()]


def _references(node: Any) -> Iterator[tuple[str, str]]:
    if isinstance(node, dict):
        for key, value in node.items():
            if isinstance(value, Mapping) and not value.get("optional"):
                if key in {"secretKeyRef", "secretRef"} and value.get("name"):
                    yield "Secret", str(value["name"])
                elif key == "secret" and (value.get("secretName") or value.get("name")):
                    yield "Secret", str(value.get("secretName") or value["name"])
                elif key in {"configMap", "configMapRef", "configMapKeyRef"} and value.get("name"):
                    yield "ConfigMap", str(value["name"])
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def _share(cluster: Cluster, item: dict[str, Any]) -> None:
    """Apply an object that runs share, unless somebody else keeps it or it is a secret.

    A release of the chart in the same namespace owns its objects; a Secret that is there
    may be in use; and a user who may not even look at such objects relies on the release.
    """
    try:
        there = cluster.find(item)
    except ForbiddenError:
        return
    annotations = (there or {}).get("metadata", {}).get("annotations") or {}
    if there and (item["kind"] == "Secret" or "meta.helm.sh/release-name" in annotations):
        return
    cluster.apply(item)


def _make_token(cluster: Cluster, rayjob: Json) -> None:
    """Make the Secret with Ray's token where the manifest names one that is not there."""
    name = _token_secret(rayjob)
    if name is None or _exists(cluster, "Secret", name):
        return
    token = base64.b64encode(secrets.token_urlsafe(32).encode()).decode()
    labels = {"app.kubernetes.io/managed-by": "rsc"}
    cluster.create(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": cluster.namespace, "labels": labels},
            "data": {_TOKEN_KEY: token},
        }
    )


def _token_secret(rayjob: Json) -> str | None:
    options = rayjob["spec"]["rayClusterSpec"].get("authOptions") or {}
    name = options.get("secretName")
    return str(name) if name and options.get("mode") == "token" else None


def _comes_first(item: Json) -> bool:
    """Return whether the chart has a Job end before the RayJob begins."""
    annotations = item["metadata"].get("annotations") or {}
    return item["kind"] == "Job" and "pre-install" in annotations.get(_HOOK, "")


def _weight(item: Json) -> int:
    """Return the place of a Job among those that come first, as Helm counts."""
    annotations = item["metadata"].get("annotations") or {}
    return int(annotations.get(f"{_HOOK}-weight", 0))


def _await_job(cluster: Cluster, job: Json, say: Callable[[str], None]) -> None:
    """Return when a Job has succeeded; say meanwhile, once each, what holds it up."""
    name, word = name_of(job), labels_of(job).get(COMPONENT_LABEL, "Job")
    say(f"waiting for {word} ({name})")
    told: list[str] = []

    def succeeded() -> bool | None:
        found = cluster.get("Job", name) or job
        if status_of(found).get("succeeded"):
            return True
        if condition(found, "Failed").get("status") == "True":
            said = _said(cluster, name)
            message = f"the {word} Job {name} did not succeed" + (f": {said}" if said else "")
            raise UserError(message, "No RayJob was made.")
        for what in _held_up_by(cluster, found):
            if what not in told:
                say(what)
                told.append(what)
        return None

    if not wait_for(succeeded, time.monotonic() + _HOOK_SECONDS):
        message = f"the {word} Job {name} did not end within {_HOOK_SECONDS:.0f} s"
        raise UserError("; ".join([message, *told]), "No RayJob was made.")


def _held_up_by(cluster: Cluster, job: Json) -> list[str]:
    """Return what keeps a Job from its end; nothing where this user may not look."""
    try:
        return [blocker.what for blocker in diagnose_job(observe_job(cluster, job))]
    except ForbiddenError:
        return []


def _said(cluster: Cluster, job: str) -> str:
    """Return the last words that a Job's newest pod wrote."""
    pods = sorted(
        cluster.find_all("Pod", f"job-name={job}"),
        key=lambda pod: pod["metadata"]["creationTimestamp"],
    )
    for pod in reversed(pods):
        try:
            container = pod["spec"]["containers"][0]["name"]
            said = last_words("\n".join(cluster.log(name_of(pod), container, tail=20)))
        except RscError:
            continue
        if said:
            return said
    return ""


def _owned(item: dict[str, Any], rayjob: Json) -> dict[str, Any]:
    """Return the least that must be applied to make an object the RayJob's own."""
    metadata = {"name": name_of(item), "namespace": item["metadata"]["namespace"]}
    short = {"apiVersion": item["apiVersion"], "kind": item["kind"], "metadata": metadata}
    return _with_owner(short, rayjob)


def _with_owner(item: dict[str, Any], rayjob: Json) -> dict[str, Any]:
    owner = {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "name": name_of(rayjob),
        "uid": rayjob["metadata"]["uid"],
    }
    return {**item, "metadata": {**item["metadata"], "ownerReferences": [owner]}}
