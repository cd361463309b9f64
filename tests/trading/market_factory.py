"""Small markets for the tests of the trading kernel."""

from __future__ import annotations

import numpy as np

from rsc.market.matrix import Market

DAY = 86_400 * 10**9


def make_market(
    bars, *, days=None, timestamps=None, tradable=None, features=1, periods_per_year=252.0
):
    """Return a market of one instrument from rows [open, high, low, close]."""
    return join_markets(
        [one_instrument(bars, days, timestamps, tradable)], features, periods_per_year
    )


def one_instrument(bars, days=None, timestamps=None, tradable=None):
    """Return prices, timestamps and tradable flags of one instrument."""
    prices = np.asarray(bars, np.float64)
    days = np.arange(len(prices)) if days is None else np.asarray(days)
    timestamp = (
        days.astype(np.int64) * DAY if timestamps is None else np.asarray(timestamps, np.int64)
    )
    flags = np.ones(len(prices), bool) if tradable is None else np.asarray(tradable, bool)
    return prices, timestamp, flags


def join_markets(parts, features=1, periods_per_year=252.0):
    """Return a market of several instruments made by `one_instrument`."""
    prices = np.concatenate([part[0] for part in parts])
    table = np.random.default_rng(5).normal(size=(len(prices), features)).astype(np.float32)
    return Market(
        instruments=tuple(f"I{i}" for i in range(len(parts))),
        feature_names=tuple(f"f{i}" for i in range(features)),
        offset=np.cumsum([0] + [len(part[0]) for part in parts]).astype(np.int64),
        first_bar=np.zeros(len(parts), np.int64),
        features=table,
        open=np.ascontiguousarray(prices[:, 0]),
        high=np.ascontiguousarray(prices[:, 1]),
        low=np.ascontiguousarray(prices[:, 2]),
        close=np.ascontiguousarray(prices[:, 3]),
        timestamp=np.concatenate([part[1] for part in parts]),
        tradable=np.concatenate([part[2] for part in parts]),
        periods_per_year=periods_per_year,
        digest="",
    )


def random_bars(rng, count, volatility=0.02):
    """Return a random walk of bars [open, high, low, close] with overnight gaps."""
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, volatility, count)))
    first = np.r_[100.0, close[:-1]] * np.exp(rng.normal(0.0, volatility / 4, count))
    high = np.maximum(first, close) * np.exp(np.abs(rng.normal(0.0, volatility / 3, count)))
    low = np.minimum(first, close) * np.exp(-np.abs(rng.normal(0.0, volatility / 3, count)))
    return np.column_stack([first, high, low, close])
