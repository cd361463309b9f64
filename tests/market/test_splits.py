"""Splits: ordered, apart by the gap, never empty, on dates common to all instruments."""

from __future__ import annotations

from datetime import date
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from rsc.errors import UserError
from rsc.market.features.registry import FeatureConfig
from rsc.market.features.returns import LogReturn
from rsc.market.features.scaling import RollingScaling
from rsc.market.prices.sources import DataConfig, SourceConfig, load_bars
from rsc.market.prices.synthetic import TrendWorld, synthetic_bars
from rsc.market.prices.timestamps import DAY_NS, day_timestamp, timestamp_text
from rsc.market.split_kinds import (
    DateSplit,
    FractionSplit,
    SplitConfig,
    Splits,
    WalkForwardSplit,
)
from rsc.market.splits import BarRange, Fold, cut_folds, gap_bars, make_folds

NO_GAP = {"purge_bars": 0, "embargo_bars": 0}


def days(count: int, first: int = 0) -> np.ndarray:
    return (first + np.arange(count)) * DAY_NS


def cut(config: Splits, *timestamps: np.ndarray, first: tuple[int, ...] = (), gap: int = 0):
    names = tuple(f"I{i}" for i in range(len(timestamps)))
    return cut_folds(names, timestamps, first or (0,) * len(timestamps), config, gap=gap)


def edges(fold: Fold, instrument: int = 0) -> list[tuple[int, int]]:
    parts = (fold.train, fold.validation, fold.test)
    return [(part[instrument].start, part[instrument].end) for part in parts]


class TestFraction:
    def test_shares_of_the_decision_bars(self):
        (fold,) = cut(FractionSplit(), days(100))
        assert edges(fold) == [(0, 59), (60, 79), (80, 99)]

    def test_the_gap_is_cut_from_the_end_of_the_earlier_range(self):
        (fold,) = cut(FractionSplit(), days(100), gap=7)
        assert edges(fold) == [(0, 52), (60, 72), (80, 99)]

    def test_the_warm_up_is_in_no_range(self):
        (fold,) = cut(FractionSplit(), days(120), first=(20,))
        assert edges(fold) == [(20, 79), (80, 99), (100, 119)]

    def test_step_count_is_the_number_of_decisions(self):
        assert BarRange(3, 10).step_count == 7

    @pytest.mark.parametrize(
        "fractions",
        [
            {"train_fraction": 0.8, "validation_fraction": 0.2},
            {"train_fraction": 1.0},
            {"train_fraction": 0.0},
            {"validation_fraction": -0.1},
        ],
    )
    def test_fractions_leave_something_for_each(self, fractions):
        with pytest.raises(ValidationError):
            FractionSplit(**fractions)


