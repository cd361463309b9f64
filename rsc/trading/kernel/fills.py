"""One fill: section 4 of the trading semantics, and the rows that it leaves.

Every change of a position goes through `fill`: the agent's orders, stops, targets,
liquidations and closings. It moves cash and units, keeps the average entry price
and the open trade, writes the operation and, when the position is flat, the trade.
It does not decide anything.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from rsc.trading.kernel.accounts import sign
from rsc.trading.records import NULL_INDEX, NULL_TIMESTAMP, OperationKind, Side

# Numba wants plain integers.
_LONG, _SHORT = int(Side.LONG), int(Side.SHORT)
_ENTER_LONG, _EXIT_LONG = int(OperationKind.ENTER_LONG), int(OperationKind.EXIT_LONG)
_ENTER_SHORT, _EXIT_SHORT = int(OperationKind.ENTER_SHORT), int(OperationKind.EXIT_SHORT)


@njit(error_model="numpy")
def fill(params: Any, bar: Any, account: Any, n: float, p: float, cause: int) -> None:
    """Trade `n` signed units at reference price `p` in this bar."""
    q = p * (1.0 + sign(n) * params.slippage_rate)
    size = abs(n)
    fee = params.fee_rate * size * q
    slippage = size * abs(q - p)
    before = account.position
    entering = before == 0.0 or sign(before) == sign(n)
    if before == 0.0:
        _open_trade(bar, account, n)
    account.cash -= n * q + fee
    account.position = 0.0 if n == -before else before + n
    _count(bar, account, fee, slippage, size * q)
    account.trade_cash_flow -= n * q
    if entering:
        held_value = abs(before) * account.average_entry
        account.average_entry = (held_value + size * q) / (abs(before) + size)
        account.trade_entry_units += size
        account.trade_entry_value += size * q
    else:
        account.trade_exit_units += size
        account.trade_exit_value += size * q
    _write_operation(bar, account, cause, entering, size, p, q, fee, slippage)
    if account.position == 0.0:
        _close_trade(bar, account, cause)


@njit(error_model="numpy")
def exit_fully(params: Any, bar: Any, account: Any, p: float, cause: int) -> None:
    """Sell or buy back every unit at reference price `p`."""
    fill(params, bar, account, -account.position, p, cause)


@njit(error_model="numpy")
def update_excursions(account: Any, p: float) -> None:
    """Widen the open trade's MAE and MFE to the reference price `p` seen while open."""
    move = sign(account.position) * (p / account.average_entry - 1.0)
    account.trade_mae = min(account.trade_mae, move)
    account.trade_mfe = max(account.trade_mfe, move)


@njit(error_model="numpy")
def _open_trade(bar: Any, account: Any, n: float) -> None:
    """Start the accounts of a round trip."""
    account.trade_side = _LONG if n > 0.0 else _SHORT
    account.trade_entry_step = account.step_index
    account.trade_entry_bar = bar.bar_index
    account.trade_entry_timestamp = bar.timestamp
    account.trade_entry_units = account.trade_entry_value = 0.0
    account.trade_exit_units = account.trade_exit_value = 0.0
    account.trade_cash_flow = account.trade_fees = account.trade_slippage = 0.0
    account.trade_carry = account.trade_mae = account.trade_mfe = 0.0
    account.trade_operations = 0


@njit(error_model="numpy")
def _count(bar: Any, account: Any, fee: float, slippage: float, traded_value: float) -> None:
    """Add the costs of one fill to the step, the trade and the episode."""
    bar.fees += fee
    bar.slippage += slippage
    bar.traded_value += traded_value
    account.trade_fees += fee
    account.trade_slippage += slippage
    account.fees += fee
    account.slippage += slippage
    account.traded_value += traded_value


@njit(error_model="numpy")
def _write_operation(
    bar: Any,
    account: Any,
    cause: int,
    entering: bool,
    size: float,
    p: float,
    q: float,
    fee: float,
    slippage: float,
) -> None:
    """Append the operation of one fill; the account is already as it left it."""
    if account.trade_side == _LONG:
        kind = _ENTER_LONG if entering else _EXIT_LONG
    else:
        kind = _ENTER_SHORT if entering else _EXIT_SHORT
    operation = bar.operations[bar.operation_count]
    bar.operation_count += 1
    operation.episode_id = account.episode_id
    operation.operation_index = account.operation_count
    operation.step_index = account.step_index
    operation.trade_index = account.trade_count
    operation.bar_index = bar.bar_index
    operation.kind = kind
    operation.cause = cause
    operation.units = size
    operation.reference_price = p
    operation.fill_price = q
    operation.fee = fee
    operation.slippage = slippage
    operation.position_after = account.position
    operation.cash_after = account.cash
    account.operation_count += 1
    account.trade_operations += 1


