"""The kernel: one step of many accounts, in the order of events of section 3.

A plain loop over accounts. Only the loops of this module touch arrays; what they call
gets records (the account, the scratch record of its bar), so that no reference is
counted and no Python object is made between two accounts. No memory is allocated:
the record buffers are large enough before the call. What happens to an account does
not depend on how many there are or in which slot it lives.

The functions without underscore are called from Python, with arrays in plain tuples:
`market` (offset, open, high, low, close, timestamp, tradable), `records` (episodes, steps,
operations, trades, used), `out` (row, account, portfolio_value, reward, terminated,
truncated, active). A tuple class of our own would be pickled into the compile cache
and break it when it is renamed.
"""

from __future__ import annotations

import math
from typing import Any

from numba import njit

from rsc.trading.kernel.accounts import observe_account, reset_account
from rsc.trading.kernel.episode_metrics import accumulate_step
from rsc.trading.kernel.episode_rows import write_end, write_start, write_step
from rsc.trading.kernel.fills import (
    copy_operation,
    copy_trade,
    exit_fully,
    leave_trade_open,
    update_excursions,
)
from rsc.trading.kernel.orders import agent_order, protect
from rsc.trading.records import Cause, OrderStatus
from rsc.trading.rewards.registry import step_reward

_NANOSECONDS_A_DAY = 86_400e9

# Numba wants plain integers.
_LIQUIDATION, _RUIN = int(Cause.LIQUIDATION), int(Cause.RUIN)
_MAX_DRAWDOWN, _END, _INTERRUPTED = int(Cause.MAX_DRAWDOWN), int(Cause.END), int(Cause.INTERRUPTED)
_VOID_END, _SUSPENDED = int(OrderStatus.VOID_END), int(OrderStatus.SUSPENDED)
_GOES_ON = -1


@njit(cache=True, error_model="numpy")
def unknown_action(active: Any, action: Any, action_count: int) -> int:
    """Return the first active account whose action does not exist, or -1."""
    for i in range(len(active)):
        if active[i] and not 0 <= action[i] < action_count:
            return i
    return -1


@njit(cache=True, error_model="numpy")
def unfit_start(offset: Any, active: Any, starts: Any) -> int:
    """Return the first of `starts` whose account is not free or whose bars do not exist, or -1."""
    unfit = -1
    taken = 0
    for k in range(len(starts)):
        start = starts[k]
        i, instrument = start.index, start.instrument
        fits = 0 <= i < len(active) and not active[i] and 0 <= instrument < len(offset) - 1
        if fits:
            bars = offset[instrument + 1] - offset[instrument]
            fits = 0 <= start.start < start.end < bars
        if not fits:
            unfit = k
            break
        active[i] = True  # so that the same account twice is seen
        taken += 1
    for k in range(taken):
        active[starts[k].index] = False
    return unfit


@njit(cache=True, error_model="numpy")
def begin_accounts(
    params: Any, market: Any, records: Any, accounts: Any, starts: Any, out: Any
) -> None:
    """Put the episodes of `starts` into their accounts and append their running rows.

    `starts` has the fields of an account that an episode fixes, and ``index``.
    """
    rules = params[0]
    offset, _, _, _, close, timestamp, _ = market
    episodes, _, _, _, used = records
    row, observed, value, reward, terminated, truncated, active = out
    for k in range(len(starts)):
        start = starts[k]
        i = start.index
        account = accounts[i]
        account.episode_id, account.instrument = start.episode_id, start.instrument
        account.split, account.policy, account.fold = start.split, start.policy, start.fold
        account.iteration, account.steps_recorded = start.iteration, start.steps_recorded
        account.offset = offset[start.instrument]
        account.start_row = account.row = account.offset + start.start
        account.end_row = account.offset + start.end
        account.start_timestamp = timestamp[account.row]
        reset_account(rules, account)
        write_start(rules, account, episodes[used[0]])
        used[0] += 1
        row[i] = account.row
        value[i] = account.value
        reward[i] = 0.0
        terminated[i] = truncated[i] = False
        active[i] = True
        observe_account(rules, account, close[account.row], observed, i)


@njit(cache=True, error_model="numpy")
def step_accounts(
    params: Any,
    exposures: Any,
    market: Any,
    scratch: Any,
    records: Any,
    accounts: Any,
    action: Any,
    out: Any,
) -> int:
    """Step every active account once; return one whose reward is not finite, or -1."""
    rules, bar = params[0], scratch[0]
    _, opens, highs, lows, closes, timestamps, tradable = market
    episodes, steps, operations, trades, used = records
    row, observed, value, reward, terminated, truncated, active = out
    broken = -1
    for i in range(len(active)):
        reward[i] = 0.0
        terminated[i] = truncated[i] = False
        if not active[i]:
            continue
        account = accounts[i]
        account.row += 1
        _load_bar(opens, highs, lows, closes, timestamps, tradable, bar, account)
        target = exposures[action[i]]
        status = _step_bar(rules, bar, account, target)
        ended_by = _ended_by(rules, bar, account)
        reward[i] = settle(rules, bar, account, ended_by)
        if not math.isfinite(reward[i] + account.value):
            broken = i
        if account.steps_recorded:
            write_step(bar, account, action[i], target, status, reward[i], steps[used[1]])
            used[1] += 1
        _keep_fills(bar, operations, trades, used)
        account.step_index += 1
        row[i] = account.row
        value[i] = account.value
        observe_account(rules, account, bar.close, observed, i)
        if ended_by != _GOES_ON:
            truncated[i] = ended_by == _END
            terminated[i] = ended_by != _END
            active[i] = False
            write_end(rules, bar, account, ended_by, episodes[used[0]])
            used[0] += 1
    return broken


