"""Bars of one instrument, and the contract that a price file has to meet.

``bars_from_frame`` is the only way from a table to ``Bars``: it checks every row,
adjusts prices and names the first breach by file, row and column in one sentence.
After it nobody checks prices again. It reads no file (``sources`` does) and it
neither repairs nor invents a bar: a wrong price costs more than a refused file.
``check_bars`` warns of what is legal and yet misleads.
All checks are vectorised, so a file of a million bars is one pass of numpy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rsc.errors import UserError
from rsc.market.prices.timestamps import (
    SECOND_NS,
    At,
    median_spacing,
    periods_per_year,
    read_timestamps,
    timestamp_text,
)

Floats = NDArray[np.float64]
BarLabel = Literal["right", "left"]
PriceAdjustment = Literal["auto", "none"]

STALE_OPEN_LIMIT = 0.2
"""Share of stale opens above which a fill at the next open is not to be trusted."""
LARGE_JUMP = 0.5
"""Price return of one bar, as a fraction, beyond which an unadjusted split is likely."""

PRICES = ("open", "high", "low", "close")
_ALIASES = {
    "timestamp": ("date", "datetime", "timestamp", "time", "stamp"),
    "adj_close": ("adj close", "adj_close", "adjclose", "adjusted close", "adjusted_close"),
    "volume": ("volume", "vol"),
}
COLUMN_WORDS = ("timestamp", *PRICES, "adj_close", "volume")
"""The columns that have a meaning; every other numeric column is an extra."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bars:
    """`T` bars of one instrument, checked; all arrays are read-only."""

    instrument: str
    """Name of the instrument."""
    timestamp: NDArray[np.int64]
    """Close of the bar in nanoseconds since 1970 UTC, strictly increasing. Daily files without
    times hold the date at 00:00 UTC, a label of the trading day."""
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    """Prices, adjusted for dividends and splits where the file allowed it; finite, > 0, low <=
    open, close <= high."""
    volume: Floats | None
    """Traded volume as in the file (not adjusted), >= 0."""
    tradable: NDArray[np.bool_]
    """False where a volume column that is not all zero says 0."""
    extras: Mapping[str, Floats] = field(default_factory=dict)
    """Further numeric columns of the file; may hold NaN."""
    adjusted: bool = False
    """Whether prices were multiplied by an adjustment factor."""
    stale_open_share: float
    """Share of the bars after the first whose open equals the close before, [0, 1]; in the prices
    of the file: an adjustment by rounded numbers makes equal prices differ."""
    digest: str
    """SHA-256 over the instrument's name and all arrays, 64 hexadecimal digits."""

    def __post_init__(self) -> None:
        """Make every array read-only: features and user functions share them."""
        for array in (
            self.timestamp,
            *self.prices,
            self.volume,
            self.tradable,
            *self.extras.values(),
        ):
            if array is not None:
                array.setflags(write=False)

    def __len__(self) -> int:
        """Return the number of bars."""
        return int(self.timestamp.shape[0])

    @property
    def prices(self) -> tuple[Floats, Floats, Floats, Floats]:
        """Open, high, low and close, each of shape (T,)."""
        return self.open, self.high, self.low, self.close

    @property
    def bar_seconds(self) -> float:
        """Median distance of two bars in seconds (86 400 for daily bars)."""
        return median_spacing(self.timestamp) / SECOND_NS

    @property
    def periods_per_year(self) -> float:
        """Bars in a year, derived from the timestamps; see ``timestamps.periods_per_year``."""
        return periods_per_year(self.timestamp)


def make_bars(
    *,
    instrument: str,
    timestamp: NDArray[np.int64],
    prices: tuple[Floats, Floats, Floats, Floats],
    volume: Floats | None = None,
    extras: Mapping[str, Floats] | None = None,
    adjusted: bool = False,
    stale_open_share: float | None = None,
) -> Bars:
    """Build `Bars` from arrays that already meet the contract (nothing is checked).

    Parameters
    ----------
    instrument : str
        Name of the instrument.
    timestamp : ndarray of int64, shape (T,)
        Closes of the bars, nanoseconds since 1970 UTC.
    prices : tuple of four ndarray of float64, shape (T,)
        Open, high, low, close.
    volume : ndarray of float64, shape (T,), optional
        Without it, or when it is all zero, every bar is tradable.
    extras : mapping of str to ndarray of float64, optional
        Further columns.
    adjusted : bool
        Whether the prices were adjusted.
    stale_open_share : float, optional
        Of the prices before their adjustment; default: of `prices`.
    """
    extras = dict(extras or {})
    if stale_open_share is None:
        stale_open_share = _stale_open_share(prices[0], prices[3])
    has_volume = volume is not None and bool(np.any(volume > 0))
    tradable = volume > 0 if has_volume and volume is not None else np.ones(len(timestamp), bool)
    named = dict(zip(PRICES, prices, strict=True)) | {f"extra {k}": v for k, v in extras.items()}
    # "stamp" is part of the digests that runs have recorded.
    arrays: dict[str, NDArray[Any]] = {"stamp": timestamp, "tradable": tradable, **named}
    if volume is not None:
        arrays["volume"] = volume
    return Bars(
        instrument=instrument,
        timestamp=timestamp,
        **dict(zip(PRICES, prices, strict=True)),
        volume=volume,
        tradable=tradable,
        extras=extras,
        adjusted=adjusted,
        stale_open_share=stale_open_share,
        digest=_digest(instrument, arrays),
    )


def bars_from_frame(
    frame: pd.DataFrame,
    *,
    instrument: str,
    where: str,
    bar_label: BarLabel = "right",
    price_adjustment: PriceAdjustment = "auto",
    columns: Mapping[str, str] | None = None,
    timezone: str | None = None,
    maximum_gap_days: float | None = None,
    header_lines: int = 0,
) -> Bars:
    """Turn a table of prices into `Bars`, or say in one sentence why it is none.

    Parameters
    ----------
    frame : DataFrame
        Columns Date (or Datetime, Timestamp, Time), Open, High, Low, Close, optionally Adj
        Close and Volume, in any case; further numeric columns become extras.
    instrument, where : str
        Names of the instrument and, for messages, of the file.
    bar_label : {'right', 'left'}
        Whether a timestamp is the close or the open of its bar; 'left' shifts all timestamps by
        one bar length (the median spacing).
    price_adjustment : {'auto', 'none'}
        'auto': prices times f_j / f_first, f = Adj Close / Close: total returns, no look-ahead.
    columns : mapping of str to str, optional
        The file's name for any of ``COLUMN_WORDS``.
    timezone : str, optional
        IANA name of the zone of times without an offset; default UTC.
    maximum_gap_days : float, optional
        Longest distance of two bars; default 14 days or five median spacings.
    header_lines : int
        1 (CSV): rows are named as lines of the file; 0: as 'row', counted from 1.

    Raises
    ------
    UserError
        Any breach, named by file, row and column.
    """
    at = _row_namer(where, header_lines)
    names = _find_columns(frame, columns or {}, where)
    if len(frame) < 2:
        raise UserError(f"{where}: had {len(frame)} row(s) of prices, must have at least 2")
    column = frame[names["timestamp"]]
    timestamp = read_timestamps(column, at=at, timezone=timezone, maximum_gap_days=maximum_gap_days)
    prices = _prices(frame, names, at)
    factor = None
    if price_adjustment == "auto" and "adj_close" in names:
        factor = _adjustment(frame[names["adj_close"]], prices[3], at)
    opened, high, low, close = (p if factor is None else p * factor for p in prices)
    return make_bars(
        instrument=instrument,
        timestamp=timestamp + median_spacing(timestamp) if bar_label == "left" else timestamp,
        prices=(opened, high, low, close),
        volume=_numbers(frame[names["volume"]], at, "volume") if "volume" in names else None,
        extras=_extras(frame, set(names.values())),
        adjusted=factor is not None,
        stale_open_share=_stale_open_share(prices[0], prices[3]),
    )


def _stale_open_share(opened: Floats, close: Floats) -> float:
    """Return the share of bars after the first whose open equals the close before."""
    return float(np.mean(opened[1:] == close[:-1])) if len(close) > 1 else 0.0


def check_bars(bars: Bars) -> tuple[str, ...]:
    """Return warnings about bars that meet the contract but deserve a second look.

    Parameters
    ----------
    bars : Bars
        Bars of one instrument.

    Returns
    -------
    tuple of str
        One sentence each: stale opens, bars without volume, prices without dividends,
        jumps that look like a split. Empty when there is nothing to say.
    """
    warnings = []
    if bars.stale_open_share > STALE_OPEN_LIMIT:
        warnings.append(
            f"{bars.instrument}: a share of {bars.stale_open_share:.3f} of the opens equals the "
            f"close before (more than {STALE_OPEN_LIMIT}), so fill: next_open would trade at the "
            "price just observed; use fill: next_close."
        )
    idle = np.flatnonzero(~bars.tradable)
    if idle.size:
        warnings.append(
            f"{bars.instrument}: {idle.size} bar(s) have zero volume and cannot be traded, the "
            f"first at {timestamp_text(bars.timestamp[idle[0]])}."
        )
    if bars.volume is not None and not bars.volume.any():
        warnings.append(
            f"{bars.instrument}: the volume column is all zero (an index?), so every bar counts "
            "as tradable."
        )
    if not bars.adjusted:
        warnings.append(
            f"{bars.instrument}: prices are not adjusted (no Adj Close, or it equals Close): an "
            "index or a share without dividends, so returns are price returns."
        )
    return (*warnings, *_jump_warning(bars))


