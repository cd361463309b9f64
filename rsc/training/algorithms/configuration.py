"""What RLlib is told: the settings that are the same for every algorithm.

On one machine processes go where there is room. On a cluster each asks for the custom
resource that only its kind of pod offers, so a sampler never sits on a GPU's node.
"""

from __future__ import annotations

from typing import Any

import ray
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.core.rl_module.rl_module import RLModuleSpec

from rsc.training.algorithms.env_runner import (
    BatchEnvRunner,
    action_space,
    observation_sizes,
    observation_space,
)
from rsc.training.pods import LEARNER_RESOURCE, SAMPLER_RESOURCE
from rsc.training.trial_plan import TrialPlan

# An env runner that raised ends itself after this pause and is started again.
_RESTART_DELAY_SECONDS = 5
_PROBE_SECONDS = 5


class PointerConfig(AlgorithmConfig):
    """RLlib's settings, with the parts that our algorithm class names."""

    def get_default_learner_class(self) -> Any:
        """Return the algorithm's learner."""
        return self.algo_class.learner_class

    def get_default_rl_module_spec(self) -> RLModuleSpec:
        """Return the algorithm's networks."""
        return RLModuleSpec(module_class=self.algo_class.module_class)


def configure(
    algorithm: type[Algorithm], plan: TrialPlan, market: ray.ObjectRef
) -> AlgorithmConfig:
    """Tell RLlib what to build.

    Parameters
    ----------
    algorithm : type
        A `ColumnarAlgorithm`.
    plan : TrialPlan
        What to do.
    market : ObjectRef
        The shared matrix in the object store.
    """
    training, resources = plan.config.training, plan.config.resources
    matrix = ray.get(market)
    config: AlgorithmConfig = PointerConfig(algo_class=algorithm)
    if plan.on_cluster:
        config = _place_on_pods(config)
    return (
        config.environment(
            env="rsc",
            observation_space=observation_space(plan, matrix),
            action_space=action_space(plan),
            env_config={"plan": plan, "market": market},
        )
        .framework("torch")
        .env_runners(
            env_runner_cls=BatchEnvRunner,
            num_env_runners=resources.num_env_runners,
            num_envs_per_env_runner=resources.num_envs_per_env_runner,
            rollout_fragment_length=training.rollout_fragment_length,
            create_local_env_runner=resources.num_env_runners == 0,
        )
        .learners(
            num_learners=resources.num_learners,
            num_gpus_per_learner=resources.num_gpus_per_learner,
        )
        .fault_tolerance(
            restart_failed_env_runners=True,
            delay_between_env_runner_restarts_s=_RESTART_DELAY_SECONDS if plan.on_cluster else 0,
            max_num_env_runner_restarts=100,
        )
        .reporting(min_sample_timesteps_per_iteration=0, min_time_s_per_iteration=0)
        .rl_module(model_config={"training": training, "sizes": observation_sizes(plan, matrix)})
        .debugging(seed=plan.seed % 2**31, log_level="ERROR")
        .training(lr=training.lr, gamma=training.gamma)
    )


def _place_on_pods(config: AlgorithmConfig) -> AlgorithmConfig:
    """Let each process ask for the resource that only its kind of pod offers."""
    return (
        config.env_runners(
            num_cpus_per_env_runner=1, custom_resources_per_env_runner={SAMPLER_RESOURCE: 1}
        )
        .learners(num_cpus_per_learner=1, custom_resources_per_learner={LEARNER_RESOURCE: 1})
        .fault_tolerance(env_runner_health_probe_timeout_s=_PROBE_SECONDS)
    )
