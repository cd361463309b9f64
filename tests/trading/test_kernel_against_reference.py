"""Kernel and reference agree on every field of every record of random episodes.

Each example is one random configuration on two random instruments with a batch of
random episodes; together they are more than ten thousand episodes.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from market_factory import join_markets
from random_worlds import configs, instrument, sticky_actions, worlds
from reference import Account, Bar

from rsc.trading.environments.simulator import Simulator
from rsc.trading.records import (
    EPISODE_DTYPE,
    OPERATION_DTYPE,
    STEP_DTYPE,
    TRADE_DTYPE,
    Cause,
    OrderStatus,
    Split,
)

EPISODES, EXAMPLES = 100, 150
STEPS = 25
# Bars of the two instruments; the longest episode passes over all of the second one.
COUNTS = np.array([45, STEPS + 1])
YEAR = 252.0


def python_bars(part):
    prices, timestamps, tradable = part
    return [
        Bar(i, int(timestamps[i]), *map(float, prices[i]), bool(tradable[i]))
        for i in range(len(prices))
    ]


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


ENDED_BY_ITS_RULES = {Cause.LIQUIDATION, Cause.RUIN, Cause.MAX_DRAWDOWN}
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
        np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=atol, err_msg=name)


def flags(accounts, steps, causes):
    """Return, for each step and account, whether the episode ended in it by one of `causes`."""
    out = np.zeros((steps, len(accounts)), bool)
    for i, account in enumerate(accounts):
        out[len(account.steps) - 1, i] = account.ended_by in causes
    return out


def check(config, world, share_of_length):
    rng = np.random.default_rng(world.seed)
    parts = [instrument(rng, world, count) for count in COUNTS]
    market = join_markets(parts, periods_per_year=YEAR)
    which = rng.integers(0, 2, EPISODES)
    length = rng.integers(1, STEPS + 1, EPISODES)
    start = (rng.random(EPISODES) * (COUNTS[which] - length)).astype(np.int64)
    plan = which, start, start + length
    actions = sticky_actions(rng, len(config.actions), STEPS, EPISODES)
    stop_at = max(1, round(STEPS * share_of_length))

    simulator = Simulator(market, config, accounts=EPISODES)
    simulator.begin(
        np.arange(EPISODES),
        instrument=plan[0],
        start=plan[1],
        end=plan[2],
        episode_id=np.arange(EPISODES),
        split=Split.TRAIN,
    )
    observations, rewards_, taking_part = [simulator.account.copy()], [], []
    terminated, truncated = [], []
    for step in range(stop_at):
        taking_part.append(simulator.active.copy())
        simulator.step(actions[step])
        observations.append(simulator.account.copy())
        rewards_.append(simulator.reward.copy())
        terminated.append(simulator.terminated.copy())
        truncated.append(simulator.truncated.copy())
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
    given_fields = ("split", "policy", "fold", "instrument", "iteration", "steps_recorded")
    final = records.episodes[EPISODES:]
    assert_same(final, episodes, "episode_id", scale, skipped=given_fields)
    np.testing.assert_array_equal(terminated, flags(accounts, stop_at, ENDED_BY_ITS_RULES))
    np.testing.assert_array_equal(truncated, flags(accounts, stop_at, {Cause.END}))
    for i, account in enumerate(accounts):
        steps = len(account.steps)
        seen = np.array([rows[i] for rows in observations[: steps + 1]])
        np.testing.assert_allclose(seen, account.observations, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(
            [row[i] for row in rewards_[:steps]], account.rewards, rtol=1e-9, atol=1e-9
        )
        assert sum(row[i] for row in taking_part) == steps
        # After the end the final observation stays.
        np.testing.assert_array_equal(observations[-1][i], seen[-1])
    return records


def test_kernel_and_reference_agree_on_every_field_of_ten_thousand_random_episodes():
    statuses, causes, ends, reached, cases = Counter(), Counter(), Counter(), Counter(), 0

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
        episodes = records.episodes[EPISODES:]
        ends.update(episodes["ended_by"].tolist())
        to_the_last = episodes["end_bar_index"] == COUNTS[episodes["instrument"]] - 1
        from_the_first = episodes["start_bar_index"] == 0
        reached.update(last_bar=to_the_last.sum(), whole=(to_the_last & from_the_first).sum())
        cases += EPISODES

    agree()
    assert cases >= 10_000
    # Nothing that can happen was left out.
    assert set(statuses) >= set(OrderStatus) - {OrderStatus.NO_EQUITY}
    assert set(causes) == set(Cause) - {Cause.INTERRUPTED}
    assert reached["last_bar"] > reached["whole"] > 0
    assert set(ends) == {cause for cause in Cause if cause >= Cause.LIQUIDATION}
