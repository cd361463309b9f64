"""The Jobs around a run: migrate, preflight, verify, reset, retention."""

from __future__ import annotations

import pytest
from chart_tools import env, hooks, render, render_shape

RESET = {"rayjob": {"enabled": False}}


def command(job):
    template = job["spec"].get("jobTemplate", job)["spec"]["template"]
    (container,) = template["spec"]["containers"]
    return " ".join(container["command"])


def weight(item):
    return int(item["metadata"]["annotations"]["helm.sh/hook-weight"])


def reset(**values):
    return render({**RESET, "jobs": {"reset": {"enabled": True, **values}}})


def test_the_schema_is_migrated_before_the_preflight_before_the_run():
    objects = render()
    migrate, preflight = objects.job("migrate"), objects.job("preflight")
    assert hooks(migrate) == hooks(preflight) == "pre-install,pre-upgrade"
    assert weight(migrate) < weight(preflight)
    assert command(migrate) == "rsc db upgrade"
    assert command(preflight) == "rsc preflight /etc/rsc/train.yaml"


def test_what_hooks_refer_to_is_made_before_them_and_removed_after_them():
    objects = render()
    preflight = objects.job("preflight")["spec"]["template"]["spec"]
    (train,) = [volume for volume in preflight["volumes"] if volume["name"] == "train"]
    needed = [
        objects.of("ServiceAccount")[preflight["serviceAccountName"]],
        objects.of("ConfigMap")[train["configMap"]["name"]],
    ]
    for item in needed:
        assert weight(item) < weight(objects.job("migrate"))
        policy = item["metadata"]["annotations"]["helm.sh/hook-delete-policy"]
        assert policy == "before-hook-creation,hook-succeeded"


def test_the_preflight_has_the_run_that_follows():
    objects = render()
    (container,) = objects.job("preflight")["spec"]["template"]["spec"]["containers"]
    assert env(container)["RSC_RUN_ID"] == "rsc-rsc-train-r1"
    assert env(container)["RSC_STORAGE_URI"] == "s3://bucket/runs"
    assert (
        objects.of("ConfigMap")["rsc-rsc-train-hooks"]["data"]
        == (objects.of("ConfigMap")["rsc-rsc-train-r1-config"]["data"])
    )


@pytest.mark.parametrize(("given", "waited"), [(180, "180"), (3600, "240")])
def test_the_preflight_waits_for_a_migration_that_begins_with_it(given, waited):
    """As `kubectl apply` has it; a schema that is not there is a reason to fail for good."""
    job = render({"database": {"waitSeconds": given}}).job("preflight")
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert env(container)["RSC_DATABASE_WAIT_SECONDS"] == waited
    assert int(waited) < job["spec"]["activeDeadlineSeconds"]


def test_a_failed_hook_says_why():
    for component in ("migrate", "preflight"):
        annotations = render().job(component)["metadata"]["annotations"]
        assert annotations["helm.sh/hook-output-log-policy"] == "hook-failed"


def test_without_hooks_the_driver_waits_for_the_migration():
    objects = render({"jobs": {"hooks": False}})
    assert not any("pre-install" in hooks(item) for item in objects.all)
    assert objects.job("migrate")["metadata"]["name"] == "rsc-rsc-train-migrate-r1"
    head = objects.groups["head"]["template"]["spec"]
    assert "initContainers" not in head
    assert env(head["containers"][0])["RSC_DATABASE_WAIT_SECONDS"] == "180"


def test_bad_input_is_not_tried_again_and_nothing_runs_for_ever():
    objects = render({"jobs": {"verify": {"enabled": True}}})
    for component in ("migrate", "preflight", "verify"):
        spec = objects.job(component)["spec"]
        (rule,) = spec["podFailurePolicy"]["rules"]
        assert rule["action"] == "FailJob"
        # To these two, bad input may be a database that is away for a moment.
        final = [2, 3] if component in ("migrate", "verify") else [1, 2, 3]
        assert rule["onExitCodes"]["values"] == final
        assert rule["onExitCodes"]["containerName"] == component
        assert spec["activeDeadlineSeconds"] > 0
        assert spec["ttlSecondsAfterFinished"] == 3600


