"""Figures as text: what has no interval is a dash, and a table says why."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rsc.cli.terminal.numbers import ratio_with_interval
from rsc.cli.terminal.results import print_rows
from rsc.trading.performance.metrics import Performance, performance_of_series
from rsc.trading.performance.series import account_series


def performance_of(*returns: float) -> Performance:
    """Evaluate an account that is in the market all the time and never trades."""
    values = 100.0 * np.cumprod([1.0, *(1.0 + one for one in returns)])
    return performance_of_series(
        account_series(
            values,
            trade_pnl=np.zeros(0),
            trade_return=np.zeros(0),
            traded_value=np.zeros(len(returns)),
            exposure=np.ones(len(returns)),
            in_market=np.ones(len(returns), np.bool_),
        ),
        periods_per_year=252,
    )


@pytest.mark.parametrize(
    ("figures", "text"),
    [
        ((0.834, -0.21, 1.87), "0.83 [-0.21, 1.87]"),
        ((0.834, None, None), "–"),
        ((0.834, -0.21, math.nan), "–"),
        ((None, None, None), "–"),
    ],
)
def test_a_ratio_is_not_shown_without_its_interval(figures, text):
    assert ratio_with_interval(*figures) == text


def test_a_table_says_below_it_why_a_sharpe_is_a_dash(capsys):
    short = performance_of(*[0.01, -0.004, 0.002] * 9, 0.01, 0.01)
    long = performance_of(*[0.01, -0.004, 0.002] * 10)
    assert (short.bars, long.bars) == (29, 30)
    assert short.sharpe is not None
    flat = performance_of(*[0.0] * 30)
    print_rows({"short": short, "long": long, "flat": flat, "idle": flat}, title="test")
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    cells = {words[0]: words[3] for words in lines if words and words[0] in {"short", "flat"}}
    assert cells == {"short": "–", "flat": "–"}
    assert [" ".join(words) for words in lines if words[:1] == ["–"]] == [
        "– Sharpe of short: fewer than 30 bars",
        "– Sharpe of flat, idle: the returns do not vary",
    ]
    assert f"{long.sharpe:.2f} [{long.sharpe_low:.2f}, {long.sharpe_high:.2f}]" in " ".join(
        lines[[words[:1] for words in lines].index(["long"])]
    )
