"""The algorithms there are: one line for each, by the name that a run file says."""

from __future__ import annotations

import ray

from rsc.training.algorithms.base import ColumnarAlgorithm
from rsc.training.algorithms.configuration import configure
from rsc.training.algorithms.dqn import Dqn
from rsc.training.algorithms.env_runner import observation_sizes
from rsc.training.algorithms.networks import require_network
from rsc.training.algorithms.ppo import Ppo
from rsc.training.algorithms.sac import Sac
from rsc.training.trial_plan import TrialPlan

ALGORITHMS: dict[str, type[ColumnarAlgorithm]] = {
    "dqn": Dqn,
    "ppo": Ppo,
    "sac": Sac,
}


def build_algorithm(plan: TrialPlan, market: ray.ObjectRef) -> ColumnarAlgorithm:
    """Build the configured algorithm with its runners and its learner.

    Raises
    ------
    UserError
        The configured network cannot be used.
    """
    require_network(plan.config.training, observation_sizes(plan, ray.get(market)))
    algorithm = ALGORITHMS[plan.config.training.algorithm]
    built: ColumnarAlgorithm = configure(algorithm, plan, market).build_algo()
    return built
