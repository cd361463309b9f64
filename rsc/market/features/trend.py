"""How strong a trend is and which way it goes, by TA-Lib."""

from __future__ import annotations

from typing import ClassVar, Literal

import talib

from rsc.market.features.base import Feature, Floats, bar_count
from rsc.market.prices.bars import Bars


class Adx(Feature):
    """Average directional index, +DI and -DI (Wilder 1978): each 0 to 100."""

    COLUMNS: ClassVar[tuple[str, ...]] = ("adx_{period}", "plus_di_{period}", "minus_di_{period}")

    kind: Literal["adx"] = "adx"
    period: int = bar_count(14, 2, "Smoothing period")

    def _look_back(self) -> int:
        return 2 * self.period - 1

    def _values(self, bars: Bars) -> tuple[Floats, ...]:
        functions = (talib.ADX, talib.PLUS_DI, talib.MINUS_DI)
        return tuple(
            function(bars.high, bars.low, bars.close, self.period) for function in functions
        )


class Aroon(Feature):
    """Aroon up and down (0 to 100) and their difference, the oscillator (-100 to 100)."""

    COLUMNS: ClassVar[tuple[str, ...]] = (
        "aroon_up_{period}",
        "aroon_down_{period}",
        "aroon_oscillator_{period}",
    )

    kind: Literal["aroon"] = "aroon"
    period: int = bar_count(25, 2, "Bars searched for the extremes")

    def _look_back(self) -> int:
        return self.period

    def _values(self, bars: Bars) -> tuple[Floats, ...]:
        down, up = talib.AROON(bars.high, bars.low, self.period)
        return (up, down, up - down)
