"""Filling in the shipped manifest, and what a plan says of it; no cluster is needed."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import yaml

from rsc.cluster.manifest.capacity import demand_of, longest_seconds, make_plan, samplers_needed
from rsc.cluster.manifest.groups import groups_of
from rsc.cluster.manifest.rayjob import (
    Submission,
    fill_in,
    parse_resource,
    pod_templates,
    rayjob_name,
    rayjob_of,
)
from rsc.cluster.manifest.run_objects import run_objects
from rsc.cluster.manifest.source import read_manifest, shipped_manifest
from rsc.cluster.quantities import memory_text, quantity, ray_cpus
from rsc.cluster.runs.submission import references
from rsc.config.load import config_from_mapping, load_run_config
from rsc.config.run import RunConfig
from rsc.errors import UserError

SHIPPED = read_manifest(shipped_manifest(), "shipped")


def _fill(**more):
    values = {"name": "n-1", "run_id": "1", "namespace": "here", "train_yaml": "seed: 1\n"}
    return fill_in(SHIPPED, Submission(**values | more))


def _config(**resources):
    tree = {"data": {"synthetic": {"kind": "mean_reversion"}}, "resources": resources}
    return config_from_mapping(RunConfig, tree, "test")


def _environment(rayjob):
    return [
        {entry["name"]: entry.get("value") for entry in container.get("env") or []}
        for template in pod_templates(rayjob)
        for container in template["spec"]["containers"]
    ]


def test_every_pod_of_a_run_knows_the_run_and_nothing_of_another():
    objects = _fill(run_id="20261122-r2d2", name="small-20261122-r2d2")
    text = yaml.safe_dump_all(objects)
    assert "to-be-filled-in" in yaml.safe_dump_all(SHIPPED)
    assert "to-be-filled-in" not in text
    rayjob = rayjob_of(objects)
    assert rayjob["spec"]["metadata"] == {"rsc_run_id": "20261122-r2d2"}
    assert rayjob["metadata"]["labels"]["rsc.dev/run-id"] == "20261122-r2d2"
    for template in pod_templates(rayjob):
        assert template["metadata"]["labels"]["rsc.dev/run-id"] == "20261122-r2d2"
    ids = [env["RSC_RUN_ID"] for env in _environment(rayjob) if "RSC_RUN_ID" in env]
    assert len(ids) >= 3
    assert set(ids) == {"20261122-r2d2"}


def test_the_yaml_for_the_jobs_before_the_run_has_a_name_of_its_own():
    """The chart holds the YAML twice: its hooks begin before the run's own is there."""
    names = [item["metadata"]["name"] for item in _fill() if item["kind"] == "ConfigMap"]
    assert sorted(names) == ["n-1-config", "n-1-hooks"]


def test_schema_and_preflight_come_before_the_run():
    jobs = [item for item in _fill() if item["kind"] == "Job"]
    assert [job["metadata"]["name"] for job in jobs] == ["n-1-migrate", "n-1-preflight"]
    assert all("pre-install" in job["metadata"]["annotations"]["helm.sh/hook"] for job in jobs)
    for job in jobs:
        (container,) = job["spec"]["template"]["spec"]["containers"]
        assert {"name": "RSC_RUN_ID", "value": "1"} in container["env"] or "migrate" in str(job)


def test_two_runs_share_accounts_and_policies_and_nothing_else():
    one, two = (
        {(item["kind"], item["metadata"]["name"]) for item in _fill(name=name)}
        for name in ("n-1", "n-2")
    )
    assert {kind for kind, _ in one - two} == {"ConfigMap", "Job", "RayJob"}
    assert {"ServiceAccount", "NetworkPolicy"} <= {kind for kind, _ in one & two}


def test_the_rayjob_comes_last_and_mounts_the_yaml_of_its_run():
    objects = _fill(train_yaml="seed: 7\n")
    assert objects[-1]["kind"] == "RayJob"
    config = next(item for item in objects if item["kind"] == "ConfigMap")
    assert config["data"]["train.yaml"] == "seed: 7\n"
    head = objects[-1]["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    assert config["metadata"]["name"] in {
        volume["configMap"]["name"] for volume in head["volumes"] if "configMap" in volume
    }
    assert all(item["metadata"]["namespace"] == "here" for item in objects)


def test_python_files_lie_beside_the_yaml_of_driver_and_preflight():
    objects = _fill(files={"own.py": "x = 1\n"})
    maps = [item for item in objects if item["kind"] == "ConfigMap"]
    assert len(maps) == 2
    for item in maps:
        assert item["data"] == {"train.yaml": "seed: 1\n", "own.py": "x = 1\n"}
    assert _config_checksum(objects) not in {
        _config_checksum(_fill()),
        _config_checksum(_fill(files={"own.py": "x = 2\n"})),
    }


