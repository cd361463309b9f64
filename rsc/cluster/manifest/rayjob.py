"""From a run's configuration to the Kubernetes objects that run it.

The objects themselves come from the chart (`manifest.py` reads them), and this module fills
in what differs from run to run. Nothing here talks to a cluster. Objects that belong to one run
(RayJob, its YAML, its Jobs) get the name of the run; objects that runs share (service
accounts, rights, network policies) keep theirs, so that the second run finds them.
"""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from rsc.cluster.observed import COMPONENT_LABEL, RUN_LABEL, name_of
from rsc.cluster.quantities import is_gpu, ray_cpus
from rsc.errors import UserError

# KubeRay adds a suffix of six to RayJob names and limits the result to 53.
MAXIMUM_NAME = 47
TRAIN_KEY = "train.yaml"
# The API server counts the values of a ConfigMap.
MAXIMUM_CONFIG_MAP_BYTES = 1024 * 1024
_CHECKSUM = "checksum/config"
SAMPLER = "rsc_sampler"
# The chart's `gpuNodeLabels`.
GPU_NODE_LABELS = (
    "nvidia.com/gpu.present",
    "cloud.google.com/gke-accelerator",
    "k8s.amazonaws.com/accelerator",
    "amd.com/gpu.device-id",
)
# Of a chart, not of a run: tests, clean-up and what only an administrator starts.
_NOT_OF_A_RUN = {"verify", "reset", "retention"}
_HOOK = "helm.sh/hook"
_CONFIG_MAP_KEYS = {"configMap", "configMapRef", "configMapKeyRef"}
_NAME = re.compile(r"^[a-z]([-a-z0-9]*[a-z0-9])?$")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceChange:
    """One resource of one group's main container."""

    group: str
    """``head`` or a worker group."""
    resource: str
    """``cpu``, ``memory``, ``nvidia.com/gpu``, …."""
    value: str
    """A quantity; ``0`` removes the resource."""
    requests_only: bool = False
    """Whether the limit stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What differs from run to run."""

    name: str
    """Name of the RayJob, at most 47 characters."""
    run_id: str
    """Our identity of the run: what the database and the storage call it."""
    namespace: str
    """Where the objects go."""
    train_yaml: str
    """The effective configuration."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Texts by name of the Python files that the configuration names, to lie beside it."""
    image: str | None = None
    """Image of every pod; None keeps the manifest's."""
    storage: str | None = None
    """URI for checkpoints and reports; None keeps the manifest's."""
    samplers: int | None = None
    """Most pods of each sampler group; None keeps the manifest's."""
    resources: tuple[ResourceChange, ...] = ()
    """Changes to what groups ask for."""


