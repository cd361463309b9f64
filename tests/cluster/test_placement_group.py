"""What a plan counts with is what the trial will ask for: layers that do not know each other."""

from __future__ import annotations

from collections import Counter

import pytest

from rsc.cluster.manifest import capacity as plan
from rsc.cluster.manifest.rayjob import SAMPLER
from rsc.config.load import config_from_mapping
from rsc.config.run import RunConfig
from rsc.training.pods import LEARNER_RESOURCE, MAIN_RESOURCE, SAMPLER_RESOURCE
from rsc.training.run.cluster_trial import trial_bundles


def _counted(bundles):
    return Counter(tuple(sorted(bundle.items())) for bundle in bundles)


@pytest.mark.parametrize("runners", [0, 1, 5])
@pytest.mark.parametrize("learners", [0, 1])
@pytest.mark.parametrize("gpus", [0, 0.5, 1])
def test_the_placement_group_of_the_plan_is_that_of_the_trial(runners, learners, gpus):
    resources = {
        "num_env_runners": runners,
        "num_learners": learners,
        "num_gpus_per_learner": gpus,
    }
    tree = {"data": {"synthetic": {"kind": "mean_reversion"}}, "resources": resources}
    config = config_from_mapping(RunConfig, tree, "test")
    planned = [dict(one.requests) for one in plan.demand_of(config) for _ in range(one.count)]
    assert _counted(planned) == _counted(trial_bundles(config.resources))


def test_the_resources_have_one_name_in_both():
    assert (plan.MAIN, plan.LEARNER) == (MAIN_RESOURCE, LEARNER_RESOURCE)
    assert SAMPLER == SAMPLER_RESOURCE
