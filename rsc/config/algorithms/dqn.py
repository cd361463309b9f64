"""Settings of deep Q-learning."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rsc.config.algorithms.base import LARGEST_COUNT, ReplayConfig


class DqnConfig(ReplayConfig):
    """Deep Q-learning (Mnih 2015), double (van Hasselt 2016), dueling (Wang 2016), n-step."""

    algorithm: Literal["dqn"] = Field("dqn", description="Which algorithm trains.")
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
