"""Features: what the agent sees of the market, one column for each number.

The configuration lists feature kinds with their parameters; ``compute_features`` turns
bars into a table whose row t uses bars <= t alone. Indicators are TA-Lib's, those in units
of price divided by the close, so that a column means the same at 100 and at 3 000; bringing
columns to about unit scale is the work of ``scaling``. Columns of the file and functions of
the user stand beside the built-in kinds; ``look_ahead`` proves that none uses later bars.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
import talib
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from rsc.errors import UserError
from rsc.market.bars import Bars
from rsc.market.scaling import ScalingConfig
from rsc.market.stamps import stamp_text

Floats = NDArray[np.float64]
Columns = Mapping[str, Floats]
FeatureFunction = Callable[[Bars], Mapping[str, Any]]

ENTRY_POINT_GROUP = "rsc.features"
_MAXIMUM_PERIOD = 10_000


def _period(default: int, least: int, what: str) -> Any:
    """Return a field for a number of bars."""
    return Field(default=default, ge=least, le=_MAXIMUM_PERIOD, description=f"{what}, bars.")


class _Feature(BaseModel):
    """What every kind answers: its columns, how far back it looks, its values."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def names(self) -> tuple[str, ...]:
        """Return the column names, as far as they are known before the bars are."""
        raise NotImplementedError

    def look_back(self) -> int:
        """Return how many bars before t the value at t needs (recursive tails not counted)."""
        raise NotImplementedError

    def columns(self, bars: Bars) -> Columns:
        """Return float64 columns of shape (T,), NaN at the start where undefined."""
        raise NotImplementedError


class LogReturn(_Feature):
    """ln(close[t] / close[t − horizon]); a fraction, daily shares about ±0.01 × √horizon."""

    kind: Literal["log_return"] = "log_return"
    horizon: int = _period(1, 1, "Distance of the two closes")

    def names(self) -> tuple[str, ...]:
        return (f"log_return_{self.horizon}",)

    def look_back(self) -> int:
        return self.horizon

    def columns(self, bars: Bars) -> Columns:
        return {self.names()[0]: _log_returns(bars.close, self.horizon)}


class RealisedVolatility(_Feature):
    """Sample deviation of the last `period` one-bar log returns; a fraction per bar, > 0."""

    kind: Literal["realised_volatility"] = "realised_volatility"
    period: int = _period(20, 2, "Returns in the estimate")

    def names(self) -> tuple[str, ...]:
        return (f"realised_volatility_{self.period}",)

    def look_back(self) -> int:
        return self.period

    def columns(self, bars: Bars) -> Columns:
        returns = pd.Series(_log_returns(bars.close, 1))
        return {self.names()[0]: returns.rolling(self.period).std().to_numpy()}


class Rsi(_Feature):
    """Relative strength index (Wilder); 0 to 100, 50 is balance."""

    kind: Literal["rsi"] = "rsi"
    period: int = _period(14, 2, "Smoothing period")

    def names(self) -> tuple[str, ...]:
        return (f"rsi_{self.period}",)

    def look_back(self) -> int:
        return self.period

    def columns(self, bars: Bars) -> Columns:
        return {self.names()[0]: talib.RSI(bars.close, self.period)}


class Macd(_Feature):
    """Moving average convergence/divergence: line, signal, histogram, each / close[t]."""

    kind: Literal["macd"] = "macd"
    fast: int = _period(12, 2, "Period of the fast average")
    slow: int = _period(26, 3, "Period of the slow average")
    signal: int = _period(9, 1, "Period of the average of the line")

    @model_validator(mode="after")
    def _fast_is_faster(self) -> Macd:
        if self.fast >= self.slow:
            raise ValueError(f"fast was {self.fast}, must be less than slow ({self.slow})")
        return self

    def names(self) -> tuple[str, ...]:
        tail = f"{self.fast}_{self.slow}_{self.signal}"
        return (f"macd_{tail}", f"macd_signal_{tail}", f"macd_histogram_{tail}")

    def look_back(self) -> int:
        return self.slow - 1 + self.signal - 1

    def columns(self, bars: Bars) -> Columns:
        parts = talib.MACD(bars.close, self.fast, self.slow, self.signal)
        return {name: part / bars.close for name, part in zip(self.names(), parts, strict=True)}


