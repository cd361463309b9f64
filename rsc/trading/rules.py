"""The rules of one account: what a user may set.

`TradingConfig` is section 1 of docs/trading-semantics.md with its bounds, plus the
exposures behind the integer actions and the reward. The kernel reads the same as
numbers (``kernel.params``). Nothing here steps anything.
"""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from rsc.trading.rewards.log_return import LogReturn
from rsc.trading.rewards.registry import RewardConfig

# Basis points in a whole.
BASIS_POINTS = 10_000.0


class TradingConfig(BaseModel):
    """Costs, fills, sizing, protection and reward of every account of a run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    initial_portfolio_value: float = Field(
        100_000.0,
        gt=0.0,
        allow_inf_nan=False,
        description="Cash at the start of an episode, money.",
    )
    fill: Literal["next_open", "next_close"] = Field(
        "next_open", description="Where in the next bar the order of a decision is filled."
    )
    fee_bps: float = Field(
        1.0, ge=0.0, lt=1000.0, description="Fee on every fill, basis points of the traded money."
    )
    slippage_bps: float = Field(
        1.0, ge=0.0, lt=1000.0, description="Slippage on every fill, basis points of the price."
    )
    borrow_rate: float = Field(
        0.005, ge=0.0, allow_inf_nan=False, description="Cost of short value, fraction a year."
    )
    financing_rate: float = Field(
        0.05, ge=0.0, allow_inf_nan=False, description="Cost of negative cash, fraction a year."
    )
    day_count: Literal[360, 365] = Field(
        360, description="Days in a year for the borrow and the financing rate."
    )
    position_fraction: float = Field(
        1.0,
        gt=0.0,
        allow_inf_nan=False,
        description="Target exposure = exposure of the action x this; at most max_leverage.",
    )
    max_leverage: float = Field(
        1.0, ge=1.0, allow_inf_nan=False, description="Largest exposure, either direction."
    )
    maintenance_margin: float = Field(
        0.25,
        ge=0.0,
        lt=1.0,
        description="Share of the position's value below which it is liquidated.",
    )
    units: Literal["fractional", "whole"] = Field(
        "fractional", description="Whether a part of a unit can be held."
    )
    minimum_trade_value: float = Field(
        0.0,
        ge=0.0,
        allow_inf_nan=False,
        description="Money; a smaller order is not sent (full exits always are).",
    )
    rebalance_tolerance: float | None = Field(
        None,
        ge=0.0,
        allow_inf_nan=False,
        description="Distance of the exposure from its target that triggers a trade; "
        "null: hold while the target is unchanged.",
    )
    stop_loss: float | None = Field(
        None,
        gt=0.0,
        lt=1.0,
        description="Fraction of the average entry price; more than the slippage.",
    )
    take_profit: float | None = Field(
        None, gt=0.0, allow_inf_nan=False, description="Fraction of the average entry price."
    )
    cooldown_bars: int = Field(
        0, ge=0, le=1_000_000, description="Bars without new entries after a protective exit."
    )
    max_drawdown_limit: float | None = Field(
        None, gt=0.0, lt=1.0, description="Fraction under the peak at which the episode ends."
    )
    ruin_fraction: float = Field(
        0.01,
        gt=0.0,
        lt=1.0,
        description="Fraction of the initial portfolio value at which the episode ends.",
    )
    actions: tuple[float, ...] = Field(
        (-1.0, 0.0, 1.0),
        min_length=2,
        max_length=1001,
        description="Exposure behind each integer action, before position_fraction; distinct.",
    )
    reward: RewardConfig = Field(
        default_factory=LogReturn, description="What the agent is paid for each step."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        """Refuse combinations in which the arithmetic has no answer."""
        self._check_leverage()
        self._check_entries()
        slippage = self.slippage_bps / BASIS_POINTS
        if self.stop_loss is not None and self.stop_loss <= slippage:
            raise ValueError(
                f"stop_loss was {self.stop_loss}, must be more than slippage_bps/10000 = "
                f"{slippage} (every entry would be stopped at once)"
            )
        # A short is sold at 1 - slippage; its stop must be above 1, where it was decided.
        least = slippage / (1.0 - slippage)
        if self.stop_loss is not None and self.stop_loss <= least and self.exposures.min() < 0.0:
            raise ValueError(
                f"stop_loss was {self.stop_loss}, must be more than s/(1 - s) = {least:.6g} with "
                "s = slippage_bps/10000 (every short entry would be stopped at once)"
            )
        return self

    def _check_leverage(self) -> None:
        """Refuse exposures that cannot be bought or are liquidated on the spot."""
        if self.position_fraction > self.max_leverage:
            raise ValueError(
                f"position_fraction was {self.position_fraction}, must be at most "
                f"max_leverage = {self.max_leverage}"
            )
        if self.max_leverage * self.maintenance_margin >= 1.0:
            raise ValueError(
                f"max_leverage x maintenance_margin was "
                f"{self.max_leverage * self.maintenance_margin}, must be less than 1 "
                "(an entry at full leverage would be liquidated at once)"
            )
        if not all(np.isfinite(self.actions)) or len(set(self.actions)) < len(self.actions):
            raise ValueError(f"actions was {self.actions}, must be finite and distinct exposures")
        largest = float(np.abs(self.exposures).max())
        if largest > self.max_leverage:
            raise ValueError(
                f"the largest |action| x position_fraction was {largest}, must be at most "
                f"max_leverage = {self.max_leverage}"
            )

    def _check_entries(self) -> None:
        """Refuse exposures whose costs put the liquidation price at the price of the entry.

        An entry e out of cash V at price 1 leaves cash V(1 - e) for a long and, for a short,
        V(1 + |e| sold / cost): put into the liquidation prices of section 7.
        """
        fee, slippage = self.fee_bps / BASIS_POINTS, self.slippage_bps / BASIS_POINTS
        cost, sold = (1.0 + slippage) * (1.0 + fee), (1.0 - slippage) * (1.0 - fee)
        for side, exposure, lost in (
            ("long", self.exposures.max(), cost - 1.0),
            ("short", -self.exposures.min(), 1.0 - sold),
        ):
            if exposure * (self.maintenance_margin + lost) >= cost:
                raise ValueError(
                    f"the largest {side} exposure was {exposure}, must be less than "
                    f"{cost / (self.maintenance_margin + lost):.6g} with these costs and this "
                    "maintenance_margin (every such entry would be liquidated at once)"
                )

    @property
    def exposures(self) -> NDArray[np.float64]:
        """Target exposure e of each integer action, shape (actions,)."""
        return np.asarray(self.actions, np.float64) * self.position_fraction + 0.0
