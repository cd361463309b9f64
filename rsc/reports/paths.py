"""Paths as charts and calendars need them.

Long paths are thinned for drawing only, keeping the extremes of every bucket, so that no
drawdown disappears from a picture.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rsc.analysis.paths import PolicyPath

DRAWN_POINTS = 3000  # more than a wide screen has pixels for one line


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
    """Returns of one year: twelve months, None where nothing was evaluated, and the year."""

    year: int
    months: tuple[float | None, ...]
    total: float


def calendar(path: PolicyPath) -> tuple[CalendarYear, ...]:
    """Return the portfolio returns of every calendar month and year of a path.

    The first and the last month hold only the bars that were evaluated.
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
