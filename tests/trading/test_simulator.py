"""The simulator: batches, records, interruption, state, and what it refuses."""

from __future__ import annotations

import ast
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from market_factory import join_markets, make_market, one_instrument, random_bars

import rsc.trading
from rsc.errors import RscError
from rsc.market.build import build_market
from rsc.market.features.indicators import FeatureConfig, LogReturn
from rsc.market.features.scaling import ScalingConfig
from rsc.market.prices.bars import bars_from_frame
from rsc.trading.environments.simulator import Simulator, account_size, gather_windows
from rsc.trading.kernel import step_kernel
from rsc.trading.kernel.kernel_source import KERNEL_MODULES
from rsc.trading.records import NULL_INDEX, NULL_TIMESTAMP, Cause, EpisodeState, Policy, Split
from rsc.trading.rules import TradingConfig

FREE = TradingConfig(
    initial_portfolio_value=1000, fee_bps=0, slippage_bps=0, borrow_rate=0, financing_rate=0
)
SHORT, FLAT, LONG = 0, 1, 2
METRICS = (
    "total_return",
    "volatility",
    "sharpe",
    "sortino",
    "max_drawdown",
    "win_rate",
    "profit_factor",
    "turnover",
    "average_exposure",
    "time_in_market",
)


def rising(bars=6):
    return make_market([[100 + i, 101.5 + i, 99.5 + i, 101 + i] for i in range(bars)])


def begun(market, config=FREE, accounts=1, **kwargs):
    simulator = Simulator(market, config, accounts=accounts)
    settings = {"instrument": 0, "start": 0, "end": 5, "split": Split.TRAIN}
    ids = np.arange(accounts)
    simulator.begin(ids, **(settings | {"episode_id": ids} | kwargs))
    return simulator


def actions(*values):
    return np.array(values, np.int64)


def test_a_step_without_active_accounts_is_a_no_op():
    simulator = Simulator(rising(), FREE, accounts=3)
    before = simulator.get_state()
    simulator.step(actions(9, -4, 0))
    for name, values in simulator.get_state().items():
        assert values.tobytes() == before[name].tobytes(), name
    assert simulator.drain().row_count == 0


def test_accounts_without_an_episode_take_no_part():
    simulator = Simulator(rising(), FREE, accounts=500)
    simulator.begin([7], instrument=0, start=1, end=5, episode_id=[70], split=Split.TRAIN)
    simulator.step(np.full(500, LONG))
    records = simulator.drain()
    assert records.steps["episode_id"].tolist() == [70]
    assert np.flatnonzero(simulator.reward).tolist() == [7]
    assert np.flatnonzero(simulator.active).tolist() == [7]


def test_after_the_end_the_final_observation_stays_until_the_next_episode_begins():
    simulator = begun(rising(), end=2)
    simulator.step(actions(LONG))
    simulator.step(actions(LONG))
    assert simulator.truncated[0]
    assert not simulator.terminated[0]
    row, account, value = (
        simulator.row[0],
        simulator.account[0].copy(),
        simulator.portfolio_value[0],
    )
    simulator.step(actions(SHORT))
    assert (simulator.reward[0], simulator.truncated[0], simulator.row[0]) == (0.0, False, row)
    np.testing.assert_array_equal(simulator.account[0], account)
    assert simulator.portfolio_value[0] == value
    simulator.begin([0], instrument=0, start=3, end=4, episode_id=[5], split=Split.TRAIN)
    assert simulator.row[0] == 3
    assert simulator.portfolio_value[0] == 1000.0


def test_an_episode_is_recorded_running_and_then_completed():
    simulator = begun(
        rising(), episode_id=[41], split=Split.VALIDATION, policy=Policy.RANDOM, fold=2, end=3
    )
    running = simulator.drain().episodes
    assert len(running) == 1
    row = running[0]
    assert row["state"] == EpisodeState.RUNNING
    assert (row["split"], row["policy"], row["fold"]) == (Split.VALIDATION, Policy.RANDOM, 2)
    assert row["end_bar_index"] == row["ended_by"] == row["step_count"] == NULL_INDEX
    assert row["end_timestamp"] == NULL_TIMESTAMP
    assert np.isnan([row[name] for name in ("final_portfolio_value", "fees", *METRICS)]).all()
    for _ in range(3):
        simulator.step(actions(LONG))
    (row,) = simulator.drain().episodes
    assert (row["episode_id"], row["state"], row["ended_by"]) == (
        41,
        EpisodeState.COMPLETED,
        Cause.END,
    )
    assert (row["start_bar_index"], row["end_bar_index"], row["step_count"]) == (0, 3, 3)
    # Bought at 101, the open of bar 1; closed at 104, the close of bar 3.
    assert row["total_return"] == pytest.approx(104 / 101 - 1)
    assert row["win_rate"] == 1.0
    assert np.isnan(row["profit_factor"])
    assert row["time_in_market"] == pytest.approx(2 / 3)


