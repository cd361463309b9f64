"""Scaling uses no later bar and fits on training rows alone."""

from __future__ import annotations

import numpy as np
import pytest

from rsc.market.features.scaling import (
    NoScaling,
    RollingScaling,
    TrainScaling,
    fit_statistics,
    scale,
)


def test_rolling_is_the_z_score_of_the_last_bars():
    values = np.array([[np.nan], [1.0], [3.0], [5.0], [5.0]])
    scaled = scale(values, 1, RollingScaling(window=3))
    assert scaled.dtype == np.float32
    # Windows (1, 3, 5) and (3, 5, 5): means 3 and 13/3, population deviations √(8/3), √(8/9).
    expected = [0, 0, 0, 2 / np.sqrt(8 / 3), (5 - 13 / 3) / np.sqrt(8 / 9)]
    np.testing.assert_allclose(scaled[:, 0], expected, rtol=1e-6)


def test_rolling_values_do_not_depend_on_later_rows():
    rng = np.random.default_rng(0)
    values = rng.lognormal(size=(300, 4))
    other = values.copy()
    other[150:] *= 1e6
    config = RollingScaling(window=50)
    np.testing.assert_array_equal(scale(values, 0, config)[:150], scale(other, 0, config)[:150])


def test_rolling_agrees_with_the_definition_on_every_row():
    values = np.random.default_rng(1).normal(3, 2, size=(200, 2))
    scaled = scale(values, 0, RollingScaling(window=40, clip=None))
    for t in range(39, 200):
        rows = values[t - 39 : t + 1]
        expected = (values[t] - rows.mean(axis=0)) / rows.std(axis=0)
        np.testing.assert_allclose(scaled[t], expected, rtol=1e-4, atol=1e-6)


def test_a_constant_column_is_zero():
    values = np.full((50, 1), 0.1)
    statistics = fit_statistics([values])
    assert not scale(values, 0, RollingScaling(window=10)).any()
    assert not scale(values, 0, TrainScaling(), statistics).any()


def test_a_crash_is_clipped():
    values = np.concatenate((np.random.default_rng(0).normal(size=(99, 1)), [[1e6]]))
    assert scale(values, 0, RollingScaling(window=100, clip=3))[-1, 0] == 3
    assert scale(values, 0, RollingScaling(window=100, clip=None))[-1, 0] > 9


def test_train_uses_the_statistics_of_the_parts_it_was_fitted_on():
    statistics = fit_statistics([np.array([[1.0], [3.0]]), np.array([[5.0], [7.0]])])
    assert statistics.mean.tolist() == [4]
    assert statistics.deviation.tolist() == [np.sqrt(5)]
    scaled = scale(np.array([[4.0], [9.0]]), 0, TrainScaling(), statistics)
    np.testing.assert_allclose(scaled[:, 0], [0, np.sqrt(5)], rtol=1e-6)


def test_train_without_statistics_is_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="statistics"):
        scale(np.ones((3, 1)), 0, TrainScaling())


def test_none_leaves_values_as_they_are():
    scaled = scale(np.array([[np.nan], [70.0]]), 1, NoScaling())
    assert scaled[:, 0].tolist() == [0, 70]


@pytest.mark.parametrize(
    ("kind", "bars"), [(RollingScaling, 251), (TrainScaling, 0), (NoScaling, 0)]
)
def test_only_rolling_needs_bars_of_its_own(kind, bars):
    assert kind().warm_up() == bars
