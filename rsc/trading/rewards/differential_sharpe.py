"""Differential Sharpe ratio (Moody & Saffell 2001)."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from numba import njit
from pydantic import Field

from rsc.trading.rewards.base import Reward

# Places in the parameters and in the state.
_RATE, _FLOOR = 0, 1
_FIRST, _SECOND = 0, 1


class DifferentialSharpe(Reward):
    """Change of a moving Sharpe ratio (Moody & Saffell 2001), started at stated values."""

    CODE: ClassVar[int] = 1

    kind: Literal["differential_sharpe"] = Field("differential_sharpe", description="Which reward.")
    adaptation_rate: float = Field(
        0.01, gt=0.0, lt=1.0, description="Rate eta of the moving moments, per bar."
    )
    initial_volatility: float = Field(
        0.01,
        gt=0.0,
        allow_inf_nan=False,
        description="Standard deviation of the return of a bar assumed at the start, fraction.",
    )

    def parameters(self) -> tuple[float, ...]:
        """Return the rate, and the least standard deviation."""
        return self.adaptation_rate, self.initial_volatility / 10.0

    def start(self) -> tuple[float, ...]:
        """Return the first and the second moment at the start."""
        return 0.0, self.initial_volatility**2


@njit(error_model="numpy")
def differential_sharpe(params: Any, account: Any, value: float) -> float:
    """Return D and move the two moments; B has a floor above A squared."""
    period_return = value / account.value - 1.0
    first = account.reward_state[_FIRST]
    floor = first * first + params.reward[_FLOOR] * params.reward[_FLOOR]
    second = max(account.reward_state[_SECOND], floor)
    delta_first = period_return - first
    delta_second = period_return * period_return - second
    account.reward_state[_FIRST] = first + params.reward[_RATE] * delta_first
    account.reward_state[_SECOND] = second + params.reward[_RATE] * delta_second
    spread = second - first * first
    ratio: float = (second * delta_first - 0.5 * first * delta_second) / spread**1.5
    return ratio