def test_the_iteration_of_the_moment_is_written_into_new_episodes():
    simulator = begun(rising(), end=2)
    simulator.iteration = 6
    simulator.step(actions(FLAT))
    simulator.step(actions(FLAT))
    simulator.begin([0], instrument=0, start=0, end=2, episode_id=[1], split=Split.TRAIN)
    assert simulator.drain().episodes["iteration"].tolist() == [0, 0, 6]


def test_steps_are_recorded_only_where_wanted_and_everything_else_always():
    simulator = begun(rising(), accounts=2, steps_recorded=[True, False])
    for _ in range(5):
        simulator.step(actions(LONG, LONG))
    records = simulator.drain()
    assert set(records.steps["episode_id"]) == {0}
    for table in (records.operations, records.trades):
        assert set(table["episode_id"]) == {0, 1}
    assert records.episodes["steps_recorded"].tolist() == [1, 0, 1, 0]
    assert records.episodes["step_count"].tolist() == [-1, -1, 5, 5]


def test_an_interrupted_episode_closes_nothing_and_has_no_metric():
    simulator = begun(rising())
    simulator.step(actions(LONG))
    simulator.step(actions(LONG))
    simulator.drain()
    simulator.interrupt()
    records = simulator.drain()
    assert len(records.operations) == len(records.steps) == 0
    (trade,), (episode,) = records.trades, records.episodes
    # 1000/101 units, last mark 103, two closes seen.
    units = 1000 / 101
    assert trade["pnl"] == pytest.approx(units * 103 - 1000)
    assert trade["trade_return"] == pytest.approx(103 / 101 - 1)
    assert (trade["exit_step_index"], trade["exit_cause"]) == (NULL_INDEX, NULL_INDEX)
    assert trade["exit_timestamp"] == NULL_TIMESTAMP
    assert np.isnan(trade["average_exit_price"])
    assert (trade["bars_held"], trade["operation_count"]) == (1, 1)
    assert (episode["state"], episode["ended_by"]) == (
        EpisodeState.INTERRUPTED,
        Cause.INTERRUPTED,
    )
    assert episode["final_portfolio_value"] == pytest.approx(units * 103)
    assert (episode["step_count"], episode["end_bar_index"], episode["trade_count"]) == (2, 2, 1)
    assert np.isnan([episode[name] for name in METRICS]).all()
    assert not simulator.active.any()
    simulator.interrupt()
    assert simulator.drain().row_count == 0


def test_an_episode_interrupted_before_its_first_step_ends_where_it_began():
    simulator = begun(rising(), start=2)
    simulator.interrupt()
    row = simulator.drain().episodes[-1]
    assert (row["step_count"], row["end_bar_index"], row["episode_return"]) == (0, 2, 0.0)
    assert row["final_portfolio_value"] == 1000.0


def test_an_unknown_action_is_refused_and_nothing_happened():
    simulator = begun(rising(), accounts=2)
    before = simulator.get_state()
    for wrong in (3, -1):
        with pytest.raises(ValueError, match=f"action of account 1 was {wrong}, must be 0 to 2"):
            simulator.step(actions(LONG, wrong))
    with pytest.raises(ValueError, match="action had shape"):
        simulator.step(actions(LONG))
    assert simulator.get_state()["accounts"].tobytes() == before["accounts"].tobytes()


@pytest.mark.parametrize(
    "wrong",
    [
        {"start": 5, "end": 5},
        {"start": -1},
        {"end": 6},
        {"instrument": 1},
        {"instrument": -1},
    ],
)
def test_episodes_outside_the_market_are_refused(wrong):
    with pytest.raises(ValueError, match="must lie inside an instrument"):
        begun(rising(), **wrong)


def test_an_account_in_use_or_named_twice_or_unknown_is_refused():
    simulator = begun(rising(), accounts=2)
    simulator.active[1] = False
    settings = {"instrument": 0, "start": 0, "end": 3, "split": Split.TRAIN}
    for index in ([0], [1, 1], [2], [-1]):
        with pytest.raises(ValueError, match="the account must be free"):
            simulator.begin(index, episode_id=np.arange(len(index)), **settings)
    assert simulator.active.tolist() == [True, False]


def test_a_reward_that_is_not_finite_names_instrument_and_bar():
    quiet = one_instrument([[1, 1, 1, 1]] * 3)
    wild = one_instrument([[1e-200] * 4, [1e-200] * 4, [1e200] * 4])
    simulator = Simulator(join_markets([quiet, wild]), FREE, accounts=1)
    simulator.begin([0], instrument=1, start=0, end=2, episode_id=[0], split=Split.TRAIN)
    simulator.step(actions(LONG))
    with pytest.raises(RscError, match="I1: the reward of bar 2 was inf") as caught:
        simulator.step(actions(LONG))
    assert caught.value.hint


def test_a_state_of_another_simulator_is_refused():
    state = Simulator(rising(), FREE, accounts=2).get_state()
    with pytest.raises(ValueError, match="row of the state had shape"):
        Simulator(rising(), FREE, accounts=3).set_state(state)


def test_the_state_is_small():
    state = Simulator(rising(), FREE, accounts=1000).get_state()
    assert sum(values.nbytes for values in state.values()) < 600 * 1000


