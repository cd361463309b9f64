"""Metrics from outside: a number, or nothing and the reason."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from rsc.errors import UserError
from rsc.extensions import register_sources
from rsc.trading.performance.outside import MetricConfig, extra_metrics
from rsc.trading.performance.series import account_series

OWN = """
def best_bar(series, periods_per_year):
    return series.returns.max()

def yearly(series, periods_per_year):
    return periods_per_year

def undefined(series, periods_per_year):
    return None, "no losing trade"

def fails(series, periods_per_year):
    return 1 / len(series.trade_pnl)

def endless(series, periods_per_year):
    return float("inf")

def wordy(series, periods_per_year):
    return "good"

def pair(series, periods_per_year):
    return 1.0, 2.0
"""


def found(name):
    register_sources({"own_metrics.py": OWN})
    nothing = np.zeros(0)
    series = account_series(
        np.array([100.0, 110.0, 99.0]),
        trade_pnl=nothing,
        trade_return=nothing,
        traded_value=np.array([100.0, 0.0]),
        exposure=np.ones(2),
        in_market=np.ones(2, bool),
    )
    config = MetricConfig(name="own", function=f"own_metrics.py:{name}")
    return extra_metrics([config], series, 252.0)["own"]


@pytest.mark.parametrize(
    ("name", "figure"),
    [
        ("best_bar", (pytest.approx(0.1), None)),
        ("yearly", (252.0, None)),
        ("undefined", (None, "no losing trade")),
        ("fails", (None, "failed with ZeroDivisionError: division by zero")),
        ("endless", (None, "was inf, no finite number")),
        ("wordy", (None, "failed with ValueError: could not convert string to float: 'good'")),
        ("pair", (None, "returned a tuple")),
    ],
)
def test_a_metric_is_a_number_or_a_reason(name, figure):
    assert found(name) == figure


def test_a_metric_that_is_not_there_is_refused():
    with pytest.raises(UserError, match=r"own_metrics\.py has no absent"):
        found("absent")


@pytest.mark.parametrize("name", ["sharpe", "Own", "own-metric", ""])
def test_a_name_is_free_and_plain(name):
    with pytest.raises(ValidationError):
        MetricConfig(name=name, function="a:b")
