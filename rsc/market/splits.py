"""Splits: which bars train, which choose, which evaluate.

A fold is three ranges of decision bars in the order train, validation, test; between two of
them lie purge + embargo bars that no episode covers (`gap_bars` says what they keep
out). Boundaries are dates common to all instruments. Cut away is the *end* of the earlier
range, so validation and test begin on the dates that were asked for. What a range means
for scaling or training is not known here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rsc.errors import UserError
from rsc.market.features.registry import FeatureConfig
from rsc.market.features.table import compute_features, look_back_bars
from rsc.market.prices.bars import Bars
from rsc.market.split_kinds import Boundaries, SplitConfig

Timestamps = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class BarRange:
    """Bars of one instrument that episodes may cover."""

    start: int
    """bar_index of the first decision; its window lies after the warm-up."""
    end: int
    """bar_index of the last bar; decisions are at start ... end - 1, so end > start."""

    @property
    def step_count(self) -> int:
        """Decisions of a full pass."""
        return self.end - self.start


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """One train/validation/test division."""

    index: int
    """0-based; later folds lie later."""
    train: tuple[BarRange, ...]
    validation: tuple[BarRange, ...]
    test: tuple[BarRange, ...]
    """One range for each instrument."""


def make_folds(
    bars: tuple[Bars, ...], features: FeatureConfig, splits: SplitConfig, *, horizon_bars: int = 1
) -> tuple[Fold, ...]:
    """Split the bars of all instruments into folds.

    Parameters
    ----------
    bars : tuple of Bars
        One for each instrument.
    features : FeatureConfig
        Gives the warm-up (first possible decision) and the look-back (embargo).
    splits : SplitConfig
        Kind and sizes. Fractions and walk-forward bars are counted on the dates from the
        latest first decision to the earliest last bar of the instruments.
    horizon_bars : int
        Bars that a training target reaches on from its decision (n of n-step targets).

    Returns
    -------
    tuple of Fold
        In time order, at least one.

    Raises
    ------
    UserError
        The window or warm-up leaves no decision, a range is empty, or the gap swallows it.
    """
    first = tuple(_first_decision(one, features) for one in bars)
    return cut_folds(
        tuple(one.instrument for one in bars),
        tuple(one.timestamp for one in bars),
        first,
        splits,
        gap=gap_bars(features, splits, horizon_bars=horizon_bars),
    )


def gap_bars(features: FeatureConfig, splits: SplitConfig, *, horizon_bars: int = 1) -> int:
    """Return purge + embargo: bars between two ranges of a fold that no episode covers.

    What could leak, and why the sizes are what they are. An episode is confined to its
    range: decisions at start ... end - 1, the last reward covers the close of bar ``end``,
    so no training reward or bootstrap reaches past ``end``. A window of validation may look
    back over training bars: that is the past, and known. Two things remain:

    1. A target of n steps begun at the last decision would reach n bars on, if episodes
       were not cut there. The *purge* is that horizon, so that the guarantee does not hang
       on the cut alone.
    2. The first windows of validation would show the very bars whose outcomes were
       trained on, and a network that remembers them looks wise. The *embargo* is the
       look-back of an observation (window - 1 + longest feature): no bar of a training reward
       is in any window of validation.

    From validation, which selects, to test it is the same. Not covered: what the market
    itself remembers for longer, the fading tails of recursive averages, and the mean and
    deviation of rolling scaling.

    Parameters
    ----------
    features : FeatureConfig
        Gives the look-back.
    splits : SplitConfig
        ``purge_bars`` and ``embargo_bars`` replace the derived sizes.
    horizon_bars : int
        Bars that a training target reaches on from its decision (n of n-step targets).
    """
    purge = horizon_bars if splits.purge_bars is None else splits.purge_bars
    embargo = look_back_bars(features) if splits.embargo_bars is None else splits.embargo_bars
    return purge + embargo


def cut_folds(
    instruments: tuple[str, ...],
    timestamps: tuple[Timestamps, ...],
    first: tuple[int, ...],
    splits: SplitConfig,
    *,
    gap: int,
) -> tuple[Fold, ...]:
    """Cut folds out of timestamps: `make_folds` without bars and features.

    Parameters
    ----------
    instruments : tuple of str
        Names for messages, length I.
    timestamps : tuple of ndarray of int64
        Timestamps of each instrument's bars.
    first : tuple of int
        First possible decision bar of each instrument.
    splits : SplitConfig
        Kind and sizes.
    gap : int
        Bars between two ranges of a fold, counted in each instrument's own bars.
    """
    boundaries = splits.boundaries(timestamps, first)
    return tuple(
        _fold(index, instruments, timestamps, first, boundary, gap)
        for index, boundary in enumerate(boundaries)
    )


def _first_decision(bars: Bars, features: FeatureConfig) -> int:
    """Return the first bar whose whole window has features; refuse when none is left."""
    table = compute_features(bars, features)
    warm_up = table.warm_up + features.scaling.warm_up()
    first = warm_up + features.window - 1
    if first >= len(bars) - 1:
        raise UserError(
            f"{bars.instrument}: {len(bars)} bars were fewer than warm-up ({warm_up}) plus "
            f"features.window ({features.window}) plus one bar to trade, must be at least "
            f"{first + 2}",
            hint="Use more data, a shorter window, shorter feature periods or scaling window.",
        )
    return first


def _fold(
    index: int,
    instruments: tuple[str, ...],
    timestamps: tuple[Timestamps, ...],
    first: tuple[int, ...],
    boundary: Boundaries,
    gap: int,
) -> Fold:
    """Cut one fold for all instruments."""
    parts = [
        _cut(f"splits: fold {index} of {name}", timestamp, begin, boundary, gap)
        for name, timestamp, begin in zip(instruments, timestamps, first, strict=True)
    ]
    return Fold(
        index=index,
        train=tuple(part[0] for part in parts),
        validation=tuple(part[1] for part in parts),
        test=tuple(part[2] for part in parts),
    )


def _cut(
    where: str, timestamp: Timestamps, first: int, boundary: Boundaries, gap: int
) -> tuple[BarRange, BarRange, BarRange]:
    """Cut the three ranges of one instrument; each ends `gap` bars before the next begins."""
    edges = [max(first, int(edge)) for edge in np.searchsorted(timestamp, boundary)]
    found = []
    for name, start, stop, cut in zip(
        ("train", "validation", "test"), edges[:-1], edges[1:], (gap, gap, 0), strict=True
    ):
        end = stop - 1 - cut
        if stop - start < 2:
            raise UserError(
                f"{where}: {name} was empty ({max(0, stop - start)} bars), must have at least 2",
                hint="Move the boundaries of the splits, or use more data.",
            )
        if end <= start:
            raise UserError(
                f"{where}: purge and embargo were {cut} bars and swallowed the {stop - start} bars "
                f"of {name}, must leave at least 2",
                hint="Use more data, a shorter window, or set splits.purge_bars and embargo_bars.",
            )
        found.append(BarRange(start, end))
    return found[0], found[1], found[2]
