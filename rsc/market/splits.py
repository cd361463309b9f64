"""Splits: which bars train, which choose, which judge.

A fold is three ranges of decision bars in the order train, validation, test; between two of
them lie purge + embargo bars that no episode covers (`gap_bars` says what they keep
out). Boundaries are dates common to all instruments. Cut away is the *end* of the earlier
range, so validation and test begin on the dates that were asked for. What a range means
for scaling or training is not known here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from rsc.errors import UserError
from rsc.market.features.indicators import FeatureConfig, compute_features, look_back_bars
from rsc.market.features.scaling import scaling_warm_up
from rsc.market.kinds import require_own_fields
from rsc.market.prices.bars import Bars
from rsc.market.prices.timestamps import DAY_NS, day_timestamp, timestamp_text

Timestamps = NDArray[np.int64]
Boundaries = tuple[int, int, int, int]
"""First timestamp of train, of validation, of test; first timestamp after test."""

_OWNERS = {
    **dict.fromkeys(("train_fraction", "validation_fraction"), ("fraction",)),
    **dict.fromkeys(("train_start", "validation_start", "test_start", "test_end"), ("date",)),
    **dict.fromkeys(
        ("train_bars", "validation_bars", "test_bars", "step_bars", "anchored", "maximum_folds"),
        ("walk_forward",),
    ),
}
_NEEDED = {
    "fraction": (),
    "date": ("validation_start", "test_start"),
    "walk_forward": ("train_bars", "validation_bars", "test_bars"),
}
_END_OF_TIME = int(np.iinfo(np.int64).max)


class SplitConfig(BaseModel):
    """How bars are split into train, validation and test."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["fraction", "date", "walk_forward"] = Field(
        default="fraction", description="One fold by fraction or by date, or walk-forward folds."
    )
    train_fraction: float = Field(
        default=0.6, gt=0, lt=1, description="fraction: share of the decision bars, the earliest."
    )
    validation_fraction: float = Field(
        default=0.2, gt=0, lt=1, description="fraction: share after train; test is the rest."
    )
    train_start: date | None = Field(
        default=None, description="date: first day of train; null: the first possible."
    )
    validation_start: date | None = Field(default=None, description="date: first day (UTC).")
    test_start: date | None = Field(default=None, description="date: first day (UTC).")
    test_end: date | None = Field(
        default=None, description="date: last day of test, included; null: the last."
    )
    train_bars: int | None = Field(
        default=None, ge=1, description="walk_forward: bars of train (anchored: of the first)."
    )
    validation_bars: int | None = Field(default=None, ge=1, description="walk_forward: bars.")
    test_bars: int | None = Field(default=None, ge=1, description="walk_forward: bars.")
    step_bars: int | None = Field(
        default=None,
        ge=1,
        description="walk_forward: bars from fold to fold, at least test_bars; null: those.",
    )
    anchored: bool = Field(
        default=False, description="walk_forward: every train range starts at the first bar."
    )
    maximum_folds: int | None = Field(
        default=None, ge=1, description="walk_forward: keep the last folds only; null: all."
    )
    purge_bars: int | None = Field(
        default=None, ge=0, description="Bars cut for targets that reach on; null: the horizon."
    )
    embargo_bars: int | None = Field(
        default=None, ge=0, description="Bars cut beyond the purge; null: observation look-back."
    )

    @model_validator(mode="after")
    def _fields_belong_to_kind(self) -> SplitConfig:
        require_own_fields(self, _OWNERS)
        for name in _NEEDED[self.kind]:
            if getattr(self, name) is None:
                raise ValueError(f"kind {self.kind} needs {name}, but it was null")
        return self

    @model_validator(mode="after")
    def _ranges_are_ordered(self) -> SplitConfig:
        if self.kind == "fraction" and self.train_fraction + self.validation_fraction >= 1:
            total = self.train_fraction + self.validation_fraction
            raise ValueError(
                f"train_fraction + validation_fraction was {total:g}, must be below 1 (test is "
                "the rest and would be empty)"
            )
        if self.step_bars and self.test_bars and self.step_bars < self.test_bars:
            raise ValueError(
                f"step_bars was {self.step_bars}, must be at least test_bars ({self.test_bars}): "
                "the test ranges of folds would overlap and count bars twice"
            )
        days = [self.train_start, self.validation_start, self.test_start, self.test_end]
        given = [day for day in days if day is not None]
        for earlier, later in pairwise(given):
            # The first day of test may be its last: test_end is included.
            if earlier > later or (earlier == later and later is not self.test_end):
                raise ValueError(f"splits overlap: {later} was not after {earlier}, must be")
        return self


