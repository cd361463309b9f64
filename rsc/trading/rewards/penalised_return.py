"""Log return less a price on drawdown and turnover."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from numba import njit
from pydantic import Field

from rsc.trading.rewards.base import Reward
from rsc.trading.rewards.log_return import log_return

_DRAWDOWN, _TURNOVER = 0, 1  # places in the parameters


class PenalisedReturn(Reward):
    """Log return less a price on each new depth of drawdown and on turnover."""

    CODE: ClassVar[int] = 2

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

    def parameters(self) -> tuple[float, ...]:
        """Return both penalties."""
        return self.drawdown_penalty, self.turnover_penalty


@njit(error_model="numpy")
def penalised_return(params: Any, bar: Any, account: Any, value: float, drawdown: float) -> float:
    """Return the log return less both penalties."""
    deeper = max(0.0, account.drawdown - drawdown)
    turnover = bar.traded_value / account.value
    lost = params.reward[_DRAWDOWN] * deeper + params.reward[_TURNOVER] * turnover
    reward: float = log_return(params, account, value) - lost
    return reward
