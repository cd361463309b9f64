"""Where an episode begins and how long it is: a function of a key and a number.

Instrument, start and length of the n-th episode of an account come from a
counter-based generator (Philox, Salmon et al., SC 2011): the account's key and the
episode's number go in, random words come out. So there is no generator state to
keep, ship or restore, no order in which accounts must be asked, and the episodes of an
account do not depend on how many others there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from rsc.errors import UserError
from rsc.market.splits import BarRange, Fold

LONGEST_EPISODE = 2**31 - 1  # more bars than any instrument may have


class EpisodeConfig(BaseModel):
    """How long training episodes are. Evaluation always passes over the whole range."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    minimum_length: int = Field(
        default=63,
        ge=1,
        le=LONGEST_EPISODE,
        description="Shortest training episode, steps (63: a quarter of a year).",
    )
    maximum_length: int | None = Field(
        default=252,
        ge=1,
        le=LONGEST_EPISODE,
        description="Longest training episode, steps; null: the whole range. Lengths are drawn "
        "uniformly between both, starts uniformly where the length fits.",
    )
    full: bool = Field(
        default=False, description="Every training episode is one pass over the whole range."
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        """Refuse a maximum below the minimum, and lengths that nobody looks at."""
        for name in ("minimum_length", "maximum_length"):
            if self.full and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} was set, but full is true: episodes are the whole range")
        if self.maximum_length is not None and self.maximum_length < self.minimum_length:
            raise ValueError(
                f"maximum_length was {self.maximum_length}, must be at least "
                f"minimum_length = {self.minimum_length}"
            )
        return self


def require_room(folds: Sequence[Fold], instruments: Sequence[str], config: EpisodeConfig) -> None:
    """Refuse folds whose train range is shorter than the shortest episode.

    The sampler would refuse them, too, but only in a process of the training.

    Parameters
    ----------
    folds : sequence of Fold
        Of a run.
    instruments : sequence of str
        Names for the message, length I.
    config : EpisodeConfig

    Raises
    ------
    UserError
        The shortest episode does not fit; names the first fold and its shortest range.
    """
    for fold in folds:
        steps, name = min(zip((r.step_count for r in fold.train), instruments, strict=True))
        if steps < config.minimum_length and not config.full:
            raise UserError(
                f"episodes.minimum_length was {config.minimum_length} steps, must be at most "
                f"{steps}, the train range of {name} in fold {fold.index}",
                "Shorten episodes.minimum_length, or give the train range more bars.",
            )


