"""How sure is a Sharpe ratio: pure functions over the returns of one series.

Section 2 of docs/performance-metrics.md, the standard error that allows for autocorrelation,
the interval and PSR; and section 4, the comparison of two series. A Sharpe ratio here is per
bar; `rsc.trading.performance.metrics` annualises.
Skewness and kurtosis are moment ratios with ddof = 0; a normal has kurtosis 3.

Undefined is None, never NaN or infinity, and every docstring says when; returns whose
squares are beyond a float have no deviation, so nothing that divides by it. arch is imported
only where bootstrap indices are drawn, because importing it costs seconds.
Nothing here knows an account or a database; generators are passed in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from rsc.errors import UserError

Returns: TypeAlias = NDArray[np.float64]
Metric: TypeAlias = Callable[[Returns], float | None]

SHORTEST_SERIES = 30  # bars below which no standard error, PSR or bootstrap is shown
BOOTSTRAP_DRAWS = 2000
CONFIDENCE = 0.95


def is_constant(returns: Returns) -> bool:
    """Return whether max equals min: the definition of zero variance.

    A standard deviation of equal numbers is about 1e-18 after rounding, not 0.
    """
    return len(returns) == 0 or bool(returns.max() == returns.min())


@np.errstate(over="ignore", invalid="ignore")
def deviation(returns: Returns, ddof: int) -> float | None:
    """Return the standard deviation; None if constant, too short, or too large for a float."""
    if len(returns) <= ddof or is_constant(returns):
        return None
    found = float(returns.std(ddof=ddof))
    return found if math.isfinite(found) else None


def _standardised(returns: Returns) -> Returns | None:
    """Return (r - mean) / std with ddof = 0; None where the deviation is."""
    scale = deviation(returns, ddof=0)
    return None if scale is None else (returns - returns.mean()) / scale


def sharpe_ratio(returns: Returns) -> float | None:
    """Return the Sharpe ratio per bar, mean / std with ddof = 1.

    None below two returns, for zero variance, and where the deviation is None. Source:
    Sharpe (1994).
    """
    scale = deviation(returns, ddof=1)
    return None if scale is None else float(returns.mean() / scale)


def skewness(returns: Returns) -> float | None:
    """Return the moment ratio m3 / m2^1.5 (ddof = 0), 0 for a normal; None if constant."""
    z = _standardised(returns)
    return None if z is None else float(np.mean(z**3))


def kurtosis(returns: Returns) -> float | None:
    """Return the moment ratio m4 / m2^2 (ddof = 0), 3 for a normal; None if constant."""
    z = _standardised(returns)
    return None if z is None else float(np.mean(z**4))


def newey_west_lags(length: int) -> int:
    """Return the number of lags floor(4 (T/100)^(2/9)) (Newey & West 1994)."""
    return int(4 * (length / 100) ** (2 / 9))


def long_run_variance(series: Returns, lags: int) -> float:
    """Return the variance of a mean-zero series with Bartlett weights 1 - l/(lags + 1).

    Products are summed by numpy, not by the dot product of a BLAS: that one adds in another
    order on another processor, and the same run would have another digest there.
    """
    length = len(series)
    total = float(np.sum(series * series))
    for lag in range(1, min(lags, length - 1) + 1):
        total += 2 * (1 - lag / (lags + 1)) * float(np.sum(series[lag:] * series[:-lag]))
    return total / length


def standard_error_autocorrelated(returns: Returns) -> float | None:
    """Return the standard error of a per-bar Sharpe that allows for autocorrelation.

    This is the one printed beside every Sharpe. With z the returns standardised with
    ddof = 0, it is the root of the long-run variance of z - SR/2 (z^2 - 1) over T.
    None below 30 returns, for zero variance, and where that variance is not positive.
    Source: Lo (2002), GMM, written as one series.
    """
    sharpe, z = sharpe_ratio(returns), _standardised(returns)
    if sharpe is None or z is None or len(returns) < SHORTEST_SERIES:
        return None
    influence = z - sharpe / 2 * (z**2 - 1)
    variance = long_run_variance(influence, newey_west_lags(len(returns)))
    # Two-point returns have an influence of exactly zero, up to rounding.
    return math.sqrt(variance / len(returns)) if variance > 1e-12 else None


def confidence_interval(estimate: float, standard_error: float) -> tuple[float, float]:
    """Return the symmetric normal 95 % interval (low, high) around `estimate`."""
    half = float(ndtri((1 + CONFIDENCE) / 2)) * standard_error
    return estimate - half, estimate + half


def probabilistic_sharpe_ratio(
    sharpe: float, length: int, *, skew: float, kurt: float, benchmark: float = 0.0
) -> float | None:
    """Return PSR, the probability that the true Sharpe is above `benchmark`; all per bar.

    None where the standard error is 0. The rule of at least 30 bars is the caller's.
    Source: Bailey & López de Prado (2012).
    """
    # T times the squared standard error for returns of any distribution (Mertens 2002).
    radicand = 1 - skew * sharpe + (kurt - 1) / 4 * sharpe**2
    if radicand <= 0 or length < 2:
        return None
    return float(ndtr((sharpe - benchmark) * math.sqrt((length - 1) / radicand)))


def mean_block_length(returns: Returns) -> int | None:
    """Return the mean block of the stationary bootstrap, at least 1 bar.

    None below 30 returns and where the deviation is. Source: Politis & White (2004) with
    the correction of Patton, Politis & White (2009), as arch computes it.
    """
    if len(returns) < SHORTEST_SERIES or deviation(returns, ddof=0) is None:
        return None
    from arch.bootstrap import optimal_block_length

    length = float(optimal_block_length(returns)["stationary"].iloc[0])
    return max(1, math.ceil(length)) if math.isfinite(length) else None


def _resample(
    block: int, metric: Metric, rng: np.random.Generator, draws: int, *series: Returns
) -> Returns:
    """Return the metric of every draw and series, shape (draws, series); NaN = undefined."""
    from arch.bootstrap import StationaryBootstrap

    found = np.empty((draws, len(series)))
    for draw, (data, _) in enumerate(
        StationaryBootstrap(block, *series, seed=rng).bootstrap(draws)
    ):
        values = [metric(resampled) for resampled in data]
        found[draw] = [math.nan if value is None else value for value in values]
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedComparison:
    """Whether two series over the same bars differ in one metric."""

    difference: float
    """Metric of the left series minus metric of the right one."""
    low: float
    high: float
    """Percentile interval of the difference."""
    p_value: float
    """Share of draws at least as far from the difference as the difference is from 0."""
    mean_block: int
    draws: int
    """How the bootstrap was drawn: bars, and number of resamples."""


def compare_paired(
    left: Returns,
    right: Returns,
    metric: Metric,
    rng: np.random.Generator,
    *,
    draws: int = BOOTSTRAP_DRAWS,
) -> PairedComparison | None:
    """Compare two series of returns over the same bars by one metric.

    One stationary bootstrap index resamples both, so that what moved both moves both
    again; the block is the longer of the two. p = (1 + #{|D* - D| >= |D|}) / (draws + 1);
    a draw that leaves the metric undefined counts against the difference.

    Returns
    -------
    PairedComparison or None
        None where the metric or the block of either series is undefined.

    Raises
    ------
    UserError
        If the series do not cover the same number of bars.

    Notes
    -----
    Source: Ledoit & Wolf (2008) for the Sharpe ratio.
    """
    if len(left) != len(right):
        msg = f"the compared series had {len(left)} and {len(right)} bars, must be the same bars"
        raise UserError(msg, "Compare runs that were evaluated on the same dates.")
    first, second = metric(left), metric(right)
    blocks = [block for block in map(mean_block_length, (left, right)) if block is not None]
    if first is None or second is None or len(blocks) < 2:
        return None
    difference = first - second
    sample = _resample(max(blocks), metric, rng, draws, left, right)
    drawn = sample[:, 0] - sample[:, 1]
    as_far = np.isnan(drawn) | (np.abs(drawn - difference) >= abs(difference))
    known = drawn[~np.isnan(drawn)]
    low, high = np.quantile(known, [0.025, 0.975]) if len(known) else (difference, difference)
    return PairedComparison(
        difference=difference,
        low=float(low),
        high=float(high),
        p_value=(1 + int(as_far.sum())) / (draws + 1),
        mean_block=max(blocks),
        draws=draws,
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for being looked at together (Holm 1979), in given order."""
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted
