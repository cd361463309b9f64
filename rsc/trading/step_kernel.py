"""The kernel: one step of many accounts, in the order of events of section 3.

A plain loop over accounts; each calls the compiled functions of the sibling modules,
which the compiler inlines. No Python object is made and no memory is allocated: the
record buffers are large enough before the call. Results do not depend on how many
accounts there are or in which slot one lives.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rsc.trading.accounts import observe_account, open_account
from rsc.trading.episode_metrics import accumulate_step, erase_metrics, write_metrics
from rsc.trading.fills import exit_fully, leave_trade_open, watch_price
from rsc.trading.orders import agent_order, protect
from rsc.trading.records import NULL_INDEX, NULL_STAMP, Cause, EpisodeState, OrderStatus
from rsc.trading.rewards import step_reward

_NANOSECONDS_A_DAY = 86_400e9

# Numba wants plain integers.
_LIQUIDATION, _RUIN = int(Cause.LIQUIDATION), int(Cause.RUIN)
_MAX_DRAWDOWN, _END, _INTERRUPTED = int(Cause.MAX_DRAWDOWN), int(Cause.END), int(Cause.INTERRUPTED)
_VOID_END, _SUSPENDED = int(OrderStatus.VOID_END), int(OrderStatus.SUSPENDED)
_RUNNING, _COMPLETED = int(EpisodeState.RUNNING), int(EpisodeState.COMPLETED)
_STOPPED = int(EpisodeState.INTERRUPTED)
_GOES_ON = -1


class Prices(NamedTuple):
    """The read-only arrays of a `Market` that touch money."""

    offset: NDArray[np.int64]
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    stamp: NDArray[np.int64]
    tradable: NDArray[np.bool_]


class Outputs(NamedTuple):
    """What a step leaves for the agent, arrays of one row for each account."""

    row: NDArray[np.int32]
    account: NDArray[np.float32]
    portfolio_value: NDArray[np.float64]
    reward: NDArray[np.float64]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    active: NDArray[np.bool_]


@njit(cache=True, error_model="numpy")
def unknown_action(active: Any, action: Any, action_count: int) -> int:
    """Return the first active account whose action does not exist, or -1."""
    for i in range(len(active)):
        if active[i] and not 0 <= action[i] < action_count:
            return i
    return -1


@njit(cache=True, error_model="numpy")
def step_accounts(
    params: Any, market: Any, records: Any, accounts: Any, action: Any, out: Any
) -> int:
    """Step every active account once; return one whose reward is not finite, or -1."""
    broken = -1
    for i in range(len(accounts)):
        out.reward[i] = 0.0
        out.terminated[i] = out.truncated[i] = False
        if not out.active[i]:
            continue
        account = accounts[i]
        status = _bar(params, market, records, account, params.exposures[action[i]])
        ended_by = _ended_by(params, market, account)
        reward = _settle(params, market, records, account, action[i], status, ended_by)
        if not math.isfinite(reward):
            broken = i
        row = account.row
        out.row[i] = row
        out.portfolio_value[i] = account.value
        out.reward[i] = reward
        observe_account(params, account, market.close[row], out.account[i])
        if ended_by != _GOES_ON:
            out.truncated[i] = ended_by == _END
            out.terminated[i] = ended_by != _END
            out.active[i] = False
            _end_episode(params, market, records, account, ended_by)
    return broken


@njit(cache=True, error_model="numpy")
def begin_accounts(
    params: Any, market: Any, records: Any, accounts: Any, starts: Any, out: Any
) -> None:
    """Open the accounts of `starts` and append their running episodes."""
    for k in range(len(starts.index)):
        i = starts.index[k]
        account = accounts[i]
        open_account(params, account, market.offset[starts.instrument[k]], starts, k)
        row = account.row
        out.row[i] = row
        out.portfolio_value[i] = account.value
        out.reward[i] = 0.0
        out.terminated[i] = out.truncated[i] = False
        out.active[i] = True
        observe_account(params, account, market.close[row], out.account[i])
        episode = _write_episode(params, market, records, account)
        episode.end_bar_index = episode.ended_by = NULL_INDEX
        episode.end_timestamp = NULL_STAMP
        episode.state = _RUNNING
        episode.step_count = episode.operation_count = episode.trade_count = NULL_INDEX
        episode.final_portfolio_value = episode.episode_return = np.nan
        episode.fees = episode.slippage = episode.carry = episode.traded_value = np.nan
        erase_metrics(episode)


@njit(cache=True, error_model="numpy")
def interrupt_accounts(params: Any, market: Any, records: Any, accounts: Any, out: Any) -> None:
    """Close every open episode as interrupted: no bar, no fill, an open trade stays open."""
    for i in range(len(accounts)):
        out.reward[i] = 0.0
        out.terminated[i] = out.truncated[i] = False
        if not out.active[i]:
            continue
        account = accounts[i]
        out.active[i] = False
        if account.position != 0.0:
            leave_trade_open(market, records, account)
        _end_episode(params, market, records, account, _INTERRUPTED)


@njit(cache=True, error_model="numpy")
def _bar(params: Any, market: Any, records: Any, account: Any, target: float) -> int:
    """Let the next bar happen up to its close (events 1 to 6); return the order's status."""
    row = account.row + 1
    account.step_fees = account.step_slippage = account.step_traded_value = 0.0
    account.stopped_side = account.liquidated = 0
    cooling = account.cooldown_left
    _charge_carry(params, market, account, row)
    account.row = row
    if market.tradable[row]:
        status = _trade_bar(params, market, records, account, row, target)
    else:
        status = _SUSPENDED
        if account.position != 0.0:
            watch_price(account, market.close[row])
    if cooling > 0 and account.stopped_side == 0:
        account.cooldown_left = cooling - 1
    return status


