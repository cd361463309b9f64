"""The three rewards: their configuration and their formula, side by side.

A reward is a branch on a small integer inside the kernel, not an object: it is
computed once for each step of each account. None is scaled or clipped; the only
floor is that a portfolio value below ruin counts as ruin, because the logarithm of a
debt does not exist. Formulas: section 12 of docs/trading-semantics.md.
"""

from __future__ import annotations

import math
from enum import IntEnum, unique
from typing import Annotated, Any, Literal

from numba import njit
from pydantic import BaseModel, ConfigDict, Field


@unique
class RewardKind(IntEnum):
    """Code of a reward inside the kernel."""

    LOG_RETURN = 0
    DIFFERENTIAL_SHARPE = 1
    PENALISED_RETURN = 2


class LogReturn(BaseModel):
    """Logarithm of the portfolio value's growth: sums to the log of the whole return."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["log_return"] = Field("log_return", description="Which reward.")


class DifferentialSharpe(BaseModel):
    """Change of a moving Sharpe ratio (Moody & Saffell 2001), started at stated values."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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


class PenalisedReturn(BaseModel):
    """Log return less a price on each new depth of drawdown and on turnover."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["penalised_return"] = Field("penalised_return", description="Which reward.")
    drawdown_penalty: float = Field(
        0.1, ge=0.0, allow_inf_nan=False, description="Reward lost per unit of new drawdown."
    )
    turnover_penalty: float = Field(
        0.0,
        ge=0.0,
        allow_inf_nan=False,
        description="Reward lost per portfolio value traded in a step.",
    )


RewardConfig = Annotated[
    LogReturn | DifferentialSharpe | PenalisedReturn, Field(discriminator="kind")
]


def reward_kind(config: LogReturn | DifferentialSharpe | PenalisedReturn) -> RewardKind:
    """Return the kernel's code of a configured reward."""
    return RewardKind[config.kind.upper()]


# Numba wants plain integers.
_DIFFERENTIAL_SHARPE = int(RewardKind.DIFFERENTIAL_SHARPE)
_PENALISED_RETURN = int(RewardKind.PENALISED_RETURN)


@njit(error_model="numpy")
def step_reward(params: Any, bar: Any, account: Any, value: float, drawdown: float) -> float:
    """Return the reward of one step from `account` (before) to `value` (after).

    Parameters
    ----------
    params : record of PARAMS_DTYPE
    bar : record of BAR_DTYPE
    account : record of ACCOUNT_DTYPE
        ``value`` and ``drawdown`` are still those of the close before.
    value, drawdown : float
        Portfolio value (money) and drawdown (fraction, <= 0) at this close.
    """
    if params.reward_kind == _DIFFERENTIAL_SHARPE:
        reward: float = _differential_sharpe(params, account, value / account.value - 1.0)
        return reward
    reward = math.log(max(value, params.ruin_value) / account.value)
    if params.reward_kind == _PENALISED_RETURN:
        deeper = max(0.0, account.drawdown - drawdown)
        turnover = bar.traded_value / account.value
        reward -= params.drawdown_penalty * deeper + params.turnover_penalty * turnover
    return reward


@njit(error_model="numpy")
def _differential_sharpe(params: Any, account: Any, period_return: float) -> float:
    """Return D and move the two moments of `account`; B has a floor above A squared."""
    first = account.first_moment
    floor = first * first + params.volatility_floor * params.volatility_floor
    second = max(account.second_moment, floor)
    delta_first = period_return - first
    delta_second = period_return * period_return - second
    account.first_moment = first + params.adaptation_rate * delta_first
    account.second_moment = second + params.adaptation_rate * delta_second
    spread = second - first * first
    ratio: float = (second * delta_first - 0.5 * first * delta_second) / spread**1.5
    return ratio
