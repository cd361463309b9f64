"""Portfolio values, evaluated as those of an account that is always invested."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rsc.trading.performance.metrics import Performance, performance_of_series
from rsc.trading.performance.series import account_series


def of_values(
    values: NDArray[np.float64] | list[float],
    *,
    pnl: list[float] | None = None,
    periods_per_year: float = 252,
) -> Performance:
    """Evaluate portfolio values that are always fully invested and never traded."""
    length = max(0, len(values) - 1)
    trades = np.array(pnl or [])
    return performance_of_series(
        account_series(
            np.array(values, dtype=np.float64),
            trade_pnl=trades,
            trade_return=trades / 100,
            traded_value=np.zeros(length),
            exposure=np.ones(length),
            in_market=np.ones(length, dtype=bool),
        ),
        periods_per_year=periods_per_year,
    )
