"""How far and how long an account was below its own peak; values at closes, the first included."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]


def drawdowns(values: Floats) -> Floats:
    """Return V_t / max of V up to t - 1 at every close, shape of `values`, all <= 0."""
    return values / np.maximum.accumulate(values) - 1


def max_drawdown(values: Floats) -> float:
    """Return the deepest drawdown, <= 0; 0 if never under water."""
    return float(drawdowns(values).min())


def max_drawdown_bars(values: Floats) -> int:
    """Return bars from the peak of the deepest drawdown to recovery, or to the last bar.

    Of equally deep ones the first counts; 0 if there is none.
    """
    depth = drawdowns(values)
    deepest = int(depth.argmin())
    if depth[deepest] >= 0:
        return 0
    peak_value = values[: deepest + 1].max()
    peak = deepest - int((values[deepest::-1] == peak_value).argmax())
    recovered = np.flatnonzero(values[deepest:] >= peak_value)
    end = deepest + int(recovered[0]) if len(recovered) else len(values) - 1
    return end - peak


def longest_underwater_bars(values: Floats) -> int:
    """Return the longest run of closes below the running maximum, in bars."""
    above = np.flatnonzero(values >= np.maximum.accumulate(values))
    return int(np.diff(np.append(above, len(values))).max()) - 1
