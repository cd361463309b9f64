"""The timestamp column of a price file: text or datetimes in, UTC nanoseconds out.

A bar's timestamp is the instant of its close. A date without a time is a *label of the
trading day*, kept as that date at 00:00 UTC and never shifted by a time zone. What
cannot be read without guessing (mixed time zones, local times that a clock change
made ambiguous, plain numbers) is refused by row, because a timestamp that is off by hours
moves bars between training and test without a trace.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any, cast
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rsc.errors import UserError

DAY_NS = 86_400_000_000_000
SECOND_NS = 1_000_000_000
# Fourteen days admit every closure of a large exchange since 1945 (seven days in September
# 2001) and most new-year holidays in Asia; coarser bars may skip a few of their own length.
MAXIMUM_GAP_DAYS = 14.0
MAXIMUM_GAP_SPACINGS = 5.0

_MUST = "must be an ISO 8601 date such as 2024-01-31 or time such as 2024-01-31T15:30:00Z"
TRADING_DAYS = 252.0
# A calendar whose days of the week are traded has at least this share of its dates.
_DENSE = 0.9
YEAR_DAYS = 365.25

At = Callable[[int], str]
"""Names a row of a file, as ``prices.csv:17``."""


def timestamp_text(timestamp: int) -> str:
    """Return a timestamp as ISO text, without the time when it is midnight.

    Parameters
    ----------
    timestamp : int
        Nanoseconds since 1970 UTC.
    """
    moment = datetime.fromtimestamp(int(timestamp) // SECOND_NS, tz=UTC)
    return moment.strftime("%Y-%m-%d" if timestamp % DAY_NS == 0 else "%Y-%m-%dT%H:%M:%SZ")


def day_timestamp(day: date) -> int:
    """Return 00:00 UTC of a date in nanoseconds since 1970."""
    return (day - date(1970, 1, 1)).days * DAY_NS


def median_spacing(timestamp: NDArray[np.int64]) -> int:
    """Return the (lower) median distance of consecutive timestamps, nanoseconds; two at least."""
    gaps = np.diff(timestamp)
    middle = (len(gaps) - 1) // 2
    return int(np.partition(gaps, middle)[middle])


def periods_per_year(timestamp: NDArray[np.int64]) -> float:
    """Derive the number of bars in a year from the timestamps.

    Bars of up to four days: (mean bars for each active UTC date) × (active dates a year),
    where the latter is 252 if at most five days of the week are active (an exchange),
    365.25 if all seven are, and 365.25 × 6 / 7 for six (currencies from Sunday evening). A
    day of the week is active if it has at least a tenth of the dates of the busiest one.
    Where a year or more of bars has over a tenth fewer dates than that (three days a week,
    every second day), the number it has.
    So daily exchange bars give exactly 252, and one-minute bars of 390 a day 98 280.
    Coarser bars: 365.25 days / median spacing.

    Parameters
    ----------
    timestamp : ndarray of int64, shape (T,), T >= 2
        Nanoseconds since 1970 UTC.

    Returns
    -------
    float
        Bars in a year, > 0.
    """
    spacing = median_spacing(timestamp)
    if spacing > 4 * DAY_NS:
        return YEAR_DAYS * DAY_NS / spacing
    dates = np.unique(timestamp // DAY_NS)
    weekday = np.bincount(dates % 7, minlength=7)
    active = int(np.sum(weekday >= max(1.0, weekday.max() / 10)))
    dates_per_year = TRADING_DAYS if active <= 5 else YEAR_DAYS * active / 7
    years = (dates[-1] - dates[0]) / YEAR_DAYS
    if years >= 1 and len(dates) < _DENSE * dates_per_year * years:
        dates_per_year = (len(dates) - 1) / years
    return float(len(timestamp) / len(dates) * dates_per_year)


def read_timestamps(
    column: pd.Series[Any], *, at: At, timezone: str | None, maximum_gap_days: float | None
) -> NDArray[np.int64]:
    """Return a column of dates or times as nanoseconds since 1970 UTC, strictly increasing.

    Parameters
    ----------
    column : Series
        ISO 8601 text or datetimes, with or without an offset.
    at : callable
        Names a row for a message.
    timezone : str or None
        Zone of times that carry no offset; None means UTC. Dates without a time are labels
        and stay at 00:00 UTC.
    maximum_gap_days : float or None
        Longest distance of two rows. None admits 14 days, or five times the median
        spacing where that is more: nights, weekends, holidays, the week after 2001-09-11.

    Raises
    ------
    UserError
        A timestamp is missing, unreadable, of another time zone than the first, a local time
        that does not exist or exists twice, not later than the row before, or too far
        from it.
    """
    if not pd.api.types.is_datetime64_any_dtype(column):
        column = _parse(column, at=at, timezone=timezone)
    _refuse(column.isna().to_numpy(), column, at, "was empty", _MUST)
    if column.dt.tz is None and timezone is not None and not _all_midnight(column):
        column = _localise(column, at=at, timezone=timezone)
    if column.dt.tz is not None:
        column = column.dt.tz_convert("UTC").dt.tz_localize(None)
    timestamp = _nanoseconds(column, at)
    _check_order(timestamp, name=str(column.name), at=at)
    _check_gap(timestamp, name=str(column.name), at=at, maximum_gap_days=maximum_gap_days)
    return timestamp


def _check_order(timestamp: NDArray[np.int64], *, name: str, at: At) -> None:
    """Refuse timestamps that repeat or go back, by the first such row."""
    wrong = np.flatnonzero(np.diff(timestamp) <= 0)
    if wrong.size == 0:
        return
    row = int(wrong[0]) + 1
    before, here = timestamp_text(timestamp[row - 1]), timestamp_text(timestamp[row])
    if timestamp[row] == timestamp[row - 1]:
        what = f"was {here}, a duplicate of the row before"
    else:
        what = f"was {here} after {before} (unsorted)"
    raise UserError(
        f"{at(row)}: column {name!r} {what}, must be later than the row before",
        hint="Sort the file by time and keep one row for each bar.",
    )


def _check_gap(
    timestamp: NDArray[np.int64], *, name: str, at: At, maximum_gap_days: float | None
) -> None:
    """Refuse a hole that is far beyond the usual spacing of the bars."""
    gaps = np.diff(timestamp)
    usual = median_spacing(timestamp) / DAY_NS
    allowed = maximum_gap_days or max(MAXIMUM_GAP_DAYS, MAXIMUM_GAP_SPACINGS * usual)
    row = int(np.argmax(gaps)) + 1
    found = gaps[row - 1] / DAY_NS
    if found > allowed:
        raise UserError(
            f"{at(row)}: column {name!r} was {timestamp_text(timestamp[row])}, {found:.4g} days "
            f"after the row before ({timestamp_text(timestamp[row - 1])}), must be within "
            f"{allowed:.4g} days (a hole this long is usually missing data)",
            hint="Add the missing bars, or allow the gap with maximum_gap_days in the source.",
        )


def _parse(column: pd.Series[Any], *, at: At, timezone: str | None) -> pd.Series[Any]:
    """Read ISO text; on failure look for the row that is to blame."""
    if pd.api.types.is_numeric_dtype(column):
        missing = column.isna().to_numpy()
        _refuse(missing, column, at, "was empty", _MUST)
        raise UserError(f"{at(0)}: column {column.name!r} was the number {column.iloc[0]}, {_MUST}")
    _refuse_dates_among_times(column, at=at)
    try:
        return cast("pd.Series[Any]", pd.to_datetime(column, format="ISO8601"))
    except (ValueError, TypeError):
        return _parse_slowly(column, at=at, timezone=timezone)


def _refuse_dates_among_times(column: pd.Series[Any], *, at: At) -> None:
    """Refuse a date where the first row has a time, or the reverse: midnight would be a guess."""
    given = column.notna().to_numpy()
    timed = column.astype("str").str.contains(":", regex=False).to_numpy()
    first = bool(timed[given][:1].any())
    kind = "a time" if first else "a date without a time"
    _refuse(
        given & (timed != first), column, at, "was {value!r}", f"must be {kind} as the first is"
    )


def _parse_slowly(column: pd.Series[Any], *, at: At, timezone: str | None) -> pd.Series[Any]:
    """Find the row that cannot be read, or accept the clock changes of a named zone."""
    text = column.astype("str").str.strip()
    parsed: pd.Series[Any] = pd.to_datetime(text, format="ISO8601", utc=True, errors="coerce")
    _refuse(column.isna().to_numpy(), column, at, "was empty", _MUST)
    _refuse(parsed.isna().to_numpy(), column, at, "was {value!r}", _MUST)
    _check_offsets(text, parsed, column, at=at, timezone=timezone)
    return parsed


def _check_offsets(
    text: pd.Series[Any],
    parsed: pd.Series[Any],
    column: pd.Series[Any],
    *,
    at: At,
    timezone: str | None,
) -> None:
    """Refuse mixed offsets unless they are the clock changes of the named zone."""
    offset = text.str.extract(r":\d{2}(?:\.\d+)?\s*(Z|[+-]\d{2}(?::?\d{2})?)$", expand=False)
    offset = offset.fillna("none").replace("Z", "+00:00")
    if timezone is not None and not (offset == "none").any():
        local = parsed.dt.tz_convert(ZoneInfo(timezone))
        expected = local.dt.strftime("%z")
        wrong = (expected != offset.str.replace(":", "")).to_numpy()
        must = f"must be local time of the configured timezone {timezone}"
        _refuse(wrong, column, at, "was {value!r}", must)
        return
    wrong = (offset != offset.iloc[0]).to_numpy()
    first = offset.iloc[0]
    must = f"must have the offset of the first row ({first}): a file of one time zone"
    _refuse(wrong, column, at, "was {value!r}", must)


def _localise(column: pd.Series[Any], *, at: At, timezone: str) -> pd.Series[Any]:
    """Give naive local times their zone; refuse those that a clock change made unclear."""
    zone = ZoneInfo(timezone)
    local: pd.Series[Any] = column.dt.tz_localize(zone, ambiguous="NaT", nonexistent="NaT")
    must = f"must be a time that exists once in {timezone} (the clock changed that night: use UTC)"
    _refuse(local.isna().to_numpy(), column, at, "was {value}", must)
    return local


def is_zone(timezone: str) -> bool:
    """Return whether a name is that of an IANA zone."""
    try:
        ZoneInfo(timezone)
    except (KeyError, ValueError, OSError):
        return False
    return True


def _all_midnight(column: pd.Series[Any]) -> bool:
    """Tell whether every value is a date without a time."""
    return bool((column == column.dt.normalize()).all())


def _nanoseconds(column: pd.Series[Any], at: At) -> NDArray[np.int64]:
    """Return naive datetimes as int64 nanoseconds."""
    limits = pd.Timestamp.min.year, pd.Timestamp.max.year
    year = column.dt.year
    wrong = ((year <= limits[0]) | (year >= limits[1])).to_numpy()
    _refuse(wrong, column, at, "was {value}", f"must lie between {limits[0]} and {limits[1]}")
    nanoseconds: NDArray[np.int64] = column.to_numpy().astype("datetime64[ns]").astype(np.int64)
    return nanoseconds


def _refuse(wrong: NDArray[np.bool_], column: pd.Series[Any], at: At, was: str, must: str) -> None:
    """Raise for the first wrong row, if there is one."""
    if wrong.any():
        row = int(np.argmax(wrong))
        said = was.format(value=column.iloc[row])
        raise UserError(f"{at(row)}: column {column.name!r} {said}, {must}")
