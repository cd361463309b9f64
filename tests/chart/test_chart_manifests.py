"""What is generated from the chart is what the chart says now."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml
from chart_tools import REPOSITORY, Objects, hooks, run, tool

GENERATED = (
    "k8s/base/rayjob.yaml",
    "k8s/preflight.yaml",
    "k8s/verify.yaml",
    "rsc/cluster/manifest/manifest.yaml",
    "helm/rsc-train/README.md",
    "helm/rsc-train/values.schema.json",
)
SAID_BY_THEIR_NAMES = (
    *("pullPolicy", "Key", "nodeSelector", "tolerations", "affinity", "priorityClassName"),
    *("podAnnotations", "memory", "cpus", "cpuRequest", "objectStoreMiB", "runAsGroup"),
    *("Replicas", "runtimeClassName", "run", "schedule", "interval", "namespace", "olderThan"),
    *("head", "learner", "sampler", "submitter", "jobs"),
)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder that `make manifests` has just written to."""
    folder = tmp_path_factory.mktemp("manifests")
    tool("helm-docs")
    done = run(
        "make", "--silent", "manifests", f"OUT={folder}", f"BIN={Path(sys.executable).parent}"
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def rayjob() -> Objects:
    return Objects((REPOSITORY / "k8s/rayjob.yaml").read_text())


@pytest.mark.parametrize("file", GENERATED)
def test_generated_files_are_up_to_date(made, file):
    assert (made / file).read_text() == (REPOSITORY / file).read_text(), "run make manifests"


def test_every_value_is_described_where_the_name_does_not_say_it():
    lines = (REPOSITORY / "helm/rsc-train/README.md").read_text().splitlines()
    rows = [line for line in lines if line.startswith("|") and line.endswith("|  |")]
    silent = [row.split("|")[1].strip() for row in rows]
    unsaid = [key for key in silent if not key.endswith(SAID_BY_THEIR_NAMES)]
    assert [key for key in unsaid if "odLabels." not in key] == []


def test_the_manifest_needs_no_helm(rayjob):
    assert not any(hooks(item) for item in rayjob.all)
    assert rayjob.of("Secret") == {}, "a token in a file would be everybody's"


def test_the_manifest_migrates_and_then_trains(rayjob):
    kinds = [item["kind"] for item in rayjob.all]
    assert kinds.index("ConfigMap") < kinds.index("Job") < kinds.index("RayJob")
    assert rayjob.job("migrate")["metadata"]["name"] == "rsc-train-migrate-r1"


def test_the_secrets_that_the_manifest_names_have_an_example(rayjob):
    example = Objects((REPOSITORY / "k8s/secrets.example.yaml").read_text())
    keys = {name: set(item["stringData"]) for name, item in example.of("Secret").items()}
    needed = [rayjob.cluster["authOptions"]["secretName"]]
    for _, container in rayjob.containers():
        for entry in container.get("env", []):
            reference = entry.get("valueFrom", {}).get("secretKeyRef")
            if reference and not reference.get("optional"):
                assert reference["key"] in keys[reference["name"]]
                needed.append(reference["name"])
    assert set(needed) == set(keys)


def test_another_run_is_another_name(rayjob):
    """As the head of the file says: one sed, and nothing of the first run is touched."""
    text = (REPOSITORY / "k8s/rayjob.yaml").read_text().replace("rsc-train-r1", "rsc-train-r2")
    second = Objects(text)
    assert "rsc-train-r2" in second.of("RayJob")
    assert set(second.of("ConfigMap")).isdisjoint(rayjob.of("ConfigMap"))


@pytest.mark.parametrize("overlay", ["base", "overlays/gpu", "overlays/namespace"])
def test_kustomize_takes_the_same_objects(overlay, rayjob):
    done = run("kubectl", "kustomize", f"k8s/{overlay}")
    assert done.returncode == 0, done.stderr
    made = Objects(done.stdout)
    extra = {"Namespace": 1} if overlay == "overlays/namespace" else {}
    assert len(made.all) == len(rayjob.all) + len(extra)
    images = {c["image"] for name, c in made.containers() if name != "autoscaler"}
    assert images == {"registry.example/rsc:0.1.0" if extra else "localhost/rsc:dev"}


def test_the_gpu_overlay_places_as_the_chart_does_and_the_run_asks_for_the_gpu(rayjob, tmp_path):
    from rsc.cluster.manifest.capacity import make_plan
    from rsc.config.load import load_run_config

    made = Objects(run("kubectl", "kustomize", "k8s/overlays/gpu").stdout)
    words = ("helm", "template", "rsc-train", "helm/rsc-train", "--values")
    values = ("helm/rsc-train/ci/rayjob-values.yaml", "--set", "learner.gpus=1")
    chart = Objects(run(*words, *values).stdout)
    assert made.groups == chart.groups
    for config in made.of("ConfigMap").values():
        (tmp_path / "train.yaml").write_text(config["data"]["train.yaml"])
    command, file, option, setting = made.spec["entrypoint"].rsplit(" ", 3)
    assert (command, file, option) == ("rsc train", "/etc/rsc/train.yaml", "--set")
    config = load_run_config(tmp_path / "train.yaml", [setting])
    assert config.resources.num_gpus_per_learner == 1
    plan = make_plan(config, made.one("RayJob"))
    assert (plan.refusals, plan.warnings) == ((), ())


def test_the_files_are_plain_yaml():
    for file in (REPOSITORY / "k8s").rglob("*.yaml"):
        assert list(yaml.safe_load_all(file.read_text()))
