"""Moving-average crossover: long while the fast average is above the slow one, else flat."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rsc.trading.environments.baselines.base import FLAT, LONG, Course, Decide, planned

_ROUNDING = 1e-12  # averages of equal prices differ by less


def sma_crossover(course: Course) -> Decide:
    """Return long and flat decisions by the averages of ``baselines.sma_fast`` and ``sma_slow``."""
    long, flat = course.actions.index(LONG), course.actions.index(FLAT)
    fast, slow = course.sma
    return planned(
        [
            np.where(
                sma_is_long(
                    course.close(instrument),
                    start=bars.start,
                    end=bars.end,
                    fast=fast,
                    slow=slow,
                ),
                long,
                flat,
            )
            for instrument, bars in enumerate(course.ranges)
        ]
    )


def sma_is_long(
    close: NDArray[np.float64], *, start: int, end: int, fast: int, slow: int
) -> NDArray[np.bool_]:
    """Return whether the fast average is above the slow one at closes `start` to `end` - 1.

    Parameters
    ----------
    close : ndarray of float64, shape (T,)
        Closes of one instrument; entries from `end` on are not read.
    start, end : int
        First decision bar and the bar after the last one.
    fast, slow : int
        Bars in each average.

    Returns
    -------
    ndarray of bool, shape (end - start,)
        False while fewer than `slow` closes are known: flat.
    """
    long = np.zeros(end - start, dtype=np.bool_)
    first = max(start, slow - 1)
    if first < end:
        slow_mean = _means(close[first - slow + 1 : end], slow)
        fast_mean = _means(close[first - fast + 1 : end], fast)
        long[first - start :] = fast_mean > slow_mean * (1 + _ROUNDING)
    return long


def _means(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    # Each mean from its own window: a running sum would carry rounding of old bars along.
    windows = np.lib.stride_tricks.sliding_window_view(values, window)
    return np.asarray(windows.mean(axis=1))
