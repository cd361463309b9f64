"""Features of one's own: functions that examples/08-own-feature.yaml names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from rsc.market.prices.bars import Bars


def place_in_year(bars: Bars) -> dict[str, pd.Series]:
    """Return how far the close is from the highest and the lowest price of 252 bars, fractions.

    Row t may use bars up to t alone, and the first rows may be NaN.
    """
    close = pd.Series(bars.close)
    highest = pd.Series(bars.high).rolling(252).max()
    lowest = pd.Series(bars.low).rolling(252).min()
    return {"from_high": close / highest - 1, "from_low": close / lowest - 1}