class TestDates:
    CONFIG = DateSplit(validation_start=date(1970, 3, 1), test_start=date(1970, 4, 1))

    def test_ranges_begin_on_their_dates(self):
        (fold,) = cut(self.CONFIG, days(120), gap=5)
        assert edges(fold) == [(0, 58 - 5), (59, 89 - 5), (90, 119)]
        assert timestamp_text(days(120)[59]) == "1970-03-01"

    def test_train_can_begin_later_and_test_can_end_earlier(self):
        config = DateSplit(
            train_start=date(1970, 2, 1),
            validation_start=date(1970, 3, 1),
            test_start=date(1970, 4, 1),
            test_end=date(1970, 4, 10),
        )
        (fold,) = cut(config, days(120))
        assert edges(fold) == [(31, 58), (59, 89), (90, 99)]

    def test_a_date_without_a_bar_begins_at_the_next_bar(self):
        timestamps = np.delete(days(120), [59, 60])
        (fold,) = cut(self.CONFIG, timestamps)
        assert edges(fold) == [(0, 58), (59, 87), (88, 117)]

    @pytest.mark.parametrize(
        "dates",
        [
            {"validation_start": date(2020, 1, 1)},
            {"validation_start": date(2020, 1, 1), "test_start": date(2020, 1, 1)},
            {"validation_start": date(2020, 2, 1), "test_start": date(2020, 1, 1)},
            {
                "validation_start": date(2020, 1, 1),
                "test_start": date(2020, 2, 1),
                "test_end": date(2020, 1, 15),
            },
            {
                "train_start": date(2020, 1, 1),
                "validation_start": date(2020, 1, 1),
                "test_start": date(2020, 2, 1),
            },
        ],
    )
    def test_dates_are_complete_and_in_order(self, dates):
        with pytest.raises(ValidationError, match=r"Field required|overlap"):
            DateSplit(**dates)

    def test_test_may_be_one_day_of_minutes(self):
        day = date(2020, 2, 1)
        config = DateSplit(validation_start=date(2020, 1, 1), test_start=day, test_end=day)
        timestamps = day_timestamp(date(2019, 12, 1)) + np.arange(24 * 90) * (DAY_NS // 24)
        (fold,) = cut(config, timestamps)
        assert fold.test[0].step_count == 23

    def test_a_range_outside_the_data_is_empty(self):
        config = DateSplit(validation_start=date(1970, 3, 1), test_start=date(1980, 1, 1))
        with pytest.raises(UserError) as caught:
            cut(config, days(120))
        assert caught.value.message == (
            "splits: fold 0 of I0: test was empty (0 bars), must have at least 2"
        )


class TestWalkForward:
    CONFIG = WalkForwardSplit(train_bars=50, validation_bars=20, test_bars=10)

    def test_folds_step_by_the_length_of_test(self):
        folds = cut(self.CONFIG, days(105))
        assert [edges(fold) for fold in folds] == [
            [(0, 49), (50, 69), (70, 79)],
            [(10, 59), (60, 79), (80, 89)],
            [(20, 69), (70, 89), (90, 99)],
        ]
        assert [fold.index for fold in folds] == [0, 1, 2]

    def test_anchored_folds_begin_at_the_first_bar(self):
        folds = cut(self.CONFIG.model_copy(update={"anchored": True}), days(105), gap=3)
        assert [edges(fold)[0] for fold in folds] == [(0, 46), (0, 56), (0, 66)]

    def test_another_step_and_the_last_folds_only(self):
        config = self.CONFIG.model_copy(update={"step_bars": 12, "maximum_folds": 2})
        folds = cut(config, days(105))
        assert [edges(fold)[2] for fold in folds] == [(82, 91), (94, 103)]

    def test_tests_that_would_overlap_are_refused(self):
        with pytest.raises(ValidationError, match=r"step_bars was 9, must be at least test_bars"):
            WalkForwardSplit(train_bars=50, validation_bars=20, test_bars=10, step_bars=9)

    def test_tests_of_all_folds_do_not_overlap(self):
        tests = [edges(fold)[2] for fold in cut(self.CONFIG, days(300), gap=4)]
        assert all(before[1] < after[0] for before, after in pairwise(tests))

    def test_folds_longer_than_the_data_are_refused(self):
        with pytest.raises(UserError, match="was 80, must be at most the 79 decision bars"):
            cut(self.CONFIG, days(79))

    def test_sizes_are_needed(self):
        with pytest.raises(ValidationError, match=r"test_bars\s+Field required"):
            WalkForwardSplit(train_bars=50, validation_bars=20)

    def test_fields_of_another_kind_are_refused(self):
        with pytest.raises(ValidationError, match="Extra inputs"):
            TypeAdapter(SplitConfig).validate_python({"train_bars": 50})

    def test_a_dump_loads_to_the_same_config(self):
        for config in (FractionSplit(), self.CONFIG, TestDates.CONFIG):
            assert (
                TypeAdapter(SplitConfig).validate_python(config.model_dump(mode="json")) == config
            )


class TestGap:
    def test_a_gap_that_swallows_a_range_is_refused(self):
        with pytest.raises(UserError) as caught:
            cut(FractionSplit(), days(100), gap=19)
        assert caught.value.message == (
            "splits: fold 0 of I0: purge and embargo were 19 bars and swallowed the 20 bars of "
            "validation, must leave at least 2"
        )

    def test_by_default_it_is_the_horizon_and_the_look_back(self):
        features = FeatureConfig()
        assert gap_bars(features, FractionSplit()) == 1 + 29 + 33
        assert gap_bars(features, FractionSplit(), horizon_bars=5) == 5 + 29 + 33
        assert gap_bars(features, FractionSplit(purge_bars=3)) == 3 + 29 + 33
        assert gap_bars(features, FractionSplit(embargo_bars=0)) == 1

    def test_no_validation_window_shows_a_bar_whose_outcome_was_trained_on(self):
        bars = load_bars(DataConfig(sources=(SourceConfig(instrument="S", uri="builtin:sp500"),)))
        features = FeatureConfig()
        (fold,) = make_folds(bars, features, FractionSplit())
        for earlier, later in ((fold.train, fold.validation), (fold.validation, fold.test)):
            oldest_bar_seen = later[0].start - (features.window - 1) - 33
            assert oldest_bar_seen > earlier[0].end


class TestMakeFolds:
    def test_the_first_decision_follows_warm_up_scaling_and_window(self):
        bars = synthetic_bars(TrendWorld(bars=1000))
        features = FeatureConfig(
            window=10, columns=(LogReturn(horizon=5),), scaling=RollingScaling(window=20)
        )
        (fold,) = make_folds(bars, features, FractionSplit())
        assert fold.train[0].start == 5 + 19 + 9

    def test_a_window_longer_than_the_data_is_refused(self):
        bars = synthetic_bars(TrendWorld(bars=300))
        with pytest.raises(UserError) as caught:
            make_folds(bars, FeatureConfig(window=200), FractionSplit())
        assert caught.value.message == (
            "trend-1: 300 bars were fewer than warm-up (284) plus features.window (200) plus one "
            "bar to trade, must be at least 485"
        )


class TestSeveralInstruments:
    def test_ranges_begin_at_common_dates(self):
        # The second began 50 days later and has no bars at weekends.
        other = days(150, 50)
        other = other[(other // DAY_NS) % 7 < 5]
        (fold,) = cut(FractionSplit(), days(200), other)
        common = slice(50, 200)
        for name in ("validation", "test"):
            first, second = getattr(fold, name)
            assert abs(days(200)[first.start] - other[second.start]) <= 2 * DAY_NS
        assert fold.train[0].start == common.start
        assert fold.train[1].start == 0

    def test_instruments_without_common_dates_are_refused(self):
        with pytest.raises(UserError, match="no dates in common after the warm-up"):
            cut(FractionSplit(), days(100), days(100, 200))

    def test_an_instrument_that_lacks_a_range_is_named(self):
        config = DateSplit(validation_start=date(1970, 3, 1), test_start=date(1970, 4, 1))
        with pytest.raises(UserError, match="fold 0 of I1: train was empty"):
            cut(config, days(120), days(60, 60))


@st.composite
def calendars(draw) -> tuple[np.ndarray, ...]:
    """One to three instruments with holes and different first and last bars."""
    timestamps = []
    for _ in range(draw(st.integers(1, 3))):
        full = days(draw(st.integers(80, 200)), draw(st.integers(0, 30)))
        holes = draw(st.sets(st.integers(0, len(full) - 1), max_size=20))
        timestamps.append(np.delete(full, sorted(holes)))
    return tuple(timestamps)


@st.composite
def configs(draw) -> Splits:
    kind = draw(st.sampled_from(["fraction", "date", "walk_forward"]))
    if kind == "fraction":
        train = draw(st.floats(0.2, 0.7))
        return FractionSplit(train_fraction=train, validation_fraction=(1 - train) / 2)
    if kind == "date":
        first, second = draw(st.tuples(st.integers(40, 60), st.integers(65, 90)))
        return DateSplit(
            validation_start=date.fromordinal(date(1970, 1, 1).toordinal() + first),
            test_start=date.fromordinal(date(1970, 1, 1).toordinal() + second),
        )
    test = draw(st.integers(5, 20))
    return WalkForwardSplit(
        train_bars=draw(st.integers(10, 40)),
        validation_bars=draw(st.integers(5, 20)),
        test_bars=test,
        step_bars=draw(st.none() | st.integers(test, 30)),
        anchored=draw(st.booleans()),
    )


@settings(max_examples=200, deadline=None)
@given(
    timestamps=calendars(),
    config=configs(),
    gap=st.integers(0, 15),
    warm_up=st.integers(0, 30),
)
def test_ranges_are_ordered_apart_and_never_empty(timestamps, config, gap, warm_up):
    first = (warm_up,) * len(timestamps)
    try:
        folds = cut(config, *timestamps, first=first, gap=gap)
    except UserError:
        # The refusals have tests of their own above.
        return
    assert folds == cut(config, *timestamps, first=first, gap=gap)
    for number, fold in enumerate(folds):
        assert fold.index == number
        assert len(fold.train) == len(fold.validation) == len(fold.test) == len(timestamps)
        for i, timestamp in enumerate(timestamps):
            train, validation, test = fold.train[i], fold.validation[i], fold.test[i]
            assert warm_up <= train.start < train.end
            assert train.end + gap < validation.start < validation.end
            assert validation.end + gap < test.start < test.end < len(timestamp)
            for j, other in enumerate(timestamps):
                # No instrument trains or selects on a date that another is evaluated on.
                assert timestamp[train.end] < other[fold.validation[j].start]
                assert timestamp[validation.end] < other[fold.test[j].start]
    for before, after in pairwise(folds):
        for i in range(len(timestamps)):
            assert before.test[i].start <= after.test[i].start
            assert before.train[i].start <= after.train[i].start
            if config.anchored:
                assert before.train[i].start == after.train[i].start
