"""Settings of proximal policy optimisation."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rsc.config.algorithms.base import LARGEST_BATCH, AlgorithmConfig


class PpoConfig(AlgorithmConfig):
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
