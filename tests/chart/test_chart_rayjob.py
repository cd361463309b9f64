"""The RayJob: where things run, how long they may, and how they end."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from chart_tools import TRAINING_SHAPES, env, main, render, render_shape

EVERY_SHAPE = pytest.mark.parametrize("shape", TRAINING_SHAPES)


def test_each_revision_trains_a_run_of_its_own():
    rayjob = render().one("RayJob")
    assert rayjob["metadata"]["name"] == "rsc-rsc-train-r1"
    assert env(main(rayjob["spec"]["rayClusterSpec"]["headGroupSpec"]))["RSC_RUN_ID"] == (
        "rsc-rsc-train-r1"
    )


def test_a_run_id_is_the_run_and_the_end_of_the_name():
    objects = render({"runId": "20261122-181503-k3f9"})
    rayjob = objects.one("RayJob")
    assert rayjob["metadata"]["name"] == "rsc-rsc-train-20261122-181503-k3f9"
    assert rayjob["metadata"]["labels"]["rsc.dev/run-id"] == "20261122-181503-k3f9"
    assert env(main(objects.groups["head"]))["RSC_RUN_ID"] == "20261122-181503-k3f9"


def test_a_run_keeps_its_own_run_file():
    objects = render()
    head = objects.groups["head"]["template"]["spec"]
    assert {"name": "train", "configMap": {"name": "rsc-rsc-train-r1-config"}} in head["volumes"]
    assert "rsc-rsc-train-r1-config" in objects.of("ConfigMap")
    (mount,) = [
        item for item in main(objects.groups["head"])["volumeMounts"] if item["name"] == "train"
    ]
    assert mount == {"name": "train", "mountPath": "/etc/rsc", "readOnly": True}


def test_another_run_file_is_another_checksum():
    def checksum(steps):
        objects = render({"train": {"config": {"training": {"total_steps": steps}}}})
        return {
            group["template"]["metadata"]["annotations"]["checksum/config"]
            for group in objects.groups.values()
        }

    assert len(checksum(1000)) == 1
    assert checksum(1000) != checksum(1001)


def test_python_files_are_beside_the_run_file_of_driver_and_preflight():
    text = "def f(bars):\n\n    return bars  # ü\n"
    objects = render({"train": {"files": {"own.py": text}}})
    maps = objects.of("ConfigMap")
    assert set(maps) == {"rsc-rsc-train-r1-config", "rsc-rsc-train-hooks"}
    for item in maps.values():
        assert set(item["data"]) == {"train.yaml", "own.py"}
        assert item["data"]["own.py"] == text
    annotations = objects.groups["head"]["template"]["metadata"]["annotations"]
    other = render({"train": {"files": {"own.py": "x = 1"}}}).one("RayJob")
    assert annotations["checksum/config"] != other["metadata"]["annotations"]["checksum/config"]


def test_a_run_file_given_as_text_is_kept_as_it_is():
    text = "# mine\nname: mine\ntraining: {lr: 3e-4}\n"
    values = {"train": {"config": None, "file": text}}
    assert render(values).of("ConfigMap")["rsc-rsc-train-r1-config"]["data"]["train.yaml"] == text


def test_numbers_of_a_run_file_survive_helm(tmp_path):
    from rsc.config.load import load_run_config

    change = {"training": {"total_steps": 123_456_789, "lr": 3e-07}, "splits": {"kind": "fraction"}}
    config = render({"train": {"config": change}}).of("ConfigMap")["rsc-rsc-train-r1-config"]
    (tmp_path / "train.yaml").write_text(config["data"]["train.yaml"])
    training = load_run_config(tmp_path / "train.yaml").training
    assert (training.total_steps, training.lr) == (123_456_789, 3e-07)


def test_the_entrypoint_is_plain_words():
    assert render().spec["entrypoint"] == "rsc train /etc/rsc/train.yaml"


@EVERY_SHAPE
def test_a_job_has_an_end_whatever_happens(shape):
    spec = render_shape(shape).spec
    assert 0 < spec["preRunningDeadlineSeconds"] < spec["activeDeadlineSeconds"]
    assert spec["shutdownAfterJobFinishes"] is True
    assert spec["ttlSecondsAfterFinished"] >= 0
    assert "deletionStrategy" not in spec, "a stopped job would match no rule and keep its cluster"


def test_training_ends_itself_before_the_deadline_kills_it():
    def budget(**rayjob):
        return env(main(render({"rayjob": rayjob}).groups["head"])).get("RSC_TIME_BUDGET_SECONDS")

    # The pods may need preRunningDeadlineSeconds, 1800, of the deadline before the driver starts.
    assert budget(activeDeadlineSeconds=7200) == "4800"
    assert budget(activeDeadlineSeconds=7200, preRunningDeadlineSeconds=600) == "6000"
    assert budget(activeDeadlineSeconds=2400) == "1800"
    assert budget(activeDeadlineSeconds=300, preRunningDeadlineSeconds=120) is None
    own = render({"train": {"timeBudgetSeconds": 90}})
    assert env(main(own.groups["head"]))["RSC_TIME_BUDGET_SECONDS"] == "90"


@EVERY_SHAPE
def test_the_head_offers_no_cpu(shape):
    assert render_shape(shape).groups["head"]["rayStartParams"]["num-cpus"] == "0"


@EVERY_SHAPE
def test_ray_knows_the_node_of_each_pod_for_the_records(shape):
    for group in render_shape(shape).groups.values():
        assert group["rayStartParams"]["node-name"] == "$RSC_NODE_NAME"


def node_types(change):
    return {name: group.get("labels") for name, group in render(change).groups.items()}


def test_ray_knows_the_type_of_each_groups_nodes_for_the_records():
    samplers = {
        "onDemand": {"nodeType": "m7a.large"},
        "spot": {"enabled": True, "nodeType": "c7a.large"},
    }
    given = {"head": {"nodeType": "123"}, "learner": {"nodeType": "G2_8"}, "samplers": samplers}
    assert node_types(given) == {
        "head": {"rsc.dev/node-type": "123"},
        "learner": {"rsc.dev/node-type": "G2_8"},
        "sampler-spot": {"rsc.dev/node-type": "c7a.large"},
        "sampler": {"rsc.dev/node-type": "m7a.large"},
    }


def test_a_type_that_is_not_given_is_the_one_that_the_pods_are_bound_to():
    bound = {"nodeSelector": {"node.kubernetes.io/instance-type": "m7a.large", "zone": "a"}}
    samplers = {"onDemand": bound, "spot": {"enabled": True, **bound, "nodeType": "given"}}
    found = node_types({"head": bound, "learner": bound, "samplers": samplers})
    assert found.pop("sampler-spot") == {"rsc.dev/node-type": "given"}
    assert list(found.values()) == [{"rsc.dev/node-type": "m7a.large"}] * 3


def test_without_a_type_there_is_no_label_of_it():
    other = {"nodeSelector": {"zone": "a"}}
    samplers = {"onDemand": other, "spot": {"enabled": True, **other}}
    for change in ({}, {"head": other, "learner": other, "samplers": samplers}):
        assert set(node_types(change).values()) == {None}


@EVERY_SHAPE
def test_the_driver_stays_on_the_head(shape):
    spec = render_shape(shape).spec
    assert not {"entrypointNumCpus", "entrypointNumGpus", "entrypointResources"} & set(spec)
    assert env(main(render_shape(shape).groups["head"]))["RSC_PLACEMENT"] == "cluster"


@EVERY_SHAPE
def test_there_is_always_one_learner_and_it_alone_takes_the_trial(shape):
    groups = render_shape(shape).groups
    learner = groups["learner"]
    assert [learner[key] for key in ("replicas", "minReplicas", "maxReplicas")] == [1, 1, 1]
    assert learner["resources"] == {"rsc_main": "1", "rsc_learner": "1"}
    for name in set(groups) - {"head", "learner"}:
        limits = main(groups[name])["resources"]["limits"]
        assert groups[name]["resources"] == {"rsc_sampler": limits["cpu"]}


@EVERY_SHAPE
def test_the_driver_gets_the_signal_that_ray_keeps_to_itself(shape):
    groups = render_shape(shape).groups
    (_, _, script) = main(groups["head"])["lifecycle"]["preStop"]["exec"]["command"]
    assert script == (
        "P=$(cat $HOME/driver.pid) || exit 0; kill -TERM $P; "
        "while kill -0 $P; do sleep 1; done; sleep 15"
    )
    assert not any("lifecycle" in main(group) for name, group in groups.items() if name != "head")


@EVERY_SHAPE
def test_no_ray_pod_leaves_before_the_last_checkpoint_is_written(shape):
    for group in render_shape(shape).groups.values():
        variables = env(main(group))
        grace = group["template"]["spec"]["terminationGracePeriodSeconds"]
        stop = int(variables["RAY_JOB_STOP_WAIT_TIME_S"])
        assert stop <= int(variables["RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"]) <= grace
        assert stop + 15 < grace, "the hook's last seconds count, too"


@EVERY_SHAPE
def test_weights_and_rounds_travel_inside_calls_in_pods_as_on_one_machine(shape):
    one_machine = "import os, rsc.training; print(os.environ['RAY_max_direct_call_object_size'])"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    said = subprocess.run(
        [sys.executable, "-c", one_machine], env=clean, capture_output=True, check=True, text=True
    )
    for group in render_shape(shape).groups.values():
        variables = env(main(group))
        assert variables["RAY_max_direct_call_object_size"] == said.stdout.strip()
        assert variables["RAY_worker_niceness"] == "0"


@EVERY_SHAPE
def test_ray_pods_have_somewhere_to_write(shape):
    for name, group in render_shape(shape).groups.items():
        mounts = {mount["mountPath"] for mount in main(group)["volumeMounts"]}
        assert {"/tmp", "/home/rsc"} <= mounts, name
        assert env(main(group))["HOME"] == "/home/rsc"
        assert env(main(group))["TMPDIR"] == "/tmp"


@EVERY_SHAPE
def test_every_ray_pod_knows_who_it_is(shape):
    for name, group in render_shape(shape).groups.items():
        variables = env(main(group))
        assert variables["RSC_POD_GROUP"] == name
        assert variables["RSC_POD_NAME"] == {"fieldRef": {"fieldPath": "metadata.name"}}
        assert variables["RSC_POD_UID"] == {"fieldRef": {"fieldPath": "metadata.uid"}}
        assert variables["RSC_NODE_NAME"] == {"fieldRef": {"fieldPath": "spec.nodeName"}}
        assert group["template"]["metadata"]["labels"]["rsc.dev/group"] == name


def test_the_image_digest_is_used_and_told():
    digest = f"sha256:{'0a' * 32}"
    head = main(render({"image": {"repository": "r.example/rsc", "digest": digest}}).groups["head"])
    assert head["image"] == f"r.example/rsc@{digest}"
    assert env(head)["RSC_IMAGE_DIGEST"] == digest


@EVERY_SHAPE
def test_ray_asks_for_a_token_of_a_secret_that_outlives_the_cluster(shape):
    options = render_shape(shape).cluster["authOptions"]
    assert options["mode"] == "token"
    assert options["secretName"]


def test_object_stores_have_a_size():
    sizes = {
        name: int(group["rayStartParams"]["object-store-memory"]) // 2**20
        for name, group in render().groups.items()
    }
    assert sizes == {"head": 512, "learner": 1024, "sampler": 512}


def test_samplers_come_from_none_and_go_again():
    objects = render()
    assert objects.cluster["enableInTreeAutoscaling"] is True
    assert objects.cluster["autoscalerOptions"]["version"] == "v2"
    sampler = objects.groups["sampler"]
    assert [sampler[key] for key in ("replicas", "minReplicas", "maxReplicas")] == [0, 0, 2]
    assert sampler["idleTimeoutSeconds"] == 120


def test_spot_and_on_demand_samplers_offer_the_same():
    """Ray falls back between groups only when their resources are equal."""
    groups = render_shape("spot").groups
    spot, on_demand = groups["sampler-spot"], groups["sampler"]
    for key in ("resources", "rayStartParams"):
        assert spot[key] == on_demand[key]
    assert main(spot)["resources"] == main(on_demand)["resources"]
    assert spot["template"]["spec"]["nodeSelector"] == {"karpenter.sh/capacity-type": "spot"}
    assert "nodeSelector" not in on_demand["template"]["spec"]


def test_absent_spot_nodes_cost_minutes_and_not_an_hour():
    variables = env(render_shape("spot").cluster["autoscalerOptions"])
    assert variables["RAY_AUTOSCALER_RECONCILE_ALLOCATE_STATUS_TIMEOUT_S"] == "180"


def test_without_spot_a_pending_pod_is_not_given_up():
    variables = env(render().cluster["autoscalerOptions"])
    assert variables == {"AUTOSCALER_UPDATE_INTERVAL_S": "1"}, "and is asked for at once"


def test_priority_is_only_there_when_it_is_asked_for():
    assert "priority" not in render_shape("spot").text
    spot = {"spot": {"enabled": True, "priority": 10}}
    assert render({"samplers": spot}).groups["sampler-spot"]["priority"] == 10


def test_a_gpu_is_the_learners_alone():
    groups = render_shape("gpu").groups
    assert main(groups["learner"])["resources"]["limits"]["nvidia.com/gpu"] == "1"
    for name in ("head", "sampler"):
        assert "nvidia.com/gpu" not in main(groups[name])["resources"]["limits"]
        affinity = groups[name]["template"]["spec"]["affinity"]["nodeAffinity"]
        (term,) = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
        assert {"key": "nvidia.com/gpu.present", "operator": "DoesNotExist"} in (
            term["matchExpressions"]
        )
    toleration = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    assert groups["learner"]["template"]["spec"]["tolerations"] == [toleration]


def test_without_gpus_pods_may_go_anywhere():
    for group in render().groups.values():
        assert not {"affinity", "tolerations", "nodeSelector"} & set(group["template"]["spec"])


def test_kueue_gets_a_suspended_job_of_fixed_size():
    objects = render_shape("kueue")
    rayjob = objects.one("RayJob")
    assert rayjob["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "quants"
    assert rayjob["spec"]["suspend"] is True
    assert objects.cluster["enableInTreeAutoscaling"] is False
    sampler = objects.groups["sampler"]
    assert [sampler[key] for key in ("replicas", "minReplicas", "maxReplicas")] == [2, 2, 2]


def test_without_kueue_nothing_is_suspended():
    assert "suspend" not in render().spec


def test_the_submitter_has_a_label_of_its_own_and_its_own_retries():
    spec = render().spec
    labels = spec["submitterPodTemplate"]["metadata"]["labels"]
    assert labels["app.kubernetes.io/component"] == "submitter"
    assert spec["submitterConfig"] == {"backoffLimit": 3}
    assert spec["submitterPodTemplate"]["spec"]["restartPolicy"] == "Never"


def test_the_sidecar_mode_has_no_submitter():
    objects = render_shape("sidecar")
    assert not {"submitterPodTemplate", "submitterConfig"} & set(objects.spec)
    assert "rsc-rsc-train-submitter" not in objects.of("ServiceAccount")
    assert "rsc-rsc-train-submitter" not in objects.of("NetworkPolicy")


def test_metrics_ports_are_declared_once_for_each():
    ports = {port["name"]: port["containerPort"] for port in main(render().groups["head"])["ports"]}
    assert (ports["as-metrics"], ports["dash-metrics"]) == (44217, 44227)
    assert 10001 not in ports.values(), "nobody uses Ray's client"
    (endpoint, *_) = render_shape("netpol").one("PodMonitor")["spec"]["podMetricsEndpoints"]
    assert endpoint == {"port": "metrics", "interval": "15s"}


def test_an_evicted_head_or_learner_has_to_wait():
    budgets = render_shape("spot").of("PodDisruptionBudget")
    assert {name: item["spec"]["minAvailable"] for name, item in budgets.items()} == {
        "rsc-rsc-train-head": 1,
        "rsc-rsc-train-learner": 1,
    }
    assert render().of("PodDisruptionBudget") == {}


def test_further_labels_reach_every_pod():
    labels = {"team": "quants", "app.kubernetes.io/part-of": "research"}
    for name, template in render({"podLabels": labels}).pods():
        assert labels.items() <= template["metadata"]["labels"].items(), name


def test_further_environment_reaches_every_ray_container():
    objects = render({"extraEnv": [{"name": "OMP_NUM_THREADS", "value": "1"}]})
    for group in objects.groups.values():
        assert env(main(group))["OMP_NUM_THREADS"] == "1"


def test_managed_databases_and_storages_are_checked_with_their_certificates():
    objects = render_shape("existing-secrets")
    head = main(objects.groups["head"])
    assert env(head)["PGSSLMODE"] == "verify-full"
    assert env(head)["PGSSLROOTCERT"] == "/etc/rsc-ca/database/ca.crt"
    own = main(
        render({"s3": {"caSecret": "s3-ca", "endpoint": "https://s3.example"}}).groups["learner"]
    )
    assert env(own)["AWS_CA_BUNDLE"] == "/etc/rsc-ca/s3/ca.crt"
    assert {"name": "s3-ca", "mountPath": "/etc/rsc-ca/s3", "readOnly": True} in own["volumeMounts"]


def test_the_identity_for_the_storage_may_be_that_of_accounts_that_exist():
    """Neither keys nor annotations: docs/kubernetes.md says whose identity it is then."""
    variables = env(main(render_shape("existing-secrets").groups["head"]))
    assert variables["AWS_REGION"] == "eu-central-1"
    assert "AWS_ACCESS_KEY_ID" not in variables


def test_only_those_who_use_the_storage_get_its_identity():
    role = {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/rsc"}
    objects = render({"s3": {"serviceAccountAnnotations": role}})
    with_role = {
        name.removeprefix("rsc-rsc-train-")
        for name, item in objects.of("ServiceAccount").items()
        if role.items() <= item["metadata"].get("annotations", {}).items()
    }
    assert with_role == {"head", "learner", "jobs", "hooks"}