def rayjob_of(documents: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the RayJob of a manifest."""
    return dict(next(item for item in documents if item["kind"] == "RayJob"))


def rayjob_name(base: str, run_id: str) -> str:
    """Return a RayJob name that says what runs and which run it is.

    Raises
    ------
    UserError
        The run id cannot be a part of a name in Kubernetes.
    """
    if not _NAME.match(f"r-{run_id}") or len(run_id) > MAXIMUM_NAME - 2:
        message = (
            f"--run-id was {run_id!r}, must be at most {MAXIMUM_NAME - 2} lower-case letters, "
            "digits and dashes"
        )
        raise UserError(message, "It is a part of the name of the RayJob.")
    plain = re.sub(r"[^a-z0-9]+", "-", base.lower()).strip("-")
    plain = plain if plain[:1].isalpha() else f"run-{plain}".rstrip("-")
    return f"{plain[: MAXIMUM_NAME - 1 - len(run_id)].rstrip('-')}-{run_id}"


def fill_in(
    documents: Iterable[Mapping[str, Any]], submission: Submission
) -> tuple[dict[str, Any], ...]:
    """Return the objects of one run, in the order in which they are to be made.

    Raises
    ------
    UserError
        A group that the submission names is not there, or no ConfigMap can hold its files.
    """
    _check_size(submission)
    wanted = [copy.deepcopy(dict(item)) for item in documents if not is_left_out(item)]
    wanted = _without_hooks(wanted)
    rayjob = rayjob_of(wanted)
    old_image = _containers(rayjob["spec"]["rayClusterSpec"]["headGroupSpec"])[0].get("image")
    renamed: dict[str, str] = {}
    for item in wanted:
        item["metadata"]["namespace"] = submission.namespace
        item["metadata"].setdefault("labels", {})["app.kubernetes.io/managed-by"] = "rsc"
        if is_of_one_run(item):
            new = _new_name(item, submission)
            if item["kind"] == "ConfigMap":
                renamed[name_of(item)] = new
            item["metadata"].pop("generateName", None)
            item["metadata"]["name"] = new
    return tuple(_filled(item, submission, old_image, renamed) for item in _sorted(wanted))


def is_of_one_run(item: Mapping[str, Any]) -> bool:
    """Return whether an object belongs to one run; runs share the others."""
    if item["kind"] == "ConfigMap":
        return TRAIN_KEY in (item.get("data") or {})
    return item["kind"] in {"RayJob", "Job"}


def is_left_out(item: Mapping[str, Any]) -> bool:
    """Return whether an object is the release's and no run's."""
    hook = _annotations(item).get(_HOOK, "")
    return _component(item) in _NOT_OF_A_RUN or "test" in hook or item["kind"] == "Namespace"


def _without_hooks(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out the shared objects that a release has only while its hooks run.

    They are gone when somebody submits a run, who may not be allowed to make accounts.
    The account and the policies of the release's other Jobs are the same, and stay.
    """
    passing = [item for item in items if _HOOK in _annotations(item) and not is_of_one_run(item)]
    stays = [item for item in items if item["kind"] == "ServiceAccount" and item not in passing]
    account = next((name_of(item) for item in stays if _component(item) == "jobs"), None)
    if account is None:
        return items
    gone = {name_of(item) for item in passing if item["kind"] == "ServiceAccount"}
    for job in (item for item in items if item["kind"] == "Job"):
        for template in pod_templates(job):
            if template["spec"].get("serviceAccountName") in gone:
                template["spec"]["serviceAccountName"] = account
    return [item for item in items if item not in passing]


def _annotations(item: Mapping[str, Any]) -> Mapping[str, str]:
    return item["metadata"].get("annotations") or {}


def _component(item: Mapping[str, Any]) -> str | None:
    return (item["metadata"].get("labels") or {}).get(COMPONENT_LABEL)


def _sorted(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Shared objects first, then the YAML, then Jobs, the RayJob last."""
    order = {"ConfigMap": 1, "Job": 2, "RayJob": 3}
    return sorted(items, key=lambda item: order[item["kind"]] if is_of_one_run(item) else 0)


def _new_name(item: Mapping[str, Any], submission: Submission) -> str:
    if item["kind"] == "RayJob":
        return submission.name
    # The YAML may be there twice: for the run, and for the Jobs before it.
    own = name_of(item).rpartition("-")[2]
    suffix = own if item["kind"] == "ConfigMap" else _component(item) or "job"
    return f"{submission.name}-{suffix}"


def _filled(
    item: dict[str, Any],
    submission: Submission,
    old_image: object,
    renamed: Mapping[str, str],
) -> dict[str, Any]:
    for subject in item.get("subjects") or []:
        if subject.get("kind") == "ServiceAccount":
            subject["namespace"] = submission.namespace
    if not is_of_one_run(item):
        return item
    _set_checksum(item, _checksum(submission))
    item["metadata"].setdefault("labels", {})[RUN_LABEL] = submission.run_id
    if item["kind"] == "ConfigMap":
        item["data"] |= {TRAIN_KEY: submission.train_yaml, **submission.files}
        return item
    _rename_config_maps(item, renamed)
    if item["kind"] == "RayJob":
        item["spec"].setdefault("metadata", {})["rsc_run_id"] = submission.run_id
        _size(item["spec"]["rayClusterSpec"], submission)
    for template in pod_templates(item):
        template.setdefault("metadata", {}).setdefault("labels", {})[RUN_LABEL] = submission.run_id
        for container in _all_containers(template):
            _set_container(container, submission, old_image)
    options = item["spec"].get("rayClusterSpec", {}).get("autoscalerOptions") or {}
    if submission.image and options.get("image") == old_image is not None:
        options["image"] = submission.image
    return item


def _check_size(submission: Submission) -> None:
    texts = [submission.train_yaml, *submission.files.values()]
    size = sum(len(text.encode()) for text in texts)
    if size > MAXIMUM_CONFIG_MAP_BYTES:
        names = ", ".join(["the run file", *submission.files])
        message = (
            f"{names} had {size} bytes, must be at most {MAXIMUM_CONFIG_MAP_BYTES}, "
            "which is all that a ConfigMap holds"
        )
        raise UserError(message, "Put larger code into the image, as an installed package.")


def _checksum(submission: Submission) -> str:
    """Return the SHA-256 of the YAML, and of the files where there are any."""
    files = [f"{name}\n{text}" for name, text in sorted(submission.files.items())]
    return hashlib.sha256("".join([submission.train_yaml, *files]).encode()).hexdigest()


def _set_checksum(node: Any, digest: str) -> None:
    """Put the digest of the YAML wherever the chart has put one."""
    if isinstance(node, dict):
        if _CHECKSUM in node:
            node[_CHECKSUM] = digest
        for value in node.values():
            _set_checksum(value, digest)
    elif isinstance(node, list):
        for value in node:
            _set_checksum(value, digest)


def _rename_config_maps(node: Any, renamed: Mapping[str, str]) -> None:
    if isinstance(node, dict):
        for key, value in node.items():
            if key in _CONFIG_MAP_KEYS and isinstance(value, dict) and value.get("name") in renamed:
                value["name"] = renamed[value["name"]]
            _rename_config_maps(value, renamed)
    elif isinstance(node, list):
        for value in node:
            _rename_config_maps(value, renamed)


def pod_templates(item: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every pod template of a RayJob or a Job."""
    spec = item["spec"]
    if item["kind"] == "Job":
        yield spec["template"]
        return
    cluster = spec["rayClusterSpec"]
    yield cluster["headGroupSpec"]["template"]
    for group in cluster.get("workerGroupSpecs") or []:
        yield group["template"]
    if spec.get("submitterPodTemplate"):
        yield spec["submitterPodTemplate"]


def _containers(group: Mapping[str, Any]) -> list[dict[str, Any]]:
    return list(group["template"]["spec"]["containers"])


def _all_containers(template: Mapping[str, Any]) -> list[dict[str, Any]]:
    spec = template["spec"]
    return [*(spec.get("initContainers") or []), *spec["containers"]]


def _set_container(container: dict[str, Any], submission: Submission, old_image: object) -> None:
    if submission.image and container.get("image") == old_image:
        container["image"] = submission.image
    values = {"RSC_RUN_ID": submission.run_id}
    if submission.storage:
        values["RSC_STORAGE_URI"] = submission.storage
    if submission.image:
        # A tag may be another image tomorrow: only a digest says what ran.
        values["RSC_IMAGE_DIGEST"] = submission.image.partition("@")[2]
    for entry in container.get("env") or []:
        if entry.get("name") in values and "valueFrom" not in entry:
            entry["value"] = values[entry["name"]]


def _size(cluster: dict[str, Any], submission: Submission) -> None:
    groups = {group["groupName"]: group for group in cluster.get("workerGroupSpecs") or []}
    groups["head"] = cluster["headGroupSpec"]
    for change in submission.resources:
        if change.group not in groups:
            message = f"--resource named the group {change.group!r}, must be one of the manifest"
            raise UserError(message, f"Its groups: {', '.join(groups)}")
        _change(groups[change.group], change)
        if is_gpu(change.resource) and change.value != "0":
            _keep_gpu_nodes_for(change, groups)
    if submission.samplers is None:
        return
    for group in cluster.get("workerGroupSpecs") or []:
        if SAMPLER in (group.get("resources") or {}):
            group["maxReplicas"] = submission.samplers
            for key in ("minReplicas", "replicas"):
                group[key] = min(int(group.get(key) or 0), submission.samplers)


def _change(group: dict[str, Any], change: ResourceChange) -> None:
    resources_ = _containers(group)[0].setdefault("resources", {})
    for part in ("requests",) if change.requests_only else ("requests", "limits"):
        values = resources_.setdefault(part, {})
        if change.value == "0":
            values.pop(change.resource, None)
        else:
            values[change.resource] = change.value
    offered = group.get("resources") or {}
    if change.resource == "cpu" and not change.requests_only and SAMPLER in offered:
        # One env runner for each CPU that Ray sees: the two must stay equal.
        offered[SAMPLER] = str(ray_cpus(change.value, f"--resource {change.group}.cpu"))


def _keep_gpu_nodes_for(change: ResourceChange, groups: Mapping[str, dict[str, Any]]) -> None:
    """Let a group onto GPU nodes and keep those that ask for no GPU away, as the chart does."""
    spec = groups[change.group]["template"]["spec"]
    taint = {"key": change.resource, "operator": "Exists", "effect": "NoSchedule"}
    if taint not in spec.setdefault("tolerations", []):
        spec["tolerations"].append(taint)
    absent = [{"key": label, "operator": "DoesNotExist"} for label in GPU_NODE_LABELS]
    away = {"nodeSelectorTerms": [{"matchExpressions": absent}]}
    for name, group in groups.items():
        limits = _containers(group)[0].get("resources", {}).get("limits") or {}
        if name != change.group and not any(map(is_gpu, limits)):
            affinity = {
                "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": dict(away)}
            }
            group["template"]["spec"].setdefault("affinity", affinity)


def parse_resource(text: str) -> ResourceChange:
    """Return what ``--resource learner.cpu=2`` means.

    Parameters
    ----------
    text : str
        ``GROUP.RESOURCE=QUANTITY`` or ``GROUP.requests.RESOURCE=QUANTITY``.

    Raises
    ------
    UserError
        It has another form.
    """
    key, equals, value = text.partition("=")
    group, dot, resource = key.partition(".")
    if not (equals and dot and group and resource and value):
        message = f"--resource was {text!r}, must be GROUP.RESOURCE=QUANTITY"
        raise UserError(message, "For example learner.nvidia.com/gpu=1 or sampler.memory=4Gi.")
    only = resource.startswith("requests.")
    if value != "0":
        ray_cpus(value, f"--resource {key}")
    return ResourceChange(
        group=group,
        resource=resource.removeprefix("requests."),
        value=value,
        requests_only=only,
    )