def test_helm_test_verifies_the_releases_own_run():
    (test,) = [item for item in render().all if hooks(item) == "test"]
    assert command(test) == "rsc verify --exact rsc-rsc-train-r1 --replay"
    annotations = test["metadata"]["annotations"]
    assert annotations["helm.sh/hook-output-log-policy"] == "hook-succeeded,hook-failed"


def test_any_run_can_be_verified_by_a_job():
    objects = render({"jobs": {"verify": {"enabled": True, "run": "a-run", "replay": False}}})
    job = objects.job("verify")
    assert command(job) == "rsc verify --exact a-run"
    assert job["spec"]["template"]["metadata"]["labels"]["rsc.dev/run-id"] == "a-run"


def test_nothing_is_removed_unless_it_is_asked_for():
    assert "rsc reset" not in render().text
    assert '"reset"' not in render().text


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"run": "a-run", "confirm": "a-run"}, "rsc reset --yes --exact --run a-run"),
        (
            {"scope": "older-than", "olderThan": "30d", "confirm": "rsc"},
            "rsc reset --yes --database-name rsc --older-than 30d",
        ),
        ({"scope": "all", "confirm": "rsc"}, "rsc reset --yes --database-name rsc --all"),
    ],
)
def test_a_confirmed_reset_removes_exactly_its_scope(values, words):
    assert command(reset(**values).job("reset")) == words


def test_a_reset_is_never_a_hook_and_never_tried_again_after_a_refusal():
    job = reset(run="a-run", confirm="a-run").job("reset")
    assert hooks(job) == ""
    assert job["spec"]["podFailurePolicy"]["rules"][0]["action"] == "FailJob"


def test_a_reset_that_has_ended_stays_so_that_nobody_makes_it_again():
    """A GitOps controller puts back what a TTL has removed."""
    assert "ttlSecondsAfterFinished" not in reset(run="a-run", confirm="a-run").job("reset")["spec"]


def test_a_release_that_resets_trains_nothing():
    objects = reset(run="a-run", confirm="a-run")
    assert objects.of("RayJob") == {}
    assert set(objects.of("ServiceAccount")) == {"rsc-rsc-train-jobs", "rsc-rsc-train-hooks"}
    assert set(objects.of("NetworkPolicy")) == {"rsc-rsc-train-jobs", "rsc-rsc-train-hooks"}


def test_migration_and_deletion_can_have_roles_of_their_own():
    objects = render_shape("existing-secrets")
    for component in ("migrate", "retention"):
        job = objects.job(component)
        template = job["spec"].get("jobTemplate", job)["spec"]["template"]
        (container,) = template["spec"]["containers"]
        reference = env(container)["RSC_DATABASE_URL"]["secretKeyRef"]
        assert reference == {"name": "rsc-database-owner", "key": "url"}


def test_retention_removes_old_runs_one_job_at_a_time():
    job = render_shape("existing-secrets").job("retention")
    assert command(job) == "rsc reset --yes --database-name rsc --older-than 26w"
    assert job["spec"]["concurrencyPolicy"] == "Forbid"
    assert render().of("CronJob") == {}


def test_jobs_have_somewhere_to_write():
    for item in render({"jobs": {"verify": {"enabled": True}}}).of("Job").values():
        (container,) = item["spec"]["template"]["spec"]["containers"]
        assert {"/tmp", "/home/rsc"} <= {mount["mountPath"] for mount in container["volumeMounts"]}


def test_people_get_the_least_that_rsc_needs():
    objects = render_shape("existing-secrets")
    rules = objects.one("Role")["rules"]
    assert not any("*" in rule["verbs"] + rule["resources"] + rule["apiGroups"] for rule in rules)
    assert not any("secrets" in rule["resources"] for rule in rules)
    (subject,) = objects.one("RoleBinding")["subjects"]
    assert subject["name"] == "quants"
    assert render().of("Role") == {}
