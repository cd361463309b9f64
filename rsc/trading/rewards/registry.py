"""The rewards, a member and a branch for each.

A reward is a branch on a small integer inside the kernel, not an object: it is computed once
for each step of each account. One from outside takes the place of the whole branching
(`rsc.trading.kernel.step_kernel.stepping_with`), so that it costs the built-in ones nothing.
"""

from __future__ import annotations

from typing import Annotated, Any

from numba import njit
from pydantic import Field

from rsc.trading.rewards.custom import CustomReward
from rsc.trading.rewards.differential_sharpe import DifferentialSharpe, differential_sharpe
from rsc.trading.rewards.log_return import LogReturn, log_return
from rsc.trading.rewards.penalised_return import PenalisedReturn, penalised_return

RewardConfig = Annotated[
    LogReturn | DifferentialSharpe | PenalisedReturn | CustomReward, Field(discriminator="kind")
]
"""What a run says of its reward; ``kind`` says which."""

# Numba wants plain integers.
_DIFFERENTIAL_SHARPE, _PENALISED_RETURN = DifferentialSharpe.CODE, PenalisedReturn.CODE


@njit(error_model="numpy")
def step_reward(params: Any, bar: Any, account: Any, value: float, drawdown: float) -> float:
    """Return the reward of one step; the signature is that of `rsc.trading.rewards.base`."""
    reward: float
    if params.reward_kind == _DIFFERENTIAL_SHARPE:
        reward = differential_sharpe(params, account, value)
    elif params.reward_kind == _PENALISED_RETURN:
        reward = penalised_return(params, bar, account, value, drawdown)
    else:
        reward = log_return(params, account, value)
    return reward
