"""Helm and its friends for the chart's tests: render, evaluate, and read what came out."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
CHART = REPOSITORY / "helm/rsc-train"
SHAPES = sorted(path.name.removesuffix("-values.yaml") for path in (CHART / "ci").iterdir())
# "jobs" is a release that only verifies and resets.
TRAINING_SHAPES = [shape for shape in SHAPES if shape != "jobs"]
# The least that a release needs.
LEAST = {
    "image": {"tag": "dev"},
    "train": {"config": {"name": "a", "data": {"synthetic": {"kind": "trend"}}}},
    "storage": {"uri": "s3://bucket/runs"},
    "database": {"existingSecret": "rsc-database"},
}


def tool(name: str) -> str:
    """Return the path of a program; a missing one is a skip, and a failure under CI."""
    path = shutil.which(name)
    if path is not None:
        return path
    reason = f"no {name} on PATH for the chart's tests"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def run(name: str, *words: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program from the repository's folder."""
    return subprocess.run(
        [tool(name), *words],
        input=text,
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        check=False,
    )


def merged(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """Return values with a change laid over them, as Helm does."""
    result = dict(base)
    for key, value in change.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result


def template(
    values: dict[str, Any], *words: str, release: str = "rsc"
) -> subprocess.CompletedProcess[str]:
    """Render the chart with values."""
    command = ("template", release, str(CHART), "--values", "-", *words)
    return run("helm", *command, text=yaml.safe_dump(values))


def render(change: dict[str, Any] | None = None, *words: str, release: str = "rsc") -> Objects:
    """Return the objects of the least values with a change; they must not be changed."""
    return _render(yaml.safe_dump(merged(LEAST, change or {})), words, release)


@functools.cache
def _render(values: str, words: tuple[str, ...], release: str) -> Objects:
    done = template(yaml.safe_load(values), *words, release=release)
    assert done.returncode == 0, done.stderr
    return Objects(done.stdout)


@functools.cache
def render_shape(shape: str) -> Objects:
    """Return the objects of one of the files in ci."""
    file = str(CHART / "ci" / f"{shape}-values.yaml")
    done = run("helm", "template", "rsc", str(CHART), "--values", file)
    assert done.returncode == 0, done.stderr
    return Objects(done.stdout)


class Objects:
    """What was rendered."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.all = [item for item in yaml.safe_load_all(text) if item]

    def of(self, kind: str) -> dict[str, dict[str, Any]]:
        """Return the objects of one kind by name."""
        return {item["metadata"]["name"]: item for item in self.all if item["kind"] == kind}

    def one(self, kind: str) -> dict[str, Any]:
        """Return the only object of a kind."""
        (found,) = self.of(kind).values()
        return found

    def job(self, component: str) -> dict[str, Any]:
        """Return the only Job or CronJob of a component that is no test."""
        found = [
            item
            for item in self.all
            if item["kind"] in {"Job", "CronJob"}
            and item["metadata"]["labels"]["app.kubernetes.io/component"] == component
            and "test" not in hooks(item)
        ]
        assert len(found) == 1, [item["metadata"]["name"] for item in found]
        return found[0]

    @property
    def spec(self) -> dict[str, Any]:
        """The RayJob's spec."""
        return self.one("RayJob")["spec"]

    @property
    def cluster(self) -> dict[str, Any]:
        return self.spec["rayClusterSpec"]

    @property
    def groups(self) -> dict[str, dict[str, Any]]:
        """Head and worker groups by name."""
        workers = {group["groupName"]: group for group in self.cluster["workerGroupSpecs"]}
        return {"head": self.cluster["headGroupSpec"], **workers}

    def pods(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield (name, pod template) of everything that runs."""
        for item in self.all:
            name = f"{item['kind']}/{item['metadata']['name']}"
            if item["kind"] == "Job":
                yield name, item["spec"]["template"]
            elif item["kind"] == "CronJob":
                yield name, item["spec"]["jobTemplate"]["spec"]["template"]
            elif item["kind"] == "RayJob":
                yield from (
                    (f"group {key}", group["template"]) for key, group in self.groups.items()
                )
                if "submitterPodTemplate" in item["spec"]:
                    yield "submitter", item["spec"]["submitterPodTemplate"]

    def containers(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield (name, container) of everything that runs; the autoscaler's options, too."""
        for name, template_ in self.pods():
            spec = template_["spec"]
            for container in [*spec.get("initContainers", []), *spec["containers"]]:
                yield f"{name}: {container['name']}", container
        for item in self.of("RayJob").values():
            cluster = item["spec"]["rayClusterSpec"]
            if cluster["enableInTreeAutoscaling"]:
                yield "autoscaler", cluster["autoscalerOptions"]


def hooks(item: dict[str, Any]) -> str:
    """Return for which events of Helm an object is a hook."""
    return str(item["metadata"].get("annotations", {}).get("helm.sh/hook", ""))


def main(group: dict[str, Any]) -> dict[str, Any]:
    """Return the Ray container of a group, which is the first."""
    return group["template"]["spec"]["containers"][0]


def env(container: dict[str, Any]) -> dict[str, Any]:
    """Return a container's environment: values, or where they come from."""
    return {
        entry["name"]: entry.get("value", entry.get("valueFrom"))
        for entry in container.get("env", [])
    }
