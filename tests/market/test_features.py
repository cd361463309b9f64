"""Indicators by hand-computed numbers, warm-up, and the user's own features."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from rsc.errors import UserError
from rsc.market.features.bands import Atr, Bollinger
from rsc.market.features.momentum import Macd, Rsi
from rsc.market.features.registry import DEFAULT_COLUMNS, FeatureConfig, FeatureSpec
from rsc.market.features.returns import LogReturn, RealisedVolatility
from rsc.market.features.table import compute_features, look_back_bars
from rsc.market.features.trend import Adx, Aroon
from rsc.market.prices.bars import Bars, make_bars
from rsc.market.prices.synthetic import RandomWalkWorld, synthetic_bars
from rsc.market.prices.timestamps import DAY_NS


def bars_of(closes, *, spread: float = 0.0, volume=None, **extras) -> Bars:
    close = np.array(closes, dtype=float)
    return make_bars(
        instrument="X",
        timestamp=np.arange(len(close)) * DAY_NS,
        prices=(close, close + spread, close - spread, close),
        volume=volume,
        extras={name: np.array(values, dtype=float) for name, values in extras.items()},
    )


def columns_of(bars: Bars, *specs: dict | object) -> dict[str, np.ndarray]:
    table = compute_features(bars, FeatureConfig(columns=specs))
    return dict(zip(table.names, table.values.T, strict=True))


@pytest.fixture(scope="module")
def walk() -> Bars:
    (bars,) = synthetic_bars(RandomWalkWorld(bars=400, seed=7))
    return bars


class TestIndicators:
    def test_log_return_over_a_horizon(self):
        column = columns_of(bars_of([100, 110, 121, 110]), LogReturn(horizon=2))["log_return_2"]
        assert np.isnan(column[:2]).all()
        np.testing.assert_allclose(column[2:], [np.log(1.21), 0.0], atol=1e-15)

    def test_realised_volatility_is_the_sample_deviation_of_returns(self):
        returns = np.array([0.01, -0.02, 0.03])
        closes = 100 * np.exp(np.concatenate(([0], np.cumsum(returns))))
        column = columns_of(bars_of(closes), RealisedVolatility(period=3))
        # Mean 0.02/3; squared deviations sum to 0.0014 - 0.0004/3; divided by 2.
        expected = np.sqrt((0.0014 - 0.0004 / 3) / 2)
        assert column["realised_volatility_3"][3] == pytest.approx(expected, rel=1e-12)

    def test_rsi_by_wilder(self):
        column = columns_of(bars_of([10, 12, 11, 14]), Rsi(period=2))["rsi_2"]
        # Averages after two changes: gain 1, loss 0.5: 100 * 1 / 1.5.
        assert column[2] == pytest.approx(100 * 1 / 1.5)
        # Then gain (1 + 3) / 2 = 2, loss 0.25.
        assert column[3] == pytest.approx(100 * 2 / 2.25)

    def test_macd_is_the_difference_of_averages_divided_by_the_close(self):
        columns = columns_of(bars_of([10, 11, 13, 16, 20]), Macd(fast=2, slow=3, signal=1))
        # Averages start with a mean at bar 2: fast (11 + 13) / 2 = 12, slow 34 / 3; then
        # weights 2/3 and 1/2: fast 44/3, slow 41/3.
        assert columns["macd_2_3_1"][2] == pytest.approx((12 - 34 / 3) / 13)
        assert columns["macd_2_3_1"][3] == pytest.approx(1 / 16)
        assert columns["macd_signal_2_3_1"][3] == pytest.approx(1 / 16)
        assert columns["macd_histogram_2_3_1"][3] == pytest.approx(0, abs=1e-15)

    def test_bollinger_bands_are_relative_to_the_close(self):
        columns = columns_of(bars_of([10, 12, 14]), Bollinger(period=3, deviations=2))
        deviation = np.sqrt(8 / 3)
        assert columns["bollinger_upper_3_2"][2] == pytest.approx((12 + 2 * deviation) / 14 - 1)
        assert columns["bollinger_middle_3_2"][2] == pytest.approx(12 / 14 - 1)
        assert columns["bollinger_lower_3_2"][2] == pytest.approx((12 - 2 * deviation) / 14 - 1)

    def test_atr_is_relative_to_the_close(self):
        column = columns_of(bars_of([10, 11, 13, 12], spread=0.5), Atr(period=2))["atr_2"]
        # True ranges 1.5, 2.5, 1.5: first mean 2, then (2 + 1.5) / 2.
        assert column[2] == pytest.approx(2 / 13)
        assert column[3] == pytest.approx(1.75 / 12)

    def test_adx_of_a_straight_climb(self):
        columns = columns_of(bars_of(np.arange(100, 140), spread=0.5), Adx(period=5))
        assert columns["adx_5"][-1] == pytest.approx(100)
        # Each bar moves up 1 with a true range of 1.5.
        assert columns["plus_di_5"][-1] == pytest.approx(100 / 1.5)
        assert columns["minus_di_5"][-1] == 0

    def test_aroon_counts_bars_since_the_extremes(self):
        columns = columns_of(bars_of([10, 14, 11, 9, 12]), Aroon(period=4))
        # The high lies 3 bars back, the low 1 bar.
        assert columns["aroon_up_4"][4] == pytest.approx(25)
        assert columns["aroon_down_4"][4] == pytest.approx(75)
        assert columns["aroon_oscillator_4"][4] == pytest.approx(-50)

    @pytest.mark.parametrize(
        "spec",
        [
            LogReturn(horizon=7),
            RealisedVolatility(period=11),
            Rsi(period=9),
            Macd(fast=5, slow=13, signal=4),
            Bollinger(period=12),
            Atr(period=8),
            Adx(period=6),
            Aroon(period=10),
        ],
        ids=lambda spec: spec.kind,
    )
    def test_the_look_back_is_the_warm_up(self, walk, spec):
        table = compute_features(walk, FeatureConfig(columns=(spec,)))
        assert table.warm_up == spec.look_back()
        assert table.names == spec.names()
        assert np.isfinite(table.values[table.warm_up :]).all()

    @pytest.mark.parametrize("spec", [*DEFAULT_COLUMNS, Bollinger(), Atr(), Adx(), Aroon()])
    def test_a_feature_does_not_depend_on_the_level_of_prices(self, walk, spec):
        scaled = make_bars(
            instrument="X",
            timestamp=walk.timestamp,
            prices=tuple(price * 64 for price in walk.prices),
        )
        for name, values in columns_of(walk, spec).items():
            np.testing.assert_allclose(columns_of(scaled, spec)[name], values, atol=1e-8)


class TestConfig:
    def test_the_default_is_eight_columns_and_a_window_of_thirty(self, walk):
        config = FeatureConfig()
        table = compute_features(walk, config)
        assert config.window == 30
        assert table.names == (
            "log_return_1",
            "log_return_5",
            "log_return_20",
            "rsi_14",
            "macd_12_26_9",
            "macd_signal_12_26_9",
            "macd_histogram_12_26_9",
            "realised_volatility_20",
        )
        assert table.warm_up == 33
        assert table.values.shape == (400, 8)

    def test_a_kind_is_chosen_by_name_and_parameters(self):
        config = FeatureConfig.model_validate({"columns": [{"kind": "rsi", "period": 5}]})
        assert config.columns == (Rsi(period=5),)
        assert FeatureConfig.model_validate(config.model_dump(mode="json")) == config

    def test_an_unknown_kind_is_refused_with_those_there_are(self):
        with pytest.raises(ValidationError, match="'log_return', 'realised_volatility', 'rsi'"):
            TypeAdapter(FeatureSpec).validate_python({"kind": "rsy"})

    @pytest.mark.parametrize(
        "spec",
        [
            {"kind": "rsi", "period": 1},
            {"kind": "rsi", "periods": 14},
            {"kind": "log_return", "horizon": 0},
            {"kind": "bollinger", "deviations": 0},
            {"kind": "macd", "fast": 26, "slow": 12},
            {"kind": "column"},
            {"kind": "entry_point", "function": "a:b"},
        ],
    )
    def test_parameters_have_bounds(self, spec):
        with pytest.raises(ValidationError):
            FeatureConfig.model_validate({"columns": [spec]})

    def test_a_column_named_twice_is_refused(self):
        with pytest.raises(ValidationError, match="rsi_14 appeared twice"):
            FeatureConfig(columns=(Rsi(), Rsi()))

    def test_look_back_is_window_and_longest_column(self):
        # Window 30 shows 29 bars before t; MACD needs 25 + 8 more.
        assert look_back_bars(FeatureConfig()) == 29 + 33


class TestWarmUp:
    def test_a_feature_longer_than_the_data_is_refused(self):
        with pytest.raises(UserError, match="'rsi_14' had no defined value in 10 bars"):
            columns_of(bars_of(range(1, 11)), Rsi(period=14))

    def test_a_horizon_longer_than_the_data_is_refused(self):
        with pytest.raises(UserError, match="'log_return_12' had no defined value"):
            columns_of(bars_of([1, 2]), LogReturn(horizon=12))

    def test_a_hole_after_the_warm_up_is_named_by_column_and_bar(self):
        bars = bars_of([1, 2, 3, 4], mood=[np.nan, 1, np.nan, 2])
        with pytest.raises(UserError) as caught:
            columns_of(bars, {"kind": "column", "name": "mood"})
        assert caught.value.message == (
            "X: feature 'mood' was nan at bar 2 (1970-01-03), must be finite after the warm-up "
            "(1 bars)"
        )

    def test_infinity_is_no_feature(self):
        with pytest.raises(UserError, match="'mood' was inf at bar 1"):
            columns_of(bars_of([1, 2], mood=[1, np.inf]), {"kind": "column", "name": "mood"})


class TestColumnsOfTheFile:
    def test_an_extra_column_is_a_feature(self):
        bars = bars_of([1, 2], mood=[0.25, 0.5])
        assert columns_of(bars, {"kind": "column", "name": "mood"})["mood"].tolist() == [0.25, 0.5]

    def test_volume_is_a_feature(self):
        bars = bars_of([1, 2], volume=np.array([3.0, 4.0]))
        column = columns_of(bars, {"kind": "column", "name": "volume"})
        assert column["volume"].tolist() == [3, 4]

    def test_a_missing_column_is_named_with_those_that_are_there(self):
        with pytest.raises(UserError, match=r"column 'mod' was missing, .* \(found: mood\)"):
            columns_of(bars_of([1, 2], mood=[0.25, 0.5]), {"kind": "column", "name": "mod"})


USER_MODULE = """
import numpy as np

