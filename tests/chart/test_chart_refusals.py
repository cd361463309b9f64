"""What the chart refuses, each with a sentence that names the value, and why."""

from __future__ import annotations

import pytest
import yaml
from chart_tools import LEAST, merged, render, run, template

EGRESS = {
    "enabled": True,
    "apiServer": [{"cidr": "10.0.0.10/32", "port": 6443}],
    "postgres": [{"cidr": "10.0.1.20/32", "port": 5432}],
    "s3": [{"cidr": "10.0.1.30/32", "port": 443}],
}
EVICT = "cluster-autoscaler.kubernetes.io/safe-to-evict"
GPU_RUN = {"resources": {"num_learners": 1, "num_gpus_per_learner": 1}}
RETENTION = {"enabled": True, "confirm": "other"}


def resets(**values):
    return {"rayjob": {"enabled": False}, "jobs": {"reset": {"enabled": True, **values}}}


# Each alone would be in order; the sentence comes from the templates.
TOGETHER = {
    "no database": (
        {"database": {"existingSecret": ""}},
        "database.existingSecret was empty, must name the Secret with the database's URL",
    ),
    "no storage": (
        {"storage": {"uri": ""}},
        "storage.uri was empty, must be where checkpoints go: s3://bucket/prefix",
    ),
    "no run": (
        {"train": {"config": None}},
        "0 of train.config, train.file and train.existingConfigMap were given, must be exactly one",
    ),
    "two runs": (
        {"train": {"file": "name: a"}},
        "2 of train.config, train.file and train.existingConfigMap were given, must be exactly one",
    ),
    "a run file that is no YAML": (
        {"train": {"config": None, "file": "name: [a"}},
        "train.file was no YAML",
    ),
    "Python files beside a ConfigMap": (
        {"train": {"config": None, "existingConfigMap": "mine", "files": {"own.py": "x = 1"}}},
        "train.files was given with train.existingConfigMap mine, must be keys of that ConfigMap",
    ),
    "Python files that no ConfigMap holds": (
        {"train": {"files": {"own.py": "x" * 600_000, "two.py": "ü" * 300_000}}},
        "bytes, must be at most 1048576, which is all that a ConfigMap holds",
    ),
    "a long name": (
        {"runId": "a-run-id-that-goes-on-and-on-and-on-for-ever"},
        "with 58 characters, must have at most 47: shorten the release's name",
    ),
    "a long prefix": (
        {"nameOverride": "a-name-that-goes-on-and-on-and-on-longer"},
        "with 44 characters, must have at most 40: shorten the release's name",
    ),
    "a moving tag": (
        {"image": {"tag": "latest"}},
        "image.tag was latest, must be a version",
    ),
    "the sidecar in a restricted namespace": (
        {"rayjob": {"submissionMode": "SidecarMode"}},
        "rayjob.submissionMode was SidecarMode with podSecurity restricted, must be K8sJobMode",
    ),
    "spot in a queue": (
        {"kueue": {"queueName": "q"}, "samplers": {"spot": {"enabled": True}}},
        "samplers.spot.enabled was true with kueue.queueName, must be false",
    ),
    "a priority without a queue": (
        {"kueue": {"priorityClass": "high"}},
        "kueue.priorityClass was high without kueue.queueName, must have a queue",
    ),
    "spot without the autoscaler": (
        {"autoscaler": {"enabled": False}, "samplers": {"spot": {"enabled": True}}},
        "samplers.spot.enabled was true with autoscaler.enabled false, must be false",
    ),
    "spot without on-demand": (
        {"samplers": {"spot": {"enabled": True}, "onDemand": {"maxReplicas": 0}}},
        "samplers.onDemand.maxReplicas was 0 with spot samplers, must be at least 1",
    ),
    "more env runners than places": (
        {"train": {"config": {"resources": {"num_env_runners": 9}}}, "samplers": {"cpus": 4}},
        "resources.num_env_runners of the run was 9, must be at most 8",
    ),
    "more env runners than places, in a file": (
        {"train": {"config": None, "file": "resources: {num_env_runners: 3}"}},
        "resources.num_env_runners of the run was 3, must be at most 2",
    ),
    "a learner process without a CPU": (
        {"train": {"config": {"resources": {"num_learners": 1}}}, "learner": {"cpus": 1}},
        "learner.cpus was 1, must be at least 2 with resources.num_learners = 1",
    ),
    "a GPU run without a GPU": (
        {"train": {"config": GPU_RUN}},
        "resources.num_gpus_per_learner of the run was 1, must be at most learner.gpus = 0",
    ),
    "a drain that ends before the checkpoint": (
        {"grace": {"drainSeconds": 60}},
        "grace.drainSeconds was 60, must be at least grace.stopWaitSeconds = 90",
    ),
    "a grace that ends before the checkpoint": (
        {"grace": {"terminationSeconds": 100}},
        "grace.terminationSeconds was 100, must be at least grace.stopWaitSeconds + 20 = 110",
    ),
    "a grace that ends before the drain": (
        {"grace": {"drainSeconds": 150}},
        "grace.terminationSeconds was 120, must be at least grace.drainSeconds = 150",
    ),
    "a start that may last longer than the job": (
        {"rayjob": {"activeDeadlineSeconds": 600}},
        "rayjob.preRunningDeadlineSeconds was 1800, must be less than rayjob.activeDeadlineSeconds",
    ),
    "a budget beyond the deadline": (
        {"train": {"timeBudgetSeconds": 86400}},
        "train.timeBudgetSeconds was 86400, must be less than rayjob.activeDeadlineSeconds = 86400",
    ),
    "an object store that eats the pod": (
        {"samplers": {"objectStoreMiB": 1025}},
        "samplers.objectStoreMiB was 1025, must be at most half of samplers.memory = 2Gi",
    ),
    "more samplers at least than at most": (
        {"samplers": {"onDemand": {"minReplicas": 3}}},
        "minReplicas of a sampler group was 3, must be at most its maxReplicas = 2",
    ),
    "verification without a certificate authority": (
        {"database": {"tls": {"mode": "verify-full"}}},
        "database.tls.mode was verify-full without a certificate authority",
    ),
    "two certificate authorities": (
        {"database": {"tls": {"caConfigMap": "a", "caSecret": "b"}}},
        "database.tls.caConfigMap and database.tls.caSecret were both given, must be at most one",
    ),
    "two ways to the storage": (
        {"s3": {"existingSecret": "s", "serviceAccountAnnotations": {"a": "b"}}},
        's3.existingSecret was "s" beside s3.serviceAccountAnnotations, must be one way',
    ),
    "accounts that nobody makes": (
        {"serviceAccounts": {"create": False, "jobs": "a"}},
        "serviceAccounts.head was empty, must name an account that exists",
    ),
    "a role for nobody": (
        {"rbac": {"users": {"create": True}}},
        "rbac.users.subjects was empty, must name who gets the Role",
    ),
    "egress rules without a policy": (
        {"networkPolicy": {"enabled": False, "egress": EGRESS}},
        "networkPolicy.egress.enabled was true with networkPolicy.enabled false, must be false",
    ),
    "egress without the database": (
        {"networkPolicy": {"egress": {**EGRESS, "postgres": []}}},
        "networkPolicy.egress.postgres was empty, must hold the address of the database",
    ),
    "egress without the storage": (
        {"networkPolicy": {"egress": {**EGRESS, "s3": []}}},
        "networkPolicy.egress.s3 was empty, must hold the addresses of the storage",
    ),
    "egress without the API server": (
        {"networkPolicy": {"egress": {**EGRESS, "apiServer": []}}},
        "networkPolicy.egress.apiServer was empty, must hold the real addresses of the API server",
    ),
    "an environment that the chart sets": (
        {"extraEnv": [{"name": "RSC_DATABASE_URL", "value": "sqlite://"}]},
        "extraEnv named RSC_DATABASE_URL, must not: the chart sets it",
    ),
    "an environment that the chart sets, whatever it begins with": (
        {"extraEnv": [{"name": "RAY_worker_niceness", "value": "5"}]},
        "extraEnv named RAY_worker_niceness, must not: the chart sets it",
    ),
    "an environment that is given twice": (
        {"extraEnv": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]},
        "extraEnv named A twice, must name it once",
    ),
    "an annotation that the chart sets": (
        {"samplers": {"podAnnotations": {EVICT: "true"}}},
        f"samplers.podAnnotations named {EVICT}, must not: the chart sets it",
    ),
    "an annotation of Helm": (
        {"rayjob": {"annotations": {"helm.sh/resource-policy": "keep"}}},
        "rayjob.annotations named helm.sh/resource-policy, must not: the chart sets it",
    ),
    "a toleration of a value that exists": (
        {"learner": {"tolerations": [{"key": "a", "operator": "Exists", "value": "x"}]}},
        'learner.tolerations had the value "x" with operator Exists, must have none',
    ),
    "a toleration of a value without a key": (
        {"samplers": {"spot": {"tolerations": [{"value": "x"}]}}},
        "samplers.spot.tolerations had no key with operator Equal, must have one",
    ),
    "a toleration for a time of what is not executed": (
        {"head": {"tolerations": [{"operator": "Exists", "tolerationSeconds": 5}]}},
        'head.tolerations had tolerationSeconds with effect "", must have effect NoExecute',
    ),
    "one account for two parts": (
        {"serviceAccounts": {"head": "trainer", "learner": "trainer"}},
        "serviceAccounts.learner was trainer, which is the account of head, must be another one",
    ),
    "the account of the hooks for the Jobs": (
        {"serviceAccounts": {"jobs": "rsc-rsc-train-hooks"}},
        "serviceAccounts.jobs was rsc-rsc-train-hooks, which is the account of the hooks",
    ),
    "a verification of whatever is the last": (
        {"jobs": {"verify": {"enabled": True, "run": "last"}}},
        "jobs.verify.run was last, must be the id of a run",
    ),
    "a reset of whatever is the last": (
        resets(run="last", confirm="last"),
        "jobs.reset.run was last, must be the id of a run",
    ),
    "a request above its limit": (
        {"learner": {"cpus": 2, "cpuRequest": "2500m"}},
        "learner.cpuRequest was 2500m, must be at most learner.cpus = 2",
    ),
    "a request of a Job above its limit": (
        {"jobs": {"cpuRequest": "1.5"}},
        "jobs.cpuRequest was 1.5, must be at most jobs.cpus = 1",
    ),
    "a label that network policies select by": (
        {"podLabels": {"app.kubernetes.io/component": "web"}},
        "podLabels named app.kubernetes.io/component, must not: the chart or KubeRay sets it",
    ),
    "a label of a run": (
        {"podLabels": {"team": "quants", "rsc.dev/run-id": "another"}},
        "podLabels named rsc.dev/run-id, must not",
    ),
    "a label of KubeRay": (
        {"podLabels": {"ray.io/node-type": "head"}},
        "podLabels named ray.io/node-type, must not",
    ),
    "a reset that is not confirmed": (
        resets(run="a-run"),
        'jobs.reset.confirm was "", must be "a-run": a reset removes records for ever',
    ),
    "a reset that is confirmed with another name": (
        resets(scope="all", confirm="yes"),
        'jobs.reset.confirm was "yes", must be "rsc"',
    ),
    "a reset of no run": (
        resets(confirm=""),
        "jobs.reset.run was empty, must be the id of the run that is removed",
    ),
    "a reset of no age": (
        resets(scope="older-than", confirm="rsc"),
        "jobs.reset.olderThan was empty, must be an age such as 30d",
    ),
    "a reset of all that names a run": (
        resets(scope="all", run="a-run", confirm="rsc"),
        'jobs.reset.run was "a-run" with jobs.reset.scope all, must be empty',
    ),
    "a reset beside a training": (
        {"jobs": {"reset": {"enabled": True, "run": "a-run", "confirm": "a-run"}}},
        "jobs.reset.enabled was true in a release that trains, must be in a release of its own",
    ),
    "a retention that is not confirmed": (
        {"jobs": {"retention": RETENTION}},
        'jobs.retention.confirm was "other", must be "rsc"',
    ),
}

