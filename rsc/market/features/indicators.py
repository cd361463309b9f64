"""Features: what the agent sees of the market, one column for each number.

The configuration lists feature kinds with their parameters; ``compute_features`` turns
bars into a table whose row t uses bars <= t alone. Indicators are TA-Lib's, those in units
of price divided by the close, so that a column means the same at 100 and at 3 000; bringing
columns to about unit scale is the work of ``scaling``. Columns of the file and functions of
the user stand beside the indicators; ``prove_no_look_ahead`` tests that none uses later bars.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pandas as pd
import talib
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from rsc.errors import UserError
from rsc.market.features.base import EntryPoint, Feature, FileColumn
from rsc.market.features.scaling import RollingScaling, ScalingConfig
from rsc.market.prices.bars import Bars
from rsc.market.prices.timestamps import timestamp_text

Floats = NDArray[np.float64]

_MAXIMUM_PERIOD = 10_000


def _period(default: int, least: int, what: str) -> Any:
    """Return a field for a number of bars."""
    return Field(default=default, ge=least, le=_MAXIMUM_PERIOD, description=f"{what}, bars.")


class LogReturn(Feature):
    """ln(close[t] / close[t - horizon]): a fraction, daily shares about 0.01 × √horizon."""

    COLUMNS: ClassVar[tuple[str, ...]] = ("log_return_{horizon}",)

    kind: Literal["log_return"] = "log_return"
    horizon: int = _period(1, 1, "Distance of the two closes")

    def _look_back(self) -> int:
        return self.horizon

    def _values(self, bars: Bars) -> tuple[Floats, ...]:
        return (_log_returns(bars.close, self.horizon),)


class RealisedVolatility(Feature):
    """Sample deviation of the last ``period`` one-bar log returns: a fraction a bar, >= 0."""

    COLUMNS: ClassVar[tuple[str, ...]] = ("realised_volatility_{period}",)

    kind: Literal["realised_volatility"] = "realised_volatility"
    period: int = _period(20, 2, "Returns in the estimate")

    def _look_back(self) -> int:
        return self.period

    def _values(self, bars: Bars) -> tuple[Floats, ...]:
        returns = pd.Series(_log_returns(bars.close, 1))
        return (returns.rolling(self.period).std().to_numpy(np.float64),)


class Rsi(Feature):
    """Relative strength index (Wilder 1978): 0 to 100, where 50 is balance."""

    COLUMNS: ClassVar[tuple[str, ...]] = ("rsi_{period}",)

    kind: Literal["rsi"] = "rsi"
    period: int = _period(14, 2, "Smoothing period")

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
    fast: int = _period(12, 2, "Period of the fast average")
    slow: int = _period(26, 3, "Period of the slow average")
    signal: int = _period(9, 1, "Period of the average of the line")

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


class Bollinger(Feature):
    """Bollinger bands: upper, middle, lower, each / close[t] - 1: fractions around 0."""

    COLUMNS: ClassVar[tuple[str, ...]] = (
        "bollinger_upper_{period}_{deviations:g}",
        "bollinger_middle_{period}_{deviations:g}",
        "bollinger_lower_{period}_{deviations:g}",
    )

    kind: Literal["bollinger"] = "bollinger"
    period: int = _period(20, 2, "Period of mean and deviation")
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
    period: int = _period(14, 1, "Smoothing period")

    def _look_back(self) -> int:
        return self.period

    def _values(self, bars: Bars) -> tuple[Floats, ...]:
        return (talib.ATR(bars.high, bars.low, bars.close, self.period) / bars.close,)


class Adx(Feature):
    """Average directional index, +DI and -DI (Wilder 1978): each 0 to 100."""

    COLUMNS: ClassVar[tuple[str, ...]] = ("adx_{period}", "plus_di_{period}", "minus_di_{period}")

    kind: Literal["adx"] = "adx"
    period: int = _period(14, 2, "Smoothing period")

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
    period: int = _period(25, 2, "Bars searched for the extremes")

    def _look_back(self) -> int:
        return self.period

    def _values(self, bars: Bars) -> tuple[Floats, ...]:
        down, up = talib.AROON(bars.high, bars.low, self.period)
        return (up, down, up - down)


FeatureSpec = Annotated[
    LogReturn
    | RealisedVolatility
    | Rsi
    | Macd
    | Bollinger
    | Atr
    | Adx
    | Aroon
    | FileColumn
    | EntryPoint,
    Field(discriminator="kind"),
]
"""One entry of ``features.columns``; ``kind`` says which."""

# Eight columns: three horizons of return, one oscillator, three of trend, one of risk.
DEFAULT_COLUMNS: tuple[FeatureSpec, ...] = (
    LogReturn(horizon=1),
    LogReturn(horizon=5),
    LogReturn(horizon=20),
    Rsi(),
    Macd(),
    RealisedVolatility(),
)


class FeatureConfig(BaseModel):
    """What an observation shows of the market."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    window: int = Field(
        default=30, ge=1, le=10_000, description="Bars of features in an observation."
    )
    columns: tuple[FeatureSpec, ...] = Field(
        default=DEFAULT_COLUMNS, min_length=1, description="Feature kinds with their parameters."
    )
    scaling: ScalingConfig = Field(
        default=RollingScaling(), description="How columns are brought to about unit scale."
    )

    @model_validator(mode="after")
    def _names_differ(self) -> FeatureConfig:
        names = [name for spec in self.columns for name in spec.names()]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"feature {name} appeared twice in columns, must be unique")
        return self


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FeatureTable:
    """Unscaled features of one instrument.

    Attributes
    ----------
    names : tuple of str
        Column names, length F.
    values : ndarray of float64, shape (T, F)
        Row t uses bars <= t. Finite from row ``warm_up`` on, NaN possible before.
    warm_up : int
        Leading bars without all features.
    """

    names: tuple[str, ...]
    values: Floats
    warm_up: int


