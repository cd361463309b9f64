"""Features of returns: how far the price went, and how much it moves."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import pandas as pd

from rsc.market.features.base import Feature, Floats, bar_count
from rsc.market.prices.bars import Bars


class LogReturn(Feature):
    """ln(close[t] / close[t - horizon]): a fraction, daily shares about 0.01 × √horizon."""

    COLUMNS: ClassVar[tuple[str, ...]] = ("log_return_{horizon}",)

    kind: Literal["log_return"] = "log_return"
    horizon: int = bar_count(1, 1, "Distance of the two closes")

    def _look_back(self) -> int:
        return self.horizon

    def _values(self, bars: Bars) -> tuple[Floats, ...]:
        return (_log_returns(bars.close, self.horizon),)


class RealisedVolatility(Feature):
    """Sample deviation of the last ``period`` one-bar log returns: a fraction a bar, >= 0."""

    COLUMNS: ClassVar[tuple[str, ...]] = ("realised_volatility_{period}",)

    kind: Literal["realised_volatility"] = "realised_volatility"
    period: int = bar_count(20, 2, "Returns in the estimate")

    def _look_back(self) -> int:
        return self.period

    def _values(self, bars: Bars) -> tuple[Floats, ...]:
        returns = pd.Series(_log_returns(bars.close, 1))
        return (returns.rolling(self.period).std().to_numpy(np.float64),)


def _log_returns(close: Floats, horizon: int) -> Floats:
    """Return log returns over `horizon` bars; NaN in the first `horizon` rows."""
    result = np.full(close.shape, np.nan)
    if horizon < len(close):
        result[horizon:] = np.log(close[horizon:] / close[:-horizon])
    return result
