"""Settings of discrete soft actor-critic."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rsc.config.algorithms.base import ReplayConfig


class SacConfig(ReplayConfig):
    """Soft actor-critic (Haarnoja 2018) for discrete actions (Christodoulou 2019)."""

    algorithm: Literal["sac"] = Field("sac", description="Which algorithm trains.")
    target_rate: float = Field(
        0.005,
        gt=0,
        le=1,
        description="Share of the Q-networks that goes into their targets in each update.",
    )
    initial_temperature: float = Field(
        1.0, gt=0, le=1e6, description="Weight of the entropy at first; it is learned."
    )
    target_entropy_fraction: float = Field(
        0.3,
        gt=0,
        lt=1,
        description="Entropy that the temperature holds, as a share of log(actions).",
    )
