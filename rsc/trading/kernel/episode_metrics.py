"""Metrics of an episode, accumulated while it runs.

One pass, no list of values: Welford's moments for the returns, sums for the rest
(B. P. Welford, Technometrics 4, 1962). The formulas and the null rules are those of
section 1 of docs/performance-metrics.md; ``rsc.trading.performance.metrics`` computes the
same and more from recorded values.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit


@njit(error_model="numpy")
def accumulate_step(bar: Any, account: Any, value: float, drawdown: float) -> None:
    """Count one close; `account` still holds the value of the close before."""
    period_return = value / account.value - 1.0
    distance = period_return - account.return_mean
    account.return_mean += distance / (account.step_index + 1)
    account.return_squares += distance * (period_return - account.return_mean)
    if period_return < 0.0:
        account.return_down_squares += period_return * period_return
    account.return_minimum = min(account.return_minimum, period_return)
    account.return_maximum = max(account.return_maximum, period_return)
    account.max_drawdown = min(account.max_drawdown, drawdown)
    account.turnover_sum += bar.traded_value / account.value
    if value > 0.0:
        account.exposure_sum += abs(account.position * bar.close / value)
        account.exposure_count += 1
    account.in_market_count += account.position != 0.0


@njit(error_model="numpy")
def write_metrics(params: Any, account: Any, episode: Any) -> None:
    """Write the metrics of a completed episode (at least one step) into its row."""
    steps = account.step_index
    year = params.periods_per_year
    episode.total_return = account.value / params.initial_value - 1.0
    episode.max_drawdown = account.max_drawdown
    episode.turnover = year / steps * account.turnover_sum
    episode.time_in_market = account.in_market_count / steps
    episode.average_exposure = _ratio(account.exposure_sum, account.exposure_count)
    episode.win_rate = _ratio(account.win_count, account.trade_count)
    episode.profit_factor = _ratio(account.win_sum, -account.loss_sum)
    episode.volatility = episode.sharpe = episode.sortino = np.nan
    if steps < 2:
        return
    deviation = 0.0
    if account.return_maximum > account.return_minimum:
        deviation = math.sqrt(account.return_squares / (steps - 1))
    downside = math.sqrt(account.return_down_squares / steps)
    episode.volatility = deviation * math.sqrt(year)
    episode.sharpe = _ratio(account.return_mean * math.sqrt(year), deviation)
    episode.sortino = _ratio(account.return_mean * math.sqrt(year), downside)


@njit(error_model="numpy")
def erase_metrics(episode: Any) -> None:
    """Write null into every metric: the episode runs or was interrupted."""
    episode.total_return = episode.max_drawdown = episode.turnover = np.nan
    episode.time_in_market = episode.average_exposure = np.nan
    episode.win_rate = episode.profit_factor = np.nan
    episode.volatility = episode.sharpe = episode.sortino = np.nan


@njit(error_model="numpy")
def _ratio(over: float, under: float) -> float:
    """Return over / under, null where nothing is below the line."""
    return over / under if under > 0.0 else np.nan