class Bollinger(_Feature):
    """Bollinger bands: upper, middle, lower, each / close[t] − 1; about 0 ± a few deviations."""

    kind: Literal["bollinger"] = "bollinger"
    period: int = _period(20, 2, "Period of mean and deviation")
    deviations: float = Field(
        default=2.0, gt=0, le=10, description="Distance of the bands, standard deviations."
    )

    def names(self) -> tuple[str, ...]:
        tail = f"{self.period}_{self.deviations:g}"
        return tuple(f"bollinger_{band}_{tail}" for band in ("upper", "middle", "lower"))

    def look_back(self) -> int:
        return self.period - 1

    def columns(self, bars: Bars) -> Columns:
        bands = talib.BBANDS(bars.close, self.period, self.deviations, self.deviations)
        return {name: band / bars.close - 1 for name, band in zip(self.names(), bands, strict=True)}


class Atr(_Feature):
    """Average true range (Wilder) / close[t]; a fraction, > 0."""

    kind: Literal["atr"] = "atr"
    period: int = _period(14, 1, "Smoothing period")

    def names(self) -> tuple[str, ...]:
        return (f"atr_{self.period}",)

    def look_back(self) -> int:
        return self.period

    def columns(self, bars: Bars) -> Columns:
        true_range = talib.ATR(bars.high, bars.low, bars.close, self.period)
        return {self.names()[0]: true_range / bars.close}


class Adx(_Feature):
    """Average directional index, +DI and −DI (Wilder); each 0 to 100."""

    kind: Literal["adx"] = "adx"
    period: int = _period(14, 2, "Smoothing period")

    def names(self) -> tuple[str, ...]:
        return (f"adx_{self.period}", f"plus_di_{self.period}", f"minus_di_{self.period}")

    def look_back(self) -> int:
        return 2 * self.period - 1

    def columns(self, bars: Bars) -> Columns:
        functions = (talib.ADX, talib.PLUS_DI, talib.MINUS_DI)
        return {
            name: function(bars.high, bars.low, bars.close, self.period)
            for name, function in zip(self.names(), functions, strict=True)
        }


class Aroon(_Feature):
    """Aroon up and down (0 to 100) and oscillator up − down (−100 to 100)."""

    kind: Literal["aroon"] = "aroon"
    period: int = _period(25, 2, "Bars searched for the extremes")

    def names(self) -> tuple[str, ...]:
        return tuple(f"aroon_{part}_{self.period}" for part in ("up", "down", "oscillator"))

    def look_back(self) -> int:
        return self.period

    def columns(self, bars: Bars) -> Columns:
        down, up = talib.AROON(bars.high, bars.low, self.period)
        return dict(zip(self.names(), (up, down, up - down), strict=True))


class FileColumn(_Feature):
    """A further numeric column of the price file (or ``volume``), as it stands there."""

    kind: Literal["column"] = "column"
    name: str = Field(min_length=1, description="Column of the file, or volume.")

    def names(self) -> tuple[str, ...]:
        return (self.name,)

    def look_back(self) -> int:
        return 0

    def columns(self, bars: Bars) -> Columns:
        if self.name in bars.extras:
            return {self.name: bars.extras[self.name]}
        if self.name == "volume" and bars.volume is not None:
            return {self.name: bars.volume}
        known = ", ".join(sorted(bars.extras)) or "none"
        raise UserError(
            f"{bars.instrument}: feature column {self.name!r} was missing, must be a further "
            f"numeric column of the file (found: {known})"
        )


