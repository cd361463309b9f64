"""What is true of every supported shape of the chart."""

from __future__ import annotations

import json
import re

import pytest
import yaml
from chart_tools import (
    CHART,
    REPOSITORY,
    SHAPES,
    TRAINING_SHAPES,
    env,
    main,
    render_shape,
    run,
)

EVERY_SHAPE = pytest.mark.parametrize("shape", SHAPES)
EVERY_TRAINING = pytest.mark.parametrize("shape", TRAINING_SHAPES)
SCHEMAS = "tests/chart/schemas/{{ .ResourceKind }}_{{ .ResourceAPIVersion }}.json"


def test_every_supported_shape_has_values():
    wanted = "cpu-learner existing-secrets gpu jobs kueue netpol rayjob sidecar smoke spot"
    assert wanted.split() == SHAPES


@EVERY_SHAPE
def test_helm_lint_has_nothing_to_say(shape):
    file = str(CHART / "ci" / f"{shape}-values.yaml")
    done = run("helm", "lint", str(CHART), "--strict", "--quiet", "--values", file)
    assert (done.returncode, done.stdout) == (0, "")


@EVERY_SHAPE
def test_every_object_is_valid_for_kubernetes_and_kuberay(shape):
    """Unknown fields are refused: none that KubeRay 1.6 lacks is used."""
    words = ("-strict", "-schema-location", SCHEMAS, "-output", "json", "-")
    done = run("kubeconform", *words, text=render_shape(shape).text)
    assert json.loads(done.stdout).get("resources", []) == []
    assert done.returncode == 0


@EVERY_SHAPE
def test_every_pod_meets_the_restricted_standard(shape):
    for name, template in render_shape(shape).pods():
        context = template["spec"]["securityContext"]
        assert context["runAsNonRoot"] is True, name
        assert context["runAsUser"] > 0, name
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for volume in template["spec"].get("volumes", []):
            assert set(volume) & {"emptyDir", "configMap", "secret", "projected"}, (name, volume)


@EVERY_SHAPE
def test_every_container_has_a_read_only_root_and_no_capabilities(shape):
    for name, container in render_shape(shape).containers():
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False, name
        assert context["readOnlyRootFilesystem"] is True, name
        assert context["capabilities"] == {"drop": ["ALL"]}, name


@EVERY_SHAPE
def test_every_container_has_requests_and_limits_and_whole_cpus(shape):
    for name, container in render_shape(shape).containers():
        resources = container["resources"]
        assert set(resources["limits"]) >= {"cpu", "memory"}, name
        assert resources["requests"]["memory"] == resources["limits"]["memory"], name
        assert resources["limits"]["cpu"].isdigit(), f"{name}: KubeRay rounds a fraction up"


@EVERY_SHAPE
def test_no_pod_gets_a_token_of_the_api_server(shape):
    objects = render_shape(shape)
    for name, template in objects.pods():
        assert template["spec"]["automountServiceAccountToken"] is False, name
        assert template["spec"]["serviceAccountName"] not in {"", "default"}, name
    for account in objects.of("ServiceAccount").values():
        assert account["automountServiceAccountToken"] is False
    mounts = {
        name: [mount["name"] for mount in container.get("volumeMounts", [])]
        for name, container in objects.containers()
    }
    assert {name for name, names in mounts.items() if "api-access" in names} <= {"autoscaler"}


@EVERY_SHAPE
def test_secrets_are_named_and_never_written(shape):
    objects = render_shape(shape)
    assert set(objects.of("Secret")) <= {"rsc-rsc-train-ray-token"}
    for name, container in objects.containers():
        for variable, value in env(container).items():
            secret = re.search(r"DATABASE_URL|ACCESS_KEY|SECRET|TOKEN|PASSWORD", variable)
            assert not secret or "secretKeyRef" in value, (name, variable)
    assert "runtimeEnvYAML" not in objects.text


def test_the_jobs_of_a_release_without_training_are_among_the_shapes():
    jobs = render_shape("jobs")
    kinds = {item["kind"]: item["metadata"]["name"] for item in jobs.all}
    assert "RayJob" not in kinds
    assert {"Job", "CronJob"} <= set(kinds)
    assert all(jobs.job(name) for name in ("verify", "reset", "retention"))


@EVERY_TRAINING
def test_database_and_storage_are_seen_only_where_they_are_used(shape):
    objects = render_shape(shape)
    for name, group in objects.groups.items():
        variables = set(env(main(group)))
        assert ("RSC_DATABASE_URL" in variables) is (name == "head"), name
        has_storage = any(variable.startswith("AWS_") for variable in variables)
        assert has_storage is (name in {"head", "learner"}), name
    if "submitterPodTemplate" in objects.spec:
        (submitter,) = objects.spec["submitterPodTemplate"]["spec"]["containers"]
        assert "env" not in submitter


@EVERY_SHAPE
def test_every_pod_is_of_one_image(shape):
    images = {c["image"] for name, c in render_shape(shape).containers() if name != "autoscaler"}
    assert images == {"localhost/rsc:dev"}


@EVERY_SHAPE
def test_every_object_carries_the_labels(shape):
    for item in render_shape(shape).all:
        labels = item["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == "rsc-train"
        assert labels["app.kubernetes.io/instance"] == "rsc"
        assert labels["app.kubernetes.io/managed-by"] == "Helm"
        assert {"app.kubernetes.io/component", "app.kubernetes.io/version"} <= set(labels)


@EVERY_SHAPE
def test_names_fit_and_nothing_is_bound_to_a_namespace(shape):
    for item in render_shape(shape).all:
        assert len(item["metadata"]["name"]) <= {"RayJob": 47, "CronJob": 52}.get(item["kind"], 63)
        assert "namespace" not in item["metadata"]


@EVERY_SHAPE
def test_the_run_file_is_one_that_the_program_takes(shape, tmp_path):
    from rsc.config.load import load_run_config

    for config in render_shape(shape).of("ConfigMap").values():
        (tmp_path / "train.yaml").write_text(config["data"]["train.yaml"])
        load_run_config(tmp_path / "train.yaml")


def test_the_keys_of_a_run_file_are_those_of_the_program():
    from rsc.config.run import RunConfig

    schema = json.loads((CHART / "values.schema.json").read_text())
    assert set(schema["$defs"]["runFile"]["properties"]) == set(RunConfig.model_fields)


def test_the_chart_and_the_program_have_one_version():
    import tomllib

    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == project["version"]


def test_the_chart_and_the_program_have_one_ray():
    import tomllib

    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert f"ray[rllib,default]=={values['rayjob']['rayVersion']}" in project["dependencies"]
