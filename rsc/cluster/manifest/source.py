"""Reading the manifest that runs are made of, and refusing one that cannot be filled in.

`manifest.yaml` beside it is what ``helm template`` prints for the smallest real training;
a user may give another one of the same chart. What differs from run to run is filled in
by `rayjob.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any

import yaml

from rsc.cluster.manifest.rayjob import is_left_out, is_of_one_run, pod_templates, rayjob_of
from rsc.cluster.observed import name_of
from rsc.errors import UserError

_HINT = "It is what helm template prints for helm/rsc-train."
# Where driver and preflight read the run's YAML.
_RUN_FOLDER = "/etc/rsc"


def shipped_manifest() -> str:
    """Return the manifest that comes with the program, as the chart renders it."""
    file = resources.files("rsc.cluster.manifest").joinpath("manifest.yaml")
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        message = "the manifest that ships with the program was not found, must be installed"
        raise UserError(message, "Give one that helm template printed: --manifest FILE") from error


def read_manifest(text: str, where: str) -> tuple[dict[str, Any], ...]:
    """Return the objects of a manifest.

    Raises
    ------
    UserError
        It is no YAML of Kubernetes objects, has not exactly one RayJob, or holds no
        ConfigMap with the YAML of its pods: they would train another run.
    """
    try:
        documents = [item for item in yaml.safe_load_all(text) if item is not None]
    except yaml.YAMLError as error:
        what = " ".join(str(error).split())
        message = f"{where} was no YAML ({what}), must be a manifest"
        raise UserError(message, _HINT) from error
    for item in documents:
        if not isinstance(item, dict) or not item.get("kind") or not name_of(item):
            message = f"{where} had a document without kind and name, must hold Kubernetes objects"
            raise UserError(message, _HINT)
    count = sum(item["kind"] == "RayJob" for item in documents)
    if count != 1:
        raise UserError(f"{where} had {count} RayJobs, must have exactly one", _HINT)
    _check_run_file(documents, where)
    return tuple(documents)


def _check_run_file(documents: list[dict[str, Any]], where: str) -> None:
    """Refuse pods that would read a run file which nobody fills in."""
    kept = {item["metadata"]["name"] for item in documents if _is_run_file(item)}
    driver = next(pod_templates(rayjob_of(documents)))
    jobs = [item for item in documents if item["kind"] == "Job" and not is_left_out(item)]
    found = [*_run_files(driver)] or [""]
    found += [name for job in jobs for pod in pod_templates(job) for name in _run_files(pod)]
    for name in found:
        if name not in kept:
            what = f"ConfigMap {name}, which it does not hold" if name else "no ConfigMap"
            message = (
                f"{where} mounted {what} at {_RUN_FOLDER}, must hold the one with train.yaml: "
                "its pods would train another run than the file's"
            )
            hint = "Render it with --set-file train.file=FILE instead of train.existingConfigMap."
            raise UserError(message, hint)


def _is_run_file(item: Mapping[str, Any]) -> bool:
    return item["kind"] == "ConfigMap" and is_of_one_run(item)


def _run_files(template: Mapping[str, Any]) -> Iterator[str]:
    """Yield the ConfigMaps that a pod mounts where it reads its YAML; empty: something else."""
    spec = template["spec"]
    mounts = [mount for one in spec["containers"] for mount in one.get("volumeMounts") or []]
    names = {mount["name"] for mount in mounts if mount["mountPath"].rstrip("/") == _RUN_FOLDER}
    for volume in spec.get("volumes") or []:
        if volume["name"] in names:
            yield str((volume.get("configMap") or {}).get("name") or "")
