"""The baselines: one line each, and what a run says of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from rsc.trading.environments.baselines.base import Course, Decide
from rsc.trading.environments.baselines.buy_and_hold import buy_and_hold
from rsc.trading.environments.baselines.flat import flat
from rsc.trading.environments.baselines.outside import OutsideBaseline
from rsc.trading.environments.baselines.random_actions import random_actions
from rsc.trading.environments.baselines.sma_crossover import sma_crossover
from rsc.trading.records import OUTSIDE, Policy

BASELINES: dict[Policy, Callable[[Course], Decide]] = {
    Policy.BUY_AND_HOLD: buy_and_hold,
    Policy.SMA_CROSSOVER: sma_crossover,
    Policy.RANDOM: random_actions,
    Policy.FLAT: flat,
}
"""The built-in ones, in the order of tables."""


class BaselineConfig(BaseModel):
    """Settings of the baselines."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sma_fast: int = Field(50, ge=1, description="Bars of the fast moving average.")
    sma_slow: int = Field(200, ge=2, description="Bars of the slow one, more than sma_fast.")
    custom: tuple[OutsideBaseline, ...] = Field(
        (),
        max_length=len(OUTSIDE),
        description="Rules and policies from outside that the agent is compared with as well.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.sma_fast >= self.sma_slow:
            msg = (
                f"sma_fast was {self.sma_fast}, must be less than sma_slow ({self.sma_slow}): "
                "the fast average crosses the slow one"
            )
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [policy.name.lower() for policy in Policy]
        for one in self.custom:
            if one.name in names:
                raise ValueError(f"custom had the name {one.name!r} twice, must be unique")
            names.append(one.name)
        return self

    def decisions(self) -> dict[Policy, Callable[[Course], Decide]]:
        """Return every baseline of a run: the built-in ones, then those from outside."""
        own = zip(OUTSIDE, self.custom, strict=False)
        return BASELINES | {code: one.decisions for code, one in own}

    def name_of(self, policy: Policy) -> str:
        """Return what people call a policy: of one from outside the name in the run file."""
        if policy in OUTSIDE:
            return self.custom[OUTSIDE.index(policy)].name
        return policy.name.lower()
