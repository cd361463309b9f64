"""How a run is trained, judged while it trains, recorded, and spread over processes.

Only settings live here, no behaviour: `rsc.training` reads them. They are below
that layer so that a configuration can be checked without importing Ray or torch.
Words are RLlib's where RLlib has one; a step is always one decision of one account.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

LARGEST_COUNT = 10**15  # of steps: far more than is ever taken, and exact as a float
LARGEST_BUFFER = 10**9
LARGEST_BATCH = 10**7


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _AlgorithmConfig(_Settings):
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
    grad_clip: float = Field(10.0, gt=0, description="Largest global norm of the gradient.")
    reward_scale: float = Field(
        100.0,
        gt=0,
        description="Factor on rewards inside the learner only; records keep the reward.",
    )
    rollout_fragment_length: int = Field(
        8, ge=1, le=65_536, description="Steps of each account in one sampling round."
    )


class DqnConfig(_AlgorithmConfig):
    """Deep Q-learning (Mnih 2015), double (van Hasselt 2016), dueling (Wang 2016), n-step."""

    algorithm: Literal["dqn"] = Field("dqn", description="Which algorithm trains.")
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
    double: bool = Field(True, description="Online net chooses, target net values.")
    dueling: bool = Field(False, description="Separate value and advantage heads.")
    target_update_steps: int = Field(
        4_096,
        ge=1,
        le=LARGEST_COUNT,
        description="Environment steps between copies to the target net.",
    )
    epsilon_initial: float = Field(1.0, ge=0, le=1, description="Share of random actions at first.")
    epsilon_final: float = Field(0.05, ge=0, le=1, description="Share of random actions at last.")
    epsilon_steps: int = Field(
        50_000,
        ge=1,
        le=LARGEST_COUNT,
        description="Environment steps from the first to the last share, linear.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.batch_size > self.buffer_size:
            msg = (
                f"batch_size was {self.batch_size}, must be at most "
                f"buffer_size ({self.buffer_size})"
            )
            raise ValueError(msg)
        return self


class PpoConfig(_AlgorithmConfig):
    """Proximal policy optimisation (Schulman 2017) with GAE (Schulman 2016)."""

    algorithm: Literal["ppo"] = Field("ppo", description="Which algorithm trains.")
    rollout_fragment_length: int = Field(
        32, ge=1, le=65_536, description="Steps of each account in one sampling round."
    )
    lr: float = Field(3e-4, gt=0, le=1, description="Learning rate of Adam.")
    minibatch_size: int = Field(
        512, ge=1, le=LARGEST_BATCH, description="Transitions in one gradient step."
    )
    epochs: int = Field(4, ge=1, le=1000, description="Passes over each round's transitions.")
    gae_lambda: float = Field(0.95, ge=0, le=1, description="Decay of the advantage estimator.")
    clip: float = Field(0.2, gt=0, lt=1, description="Clip range of the probability ratio.")
    entropy_coefficient: float = Field(0.01, ge=0, description="Weight of the entropy bonus.")
    value_coefficient: float = Field(0.5, ge=0, description="Weight of the value loss.")


def _algorithm_of(value: Any) -> Any:
    """Return which algorithm is meant; a file need not name the default one."""
    if isinstance(value, dict):
        return value.get("algorithm", "dqn")
    return getattr(value, "algorithm", None)


TrainingConfig = Annotated[
    Annotated[DqnConfig, Tag("dqn")] | Annotated[PpoConfig, Tag("ppo")],
    Discriminator(_algorithm_of),
]


class EvaluationConfig(_Settings):
    """When the greedy policy is judged on the validation split, and when training stops."""

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


class RecordingConfig(_Settings):
    """What goes into the database; episodes, trades and operations always do."""

    training_step_fraction: float = Field(
        1.0, ge=0, le=1, description="Share of training episodes whose every step is recorded."
    )


class ResourcesConfig(_Settings):
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