@dataclass(frozen=True, slots=True)
class BarRange:
    """Bars of one instrument that episodes may cover.

    Attributes
    ----------
    start : int
        bar_index of the first decision; its window lies after the warm-up.
    end : int
        bar_index of the last bar; decisions are at start ... end - 1, so end > start.
    """

    start: int
    end: int

    @property
    def step_count(self) -> int:
        """Decisions of a full pass."""
        return self.end - self.start


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """One train/validation/test division.

    Attributes
    ----------
    index : int
        0-based; later folds lie later.
    train, validation, test : tuple of BarRange
        One range for each instrument.
    """

    index: int
    train: tuple[BarRange, ...]
    validation: tuple[BarRange, ...]
    test: tuple[BarRange, ...]


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
    boundaries = _boundaries(timestamps, first, splits)
    return tuple(
        _fold(index, instruments, timestamps, first, boundary, gap)
        for index, boundary in enumerate(boundaries)
    )


def _first_decision(bars: Bars, features: FeatureConfig) -> int:
    """Return the first bar whose whole window has features; refuse when none is left."""
    table = compute_features(bars, features)
    warm_up = table.warm_up + scaling_warm_up(features.scaling)
    first = warm_up + features.window - 1
    if first >= len(bars) - 1:
        raise UserError(
            f"{bars.instrument}: {len(bars)} bars were fewer than warm-up ({warm_up}) plus "
            f"features.window ({features.window}) plus one bar to trade, must be at least "
            f"{first + 2}",
            hint="Use more data, a shorter window, shorter feature periods or scaling window.",
        )
    return first


def _boundaries(
    timestamps: tuple[Timestamps, ...], first: tuple[int, ...], splits: SplitConfig
) -> list[Boundaries]:
    """Return the timestamps at which the ranges of each fold begin."""
    if splits.kind == "date":
        return [_date_boundaries(splits)]
    begin = max(int(s[f]) for s, f in zip(timestamps, first, strict=True))
    last = min(int(s[-1]) for s in timestamps)
    axis = np.unique(np.concatenate(timestamps))
    axis = axis[(axis >= begin) & (axis <= last)]
    if len(axis) == 0:
        raise UserError(
            f"splits: the instruments had no dates in common after the warm-up (first decision "
            f"{timestamp_text(begin)}, earliest end {timestamp_text(last)}), must overlap"
        )
    if splits.kind == "fraction":
        train = round(len(axis) * splits.train_fraction)
        validation = round(len(axis) * (splits.train_fraction + splits.validation_fraction))
        return [_timestamps_at(axis, (0, train, validation, len(axis)))]
    return [_timestamps_at(axis, edges) for edges in _walk_forward_edges(len(axis), splits)]


def _date_boundaries(splits: SplitConfig) -> Boundaries:
    """Return boundaries by dates at 00:00 UTC."""
    start, validation, test = splits.train_start, splits.validation_start, splits.test_start
    if validation is None or test is None:
        raise ValueError("kind date needs validation_start and test_start")
    end = splits.test_end
    return (
        -_END_OF_TIME if start is None else day_timestamp(start),
        day_timestamp(validation),
        day_timestamp(test),
        _END_OF_TIME if end is None else day_timestamp(end) + DAY_NS,
    )


def _walk_forward_edges(length: int, splits: SplitConfig) -> list[Boundaries]:
    """Return the first position of each range on the common axis, fold by fold."""
    train, validation, test = splits.train_bars, splits.validation_bars, splits.test_bars
    if train is None or validation is None or test is None:
        raise ValueError("kind walk_forward needs train_bars, validation_bars and test_bars")
    size = train + validation + test
    if size > length:
        raise UserError(
            f"splits: train_bars + validation_bars + test_bars was {size}, must be at most the "
            f"{length} decision bars that the data holds after the warm-up"
        )
    starts = range(0, length - size + 1, splits.step_bars or test)
    edges = [
        (0 if splits.anchored else a, a + train, a + train + validation, a + size) for a in starts
    ]
    return edges[-splits.maximum_folds :] if splits.maximum_folds else edges


def _timestamps_at(axis: Timestamps, edges: Boundaries) -> Boundaries:
    """Turn positions on the axis into timestamps; one past the end is after all of them."""
    closed = np.append(axis, axis[-1] + 1)
    a, b, c, d = (int(closed[edge]) for edge in edges)
    return a, b, c, d


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
