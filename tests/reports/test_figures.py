"""Paths, tables, sentences and charts say what the records say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rsc.analysis.evaluation import evaluate_split
from rsc.analysis.paths import PolicyPath, policy_path
from rsc.analysis.run_data import LearningCurve, ReportData, SplitRecords
from rsc.reports import formats
from rsc.reports.figures import learning_figure, split_figure, trade_figure
from rsc.reports.palette import STYLES as ALL_STYLES
from rsc.reports.paths import calendar, thinned
from rsc.reports.summary import early_ends, findings, headlines
from rsc.reports.tables import (
    cost_rows,
    extreme_trades,
    last_trades,
    metric_table,
    sharpe_text,
    trade_rows,
)
from rsc.trading.environments.baselines.registry import BASELINES
from rsc.trading.performance.metrics import performance_of_series
from rsc.trading.performance.series import account_series
from rsc.trading.records import (
    EPISODE_DTYPE,
    STEP_DTYPE,
    TRADE_DTYPE,
    Cause,
    EpisodeState,
    Policy,
    Split,
)

DAY = 86_400 * 10**9
STYLES = {policy: ALL_STYLES[policy] for policy in (Policy.AGENT, *BASELINES)}


def timestamp(text: str) -> int:
    return int(np.datetime64(text, "ns").astype(np.int64))


def path_of(dates: list[str], values: list[float]) -> PolicyPath:
    value = np.array(values)
    return PolicyPath(
        policy=Policy.AGENT,
        timestamp=np.array([timestamp(date) for date in dates]),
        value=value,
        drawdown=np.minimum(value / np.maximum.accumulate(value) - 1, 0),
        exposure=np.ones(len(value)),
        price=np.arange(1.0, len(value) + 1),
        fold_starts=np.zeros(0, np.int64),
    )


@pytest.fixture(scope="module")
def evaluated_split(report: ReportData) -> SplitRecords:
    return report.splits[0]


@pytest.mark.parametrize(
    ("value", "text"),
    [(1234567.891, "1,234,567.89"), (-0.5, "−0.50"), (-0.001, "0.00"), (0.0, "0.00")],
)
def test_numbers_have_separators_and_a_true_minus(value: float, text: str) -> None:
    assert formats.number(value) == text


def test_percentages_and_their_signs() -> None:
    assert formats.percent(-0.1234) == "−12.3\u202f%"
    assert formats.signed_percent(0.1234) == "+12.3\u202f%"
    assert formats.signed_percent(0.0) == "0.0\u202f%"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(3.21, "3.2 s"), (59.99, "1 min 0 s"), (252, "4 min 12 s"), (3725, "1 h 2 min")],
)
def test_durations_are_readable(seconds: float, text: str) -> None:
    assert formats.duration(seconds).replace("\u202f", " ") == text


def test_intraday_timestamps_show_their_time() -> None:
    close = timestamp("2018-12-31T16:00")
    assert formats.is_intraday(np.array([close]))
    assert formats.date(close, intraday=True) == "2018-12-31 16:00"
    assert not formats.is_intraday(np.array([timestamp("2018-12-31")]))


def test_a_month_is_evaluated_from_the_close_before_it() -> None:
    path = path_of(
        ["2017-12-28", "2017-12-29", "2018-01-30", "2018-01-31", "2018-03-01"],
        [100, 110, 120, 121, 60.5],
    )
    first, second = calendar(path)
    assert (first.year, first.months[11]) == (2017, pytest.approx(0.10))
    assert first.months[:11] == (None,) * 11
    assert second.months[:3] == (pytest.approx(0.10), None, pytest.approx(-0.5))
    assert second.total == pytest.approx(1.1 * 0.5 - 1)


def test_months_multiply_to_the_total_return(
    report: ReportData, evaluated_split: SplitRecords
) -> None:
    path = policy_path(evaluated_split, Policy.AGENT, 0)
    found = evaluate_split(evaluated_split, 252)[Policy.AGENT]
    total = np.prod([1 + year.total for year in calendar(path)]) - 1
    assert found.total_return == pytest.approx(total)


def test_thinning_keeps_ends_and_extremes() -> None:
    values = np.random.default_rng(1).normal(size=50_000)
    values[12_345], values[40_001] = -50, 60
    kept = thinned(values, limit=900)
    assert len(kept) <= 901
    assert {0, 12_345, 40_001, 49_999} <= set(kept.tolist())
    assert (np.diff(kept) > 0).all()
    assert thinned(values[:100], limit=900).tolist() == list(range(100))


def test_folds_are_joined_into_one_path() -> None:
    episodes = np.zeros(2, EPISODE_DTYPE)
    episodes["episode_id"] = [2, 1]
    episodes["start_timestamp"] = [2 * DAY, 0]
    episodes["state"] = EpisodeState.COMPLETED
    episodes["initial_portfolio_value"] = 1000
    episodes["step_count"] = 2
    steps = np.zeros(4, STEP_DTYPE)
    steps["episode_id"] = [2, 1, 2, 1]
    steps["step_index"] = [0, 1, 1, 0]
    steps["timestamp"] = [3 * DAY, 2 * DAY, 4 * DAY, DAY]
    steps["portfolio_value"] = [1000, 1200, 500, 1100]
    records = SplitRecords(
        split=Split.TEST, episodes=episodes, steps=steps, trades=np.zeros(0, TRADE_DTYPE)
    )
    path = policy_path(records, Policy.AGENT, 0)
    assert path.value.tolist() == [1000, 1100, 1200, 1200, 600]
    assert path.timestamp.tolist() == [0, DAY, 2 * DAY, 3 * DAY, 4 * DAY]
    assert path.fold_starts.tolist() == [2 * DAY]
    assert path.drawdown[-1] == pytest.approx(-0.5)
    assert len(split_figure([path]).layout.shapes) == 1


def test_values_drawn_are_values_recorded(evaluated_split: SplitRecords) -> None:
    paths = [policy_path(evaluated_split, policy, 0) for policy in evaluated_split.policies]
    figure = split_figure(paths, evaluated_split.only(Policy.AGENT).trades)
    drawn = {trace.name: trace for trace in figure.data if (trace.yaxis or "y") == "y"}
    assert set(drawn) == {style.label for style in STYLES.values()}
    final = evaluated_split.only(Policy.AGENT).episodes["final_portfolio_value"][0]
    assert drawn["Agent"].y[-1] == final
    for policy, style in STYLES.items():
        assert drawn[style.label].line.color == style.colour, policy


def test_all_panels_share_one_date_axis(evaluated_split: SplitRecords) -> None:
    paths = [policy_path(evaluated_split, policy, 0) for policy in evaluated_split.policies]
    figure = split_figure(paths, evaluated_split.only(Policy.AGENT).trades)
    assert {trace.xaxis for trace in figure.data} == {None}
    assert {trace.yaxis for trace in figure.data} == {"y", "y2", "y3", "y4"}
    assert figure.layout.xaxis.type == "date"


def test_entries_are_marked_and_reversals_only_once(evaluated_split: SplitRecords) -> None:
    agent = evaluated_split.only(Policy.AGENT)
    figure = split_figure([policy_path(evaluated_split, Policy.AGENT, 0)], agent.trades)
    marks = {trace.name: len(trace.x) for trace in figure.data if trace.mode == "markers"}
    assert marks["Long entry"] + marks["Short entry"] == len(agent.trades)
    assert marks["Exit to flat"] == 1  # always in the market: only the end of the split


def test_a_trade_that_was_stopped_in_its_own_bar_has_an_exit(evaluated_split: SplitRecords) -> None:
    trade = evaluated_split.only(Policy.AGENT).trades[:1].copy()
    trade["exit_timestamp"] = trade["entry_timestamp"]
    figure = split_figure([policy_path(evaluated_split, Policy.AGENT, 0)], trade)
    marks = {trace.name: len(trace.x) for trace in figure.data if trace.mode == "markers"}
    assert marks["Exit to flat"] == 1


def test_a_large_range_of_values_is_drawn_on_a_logarithm() -> None:
    dates = ["2018-01-01", "2018-01-02", "2018-01-03"]
    assert split_figure([path_of(dates, [100, 300, 500])]).layout.yaxis.type == "log"
    assert split_figure([path_of(dates, [100, 110, 120])]).layout.yaxis.type is None
    assert split_figure([path_of(dates, [100, 1, -5])]).layout.yaxis.type is None


def test_the_chosen_iteration_is_marked() -> None:
    curve = LearningCurve(
        iteration=np.array([1.0, 2.0]),
        episode_return=np.array([0.1, 0.2]),
        evaluated=np.array([1.0, 2.0]),
        sharpe=np.array([0.5, np.nan]),
        sharpe_low=np.array([-0.5, np.nan]),
        sharpe_high=np.array([1.5, np.nan]),
        best_iteration=1,
    )
    names = [trace.name for trace in learning_figure([curve]).data]
    assert names == ["95 % interval", "Sharpe ratio", "chosen: iteration 1", "Training"]
    unknown = replace(curve, best_iteration=2)
    assert "chosen: iteration 2" not in [t.name for t in learning_figure([unknown]).data]


def test_zero_is_an_edge_of_the_trade_histogram() -> None:
    trades = np.zeros(5, TRADE_DTYPE)
    trades["trade_return"] = [-0.031, 0.012, 0.05, -0.004, 0.0]
    trades["pnl"] = trades["trade_return"]
    for trace in trade_figure(trades).data:
        assert trace.xbins.start / trace.xbins.size == pytest.approx(
            round(trace.xbins.start / trace.xbins.size)
        )
    same = np.zeros(3, TRADE_DTYPE)
    assert trade_figure(same).data[0].xbins.size > 0


def test_reasons_are_numbered_once_each(evaluated_split: SplitRecords) -> None:
    table = metric_table(evaluate_split(evaluated_split, 252))
    assert table.policies == tuple(style.label for style in STYLES.values())
    assert len(set(table.notes)) == len(table.notes)
    for group in table.groups:
        for row in group.rows:
            for cell in row.cells:
                assert (cell.text == formats.NULL) == bool(cell.reason) == bool(cell.note)
                if cell.note:
                    assert table.notes[cell.note - 1] == cell.reason


def test_a_sharpe_without_standard_error_is_not_shown(evaluated_split: SplitRecords) -> None:
    found = evaluate_split(evaluated_split, 252)[Policy.AGENT]
    short = replace(
        found,
        sharpe_standard_error=None,
        sharpe_low=None,
        sharpe_high=None,
        undefined={"sharpe_standard_error": "fewer than 30 bars"},
    )
    assert sharpe_text(short) == (formats.NULL, "", "fewer than 30 bars")


def test_extreme_trades_are_the_best_and_the_worst() -> None:
    trades = np.zeros(7, TRADE_DTYPE)
    trades["pnl"] = [3, -5, 1, 9, -2, 0, 4]
    trades["exit_timestamp"] = np.arange(7)
    assert extreme_trades(trades, 2)["pnl"].tolist() == [9, 4, -2, -5]
    assert extreme_trades(trades, 4)["pnl"].tolist() == [9, 4, 3, 1, 0, -2, -5]
    assert last_trades(trades, 2)["exit_timestamp"].tolist() == [6, 5]


def test_trades_are_told_with_all_their_costs(evaluated_split: SplitRecords) -> None:
    own = evaluated_split.only(Policy.AGENT)
    row = trade_rows(own, own.trades[:1], ("S&P 500",))[0]
    trade = own.trades[0]
    assert row.costs == formats.money(trade["fees"] + trade["slippage"] + trade["carry"])
    assert (row.number, row.entry, row.side) == ("1", "2014-12-26", "long")


def test_costs_are_those_of_the_episodes(evaluated_split: SplitRecords) -> None:
    rows = {row.policy: row for row in cost_rows(evaluated_split)}
    episode = evaluated_split.only(Policy.RANDOM).episodes[0]
    total = episode["fees"] + episode["slippage"] + episode["carry"]
    assert rows["Random"].total == formats.money(total)
    assert rows["Flat"].share == "0.00\u202f%"


def test_findings_do_not_praise_an_interval_that_holds_zero(
    report: ReportData, evaluated_split: SplitRecords
) -> None:
    found = evaluate_split(evaluated_split, 252)
    sentences = findings(report, evaluated_split, found)
    assert "the interval includes zero, so these bars alone show no skill" in sentences[1]
    better = replace(found[Policy.AGENT], sharpe_low=0.1, sharpe_high=0.9)
    sentences = findings(report, evaluated_split, found | {Policy.AGENT: better})
    assert "above zero, before counting tries" in sentences[1]
    worse = replace(found[Policy.AGENT], sharpe_low=-0.9, sharpe_high=-0.1)
    sentences = findings(report, evaluated_split, found | {Policy.AGENT: worse})
    assert "the whole interval is below zero" in sentences[1]


def test_less_than_a_year_is_said(report: ReportData, evaluated_split: SplitRecords) -> None:
    found = evaluate_split(evaluated_split, 252)
    short = replace(found[Policy.AGENT], bars=100)
    sentences = findings(report, evaluated_split, found | {Policy.AGENT: short})
    assert any("less than a year" in sentence for sentence in sentences)


def test_an_account_that_ended_before_the_split_is_told(
    report: ReportData, evaluated_split: SplitRecords
) -> None:
    assert early_ends(evaluated_split) == {}
    episodes = evaluated_split.episodes.copy()
    agents = np.flatnonzero(episodes["policy"] == Policy.AGENT)
    episodes["ended_by"][agents[0]] = Cause.MAX_DRAWDOWN
    cut = replace(evaluated_split, episodes=episodes)
    date = formats.date(episodes["end_timestamp"][agents[0]])
    assert early_ends(cut) == {Policy.AGENT: f"reached its drawdown limit on {date}"}
    sentences = findings(report, cut, evaluate_split(cut, 252))
    assert any(f"reached its drawdown limit on {date}, before" in s for s in sentences)


def test_a_sharpe_of_too_few_bars_for_an_interval_is_shown_nowhere() -> None:
    values = 100 * np.cumprod(1 + np.resize([0.01, -0.02, 0.03], 20))
    empty = np.zeros(0)
    figures = performance_of_series(
        account_series(
            values,
            trade_pnl=empty,
            trade_return=empty,
            traded_value=np.zeros(19),
            exposure=np.zeros(19),
            in_market=np.zeros(19, bool),
        ),
        periods_per_year=252,
    )
    assert figures.sharpe is not None
    shown = figures.shown()
    assert (shown.sharpe, shown.undefined["sharpe"]) == (None, "fewer than 30 bars")
    assert replace(shown, sharpe=figures.sharpe, undefined=figures.undefined) == figures


def test_headlines_hold_buy_and_hold_against_the_agent(evaluated_split: SplitRecords) -> None:
    figures = {
        item.label: item
        for item in headlines(evaluated_split, evaluate_split(evaluated_split, 252))
    }
    assert figures["Total return"].detail.startswith("Buy and hold +")
    assert figures["Sharpe ratio"].detail.startswith("95\u202f% interval")
    assert figures["Costs paid"].detail.endswith("of the initial value")
