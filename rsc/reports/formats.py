"""Numbers and dates as people read them: thousands separated, a real minus, – for null.

For the page; `rsc.cli.terminal.numbers` has the plain forms of the terminal. A formatter takes
one number and returns text; whether the number is defined is the caller's business.
"""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

NULL = "–"
MINUS = "−"
_NANOSECONDS = 1_000_000_000
_DAY = 86_400 * _NANOSECONDS


def _signed(text: str) -> str:
    """Return `text` with a true minus and without a negative zero."""
    if text.startswith("-") and not any(digit in text for digit in "123456789"):
        text = text[1:]
    return text.replace("-", MINUS)


def number(value: float, digits: int = 2) -> str:
    """Return 1234.5 as 1,234.50."""
    return _signed(f"{value:,.{digits}f}")


def integer(value: float) -> str:
    """Return 1234.0 as 1,234."""
    return number(value, 0)


def percent(value: float, digits: int = 1) -> str:
    """Return 0.1234 as 12.3 %, the space not breaking."""
    return f"{number(100 * value, digits)}\u202f%"


def signed_percent(value: float, digits: int = 1) -> str:
    """Return 0.1234 as +12.3 %."""
    text = percent(value, digits)
    return text if text.startswith(MINUS) or value == 0 else f"+{text}"


def money(value: float) -> str:
    """Return money to the cent."""
    return number(value, 2)


def date_of(timestamp: int) -> datetime:
    """Return the aware datetime of nanoseconds since 1970 UTC, to the second."""
    return datetime.fromtimestamp(int(timestamp) // _NANOSECONDS, tz=UTC)


def is_intraday(timestamps: NDArray[np.int64]) -> bool:
    """Return whether any timestamp is not at midnight: then dates need their time."""
    return bool((timestamps % _DAY != 0).any())


def date(timestamp: int, *, intraday: bool = False) -> str:
    """Return 2018-12-31, or 2018-12-31 16:00 for intraday bars."""
    return date_of(timestamp).strftime("%Y-%m-%d %H:%M" if intraday else "%Y-%m-%d")


def duration(seconds: float) -> str:
    """Return 3725.0 as 1 h 2 min, smaller ones as 4 min 12 s or 3.2 s."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f}\u202fs"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours == 0:
        return f"{minutes}\u202fmin {rest}\u202fs"
    return f"{hours:,}\u202fh {minutes}\u202fmin"
