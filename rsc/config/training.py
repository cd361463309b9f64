"""How a run is trained, evaluated while it trains, recorded, and spread over processes.

Only settings live here, no behaviour: `rsc.training` reads them. They are below
that layer so that a configuration can be checked without importing Ray or torch.
The settings of each algorithm stand in `rsc.config.algorithms`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from rsc.config.algorithms.base import LARGEST_COUNT
from rsc.config.algorithms.dqn import DqnConfig
from rsc.config.algorithms.ppo import PpoConfig
from rsc.config.algorithms.sac import SacConfig
from rsc.config.settings import Settings


def _algorithm_of(value: Any) -> Any:
    """Return which algorithm is meant; a file need not name the default one."""
    if isinstance(value, dict):
        return value.get("algorithm", "dqn")
    return getattr(value, "algorithm", None)


# The algorithms there are; `rsc.training.algorithms.registry` has a line for each, too.
TrainingConfig = Annotated[
    Annotated[DqnConfig, Tag("dqn")]
    | Annotated[PpoConfig, Tag("ppo")]
    | Annotated[SacConfig, Tag("sac")],
    Discriminator(_algorithm_of),
]


class EvaluationConfig(Settings):
    """When the greedy policy is evaluated on the validation split, and when training stops."""

    interval: int = Field(
        2, ge=1, le=LARGEST_COUNT, description="Training iterations between evaluations."
    )
    metric: Literal["sharpe", "total_return", "episode_return"] = Field(
        "sharpe", description="Validation figure that chooses the best checkpoint."
    )
    patience: int = Field(
        10,
        ge=1,
        le=LARGEST_COUNT,
        description="Evaluations without improvement before training stops.",
    )
    minimum_improvement: float = Field(
        0.0,
        ge=0,
        description="How much better than the best counts as better, in the metric.",
    )
    minimum_iterations: int = Field(
        1, ge=1, le=LARGEST_COUNT, description="Iterations before patience may stop the training."
    )


class RecordingConfig(Settings):
    """What goes into the database; episodes, trades and operations always do."""

    training_step_fraction: float = Field(
        1.0, ge=0, le=1, description="Share of training episodes whose every step is recorded."
    )


class ResourcesConfig(Settings):
    """Processes and accounts: how the work is spread, and with that what is sampled.

    Each account of each env runner draws from a stream of its own, so another number of
    env runners or accounts gives other records from the same seed; a learner process and
    the time that recovery may take change none.
    """

    num_env_runners: int = Field(
        0, ge=0, le=4096, description="Sampling processes; 0 samples in the driver."
    )
    num_envs_per_env_runner: int = Field(
        64, ge=1, le=65_536, description="Accounts stepped together by one env runner."
    )
    num_learners: int = Field(
        0, ge=0, le=1, description="Learner processes; 0 learns in the driver."
    )
    num_gpus_per_learner: float = Field(0, ge=0, le=8, description="GPUs of a learner.")
    recovery_seconds: float | None = Field(
        None,
        gt=0,
        le=86_400,
        description="Longest wait for a lost env runner; null: 180 here, 600 on a cluster.",
    )
