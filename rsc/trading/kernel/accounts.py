"""The state of an account: one row of one structured array.

Everything that the next step depends on is here (cash, position, the open trade,
running totals, moments of the reward and of the metrics), so an account lies in a
few cache lines and a checkpoint of all accounts is one small array. The meaning of
the symbols is in docs/trading-semantics.md.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from rsc.trading.rewards.base import REWARD_NUMBERS
from rsc.trading.rules import TradingConfig

ACCOUNT_DTYPE = np.dtype(
    [
        # The episode.
        ("episode_id", np.int64),
        ("offset", np.int64),  # market row of bar_index 0 of the instrument
        ("start_row", np.int64),
        ("start_timestamp", np.int64),
        ("end_row", np.int64),
        ("row", np.int64),  # last seen bar
        ("step_index", np.int64),  # of the next decision
        ("split", np.int64),
        ("policy", np.int64),
        ("fold", np.int64),
        ("instrument", np.int64),
        ("iteration", np.int64),
        ("steps_recorded", np.int64),
        # The money.
        ("cash", np.float64),
        ("position", np.float64),
        ("average_entry", np.float64),  # 0 when flat
        ("held", np.float64),  # target exposure of the last fill, 0 when flat
        ("value", np.float64),
        ("peak", np.float64),
        ("drawdown", np.float64),
        ("cooldown_left", np.int64),
        # The open trade.
        ("trade_side", np.int64),
        ("trade_entry_step", np.int64),
        ("trade_entry_bar", np.int64),
        ("trade_entry_timestamp", np.int64),
        ("trade_entry_units", np.float64),
        ("trade_entry_value", np.float64),
        ("trade_exit_units", np.float64),
        ("trade_exit_value", np.float64),
        ("trade_cash_flow", np.float64),  # -sum of n*q
        ("trade_fees", np.float64),
        ("trade_slippage", np.float64),
        ("trade_carry", np.float64),
        ("trade_mae", np.float64),
        ("trade_mfe", np.float64),
        ("trade_operations", np.int64),
        # Totals of the episode.
        ("operation_count", np.int64),
        ("trade_count", np.int64),
        ("episode_return", np.float64),
        ("fees", np.float64),
        ("slippage", np.float64),
        ("carry", np.float64),
        ("traded_value", np.float64),
        ("reward_state", np.float64, (REWARD_NUMBERS,)),  # what the reward remembers
        # Running sums of the episode's metrics.
        ("return_mean", np.float64),
        ("return_squares", np.float64),  # sum of squared distances from the mean (Welford)
        ("return_down_squares", np.float64),
        ("return_minimum", np.float64),
        ("return_maximum", np.float64),
        ("max_drawdown", np.float64),
        ("win_count", np.int64),
        ("win_sum", np.float64),
        ("loss_count", np.int64),
        ("loss_sum", np.float64),
        ("turnover_sum", np.float64),
        ("exposure_sum", np.float64),
        ("exposure_count", np.int64),
        ("in_market_count", np.int64),
    ],
    align=True,
)


# An episode that begins: what it fixes of account `index`. Bars are bar indices.
START_DTYPE = np.dtype(
    [
        (name, np.int64)
        for name in (
            "index",
            "instrument",
            "start",
            "end",
            "episode_id",
            "split",
            "policy",
            "fold",
            "steps_recorded",
            "iteration",
        )
    ]
)


def account_size(config: TradingConfig) -> int:
    """Return A, the number of account values in an observation.

    Exposure, unrealised return, drawdown, held target; and the share of the
    cool-down that is left where there is one.
    """
    return 4 + (config.cooldown_bars >= 1)


@njit(error_model="numpy")
def sign(value: float) -> int:
    """Return -1, 0 or 1."""
    return (value > 0.0) - (value < 0.0)


@njit(error_model="numpy")
def reset_account(params: Any, account: Any) -> None:
    """Put cash alone into `account` and every running sum to its start."""
    account.step_index = 0
    account.cash = account.value = account.peak = params.initial_value
    account.position = account.average_entry = account.held = account.drawdown = 0.0
    account.cooldown_left = account.operation_count = account.trade_count = 0
    account.episode_return = account.fees = account.slippage = 0.0
    account.carry = account.traded_value = 0.0
    for i in range(REWARD_NUMBERS):
        account.reward_state[i] = params.reward_start[i]
    account.return_mean = account.return_squares = account.return_down_squares = 0.0
    account.return_minimum, account.return_maximum = np.inf, -np.inf
    account.max_drawdown = account.win_sum = account.loss_sum = 0.0
    account.win_count = account.loss_count = 0
    account.turnover_sum = account.exposure_sum = 0.0
    account.exposure_count = account.in_market_count = 0


@njit(error_model="numpy")
def observe_account(params: Any, account: Any, price: float, out: Any, i: int) -> None:
    """Write the account part of an observation at a close of `price` into row `i` of `out`."""
    unrealised = 0.0
    exposure = 0.0
    if account.position != 0.0:
        unrealised = sign(account.position) * (price / account.average_entry - 1.0)
        # A position is never open where the value is not positive: that is ruin.
        exposure = account.position * price / account.value
    out[i, 0] = exposure
    out[i, 1] = unrealised
    out[i, 2] = account.drawdown
    out[i, 3] = account.held
    if params.cooldown_bars >= 1:
        out[i, 4] = account.cooldown_left / params.cooldown_bars
