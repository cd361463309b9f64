"""What happened to an account over time, as the arrays that charts and calendars need.

Folds of one split are joined into one path as docs/performance-metrics.md joins them:
returns one after the other, values compounded. Long paths are thinned for drawing only,
keeping the extremes of every bucket, so that no drawdown disappears from a picture.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rsc.analysis.run_data import SplitRecords
from rsc.trading.performance.drawdowns import drawdowns
from rsc.trading.performance.series import series_of_records
from rsc.trading.records import Policy

DRAWN_POINTS = 3000  # more than a wide screen has pixels for one line


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyPath:
    """One policy on one instrument over a split, T bars.

    Attributes
    ----------
    policy : Policy
        Who decided.
    timestamp : ndarray of int64, shape (T + 1,)
        Nanoseconds since 1970 UTC; the first is the close before the first step.
    value, drawdown, exposure : ndarray of float64, shape (T + 1,)
        Portfolio value, its distance below the peak (<= 0), position value over
        portfolio value (0 at the first; NaN where there is no equity).
    price : ndarray of float64, shape (T + 1,)
        Closes; NaN at the first.
    fold_starts : ndarray of int64
        Timestamps at which the second and later folds begin.
    """

    policy: Policy
    timestamp: NDArray[np.int64]
    value: NDArray[np.float64]
    drawdown: NDArray[np.float64]
    exposure: NDArray[np.float64]
    price: NDArray[np.float64]
    fold_starts: NDArray[np.int64]


def policy_path(records: SplitRecords, policy: Policy, instrument: int) -> PolicyPath:
    """Return the path of one policy on one instrument; it must have a completed episode."""
    own = records.only(policy, instrument)
    series = series_of_records(own.episodes, own.steps, own.trades)
    order = np.lexsort((own.episodes["episode_id"], own.episodes["start_timestamp"]))
    episodes = own.episodes[order]
    position = {int(identity): place for place, identity in enumerate(episodes["episode_id"])}
    places = np.array([position[int(identity)] for identity in own.steps["episode_id"]])
    steps = own.steps[np.lexsort((own.steps["step_index"], places))]
    first = episodes["start_timestamp"][:1]
    return PolicyPath(
        policy=policy,
        timestamp=np.concatenate([first, steps["timestamp"]]),
        value=series.values,
        drawdown=np.minimum(drawdowns(series.values), 0.0),
        exposure=np.concatenate([[0.0], steps["exposure"]]),
        price=np.concatenate([[np.nan], steps["price"]]),
        fold_starts=episodes["start_timestamp"][1:],
    )


def thinned(values: NDArray[np.float64], limit: int = DRAWN_POINTS) -> NDArray[np.int64]:
    """Return indices that draw `values` with about `limit` points, extremes kept.

    Every bucket keeps its first, smallest and largest value; the last point stays.
    """
    length = len(values)
    if length <= limit:
        return np.arange(length)
    edges = np.linspace(0, length, limit // 3 + 1).astype(np.int64)
    filled = np.where(np.isnan(values), 0.0, values)
    kept = [edges[:-1], np.array([length - 1])]
    for start, end in itertools.pairwise(edges):
        bucket = filled[start:end]
        kept.append(np.array([start + bucket.argmin(), start + bucket.argmax()]))
    return np.unique(np.concatenate(kept))


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarYear:
    """Returns of one year: twelve months, None where nothing was judged, and the year."""

    year: int
    months: tuple[float | None, ...]
    total: float


def calendar(path: PolicyPath) -> tuple[CalendarYear, ...]:
    """Return the portfolio returns of every calendar month and year of a path.

    The first and the last month hold only the bars that were judged.
    """
    months = path.timestamp.astype("datetime64[ns]").astype("datetime64[M]").astype(np.int64)
    # A step belongs to the month of its close; its base is the close before the month.
    last = np.flatnonzero(np.append(np.diff(months[1:]) != 0, True)) + 1
    base = np.concatenate([[0], last[:-1]])
    found = {
        int(month): float(path.value[end] / path.value[start] - 1)
        for month, start, end in zip(months[last], base, last, strict=True)
    }
    years = []
    for year in range(min(found) // 12, max(found) // 12 + 1):
        row = tuple(found.get(12 * year + month) for month in range(12))
        total = float(np.prod([1 + value for value in row if value is not None]) - 1)
        years.append(CalendarYear(year=1970 + year, months=row, total=total))
    return tuple(years)
