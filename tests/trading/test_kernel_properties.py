"""What holds for every configuration and every market."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from market_factory import join_markets
from random_worlds import configs, instrument, sticky_actions, worlds

from rsc.trading.environments.simulator import Simulator, gather_windows
from rsc.trading.records import Split

COUNT, BARS, WINDOW = 12, 40, 4
few = settings(max_examples=40, deadline=None)
POSITIONS = ("row", "account", "portfolio_value", "reward", "terminated", "truncated", "active")


def world_market(world):
    rng = np.random.default_rng(world.seed)
    return rng, instrument(rng, world, BARS)


def begin(simulator, start, end, accounts=None):
    accounts = np.arange(COUNT) if accounts is None else accounts
    simulator.begin(
        np.arange(len(accounts)),
        instrument=0,
        start=start[accounts],
        end=end[accounts],
        episode_id=accounts,
        split=Split.TRAIN,
    )


def plan(rng):
    start = rng.integers(WINDOW, BARS - 12, COUNT)
    return start, start + rng.integers(1, 11, COUNT)


def run(market, config, start, end, actions, accounts=None):
    """Return the outputs after each step, the observations and the records."""
    accounts = np.arange(COUNT) if accounts is None else accounts
    simulator = Simulator(market, config, accounts=len(accounts))
    begin(simulator, start, end, accounts)
    seen = [snapshot(market, simulator)]
    for row in actions:
        simulator.step(row[accounts])
        seen.append(snapshot(market, simulator))
    simulator.interrupt()
    return seen, simulator.drain()


def snapshot(market, simulator):
    out = np.empty(
        (len(simulator.row), WINDOW * market.features.shape[1] + simulator.account.shape[1]),
        np.float32,
    )
    gather_windows(market.features, simulator.row, WINDOW, simulator.account, out)
    return {name: getattr(simulator, name).copy() for name in POSITIONS} | {"observation": out}


@few
@given(config=configs(), world=worlds, steps=st.integers(1, 11))
def test_money_is_conserved(config, world, steps):
    rng, part = world_market(world)
    start, end = plan(rng)
    actions = sticky_actions(rng, len(config.actions), steps, COUNT)
    _, records = run(join_markets([part]), config, start, end, actions)
    initial = config.initial_portfolio_value
    step_rows = records.steps
    value = step_rows["cash"] + step_rows["position"] * step_rows["price"]
    size = np.maximum(np.abs(step_rows["portfolio_value"]), initial)
    assert (np.abs(value - step_rows["portfolio_value"]) <= 1e-9 * size).all()
    for episode in records.episodes[COUNT:]:
        own = {
            name: getattr(records, name)[
                getattr(records, name)["episode_id"] == episode["episode_id"]
            ]
            for name in ("steps", "trades", "operations")
        }
        final = episode["final_portfolio_value"]
        tolerance = 1e-9 * max(initial, abs(final), np.abs(own["trades"]["pnl"]).sum())
        assert abs(own["trades"]["pnl"].sum() - (final - initial)) <= tolerance
        for total in ("fees", "slippage", "carry"):
            assert abs(own["trades"][total].sum() - episode[total]) <= tolerance
            assert abs(own["steps"][total].sum() - episode[total]) <= tolerance
        for name in ("step", "trade", "operation"):
            assert episode[f"{name}_count"] == len(own[f"{name}s"])
        if config.reward.kind == "log_return" and final > config.ruin_fraction * initial:
            assert abs(episode["episode_return"] - np.log(final / initial)) <= 1e-9


@few
@given(config=configs(), world=worlds, last=st.integers(1, 9), seed=st.integers(0, 2**32 - 1))
def test_nothing_depends_on_a_later_bar_not_even_one_byte(config, world, last, seed):
    rng, part = world_market(world)
    start = np.full(COUNT, WINDOW + 3)
    end = start + 10
    actions = sticky_actions(rng, len(config.actions), last, COUNT)
    future = start[0] + last + 1
    prices, timestamps, tradable = (array.copy() for array in part)
    other = np.random.default_rng(seed)
    prices[future:] = np.sort(other.uniform(1.0, 500.0, (BARS - future, 4)))[:, [1, 3, 0, 2]]
    timestamps[future:] += other.integers(1, 10**15)
    tradable[future:] = other.random(BARS - future) < 0.5
    changed = join_markets([(prices, timestamps, tradable)])
    features = changed.features.copy()
    features[future:] = other.normal(size=features[future:].shape)
    object.__setattr__(changed, "features", features)
    mine, records = run(join_markets([part]), config, start, end, actions)
    theirs, other_records = run(changed, config, start, end, actions)
    for before, after in zip(mine, theirs, strict=True):
        for name, values in before.items():
            assert values.tobytes() == after[name].tobytes(), name
    for name in ("steps", "operations", "trades", "episodes"):
        assert getattr(records, name).tobytes() == getattr(other_records, name).tobytes(), name


@few
@given(config=configs(), world=worlds)
def test_a_batch_of_many_is_many_batches_of_one(config, world):
    rng, part = world_market(world)
    start, end = plan(rng)
    actions = sticky_actions(rng, len(config.actions), 11, COUNT)
    market = join_markets([part])
    together, records = run(market, config, start, end, actions)
    for account in range(COUNT):
        alone, own = run(market, config, start, end, actions, np.array([account]))
        for many, one in zip(together, alone, strict=True):
            for name, values in one.items():
                assert values[0].tobytes() == many[name][account].tobytes(), name
        for name in ("steps", "operations", "trades", "episodes"):
            table = getattr(records, name)
            picked = table[table["episode_id"] == account]
            assert picked.tobytes() == getattr(own, name).tobytes(), name


@few
@given(config=configs(), world=worlds, cut=st.integers(0, 10))
def test_a_restored_state_continues_bit_for_bit(config, world, cut):
    rng, part = world_market(world)
    start, end = plan(rng)
    actions = sticky_actions(rng, len(config.actions), 11, COUNT)
    market = join_markets([part])
    first, second = (Simulator(market, config, accounts=COUNT) for _ in range(2))
    begin(first, start, end)
    for row in actions[:cut]:
        first.step(row)
    first.drain()
    state = first.get_state()
    second.begin([0], instrument=0, start=5, end=9, episode_id=99, split=Split.TEST)
    second.set_state(state)
    for row in actions[cut:]:
        for simulator in (first, second):
            simulator.step(row)
        for name in POSITIONS:
            assert getattr(first, name).tobytes() == getattr(second, name).tobytes(), name
    for simulator in (first, second):
        simulator.interrupt()
    mine, theirs = first.drain(), second.drain()
    for name in ("steps", "operations", "trades", "episodes"):
        assert getattr(mine, name).tobytes() == getattr(theirs, name).tobytes(), name
