"""Kernel and reference agree on every field of every record of random episodes.

Each example is one random configuration on two random instruments with a batch of
random episodes; together they are more than ten thousand episodes.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from market_factory import DAY, join_markets, one_instrument
from reference import Account, Bar

from rsc.trading.records import (
    EPISODE_DTYPE,
    OPERATION_DTYPE,
    STEP_DTYPE,
    TRADE_DTYPE,
    Cause,
    OrderStatus,
    Phase,
)
from rsc.trading.rules import TradingConfig
from rsc.trading.simulator import Simulator

EPISODES, EXAMPLES = 100, 150
YEAR = 252.0


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
    stamps = np.cumsum(hours).astype(np.int64) * (DAY // 24)
    return one_instrument(prices, stamps=stamps, tradable=rng.random(count) >= world.suspended)


def python_bars(part):
    prices, stamps, tradable = part
    return [
        Bar(i, int(stamps[i]), *map(float, prices[i]), bool(tradable[i]))
        for i in range(len(prices))
    ]


def sticky_actions(rng, count, steps):
    """Return actions that are repeated often, so that positions live."""
    actions = rng.integers(0, count, (steps, EPISODES))
    for step in range(1, steps):
        same = rng.random(EPISODES) < 0.6
        actions[step, same] = actions[step - 1, same]
    return actions


def reference_records(parts, config, plan, actions, stop_at):
    """Run every episode of `plan` in plain Python up to step `stop_at`."""
    bars = [python_bars(part) for part in parts]
    settings_ = config.model_dump()
    accounts = []
    for i, (which, start, end) in enumerate(zip(*plan, strict=True)):
        account = Account(bars[which], settings_, int(start), int(end), YEAR)
        for step in range(stop_at):
            account.step(int(actions[step, i]))
            if account.ended_by is not None:
                break
        if account.ended_by is None:
            account.interrupt()
        accounts.append(account)
    return accounts


def table(rows_of_accounts, dtype):
    rows = [(i, row) for i, rows in enumerate(rows_of_accounts) for row in rows]
    out = np.zeros(len(rows), dtype)
    out["episode_id"] = [i for i, _ in rows]
    for name in rows[0][1] if rows else ():
        out[name] = [row[name] for _, row in rows]
    return out


MONEY = {"cash", "portfolio_value", "final_portfolio_value", "fees", "slippage", "carry"}
MONEY |= {"traded_value", "fee", "cash_after", "pnl"}
# A standard deviation of rounding errors alone: both are huge, no digit is meant.
NOT_A_NUMBER = 1e6


def assert_same(actual, expected, order, scale, skipped=()):
    """Compare field by field; money to 1e-9 of `scale`, the rest to 1e-9."""
    actual = actual[np.lexsort((actual[order], actual["episode_id"]))]
    assert len(actual) == len(expected)
    for name in expected.dtype.names:
        mine, theirs = actual[name], expected[name]
        if name in skipped:
            continue
        if expected.dtype[name].kind != "f":
            np.testing.assert_array_equal(mine, theirs, err_msg=name)
            continue
        if name == "sharpe":
            mine, theirs = (np.clip(x, -NOT_A_NUMBER, NOT_A_NUMBER) for x in (mine, theirs))
        atol = 1e-9 * (scale if name in MONEY else 1.0)
        np.testing.assert_allclose(mine, theirs, rtol=1e-8, atol=atol, err_msg=name)


def check(config, world, share_of_length):
    rng = np.random.default_rng(world.seed)
    parts = [instrument(rng, world, count) for count in (45, 30)]
    market = join_markets(parts, periods_per_year=YEAR)
    which = rng.integers(0, 2, EPISODES)
    counts = np.array([45, 30])[which]
    length = rng.integers(1, 26, EPISODES)
    start = (rng.random(EPISODES) * (counts - length - 1)).astype(np.int64)
    plan = which, start, start + length
    actions = sticky_actions(rng, len(config.actions), 25)
    stop_at = max(1, round(25 * share_of_length))

    simulator = Simulator(market, config, accounts=EPISODES)
    simulator.begin(
        np.arange(EPISODES),
        instrument=plan[0],
        start=plan[1],
        end=plan[2],
        episode_id=np.arange(EPISODES),
        phase=Phase.TRAIN,
    )
    observations, rewards_, taking_part = [simulator.account.copy()], [], []
    for step in range(stop_at):
        taking_part.append(simulator.active.copy())
        simulator.step(actions[step])
        observations.append(simulator.account.copy())
        rewards_.append(simulator.reward.copy())
    simulator.interrupt()
    records = simulator.drain()

    accounts = reference_records(parts, config, plan, actions, stop_at)
    scale = config.initial_portfolio_value
    steps = table([account.steps for account in accounts], STEP_DTYPE)
    operations = table([account.operations for account in accounts], OPERATION_DTYPE)
    trades = table([account.trades for account in accounts], TRADE_DTYPE)
    episodes = table([[account.episode()] for account in accounts], EPISODE_DTYPE)
    assert_same(records.steps, steps, "step_index", scale)
    assert_same(records.operations, operations, "operation_index", scale)
    assert_same(records.trades, trades, "trade_index", scale)
    given_fields = ("phase", "policy", "fold", "instrument", "iteration", "steps_recorded")
    final = records.episodes[EPISODES:]
    assert_same(final, episodes, "episode_id", scale, skipped=given_fields)
    for i, account in enumerate(accounts):
        steps = len(account.steps)
        seen = np.array([rows[i] for rows in observations[: steps + 1]])
        np.testing.assert_allclose(seen, account.observations, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(
            [row[i] for row in rewards_[:steps]], account.rewards, rtol=1e-8, atol=1e-9
        )
        assert sum(row[i] for row in taking_part) == steps
        # After the end the final observation stays.
        np.testing.assert_array_equal(observations[-1][i], seen[-1])
    return records


def test_kernel_and_reference_agree_on_every_field_of_ten_thousand_random_episodes():
    statuses, causes, ends, cases = Counter(), Counter(), Counter(), 0

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        print_blob=True,
    )
    @given(config=configs(), world=worlds, share_of_length=st.sampled_from([1.0, 1.0, 1.0, 0.3]))
    def agree(config, world, share_of_length):
        nonlocal cases
        records = check(config, world, share_of_length)
        statuses.update(records.steps["order_status"].tolist())
        causes.update(records.operations["cause"].tolist())
        ends.update(records.episodes["ended_by"][EPISODES:].tolist())
        cases += EPISODES

    agree()
    assert cases >= 10_000
    # Nothing that can happen was left out.
    assert set(statuses) >= set(OrderStatus) - {OrderStatus.NO_EQUITY}
    assert set(causes) == set(Cause) - {Cause.INTERRUPTED}
    assert set(ends) == {cause for cause in Cause if cause >= Cause.LIQUIDATION}
