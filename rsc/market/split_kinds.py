"""Where a fold begins and ends: by fraction, by date, or walking forward.

Each kind is one class, its settings beside the rule that turns the timestamps of all
instruments into the `Boundaries` of each fold.
"""

from __future__ import annotations

from datetime import date
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from rsc.errors import UserError
from rsc.market.prices.timestamps import DAY_NS, day_timestamp, timestamp_text

Timestamps = NDArray[np.int64]
Boundaries = tuple[int, int, int, int]
"""First timestamp of train, of validation, of test; first timestamp after test."""

_END_OF_TIME = int(np.iinfo(np.int64).max)


class Splits(BaseModel):
    """What every kind of split has."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    purge_bars: int | None = Field(
        default=None, ge=0, description="Bars cut for targets that reach on; null: the horizon."
    )
    embargo_bars: int | None = Field(
        default=None, ge=0, description="Bars cut beyond the purge; null: observation look-back."
    )

    def boundaries(
        self, timestamps: tuple[Timestamps, ...], first: tuple[int, ...]
    ) -> list[Boundaries]:
        """Return where the ranges of each fold begin.

        Parameters
        ----------
        timestamps : tuple of ndarray of int64
            Nanoseconds since 1970 UTC of each instrument's bars, increasing.
        first : tuple of int
            First possible decision bar of each instrument.

        Raises
        ------
        UserError
            The instruments have no dates in common, or too few for these settings.
        """
        axis = _common_axis(timestamps, first)
        return [_timestamps_at(axis, edges) for edges in self._edges(len(axis))]

    def _edges(self, length: int) -> list[Boundaries]:
        """Return the first position of each range on a common axis of `length` dates."""
        raise NotImplementedError


class FractionSplit(Splits):
    """One fold; ranges are shares of the decision bars."""

    kind: Literal["fraction"] = Field(
        default="fraction", description="One fold by fraction or by date, or walk-forward folds."
    )
    train_fraction: float = Field(
        default=0.6, gt=0, lt=1, description="Share of the decision bars, the earliest."
    )
    validation_fraction: float = Field(
        default=0.2, gt=0, lt=1, description="Share after train; test is the rest."
    )

    @model_validator(mode="after")
    def _leaves_a_test(self) -> Self:
        total = self.train_fraction + self.validation_fraction
        if total >= 1:
            raise ValueError(
                f"train_fraction + validation_fraction was {total:g}, must be below 1 (test is "
                "the rest and would be empty)"
            )
        return self

    def _edges(self, length: int) -> list[Boundaries]:
        train = round(length * self.train_fraction)
        validation = round(length * (self.train_fraction + self.validation_fraction))
        return [(0, train, validation, length)]


class DateSplit(Splits):
    """One fold; ranges begin on dates, at 00:00 UTC."""

    kind: Literal["date"] = "date"
    train_start: date | None = Field(
        default=None, description="First day of train; null: the first possible."
    )
    validation_start: date = Field(description="First day of validation (UTC).")
    test_start: date = Field(description="First day of test (UTC).")
    test_end: date | None = Field(
        default=None, description="Last day of test, included; null: the last."
    )

    @model_validator(mode="after")
    def _days_are_ordered(self) -> Self:
        days = [self.train_start, self.validation_start, self.test_start, self.test_end]
        given = [day for day in days if day is not None]
        for earlier, later in pairwise(given):
            # The first day of test may be its last: test_end is included.
            if earlier > later or (earlier == later and later is not self.test_end):
                raise ValueError(f"splits overlap: {later} was not after {earlier}, must be")
        return self

    def boundaries(
        self, timestamps: tuple[Timestamps, ...], first: tuple[int, ...]
    ) -> list[Boundaries]:
        """Return the days as timestamps, whatever bars there are; see `Splits.boundaries`."""
        del timestamps, first
        start, end = self.train_start, self.test_end
        return [
            (
                -_END_OF_TIME if start is None else day_timestamp(start),
                day_timestamp(self.validation_start),
                day_timestamp(self.test_start),
                _END_OF_TIME if end is None else day_timestamp(end) + DAY_NS,
            )
        ]


class WalkForwardSplit(Splits):
    """Folds of equal size, each later than the one before."""

    kind: Literal["walk_forward"] = "walk_forward"
    train_bars: int = Field(ge=1, description="Bars of train (anchored: of the first).")
    validation_bars: int = Field(ge=1, description="Bars of validation.")
    test_bars: int = Field(ge=1, description="Bars of test.")
    step_bars: int | None = Field(
        default=None,
        ge=1,
        description="Bars from fold to fold, at least test_bars; null: those.",
    )
    anchored: bool = Field(
        default=False, description="Whether every train range starts at the first bar."
    )
    maximum_folds: int | None = Field(
        default=None, ge=1, description="Keep the last folds only; null: all."
    )

    @model_validator(mode="after")
    def _tests_do_not_overlap(self) -> Self:
        if self.step_bars is not None and self.step_bars < self.test_bars:
            raise ValueError(
                f"step_bars was {self.step_bars}, must be at least test_bars ({self.test_bars}): "
                "the test ranges of folds would overlap and count bars twice"
            )
        return self

    def _edges(self, length: int) -> list[Boundaries]:
        train, validation = self.train_bars, self.validation_bars
        size = train + validation + self.test_bars
        if size > length:
            raise UserError(
                f"splits: train_bars + validation_bars + test_bars was {size}, must be at most the "
                f"{length} decision bars that the data holds after the warm-up"
            )
        starts = range(0, length - size + 1, self.step_bars or self.test_bars)
        edges = [
            (0 if self.anchored else a, a + train, a + train + validation, a + size) for a in starts
        ]
        return edges[-self.maximum_folds :] if self.maximum_folds else edges


def _kind_of(value: Any) -> Any:
    """Return which kind is meant; a file need not name the default one."""
    if isinstance(value, dict):
        return value.get("kind", "fraction")
    return getattr(value, "kind", None)


SplitConfig = Annotated[
    Annotated[FractionSplit, Tag("fraction")]
    | Annotated[DateSplit, Tag("date")]
    | Annotated[WalkForwardSplit, Tag("walk_forward")],
    Discriminator(_kind_of),
]
"""How bars are split into train, validation and test."""


def _common_axis(timestamps: tuple[Timestamps, ...], first: tuple[int, ...]) -> Timestamps:
    """Return the dates from the latest first decision to the earliest last bar."""
    begin = max(int(s[f]) for s, f in zip(timestamps, first, strict=True))
    last = min(int(s[-1]) for s in timestamps)
    axis = np.unique(np.concatenate(timestamps))
    axis = axis[(axis >= begin) & (axis <= last)]
    if len(axis) == 0:
        raise UserError(
            f"splits: the instruments had no dates in common after the warm-up (first decision "
            f"{timestamp_text(begin)}, earliest end {timestamp_text(last)}), must overlap"
        )
    return axis


def _timestamps_at(axis: Timestamps, edges: Boundaries) -> Boundaries:
    """Turn positions on the axis into timestamps; one past the end is after all of them."""
    closed = np.append(axis, axis[-1] + 1)
    a, b, c, d = (int(closed[edge]) for edge in edges)
    return a, b, c, d
