"""What the kernel reads of the rules of an account: one record of numbers.

NaN stands for "not set", so that a comparison with a level that does not exist is
simply false. The digest of the kernel's source is part of the record's type
(``kernel_source`` says why).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rsc.trading.kernel.kernel_source import kernel_digest
from rsc.trading.rewards.base import REWARD_NUMBERS, Reward
from rsc.trading.rules import BASIS_POINTS, TradingConfig

# What the kernel reads of a `TradingConfig`, one record; NaN where nothing is set. A record is
# passed on as a pointer: no reference counting between the functions of the kernel.
PARAMS_DTYPE = np.dtype(
    [
        ("initial_value", np.float64),
        ("fill_at_close", np.bool_),
        ("fee_rate", np.float64),
        ("slippage_rate", np.float64),
        ("entry_cost", np.float64),  # kappa = (1 + slippage)(1 + fee): a unit, costs included
        ("borrow_rate", np.float64),
        ("financing_rate", np.float64),
        ("day_count", np.float64),
        ("maintenance_margin", np.float64),
        ("whole_units", np.bool_),
        ("minimum_trade_value", np.float64),
        ("rebalance_tolerance", np.float64),
        ("stop_loss", np.float64),
        ("take_profit", np.float64),
        ("cooldown_bars", np.int64),
        ("value_limit", np.float64),  # 1 - max_drawdown_limit, of the peak
        ("ruin_value", np.float64),
        ("debt_floor", np.float64),  # cash above it is rounding, not debt
        ("reward_kind", np.int64),
        ("reward", np.float64, (REWARD_NUMBERS,)),
        ("reward_start", np.float64, (REWARD_NUMBERS,)),
        ("periods_per_year", np.float64),
        (f"source_{kernel_digest()}", np.int8),
    ],
    align=True,
)


def _or_nan(value: float | None) -> float:
    """Return `value`, NaN for None."""
    return float("nan") if value is None else float(value)


def kernel_params(config: TradingConfig, periods_per_year: float) -> NDArray[np.void]:
    """Return the numbers of `config` as the kernel reads them.

    Parameters
    ----------
    config : TradingConfig
    periods_per_year : float
        Bars in a year, for the annualised metrics of an episode.

    Returns
    -------
    ndarray of PARAMS_DTYPE, shape (1,)
    """
    params = np.zeros(1, PARAMS_DTYPE)
    for name, value in (_money(config) | _order(config)).items():
        params[name] = value
    _set_reward(params[0], config.reward)
    params["periods_per_year"] = periods_per_year
    return params


def _money(config: TradingConfig) -> dict[str, float]:
    """Return costs and the values at which an episode ends."""
    fee, slippage = config.fee_bps / BASIS_POINTS, config.slippage_bps / BASIS_POINTS
    initial = config.initial_portfolio_value
    return {
        "initial_value": initial,
        "fee_rate": fee,
        "slippage_rate": slippage,
        "entry_cost": (1.0 + slippage) * (1.0 + fee),
        "borrow_rate": config.borrow_rate,
        "financing_rate": config.financing_rate,
        "day_count": config.day_count,
        "value_limit": 1.0 - _or_nan(config.max_drawdown_limit),
        "ruin_value": config.ruin_fraction * initial,
        # Cash of a fully invested account may read +-1e-13: not a loan.
        "debt_floor": -1e-9 * initial,
    }


def _order(config: TradingConfig) -> dict[str, float]:
    """Return what decides about orders and protective levels."""
    return {
        "fill_at_close": config.fill == "next_close",
        "maintenance_margin": config.maintenance_margin,
        "whole_units": config.units == "whole",
        "minimum_trade_value": config.minimum_trade_value,
        "rebalance_tolerance": _or_nan(config.rebalance_tolerance),
        "stop_loss": _or_nan(config.stop_loss),
        "take_profit": _or_nan(config.take_profit),
        "cooldown_bars": config.cooldown_bars,
    }


def _set_reward(params: np.void, reward: Reward) -> None:
    """Write the reward's branch, and its numbers; the rest of both arrays stays 0."""
    params["reward_kind"] = reward.CODE
    for name, numbers in (("reward", reward.parameters()), ("reward_start", reward.start())):
        params[name][: len(numbers)] = numbers
