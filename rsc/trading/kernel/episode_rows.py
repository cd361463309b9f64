"""Rows of steps and episodes: copies of an account at the moment a thing happened.

Section 11 of the trading semantics says what each field means and when it is null.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from rsc.trading.kernel.episode_metrics import erase_metrics, write_metrics
from rsc.trading.records import NULL_INDEX, NULL_TIMESTAMP, Cause, EpisodeState

# Numba wants plain integers.
_RUNNING, _COMPLETED = int(EpisodeState.RUNNING), int(EpisodeState.COMPLETED)
_STOPPED, _INTERRUPTED = int(EpisodeState.INTERRUPTED), int(Cause.INTERRUPTED)


@njit(error_model="numpy")
def write_step(
    bar: Any, account: Any, action: int, target: float, status: int, reward: float, step: Any
) -> None:
    """Write the step that has just been settled."""
    value = account.value
    step.episode_id = account.episode_id
    step.step_index = account.step_index
    step.bar_index = bar.bar_index
    step.timestamp = bar.timestamp
    step.action = action
    step.target_exposure = target
    step.order_status = status
    step.price = bar.close
    step.cash = account.cash
    step.position = account.position
    step.average_entry_price = account.average_entry if account.position != 0.0 else np.nan
    step.portfolio_value = value
    step.exposure = account.position * bar.close / value if value > 0.0 else np.nan
    step.drawdown = account.drawdown
    step.reward = reward
    step.fees = bar.fees
    step.slippage = bar.slippage
    step.carry = bar.carry
    step.traded_value = bar.traded_value


@njit(error_model="numpy")
def write_start(params: Any, account: Any, episode: Any) -> None:
    """Write the row of an episode that begins: running, and null what is not known yet."""
    _write_facts(params, account, episode)
    episode.end_bar_index = episode.ended_by = NULL_INDEX
    episode.end_timestamp = NULL_TIMESTAMP
    episode.state = _RUNNING
    episode.step_count = episode.operation_count = episode.trade_count = NULL_INDEX
    episode.final_portfolio_value = episode.episode_return = np.nan
    episode.fees = episode.slippage = episode.carry = episode.traded_value = np.nan
    erase_metrics(episode)


@njit(error_model="numpy")
def write_end(params: Any, bar: Any, account: Any, ended_by: int, episode: Any) -> None:
    """Write the final row of an episode; an interrupted one has no metrics."""
    _write_facts(params, account, episode)
    episode.end_bar_index = bar.bar_index
    episode.end_timestamp = bar.timestamp
    episode.ended_by = ended_by
    episode.final_portfolio_value = account.value
    episode.step_count = account.step_index
    episode.operation_count = account.operation_count
    episode.trade_count = account.trade_count
    episode.episode_return = account.episode_return
    episode.fees = account.fees
    episode.slippage = account.slippage
    episode.carry = account.carry
    episode.traded_value = account.traded_value
    if ended_by == _INTERRUPTED:
        episode.state = _STOPPED
        erase_metrics(episode)
    else:
        episode.state = _COMPLETED
        write_metrics(params, account, episode)


@njit(error_model="numpy")
def _write_facts(params: Any, account: Any, episode: Any) -> None:
    """Write what is known from the start."""
    episode.episode_id = account.episode_id
    episode.split = account.split
    episode.policy = account.policy
    episode.fold = account.fold
    episode.instrument = account.instrument
    episode.iteration = account.iteration
    episode.steps_recorded = account.steps_recorded
    episode.start_bar_index = account.start_row - account.offset
    episode.start_timestamp = account.start_timestamp
    episode.initial_portfolio_value = params.initial_value
