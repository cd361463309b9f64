"""The worked numbers of docs/performance-metrics.md, section 2, and the libraries named there."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from arch.covariance.kernel import Bartlett
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

import rsc.market
from rsc.errors import UserError
from rsc.trading import statistics

SP500 = Path(next(iter(rsc.market.__path__))) / "data" / "sp500_daily.csv"
FUND = {"skew": -2.448, "kurt": 10.164}  # Bailey & López de Prado 2012: monthly, 24 months


@pytest.fixture(scope="module")
def returns() -> NDArray[np.float64]:
    """Close-to-close returns of the shipped S&P 500 file, T = 5030."""
    close = pd.read_csv(SP500)["Close"].to_numpy(np.float64)
    return close[1:] / close[:-1] - 1


def sharpe_of(returns: NDArray[np.float64]) -> float:
    sharpe = statistics.sharpe_ratio(returns)
    assert sharpe is not None
    return sharpe


def moments(returns: NDArray[np.float64]) -> dict[str, float]:
    skew, kurt = statistics.skewness(returns), statistics.kurtosis(returns)
    assert skew is not None
    assert kurt is not None
    return {"skew": skew, "kurt": kurt}


def test_standard_error_of_normal_returns_is_lo_s_table() -> None:
    assert statistics.standard_error_normal(0.5, 60) == pytest.approx(0.1369306, abs=5e-8)


def test_standard_error_of_any_distribution_is_the_worked_number() -> None:
    error = statistics.standard_error_iid(0.458, length=24, **FUND)
    assert error == pytest.approx(0.3292513, abs=5e-8)


def test_standard_error_of_the_index_agrees_in_two_ways(returns: NDArray[np.float64]) -> None:
    error = statistics.standard_error_iid(
        sharpe_of(returns), length=len(returns), **moments(returns)
    )
    z = (returns - returns.mean()) / returns.std()
    influence = z - sharpe_of(returns) / 2 * (z**2 - 1)
    assert error == pytest.approx(0.0141082477, abs=5e-11)
    assert error == pytest.approx(influence.std() / math.sqrt(len(returns)), rel=1e-12)


def test_a_radicand_of_zero_has_no_standard_error_and_no_psr() -> None:
    # Two-point returns have kurtosis 1 + skewness^2; at SR = 2 / skewness nothing is left.
    assert statistics.standard_error_iid(2.0, skew=1.0, kurt=2.0, length=40) is None
    assert statistics.probabilistic_sharpe_ratio(2.0, 40, skew=1.0, kurt=2.0) is None


def test_autocorrelated_standard_error_of_the_index(returns: NDArray[np.float64]) -> None:
    error = statistics.standard_error_autocorrelated(returns)
    assert statistics.newey_west_lags(len(returns)) == 9
    assert error == pytest.approx(0.0122560476, abs=5e-11)


def test_autocorrelated_standard_error_agrees_with_arch(returns: NDArray[np.float64]) -> None:
    z = (returns - returns.mean()) / returns.std()
    influence = z - sharpe_of(returns) / 2 * (z**2 - 1)
    oracle = float(np.asarray(Bartlett(influence, bandwidth=9).cov.long_run).item())
    error = statistics.standard_error_autocorrelated(returns)
    assert error == pytest.approx(math.sqrt(oracle / len(returns)), rel=1e-12)


def test_autocorrelated_standard_error_needs_thirty_bars(returns: NDArray[np.float64]) -> None:
    assert statistics.standard_error_autocorrelated(returns[:29]) is None
    assert statistics.standard_error_autocorrelated(returns[:30]) is not None


def test_interval_of_the_index_is_the_printed_one(returns: NDArray[np.float64]) -> None:
    error = statistics.standard_error_autocorrelated(returns)
    assert error is not None
    root = math.sqrt(252)
    low, high = statistics.confidence_interval(sharpe_of(returns) * root, error * root)
    assert (low, high) == (pytest.approx(-0.0986, abs=5e-5), pytest.approx(0.6641, abs=5e-5))


def test_equal_returns_have_no_sharpe_although_their_deviation_rounds_above_zero() -> None:
    returns = np.full(50, 0.1)
    assert statistics.sharpe_ratio(returns) is None
    assert statistics.skewness(returns) is None
    assert statistics.kurtosis(returns) is None
    assert statistics.standard_error_autocorrelated(returns) is None
    assert statistics.mean_block_length(returns) is None


def test_one_return_has_no_sharpe() -> None:
    assert statistics.sharpe_ratio(np.array([0.1])) is None


@pytest.mark.parametrize(("rho", "eta"), [(0.2, 2.878849), (-0.2, 4.170848), (0.0, 3.464102)])
def test_annualising_an_ar1_is_lo_s_table(rho: float, eta: float) -> None:
    correlations = [rho**lag for lag in range(1, 12)]
    assert statistics.annualisation_factor(correlations, 12) == pytest.approx(eta, abs=5e-7)


def test_annualising_the_index_with_its_autocorrelations(returns: NDArray[np.float64]) -> None:
    eta = statistics.annualisation_factor_of(returns, 252)
    assert eta == pytest.approx(20.2955, abs=5e-5)
    assert eta * sharpe_of(returns) == pytest.approx(0.3615, abs=5e-5)


def test_annualising_is_undefined_where_the_variance_would_be_negative() -> None:
    assert statistics.annualisation_factor([-0.6], 12) is None


def test_psr_with_normal_moments() -> None:
    psr = statistics.probabilistic_sharpe_ratio(0.458, 24, skew=0, kurt=3)
    assert psr == pytest.approx(0.981675, abs=5e-7)


def test_psr_of_the_published_fund() -> None:
    psr = statistics.probabilistic_sharpe_ratio(0.458, 24, **FUND)
    assert psr == pytest.approx(0.913361, abs=5e-7)


def test_psr_of_the_index(returns: NDArray[np.float64]) -> None:
    psr = statistics.probabilistic_sharpe_ratio(sharpe_of(returns), 5030, **moments(returns))
    assert psr == pytest.approx(0.896583, abs=5e-7)


@pytest.mark.parametrize(("periods", "years"), [(252, 2.730984), (52, 2.828834), (12, 3.239801)])
def test_minimum_track_record_of_two_against_one(periods: int, years: float) -> None:
    root = math.sqrt(periods)
    bars = statistics.minimum_track_record_length(2 / root, skew=0, kurt=3, benchmark=1 / root)
    assert bars is not None
    assert bars / periods == pytest.approx(years, abs=5e-7)


def test_minimum_track_record_with_fat_tails() -> None:
    root = math.sqrt(12)
    bars = statistics.minimum_track_record_length(
        2 / root, skew=-0.72, kurt=5.78, benchmark=1 / root
    )
    assert bars is not None
    assert bars / 12 == pytest.approx(4.991258, abs=5e-7)


def test_minimum_track_record_of_the_fund_and_of_the_index(returns: NDArray[np.float64]) -> None:
    fund = statistics.minimum_track_record_length(0.458, **FUND)
    index = statistics.minimum_track_record_length(sharpe_of(returns), **moments(returns))
    assert fund == pytest.approx(34.56, abs=5e-3)
    assert index == pytest.approx(8539.8, abs=5e-2)


def test_a_sharpe_not_above_the_benchmark_never_gets_there() -> None:
    assert statistics.minimum_track_record_length(0.1, skew=0, kurt=3, benchmark=0.1) is None


def test_block_and_bootstrap_interval_of_the_index(returns: NDArray[np.float64]) -> None:
    def annual(sample: NDArray[np.float64]) -> float | None:
        sharpe = statistics.sharpe_ratio(sample)
        return None if sharpe is None else sharpe * math.sqrt(252)

    found = statistics.bootstrap_range(returns, annual, np.random.default_rng(7))
    assert found is not None
    assert (found.mean_block, found.draws) == (10, 2000)
    assert found.low == pytest.approx(-0.077, abs=5e-4)
    assert found.high == pytest.approx(0.640, abs=5e-4)


def test_bootstrap_of_a_short_series_is_undefined(returns: NDArray[np.float64]) -> None:
    found = statistics.bootstrap_range(
        returns[:29], statistics.sharpe_ratio, np.random.default_rng(1)
    )
    assert found is None


def test_a_series_does_not_differ_from_itself(returns: NDArray[np.float64]) -> None:
    found = statistics.compare_paired(
        returns[:200], returns[:200], statistics.sharpe_ratio, np.random.default_rng(1), draws=50
    )
    assert found is not None
    assert (found.difference, found.p_value, found.low, found.high) == (0.0, 1.0, 0.0, 0.0)


def test_a_constant_advantage_is_found_although_both_move_together(
    returns: NDArray[np.float64],
) -> None:
    better = returns[:500] + 0.002
    found = statistics.compare_paired(
        better, returns[:500], statistics.sharpe_ratio, np.random.default_rng(1), draws=199
    )
    assert found is not None
    assert found.difference > 0
    assert found.low > 0
    assert found.p_value == pytest.approx(1 / 200)


def test_paired_comparison_is_the_same_for_the_same_seed(returns: NDArray[np.float64]) -> None:
    left, right = returns[:300], returns[300:600]
    first, second = (
        statistics.compare_paired(
            left, right, statistics.sharpe_ratio, np.random.default_rng(5), draws=99
        )
        for _ in range(2)
    )
    assert first == second


def test_series_of_different_length_cannot_be_compared(returns: NDArray[np.float64]) -> None:
    with pytest.raises(UserError, match="had 40 and 41 bars"):
        statistics.compare_paired(
            returns[:40], returns[:41], statistics.sharpe_ratio, np.random.default_rng(1)
        )


def test_a_flat_series_cannot_be_compared(returns: NDArray[np.float64]) -> None:
    found = statistics.compare_paired(
        returns[:40], np.zeros(40), statistics.sharpe_ratio, np.random.default_rng(1)
    )
    assert found is None


def test_holm_steps_down_and_never_falls() -> None:
    assert statistics.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert statistics.holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])
    assert statistics.holm([]) == []


@given(arrays(np.float64, st.integers(2, 60), elements=st.floats(-0.25, 0.25, width=32)))
def test_moments_agree_with_scipy(returns: NDArray[np.float64]) -> None:
    if returns.std() < 1e-6:
        return
    assert statistics.skewness(returns) == pytest.approx(scipy.stats.skew(returns), abs=1e-9)
    expected = scipy.stats.kurtosis(returns, fisher=False)
    assert statistics.kurtosis(returns) == pytest.approx(expected, rel=1e-9)
