"""Why nothing happens, on recordings of a real cluster and on small objects by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from observations import RECORDED, read

from rsc.cluster.diagnosis.blocker import BlockerKind
from rsc.cluster.diagnosis.diagnose import diagnose
from rsc.cluster.observed import Observed, is_finished
from rsc.cluster.runs.views import Phase, phase_of

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SENTENCES = {
    "account_that_does_not_exist": (
        BlockerKind.ADMISSION,
        "the operator cannot make the head pod: ServiceAccount nobody is not found",
    ),
    "image_that_does_not_exist": (BlockerKind.IMAGE, "for image localhost/nothing:1: "),
    "learner_that_asks_for_two_gpus": (
        BlockerKind.UNSCHEDULABLE,
        "is Pending: 0/1 nodes are available: 1 Insufficient nvidia.com/gpu",
    ),
    "migration_that_cannot_reach_its_database": (
        BlockerKind.JOB,
        "the migration Job t-run-migrate failed (PodFailurePolicy): database postgresql://",
    ),
    "node_selector_that_no_node_has": (BlockerKind.UNSCHEDULABLE, "node affinity/selector"),
    "pods_that_are_not_ready_in_time": (
        BlockerKind.DEADLINE,
        "the pods were not ready within preRunningDeadlineSeconds (8 s)",
    ),
    "quota_without_room": (BlockerKind.QUOTA, "refuses the head pod: requested: pods=1"),
    "rayjob_that_the_operator_refuses": (BlockerKind.INVALID, "backoffLimit"),
    "restricted_namespace_refuses_a_worker": (BlockerKind.POD_SECURITY, "refuses the worker pod"),
    "restricted_namespace_refuses_an_autoscaler": (
        BlockerKind.POD_SECURITY,
        "refuses the head pod (container autoscaler): allowPrivilegeEscalation != false",
    ),
    "secret_without_its_key": (BlockerKind.MOUNT, "couldn't find key AWS_ACCESS_KEY_ID"),
    "suspended_run_and_queued_run": (BlockerKind.QUEUED, "in queue small"),
    "token_that_is_gone_keeps_a_deleted_rayjob": (BlockerKind.IMAGE, "localhost/nothing:1"),
}


def test_every_recording_is_read():
    assert {file.stem for file in RECORDED.glob("*.json")} == set(SENTENCES)


@pytest.mark.parametrize("name", sorted(SENTENCES))
def test_recorded_cause_is_the_first_that_is_named(name):
    kind, words = SENTENCES[name]
    first = diagnose(read(name))[0]
    assert first.kind == kind
    assert words in first.what
    assert len(first.what) <= 450
    assert "\n" not in first.what


def test_rayjob_that_the_operator_refuses_has_ended():
    """`rsc status --watch` would look at it for ever."""
    rayjob = read("rayjob_that_the_operator_refuses").rayjob
    assert rayjob["status"]["jobDeploymentStatus"] == "ValidationFailed"
    assert is_finished(rayjob)


def test_refusal_that_is_over_is_no_cause():
    """The event stays for an hour; the pod it speaks of exists by now."""
    refused = read("restricted_namespace_refuses_an_autoscaler")
    fine = read("learner_that_asks_for_two_gpus")
    cured = replace(fine, events=refused.events)
    assert BlockerKind.POD_SECURITY not in {blocker.kind for blocker in diagnose(cured)}


def test_one_image_is_one_cause_for_all_its_pods():
    blockers = diagnose(read("pods_that_are_not_ready_in_time"))
    assert [blocker.kind for blocker in blockers] == [BlockerKind.DEADLINE, BlockerKind.IMAGE]
    assert blockers[1].what.startswith("the head, learner, migrate pods wait for image")


def test_run_that_has_succeeded_needs_no_reason():
    observed = read("image_that_does_not_exist")
    status = {"jobStatus": "SUCCEEDED", "jobDeploymentStatus": "Complete"}
    assert diagnose(replace(observed, rayjob={**observed.rayjob, "status": status})) == ()


# --- by hand ---------------------------------------------------------------------------


def _rayjob(*, age: float = 60, **status):
    made = (NOW - timedelta(seconds=age)).isoformat()
    metadata = {"name": "r", "namespace": "n", "creationTimestamp": made}
    return {"metadata": metadata, "spec": {"activeDeadlineSeconds": 100}, "status": status}


def _pod(name, node_type, *, containers=(), **more):
    return {
        "metadata": {
            "name": name,
            "labels": {"ray.io/node-type": node_type, "ray.io/group": "learner"},
            "creationTimestamp": (NOW - timedelta(minutes=5)).isoformat(),
        },
        "spec": {
            "nodeName": "one",
            "containers": [{"name": "ray", "resources": {"limits": {"memory": "2Gi"}}}],
        },
        "status": {"phase": "Running", "containerStatuses": list(containers), **more},
    }


def _ended(name, code, **more):
    return {"name": name, "state": {"terminated": {"exitCode": code, **more}}}


def _running(name):
    return {"name": name, "state": {"running": {}}}


def _only(observed):
    (blocker,) = diagnose(observed)
    return blocker


def test_autoscaler_that_died_beside_a_living_head():
    head = _pod("h", "head", containers=[_running("ray"), _ended("autoscaler", 1)])
    logs = {"h": "Traceback\nKeyError: 'workerGroupSpecs'"}
    observed = Observed(
        rayjob=_rayjob(jobDeploymentStatus="Running"), pods=(head,), logs=logs, now=NOW
    )
    blocker = _only(observed)
    assert blocker.kind == BlockerKind.AUTOSCALER
    assert "(exit code 1): KeyError: 'workerGroupSpecs'" in blocker.what


def test_worker_that_used_too_much_memory():
    pod = _pod("w", "worker", containers=[_ended("ray", 137, reason="OOMKilled")])
    observed = Observed(rayjob=_rayjob(jobDeploymentStatus="Running"), pods=(pod,), now=NOW)
    blocker = _only(observed)
    assert blocker.kind == BlockerKind.MEMORY
    assert blocker.what == "the learner pod w used more memory than its limit (2Gi)"


def test_pod_that_was_evicted_by_its_node():
    pod = _pod("w", "worker", reason="Evicted", message="The node was low on resource: memory.")
    observed = Observed(rayjob=_rayjob(jobDeploymentStatus="Running"), pods=(pod,), now=NOW)
    assert _only(observed).what.endswith("was evicted: The node was low on resource: memory.")


def test_node_under_pressure_and_node_that_is_gone():
    node = {
        "metadata": {"name": "one"},
        "status": {
            "conditions": [
                {"type": "DiskPressure", "status": "True"},
                {"type": "Ready", "status": "Unknown", "message": "Kubelet stopped posting"},
            ]
        },
    }
    pods = (_pod("w", "worker", containers=[_running("ray")]),)
    rayjob = _rayjob(jobDeploymentStatus="Running")
    blockers = diagnose(Observed(rayjob=rayjob, pods=pods, nodes=(node,), now=NOW))
    assert [blocker.what for blocker in blockers] == [
        "node one is short of disk",
        "node one is not ready: Kubelet stopped posting",
    ]


def test_operator_that_is_silent():
    assert diagnose(Observed(rayjob=_rayjob(age=5), now=NOW)) == ()
    blocker = _only(Observed(rayjob=_rayjob(age=60), now=NOW))
    assert blocker.what == "no operator has looked at the RayJob for 60 s"


def test_deadline_and_failed_driver():
    rayjob = _rayjob(jobDeploymentStatus="Failed", reason="DeadlineExceeded", jobStatus="RUNNING")
    blocker = _only(Observed(rayjob=rayjob, now=NOW))
    assert blocker.what == "activeDeadlineSeconds (100 s) is over"
    assert "the same --run-id, another --name and a --manifest" in blocker.hint
    message = "Job entrypoint command failed\nerror: prices were empty, must have bars\nhint: look"
    rayjob = _rayjob(
        jobDeploymentStatus="Failed", reason="AppFailed", jobStatus="FAILED", message=message
    )
    blocker = _only(Observed(rayjob=rayjob, now=NOW))
    assert blocker.what == "the driver failed: prices were empty, must have bars"
    assert phase_of(Observed(rayjob=rayjob, now=NOW)) is Phase.FAILED


def test_driver_that_waits_for_resources():
    rayjob = _rayjob(
        jobDeploymentStatus="Running",
        jobStatus="PENDING",
        startTime=(NOW - timedelta(seconds=90)).isoformat(),
        message="Job has not started yet. It may be waiting for resources",
    )
    blocker = _only(Observed(rayjob=rayjob, now=NOW))
    assert blocker.kind == BlockerKind.RESOURCES
    assert "waiting for resources" in blocker.what


def test_trial_that_ray_cannot_place():
    began = (NOW - timedelta(seconds=200)).isoformat()
    start = f'{{"event": "training_started", "total_steps": 9, "timestamp": "{began}"}}'
    ray = "(raylet) There are tasks with infeasible resource requests that cannot be scheduled."
    rayjob = _rayjob(jobDeploymentStatus="Running", jobStatus="RUNNING")
    observed = Observed(rayjob=rayjob, driver=(start, ray), now=NOW)
    assert _only(observed).what == (
        "the driver has waited for 200 s: Ray has no place for what the run requests"
    )
    trained = (start, ray, '{"event": "iteration", "iteration": 1}')
    assert diagnose(replace(observed, driver=trained)) == ()


def test_submitter_that_pod_security_refuses():
    message = (
        'Error creating: pods "r-abcde" is forbidden: violates PodSecurity "restricted:latest": '
        'allowPrivilegeEscalation != false (container "ray-job-submitter" must set '
        "securityContext.allowPrivilegeEscalation=false)"
    )
    job = {"metadata": {"name": "r", "labels": {}}, "status": {}}
    event = {
        "type": "Warning",
        "reason": "FailedCreate",
        "message": message,
        "involvedObject": {"kind": "Job", "name": "r"},
    }
    rayjob = _rayjob(jobDeploymentStatus="Running")
    head = _pod("h", "head", containers=[_running("ray")])
    blocker = _only(Observed(rayjob=rayjob, jobs=(job,), pods=(head,), events=(event,), now=NOW))
    assert "refuses the submitter pod (container ray-job-submitter)" in blocker.what


def test_rayjob_that_its_operator_does_not_let_go():
    rayjob = _rayjob(jobDeploymentStatus="Running", jobStatus="RUNNING")
    rayjob["metadata"]["deletionTimestamp"] = (NOW - timedelta(seconds=150)).isoformat()
    assert _only(Observed(rayjob=rayjob, now=NOW)).what == (
        "the RayJob has been in deletion for 150 s, and its operator does not let go"
    )
