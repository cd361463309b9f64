"""Checks of operations and trades: against the steps, against each other, against the sum.

An operation moves cash and units by section 4 of docs/trading-semantics.md; a trade is
the sum of its operations; what all trades earned is what the episode earned.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rsc.audit.chunks import Chunk
from rsc.audit.findings import Findings, unequal
from rsc.store.schema.columns import EPISODES, OPERATIONS, STEPS, TRADES
from rsc.trading.records import NULL_INDEX, Cause, EpisodeState, OperationKind, OrderStatus, Side

Floats = NDArray[np.float64]
_BOUGHT = (OperationKind.ENTER_LONG, OperationKind.EXIT_SHORT)
_ENTRIES = (OperationKind.ENTER_LONG, OperationKind.ENTER_SHORT)
_SHORTS = (OperationKind.ENTER_SHORT, OperationKind.EXIT_SHORT)


def signed_units(operations: NDArray[np.void]) -> Floats:
    """Return units with the sign of the movement: bought above 0, sold below."""
    sign = np.where(np.isin(operations["kind"], _BOUGHT), 1.0, -1.0)
    return np.asarray(sign * operations["units"], dtype=np.float64)


def check_operations(chunk: Chunk, findings: Findings) -> None:
    """Each operation adds up in itself and follows from the account before it."""
    operations, records = chunk.operations, chunk.operations.records
    episode = chunk.episodes[operations.place]
    initial = episode["initial_portfolio_value"]
    slippage = records["units"] * np.abs(records["fill_price"] - records["reference_price"])
    wrong = unequal(records["slippage"], slippage, initial)
    findings.add_mismatch(
        OPERATIONS, records, "slippage", slippage, wrong, "units * |fill - reference price|"
    )
    bar = episode["start_bar_index"] + 1 + records["step_index"]
    wrong = records["bar_index"] != bar
    findings.add_mismatch(OPERATIONS, records, "bar_index", bar, wrong, "start + 1 + step_index")
    if len(records):
        _check_account_after(chunk, findings)


def _check_account_after(chunk: Chunk, findings: Findings) -> None:
    """Cash and position after an operation are those before it and its movement."""
    operations, records = chunk.operations, chunk.operations.records
    initial = chunk.episodes["initial_portfolio_value"][operations.place]
    first = operations.position() == 0
    moved, gone = signed_units(records), np.zeros(len(records), dtype=bool)
    position = np.where(first, 0.0, np.roll(records["position_after"], 1)) + moved
    position = np.where(np.abs(position) <= 1e-9 * records["units"], 0.0, position)
    wrong = unequal(records["position_after"], position, records["units"])
    findings.add_mismatch(
        OPERATIONS, records, "position_after", position, wrong, "position before + units"
    )
    before, known = _cash_before(chunk)
    cash = before - moved * records["fill_price"] - records["fee"]
    wrong = np.where(known, unequal(records["cash_after"], cash, initial), gone)
    findings.add_mismatch(
        OPERATIONS, records, "cash_after", cash, wrong, "cash before - units * fill price - fee"
    )


def _in_recorded_step(chunk: Chunk) -> NDArray[np.bool_]:
    """Return which operations name a step that their episode has."""
    step = chunk.operations.records["step_index"]
    result: NDArray[np.bool_] = (step >= 0) & (step < chunk.steps.count[chunk.operations.place])
    return result


def _cash_before(chunk: Chunk) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the cash before each operation, and where the steps tell it."""
    operations, steps = chunk.operations, chunk.steps
    records = operations.records
    same_step = np.zeros(len(records), dtype=bool)
    same_step[1:] = (operations.place[1:] == operations.place[:-1]) & (
        records["step_index"][1:] == records["step_index"][:-1]
    )
    known = chunk.whole()[operations.place] & _in_recorded_step(chunk)
    if not len(steps.records):
        return np.zeros(len(records)), known
    at = np.where(known, steps.first[operations.place] + records["step_index"], 0)
    step_before = np.where(
        records["step_index"] == 0,
        chunk.episodes["initial_portfolio_value"][operations.place],
        steps.records["cash"][np.maximum(at - 1, 0)],
    )
    before = np.where(
        same_step, np.roll(records["cash_after"], 1), step_before - steps.records["carry"][at]
    )
    return before, known


