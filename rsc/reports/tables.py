"""The tables of a report as text cells: metrics, trades, costs.

A cell knows its text, a second line (the interval of a Sharpe ratio) and, where it says
–, why. A Sharpe ratio without a standard error is not shown at all. Nothing is ranked or
marked as best: the table lets numbers stand beside each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rsc.analysis.run_data import SplitRecords
from rsc.reports import formats
from rsc.reports.palette import STYLES
from rsc.trading.performance.metrics import Performance
from rsc.trading.records import Cause, Policy, Side

Formatter = Callable[[float], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One figure: its text, a smaller second line, and the reason where it is –."""

    text: str
    detail: str = ""
    reason: str = ""
    note: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricRow:
    """One metric of every policy."""

    label: str
    explanation: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricGroup:
    """Metrics that belong together."""

    title: str
    rows: tuple[MetricRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricTable:
    """Metrics of all policies, and the notes that its – refer to."""

    policies: tuple[str, ...]
    groups: tuple[MetricGroup, ...]
    notes: tuple[str, ...]


def _times(value: float) -> str:
    return f"{formats.number(value, 1)}\u202f×"


def _fine_percent(value: float) -> str:
    return formats.percent(value, 2)


# metric, label, what it means, how it is written
_METRICS: dict[str, tuple[tuple[str, str, str, Formatter], ...]] = {
    "Return": (
        ("total_return", "Total return", "last over first portfolio value", formats.percent),
        ("annual_return", "Annual return", "geometric, a year", formats.percent),
    ),
    "Risk": (
        ("volatility", "Volatility", "standard deviation of returns, a year", formats.percent),
        ("max_drawdown", "Deepest drawdown", "largest fall below a peak", formats.percent),
        ("max_drawdown_bars", "… lasted, bars", "from its peak to recovery", formats.integer),
        (
            "longest_underwater_bars",
            "Longest under water, bars",
            "longest run of closes below the peak",
            formats.integer,
        ),
        ("value_at_risk", "Value at risk, 5 %", "5 % quantile of a bar's return", _fine_percent),
        (
            "conditional_value_at_risk",
            "Mean loss beyond it",
            "mean of the worst 5 % of bars",
            _fine_percent,
        ),
    ),
    "Return for risk": (
        ("sharpe", "Sharpe ratio", "annualised ± standard error, 95 % interval", formats.number),
        ("psr", "P(Sharpe > 0)", "probabilistic Sharpe ratio", formats.percent),
        ("sortino", "Sortino ratio", "return over downside deviation, a year", formats.number),
        ("calmar", "Calmar ratio", "annual return over deepest drawdown", formats.number),
    ),
    "Trades": (
        ("trade_count", "Closed trades", "round trips, flat to flat", formats.integer),
        ("win_rate", "Won", "share of trades with a profit after all costs", formats.percent),
        ("profit_factor", "Profit factor", "money won over money lost", formats.number),
        ("expectancy", "Mean profit of a trade", "money, after all costs", formats.money),
        ("expectancy_return", "Mean return of a trade", "after all costs", _fine_percent),
        ("average_win", "Mean win", "money", formats.money),
        ("average_loss", "Mean loss", "money", formats.money),
    ),
    "Activity": (
        ("turnover", "Turnover a year", "bought plus sold over portfolio value", _times),
        ("exposure", "Mean exposure", "absolute position value over portfolio value",
         formats.percent),
        ("time_in_market", "Time in market", "share of closes with a position", formats.percent),
    ),
}  # fmt: skip


def metric_table(performances: dict[Policy, Performance]) -> MetricTable:
    """Return the metrics of all policies side by side, with numbered reasons for each –."""
    notes: list[str] = []
    groups = tuple(
        MetricGroup(
            title=title,
            rows=tuple(
                MetricRow(
                    label=label,
                    explanation=explanation,
                    cells=tuple(_cell(p, name, write, notes) for p in performances.values()),
                )
                for name, label, explanation, write in rows
            ),
        )
        for title, rows in _METRICS.items()
    )
    labels = tuple(STYLES[policy].label for policy in performances)
    return MetricTable(policies=labels, groups=groups, notes=tuple(notes))


def _cell(found: Performance, name: str, write: Formatter, notes: list[str]) -> Cell:
    """Return one cell; a new reason is appended to `notes` and numbered from 1."""
    if name == "sharpe":
        text, detail, reason = sharpe_text(found)
    else:
        value = getattr(found, name)
        text = formats.NULL if value is None else write(value)
        detail, reason = "", found.undefined.get(name, "")
    if not reason:
        return Cell(text=text, detail=detail)
    if reason not in notes:
        notes.append(reason)
    return Cell(text=text, reason=reason, note=notes.index(reason) + 1)


def sharpe_text(found: Performance) -> tuple[str, str, str]:
    """Return a Sharpe ratio with its standard error, its interval, and a reason if it is –."""
    error, low, high = found.sharpe_standard_error, found.sharpe_low, found.sharpe_high
    if found.sharpe is None or error is None or low is None or high is None:
        reason = found.undefined.get("sharpe") or found.undefined["sharpe_standard_error"]
        return formats.NULL, "", reason
    text = f"{formats.number(found.sharpe)} ± {formats.number(error)}"
    return text, f"{formats.number(low)} … {formats.number(high)}", ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeRow:
    """One round trip as text; `pnl_sign` is -1, 0 or 1."""

    number: str
    instrument: str
    side: str
    entry: str
    exit: str
    bars: str
    units: str
    entry_price: str
    exit_price: str
    trade_return: str
    pnl: str
    costs: str
    mae: str
    mfe: str
    cause: str
    pnl_sign: int


def trade_rows(
    records: SplitRecords, trades: NDArray[np.void], instruments: Sequence[str]
) -> tuple[TradeRow, ...]:
    """Return closed trades of a split as text, in the order given."""
    index_of = dict(
        zip(
            records.episodes["episode_id"].tolist(),
            records.episodes["instrument"].tolist(),
            strict=True,
        )
    )
    intraday = formats.is_intraday(trades["entry_timestamp"])
    return tuple(
        _trade_row(trade, instruments[index_of[int(trade["episode_id"])]], intraday)
        for trade in trades
    )


def _trade_row(trade: np.void, instrument: str, intraday: bool) -> TradeRow:
    costs = float(trade["fees"] + trade["slippage"] + trade["carry"])
    return TradeRow(
        number=formats.integer(trade["trade_index"] + 1),
        instrument=instrument,
        side=Side(int(trade["side"])).name.lower(),
        entry=formats.date(trade["entry_timestamp"], intraday=intraday),
        exit=formats.date(trade["exit_timestamp"], intraday=intraday),
        bars=formats.integer(trade["bars_held"]),
        units=formats.number(trade["entry_units"], 2),
        entry_price=formats.number(trade["average_entry_price"], 2),
        exit_price=formats.number(trade["average_exit_price"], 2),
        trade_return=formats.signed_percent(trade["trade_return"], 2),
        pnl=formats.money(float(trade["pnl"])),
        costs=formats.money(costs),
        mae=formats.percent(trade["mae"]),
        mfe=formats.percent(trade["mfe"]),
        cause=Cause(int(trade["exit_cause"])).name.lower().replace("_", " "),
        pnl_sign=int(np.sign(trade["pnl"])),
    )


def extreme_trades(trades: NDArray[np.void], count: int) -> NDArray[np.void]:
    """Return the `count` best and the `count` worst trades by pnl, best first."""
    order = np.argsort(-trades["pnl"], kind="stable")
    if len(order) > 2 * count:
        order = np.concatenate([order[:count], order[-count:]])
    return np.asarray(trades[order])


def last_trades(trades: NDArray[np.void], count: int) -> NDArray[np.void]:
    """Return the last `count` trades by exit, the latest first."""
    order = np.argsort(trades["exit_timestamp"], kind="stable")[::-1]
    return np.asarray(trades[order[:count]])


@dataclass(frozen=True, slots=True, kw_only=True)
class CostRow:
    """What one policy paid, in money, and all of it as a share of the initial value."""

    policy: str
    fees: str
    slippage: str
    carry: str
    total: str
    share: str
    traded: str


def cost_rows(records: SplitRecords) -> tuple[CostRow, ...]:
    """Return the costs of every policy of a split, summed over its episodes."""
    rows = []
    for policy in records.policies:
        episodes = records.only(policy).episodes
        fees, slippage, carry = (
            float(episodes[name].sum()) for name in ("fees", "slippage", "carry")
        )
        initial = float(episodes["initial_portfolio_value"].sum())
        total = fees + slippage + carry
        rows.append(
            CostRow(
                policy=STYLES[policy].label,
                fees=formats.money(fees),
                slippage=formats.money(slippage),
                carry=formats.money(carry),
                total=formats.money(total),
                share=formats.percent(total / initial, 2),
                traded=formats.integer(float(episodes["traded_value"].sum())),
            )
        )
    return tuple(rows)
