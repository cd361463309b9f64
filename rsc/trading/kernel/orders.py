"""What may trade in a bar, and how much: sections 5, 6 and 7 of the trading semantics.

The agent's order goes from a target exposure to units (`agent_order`); the
protective levels (stop-loss, take-profit, liquidation) are looked at with
`protect`, at the open and inside the bar. The order in which these happen is the
business of ``step_kernel``, the arithmetic of a fill that of ``fills``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from rsc.trading.kernel.accounts import sign
from rsc.trading.kernel.fills import exit_fully, fill, update_excursions
from rsc.trading.records import Cause, OrderStatus

# Numba wants plain integers.
_AGENT, _STOP_LOSS = int(Cause.AGENT), int(Cause.STOP_LOSS)
_TAKE_PROFIT, _LIQUIDATION = int(Cause.TAKE_PROFIT), int(Cause.LIQUIDATION)
_HOLD, _FILLED = int(OrderStatus.HOLD), int(OrderStatus.FILLED)
_BELOW_MINIMUM, _NO_EQUITY = int(OrderStatus.BELOW_MINIMUM), int(OrderStatus.NO_EQUITY)
_VOID_STOPPED, _VOID_COOLDOWN = int(OrderStatus.VOID_STOPPED), int(OrderStatus.VOID_COOLDOWN)
_VOID_LIQUIDATED = int(OrderStatus.VOID_LIQUIDATED)
_NOT_VOID = -1


@njit(error_model="numpy")
def agent_order(params: Any, bar: Any, account: Any, target: float, p: float) -> int:
    """Send the order for exposure `target` at reference price `p`; return its status."""
    u = account.position
    if u == 0.0:
        if target == 0.0:
            return _HOLD
        status: int = _void_status(bar, account, target)
        if status == _NOT_VOID:
            status = _trade_to(params, bar, account, target, p)
        return status
    if target == account.held:
        distance = abs(u * p / (account.cash + u * p) - target)
        # NaN, no tolerance, is exceeded by nothing.
        if not distance > params.rebalance_tolerance:
            return _HOLD
    if sign(target) != sign(u):
        exit_fully(params, bar, account, p, _AGENT)
        if target != 0.0:
            _trade_to(params, bar, account, target, p)
        return _FILLED
    status = _trade_to(params, bar, account, target, p)
    return status  # noqa: RET504 (a compiled function is Any; the name has the type)


@njit(error_model="numpy")
def _void_status(bar: Any, account: Any, target: float) -> int:
    """Return why an entry out of a flat account is void in this bar, if it is."""
    if bar.liquidated:
        return _VOID_LIQUIDATED
    if account.cooldown_left > 0:
        return _VOID_COOLDOWN
    if bar.stopped_side == sign(target):
        return _VOID_STOPPED
    return _NOT_VOID


@njit(error_model="numpy")
def _trade_to(params: Any, bar: Any, account: Any, target: float, p: float) -> int:
    """Trade the difference to the units that `target` buys at `p`, costs included."""
    u = account.position
    portfolio_value = account.cash + u * p
    if portfolio_value <= 0.0:
        return _NO_EQUITY
    wanted = target * portfolio_value / (p * params.entry_cost)
    if params.whole_units:
        wanted = np.trunc(wanted)
    if wanted == 0.0 and u != 0.0:
        # Rounded away altogether: a full exit, which is always sent.
        exit_fully(params, bar, account, p, _AGENT)
        return _FILLED
    n = wanted - u
    if n == 0.0 or abs(n) * p < params.minimum_trade_value:
        return _BELOW_MINIMUM
    fill(params, bar, account, n, p, _AGENT)
    account.held = target if account.position != 0.0 else 0.0
    return _FILLED


@njit(error_model="numpy")
def protect(params: Any, bar: Any, account: Any, high: float, low: float) -> None:
    """Exit in full if a protective level is touched between `low` and `high`.

    The open fills a level that it is already beyond. Called with the open for both
    prices this is the gap check.
    """
    side = sign(account.position)
    adverse, favourable = (low, high) if side > 0 else (high, low)
    level, cause = _adverse_level(params, account, side)
    target = account.average_entry * (1.0 + side * params.take_profit)
    if side * (adverse - level) <= 0.0:
        level = min(level, bar.open) if side > 0 else max(level, bar.open)
        update_excursions(account, level)
    elif side * (favourable - target) >= 0.0:
        update_excursions(account, adverse)
        level = max(target, bar.open) if side > 0 else min(target, bar.open)
        update_excursions(account, level)
        cause = _TAKE_PROFIT
    else:
        update_excursions(account, high)
        update_excursions(account, low)
        return
    exit_fully(params, bar, account, level, cause)
    if cause == _LIQUIDATION:
        bar.liquidated = True
    else:
        bar.stopped_side = side
        account.cooldown_left = params.cooldown_bars


@njit(error_model="numpy")
def _adverse_level(params: Any, account: Any, side: int) -> tuple[float, int]:
    """Return the nearer of stop and liquidation price, and which; NaN if there is none."""
    stop = account.average_entry * (1.0 - side * params.stop_loss)
    liquidation = _liquidation_price(params, account)
    if np.isnan(liquidation) or side * (stop - liquidation) > 0.0:
        return stop, _STOP_LOSS
    return liquidation, _LIQUIDATION


@njit(error_model="numpy")
def _liquidation_price(params: Any, account: Any) -> float:
    """Return the price at which value / |position's value| is the maintenance margin."""
    price: float = np.nan
    if account.position < 0.0:
        price = account.cash / (abs(account.position) * (1.0 + params.maintenance_margin))
    elif account.cash < params.debt_floor:
        price = -account.cash / (account.position * (1.0 - params.maintenance_margin))
    return price