def compute_features(bars: Bars, config: FeatureConfig) -> FeatureTable:
    """Compute the configured features of one instrument, unscaled.

    Parameters
    ----------
    bars : Bars
        Bars of one instrument.
    config : FeatureConfig
        Which columns.

    Returns
    -------
    FeatureTable
        Columns in the order of the configuration.

    Raises
    ------
    UserError
        A column has no defined value, is not finite after the warm-up, or repeats a name.
    """
    columns: dict[str, Floats] = {}
    for spec in config.columns:
        for name, values in spec.columns(bars).items():
            if name in columns:
                raise UserError(f"{bars.instrument}: feature {name!r} appeared twice, must be once")
            columns[name] = values
    names, table = tuple(columns), np.column_stack(list(columns.values()))
    return FeatureTable(names=names, values=table, warm_up=_warm_up(bars, names, table))


def look_back_bars(config: FeatureConfig) -> int:
    """Return how many bars before t the observation at t shows.

    The window (W - 1) plus the longest look-back of a column. Not counted are tails that
    fade (the recursive averages in RSI, MACD, ATR, ADX) and the mean and deviation of
    rolling scaling, which tell of a range and not of an outcome.
    """
    return config.window - 1 + max(spec.look_back() for spec in config.columns)


def _warm_up(bars: Bars, names: tuple[str, ...], values: Floats) -> int:
    """Return the first row from which on all columns are finite; refuse holes after it."""
    finite = np.isfinite(values)
    undefined = np.flatnonzero(~finite.any(axis=0))
    if undefined.size:
        raise UserError(
            f"{bars.instrument}: feature {names[undefined[0]]!r} had no defined value in "
            f"{len(bars)} bars, must have at least one (is its period longer than the data?)"
        )
    warm_up = int(finite.argmax(axis=0).max())
    if not finite[warm_up:].all():
        row, column = map(int, np.argwhere(~finite[warm_up:])[0])
        row += warm_up
        raise UserError(
            f"{bars.instrument}: feature {names[column]!r} was {values[row, column]} at bar {row} "
            f"({timestamp_text(bars.timestamp[row])}), must be finite after the warm-up "
            f"({warm_up} bars)"
        )
    return warm_up


def _log_returns(close: Floats, horizon: int) -> Floats:
    """Return log returns over `horizon` bars; NaN in the first `horizon` rows."""
    result = np.full(close.shape, np.nan)
    if horizon < len(close):
        result[horizon:] = np.log(close[horizon:] / close[:-horizon])
    return result