@njit(cache=True, error_model="numpy")
def interrupt_accounts(
    params: Any, market: Any, scratch: Any, records: Any, accounts: Any, out: Any
) -> None:
    """Close every open episode as interrupted: no bar, no fill, an open trade stays open."""
    rules, bar = params[0], scratch[0]
    _, _, _, _, close, timestamp, _ = market
    episodes, _, operations, trades, used = records
    _, _, _, reward, terminated, truncated, active = out
    for i in range(len(active)):
        reward[i] = 0.0
        terminated[i] = truncated[i] = False
        if not active[i]:
            continue
        active[i] = False
        account = accounts[i]
        bar.bar_index = account.row - account.offset
        bar.timestamp = timestamp[account.row]
        bar.close = close[account.row]
        bar.operation_count = bar.trade_count = 0
        if account.position != 0.0:
            leave_trade_open(bar, account)
        _keep_fills(bar, operations, trades, used)
        write_end(rules, bar, account, _INTERRUPTED, episodes[used[0]])
        used[0] += 1


@njit(error_model="numpy")
def _load_bar(
    opens: Any,
    highs: Any,
    lows: Any,
    closes: Any,
    timestamps: Any,
    tradable: Any,
    bar: Any,
    account: Any,
) -> None:
    """Put the bar at the row of `account` into the scratch record."""
    row = account.row
    bar.bar_index = row - account.offset
    bar.timestamp = timestamps[row]
    bar.days = (bar.timestamp - timestamps[row - 1]) / _NANOSECONDS_A_DAY
    bar.previous_close = closes[row - 1]
    bar.open = opens[row]
    bar.high = highs[row]
    bar.low = lows[row]
    bar.close = closes[row]
    bar.tradable = tradable[row]
    bar.last = row == account.end_row
    bar.fees = bar.slippage = bar.carry = bar.traded_value = 0.0
    bar.stopped_side = 0
    bar.liquidated = False
    bar.operation_count = bar.trade_count = 0


@njit(error_model="numpy")
def _keep_fills(bar: Any, operations: Any, trades: Any, used: Any) -> None:
    """Copy the operations and trades of one bar into the buffers."""
    for k in range(bar.operation_count):
        copy_operation(bar.operations[k], operations[used[2]])
        used[2] += 1
    for k in range(bar.trade_count):
        copy_trade(bar.trades[k], trades[used[3]])
        used[3] += 1


@njit(cache=True, error_model="numpy")
def write_open_episodes(params: Any, accounts: Any, active: Any, episodes: Any) -> None:
    """Write the running row of every open episode, with its counts so far."""
    used = 0
    for i in range(len(active)):
        if active[i]:
            account, episode = accounts[i], episodes[used]
            write_start(params[0], account, episode)
            episode.step_count = account.step_index
            episode.operation_count = account.operation_count
            episode.trade_count = account.trade_count
            used += 1


@njit(error_model="numpy")
def _step_bar(params: Any, bar: Any, account: Any, target: float) -> int:
    """Let the bar happen up to its close (events 1 to 6); return the order's status."""
    cooling = account.cooldown_left
    _charge_carry(params, bar, account)
    status: int = _SUSPENDED
    if bar.tradable:
        status = _trade_bar(params, bar, account, target)
    elif account.position != 0.0:
        update_excursions(account, bar.close)
    if cooling > 0:  # then the account is flat, and no exit can have begun another one
        account.cooldown_left = cooling - 1
    return status


@njit(error_model="numpy")
def _charge_carry(params: Any, bar: Any, account: Any) -> None:
    """Charge borrow and financing for the days since the last close (event 1)."""
    short_value = max(0.0, -account.position) * bar.previous_close
    debt = max(0.0, -account.cash)
    yearly = params.borrow_rate * short_value + params.financing_rate * debt
    carry = yearly * bar.days / params.day_count
    account.cash -= carry
    bar.carry = carry
    account.carry += carry
    if account.position != 0.0:
        account.trade_carry += carry


@njit(error_model="numpy")
def _trade_bar(params: Any, bar: Any, account: Any, target: float) -> int:
    """Run events 3 to 6 of a bar that can be traded; return the order's status."""
    status: int = _VOID_END
    if account.position != 0.0:
        protect(params, bar, account, bar.open, bar.open)
    if not params.fill_at_close:
        status = agent_order(params, bar, account, target, bar.open)
    if account.position != 0.0:
        protect(params, bar, account, bar.high, bar.low)
    if params.fill_at_close and not bar.last:
        status = agent_order(params, bar, account, target, bar.close)
    return status


@njit(error_model="numpy")
def _ended_by(params: Any, bar: Any, account: Any) -> int:
    """Mark at the close and return the first reason for an end that holds (event 7)."""
    value = account.cash + account.position * bar.close
    if bar.liquidated:
        return _LIQUIDATION
    if value <= params.ruin_value:
        return _RUIN
    if value <= params.value_limit * max(account.peak, value):
        return _MAX_DRAWDOWN
    return _END if bar.last else _GOES_ON


@njit(error_model="numpy")
def settle(params: Any, bar: Any, account: Any, ended_by: int) -> float:
    """Close what must be closed and value the account (event 8); return the reward."""
    if ended_by != _GOES_ON and account.position != 0.0:
        exit_fully(params, bar, account, bar.close, ended_by)
    value = account.cash + account.position * bar.close
    peak = max(account.peak, value)
    drawdown = value / peak - 1.0
    reward: float = step_reward(params, bar, account, value, drawdown)
    accumulate_step(bar, account, value, drawdown)
    account.value = value
    account.peak = peak
    account.drawdown = drawdown
    account.episode_return += reward
    return reward
