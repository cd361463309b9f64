"""The first screen of a report: what was found and how sure that is, in plain sentences.

Words follow the numbers by fixed rules, so that two runs with the same figures read the
same. Nothing here recommends anything: an interval that holds zero is called that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rsc.analysis.run_data import ReportData, RunFacts, SplitRecords
from rsc.reports import formats
from rsc.reports.palette import STYLES
from rsc.reports.tables import sharpe_text
from rsc.trading.performance.metrics import Performance
from rsc.trading.records import Cause, Policy, Split

SPLIT_NAMES = {Split.TEST: "test split", Split.VALIDATION: "validation split"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """One large figure: its name, the figure, and what to hold against it."""

    label: str
    text: str
    detail: str
    reason: str = ""


def headlines(
    records: SplitRecords, performances: dict[Policy, Performance]
) -> tuple[Headline, ...]:
    """Return the figures of the agent that a reader looks for first."""
    agent = performances[Policy.AGENT]
    holding = performances.get(Policy.BUY_AND_HOLD)
    return (
        _percent("Total return", "total_return", agent, holding, signed=True),
        _sharpe(agent),
        _percent("Deepest drawdown", "max_drawdown", agent, holding),
        _percent("Volatility a year", "volatility", agent, holding),
        _trades(agent),
        _costs(records),
    )


def _percent(
    label: str,
    name: str,
    agent: Performance,
    holding: Performance | None,
    *,
    signed: bool = False,
) -> Headline:
    write = formats.signed_percent if signed else formats.percent
    value = getattr(agent, name)
    other = None if holding is None else getattr(holding, name)
    return Headline(
        label=label,
        text=formats.NULL if value is None else write(value),
        detail="" if other is None else f"{STYLES[Policy.BUY_AND_HOLD].label} {write(other)}",
        reason=agent.undefined.get(name, ""),
    )


def _sharpe(agent: Performance) -> Headline:
    text, interval, reason = sharpe_text(agent)
    detail = f"95\u202f% interval {interval}" if interval else reason
    return Headline(label="Sharpe ratio", text=text, detail=detail, reason=reason)


def _trades(agent: Performance) -> Headline:
    won = "" if agent.win_rate is None else f"{formats.percent(agent.win_rate, 0)} won after costs"
    return Headline(
        label="Closed trades",
        text=formats.integer(agent.trade_count),
        detail=won or agent.undefined["win_rate"],
    )


def _costs(records: SplitRecords) -> Headline:
    episodes = records.only(Policy.AGENT).episodes
    total = sum(float(episodes[name].sum()) for name in ("fees", "slippage", "carry"))
    initial = float(episodes["initial_portfolio_value"].sum())
    return Headline(
        label="Costs paid",
        text=formats.integer(total),
        detail=f"{formats.percent(total / initial, 2)} of the initial value",
    )


def period(records: SplitRecords) -> str:
    """Return the first and last date of a split, as one phrase."""
    first, last = records.episodes["start_timestamp"].min(), records.episodes["end_timestamp"].max()
    intraday = formats.is_intraday(records.episodes["start_timestamp"])
    return f"{formats.date(first, intraday=intraday)} to {formats.date(last, intraday=intraday)}"


_EARLY = {
    Cause.LIQUIDATION: "was liquidated",
    Cause.RUIN: "was ruined",
    Cause.MAX_DRAWDOWN: "reached its drawdown limit",
}


def early_ends(records: SplitRecords) -> dict[Policy, str]:
    """Return what ended accounts before the split did, and when: the first of each policy."""
    early = np.sort(
        records.episodes[np.isin(records.episodes["ended_by"], list(_EARLY))],
        order="end_timestamp",
        kind="stable",
    )
    found: dict[Policy, str] = {}
    for episode in early:
        date = formats.date(episode["end_timestamp"])
        found.setdefault(
            Policy(episode["policy"]), f"{_EARLY[Cause(episode['ended_by'])]} on {date}"
        )
    return found


def findings(
    data: ReportData, records: SplitRecords, performances: dict[Policy, Performance]
) -> tuple[str, ...]:
    """Return what the split says about the agent, one sentence each, as plain text."""
    agent = performances[Policy.AGENT]
    found = [_money_sentence(records, performances), _sharpe_sentence(agent, records)]
    early = early_ends(records).get(Policy.AGENT)
    if early:
        found.append(f"An account of the agent {early}, before the split ended: no bar follows.")
    if agent.under_a_year:
        found.append(
            f"The figures are of {formats.integer(agent.bars)} bars, less than a year "
            f"({formats.number(data.periods_per_year, 0)}): annualised figures extrapolate."
        )
    found.append(_tries_sentence(data.facts, records.split))
    return tuple(sentence for sentence in found if sentence)


def _money_sentence(records: SplitRecords, performances: dict[Policy, Performance]) -> str:
    agent, holding = performances[Policy.AGENT], performances.get(Policy.BUY_AND_HOLD)
    if agent.total_return is None:
        return ""
    sentence = (
        f"On the {SPLIT_NAMES[records.split]}, {period(records)} "
        f"({formats.integer(agent.bars)} bars), the agent returned "
        f"{formats.signed_percent(agent.total_return)} after all costs"
    )
    if holding is None or holding.total_return is None:
        return f"{sentence}."
    return f"{sentence}; buy and hold returned {formats.signed_percent(holding.total_return)}."


def _sharpe_sentence(agent: Performance, records: SplitRecords) -> str:
    text, interval, reason = sharpe_text(agent)
    if reason or agent.sharpe_low is None or agent.sharpe_high is None:
        return f"Its Sharpe ratio is not shown: {reason}."
    sentence = f"Its Sharpe ratio is {text} (95\u202f% interval {interval}): "
    if agent.sharpe_high < 0:
        return f"{sentence}the whole interval is below zero."
    if agent.sharpe_low <= 0:
        return f"{sentence}the interval includes zero, so these bars alone show no skill."
    if records.split is Split.VALIDATION:
        return f"{sentence}it is above zero on the bars that the module was chosen on."
    return f"{sentence}the whole interval is above zero, before counting tries."


def _tries_sentence(facts: RunFacts, split: Split) -> str:
    tail = (
        " The validation split chose the module, so its figures flatter."
        if split is Split.VALIDATION
        else ""
    )
    if facts.tries_on_data is None:
        return tail.strip()
    if facts.tries_on_data == 1:
        return f"This is the first try on these data.{tail}"
    return (
        f"These data have been tried {formats.integer(facts.tries_on_data)} times, this run "
        f"included: the more tries, the better the best of them looks by luck alone.{tail}"
    )
