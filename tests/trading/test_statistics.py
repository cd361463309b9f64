"""The worked numbers of docs/performance-metrics.md, section 2, and the libraries named there."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from arch.covariance.kernel import Bartlett
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

import rsc.market
from rsc.errors import UserError
from rsc.trading.performance import statistics

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


def test_a_radicand_of_zero_has_no_psr() -> None:
    # Two-point returns have kurtosis 1 + skewness^2; at SR = 2 / skewness nothing is left.
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


def test_returns_whose_squares_are_beyond_a_number_have_no_deviation_and_no_ratio() -> None:
    returns = np.append(np.full(50, 0.1), 1e200)
    assert statistics.deviation(returns, ddof=1) is None
    assert statistics.sharpe_ratio(returns) is None
    assert statistics.skewness(returns) is None
    assert statistics.kurtosis(returns) is None
    assert statistics.standard_error_autocorrelated(returns) is None
    assert statistics.mean_block_length(returns) is None


def test_one_return_has_no_sharpe() -> None:
    assert statistics.sharpe_ratio(np.array([0.1])) is None


def test_psr_with_normal_moments() -> None:
    psr = statistics.probabilistic_sharpe_ratio(0.458, 24, skew=0, kurt=3)
    assert psr == pytest.approx(0.981675, abs=5e-7)


def test_psr_of_the_published_fund() -> None:
    psr = statistics.probabilistic_sharpe_ratio(0.458, 24, **FUND)
    assert psr == pytest.approx(0.913361, abs=5e-7)


def test_psr_of_the_index(returns: NDArray[np.float64]) -> None:
    psr = statistics.probabilistic_sharpe_ratio(sharpe_of(returns), 5030, **moments(returns))
    assert psr == pytest.approx(0.896583, abs=5e-7)


def test_mean_block_of_the_index_is_the_printed_one(returns: NDArray[np.float64]) -> None:
    assert statistics.mean_block_length(returns) == 10
    assert statistics.mean_block_length(returns[:29]) is None


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


@settings(deadline=None)
@given(arrays(np.float64, st.integers(2, 60), elements=st.floats(-0.25, 0.25, width=32)))
def test_moments_agree_with_scipy(returns: NDArray[np.float64]) -> None:
    if returns.std() < 1e-6:
        return
    assert statistics.skewness(returns) == pytest.approx(scipy.stats.skew(returns), abs=1e-9)
    expected = scipy.stats.kurtosis(returns, fisher=False)
    assert statistics.kurtosis(returns) == pytest.approx(expected, rel=1e-9)
