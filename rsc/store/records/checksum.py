"""One 64-bit number for each row, so that a changed value names its row.

A checksum is a mix of the values of its own row: every value is brought to 64 bits,
multiplied and folded in (the finaliser of SplitMix64, Steele et al. 2014), so a
change of any bit of any value changes it except once in 2^64. It guards against
accidents and careless hands, not against someone who computes it anew: arithmetic
and replay do that. NaN is one value, and -0.0 is 0.0, as SQLite keeps no sign of 0.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

_START = np.uint64(0x9E3779B97F4A7C15)
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_NULL = np.uint64(0x7FF8DEADBEEF0001)


def float_bits(values: NDArray[np.float64]) -> NDArray[np.uint64]:
    """Return float64 values as 64 bits each, with one NaN and one zero."""
    canonical = np.ascontiguousarray(values, dtype=np.float64) + 0.0
    bits = canonical.view(np.uint64)
    bits[np.isnan(canonical)] = _NULL
    return bits


def integer_bits(values: NDArray[np.generic]) -> NDArray[np.uint64]:
    """Return integers of any size as 64 bits each."""
    return values.astype(np.int64).view(np.uint64)


def text_bits(text: str) -> np.uint64:
    """Return 64 bits that stand for a text."""
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return np.uint64(int.from_bytes(digest, "little"))


def scalar_bits(value: float | str | None) -> np.uint64:
    """Return 64 bits that stand for one value of a row, None for NULL."""
    if value is None:
        return _NULL
    if isinstance(value, str):
        return text_bits(value)
    if isinstance(value, float):
        return np.uint64(float_bits(np.array([value]))[0])
    return np.uint64(value & (2**64 - 1))


def mix(columns: Iterable[NDArray[np.uint64]], count: int) -> NDArray[np.int64]:
    """Return the checksum of each of `count` rows.

    Parameters
    ----------
    columns : iterable of ndarray of uint64, shape (count,)
        The values of the rows, column by column; the order matters.
    count : int
        Number of rows.

    Returns
    -------
    ndarray of int64, shape (count,)
    """
    state = np.full(count, _START)
    for bits in columns:
        state ^= bits
        state *= _MIX[0]
        state ^= state >> np.uint64(29)
        state *= _MIX[1]
        state ^= state >> np.uint64(32)
    return state.view(np.int64)


def row_checksum(values: Iterable[float | str | None]) -> int:
    """Return the checksum of one row of plain values."""
    return int(mix((np.array([scalar_bits(value)]) for value in values), 1)[0])
