"""Logarithm of growth: the plain reward."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

from numba import njit
from pydantic import Field

from rsc.trading.rewards.base import Reward


class LogReturn(Reward):
    """Logarithm of the portfolio value's growth: sums to the log of the whole return."""

    CODE: ClassVar[int] = 0

    kind: Literal["log_return"] = Field("log_return", description="Which reward.")


@njit(error_model="numpy")
def log_return(params: Any, account: Any, value: float) -> float:
    """Return the log return; a value below ruin counts as ruin: a debt has no logarithm."""
    return math.log(max(value, params.ruin_value) / account.value)
