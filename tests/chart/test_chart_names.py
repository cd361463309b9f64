"""Names that are the chart's own: it refuses them, whatever its templates come to set."""

from __future__ import annotations

from chart_tools import LEAST, env, main, merged, render, template

EVICT = "cluster-autoscaler.kubernetes.io/safe-to-evict"


def test_a_release_with_a_dot_is_refused():
    """Helm takes it; the name of a RayJob becomes that of a Service, which must have none."""
    done = template(LEAST, release="rsc.train")
    assert done.returncode != 0
    assert (
        "the RayJob's name was rsc.train-rsc-train-r1, must begin with a letter and" in done.stderr
    )


def _environment_of_the_chart():
    values = {
        "database": {"tls": {"mode": "verify-full", "caSecret": "ca"}},
        "s3": {"existingSecret": "rsc-s3", "caSecret": "ca"},
    }
    groups = render(values).groups.values()
    return sorted({name for group in groups for name in env(main(group))})


def test_no_name_that_the_chart_sets_is_taken_from_the_user():
    """Whatever a template sets: this list cannot fall behind."""
    names = _environment_of_the_chart()
    assert {"RSC_RUN_ID", "RAY_worker_niceness", "AWS_CA_BUNDLE", "PGSSLROOTCERT"} <= set(names)
    for name in names:
        done = template(merged(LEAST, {"extraEnv": [{"name": name, "value": "x"}]}))
        assert f"extraEnv named {name}, must not" in done.stderr, name


def test_no_annotation_that_the_chart_sets_is_taken_from_the_user():
    pods = {key for g in render().groups.values() for key in annotations(g["template"])}
    assert EVICT in pods
    for key in pods:
        for part in ("head", "learner", "samplers"):
            done = template(merged(LEAST, {part: {"podAnnotations": {key: "x"}}}))
            assert f"{part}.podAnnotations named {key}, must not" in done.stderr
    rayjob = render({"rayjob": {"keepOnUpgrade": True}}).one("RayJob")
    for key in annotations(rayjob):
        done = template(merged(LEAST, {"rayjob": {"annotations": {key: "x"}}}))
        assert f"rayjob.annotations named {key}, must not" in done.stderr


def annotations(item):
    return item["metadata"]["annotations"]