class EntryPoint(_Feature):
    """A function of the user: Bars -> mapping of name to numbers of shape (T,)."""

    kind: Literal["entry_point"] = "entry_point"
    function: str = Field(
        min_length=1,
        description=f"package.module:function, or a name in entry point group {ENTRY_POINT_GROUP}.",
    )
    look_back_bars: int = Field(
        ge=0, le=1_000_000, description="Bars before t that the values at t use; sizes the purge."
    )

    def names(self) -> tuple[str, ...]:
        return ()

    def look_back(self) -> int:
        return self.look_back_bars

    def columns(self, bars: Bars) -> Columns:
        function = _find_function(self.function)
        try:
            result = function(bars)
        except Exception as error:
            raise UserError(
                f"feature {self.function}: failed on {bars.instrument} with "
                f"{type(error).__name__}: {error}",
            ) from error
        return _checked_result(result, self.function, len(bars))


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

# Eight columns: three horizons of return, three views of trend, two of risk and position.
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
        default=ScalingConfig(), description="How columns are brought to about unit scale."
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
    names, values = tuple(columns), np.column_stack(list(columns.values()))
    return FeatureTable(names=names, values=values, warm_up=_warm_up(bars, names, values))


def look_back_bars(config: FeatureConfig) -> int:
    """Return how many bars before t the observation at t shows.

    The window (W − 1) plus the longest look-back of a column. Not counted are tails that
    fade (exponential averages of RSI, MACD, ATR, ADX: after three periods 5 % are left) and
    the mean and deviation of rolling scaling, which tell of a range, not of an outcome.
    """
    return config.window - 1 + max(spec.look_back() for spec in config.columns)


def _warm_up(bars: Bars, names: tuple[str, ...], values: Floats) -> int:
    """Return the first row from which on all columns are finite; refuse holes after it."""
    finite = np.isfinite(values)
    for column in np.flatnonzero(~finite.any(axis=0)):
        raise UserError(
            f"{bars.instrument}: feature {names[column]!r} had no defined value in {len(bars)} "
            "bars, must have at least one (is its period longer than the data?)"
        )
    warm_up = int(finite.argmax(axis=0).max())
    if not finite[warm_up:].all():
        row, column = (int(i) for i in np.argwhere(~finite[warm_up:])[0])
        row += warm_up
        raise UserError(
            f"{bars.instrument}: feature {names[column]!r} was {values[row, column]} at bar {row} "
            f"({stamp_text(bars.stamp[row])}), must be finite after the warm-up ({warm_up} bars)"
        )
    return warm_up


def _log_returns(close: Floats, horizon: int) -> Floats:
    """Return log returns over `horizon` bars; NaN in the first `horizon` rows."""
    result = np.full(close.shape, np.nan)
    result[horizon:] = np.log(close[horizon:] / close[:-horizon])
    return result


def _find_function(name: str) -> FeatureFunction:
    """Resolve "package.module:function" or a registered entry point."""
    try:
        if ":" not in name:
            return _registered(name)
        module, _, attribute = name.partition(":")
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(
            f"feature function {name!r} was not found ({error}), must be package.module:function "
            f"or a name in the entry point group {ENTRY_POINT_GROUP}"
        ) from error
    if not callable(found):
        raise UserError(f"feature function {name!r} was a {type(found).__name__}, must be callable")
    function: FeatureFunction = found
    return function


def _registered(name: str) -> FeatureFunction:
    """Load a function that an installed package registered."""
    group = entry_points(group=ENTRY_POINT_GROUP)
    if name not in group.names:
        known = ", ".join(sorted(group.names)) or "none"
        raise AttributeError(f"registered are: {known}")
    function: FeatureFunction = group[name].load()
    return function


def _checked_result(result: Any, name: str, length: int) -> Columns:
    """Turn what a user's function returned into columns, or say what is wrong with it."""
    if not isinstance(result, Mapping) or not result:
        raise UserError(
            f"feature {name}: returned {type(result).__name__}, must return a mapping of at least "
            "one column name to numbers"
        )
    columns: dict[str, Floats] = {}
    for column, values in result.items():
        try:
            array = np.array(values, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise UserError(f"feature {name}: column {column!r} was not numeric") from error
        if array.shape != (length,):
            raise UserError(
                f"feature {name}: column {column!r} had shape {array.shape}, must be ({length},): "
                "one number for each bar"
            )
        columns[str(column)] = array
    return columns
