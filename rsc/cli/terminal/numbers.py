"""Numbers as text: one form for each kind of figure, the same in every table.

Records hold fractions; people read per cent. What is undefined is a dash, never a zero.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime

from rsc.cli.terminal.output import NOTHING

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def percent(fraction: float | None) -> str:
    """Return a fraction as per cent with one decimal, e.g. ``12.3 %``."""
    return NOTHING if _undefined(fraction) else f"{100 * _number(fraction):.1f} %"


def signed_percent(fraction: float | None) -> str:
    """Return a return as per cent with its sign, e.g. ``+12.3 %``."""
    return NOTHING if _undefined(fraction) else f"{100 * _number(fraction):+.1f} %"


def ratio(value: float | None) -> str:
    """Return a ratio with two decimals."""
    return NOTHING if _undefined(value) else f"{_number(value):.2f}"


def ratio_with_interval(value: float | None, low: float | None, high: float | None) -> str:
    """Return a ratio and its 95 % interval, e.g. ``0.83 [-0.21, 1.87]``; never one alone."""
    if any(map(_undefined, (value, low, high))):
        return NOTHING
    return f"{ratio(value)} [{ratio(low)}, {ratio(high)}]"


def count(value: float | None) -> str:
    """Return a count with a space between thousands, e.g. ``12 345``."""
    return NOTHING if _undefined(value) else f"{round(_number(value)):,}".replace(",", " ")


def probability(value: float | None) -> str:
    """Return a p-value with three decimals."""
    if _undefined(value):
        return NOTHING
    return "<0.001" if _number(value) < 0.001 else f"{_number(value):.3f}"


def duration(seconds: float | None) -> str:
    """Return a length of time as a person says it: ``42 s``, ``3 min 05 s``, ``2 h 10 min``."""
    if _undefined(seconds):
        return NOTHING
    whole = max(0, round(_number(seconds)))
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE:02d} s"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE:02d} min"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR} h"


def moment(timestamp: datetime | None) -> str:
    """Return a moment in UTC to the minute, e.g. ``2026-03-01 14:05``."""
    if timestamp is None:
        return NOTHING
    return timestamp.astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def _undefined(value: float | None) -> bool:
    return value is None or not math.isfinite(value)


def _number(value: float | None) -> float:
    return 0.0 if value is None else float(value)
