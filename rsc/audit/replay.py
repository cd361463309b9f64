"""Every portfolio value derived again, from operations and bars alone.

Written from docs/trading-semantics.md (sections 3, 4, 7 and 10) without a look at the
kernel and without its code: cash starts at the initial value, each operation moves it
by units, fill price and fee, each bar takes carry, and at each close value is cash +
units x close. What the account *decided* is not evaluated here, only that its money is
the money of its fills on these prices. Whole chunks of episodes are derived at once as
arrays; only the units held after each operation, and the cash of an account with debts after
each step, follow from the one before and are found in a loop.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from rsc.analysis.run_prices import recorded_prices
from rsc.audit.chunks import Chunk
from rsc.audit.fill_checks import signed_units
from rsc.audit.findings import Findings, unequal
from rsc.audit.verify import ReplayFunction
from rsc.market.matrix import Market
from rsc.store.runs.queries import RunRow
from rsc.store.schema.columns import EPISODES, OPERATIONS, STEPS, RecordTable
from rsc.trading.records import Cause
from rsc.trading.rules import TradingConfig

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_BPS = 10_000.0
_DAY_NANOSECONDS = 86_400e9
_CLOSINGS = (Cause.RUIN, Cause.MAX_DRAWDOWN, Cause.END)  # at the close, tradable or not
_LEVELS = (Cause.STOP_LOSS, Cause.TAKE_PROFIT, Cause.LIQUIDATION)


def replay_function(run: RunRow) -> ReplayFunction:
    """Return the function that derives the values of a run, on the prices it was trained on.

    Raises
    ------
    UserError
        The prices were changed since.
    """
    prices = recorded_prices(run, "verify without --replay")
    return replayer(prices.market(prices.folds[0]), prices.config.trading)


def replayer(market: Market, trading: TradingConfig) -> ReplayFunction:
    """Return the function that `rsc.audit.verify.verify_run` derives values with.

    Parameters
    ----------
    market : Market
        The bars the run was trained on; features are not used.
    trading : TradingConfig
        Costs, rates and the fill rule of the run.
    """

    def replay(chunk: Chunk, findings: Findings) -> None:
        known = np.isin(chunk.instruments, market.instruments)[chunk.episodes["instrument"]]
        findings.rows(
            EPISODES,
            chunk.episodes,
            ~known,
            lambda _: f"its instrument is not in the market, must be one of {market.instruments}",
        )
        if known.all() and len(chunk.episodes):
            Replay(market, trading, chunk, findings).check()

    return replay


@dataclass(frozen=True, slots=True)
class _Grid:
    """Every step of the ended episodes of a chunk, recorded or not."""

    episode: Integers
    """Index of the episode of each step."""
    first: Integers
    """Place of each episode's first step."""
    row: Integers
    """Row of the market of the bar that the step ends in."""


