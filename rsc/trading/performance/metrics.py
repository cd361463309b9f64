"""What an account achieved: every metric of section 1 of docs/performance-metrics.md.

Input are portfolio values and what was traded, output is one `Performance`: fractions
and bars, annualised with an explicit `periods_per_year`, losses negative. A metric that
is undefined is None and `undefined` says why; it is never NaN, infinity or 0, and what is
too large for a number is undefined. A Sharpe ratio comes with its standard error, interval
and PSR, so that nobody shows it alone.

Several episodes are evaluated as one series: their returns concatenated in order of date.
Training, the store's verification and the reports all call these functions; nobody
computes a metric in another place. Not here: how many tries there were.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rsc.errors import UserError
from rsc.trading.performance.drawdowns import (
    longest_underwater_bars,
    max_drawdown,
    max_drawdown_bars,
)
from rsc.trading.performance.series import AccountSeries, series_of_records
from rsc.trading.performance.statistics import (
    SHORTEST_SERIES,
    confidence_interval,
    deviation,
    is_constant,
    kurtosis,
    probabilistic_sharpe_ratio,
    sharpe_ratio,
    skewness,
    standard_error_autocorrelated,
)

Floats: TypeAlias = NDArray[np.float64]
Figures: TypeAlias = dict[str, float | str]  # a number, or the reason why there is none

TAIL = 0.05  # share of the worst bars that value at risk looks at
SHORTEST_TAIL = 20  # bars below which 5 % of them is less than one
LARGEST = 1e300  # no figure is beyond it, so that the sum of some is a float as well


@dataclass(frozen=True, slots=True, kw_only=True)
class Performance:
    """Metrics of an episode or of a stitched series; None where undefined.

    Attributes
    ----------
    total_return, annual_return, volatility : float or None
        Fractions; the last two a year.
    sharpe, sharpe_standard_error, sharpe_low, sharpe_high : float or None
        Annualised Sharpe ratio, its standard error (Lo 2002, allowing for
        autocorrelation) and 95 % interval.
    psr : float or None
        Probability that the true Sharpe ratio is above 0.
    sortino, calmar : float or None
        Annualised ratios.
    max_drawdown : float or None
        Fraction, at most 0.
    max_drawdown_bars, longest_underwater_bars : int or None
        Bars from the peak of that drawdown to recovery or to the end; longest run of
        bars below the running maximum.
    value_at_risk, conditional_value_at_risk : float or None
        Returns of one bar at and beyond the 5 % quantile; negative is a loss.
    trade_count : int
        Closed trades.
    win_rate, profit_factor : float or None
        Share of trades with pnl > 0; money won over money lost.
    expectancy, average_win, average_loss : float or None
        Mean pnl of all, winning and losing trades, in money.
    expectancy_return : float or None
        Mean trade return, fraction.
    turnover : float or None
        Bought plus sold value over portfolio value, a year.
    exposure, time_in_market : float or None
        Mean absolute exposure; share of closes with a position.
    bars : int
        T, the number of returns.
    periods_per_year : float
        Bars in a year that annualised figures used.
    undefined : dict of str to str
        Reason for every metric that is None.
    """

    total_return: float | None
    annual_return: float | None
    volatility: float | None
    sharpe: float | None
    sharpe_standard_error: float | None
    sharpe_low: float | None
    sharpe_high: float | None
    psr: float | None
    sortino: float | None
    max_drawdown: float | None
    max_drawdown_bars: int | None
    longest_underwater_bars: int | None
    calmar: float | None
    value_at_risk: float | None
    conditional_value_at_risk: float | None
    trade_count: int
    win_rate: float | None
    profit_factor: float | None
    expectancy: float | None
    expectancy_return: float | None
    average_win: float | None
    average_loss: float | None
    turnover: float | None
    exposure: float | None
    time_in_market: float | None
    bars: int
    periods_per_year: float
    undefined: dict[str, str] = field(default_factory=dict)

    @property
    def under_a_year(self) -> bool:
        """Whether annualised figures extrapolate from less than a year."""
        return self.bars < self.periods_per_year

    def shown(self) -> Performance:
        """Return what tables and documents may show: no Sharpe ratio without its interval."""
        if self.sharpe is None or self.sharpe_low is not None:
            return self
        reason = self.undefined["sharpe_low"]
        return replace(self, sharpe=None, undefined={"sharpe": reason, **self.undefined})

    def as_dict(self) -> dict[str, float | None]:
        """Return every metric by its name, None where undefined."""
        return {name: getattr(self, name) for name in METRIC_NAMES}


METRIC_NAMES = tuple(
    item.name
    for item in fields(Performance)
    if item.name not in {"bars", "periods_per_year", "undefined"}
)


def performance_of_records(
    episodes: NDArray[np.void],
    steps: NDArray[np.void],
    trades: NDArray[np.void],
    *,
    periods_per_year: float,
) -> Performance:
    """Evaluate the completed episodes of some records as one series, in order of date."""
    series = series_of_records(episodes, steps, trades)
    return performance_of_series(series, periods_per_year=periods_per_year)


def performance_of_series(series: AccountSeries, *, periods_per_year: float) -> Performance:
    """Evaluate one series: every metric, and a reason for every one that is undefined."""
    if not (math.isfinite(periods_per_year) and periods_per_year > 0):
        msg = f"periods_per_year was {periods_per_year}, must be a number above 0"
        raise UserError(msg)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        found: Figures = {}
        for group in _GROUPS:
            found |= group(series, periods_per_year)
    found = {name: _bounded(value) for name, value in found.items()}
    reasons = {name: value for name, value in found.items() if isinstance(value, str)}
    metrics: dict[str, Any] = found | dict.fromkeys(reasons)
    return Performance(
        **metrics,
        bars=len(series.returns),
        periods_per_year=periods_per_year,
        undefined=reasons,
    )


NO_BAR = "no bar"
TOO_SHORT = "fewer than 2 bars"
NO_VARIANCE = "the returns do not vary"
NO_TRADE = "no trade"
TOO_LARGE = "too large for a number"
TOO_LARGE_A_YEAR = "too large to annualise"


def _bounded(figure: float | str) -> float | str:
    """Return a figure, or the reason why there is none if it is infinite or nearly so."""
    return figure if isinstance(figure, str) or abs(figure) <= LARGEST else TOO_LARGE


def _growth(series: AccountSeries, periods: float) -> Figures:
    length = len(series.returns)
    drawdown = ("max_drawdown", "max_drawdown_bars", "longest_underwater_bars")
    names = ("total_return", "annual_return", "calmar", *drawdown)
    if length == 0:
        return dict.fromkeys(names, NO_BAR)
    growth = float(series.values[-1] / series.values[0])
    depth = max_drawdown(series.values)
    if not (math.isfinite(growth) and math.isfinite(depth)):
        return dict.fromkeys(names, TOO_LARGE)
    annual = _annual_return(growth, periods / length)
    return {
        "total_return": growth - 1,
        "annual_return": annual,
        "max_drawdown": depth,
        "max_drawdown_bars": max_drawdown_bars(series.values),
        "longest_underwater_bars": longest_underwater_bars(series.values),
        "calmar": _calmar(annual, depth),
    }


def _annual_return(growth: float, exponent: float) -> float | str:
    """Return the growth of a year less 1: few bars of a long year leave every number."""
    try:
        annual = growth**exponent - 1 if growth > 0 else -1.0
    except OverflowError:
        return TOO_LARGE_A_YEAR
    return annual if annual <= LARGEST else TOO_LARGE_A_YEAR


def _calmar(annual: float | str, depth: float) -> float | str:
    if depth >= 0:
        return "no drawdown"
    return annual if isinstance(annual, str) else annual / abs(depth)


def _certainty(series: AccountSeries, periods: float) -> Figures:
    returns = series.returns
    names = ("sharpe_standard_error", "sharpe_low", "sharpe_high", "psr")
    root = math.sqrt(periods)
    if len(returns) < 2:
        return dict.fromkeys(("volatility", "sharpe", *names), TOO_SHORT)
    if is_constant(returns):
        return {"volatility": 0.0} | dict.fromkeys(("sharpe", *names), NO_VARIANCE)
    spread, sharpe = deviation(returns, ddof=1), sharpe_ratio(returns)
    if spread is None or sharpe is None:
        return dict.fromkeys(("volatility", "sharpe", *names), TOO_LARGE)
    figures: Figures = {"volatility": spread * root, "sharpe": sharpe * root}
    if len(returns) < SHORTEST_SERIES:
        return figures | dict.fromkeys(names, f"fewer than {SHORTEST_SERIES} bars")
    return figures | _sharpe_interval(returns, sharpe, root)


def _sharpe_interval(returns: Floats, sharpe: float, root: float) -> Figures:
    reason = "the standard error is 0: the returns have only two values"
    error = standard_error_autocorrelated(returns)
    skew, kurt = skewness(returns), kurtosis(returns)
    psr = None
    if skew is not None and kurt is not None:
        psr = probabilistic_sharpe_ratio(sharpe, len(returns), skew=skew, kurt=kurt)
    figures: Figures = {"psr": reason if psr is None else psr}
    if error is None:
        names = ("sharpe_standard_error", "sharpe_low", "sharpe_high")
        return figures | dict.fromkeys(names, reason)
    low, high = confidence_interval(sharpe * root, error * root)
    return figures | {
        "sharpe_standard_error": error * root,
        "sharpe_low": low,
        "sharpe_high": high,
    }


def _downside(series: AccountSeries, periods: float) -> Figures:
    returns = series.returns
    figures: Figures = {}
    ratio = downside_ratio(returns)
    if ratio is not None:
        figures["sortino"] = ratio * math.sqrt(periods)
    elif len(returns) < 2:
        figures["sortino"] = TOO_SHORT
    else:
        none_below = bool((returns >= 0.0).all())
        figures["sortino"] = "no return below the risk-free one" if none_below else TOO_LARGE
    if len(returns) < SHORTEST_TAIL:
        names = ("value_at_risk", "conditional_value_at_risk")
        return figures | dict.fromkeys(names, f"fewer than {SHORTEST_TAIL} bars")
    figures["value_at_risk"] = value_at_risk(returns)
    figures["conditional_value_at_risk"] = conditional_value_at_risk(returns)
    return figures


def _trading(series: AccountSeries, _: float) -> Figures:
    pnl, trade_return = series.trade_pnl, series.trade_return
    if len(pnl) == 0:
        names = ("win_rate", "profit_factor", "expectancy", "expectancy_return")
        averages = ("average_win", "average_loss")
        untraded: Figures = {"trade_count": 0}
        return untraded | dict.fromkeys((*names, *averages), NO_TRADE)
    wins, losses = pnl[pnl > 0], pnl[pnl < 0]
    loser = "no losing trade"
    return {
        "trade_count": len(pnl),
        "win_rate": len(wins) / len(pnl),
        "profit_factor": float(wins.sum() / -losses.sum()) if len(losses) else loser,
        "expectancy": float(pnl.mean()),
        "expectancy_return": float(trade_return.mean()),
        "average_win": float(wins.mean()) if len(wins) else "no winning trade",
        "average_loss": float(losses.mean()) if len(losses) else loser,
    }


def _activity(series: AccountSeries, periods: float) -> Figures:
    length = len(series.returns)
    if length == 0:
        return dict.fromkeys(("turnover", "exposure", "time_in_market"), NO_BAR)
    turnover = periods / length * float(series.traded_share.sum())
    exposure = np.abs(series.exposure[~np.isnan(series.exposure)])
    return {
        "turnover": turnover,
        "exposure": float(exposure.mean()) if len(exposure) else "no value above 0",
        "time_in_market": float(series.in_market.mean()),
    }


_GROUPS = (_growth, _certainty, _downside, _trading, _activity)
"""Each gives some of the metrics of `Performance`: a new metric is a field there and a
figure here, of one of these functions or of one of its own."""


def downside_ratio(returns: Floats) -> float | None:
    """Return the Sortino ratio per bar; None below 2 bars, without a loss, or beyond a float.

    The denominator averages over all T bars, not over the losing ones.
    """
    shortfall = np.minimum(returns, 0.0)
    if len(returns) < 2 or not shortfall.any():
        return None
    with np.errstate(over="ignore"):
        square = float(np.mean(shortfall**2))
    if not math.isfinite(square):
        return None
    return float(returns.mean() / math.sqrt(square))


def value_at_risk(returns: Floats) -> float:
    """Return the 5 % quantile of the returns, linear (Hyndman-Fan 7); negative is a loss."""
    return float(np.quantile(returns, TAIL))


def conditional_value_at_risk(returns: Floats) -> float:
    """Return the mean of the floor((T - 1) 0.05) + 1 smallest returns."""
    count = int((len(returns) - 1) * TAIL) + 1
    return float(np.partition(returns, count - 1)[:count].mean())
