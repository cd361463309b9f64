"""One self-contained page: text, tables, charts and the chart library in a single file.

The page loads nothing: a content security policy in its head forbids every request, so
it reads the same on a train and in ten years. Everything that comes from a user or a
database is escaped by the template engine, chart data by `_script_json`. Without
JavaScript, all tables still stand; only the charts are missing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources
from typing import Any

import jinja2
import plotly.graph_objects as go
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from rsc.analysis.evaluation import evaluate_split
from rsc.analysis.paths import policy_path
from rsc.analysis.run_data import ReportData, SplitRecords
from rsc.reports import formats, summary
from rsc.reports.figures import learning_figure, split_figure, trade_figure
from rsc.reports.palette import DARK, STYLES
from rsc.reports.paths import CalendarYear, calendar
from rsc.reports.tables import (
    CostRow,
    MetricTable,
    TradeRow,
    cost_rows,
    extreme_trades,
    last_trades,
    metric_table,
    trade_rows,
)
from rsc.trading.records import Policy, Split

SHOWN_INSTRUMENTS = 8  # charts of more would bury the tables
EXTREME_TRADES = 5
LAST_TRADES = 10
_STRONG_MONTH = 0.10  # a month's return that gets the full colour


@dataclass(frozen=True, slots=True, kw_only=True)
class InstrumentView:
    """Charts of one instrument: keys into the figures of the page."""

    name: str
    figure: str
    description: str
    calendar: tuple[CalendarYear, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitView:
    """One split as the template shows it."""

    title: str
    anchor: str
    period: str
    findings: tuple[str, ...]
    headlines: tuple[summary.Headline, ...]
    instruments: tuple[InstrumentView, ...]
    hidden_instruments: int
    metrics: MetricTable
    costs: tuple[CostRow, ...]
    trade_count: int
    trade_figure: str
    extreme_trades: tuple[TradeRow, ...]
    last_trades: tuple[TradeRow, ...]


def render_report(data: ReportData) -> str:
    """Return the report of a run as one HTML document.

    Parameters
    ----------
    data : ReportData
        Everything the page shows.

    Returns
    -------
    str
        A complete document without any reference to another resource, about 5 MB, almost
        all of it the chart library.
    """
    figures: dict[str, go.Figure] = {}
    splits = [_split_view(data, records, figures) for records in data.splits]
    learned = [curve for curve in data.learning if len(curve.iteration) or len(curve.evaluated)]
    if learned:
        figures["learning"] = learning_figure(learned)
    return _environment().get_template("report.html.j2").render(
        facts=data.facts,
        periods_per_year=data.periods_per_year,
        splits=splits,
        learning=learned,
        duration=_duration(data),
        styles=_resource("report.css"),
        script=_resource("report.js"),
        plotly=Markup(get_plotlyjs()),  # noqa: S704  # the library itself
        figures=_script_json({name: json.loads(fig.to_json()) for name, fig in figures.items()}),
        dark=_script_json(DARK),
        policy_colours={style.label: style.colour for style in STYLES.values()},
        dark_colours=DARK,
        null=formats.NULL,
    )  # fmt: skip


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("rsc.reports", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["signed_percent"] = formats.signed_percent
    environment.filters["month_strength"] = month_strength
    environment.filters["integer"] = formats.integer
    return environment


def month_strength(value: float) -> float:
    """Return how strongly a return is coloured, 0 … 100 per cent; a tenth is the most."""
    return round(100 * min(1.0, abs(value) / _STRONG_MONTH), 1)


def _resource(name: str) -> Markup:
    """Return a style sheet or script of this package as it is."""
    text = resources.files("rsc.reports").joinpath("templates", name).read_text("utf-8")
    return Markup(text)  # noqa: S704  # our own file


def _script_json(value: Any) -> Markup:
    """Return JSON that cannot end the script element it stands in."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704  # nothing in it can be read as markup now


def _duration(data: ReportData) -> str:
    started, ended = data.facts.started_at, data.facts.ended_at
    if started is None or ended is None:
        return formats.NULL
    return formats.duration((ended - started).total_seconds())


def _split_view(
    data: ReportData, records: SplitRecords, figures: dict[str, go.Figure]
) -> SplitView:
    """Return one split for the template and add its charts to `figures`."""
    anchor = records.split.name.lower()
    performances = evaluate_split(records, data.periods_per_year)
    own = records.only(Policy.AGENT)
    closed = own.trades[own.trades["exit_cause"] >= 0]
    names = data.facts.instruments
    if records.split is Split.TEST and len(closed) > 1:
        figures[f"{anchor}-trades"] = trade_figure(closed)
    used = sorted({int(index) for index in own.episodes["instrument"]})
    return SplitView(
        title=summary.SPLIT_NAMES[records.split].capitalize(),
        anchor=anchor,
        period=summary.period(records),
        findings=summary.findings(data, records, performances),
        headlines=summary.headlines(records, performances),
        instruments=tuple(
            _instrument_view(records, index, names[index], figures)
            for index in used[:SHOWN_INSTRUMENTS]
        ),
        hidden_instruments=max(0, len(used) - SHOWN_INSTRUMENTS),
        metrics=metric_table(performances),
        costs=cost_rows(records),
        trade_count=len(closed),
        trade_figure=f"{anchor}-trades" if f"{anchor}-trades" in figures else "",
        extreme_trades=trade_rows(own, extreme_trades(closed, EXTREME_TRADES), names),
        last_trades=trade_rows(own, last_trades(closed, LAST_TRADES), names),
    )


def _instrument_view(
    records: SplitRecords, instrument: int, name: str, figures: dict[str, go.Figure]
) -> InstrumentView:
    """Return the charts of one instrument: all policies, and on the test split the trades."""
    on_it = records.episodes[records.episodes["instrument"] == instrument]
    policies = sorted({Policy(int(code)) for code in on_it["policy"]})
    paths = [policy_path(records, policy, instrument) for policy in policies]
    trades = records.only(Policy.AGENT, instrument).trades if records.split is Split.TEST else None
    key = f"{records.split.name.lower()}-{instrument}"
    figures[key] = split_figure(paths, trades)
    ends = "; ".join(
        f"{STYLES[path.policy].label} from {formats.integer(path.value[0])} to "
        f"{formats.integer(path.value[-1])}, deepest drawdown "
        f"{formats.percent(path.drawdown.min())}"
        for path in paths
    )
    return InstrumentView(
        name=name,
        figure=key,
        description=f"Portfolio values on {name}. {ends}.",
        calendar=calendar(paths[0]),
    )