# What one value alone can say; the words are the schema's, after its path.
ALONE = {
    "a typing error": ({"imagee": {}}, "additional properties 'imagee' not allowed"),
    "a typing error inside": (
        {"image": {"repo": "a"}},
        "at '/image': additional properties 'repo' not allowed",
    ),
    "a typing error in the run": (
        {"train": {"config": {"episodez": {}}}},
        "at '/train/config': additional properties 'episodez' not allowed",
    ),
    "a password": (
        {"database": {"password": "x"}},
        "at '/database': additional properties 'password' not allowed",
    ),
    "a secret key": ({"s3": {"secretKey": "x"}}, "additional properties 'secretKey' not allowed"),
    "words for the submitter's shell": (
        {"rayjob": {"entrypoint": "rsc train --run-id $RUN"}},
        "at '/rayjob/entrypoint': 'rsc train --run-id $RUN' does not match pattern",
    ),
    "two commands": (
        {"rayjob": {"entrypoint": "rsc train a.yaml && rm b"}},
        "at '/rayjob/entrypoint'",
    ),
    "a Python file in a folder": (
        {"train": {"files": {"own/reward.py": "x = 1"}}},
        "invalid propertyName 'own/reward.py'",
    ),
    "half a CPU": ({"learner": {"cpus": 1.5}}, "at '/learner/cpus': got number, want integer"),
    "memory in other units": ({"head": {"memory": "4G"}}, "at '/head/memory': '4G' does not match"),
    "two learner pods": (
        {"learner": {"replicas": 2}},
        "at '/learner': additional properties 'replicas' not allowed",
    ),
    "another mode": ({"rayjob": {"submissionMode": "HTTPMode"}}, "at '/rayjob/submissionMode'"),
    "no end": (
        {"rayjob": {"activeDeadlineSeconds": 0}},
        "at '/rayjob/activeDeadlineSeconds': minimum: got 0, want 60",
    ),
    "deletion rules": (
        {"rayjob": {"deletionStrategy": {}}},
        "at '/rayjob': additional properties 'deletionStrategy' not allowed",
    ),
    "a runtime environment": (
        {"rayjob": {"runtimeEnvYAML": "pip: [a]"}},
        "at '/rayjob': additional properties 'runtimeEnvYAML' not allowed",
    ),
    "root": (
        {"securityContext": {"runAsUser": 0}},
        "at '/securityContext/runAsUser': minimum: got 0, want 1",
    ),
    "a storage that is no S3": ({"storage": {"uri": "/runs"}}, "at '/storage/uri'"),
    "a GPU that Ray would not count": (
        {"learner": {"gpus": 1, "gpuResource": "nvidia.com/gpu.shared"}},
        "at '/learner/gpuResource': 'nvidia.com/gpu.shared' does not match pattern",
    ),
    "an image with a second tag": (
        {"image": {"repository": "registry.example/rsc:0.1.0"}},
        "at '/image/repository': 'registry.example/rsc:0.1.0' does not match pattern",
    ),
    "a digest that is none": ({"image": {"digest": "abc"}}, "at '/image/digest'"),
    "an address without its prefix": (
        {"networkPolicy": {"egress": {"s3": [{"cidr": "10.0.0.1", "port": 443}]}}},
        "at '/networkPolicy/egress/s3/0/cidr'",
    ),
    "an address without a port": (
        {"networkPolicy": {"egress": {"s3": [{"cidr": "10.0.0.1/32"}]}}},
        "at '/networkPolicy/egress/s3/0': missing property 'port'",
    ),
    "an age that is none": ({"jobs": {"retention": {"olderThan": "a month"}}}, "olderThan"),
    "another scope": ({"jobs": {"reset": {"scope": "everything"}}}, "at '/jobs/reset/scope'"),
    "a run id that is no name": ({"runId": "My_Run"}, "at '/runId': 'My_Run' does not match"),
    "a word for a number": (
        {"rayjob": {"backoffLimit": "two"}},
        "at '/rayjob/backoffLimit': got string, want integer",
    ),
    "a node type that is no label": (
        {"samplers": {"spot": {"nodeType": "m7a large"}}},
        "at '/samplers/spot/nodeType': 'm7a large' does not match pattern",
    ),
    "a Ray that knows no token": (
        {"rayjob": {"rayVersion": "2.40.0"}},
        "at '/rayjob/rayVersion': '2.40.0' does not match pattern",
    ),
    "a label with blanks": (
        {"podLabels": {"team": "quants & co"}},
        "at '/podLabels/team': 'quants & co' does not match pattern",
    ),
    "a node label with a blank": (
        {"learner": {"nodeSelector": {"pool": "a b"}}},
        "at '/learner/nodeSelector/pool': 'a b' does not match pattern",
    ),
    "a verification of what is no id": (
        {"jobs": {"verify": {"run": "a run"}}},
        "at '/jobs/verify/run': 'a run' does not match pattern",
    ),
    "a reset of what is no id": (
        {"jobs": {"reset": {"run": "a run"}}},
        "at '/jobs/reset/run': 'a run' does not match pattern",
    ),
    "a label of GPU nodes that is none": (
        {"gpuNodeLabels": ["a label"]},
        "at '/gpuNodeLabels/0': 'a label' does not match pattern",
    ),
    "an unknown TLS mode": ({"database": {"tls": {"mode": "yes"}}}, "at '/database/tls/mode'"),
}
BAD = {**TOGETHER, **ALONE}


@pytest.mark.parametrize("case", BAD)
def test_bad_values_are_refused_with_their_sentence(case):
    change, sentence = BAD[case]
    values = merged(LEAST, change)
    done = template(values)
    assert done.returncode != 0, f"accepted: {yaml.safe_dump(values)}"
    assert sentence in " ".join(done.stderr.split())
    assert done.stdout == ""


def test_there_are_more_than_thirty_that_the_schema_alone_refuses():
    assert len(ALONE) >= 30


@pytest.mark.parametrize("case", TOGETHER)
def test_what_is_refused_together_is_in_order_alone(case):
    """Helm refuses a typing error, too: these must not be refused by the schema."""
    change, _ = TOGETHER[case]
    assert "additional properties" not in template(merged(LEAST, change)).stderr


def test_the_defaults_alone_say_what_is_missing():
    done = run("helm", "template", "rsc", "helm/rsc-train")
    assert "database.existingSecret was empty" in done.stderr


def test_the_least_values_are_accepted():
    assert len(render().of("RayJob")) == 1