def test_the_file_that_a_run_file_names_goes_with_it():
    """What `rsc submit` makes of an example with a feature of its own."""
    example = Path(__file__).parents[2] / "examples/08-own-feature.yaml"
    objects, _ = run_objects(
        load_run_config(example),
        SHIPPED,
        shipped=True,
        samplers=None,
        resources=(),
    )
    maps = [item["data"] for item in objects if item["kind"] == "ConfigMap"]
    text = example.with_name("own_feature.py").read_text()
    assert [data["own_feature.py"] for data in maps] == [text, text]


def _config_checksum(objects):
    return rayjob_of(objects)["metadata"]["annotations"]["checksum/config"]


def test_files_that_no_config_map_holds_are_refused():
    sentence = "the run file, own.py had 1048577 bytes, must be at most 1048576"
    files = {"own.py": "ü" * ((2**20 - 8) // 2) + "x"}
    with pytest.raises(UserError, match=sentence):
        _fill(files=files)


def test_image_goes_everywhere_and_into_the_record():
    rayjob = rayjob_of(_fill(image="registry/rsc@sha256:00"))
    for template in pod_templates(rayjob):
        for container in template["spec"]["containers"]:
            assert container["image"] == "registry/rsc@sha256:00"
    assert _digests(rayjob) == {"sha256:00"}


def test_a_tag_is_no_digest():
    assert _digests(rayjob_of(_fill(image="registry/rsc:1.0"))) == {""}


def _digests(rayjob):
    return {env["RSC_IMAGE_DIGEST"] for env in _environment(rayjob) if "RSC_IMAGE_DIGEST" in env}


def test_a_gpu_comes_with_its_nodes_and_nobody_else_gets_there():
    rayjob = rayjob_of(_fill(resources=(parse_resource("learner.nvidia.com/gpu=1"),)))
    cluster = rayjob["spec"]["rayClusterSpec"]
    specs = {group["groupName"]: group["template"]["spec"] for group in cluster["workerGroupSpecs"]}
    taint = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    assert specs["learner"]["tolerations"] == [taint]
    assert "affinity" not in specs["learner"]
    for spec in (specs["sampler"], cluster["headGroupSpec"]["template"]["spec"]):
        required = spec["affinity"]["nodeAffinity"]
        (term,) = required["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
        assert {one["operator"] for one in term["matchExpressions"]} == {"DoesNotExist"}
        chart = Path(__file__).parents[2] / "helm/rsc-train/values.yaml"
        labels = [one["key"] for one in term["matchExpressions"]]
        assert labels == yaml.safe_load(chart.read_text())["gpuNodeLabels"]


def test_storage_and_resources_are_filled_in():
    changes = ("learner.nvidia.com/gpu=1", "sampler.cpu=3", "head.requests.cpu=50m")
    rayjob = rayjob_of(
        _fill(storage="s3://b/p", resources=tuple(parse_resource(text) for text in changes))
    )
    uris = {env["RSC_STORAGE_URI"] for env in _environment(rayjob) if "RSC_STORAGE_URI" in env}
    assert uris == {"s3://b/p"}
    head, learner, sampler = groups_of(rayjob)
    assert learner.gpu == 1
    assert learner.offers["GPU"] == 1
    assert sampler.offers == {"CPU": 3, "rsc_sampler": 3}
    assert head.cpu == pytest.approx(0.05 + 0.05)  # its own request and the autoscaler's


def test_filling_changes_nothing_in_the_manifest():
    before = copy.deepcopy(SHIPPED)
    _fill(samplers=7, resources=(parse_resource("learner.cpu=2"),))
    assert before == SHIPPED


def test_unknown_group_is_refused_with_the_known_ones():
    with pytest.raises(UserError, match="'lerner', must be one of the manifest") as caught:
        _fill(resources=(parse_resource("lerner.cpu=2"),))
    assert "learner, sampler" in caught.value.hint


@pytest.mark.parametrize(
    "text", ["learner", "learner.cpu", "learner=2", "learner.cpu=two", ".cpu=1"]
)
def test_resource_that_is_none_is_refused(text):
    with pytest.raises(UserError):
        parse_resource(text)


def test_names_fit_kubernetes():
    assert rayjob_name("First run!", "20261122-181503-k3f9") == "first-run-20261122-181503-k3f9"
    assert rayjob_name("500 días", "r1") == "run-500-d-as-r1"
    long = rayjob_name("x" * 100, "20261122-181503-k3f9")
    assert len(long) == 47
    assert long.endswith("-20261122-181503-k3f9")
    for wrong in ("Upper", "under_score", "dash-", "x" * 46):
        with pytest.raises(UserError, match="--run-id was"):
            rayjob_name("a", wrong)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: [", "was no YAML"),
        ("a: 1", "a document without kind and name"),
        ("{kind: Pod, metadata: {name: x}}", "had 0 RayJobs"),
        ("- 1", "a document without kind and name"),
    ],
)
def test_manifest_that_is_none_is_refused(text, sentence):
    with pytest.raises(UserError, match=sentence):
        read_manifest(text, "file.yaml")


@pytest.mark.parametrize("missing", ["rsc-train-to-be-filled-in-config", "rsc-train-hooks"])
def test_manifest_without_the_run_file_of_its_pods_is_refused(missing):
    """As train.existingConfigMap renders it: its pods would train what is in that ConfigMap."""
    gone = ("ConfigMap", missing)
    kept = [item for item in SHIPPED if (item["kind"], item["metadata"]["name"]) != gone]
    assert len(kept) == len(SHIPPED) - 1
    sentence = f"own.yaml mounted ConfigMap {missing}, which it does not hold at /etc/rsc, must"
    with pytest.raises(UserError, match=sentence) as caught:
        read_manifest(yaml.safe_dump_all(kept), "own.yaml")
    assert "train.existingConfigMap" in caught.value.hint


def test_manifest_whose_driver_mounts_no_run_file_is_refused():
    documents = copy.deepcopy(SHIPPED)
    head = rayjob_of(documents)["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    head["volumes"] = [volume for volume in head["volumes"] if volume["name"] != "train"]
    with pytest.raises(UserError, match="mounted no ConfigMap at /etc/rsc, must hold the one"):
        read_manifest(yaml.safe_dump_all(documents), "own.yaml")


def test_secrets_that_pods_cannot_start_without_are_known():
    found = {(kind, name) for kind, name, _ in references(_fill())}
    assert ("Secret", "rsc-database") in found
    assert ("Secret", "rsc-s3") in found


# --- plan ------------------------------------------------------------------------------


def _plan(config, *, prices=None, **more):
    return make_plan(config, rayjob_of(_fill(**more)), prices=prices)


def test_demand_is_one_placement_group():
    requests = [(b.kind, b.count, dict(b.requests)) for b in demand_of(_config(num_env_runners=3))]
    assert requests == [
        ("trial", 1, {"CPU": 1, "rsc_main": 1}),
        ("env runner", 3, {"CPU": 1, "rsc_sampler": 1}),
    ]
    requests = [dict(b.requests) for b in demand_of(_config(num_gpus_per_learner=1))]
    assert requests == [{"CPU": 1, "rsc_main": 1, "GPU": 1}]
    requests = [
        dict(b.requests) for b in demand_of(_config(num_gpus_per_learner=1, num_learners=1))
    ]
    assert requests == [{"CPU": 1, "rsc_main": 1}, {"CPU": 1, "rsc_learner": 1, "GPU": 1}]


def test_run_that_fits_is_not_refused():
    plan = _plan(_config(num_env_runners=2), samplers=2)
    assert plan.refusals == ()
    assert {hold.group.name: hold.pods for hold in plan.holds} == {
        "head": 1,
        "learner": 1,
        "sampler": 2,
        "submitter": 1,
    }


def test_more_env_runners_than_the_groups_hold_are_refused():
    assert _plan(_config(num_env_runners=5), samplers=2).refusals == (
        "resources.num_env_runners was 5, must be at most 2 (groups hold: sampler at most 2 × 1)",
    )


def test_gpu_that_no_group_offers_is_refused():
    assert _plan(_config(num_gpus_per_learner=1)).refusals == (
        (
            "the trial requests CPU 1, rsc_main 1, GPU 1 on one pod, "
            "but learner offers CPU 1, rsc_main 1, GPU 0"
        ),
    )
    gpu = (parse_resource("learner.nvidia.com/gpu=1"),)
    plan = _plan(_config(num_gpus_per_learner=1), resources=gpu)
    assert (plan.refusals, plan.warnings) == ((), ())
    (warning,) = _plan(_config(), resources=gpu).warnings
    assert warning.startswith("the pods hold 1 GPU and the run requests 0")


@pytest.mark.parametrize(
    ("key", "counts"),
    [
        ("amd.com/gpu", True),
        ("nvidia.com/mig-1g.5gb", True),
        ("nvidia.com/gpu.shared", False),
        ("nvidia.com/mig-1g", False),
    ],
)
def test_what_kuberay_counts_as_a_gpu_is_one(key, counts):
    changes = (parse_resource(f"learner.{key}=1"),)
    refusals = _plan(_config(num_gpus_per_learner=1), resources=changes).refusals
    assert (refusals == ()) is counts
    learner = rayjob_of(_fill(resources=changes))["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]
    assert ("tolerations" in learner["template"]["spec"]) is counts


def test_learner_process_needs_a_second_cpu_on_the_learner_pod():
    config = _config(num_learners=1)
    (refusal,) = _plan(config).refusals
    assert refusal.startswith(
        "the learner requests CPU 1, rsc_learner 1, but no pod is left for it"
    )
    two = (parse_resource("learner.cpu=2"),)
    assert _plan(config, resources=two).refusals == ()


def test_request_above_its_limit_is_refused():
    changes = ("learner.requests.cpu=4", "sampler.requests.memory=1Gi", "head.cpu=2")
    plan = _plan(_config(), resources=tuple(parse_resource(text) for text in changes))
    assert plan.refusals == ("group learner requested cpu 4, must be at most its limit 1",)


def test_bigger_sampler_pods_hold_more_env_runners():
    two = (parse_resource("sampler.cpu=2"),)
    config = _config(num_env_runners=5)
    rayjob = rayjob_of(_fill(resources=two))
    assert samplers_needed(config, rayjob) == 3
    plan = _plan(config, resources=two, samplers=3)
    assert plan.refusals == ()
    assert next(hold.pods for hold in plan.holds if hold.group.name == "sampler") == 3


def test_prices_of_this_machine_are_refused():
    tree = {"data": {"sources": [{"instrument": "x", "uri": "my.csv"}]}}
    config = config_from_mapping(RunConfig, tree, "test")
    assert _plan(config).refusals == (
        (
            "data.sources.0.uri was my.csv, must be s3:// or builtin: "
            "(a pod does not see this machine's files)"
        ),
    )


def test_longest_time_is_deadline_and_grace_of_every_start_and_the_stay_after_the_last():
    spec = {"activeDeadlineSeconds": 100, "backoffLimit": 2, "ttlSecondsAfterFinished": 30}
    pods = [{"template": {"spec": {"terminationGracePeriodSeconds": grace}}} for grace in (60, 20)]
    cluster = {"headGroupSpec": pods[0], "workerGroupSpecs": pods[1:]}
    assert longest_seconds(spec | {"rayClusterSpec": cluster}) == 3 * (100 + 60) + 30
    assert longest_seconds({"backoffLimit": 2}) is None


def test_money_needs_a_price_for_every_group_that_is_held():
    config = _config(num_env_runners=1)
    prices = {"head": 1.0, "learner": 2.0, "sampler": 0.5}
    plan = _plan(config, prices=prices, samplers=1)
    assert plan.longest_seconds is not None
    assert plan.max_cost == pytest.approx(3.5 * plan.longest_seconds / 3600)
    assert _plan(config, prices={"head": 1.0}, samplers=1).max_cost is None
    assert "--price named the group 'lerner'" in _plan(config, prices={"lerner": 1}).warnings[-1]


def test_deadline_that_leaves_no_time_for_the_budget_is_refused():
    rayjob = rayjob_of(_fill())
    head = rayjob["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["containers"][0]
    entry = next(item for item in head["env"] if item["name"] == "RSC_TIME_BUDGET_SECONDS")
    entry["value"] = "9999999"
    (refusal,) = make_plan(_config(), rayjob).refusals
    assert refusal.startswith("RSC_TIME_BUDGET_SECONDS was 9999999, must be less than")


def test_missing_bounds_are_warned_of():
    rayjob = rayjob_of(_fill())
    for key in ("activeDeadlineSeconds", "preRunningDeadlineSeconds", "shutdownAfterJobFinishes"):
        rayjob["spec"].pop(key)
    warnings = " ".join(make_plan(_config(), rayjob).warnings)
    for key in ("activeDeadlineSeconds", "preRunningDeadlineSeconds", "shutdownAfterJobFinishes"):
        assert key in warnings


# --- quantities ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("250m", 0.25),
        ("2", 2),
        (1, 1),
        ("4Gi", 4 * 2**30),
        ("1.5", 1.5),
        ("1e3", 1000),
        ("5M", 5e6),
    ],
)
def test_quantity(text, number):
    assert quantity(text, "x") == pytest.approx(number)


@pytest.mark.parametrize("text", ["", "two", "2 Gi", "-1", "2Q", "Gi"])
def test_quantity_that_is_none_is_refused(text):
    with pytest.raises(UserError, match=r"x was .*must be a quantity"):
        quantity(text, "x")


def test_cpus_are_rounded_up_as_the_operator_does():
    assert [ray_cpus(text, "x") for text in ("200m", "1", "1001m", "2.0")] == [1, 1, 2, 2]
    assert memory_text(3.5 * 2**30) == "3.5 GiB"