def check_steps_against_operations(chunk: Chunk, findings: Findings) -> None:
    """Compare a step's account with that after its last operation, its costs with theirs."""
    operations, steps = chunk.operations, chunk.steps
    if not len(steps.records):
        return
    known = chunk.whole()[operations.place] & _in_recorded_step(chunk)
    made = operations.records[known]
    at = steps.first[operations.place[known]] + made["step_index"]
    records, place, count = steps.records, steps.place, len(steps.records)
    whole = chunk.whole()[place]
    initial = chunk.episodes["initial_portfolio_value"][place]
    start = steps.position() == 0
    cash = np.where(start, initial, np.roll(records["cash"], 1)) - records["carry"]
    position = np.where(start, 0.0, np.roll(records["position"], 1))
    cash[at], position[at] = made["cash_after"], made["position_after"]  # the last one stays
    for column, expected, scale in (("cash", cash, initial), ("position", position, 0.0)):
        wrong = whole & unequal(records[column], expected, scale)
        findings.add_mismatch(
            STEPS, records, column, expected, wrong, "account after its operations"
        )
    for column, amount in (
        ("fees", made["fee"]),
        ("slippage", made["slippage"]),
        ("traded_value", made["units"] * made["fill_price"]),
    ):
        total = np.asarray(np.bincount(at, weights=amount, minlength=count), dtype=np.float64)
        wrong = whole & unequal(records[column], total, initial)
        findings.add_mismatch(STEPS, records, column, total, wrong, "sum over its operations")
    filled = np.bincount(at, weights=made["cause"] == Cause.AGENT, minlength=count) > 0
    wrong = whole & ((records["order_status"] == OrderStatus.FILLED) != filled)
    words = STEPS.column("order_status").codes
    findings.rows(
        STEPS,
        records,
        wrong,
        lambda row: (
            f"order_status was {words.get(int(records['order_status'][row]), 'unknown')}, but "
            f"{'an' if filled[row] else 'no'} operation of the agent is there"
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sums:
    """Sums over the operations of each trade, in the order of the trades."""

    count: NDArray[np.int64]
    entry_units: Floats
    entry_value: Floats
    exit_units: Floats
    exit_value: Floats
    fees: Floats
    slippage: Floats
    flow: Floats
    first: NDArray[np.int64]
    last: NDArray[np.int64]


def _sums_of_trades(chunk: Chunk, at: NDArray[np.int64], made: NDArray[np.void]) -> _Sums:
    trades = len(chunk.trades.records)

    def total(values: Floats) -> Floats:
        return np.asarray(np.bincount(at, weights=values, minlength=trades), dtype=np.float64)

    entry = np.isin(made["kind"], _ENTRIES)
    value = made["units"] * made["fill_price"]
    first = np.full(trades, len(made), dtype=np.int64)
    np.minimum.at(first, at, np.arange(len(made)))
    last = np.zeros(trades, dtype=np.int64)
    np.maximum.at(last, at, np.arange(len(made)))
    return _Sums(
        count=np.bincount(at, minlength=trades),
        entry_units=total(entry * made["units"]),
        entry_value=total(entry * value),
        exit_units=total(~entry * made["units"]),
        exit_value=total(~entry * value),
        fees=total(made["fee"]),
        slippage=total(made["slippage"]),
        flow=-total(signed_units(made) * made["fill_price"]),
        first=np.minimum(first, max(len(made) - 1, 0)),
        last=last,
    )


def check_trades(chunk: Chunk, findings: Findings) -> None:
    """Each trade is the sum of its operations; together they earned what the episode did."""
    trades, operations = chunk.trades, chunk.operations
    records = trades.records
    index = operations.records["trade_index"]
    here = (index >= 0) & (index < trades.count[operations.place])
    lost = chunk.final[operations.place] & ~here
    findings.rows(OPERATIONS, operations.records, lost, lambda _: "its trade is missing in trades")
    _check_earnings(chunk, findings)
    if not len(records):
        return
    made = operations.records[here]
    at = trades.first[operations.place[here]] + made["trade_index"]
    sums = _sums_of_trades(chunk, at, made)
    findings.add_mismatch(
        TRADES,
        records,
        "operation_count",
        sums.count,
        records["operation_count"] != sums.count,
        "its operations",
    )
    if len(made):
        _check_amounts(chunk, sums, findings)
        _check_ends(chunk, sums, made, findings)


def _check_amounts(chunk: Chunk, sums: _Sums, findings: Findings) -> None:
    trades, records = chunk.trades, chunk.trades.records
    initial = chunk.episodes["initial_portfolio_value"][trades.place]
    closed = records["exit_cause"] != NULL_INDEX
    with np.errstate(divide="ignore", invalid="ignore"):
        entry_price = sums.entry_value / sums.entry_units
        exit_price = np.where(closed, sums.exit_value / sums.exit_units, np.nan)
    pnl = sums.flow - sums.fees - records["carry"] + _open_value(chunk, closed, sums)
    with np.errstate(divide="ignore", invalid="ignore"):
        returned = pnl / sums.entry_value
    for column, expected, scale in (
        ("entry_units", sums.entry_units, 0.0),
        ("average_entry_price", entry_price, 0.0),
        ("average_exit_price", exit_price, 0.0),
        ("fees", sums.fees, initial),
        ("slippage", sums.slippage, initial),
        ("pnl", pnl, initial),
        ("trade_return", returned, initial / np.maximum(sums.entry_value, 1e-300)),
    ):
        wrong = unequal(records[column], expected, scale)
        findings.add_mismatch(TRADES, records, column, expected, wrong, "from its operations")
    left = sums.entry_units - sums.exit_units
    wrong = closed & (np.abs(left) > 1e-9 * sums.entry_units)
    findings.rows(
        TRADES, records, wrong, lambda row: f"closed with {left[row]} units left, must be 0"
    )


def _open_value(chunk: Chunk, closed: NDArray[np.bool_], sums: _Sums) -> Floats:
    """Return what an open trade is worth at the last recorded close; 0 for closed ones.

    Without recorded steps that close is not known: what the trade itself says is taken
    then, and the sum over the episode has to show it wrong.
    """
    trades, steps = chunk.trades, chunk.steps
    records = trades.records
    said: Floats = records["pnl"] - sums.flow + sums.fees + records["carry"]
    known = (steps.count == chunk.episodes["step_count"])[trades.place] & (len(steps.records) > 0)
    value = said
    if len(steps.records):
        sign = np.where(records["side"] == Side.SHORT, -1.0, 1.0)
        last = np.clip(steps.first + steps.count - 1, 0, len(steps.records) - 1)
        price = steps.records["price"][last][trades.place]
        value = np.where(known, sign * (sums.entry_units - sums.exit_units) * price, said)
    return np.where(closed, 0.0, value)


def _check_ends(chunk: Chunk, sums: _Sums, made: NDArray[np.void], findings: Findings) -> None:
    """Sides, steps, causes and timestamps of a trade are those of its operations."""
    trades, records = chunk.trades, chunk.trades.records
    closed = records["exit_cause"] != NULL_INDEX
    first, last = made[sums.first], made[sums.last]
    side = np.where(np.isin(first["kind"], _SHORTS), Side.SHORT, Side.LONG)
    exit_step = np.where(closed, last["step_index"], NULL_INDEX)
    cause = np.where(closed, last["cause"], NULL_INDEX)
    end = np.where(closed, last["step_index"], chunk.episodes["step_count"][trades.place] - 1)
    for column, expected in (
        ("side", side),
        ("entry_step_index", first["step_index"]),
        ("exit_step_index", exit_step),
        ("exit_cause", cause),
        ("bars_held", end - first["step_index"]),
    ):
        wrong = records[column] != expected
        findings.add_mismatch(TRADES, records, column, expected, wrong, "from its operations")
    steps = chunk.steps
    known = chunk.whole()[trades.place]
    if not len(steps.records):
        return
    for column, step, there in (
        ("entry_timestamp", records["entry_step_index"], known),
        ("exit_timestamp", records["exit_step_index"], known & closed),
    ):
        inside = there & (step >= 0) & (step < steps.count[trades.place])
        at = np.where(inside, steps.first[trades.place] + step, 0)
        timestamp = steps.records["timestamp"][at]
        wrong = inside & (records[column] != timestamp)
        findings.add_mismatch(TRADES, records, column, timestamp, wrong, "timestamp of its step")


def _check_earnings(chunk: Chunk, findings: Findings) -> None:
    """All trades together earned final - initial value, and cost what the episode cost."""
    episodes = chunk.episodes
    initial = episodes["initial_portfolio_value"]
    earned = initial + chunk.trades.total("pnl")
    wrong = chunk.final & unequal(episodes["final_portfolio_value"], earned, initial)
    findings.add_mismatch(
        EPISODES, episodes, "final_portfolio_value", earned, wrong, "initial + pnl of all trades"
    )
    for column, total in (
        ("fees", chunk.operations.total("fee")),
        ("slippage", chunk.operations.total("slippage")),
        ("carry", chunk.trades.total("carry")),
    ):
        wrong = chunk.final & unequal(episodes[column], total, initial)
        findings.add_mismatch(EPISODES, episodes, column, total, wrong, "sum over its fills")
    completed = episodes["state"] == EpisodeState.COMPLETED
    still_open = np.bincount(
        chunk.trades.place,
        weights=chunk.trades.records["exit_cause"] == NULL_INDEX,
        minlength=len(episodes),
    )
    findings.rows(
        EPISODES,
        episodes,
        completed & (still_open > 0),
        lambda _: "completed with an open trade, must have closed every one",
    )
