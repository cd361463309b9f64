"""Oscillators of momentum, by TA-Lib; in units of price divided by the close."""

from __future__ import annotations

from typing import ClassVar, Literal

import talib
from pydantic import model_validator

from rsc.market.features.base import Feature, Floats, bar_count
from rsc.market.prices.bars import Bars


class Rsi(Feature):
    """Relative strength index (Wilder 1978): 0 to 100, where 50 is balance."""

    COLUMNS: ClassVar[tuple[str, ...]] = ("rsi_{period}",)

    kind: Literal["rsi"] = "rsi"
    period: int = bar_count(14, 2, "Smoothing period")

    def _look_back(self) -> int:
        return self.period

    def _values(self, bars: Bars) -> tuple[Floats, ...]:
        return (talib.RSI(bars.close, self.period),)


class Macd(Feature):
    """Moving average convergence/divergence: line, signal, histogram, each / close[t].

    Fractions of the price around 0.
    """

    COLUMNS: ClassVar[tuple[str, ...]] = (
        "macd_{fast}_{slow}_{signal}",
        "macd_signal_{fast}_{slow}_{signal}",
        "macd_histogram_{fast}_{slow}_{signal}",
    )

    kind: Literal["macd"] = "macd"
    fast: int = bar_count(12, 2, "Period of the fast average")
    slow: int = bar_count(26, 3, "Period of the slow average")
    signal: int = bar_count(9, 1, "Period of the average of the line")

    @model_validator(mode="after")
    def _fast_is_faster(self) -> Macd:
        if self.fast >= self.slow:
            raise ValueError(f"fast was {self.fast}, must be less than slow ({self.slow})")
        return self

    def _look_back(self) -> int:
        return self.slow - 1 + self.signal - 1

    def _values(self, bars: Bars) -> tuple[Floats, ...]:
        parts = talib.MACD(bars.close, self.fast, self.slow, self.signal)
        return tuple(part / bars.close for part in parts)
