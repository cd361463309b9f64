"""Figures beyond every number: undefined with a reason, never infinite, never a crash."""

from __future__ import annotations

import json

import numpy as np
import pytest
from metric_values import of_values

from rsc.errors import UserError
from rsc.trading.performance.metrics import performance_of_series
from rsc.trading.performance.series import AccountSeries, account_series, concatenate_series


def test_a_growth_too_large_to_annualise_has_no_annual_return_and_no_calmar() -> None:
    values = np.linspace(100, 104, 1001)
    values[500] = 100
    found = of_values(values, periods_per_year=31_536_000)
    assert found.total_return == pytest.approx(0.04)
    assert (found.annual_return, found.calmar) == (None, None)
    assert found.undefined["annual_return"] == "too large to annualise"
    assert found.undefined["calmar"] == "too large to annualise"
    assert found.max_drawdown is not None
    rising = of_values(np.linspace(100, 104, 1001), periods_per_year=31_536_000)
    assert rising.undefined["calmar"] == "no drawdown"


def test_an_annual_return_is_defined_up_to_1e300_and_calmar_as_well() -> None:
    # Twice as much in each of two bars: 4 ** (P / 2) - 1 = 2 ** P.
    below, above = (of_values([100.0, 90, 400], periods_per_year=year) for year in (990, 1000))
    assert below.annual_return == pytest.approx(2.0**990)
    assert below.calmar == pytest.approx(10 * 2.0**990)
    assert above.annual_return is None
    calmar = of_values([100.0, 99.99999, 400], periods_per_year=990)
    assert calmar.annual_return == pytest.approx(2.0**990)
    assert calmar.undefined["calmar"] == "too large for a number"


def test_a_loss_to_annualise_is_at_most_everything() -> None:
    assert of_values([100.0, 99.0], periods_per_year=31_536_000).annual_return == -1.0


@pytest.mark.parametrize("place", [1, 30, 60])
@pytest.mark.parametrize("extreme", [1e300, -1e300, 1.7e308, -1.7e308, 1e155, 1e-300])
def test_an_extreme_value_has_no_metric_beyond_a_number(extreme: float, place: int) -> None:
    values = 100 + np.sin(np.arange(61.0))
    values[place] = extreme
    found = of_values(values, pnl=[extreme, 1.0, -1.0])
    missing = {name for name, value in found.as_dict().items() if value is None}
    assert missing == set(found.undefined)
    json.dumps(found.as_dict(), allow_nan=False)


def test_values_with_an_infinite_return_are_refused() -> None:
    with pytest.raises(UserError, match="must have finite returns"):
        of_values([100.0, 5e-324, 100.0])


def test_what_is_too_large_has_no_ratio_instead_of_a_ratio_of_zero() -> None:
    values = 100 + np.sin(np.arange(61.0))
    values[30] = -1e300
    found = of_values(values)
    for name in ("volatility", "sharpe", "sharpe_low", "psr", "sortino"):
        assert found.undefined[name] == "too large for a number", name


def part(values: list[float]) -> AccountSeries:
    length, nothing = len(values) - 1, np.array([])
    return account_series(
        np.array(values),
        trade_pnl=nothing,
        trade_return=nothing,
        traded_value=np.zeros(length),
        exposure=np.ones(length),
        in_market=np.ones(length, dtype=bool),
    )


def test_parts_that_compound_beyond_a_number_keep_what_their_returns_say() -> None:
    grown = part([1e-200, 1.0, 0.9])
    found = performance_of_series(concatenate_series([grown, grown]), periods_per_year=252)
    for name in ("total_return", "annual_return", "max_drawdown", "calmar"):
        assert found.undefined[name] == "too large for a number"
    assert found.time_in_market == 1.0
