"""What the chart takes, beside what it refuses: the last value before a border."""

from __future__ import annotations

import pytest
from chart_tools import main, render


@pytest.mark.parametrize("run", ["20261122-181503-k3f9", "rsc-train-r1", "Nightly_7.b"])
def test_whatever_rsc_takes_for_an_id_can_be_verified_and_reset(run):
    reset = {"enabled": True, "run": run, "confirm": run}
    assert render({"jobs": {"verify": {"enabled": True, "run": run}}}).job("verify")
    assert render({"rayjob": {"enabled": False}, "jobs": {"reset": reset}}).job("reset")


@pytest.mark.parametrize("version", ["2.52.0", "2.60.0", "2.100.1"])
def test_a_ray_that_knows_tokens_is_taken(version):
    assert render({"rayjob": {"rayVersion": version}}).cluster["rayVersion"] == version


@pytest.mark.parametrize("name", ["rsc", "localhost/rsc", "r.example:5000/a/b_c", "r:5000/rsc"])
def test_a_registry_may_have_a_port(name):
    head = render({"image": {"repository": name}}).groups["head"]
    assert main(head)["image"] == f"{name}:dev"


@pytest.mark.parametrize("key", ["nvidia.com/gpu", "amd.com/gpu", "nvidia.com/mig-1g.5gb"])
def test_what_kuberay_counts_as_a_gpu_is_one(key):
    learner = render({"learner": {"gpus": 1, "gpuResource": key}}).groups["learner"]
    assert main(learner)["resources"]["limits"][key] == "1"


@pytest.mark.parametrize("request_", ["2", "2000m", "1.5", "0.1"])
def test_a_request_may_be_up_to_its_limit(request_):
    learner = render({"learner": {"cpus": 2, "cpuRequest": request_}}).groups["learner"]
    assert main(learner)["resources"]["requests"]["cpu"] == request_
