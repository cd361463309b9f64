"""Random configurations, often at their corners, and random bars, often with ties and gaps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st
from market_factory import DAY, one_instrument

from rsc.trading.rules import TradingConfig


def optional(strategy):
    return st.one_of(st.none(), strategy)


rewards = st.one_of(
    st.just({"kind": "log_return"}),
    st.fixed_dictionaries(
        {
            "kind": st.just("differential_sharpe"),
            "adaptation_rate": st.sampled_from([0.01, 0.2]),
            "initial_volatility": st.sampled_from([0.01, 0.05]),
        }
    ),
    st.fixed_dictionaries(
        {
            "kind": st.just("penalised_return"),
            "drawdown_penalty": st.sampled_from([0.0, 0.5, 2.0]),
            "turnover_penalty": st.sampled_from([0.0, 0.01]),
        }
    ),
)
ACTIONS = (
    (-1.0, 0.0, 1.0),
    (0.0, 1.0),
    (-1.0, -0.5, 0.0, 0.5, 1.0),
    (-0.9, -0.3, 0.0, 0.05, 0.6, 1.0),
)


@st.composite
def configs(draw):
    """Return a valid configuration, often at its corners."""
    slippage = draw(st.sampled_from([0.0, 0.0, 1.0, 5.0, 300.0, 900.0]))
    leverage = draw(st.sampled_from([1.0, 1.0, 2.0, 3.9, 10.0]))
    margin = draw(st.sampled_from([0.0, 0.05, 0.25]))
    fields = {
        "initial_portfolio_value": draw(st.sampled_from([1000.0, 100_000.0])),
        "fill": draw(st.sampled_from(["next_open", "next_close"])),
        "fee_bps": draw(st.sampled_from([0.0, 0.0, 1.0, 10.0, 800.0])),
        "slippage_bps": slippage,
        "borrow_rate": draw(st.sampled_from([0.0, 0.005, 0.5])),
        "financing_rate": draw(st.sampled_from([0.0, 0.05, 2.0])),
        "day_count": draw(st.sampled_from([360, 365])),
        "position_fraction": draw(st.sampled_from([1.0, 0.5, leverage])),
        "max_leverage": leverage,
        "maintenance_margin": margin if margin * leverage < 1.0 else 0.05,
        "units": draw(st.sampled_from(["fractional", "fractional", "whole"])),
        "minimum_trade_value": draw(st.sampled_from([0.0, 0.0, 50.0, 400.0])),
        "rebalance_tolerance": draw(optional(st.sampled_from([0.0, 0.02, 0.2]))),
        "stop_loss": draw(optional(st.sampled_from([0.01, 0.02, 0.05, 0.2, 0.5]))),
        "take_profit": draw(optional(st.sampled_from([0.01, 0.02, 0.05, 0.3, 1.5]))),
        "cooldown_bars": draw(st.sampled_from([0, 0, 1, 2, 5])),
        "max_drawdown_limit": draw(optional(st.sampled_from([0.05, 0.1, 0.4]))),
        "ruin_fraction": draw(st.sampled_from([0.01, 0.3])),
        "actions": draw(st.sampled_from(ACTIONS)),
        "reward": draw(rewards),
    }
    if fields["stop_loss"] is not None and fields["stop_loss"] <= slippage / 10_000:
        fields["stop_loss"] = 0.5
    if fields["maintenance_margin"] * leverage >= 1.0:
        fields["maintenance_margin"] = 0.0
    # With leverage high costs alone liquidate an entry: such a configuration is refused.
    cost = (1 + slippage / 10_000) * (1 + fields["fee_bps"] / 10_000)
    largest = fields["position_fraction"] * max(map(abs, fields["actions"]))
    if largest * (fields["maintenance_margin"] + cost - 1) >= cost:
        fields["position_fraction"] = 1.0
    return TradingConfig(**fields)


@dataclass
class World:
    """How the bars of an example are made."""

    seed: int
    volatility: float
    gap: float
    tick: float
    suspended: float
    jumps: float


worlds = st.builds(
    World,
    seed=st.integers(0, 2**32 - 1),
    volatility=st.sampled_from([0.0, 0.005, 0.02, 0.1, 0.5]),
    gap=st.sampled_from([0.0, 0.1, 1.0, 3.0]),
    tick=st.sampled_from([0.0, 0.0, 1.0, 5.0]),
    suspended=st.sampled_from([0.0, 0.1, 0.5]),
    jumps=st.sampled_from([0.0, 0.0, 0.05]),
)


def bars_of(rng, world, count):
    """Return rows of prices; a tick above 0 makes ties with levels likely."""
    price, rows = 100.0, []
    for _ in range(count):
        gap = rng.normal(0.0, world.volatility * world.gap)
        if rng.random() < world.jumps:
            gap += rng.choice([-1.5, -0.7, 0.7, 1.5])
        first = price * np.exp(gap)
        price = first * np.exp(rng.normal(0.0, world.volatility))
        high = max(first, price) * np.exp(abs(rng.normal(0.0, world.volatility / 2)))
        low = min(first, price) * np.exp(-abs(rng.normal(0.0, world.volatility / 2)))
        row = np.array([first, high, low, price])
        if world.tick:
            row = np.maximum(np.round(row / world.tick), 1.0) * world.tick
            price = row[3]
        rows.append(row)
        price = min(max(price, 5.0), 1e5)
        rows[-1][3] = price
        rows[-1][1], rows[-1][2] = max(rows[-1]), min(rows[-1])
    return np.array(rows)


def instrument(rng, world, count):
    prices = bars_of(rng, world, count)
    # Weekdays, holidays, now and then hours instead of days.
    hours = rng.choice([24, 24, 24, 24, 72, 96, 1], count)
    timestamps = np.cumsum(hours).astype(np.int64) * (DAY // 24)
    return one_instrument(
        prices, timestamps=timestamps, tradable=rng.random(count) >= world.suspended
    )


def sticky_actions(rng, count, steps, episodes):
    """Return actions that are repeated often, so that positions live."""
    actions = rng.integers(0, count, (steps, episodes))
    for step in range(1, steps):
        same = rng.random(episodes) < 0.6
        actions[step, same] = actions[step - 1, same]
    return actions