class Replay:
    """The derivation of one chunk.

    Parameters
    ----------
    market, trading
        As for `replayer`.
    chunk : Chunk
        Episodes with their operations and steps.
    findings : Findings
        Takes what differs.
    """

    def __init__(
        self, market: Market, trading: TradingConfig, chunk: Chunk, findings: Findings
    ) -> None:
        self._market, self._trading = market, trading
        self._chunk, self._findings = chunk, findings
        places = {name: i for i, name in enumerate(market.instruments)}
        # Names are those of all chunks: one that is not in the market is of no episode here.
        instrument = np.array([places.get(name, -1) for name in chunk.instruments], dtype=np.int64)
        self._offset = market.offset[instrument[chunk.episodes["instrument"]]]
        self._bars = np.diff(market.offset)[instrument[chunk.episodes["instrument"]]]

    def check(self) -> None:
        """Derive everything and compare."""
        inside = self._inside()
        grid = self._grid(inside)
        at, made = self._operations(grid)
        self._check_prices(grid, at, made)
        flow, position = self._movements(grid, at, made)
        carry, cash = self._cash(grid, flow, position)
        value = cash + position * self._market.close[grid.row]
        self._check_steps(grid, carry, cash, position, value)
        self._check_episodes(grid, carry, value)

    def _inside(self) -> NDArray[np.bool_]:
        """Return which ended episodes lie inside their instrument; tell the others."""
        episodes = self._chunk.episodes
        end = episodes["start_bar_index"].astype(np.int64) + episodes["step_count"]
        outside = (episodes["start_bar_index"] < 0) | (episodes["step_count"] < 0)
        outside = self._chunk.final & (outside | (end >= self._bars))
        self._tell(EPISODES, episodes, "end_bar_index", self._bars - 1, outside, "last bar")
        result: NDArray[np.bool_] = self._chunk.final & ~outside & (episodes["step_count"] > 0)
        return result

    def _grid(self, inside: NDArray[np.bool_]) -> _Grid:
        episodes = self._chunk.episodes
        count = np.where(inside, episodes["step_count"], 0).astype(np.int64)
        first = np.cumsum(count) - count
        episode = np.repeat(np.arange(len(episodes)), count)
        step = np.arange(len(episode)) - first[episode]
        row = self._offset[episode] + episodes["start_bar_index"][episode] + 1 + step
        return _Grid(episode, first, row)

    def _operations(self, grid: _Grid) -> tuple[Integers, NDArray[np.void]]:
        """Return the operations on the grid, and the step of each as a place in it."""
        operations = self._chunk.operations
        count = np.bincount(grid.episode, minlength=len(self._chunk.episodes))
        step = operations.records["step_index"]
        there = (step >= 0) & (step < count[operations.place])
        return grid.first[operations.place[there]] + step[there], operations.records[there]

    def _check_prices(self, grid: _Grid, at: Integers, made: NDArray[np.void]) -> None:
        """Compare reference prices with the bar, fills and fees with what follows from them."""
        market, trading, row = self._market, self._trading, grid.row[at]
        opened, closed = market.open[row], market.close[row]
        agents = opened if trading.fill == "next_open" else closed
        expected = np.where(np.isin(made["cause"], _CLOSINGS), closed, agents)
        level = np.isin(made["cause"], _LEVELS)
        reference = made["reference_price"]
        between = np.clip(reference, market.low[row], market.high[row])
        expected = np.where(level, between, expected)
        wrong = unequal(reference, expected, 0.0)
        self._tell(OPERATIONS, made, "reference_price", expected, wrong, "prices of its bar")
        sign = np.sign(signed_units(made))
        fill = reference * (1.0 + sign * trading.slippage_bps / _BPS)
        wrong = unequal(made["fill_price"], fill, 0.0)
        self._tell(OPERATIONS, made, "fill_price", fill, wrong, "reference price and slippage")
        fee = trading.fee_bps / _BPS * made["units"] * fill
        wrong = unequal(made["fee"], fee, trading.initial_portfolio_value)
        self._tell(OPERATIONS, made, "fee", fee, wrong, "fee_bps of the traded money")
        dead = ~market.tradable[row] & ~np.isin(made["cause"], _CLOSINGS)
        self._findings.rows(
            OPERATIONS, made, dead, lambda _: "filled in a bar that cannot be traded"
        )

    def _movements(
        self, grid: _Grid, at: Integers, made: NDArray[np.void]
    ) -> tuple[Floats, Floats]:
        """Return the cash that the fills of each step moved, and the units held after it."""
        count = len(grid.row)
        units = signed_units(made)
        flow = np.bincount(at, weights=-units * made["fill_price"] - made["fee"], minlength=count)
        held, flat = 0.0, 1e-9
        position = np.zeros(count)
        order = np.lexsort((made["operation_index"], at))
        after = np.zeros(len(made))
        episode, before = grid.episode[at], -1
        for i in order.tolist():
            held = 0.0 if episode[i] != before else held
            before = episode[i]
            total = held + units[i]
            held = 0.0 if abs(total) <= flat * made["units"][i] else total
            after[i] = held
        last = np.full(count, -1, dtype=np.int64)
        last[at[order]] = order  # of several in one step the last one stays
        starts = np.zeros(count, dtype=bool)
        starts[grid.first[np.unique(grid.episode)]] = True
        source = np.where(last >= 0, np.arange(count), np.where(starts, np.arange(count), 0))
        source = np.maximum.accumulate(source) if count else source
        filled = last[source] >= 0
        position[filled] = after[last[source][filled]]
        return np.asarray(flow, dtype=np.float64), position

    def _cash(self, grid: _Grid, flow: Floats, position: Floats) -> tuple[Floats, Floats]:
        """Return carry and cash of each step, from the initial value on."""
        trading, count = self._trading, len(grid.row)
        if not count:
            return np.zeros(0), np.zeros(0)
        begins = np.zeros(count, dtype=bool)
        begins[grid.first[np.unique(grid.episode)]] = True
        held = np.where(begins, 0.0, np.roll(position, 1))
        before = grid.row - 1
        timestamp = self._market.timestamp
        days = (timestamp[grid.row] - timestamp[before]) / _DAY_NANOSECONDS
        year = days / trading.day_count
        borrow = trading.borrow_rate * np.maximum(0.0, -held) * self._market.close[before] * year
        carry = borrow
        initial = trading.initial_portfolio_value
        cash = _running_sum(flow - carry, begins) + initial
        debtors = np.unique(grid.episode[cash < 0.0])
        if trading.financing_rate > 0.0 and len(debtors):
            carry, cash = carry.copy(), cash.copy()
            for episode in debtors.tolist():
                own = np.flatnonzero(grid.episode == episode)
                rate = trading.financing_rate * year[own]
                _walk(flow[own], borrow[own], rate, initial, carry, cash, own)
        return carry, cash

    def _check_steps(
        self, grid: _Grid, carry: Floats, cash: Floats, position: Floats, value: Floats
    ) -> None:
        """Compare with the recorded steps."""
        steps, initial = self._chunk.steps, self._trading.initial_portfolio_value
        count = np.bincount(grid.episode, minlength=len(self._chunk.episodes))
        step = steps.records["step_index"]
        there = (step >= 0) & (step < count[steps.place])
        records = steps.records[there]
        at = grid.first[steps.place[there]] + step[there]
        row = grid.row[at]
        for column, exact in (
            ("timestamp", self._market.timestamp[row] // 1000 * 1000),
            ("price", self._market.close[row]),
        ):
            self._tell(STEPS, records, column, exact, records[column] != exact, "the bar")
        for column, expected, scale in (
            ("carry", carry[at], initial),
            ("cash", cash[at], initial),
            ("position", position[at], 0.0),
            ("portfolio_value", value[at], initial),
        ):
            wrong = unequal(records[column], expected, scale)
            self._tell(STEPS, records, column, expected, wrong, "replayed")

    def _check_episodes(self, grid: _Grid, carry: Floats, value: Floats) -> None:
        """Compare what the episodes ended with, also those without recorded steps."""
        episodes, initial = self._chunk.episodes, self._trading.initial_portfolio_value
        count = np.bincount(grid.episode, minlength=len(episodes))
        walked = count > 0
        final = np.full(len(episodes), np.nan)
        final[walked] = value[(grid.first + count - 1)[walked]]
        total = np.bincount(grid.episode, weights=carry, minlength=len(episodes))
        carried = np.asarray(total, dtype=np.float64)
        for column, expected in (("final_portfolio_value", final), ("carry", carried)):
            wrong = walked & unequal(episodes[column], expected, initial)
            self._tell(EPISODES, episodes, column, expected, wrong, "replayed")
        wrong = episodes["initial_portfolio_value"] != initial
        given = np.full(len(episodes), initial)
        self._tell(EPISODES, episodes, "initial_portfolio_value", given, wrong, "the configuration")

    def _tell(
        self,
        table: RecordTable,
        records: NDArray[np.void],
        column: str,
        expected: NDArray[np.generic],
        wrong: NDArray[np.bool_],
        source: str,
    ) -> None:
        self._findings.add_mismatch(table, records, column, expected, wrong, source)


def _running_sum(values: Floats, begins: NDArray[np.bool_]) -> Floats:
    """Return the sum so far inside each episode, without carrying rounding across."""
    out = np.empty_like(values)
    bounds = [*np.flatnonzero(begins).tolist(), len(values)]
    for low, high in pairwise(bounds):
        np.cumsum(values[low:high], out=out[low:high])
    return out


def _walk(
    flow: Floats,
    borrow: Floats,
    rate: Floats,
    initial: float,
    carry: Floats,
    cash: Floats,
    own: Integers,
) -> None:
    """Derive one episode with debts step by step: interest is paid on cash below zero."""
    now = initial
    for i, place in enumerate(own.tolist()):
        charge = borrow[i] + rate[i] * max(0.0, -now)
        now += flow[i] - charge
        carry[place], cash[place] = charge, now
