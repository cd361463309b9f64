"""Bands and true range, by TA-Lib, divided by the close: the same at 100 and at 3 000."""

from __future__ import annotations

from typing import ClassVar, Literal

import talib
from pydantic import Field

from rsc.market.features.base import Feature, Floats, bar_count
from rsc.market.prices.bars import Bars


class Bollinger(Feature):
    """Bollinger bands: upper, middle, lower, each / close[t] - 1: fractions around 0."""

    COLUMNS: ClassVar[tuple[str, ...]] = (
        "bollinger_upper_{period}_{deviations:g}",
        "bollinger_middle_{period}_{deviations:g}",
        "bollinger_lower_{period}_{deviations:g}",
    )

    kind: Literal["bollinger"] = "bollinger"
    period: int = bar_count(20, 2, "Period of mean and deviation")
    deviations: float = Field(
        default=2.0, gt=0, le=10, description="Distance of the bands, standard deviations."
    )

    def _look_back(self) -> int:
        return self.period - 1

    def _values(self, bars: Bars) -> tuple[Floats, ...]:
        bands = talib.BBANDS(bars.close, self.period, self.deviations, self.deviations)
        return tuple(band / bars.close - 1 for band in bands)


class Atr(Feature):
    """Average true range (Wilder 1978) / close[t]: a fraction, > 0."""

    COLUMNS: ClassVar[tuple[str, ...]] = ("atr_{period}",)

    kind: Literal["atr"] = "atr"
    period: int = bar_count(14, 1, "Smoothing period")

    def _look_back(self) -> int:
        return self.period

    def _values(self, bars: Bars) -> tuple[Floats, ...]:
        return (talib.ATR(bars.high, bars.low, bars.close, self.period) / bars.close,)
