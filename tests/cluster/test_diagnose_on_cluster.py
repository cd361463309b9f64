"""Each reason why nothing happens, made to happen on a real cluster and explained."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from conftest import kubectl

from rsc.cluster.diagnosis.blocker import BlockerKind
from rsc.cluster.diagnosis.diagnose import diagnose
from rsc.cluster.runs.views import Phase, phase_of, pods_of

pytestmark = pytest.mark.cluster

RSC = str(Path(sys.executable).with_name("rsc"))


def _cluster(rayjob):
    return rayjob["spec"]["rayClusterSpec"]


def _restrict(place):
    kubectl("label", "namespace", place.name, "pod-security.kubernetes.io/enforce=restricted")


def _without_context(template):
    template["spec"].pop("securityContext", None)
    for container in [*template["spec"]["containers"], *template["spec"].get("initContainers", [])]:
        container.pop("securityContext", None)


def _squeezed(text):
    """Return the text without spaces and line ends: a table folds where it has no room."""
    return "".join(text.split())


def _told(place, kind, seconds=120):
    """Return the blocker of that kind once `rsc status` prints its sentence and its hint."""
    end = time.monotonic() + seconds
    while True:
        blocker = place.await_blocker(kind, seconds)
        command = [RSC, "status", "run", "--namespace", place.name]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        shown = _squeezed(done.stdout)
        if "why" + _squeezed(blocker.what) in shown and _squeezed(blocker.hint) in shown:
            return blocker
        assert time.monotonic() < end, f"{blocker} was not in\n{done.stdout}"


def test_learner_that_asks_for_two_gpus(place):
    def two_gpus(rayjob):
        group = _cluster(rayjob)["workerGroupSpecs"][0]
        resources = group["template"]["spec"]["containers"][0]["resources"]
        resources["requests"]["nvidia.com/gpu"] = resources["limits"]["nvidia.com/gpu"] = "2"

    place.submit(change=two_gpus)
    blocker = _told(place, BlockerKind.UNSCHEDULABLE)
    assert blocker.what.startswith("the learner pod t-run-")
    assert "Insufficient nvidia.com/gpu" in blocker.what
    assert "asks for nvidia.com/gpu 2, the largest node offers " in blocker.hint
    assert any(pod.state == "Unschedulable" for pod in pods_of(place.observe()))


def test_restricted_namespace_refuses_an_autoscaler(place):
    _restrict(place)

    def change(rayjob):
        _cluster(rayjob)["autoscalerOptions"].pop("securityContext")

    place.submit(change=change)
    blocker = _told(place, BlockerKind.POD_SECURITY)
    assert "'restricted'" in blocker.what
    assert "refuses the head pod (container autoscaler)" in blocker.what
    assert "autoscalerOptions.securityContext" in blocker.hint


def test_restricted_namespace_refuses_a_worker(place):
    _restrict(place)

    def change(rayjob):
        _without_context(_cluster(rayjob)["workerGroupSpecs"][0]["template"])

    place.submit(change=change)
    blocker = _told(place, BlockerKind.POD_SECURITY)
    assert "refuses the worker pod" in blocker.what
    assert "worker groups' templates" in blocker.hint


def test_image_that_does_not_exist(place):
    place.submit(image="localhost/nothing:1")
    blocker = _told(place, BlockerKind.IMAGE)
    assert "for image localhost/nothing:1: " in blocker.what
    assert "may this cluster pull it" in blocker.hint
    assert [found.kind for found in diagnose(place.observe())] == [BlockerKind.IMAGE]


def test_migration_that_cannot_reach_its_database(place):
    place.submit()
    blocker = _told(place, BlockerKind.JOB, seconds=240)
    assert blocker.what.startswith("the migration Job t-run-migrate failed")
    assert "127.0.0.1" in blocker.what


def test_quota_without_room(place):
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small"}}
    place.apply({**quota, "spec": {"hard": {"pods": "1"}}})
    place.submit()
    blocker = place.await_blocker(BlockerKind.QUOTA)
    assert f"quota small of namespace {place.name} refuses the " in blocker.what
    assert "limited: pods=1" in blocker.what


def test_secret_without_its_key(place):
    kubectl("-n", place.name, "delete", "secret", "rsc-s3")
    place.secret("rsc-s3", OTHER="x")
    place.submit()
    blocker = place.await_blocker(BlockerKind.MOUNT)
    assert "AWS_ACCESS_KEY_ID" in blocker.what
    assert "Secret or ConfigMap" in blocker.hint


def test_account_that_does_not_exist(place):
    def change(rayjob):
        _cluster(rayjob)["headGroupSpec"]["template"]["spec"]["serviceAccountName"] = "nobody"

    place.submit(change=change)
    blocker = place.await_blocker(BlockerKind.ADMISSION)
    assert (
        blocker.what == "the operator cannot make the head pod: ServiceAccount nobody is not found"
    )


def test_node_selector_that_no_node_has(place):
    def change(rayjob):
        template = _cluster(rayjob)["headGroupSpec"]["template"]
        template["spec"]["nodeSelector"] = {"there": "is-none"}

    place.submit(change=change)
    blocker = place.await_blocker(BlockerKind.UNSCHEDULABLE)
    assert blocker.what.startswith("the head pod ")
    assert "No node has the labels" in blocker.hint


def test_suspended_run_and_queued_run(place):
    def change(rayjob):
        rayjob["spec"]["suspend"] = True

    place.submit(change=change)
    blocker = place.await_blocker(BlockerKind.SUSPENDED)
    assert blocker.what == "the RayJob is suspended"
    kubectl(
        *("-n", place.name, "label", "rayjob", "t-run", "kueue.x-k8s.io/queue-name=small"),
    )
    blocker = place.await_blocker(BlockerKind.QUEUED)
    assert "in queue small" in blocker.what
    end = time.monotonic() + 30
    while phase_of(place.observe()) is not Phase.QUEUED:
        assert time.monotonic() < end
        time.sleep(1)


def test_pods_that_are_not_ready_in_time(place):
    def change(rayjob):
        rayjob["spec"] |= {"preRunningDeadlineSeconds": 8, "backoffLimit": 0}

    place.submit(change=change, image="localhost/nothing:1")
    blocker = place.await_blocker(BlockerKind.DEADLINE)
    assert "preRunningDeadlineSeconds (8 s)" in blocker.what
    assert "Last seen: " in blocker.hint
    assert phase_of(place.observe()) is Phase.FAILED


def test_rayjob_that_the_operator_refuses(place):
    def change(rayjob):
        rayjob["spec"]["backoffLimit"] = -1

    place.submit(change=change)
    blocker = place.await_blocker(BlockerKind.INVALID)
    assert "backoffLimit" in blocker.what


def test_token_that_is_gone_keeps_a_deleted_rayjob(place):
    place.submit(image="localhost/nothing:1")
    place.await_blocker(BlockerKind.IMAGE)
    kubectl("-n", place.name, "delete", "secret", "rsc-ray-token")
    kubectl("-n", place.name, "delete", "rayjob", "t-run", "--wait=false")
    time.sleep(10)
    observed = place.observe()
    assert phase_of(observed) is Phase.DELETING
    later = replace(observed, now=observed.now + timedelta(minutes=5))
    assert "Without Secret rsc-ray-token it cannot" in diagnose(later)[0].hint
    place.secret("rsc-ray-token", auth_token="another")