@njit(error_model="numpy")
def _close_trade(bar: Any, account: Any, cause: int) -> None:
    """Append the finished round trip and make the account flat."""
    pnl = account.trade_cash_flow - account.trade_fees - account.trade_carry
    trade = _write_trade(bar, account, pnl)
    trade.exit_step_index = account.step_index
    trade.exit_timestamp = bar.timestamp
    trade.average_exit_price = account.trade_exit_value / account.trade_exit_units
    trade.exit_cause = cause
    account.average_entry = account.held = 0.0
    if pnl > 0.0:
        account.win_count += 1
        account.win_sum += pnl
    elif pnl < 0.0:
        account.loss_count += 1
        account.loss_sum += pnl


@njit(error_model="numpy")
def leave_trade_open(bar: Any, account: Any) -> None:
    """Append the open trade of an interrupted episode, with its open PnL."""
    pnl = account.trade_cash_flow - account.trade_fees - account.trade_carry
    pnl += account.position * bar.close
    trade = _write_trade(bar, account, pnl)
    trade.exit_step_index = NULL_INDEX
    trade.exit_timestamp = NULL_TIMESTAMP
    trade.average_exit_price = np.nan
    trade.exit_cause = NULL_INDEX


@njit(error_model="numpy")
def _write_trade(bar: Any, account: Any, pnl: float) -> Any:
    """Append what closed and open trades have in common; return the row."""
    trade = bar.trades[bar.trade_count]
    bar.trade_count += 1
    trade.episode_id = account.episode_id
    trade.trade_index = account.trade_count
    trade.side = account.trade_side
    trade.entry_step_index = account.trade_entry_step
    trade.entry_timestamp = account.trade_entry_timestamp
    trade.entry_units = account.trade_entry_units
    trade.average_entry_price = account.trade_entry_value / account.trade_entry_units
    trade.fees = account.trade_fees
    trade.slippage = account.trade_slippage
    trade.carry = account.trade_carry
    trade.pnl = pnl
    trade.trade_return = pnl / account.trade_entry_value
    trade.mae = account.trade_mae
    trade.mfe = account.trade_mfe
    trade.bars_held = bar.bar_index - account.trade_entry_bar
    trade.operation_count = account.trade_operations
    account.trade_count += 1
    return trade


@njit(error_model="numpy")
def copy_operation(source: Any, target: Any) -> None:
    """Copy one operation, field by field: a record as a whole is copied byte by byte."""
    target.episode_id = source.episode_id
    target.operation_index = source.operation_index
    target.step_index = source.step_index
    target.trade_index = source.trade_index
    target.bar_index = source.bar_index
    target.kind = source.kind
    target.cause = source.cause
    target.units = source.units
    target.reference_price = source.reference_price
    target.fill_price = source.fill_price
    target.fee = source.fee
    target.slippage = source.slippage
    target.position_after = source.position_after
    target.cash_after = source.cash_after


@njit(error_model="numpy")
def copy_trade(source: Any, target: Any) -> None:
    """Copy one trade, field by field: a record as a whole is copied byte by byte."""
    target.episode_id = source.episode_id
    target.trade_index = source.trade_index
    target.side = source.side
    target.entry_step_index = source.entry_step_index
    target.exit_step_index = source.exit_step_index
    target.entry_timestamp = source.entry_timestamp
    target.exit_timestamp = source.exit_timestamp
    target.entry_units = source.entry_units
    target.average_entry_price = source.average_entry_price
    target.average_exit_price = source.average_exit_price
    target.fees = source.fees
    target.slippage = source.slippage
    target.carry = source.carry
    target.pnl = source.pnl
    target.trade_return = source.trade_return
    target.mae = source.mae
    target.mfe = source.mfe
    target.bars_held = source.bars_held
    target.operation_count = source.operation_count
    target.exit_cause = source.exit_cause