def span(bars):
    return {"span": (bars.high - bars.low) / bars.close}

def fails(bars):
    raise RuntimeError("out of ideas")

def short(bars):
    return {"short": bars.close[1:]}

def words(bars):
    return {"words": ["a"] * len(bars)}

def nothing(bars):
    return {}

def scribbles(bars):
    bars.close[0] = 1.0

number = 3
"""


@pytest.fixture
def user_module(tmp_path, monkeypatch) -> None:
    """A package of a user, installed with one registered feature."""
    (tmp_path / "users_features.py").write_text(USER_MODULE)
    info = tmp_path / "users_features-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: users-features\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[rsc.features]\nspan = users_features:span\n")
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("user_module")
class TestUserFunctions:
    @pytest.mark.parametrize("function", ["users_features:span", "span"])
    def test_a_function_is_found_by_its_path_or_its_registered_name(self, function):
        spec = {"kind": "entry_point", "function": function, "look_back_bars": 0}
        column = columns_of(bars_of([10, 20], spread=1), spec)["span"]
        assert column.tolist() == [0.2, 0.1]

    @pytest.mark.parametrize(
        ("function", "said"),
        [
            ("users_features:fails", "failed on X with RuntimeError: out of ideas"),
            ("users_features:short", r"column 'short' had shape \(1,\), must be \(2,\)"),
            ("users_features:words", "column 'words' was not numeric"),
            ("users_features:nothing", "returned an empty mapping, must return a mapping"),
            ("users_features:scribbles", "failed on X with ValueError: .*read-only"),
            ("users_features:number", "was a int, must be callable"),
            ("users_features:absent", "was not found .*absent"),
            ("no_such_package:f", "was not found .*no_such_package"),
            ("unregistered", r"was not found \(registered are: .*span"),
        ],
    )
    def test_a_function_that_does_not_work_is_one_sentence(self, function, said):
        spec = {"kind": "entry_point", "function": function, "look_back_bars": 0}
        with pytest.raises(UserError, match=said) as caught:
            columns_of(bars_of([10, 20]), spec)
        assert "\n" not in caught.value.message

    def test_a_name_that_is_taken_is_refused(self):
        spec = {"kind": "entry_point", "function": "span", "look_back_bars": 0}
        with pytest.raises(UserError, match="'span' appeared twice"):
            columns_of(bars_of([10, 20], span=[1, 2]), {"kind": "column", "name": "span"}, spec)

    def test_its_look_back_sizes_the_embargo(self):
        spec = {"kind": "entry_point", "function": "span", "look_back_bars": 90}
        assert look_back_bars(FeatureConfig(window=10, columns=(spec,))) == 99
