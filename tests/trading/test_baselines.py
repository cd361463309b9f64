"""Baselines through the real simulator, against numbers computed by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from rsc.market.matrix import Market
from rsc.market.splits import BarRange
from rsc.trading.environments.baselines.base import baseline_trading
from rsc.trading.environments.baselines.registry import BASELINES, BaselineConfig
from rsc.trading.environments.baselines.run import run_baselines
from rsc.trading.environments.baselines.sma_crossover import sma_is_long
from rsc.trading.performance.metrics import performance_of_records
from rsc.trading.records import (
    EpisodeState,
    OperationKind,
    Policy,
    RecordBatch,
    Split,
    evaluation_episode_id,
)
from rsc.trading.rules import TradingConfig

DAY = 86_400 * 10**9
FREE = TradingConfig(
    initial_portfolio_value=1000, fee_bps=0, slippage_bps=0, borrow_rate=0, financing_rate=0
)


def market_of(*closes: list[float]) -> Market:
    """Return instruments whose bars open at the close before and move in a line."""
    count = len(closes)
    flat = np.concatenate([np.array(one, dtype=np.float64) for one in closes])
    opens = np.concatenate([np.array([one[0], *one[:-1]], dtype=np.float64) for one in closes])
    return Market(
        instruments=tuple(f"I{index}" for index in range(count)),
        feature_names=("nothing",),
        offset=np.concatenate([[0], np.cumsum([len(one) for one in closes])]).astype(np.int64),
        first_bar=np.zeros(count, dtype=np.int64),
        features=np.zeros((len(flat), 1), dtype=np.float32),
        open=opens,
        high=np.maximum(opens, flat),
        low=np.minimum(opens, flat),
        close=flat,
        timestamp=np.concatenate([np.arange(len(one), dtype=np.int64) * DAY for one in closes]),
        tradable=np.ones(len(flat), dtype=np.bool_),
        periods_per_year=252.0,
        digest="0" * 64,
    )


def run(
    market: Market,
    *ranges: BarRange,
    trading: TradingConfig = FREE,
    seed: int = 1,
    config: BaselineConfig | None = None,
) -> RecordBatch:
    return run_baselines(
        market, trading, ranges, trial_id=3, split=Split.TEST, fold=2, seed=seed, config=config
    )


def final(batch: RecordBatch, policy: Policy, instrument: int = 0) -> np.void:
    episodes = batch.episodes
    chosen = (
        (episodes["state"] == EpisodeState.COMPLETED)
        & (episodes["policy"] == policy)
        & (episodes["instrument"] == instrument)
    )
    assert chosen.sum() == 1
    return np.void(episodes[chosen][0])


def steps_of(batch: RecordBatch, episode: np.void) -> NDArray[np.void]:
    return batch.steps[batch.steps["episode_id"] == episode["episode_id"]]


def test_buy_and_hold_earns_the_price_and_pays_two_legs() -> None:
    trading = FREE.model_copy(update={"fee_bps": 10, "slippage_bps": 5})
    batch = run(market_of([100, 100, 103, 110]), BarRange(start=0, end=3), trading=trading)
    episode = final(batch, Policy.BUY_AND_HOLD)
    # Golden case 2: bought at 100.05 with a fee, sold at 109.945 with a fee.
    units = 1000 / (100 * 1.0005 * 1.001)
    assert episode["final_portfolio_value"] == pytest.approx(units * 109.945 * 0.999)
    assert (episode["trade_count"], episode["operation_count"]) == (1, 2)
    assert (episode["fold"], episode["steps_recorded"]) == (2, 1)


def test_flat_never_trades() -> None:
    episode = final(run(market_of([100, 90, 120, 80]), BarRange(start=0, end=3)), Policy.FLAT)
    assert episode["final_portfolio_value"] == 1000
    assert episode["operation_count"] == 0


def test_sma_is_long_only_while_the_fast_average_is_above_the_slow_one() -> None:
    close = np.array([1.0, 2, 3, 2, 1, 0.5, 4, 4])
    # slow (3): -, -, 2, 7/3, 2, 7/6, 11/6; fast (2): -, 1.5, 2.5, 2.5, 1.5, 0.75, 2.25
    found = sma_is_long(close, start=0, end=7, fast=2, slow=3)
    assert found.tolist() == [False, False, True, True, False, False, True]


def test_sma_looks_back_before_the_range() -> None:
    close = np.array([1.0, 2, 3, 2, 1, 0.5, 4, 4])
    assert sma_is_long(close, start=3, end=5, fast=2, slow=3).tolist() == [True, False]


def test_sma_of_equal_prices_is_flat() -> None:
    assert not sma_is_long(np.full(50, 0.1), start=10, end=50, fast=3, slow=7).any()


def test_sma_with_too_short_a_history_is_flat() -> None:
    assert sma_is_long(np.arange(1.0, 6.0), start=0, end=4, fast=2, slow=10).tolist() == [False] * 4


def test_sma_does_not_read_the_future() -> None:
    rng = np.random.default_rng(5)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.02, 120)))
    before = sma_is_long(close, start=20, end=100, fast=5, slow=20)
    for end in (30, 60, 99):
        changed = close.copy()
        changed[end:] *= 7
        found = sma_is_long(changed, start=20, end=end, fast=5, slow=20)
        assert found.tolist() == before[: end - 20].tolist()


def test_sma_crossover_trades_at_the_bar_after_its_decision() -> None:
    closes = [1.0, 2, 3, 2, 1, 0.5, 4, 4]
    config = BaselineConfig(sma_fast=2, sma_slow=3)
    batch = run(market_of(closes), BarRange(start=0, end=7), config=config)
    own = final(batch, Policy.SMA_CROSSOVER)
    operations = batch.operations[batch.operations["episode_id"] == own["episode_id"]]
    assert operations["bar_index"].tolist() == [3, 5, 7, 7]
    assert operations["kind"].tolist() == [OperationKind.ENTER_LONG, OperationKind.EXIT_LONG] * 2


def test_random_is_the_same_for_the_same_seed_and_differs_for_another() -> None:
    market = market_of(list(100 + np.sin(np.arange(80.0))))
    bars = BarRange(start=0, end=79)
    first, again, other = (
        steps_of(batch, final(batch, Policy.RANDOM))["action"].tolist()
        for batch in (run(market, bars, seed=s) for s in (1, 1, 2))
    )
    assert first == again != other
    assert set(first) == {0, 1, 2}


def test_random_of_one_instrument_does_not_depend_on_the_others() -> None:
    prices = list(100 + np.sin(np.arange(40.0)))
    bars = BarRange(start=0, end=39)
    alone = run(market_of(prices), bars)
    beside = run(market_of(prices, prices), bars, bars)
    actions = [
        steps_of(batch, final(batch, Policy.RANDOM, 0))["action"].tolist()
        for batch in (alone, beside)
    ]
    second = steps_of(beside, final(beside, Policy.RANDOM, 1))["action"].tolist()
    assert actions[0] == actions[1] != second


def test_every_policy_has_one_completed_episode_on_every_instrument() -> None:
    market = market_of([100, 101, 102, 103], [50, 49, 48, 47, 46, 45])
    batch = run(market, BarRange(start=1, end=3), BarRange(start=0, end=5))
    for policy in BASELINES:
        for instrument, count in ((0, 2), (1, 5)):
            episode = final(batch, policy, instrument)
            assert episode["step_count"] == count == len(steps_of(batch, episode))
            assert episode["episode_id"] == evaluation_episode_id(
                3, split=Split.TEST, iteration=0, policy=policy, instrument=instrument
            )


def test_a_ruined_account_ends_and_the_others_go_on() -> None:
    market = market_of([100, 100, 0.5, 0.4, 0.4, 0.4])
    batch = run(market, BarRange(start=0, end=5))
    assert final(batch, Policy.BUY_AND_HOLD)["step_count"] == 2
    assert final(batch, Policy.FLAT)["step_count"] == 5


def test_missing_actions_are_appended_so_that_the_agents_keep_their_numbers() -> None:
    shorts = FREE.model_copy(update={"actions": (-1.0, -0.5)})
    assert baseline_trading(shorts).actions == (-1.0, -0.5, 0.0, 1.0)
    assert baseline_trading(FREE) is FREE


def test_random_draws_only_from_the_agents_actions() -> None:
    shorts = FREE.model_copy(update={"actions": (-1.0, -0.5)})
    batch = run(market_of([100.0] * 200), BarRange(start=0, end=199), trading=shorts)
    actions = steps_of(batch, final(batch, Policy.RANDOM))["action"]
    assert set(actions.tolist()) == {0, 1}


def test_a_fast_average_must_be_faster() -> None:
    with pytest.raises(ValidationError, match="sma_fast was 200, must be less than sma_slow"):
        BaselineConfig(sma_fast=200)


def test_recorded_metrics_of_the_kernel_agree_with_performance() -> None:
    rng = np.random.default_rng(11)
    prices = list(100 * np.exp(np.cumsum(rng.normal(0, 0.03, 150))))
    market = replace(market_of(prices), periods_per_year=365.0)
    batch = run(market, BarRange(start=0, end=149), trading=TradingConfig(fee_bps=5))
    for policy in BASELINES:
        episode = final(batch, policy)
        one = batch.episodes[batch.episodes["episode_id"] == episode["episode_id"]]
        found = performance_of_records(one, batch.steps, batch.trades, periods_per_year=365)
        names = {"exposure": "average_exposure", "trade_count": "trade_count"}
        for name, value in found.as_dict().items():
            column = names.get(name, name)
            if column in one.dtype.names:
                recorded = episode[column]
                expected = None if np.isnan(recorded) else pytest.approx(recorded, rel=1e-9)
                assert value == expected, (policy, name)
