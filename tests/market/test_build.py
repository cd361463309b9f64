"""From bars to the matrix."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

from rsc.errors import UserError
from rsc.market.build import build_market, common_periods_per_year, market_digest
from rsc.market.features.given import FileColumn
from rsc.market.features.momentum import Rsi
from rsc.market.features.registry import FeatureConfig
from rsc.market.features.returns import LogReturn
from rsc.market.features.scaling import RollingScaling, TrainScaling, scale
from rsc.market.features.table import compute_features
from rsc.market.prices.bars import Bars, make_bars
from rsc.market.prices.sources import DataConfig, SourceConfig, load_bars
from rsc.market.prices.synthetic import RandomWalkWorld, TrendWorld, synthetic_bars
from rsc.market.prices.timestamps import DAY_NS
from rsc.market.split_kinds import FractionSplit
from rsc.market.splits import BarRange, Fold, make_folds


@pytest.fixture(scope="module")
def two() -> tuple[Bars, ...]:
    (first,) = synthetic_bars(TrendWorld(bars=400))
    (second,) = synthetic_bars(RandomWalkWorld(bars=300))
    return first, second


FEATURES = FeatureConfig(
    window=5, columns=(LogReturn(horizon=3), Rsi(period=10)), scaling=RollingScaling(window=20)
)


def test_instruments_lie_one_after_the_other(two):
    market = build_market(two, FEATURES)
    assert market.instruments == ("trend-1", "random_walk-1")
    assert market.feature_names == ("log_return_3", "rsi_10")
    assert market.offset.tolist() == [0, 400, 700]
    assert market.features.shape == (700, 2)
    assert market.bar_count(1) == 300
    for name in ("open", "high", "low", "close", "timestamp", "tradable"):
        joined = getattr(market, name)
        np.testing.assert_array_equal(joined[:400], getattr(two[0], name))
        np.testing.assert_array_equal(joined[400:], getattr(two[1], name))


def test_features_are_float32_and_prices_float64(two):
    market = build_market(two, FEATURES)
    assert market.features.dtype == np.float32
    assert market.features.flags.c_contiguous
    assert market.close.dtype == np.float64
    assert not market.features.flags.writeable


def test_the_warm_up_of_each_instrument_is_zero_and_counted(two):
    market = build_market(two, FEATURES)
    # RSI needs 10 bars, the rolling window 19 more.
    assert market.first_bar.tolist() == [29, 29]
    for start in (0, 400):
        assert not market.features[start : start + 29].any()
        assert market.features[start + 29].all()


def test_rows_are_the_scaled_features_of_their_instrument(two):
    market = build_market(two, FEATURES)
    table = compute_features(two[1], FEATURES)
    expected = scale(table.values, table.warm_up, FEATURES.scaling)
    np.testing.assert_array_equal(market.features[400:], expected)


def test_no_row_depends_on_a_later_bar(two):
    whole = build_market(two[:1], FEATURES)
    bars = two[0]
    short = make_bars(
        instrument="trend-1",
        timestamp=bars.timestamp[:250],
        prices=tuple(price[:250] for price in bars.prices),
    )
    cut = build_market((short,), FEATURES)
    assert cut.features.tobytes() == whole.features[:250].tobytes()


class TestTrainScaling:
    FEATURES = FeatureConfig(
        window=2, columns=(FileColumn(name="x"),), scaling=TrainScaling(clip=None)
    )

    def bars(self, x: list[float]) -> Bars:
        price = np.full(len(x), 10.0)
        return make_bars(
            instrument="X",
            timestamp=np.arange(len(x)) * DAY_NS,
            prices=(price, price, price, price),
            extras={"x": np.array(x)},
        )

    def fold(self) -> Fold:
        return Fold(
            index=0,
            train=(BarRange(2, 4),),
            validation=(BarRange(5, 6),),
            test=(BarRange(7, 8),),
        )

    def test_it_is_fitted_on_what_training_observations_show(self):
        # Windows of two bars at decisions 2 ... 4 show rows 1 ... 4: 2, 4, 6, 8.
        market = build_market(
            (self.bars([99, 2, 4, 6, 8, 99, 5, 99, 99]),), self.FEATURES, self.fold()
        )
        assert market.features[6, 0] == 0
        assert market.features[4, 0] == pytest.approx(3 / np.sqrt(5))

    def test_later_bars_do_not_change_it(self):
        first = build_market((self.bars([1, 2, 4, 6, 8, 1, 1, 1, 1]),), self.FEATURES, self.fold())
        other = build_market((self.bars([1, 2, 4, 6, 8, 9, 9, 9, 9]),), self.FEATURES, self.fold())
        np.testing.assert_array_equal(first.features[:5], other.features[:5])

    def test_without_a_fold_it_is_refused(self):
        with pytest.raises(UserError, match="'train' without a fold"):
            build_market((self.bars([1, 2, 3]),), self.FEATURES)


class TestPeriodsPerYear:
    def test_it_is_derived(self, two):
        assert build_market(two, FEATURES).periods_per_year == 252

    def test_it_can_be_set(self, two):
        assert build_market(two, FEATURES, periods_per_year=250.5).periods_per_year == 250.5

    def test_instruments_of_different_years_are_refused_unless_it_is_set(self, two):
        hourly = synthetic_bars(TrendWorld(bars=400, bar_seconds=3600))
        with pytest.raises(UserError, match="must be alike for one annualisation"):
            common_periods_per_year(two + hourly)
        assert build_market(two + hourly, FEATURES, periods_per_year=252).periods_per_year == 252

    def test_instruments_that_close_at_other_times_are_refused_unless_it_is_set(self, two):
        later = replace(two[1], timestamp=two[1].timestamp + 5 * 3600 * 10**9)
        with pytest.raises(UserError, match=r"closed at .* different times where one alone had"):
            common_periods_per_year((two[0], later))
        assert build_market((two[0], later), FEATURES, periods_per_year=252).periods_per_year == 252

    def test_some_holidays_of_their_own_are_not_other_times(self, two):
        holidays = replace(
            two[1], timestamp=np.delete(two[1].timestamp, range(40, len(two[1]), 40))
        )
        assert common_periods_per_year((two[0], holidays)) == 252


def test_the_digest_is_of_the_bars_alone(two):
    assert build_market(two, FEATURES).digest == market_digest(two)
    assert build_market(two, FeatureConfig(window=3)).digest == market_digest(two)
    assert market_digest(two) != market_digest(two[::-1])


def test_a_market_survives_a_process_boundary(two):
    market = build_market(two, FEATURES)
    copy = pickle.loads(pickle.dumps(market))
    np.testing.assert_array_equal(copy.features, market.features)
    assert pickle.loads(pickle.dumps(two[0])).digest == two[0].digest


def test_the_shipped_prices_make_a_market_of_unit_scale():
    bars = load_bars(DataConfig(sources=(SourceConfig(instrument="S", uri="builtin:sp500"),)))
    features = FeatureConfig()
    (fold,) = make_folds(bars, features, FractionSplit())
    market = build_market(bars, features, fold)
    assert market.features.shape == (5031, 8)
    assert market.first_bar.tolist() == [284]
    assert fold.train[0].start == 284 + 29
    deviation = market.features[284:].std(axis=0)
    assert ((deviation > 0.9) & (deviation < 1.4)).all()
    assert np.abs(market.features).max() <= 5
