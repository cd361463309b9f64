"""What the settings of all algorithms share.

Words are RLlib's where RLlib has one; a step is always one decision of one account.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from rsc.config.algorithms.network import MlpNetwork, NetworkConfig
from rsc.config.settings import Settings

LARGEST_COUNT = 10**15  # of steps: far more than is ever taken, and exact as a float
LARGEST_BUFFER = 10**9
LARGEST_BATCH = 10**7


class AlgorithmConfig(Settings):
    """What every algorithm can be told.

    A subclass adds its own settings and ``algorithm``, a `Literal` of its name, and overrides
    `horizon_bars` where its targets reach further than one bar.
    """

    total_steps: int = Field(
        100_000,
        ge=1,
        le=LARGEST_COUNT,
        description="Environment steps to train for, over all accounts.",
    )
    iteration_steps: int = Field(
        8_192,
        ge=1,
        le=LARGEST_COUNT,
        description="Least environment steps in one training iteration.",
    )
    lr: float = Field(5e-4, gt=0, le=1, description="Learning rate of Adam.")
    gamma: float = Field(0.95, ge=0, le=1, description="Discount factor for one step.")
    hidden: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = Field(
        (256, 256), min_length=1, description="Units of each hidden layer."
    )
    activation: Literal["relu", "tanh", "silu"] = Field(
        "relu", description="Activation of the hidden layers."
    )
    # Left out where it is the default, so that digests of older runs stay as they are.
    network: NetworkConfig = Field(
        MlpNetwork(),
        exclude_if=lambda network: network == MlpNetwork(),
        description="What reads a window and an account.",
    )
    grad_clip: float = Field(10.0, gt=0, description="Largest global norm of the gradient.")
    reward_scale: float = Field(
        100.0,
        gt=0,
        description="Factor on rewards inside the learner only; records keep the reward.",
    )
    rollout_fragment_length: int = Field(
        8, ge=1, le=65_536, description="Steps of each account in one sampling round."
    )

    @property
    def horizon_bars(self) -> int:
        """Bars that a training target reaches on from its decision; sizes the purge."""
        return 1


class ReplayConfig(AlgorithmConfig):
    """What every algorithm that learns from a replay buffer can be told."""

    batch_size: int = Field(512, ge=1, le=LARGEST_BATCH, description="Transitions in one update.")
    replay_ratio: float = Field(
        1.0, gt=0, le=1024, description="Transitions learned for each one sampled."
    )
    buffer_size: int = Field(
        200_000, ge=1, le=LARGEST_BUFFER, description="Transitions kept for replay."
    )
    learning_starts: int = Field(
        2_048, ge=0, le=LARGEST_COUNT, description="Environment steps before the first update."
    )
    n_step: int = Field(
        1, ge=1, le=100, description="Steps of reward summed before bootstrapping, at least 1."
    )

    @property
    def horizon_bars(self) -> int:
        """Bars whose rewards are in one target."""
        return self.n_step

    @model_validator(mode="after")
    def _learns_from_what_it_keeps(self) -> Self:
        if self.batch_size > self.buffer_size:
            msg = (
                f"batch_size was {self.batch_size}, must be at most "
                f"buffer_size ({self.buffer_size})"
            )
            raise ValueError(msg)
        if self.learning_starts >= self.total_steps:
            raise ValueError(
                f"learning_starts was {self.learning_starts}, must be less than "
                f"training.total_steps = {self.total_steps} (else nothing is ever learned)"
            )
        return self
