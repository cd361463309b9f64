"""Worked examples E and S of docs/performance-metrics.md, golden case 2, and empyrical."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import empyrical
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metric_values import of_values
from numpy.typing import NDArray

import rsc.market
from rsc.errors import UserError
from rsc.trading.performance import metrics
from rsc.trading.performance.metrics import METRIC_NAMES, performance_of_series
from rsc.trading.performance.series import (
    account_series,
    concatenate_series,
    non_overlapping,
    series_of_records,
)
from rsc.trading.records import (
    EPISODE_DTYPE,
    STEP_DTYPE,
    TRADE_DTYPE,
    EpisodeState,
)

SP500 = Path(next(iter(rsc.market.__path__))) / "data" / "sp500_daily.csv"
SPECIFICATION = Path(__file__).parents[2] / "docs" / "performance-metrics.md"
EXAMPLE_E = np.array([100.0, 102, 99, 103, 101, 104])
NOTHING = np.array([])
SHOWN_ALTHOUGH_SHORT = {"value_at_risk", "conditional_value_at_risk"}


@pytest.fixture(scope="module")
def closes() -> NDArray[np.float64]:
    return pd.read_csv(SP500)["Close"].to_numpy(np.float64)


def worked_numbers(column: int) -> dict[str, list[str]]:
    """Read the numbers of the table of section 1: metric name(s) to printed number(s)."""
    rows = [line for line in SPECIFICATION.read_text("utf-8").splitlines() if line[:2] == "| "]
    found = {}
    for row in rows:
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", row.strip("|"))]
        if len(cells) == 5 and cells[column] and cells[0] != "metric":
            found[cells[0]] = [
                number.strip(" *").replace("−", "-") for number in cells[column].split(",")
            ]
    return found


def check_table(column: int, found: dict[str, float | None]) -> int:
    checked = 0
    for names, numbers in worked_numbers(column).items():
        if numbers[0].startswith("golden"):  # its own test below
            continue
        for name, number in zip(names.split(","), numbers, strict=False):
            metric, text = name.strip(), number.split(" (")[0]
            if metric in SHOWN_ALTHOUGH_SHORT and found[metric] is None:
                continue
            expected = None if text == "null" else pytest.approx(float(text), rel=5e-10)
            assert found[metric] == expected, metric
            checked += 1
    return checked


def test_every_metric_of_example_e_is_the_printed_number() -> None:
    found = of_values(EXAMPLE_E, pnl=[30, -10, 20, -15, 0])
    assert check_table(3, found.as_dict()) == 15


def test_every_metric_of_the_index_is_the_printed_number(closes: NDArray[np.float64]) -> None:
    found = of_values(closes, pnl=[1254.95])
    assert check_table(4, found.as_dict()) == 14


def test_example_e_by_hand() -> None:
    found = of_values(EXAMPLE_E, pnl=[30, -10, 20, -15, 0])
    assert found.total_return == pytest.approx(0.04)
    assert found.annual_return == pytest.approx(1.04 ** (252 / 5) - 1)
    assert found.max_drawdown == pytest.approx(99 / 102 - 1)
    assert (found.max_drawdown_bars, found.longest_underwater_bars) == (2, 1)
    assert (found.trade_count, found.win_rate, found.profit_factor) == (5, 0.4, 2.0)
    assert (found.expectancy, found.average_win, found.average_loss) == (5.0, 25.0, -12.5)
    assert found.expectancy_return == pytest.approx(0.05)


def test_tail_formulas_of_example_e() -> None:
    returns = EXAMPLE_E[1:] / EXAMPLE_E[:-1] - 1
    assert metrics.value_at_risk(returns) == pytest.approx(-0.02741290691, rel=1e-9)
    assert metrics.conditional_value_at_risk(returns) == pytest.approx(-0.02941176471, rel=1e-9)


def test_the_sharpe_of_the_index_has_its_error_and_interval(closes: NDArray[np.float64]) -> None:
    found = of_values(closes)
    assert found.sharpe_standard_error == pytest.approx(0.0122560476 * math.sqrt(252), rel=5e-9)
    assert found.sharpe_low == pytest.approx(-0.0986, abs=5e-5)
    assert found.sharpe_high == pytest.approx(0.6641, abs=5e-5)
    assert found.psr == pytest.approx(0.896583, abs=5e-7)


def test_golden_case_2_has_the_printed_turnover_and_exposure() -> None:
    found = performance_of_series(
        account_series(
            np.array([1000, 1028.45680057, 1096.70494423]),
            trade_pnl=np.array([96.7049442312]),
            trade_return=np.array([0.096801649175]),
            traded_value=np.array([999.000999001, 1097.80274698]),
            exposure=np.array([1.0, 0.0]),
            in_market=np.array([True, False]),
        ),
        periods_per_year=252,
    )
    assert found.turnover == pytest.approx(260.3700, abs=5e-5)
    assert (found.exposure, found.time_in_market) == (0.5, 0.5)
    assert found.expectancy_return == pytest.approx(0.096801649175)


def test_every_undefined_metric_has_a_reason_and_every_defined_one_none() -> None:
    for found in (of_values([100.0]), of_values([100.0, 101.0]), of_values(EXAMPLE_E)):
        missing = {name for name, value in found.as_dict().items() if value is None}
        assert missing == set(found.undefined)
        assert all(found.undefined.values())


def test_no_bar_leaves_only_the_number_of_trades() -> None:
    found = of_values([100.0])
    assert {name for name, value in found.as_dict().items() if value is not None} == {"trade_count"}
    assert found.undefined["total_return"] == "no bar"


def test_one_bar_has_a_return_but_no_volatility() -> None:
    found = of_values([100.0, 101.0])
    assert found.total_return == pytest.approx(0.01)
    assert found.undefined["volatility"] == "fewer than 2 bars"
    assert found.undefined["sharpe"] == "fewer than 2 bars"


def test_a_flat_account_has_volatility_zero_and_no_sharpe() -> None:
    found = of_values(np.full(60, 100.0))
    assert (found.volatility, found.max_drawdown, found.total_return) == (0.0, 0.0, 0.0)
    assert found.undefined["sharpe"] == "the returns do not vary"
    assert found.undefined["sharpe_low"] == "the returns do not vary"
    assert found.undefined["calmar"] == "no drawdown"
    assert found.undefined["sortino"] == "no return below the risk-free one"


def test_equal_gains_have_no_sharpe_although_rounding_makes_them_differ_in_deviation() -> None:
    found = of_values(np.array([1.0, 2, 4, 8, 16, 32]))
    assert (found.sharpe, found.volatility) == (None, 0.0)


def test_a_year_of_exactly_p_bars_is_not_under_a_year() -> None:
    assert of_values(np.linspace(100, 110, 252)).under_a_year
    assert not of_values(np.linspace(100, 110, 253)).under_a_year


def test_a_debt_is_an_annual_return_of_minus_one_and_a_drawdown_below_it() -> None:
    found = of_values([100.0, 110.0, -22.0, -33.0])
    assert found.annual_return == -1.0
    assert found.max_drawdown == pytest.approx(-1.3)


def test_bars_without_equity_are_left_out_of_exposure() -> None:
    found = performance_of_series(
        account_series(
            np.array([1000.0, 1000.0, -100.0]),
            trade_pnl=np.array([-1100.0]),
            trade_return=np.array([-1.1]),
            traded_value=np.array([1000.0, 2100.0]),
            exposure=np.array([-1.0, np.nan]),
            in_market=np.array([True, False]),
        ),
        periods_per_year=252,
    )
    assert (found.exposure, found.time_in_market) == (1.0, 0.5)


def test_drawdown_lasts_from_its_peak_to_the_recovery_or_the_end() -> None:
    assert metrics.max_drawdown_bars(np.array([10.0, 8, 9, 10, 12, 11])) == 3
    assert metrics.max_drawdown_bars(np.array([10.0, 12, 9, 11, 11])) == 3
    assert metrics.max_drawdown_bars(np.array([10.0, 11, 12])) == 0


def test_of_equally_deep_drawdowns_the_first_is_measured() -> None:
    assert metrics.max_drawdown_bars(np.array([10.0, 5, 10, 5, 6, 10])) == 2


def test_longest_time_under_water_may_belong_to_a_shallower_drawdown() -> None:
    values = np.array([10.0, 5, 10, 9, 9, 9, 10])
    assert metrics.max_drawdown_bars(values) == 2
    assert metrics.longest_underwater_bars(values) == 3
    assert metrics.longest_underwater_bars(np.array([10.0, 9, 8])) == 2
    assert metrics.longest_underwater_bars(np.array([10.0, 11])) == 0


def test_no_losing_trade_is_the_reason_for_no_profit_factor() -> None:
    found = of_values(EXAMPLE_E, pnl=[3.0, 0.0])
    assert found.undefined["profit_factor"] == "no losing trade"
    assert found.undefined["average_loss"] == "no losing trade"
    assert found.win_rate == 0.5


def test_no_trade_is_the_reason_for_every_trade_metric() -> None:
    found = of_values(EXAMPLE_E)
    assert found.trade_count == 0
    for name in ("win_rate", "profit_factor", "expectancy", "average_win", "average_loss"):
        assert found.undefined[name] == "no trade"


def test_stitched_episodes_are_one_series_of_concatenated_returns(
    closes: NDArray[np.float64],
) -> None:
    def part(values: NDArray[np.float64]) -> metrics.AccountSeries:
        length = len(values) - 1
        return account_series(
            values,
            trade_pnl=NOTHING,
            trade_return=NOTHING,
            traded_value=np.zeros(length),
            exposure=np.ones(length),
            in_market=np.ones(length, dtype=bool),
        )

    whole = performance_of_series(part(closes), periods_per_year=252)
    pieces = concatenate_series(
        [part(closes[:1001]), part(closes[1000:3001] * 7), part(closes[3000:] / 3)]
    )
    joined = performance_of_series(pieces, periods_per_year=252)
    for name, value in whole.as_dict().items():
        expected = value if value is None else pytest.approx(value, rel=1e-9)
        assert joined.as_dict()[name] == expected, name


def test_records_are_evaluated_in_order_of_date_without_interrupted_episodes() -> None:
    episodes = np.zeros(3, EPISODE_DTYPE)
    episodes["episode_id"] = [11, 12, 13]
    episodes["start_timestamp"] = [30, 10, 20]
    episodes["state"] = [EpisodeState.COMPLETED, EpisodeState.COMPLETED, EpisodeState.INTERRUPTED]
    episodes["initial_portfolio_value"] = 100
    episodes["step_count"] = [1, 2, 5]
    steps = np.zeros(4, STEP_DTYPE)
    steps["episode_id"] = [11, 12, 12, 13]
    steps["step_index"] = [0, 1, 0, 0]
    steps["portfolio_value"] = [90, 120, 110, 1]
    steps["position"] = [0, 0, 1, 1]
    trades = np.zeros(1, TRADE_DTYPE)
    trades["episode_id"], trades["pnl"] = 12, 20
    found = metrics.performance_of_records(episodes, steps, trades, periods_per_year=252)
    assert found.bars == 3
    assert found.total_return == pytest.approx(1.2 * 0.9 - 1)
    assert found.max_drawdown == pytest.approx(-0.1)
    assert (found.trade_count, found.time_in_market) == (1, pytest.approx(1 / 3))


def test_accounts_of_several_instruments_are_a_portfolio_in_equal_parts() -> None:
    """Two accounts of 100: 110 then 121, and 90 then (a bar later) 80; not +10 % after -20 %."""
    episodes = np.zeros(2, EPISODE_DTYPE)
    episodes["episode_id"], episodes["instrument"] = [11, 12], [0, 1]
    episodes["start_timestamp"], episodes["end_timestamp"] = [10, 10], [30, 40]
    episodes["state"], episodes["initial_portfolio_value"] = EpisodeState.COMPLETED, 100
    episodes["step_count"] = 2
    steps = np.zeros(4, STEP_DTYPE)
    steps["episode_id"], steps["step_index"] = [11, 11, 12, 12], [0, 1, 0, 1]
    steps["timestamp"] = [20, 30, 20, 40]
    steps["portfolio_value"] = [110, 121, 90, 80]
    steps["traded_value"], steps["exposure"] = [50, 0, 30, 20], [0.5, 0, -0.5, 1]
    steps["position"] = [1, 0, -1, 1]
    trades = np.zeros(2, TRADE_DTYPE)
    trades["episode_id"], trades["pnl"] = [11, 12], [21, -20]
    found = series_of_records(episodes, steps, trades)
    assert found.values.tolist() == [200, 200, 211, 201]
    assert found.returns == pytest.approx([0, 0.055, 201 / 211 - 1])
    assert found.traded_share == pytest.approx([80 / 200, 0, 20 / 211])
    assert found.exposure == pytest.approx([(55 + 45) / 200, 45 / 211, 80 / 201])
    assert found.in_market.tolist() == [True, True, True]
    assert found.trade_pnl.tolist() == [21, -20]
    evaluated = metrics.performance_of_records(episodes, steps, trades, periods_per_year=252)
    assert (evaluated.total_return, evaluated.bars) == (pytest.approx(0.005), 3)


def test_an_account_in_debt_does_not_hide_what_the_others_hold() -> None:
    episodes = np.zeros(2, EPISODE_DTYPE)
    episodes["episode_id"], episodes["step_count"] = [11, 12], 1
    episodes["start_timestamp"], episodes["end_timestamp"] = 10, 20
    episodes["state"], episodes["initial_portfolio_value"] = EpisodeState.COMPLETED, 100
    steps = np.zeros(2, STEP_DTYPE)
    steps["episode_id"], steps["timestamp"] = [11, 12], 20
    steps["portfolio_value"], steps["exposure"] = [-1, 100], [np.nan, 1.0]
    steps["position"] = [0, 1]
    found = series_of_records(episodes, steps, np.zeros(0, TRADE_DTYPE))
    assert found.exposure == pytest.approx([100 / 99])
    assert found.in_market.tolist() == [True]


def test_folds_over_the_same_bars_are_not_one_series() -> None:
    episodes = np.zeros(2, EPISODE_DTYPE)
    episodes["episode_id"], episodes["fold"], episodes["step_count"] = [11, 12], [0, 1], 2
    episodes["start_timestamp"], episodes["end_timestamp"] = [10, 20], [30, 40]
    episodes["state"], episodes["initial_portfolio_value"] = EpisodeState.COMPLETED, 100
    with pytest.raises(UserError, match="fold 1 began before the one before it had ended"):
        series_of_records(episodes, np.zeros(0, STEP_DTYPE), np.zeros(0, TRADE_DTYPE))


def test_of_spans_that_overlap_those_that_follow_one_another_are_kept() -> None:
    assert non_overlapping([(5, 9), (0, 4), (4, 6), (9, 12)]) == [1, 2, 3]
    assert non_overlapping([(0, 10), (5, 15), (10, 20), (15, 25), (20, 30)]) == [0, 2, 4]
    assert non_overlapping([]) == []


def test_an_episode_with_a_missing_step_cannot_be_evaluated() -> None:
    episodes = np.zeros(1, EPISODE_DTYPE)
    episodes["state"], episodes["step_count"] = EpisodeState.COMPLETED, 2
    with pytest.raises(UserError, match="had 1 recorded steps, must be 2"):
        metrics.performance_of_records(
            episodes, np.zeros(1, STEP_DTYPE), np.zeros(0, TRADE_DTYPE), periods_per_year=252
        )


def test_no_completed_episode_cannot_be_evaluated() -> None:
    with pytest.raises(UserError, match="no completed episode"):
        metrics.performance_of_records(
            np.zeros(0, EPISODE_DTYPE),
            np.zeros(0, STEP_DTYPE),
            np.zeros(0, TRADE_DTYPE),
            periods_per_year=252,
        )


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [1.0, math.inf], [1.0, 0.0, 1.0]])
def test_values_that_are_no_account_are_refused(values: list[float]) -> None:
    with pytest.raises(UserError, match="portfolio value"):
        of_values(values)


@pytest.mark.parametrize("periods", [0.0, -1.0, math.nan, math.inf])
def test_periods_per_year_must_be_positive(periods: float) -> None:
    with pytest.raises(UserError, match="periods_per_year was"):
        of_values(EXAMPLE_E, periods_per_year=periods)


def test_metrics_are_json_without_nan() -> None:
    for found in (of_values([100.0]), of_values(EXAMPLE_E)):
        text = json.dumps(found.as_dict(), allow_nan=False)
        assert set(json.loads(text)) == set(METRIC_NAMES)


@settings(deadline=None)
@given(st.lists(st.floats(-0.25, 0.25, width=32), min_size=30, max_size=80))
def test_metrics_agree_with_empyrical(returns: list[float]) -> None:
    values = 100 * np.concatenate([[1.0], np.cumprod(1 + np.array(returns))])
    exact = values[1:] / values[:-1] - 1
    if np.ptp(exact) < 1e-6 or exact.min() > -1e-6:
        return
    found = of_values(values)
    year = {"annualization": 252}
    oracle = {
        "annual_return": empyrical.annual_return(exact, **year),
        "volatility": empyrical.annual_volatility(exact, **year),
        "sharpe": empyrical.sharpe_ratio(exact, **year),
        "sortino": empyrical.sortino_ratio(exact, **year),
        "max_drawdown": empyrical.max_drawdown(exact),
        "calmar": empyrical.calmar_ratio(exact, **year),
        "value_at_risk": empyrical.value_at_risk(exact),
        "conditional_value_at_risk": empyrical.conditional_value_at_risk(exact),
    }
    for name, expected in oracle.items():
        assert found.as_dict()[name] == pytest.approx(expected, rel=1e-8, abs=1e-9), name