def test_a_market_that_went_through_pickle_needs_no_second_compilation():
    market = pickle.loads(pickle.dumps(rising()))
    assert market.close.flags.writeable
    begun(rising()).step(actions(LONG))
    begun(market).step(actions(LONG))
    assert len(step_kernel.step_accounts.signatures) == 1
    assert len(step_kernel.begin_accounts.signatures) == 1


def test_the_buffers_grow_and_lose_nothing():
    rng = np.random.default_rng(1)
    market = make_market(random_bars(rng, 400))
    simulator = begun(market, accounts=50, start=0, end=399)
    rows = []
    for step in range(399):
        simulator.step(rng.integers(0, 3, 50))
        if step in {0, 7, 300}:
            rows.append(simulator.drain())
    rows.append(simulator.drain())
    steps = np.concatenate([batch.steps for batch in rows])
    operations = np.concatenate([batch.operations for batch in rows])
    final = rows[-1].episodes
    assert len(steps) == final["step_count"].sum() == 50 * 399
    assert len(operations) == final["operation_count"].sum()


def test_windows_are_the_last_bars_oldest_first_and_then_the_account():
    features = np.arange(40, dtype=np.float32).reshape(10, 4)
    account = np.array([[0.5, -0.5], [1.5, -1.5]], np.float32)
    out = np.empty((2, 3 * 4 + 2), np.float32)
    result = gather_windows(features, np.array([2, 9], np.int32), 3, account, out)
    assert result is out
    np.testing.assert_array_equal(out[0], [*range(12), 0.5, -0.5])
    np.testing.assert_array_equal(out[1], [*range(28, 40), 1.5, -1.5])
    assert gather_windows(features, np.empty(0, np.int32), 3, account[:0], out[:0]).shape == (0, 14)


def test_windows_that_do_not_exist_are_refused():
    features = np.zeros((10, 4), np.float32)
    account, out = np.zeros((1, 2), np.float32), np.zeros((1, 14), np.float32)
    for row in (1, 10):
        with pytest.raises(ValueError, match=f"row {row} has no window of 3 bars"):
            gather_windows(features, np.array([row], np.int32), 3, account, out)
    with pytest.raises(ValueError, match="out had shape"):
        gather_windows(features, np.array([5], np.int32), 2, account, out)


def test_the_account_part_grows_by_the_cool_down():
    assert account_size(FREE) == 4
    assert account_size(FREE.model_copy(update={"cooldown_bars": 1})) == 5


def test_the_compile_cache_knows_every_module_of_the_kernel():
    folder = Path(rsc.trading.__file__).parent
    found, todo = set(), ["kernel/step_kernel", "kernel/bar", "kernel/params"]
    while todo:
        name = todo.pop()
        found.add(name)
        tree = ast.parse((folder / f"{name}.py").read_text(encoding="utf-8"))
        imported = {
            node.module.removeprefix("rsc.trading.").replace(".", "/")
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rsc.trading.")
        }
        todo += sorted(imported - found)
    assert found - {"kernel/kernel_source", "rules"} == set(KERNEL_MODULES)


def test_drained_records_do_not_change_afterwards():
    simulator = begun(rising())
    simulator.step(actions(LONG))
    batch = simulator.drain()
    before = [getattr(batch, name).tobytes() for name in ("episodes", "steps", "operations")]
    for _ in range(4):
        simulator.step(actions(SHORT))
    simulator.drain()
    after = [getattr(batch, name).tobytes() for name in ("episodes", "steps", "operations")]
    assert before == after
    assert simulator.drain().row_count == 0


@pytest.mark.parametrize(
    ("price_adjustment", "pnl"),
    # 10 units at 100; 99 with the dividend in it is 99 / 0.98, without it 99.
    [("auto", 10 * (99 / 0.98 - 100)), ("none", -10.0)],
)
def test_a_dividend_between_entry_and_exit_is_earned_long_and_paid_short(price_adjustment, pnl):
    close = np.array([100.0, 100.0, 100.0, 98.0, 99.0])  # 2 are paid before the fourth bar
    dates = pd.date_range("2024-01-01", periods=5).strftime("%Y-%m-%d")
    frame = pd.DataFrame(
        {"Date": dates, **dict.fromkeys(("Open", "High", "Low", "Close"), close)}
        | {"Adj Close": [98.0, 98.0, 98.0, 98.0, 99.0]}
    )
    bars = bars_from_frame(frame, instrument="X", where="x.csv", price_adjustment=price_adjustment)
    features = FeatureConfig(columns=(LogReturn(horizon=1),), scaling=ScalingConfig(kind="none"))
    simulator = Simulator(build_market((bars,), features), FREE, accounts=2)
    simulator.begin([0, 1], instrument=0, start=1, end=4, episode_id=[0, 1], split=Split.TRAIN)
    while simulator.active.any():
        simulator.step(actions(LONG, SHORT))
    trades = simulator.drain().trades
    np.testing.assert_allclose(trades["pnl"], [pnl, -pnl], rtol=1e-12)