@njit(cache=True, error_model="numpy")
def _charge_carry(params: Any, market: Any, account: Any, row: int) -> None:
    """Charge borrow and financing for the days since the last close (event 1)."""
    days = (market.stamp[row] - market.stamp[row - 1]) / _NANOSECONDS_A_DAY
    short_value = max(0.0, -account.position) * market.close[row - 1]
    debt = max(0.0, -account.cash)
    yearly = params.borrow_rate * short_value + params.financing_rate * debt
    carry = yearly * days / params.day_count
    account.cash -= carry
    account.step_carry = carry
    account.carry += carry
    if account.position != 0.0:
        account.trade_carry += carry


@njit(cache=True, error_model="numpy")
def _trade_bar(
    params: Any, market: Any, records: Any, account: Any, row: int, target: float
) -> int:
    """Run events 3 to 6 of a bar that can be traded; return the order's status."""
    first = market.open[row]
    status = _VOID_END
    if account.position != 0.0:
        protect(params, market, records, account, row, first, first, first)
    if not params.fill_at_close:
        status = agent_order(params, market, records, account, row, target, first)
    if account.position != 0.0:
        protect(params, market, records, account, row, first, market.high[row], market.low[row])
    if params.fill_at_close and row < account.end_row:
        status = agent_order(params, market, records, account, row, target, market.close[row])
    return status


@njit(cache=True, error_model="numpy")
def _ended_by(params: Any, market: Any, account: Any) -> int:
    """Mark at the close and return the first reason for an end that holds (event 7)."""
    value = account.cash + account.position * market.close[account.row]
    if account.liquidated:
        return _LIQUIDATION
    if value <= params.ruin_value:
        return _RUIN
    if value <= params.value_limit * max(account.peak, value):
        return _MAX_DRAWDOWN
    if account.row == account.end_row:
        return _END
    return _GOES_ON


@njit(cache=True, error_model="numpy")
def _settle(
    params: Any, market: Any, records: Any, account: Any, action: int, status: int, ended_by: int
) -> float:
    """Close what must be closed, value the account, write the step (event 8)."""
    row = account.row
    price = market.close[row]
    if ended_by != _GOES_ON and account.position != 0.0:
        exit_fully(params, market, records, account, row, price, ended_by)
    value = account.cash + account.position * price
    peak = max(account.peak, value)
    drawdown = value / peak - 1.0
    exposure = account.position * price / value if value > 0.0 else np.nan
    reward: float = step_reward(params, account, value, drawdown)
    accumulate_step(account, value, drawdown, exposure)
    account.value = value
    account.peak = peak
    account.drawdown = drawdown
    account.episode_return += reward
    if account.steps_recorded:
        target = params.exposures[action]
        _write_step(market, records, account, action, target, status, exposure, reward)
    account.step_index += 1
    return reward


@njit(cache=True, error_model="numpy")
def _write_step(
    market: Any,
    records: Any,
    account: Any,
    action: int,
    target: float,
    status: int,
    exposure: float,
    reward: float,
) -> None:
    """Append the step that has just been settled."""
    step = records.steps[records.used[1]]
    records.used[1] += 1
    step.episode_id = account.episode_id
    step.step_index = account.step_index
    step.bar_index = account.row - account.offset
    step.timestamp = market.stamp[account.row]
    step.action = action
    step.target_exposure = target
    step.order_status = status
    step.price = market.close[account.row]
    step.cash = account.cash
    step.position = account.position
    step.average_entry_price = account.average_entry if account.position != 0.0 else np.nan
    step.portfolio_value = account.value
    step.exposure = exposure
    step.drawdown = account.drawdown
    step.reward = reward
    step.fees = account.step_fees
    step.slippage = account.step_slippage
    step.carry = account.step_carry
    step.traded_value = account.step_traded_value


@njit(cache=True, error_model="numpy")
def _write_episode(params: Any, market: Any, records: Any, account: Any) -> Any:
    """Append what running and ended episodes have in common; return the row."""
    episode = records.episodes[records.used[0]]
    records.used[0] += 1
    episode.episode_id = account.episode_id
    episode.phase = account.phase
    episode.policy = account.policy
    episode.fold = account.fold
    episode.instrument = account.instrument
    episode.iteration = account.iteration
    episode.steps_recorded = account.steps_recorded
    episode.start_bar_index = account.start_row - account.offset
    episode.start_timestamp = market.stamp[account.start_row]
    episode.initial_portfolio_value = params.initial_value
    return episode


@njit(cache=True, error_model="numpy")
def _end_episode(params: Any, market: Any, records: Any, account: Any, ended_by: int) -> None:
    """Append the final row of an episode."""
    episode = _write_episode(params, market, records, account)
    episode.end_bar_index = account.row - account.offset
    episode.end_timestamp = market.stamp[account.row]
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
