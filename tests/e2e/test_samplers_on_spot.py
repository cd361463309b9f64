"""Spot nodes that are not there: on-demand pods take their place in minutes, not in an hour."""

from __future__ import annotations

import time

import pytest
from training_under_test import assert_verified, install, long_config, values, wait_for_training

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]

SPOT_SECONDS = 60  # long enough for the learner pod: it is awaited as long


def test_on_demand_pods_take_over_when_spot_nodes_are_absent(namespace, record_property):
    given = values(namespace, long_config(40_000))
    given["autoscaler"] |= {"spotTimeoutSeconds": SPOT_SECONDS}
    nowhere = {"nodeSelector": {"rsc.dev/no-such-node": "true"}, "maxReplicas": 2}
    given["samplers"]["spot"] = {"enabled": True, **nowhere}
    started = time.monotonic()
    run_id = install(namespace, given)
    wait_for_training(namespace, run_id)
    record_property("spot time-out, seconds", SPOT_SECONDS)
    record_property("to the first iteration, seconds", round(time.monotonic() - started))
    assert len(namespace.ready("sampler")) == 2
    assert namespace.ready("sampler-spot") == []
    assert namespace.wait_for_end(run_id)[:2] == ("SUCCEEDED", "Complete")
    assert_verified(namespace, run_id)
