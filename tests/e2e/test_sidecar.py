"""A submitter in the head's pod, for namespaces that do not enforce Pod Security restricted."""

from __future__ import annotations

import pytest
from platform_under_test import run
from test_failures import COMPLETED, outcomes
from training_under_test import (
    CONFIG,
    assert_verified,
    install,
    rsc,
    the_run,
    values,
    wait_for_training,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]


def test_a_run_with_its_submitter_in_the_head_pod_trains_and_verifies(namespace):
    baseline = "pod-security.kubernetes.io/enforce=baseline"
    run("kubectl", "label", "namespace", namespace.name, baseline, "--overwrite")
    given = values(namespace, CONFIG) | {"podSecurity": "baseline"}
    given["rayjob"] |= {"submissionMode": "SidecarMode"}
    run_id = install(namespace, given)
    wait_for_training(namespace, run_id)
    (head,) = namespace.pods("head")
    assert "ray-job-submitter" in [one["name"] for one in head["spec"]["containers"]]
    assert not namespace.get("jobs", selector=f"rsc.dev/run-id={run_id}")
    submitters = "app.kubernetes.io/component=submitter"
    assert not namespace.get("pods", selector=submitters)
    log = rsc("logs", run_id, "--namespace", namespace.name, objects=namespace.objects)
    assert '"event": "iteration"' in log
    assert namespace.wait_for_end(run_id)[:2] == ("SUCCEEDED", "Complete")
    assert the_run(namespace, run_id).state == "completed"
    assert_verified(namespace, run_id)
    assert outcomes(namespace, run_id) == [COMPLETED]
