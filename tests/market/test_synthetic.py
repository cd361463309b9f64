"""Synthetic worlds: seeded, consistent, made from left to right, and true to their word."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from rsc.market.prices.bars import Bars
from rsc.market.prices.synthetic import LAST_DAY, SyntheticConfig, World, synthetic_bars
from rsc.market.prices.timestamps import timestamp_text

KINDS = ("trend", "mean_reversion", "random_walk", "clairvoyant")


def config_of(**settings: object) -> World:
    return TypeAdapter(SyntheticConfig).validate_python(settings)


def world(kind: str, **settings: object) -> Bars:
    (bars,) = synthetic_bars(config_of(kind=kind, **settings))
    return bars


def log_returns(bars: Bars) -> np.ndarray:
    return np.diff(np.log(bars.close))


@pytest.mark.parametrize("kind", KINDS)
class TestEveryWorld:
    def test_bars_are_consistent(self, kind):
        bars = world(kind, bars=3000, volatility=0.05)
        assert (bars.low > 0).all()
        assert (bars.low <= np.minimum(bars.open, bars.close)).all()
        assert (bars.high >= np.maximum(bars.open, bars.close)).all()
        assert bars.tradable.all()
        assert (np.diff(bars.timestamp) > 0).all()

    def test_the_seed_decides(self, kind):
        assert world(kind, seed=5).digest == world(kind, seed=5).digest
        assert world(kind, seed=5).digest != world(kind, seed=6).digest

    def test_a_longer_world_begins_with_the_shorter_one(self, kind):
        short, long = world(kind, bars=200), world(kind, bars=500)
        for part, whole in zip(short.prices, long.prices, strict=True):
            np.testing.assert_array_equal(part, whole[:200])
        np.testing.assert_array_equal(short.volume, long.volume[:200])
        for name, values in short.extras.items():
            np.testing.assert_array_equal(values, long.extras[name][:200])

    def test_more_instruments_change_no_other(self, kind):
        alone = world(kind)
        first, second = synthetic_bars(config_of(kind=kind, instruments=2))
        assert first.digest == alone.digest
        assert second.instrument == f"{kind}-2"
        assert abs(np.corrcoef(log_returns(first), log_returns(second))[0, 1]) < 0.1

    def test_the_volatility_is_as_asked(self, kind):
        bars = world(kind, bars=20_000, volatility=0.02)
        assert log_returns(bars).std() == pytest.approx(0.02, rel=0.06)


class TestClairvoyant:
    def test_the_signal_is_the_return_of_the_next_bar(self):
        bars = world("clairvoyant")
        np.testing.assert_allclose(bars.extras["signal"][:-1], log_returns(bars), atol=1e-14)

    def test_the_next_bar_opens_where_the_last_closed(self):
        bars = world("clairvoyant")
        np.testing.assert_array_equal(bars.open[1:], bars.close[:-1])
        # So a fill at the next open earns the signal.
        earned = np.log(bars.close[1:] / bars.open[1:])
        np.testing.assert_allclose(bars.extras["signal"][:-1], earned, atol=1e-14)

    def test_the_signal_after_is_what_a_fill_at_the_next_close_earns(self):
        bars = world("clairvoyant")
        earned = np.log(bars.close[2:] / bars.close[1:-1])
        np.testing.assert_allclose(bars.extras["signal_after"][:-2], earned, atol=1e-14)

    def test_following_the_signal_earns_the_sum_of_all_moves(self):
        bars = world("clairvoyant", bars=1000)
        side = np.sign(bars.extras["signal"][:-1])
        returns = log_returns(bars)
        assert np.sum(side * returns) == pytest.approx(np.abs(returns).sum(), rel=1e-12)


class TestTruth:
    def test_a_trend_persists(self):
        bars = world("trend", bars=20_000, drift=0.01, regime_bars=100)
        returns = log_returns(bars)
        blocks = returns[: len(returns) // 20 * 20].reshape(-1, 20).mean(axis=1)
        assert np.corrcoef(blocks[:-1], blocks[1:])[0, 1] > 0.5

    def test_a_mean_reverting_price_stays_near_its_mean(self):
        bars = world("mean_reversion", bars=20_000, reversion=0.1)
        log_price = np.log(bars.close / 100)
        # Stationary deviation volatility / √(1 − (1 − speed)²).
        assert log_price.std() == pytest.approx(0.01 / np.sqrt(1 - 0.81), rel=0.1)
        later = log_returns(bars)
        assert np.corrcoef(log_price[:-1], later)[0, 1] < -0.15

    def test_the_pull_is_the_share_of_the_distance(self):
        bars = world("mean_reversion", bars=20_000, reversion=0.25)
        log_price = np.log(bars.close / 100)
        slope = np.polyfit(log_price[:-1], log_returns(bars), 1)[0]
        assert slope == pytest.approx(-0.25, abs=0.02)

    def test_a_random_walk_has_no_drift_and_no_memory(self):
        returns = log_returns(world("random_walk", bars=50_000))
        price_returns = np.expm1(returns)
        assert abs(price_returns.mean()) < 3 * 0.01 / np.sqrt(50_000)
        assert abs(np.corrcoef(returns[:-1], returns[1:])[0, 1]) < 3 / np.sqrt(50_000)


class TestClock:
    def test_daily_bars_fall_on_weekdays(self):
        bars = world("trend", bars=600)
        assert timestamp_text(bars.timestamp[0]) == "2000-01-03"
        assert bars.periods_per_year == 252
        assert timestamp_text(bars.timestamp[5]) == "2000-01-10"

    def test_shorter_bars_run_on_and_are_stamped_at_their_close(self):
        bars = world("trend", bars=3000, bar_seconds=3600)
        assert timestamp_text(bars.timestamp[0]) == "2000-01-03T01:00:00Z"
        assert bars.bar_seconds == 3600
        assert bars.periods_per_year == pytest.approx(365.25 * 24, rel=0.01)


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "bull"},
        {"kind": "trend", "bars": 1},
        {"kind": "trend", "volatility": 0},
        {"kind": "trend", "seed": -1},
        {"kind": "mean_reversion", "reversion": 1.5},
        {"kind": "trend", "speed": 1},
        {"kind": "trend", "bars": 70_000},
        {"kind": "trend", "bars": 10_000_000, "bar_seconds": 3600},
        {"kind": "trend", "start": "2262-01-01"},
        {"kind": "trend", "start": "1600-01-01"},
    ],
)
def test_parameters_have_bounds(wrong):
    with pytest.raises(ValidationError):
        config_of(**wrong)


def test_a_million_bars_are_in_order():
    timestamp = world("mean_reversion", bars=1_000_000, bar_seconds=60).timestamp
    assert len(timestamp) == 1_000_000
    assert (np.diff(timestamp) == 60 * 10**9).all()


def test_the_longest_daily_world_ends_within_the_timestamps():
    days = (LAST_DAY - date(2000, 1, 3)).days // 7 * 5 - 10
    timestamp = world("random_walk", bars=days).timestamp
    assert (np.diff(timestamp) > 0).all()
    assert timestamp_text(timestamp[-1]) > "2261"