class EpisodeSampler:
    """Draws episodes for accounts that each have a key of their own.

    Parameters
    ----------
    ranges : sequence of BarRange
        Bars that episodes may cover, one range for each instrument of the market.
    config : EpisodeConfig
    keys : array of uint64, shape (N, 2) or (N,)
        Key of each account; a missing second word is 0.

    Raises
    ------
    UserError
        If the shortest episode does not fit into a range.

    Notes
    -----
    An instrument is drawn uniformly, whatever its length. The words are those of
    ``numpy.random.Philox(key=key, counter=number)``; a word w becomes a number below n
    as ``(w >> 32) * n >> 32`` (bias below n / 2**32).
    """

    def __init__(self, ranges: Sequence[BarRange], config: EpisodeConfig, keys: ArrayLike) -> None:
        words = np.asarray(keys, np.uint64)
        self._keys = np.zeros((len(words), 2), np.uint64)
        self._keys[:, : 1 if words.ndim == 1 else 2] = words.reshape(len(words), -1)
        self._start = np.array([bars.start for bars in ranges], np.int64)
        steps = np.array([bars.end - bars.start for bars in ranges], np.int64)
        self._end = self._start + steps
        shortest = steps if config.full else np.full_like(steps, config.minimum_length)
        if (steps < shortest).any() or (steps < 1).any():
            instrument = int(np.argmin(steps))
            raise UserError(
                f"episodes.minimum_length was {config.minimum_length} steps, must be at most "
                f"{steps[instrument]}, the steps of the range of instrument {instrument}",
                "Shorten episodes.minimum_length or give the split more bars.",
            )
        longest = steps if config.maximum_length is None else config.maximum_length
        self._shortest = shortest
        self._longest = np.maximum(shortest, np.minimum(steps, longest))

    def draw(
        self, index: ArrayLike, number: ArrayLike, instrument: ArrayLike = -1
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Return instrument, start and end of the episodes `number` of accounts `index`.

        Parameters
        ----------
        index, number : array of int64, shape (K,)
            Accounts; which episode of each, from 0.
        instrument : array of int64, shape (K,) or ()
            Which instrument; -1 draws one.

        Returns
        -------
        instrument, start, end : ndarray of int64, shape (K,)
            Index of the instrument; bar_index of the first decision and of the last bar.
        """
        accounts = np.atleast_1d(np.asarray(index, np.int64))
        numbers = np.atleast_1d(np.asarray(number, np.uint64))
        drawn = np.empty((3, len(accounts)), np.int64)
        _draw(
            self._keys[accounts],
            numbers,
            np.broadcast_to(np.asarray(instrument, np.int64), len(accounts)),
            self._start,
            self._end,
            self._shortest,
            self._longest,
            drawn,
        )
        return drawn[0], drawn[1], drawn[2]


# Philox-4x64 with 10 rounds: its two multipliers and the two increments of the key.
_MULTIPLIERS = np.uint64(0xD2E7470EE14C6C93), np.uint64(0xCA5A826395121157)
_WEYL = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBB67AE8584CAA73B)
_LOW, _HALF, _ZERO, _ONE = (
    np.uint64(0xFFFFFFFF),
    np.uint64(32),
    np.uint64(0),
    np.uint64(1),
)


@njit
def _high_word(a: Any, b: Any) -> Any:
    """Return the upper 64 bits of the 128-bit product of two 64-bit words."""
    a_low, a_high = a & _LOW, a >> _HALF
    b_low, b_high = b & _LOW, b >> _HALF
    middle = a_high * b_low + (a_low * b_low >> _HALF)
    other = a_low * b_high + (middle & _LOW)
    return a_high * b_high + (middle >> _HALF) + (other >> _HALF)


@njit
def _philox(key0: Any, key1: Any, counter: Any) -> Any:
    """Return the first three words of Philox for a key of two words and a counter below 2**64."""
    # numpy counts up before it generates.
    w0, w1, w2, w3 = counter + _ONE, _ZERO, _ZERO, _ZERO
    for _ in range(10):
        high0, low0 = _high_word(_MULTIPLIERS[0], w0), _MULTIPLIERS[0] * w0
        high1, low1 = _high_word(_MULTIPLIERS[1], w2), _MULTIPLIERS[1] * w2
        w0, w1, w2, w3 = high1 ^ w1 ^ key0, low1, high0 ^ w3 ^ key1, low0
        key0, key1 = key0 + _WEYL[0], key1 + _WEYL[1]
    return w0, w1, w2


@njit
def _below(word: Any, bound: int) -> Any:
    """Return a number from 0 to `bound` - 1."""
    return np.int64((word >> _HALF) * np.uint64(bound) >> _HALF)


@njit(cache=True)
def _draw(
    keys: Any,
    numbers: Any,
    chosen: Any,
    first: Any,
    last: Any,
    shortest: Any,
    longest: Any,
    drawn: Any,
) -> None:
    """Write instrument, start and end of each episode into the rows of `drawn`."""
    for k in range(len(numbers)):
        words = _philox(keys[k, 0], keys[k, 1], numbers[k])
        i = chosen[k] if chosen[k] >= 0 else _below(words[0], len(first))
        length = shortest[i] + _below(words[1], longest[i] - shortest[i] + 1)
        start = first[i] + _below(words[2], last[i] - first[i] - length + 1)
        drawn[0, k] = i
        drawn[1, k] = start
        drawn[2, k] = start + length