def _jump_warning(bars: Bars) -> tuple[str, ...]:
    """Name price jumps of a size that an unadjusted split has."""
    change = bars.close[1:] / bars.close[:-1] - 1
    jumps = np.flatnonzero((change > LARGE_JUMP) | (change < 1 / (1 + LARGE_JUMP) - 1))
    if jumps.size == 0:
        return ()
    first, fall = int(jumps[0]), 1 / (1 + LARGE_JUMP) - 1
    sentence = (
        f"{bars.instrument}: {jumps.size} price return(s) of one bar lie beyond {LARGE_JUMP:+} or "
        f"{fall:+.2f}, the first {change[first]:+.3f} at "
        f"{timestamp_text(bars.timestamp[first + 1])}: "
        "check for splits that are not adjusted."
    )
    return (sentence,)


def _row_namer(where: str, header_lines: int) -> At:
    """Return how rows are named: as lines of a text file, or counted from 1."""
    if header_lines:
        return lambda row: f"{where}:{row + 1 + header_lines}"
    return lambda row: f"{where}: row {row + 1}"


def _find_columns(frame: pd.DataFrame, mapping: Mapping[str, str], where: str) -> dict[str, str]:
    """Return word -> the file's column name; timestamp and the four prices must be there."""
    names: dict[str, str] = {}
    twice = frame.columns[frame.columns.duplicated()]
    if len(twice):
        raise UserError(f"{where}: column {twice[0]!r} appeared twice, must be once")
    for word in COLUMN_WORDS:
        if word in mapping:
            wanted, matches = mapping[word], [c for c in frame.columns if c == mapping[word]]
        else:
            aliases = _ALIASES.get(word, (word,))
            wanted = aliases[0].title()
            matches = [c for c in frame.columns if str(c).strip().lower() in aliases]
        if len(matches) > 1:
            raise UserError(
                f"{where}: columns {', '.join(map(repr, matches))} all look like {word}, must be "
                "one",
                hint=f"Say which with columns: {{{word}: ...}} in the source.",
            )
        if matches:
            names[word] = matches[0]
        elif word in mapping or word in ("timestamp", *PRICES):
            found = ", ".join(map(repr, frame.columns)) or "none"
            raise UserError(
                f"{where}: column {wanted!r} was missing (found: {found}), must be there",
                hint=f"Rename it, or map it with columns: {{{word}: ...}} in the source.",
            )
    return names


def _numbers(column: pd.Series[Any], at: At, what: str, *, above_zero: bool = False) -> Floats:
    """Return a column as finite float64, > 0 or >= 0; refuse the first that is not."""
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    with np.errstate(invalid="ignore"):
        good = np.isfinite(numbers) & ((numbers > 0) if above_zero else (numbers >= 0))
    if not good.all():
        row = int(np.argmin(good))
        value = column.iloc[row]
        was = "empty or NaN" if pd.isna(value) else repr(getattr(value, "item", lambda: value)())
        bound = "> 0" if above_zero else ">= 0"
        raise UserError(
            f"{at(row)}: column {column.name!r} was {was}, must be a finite {what} {bound}"
        )
    return np.ascontiguousarray(numbers)


def _prices(frame: pd.DataFrame, names: Mapping[str, str], at: At) -> tuple[Floats, ...]:
    """Return open, high, low, close; refuse the first bar that has one outside low to high."""
    opened, high, low, close = prices = tuple(
        _numbers(frame[names[word]], at, "price", above_zero=True) for word in PRICES
    )
    top, bottom = np.maximum(opened, close), np.minimum(opened, close)
    cases = (
        (high < low, "high", high, "at least the low", low),
        (high < top, "high", high, "at least open and close", top),
        (low > bottom, "low", low, "at most open and close", bottom),
    )
    for wrong, word, values, must, bound in cases:
        if wrong.any():
            row = int(np.argmax(wrong))
            raise UserError(
                f"{at(row)}: column {names[word]!r} was {values[row]}, must be {must} "
                f"({bound[row]})"
            )
    return prices


def _adjustment(column: pd.Series[Any], close: Floats, at: At) -> Floats | None:
    """Return f_j / f_first with f = Adj Close / Close, or None where nothing is to adjust."""
    adjusted = _numbers(column, at, "adjusted price", above_zero=True)
    if np.array_equal(adjusted, close):
        return None
    factor: Floats = np.divide(adjusted, close)
    rebased: Floats = np.divide(factor, factor[0])
    return rebased


def _extras(frame: pd.DataFrame, used: set[str]) -> dict[str, Floats]:
    """Return the further numeric columns as float64."""
    numeric = frame.drop(columns=list(used)).select_dtypes("number")
    return {str(c): numeric[c].to_numpy(np.float64, na_value=np.nan).copy() for c in numeric}


def _digest(instrument: str, arrays: Mapping[str, NDArray[Any]]) -> str:
    """Return SHA-256 over the name and, in order of their names, all arrays."""
    digest = hashlib.sha256(instrument.encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        digest.update(f"|{name}:{little.dtype.str}:{len(array)}|".encode())
        digest.update(little.tobytes())
    return digest.hexdigest()
