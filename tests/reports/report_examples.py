"""A report's data from the real simulator on the shipped S&P 500 file, without training.

The "agent" trades 20-day momentum, long or short; iterations of its learning curve are
momentum over other look-backs with fewer and fewer random actions. All numbers are what
the simulator recorded.
"""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from rsc.analysis.run_data import LearningCurve, ReportData, RunFacts, SplitRecords
from rsc.market.build import build_market
from rsc.market.features.registry import FeatureConfig
from rsc.market.matrix import Market
from rsc.market.prices.bars import Bars
from rsc.market.prices.sources import DataConfig, SourceConfig, load_bars
from rsc.market.splits import BarRange
from rsc.trading.environments.baselines.run import run_baselines
from rsc.trading.environments.simulator import Simulator
from rsc.trading.performance.metrics import performance_of_records
from rsc.trading.records import EpisodeState, Policy, RecordBatch, Split, evaluation_episode_id
from rsc.trading.rules import TradingConfig

TRADING = TradingConfig(fill="next_close")
TRAIN = BarRange(start=300, end=3000)
VALIDATION = BarRange(start=3020, end=4000)
TEST = BarRange(start=4020, end=5030)
LOOK_BACKS = (1, 3, 60, 2, 10, 40, 5, 30, 15, 20, 25, 50)


def sp500() -> tuple[Market, tuple[Bars, ...]]:
    bars = load_bars(DataConfig(sources=(SourceConfig(instrument="S&P 500", uri="builtin:sp500"),)))
    return build_market(bars, FeatureConfig()), bars


def momentum(close: NDArray[np.float64], bars: BarRange, look_back: int) -> NDArray[np.int64]:
    decisions = np.arange(bars.start, bars.end)
    return np.where(close[decisions] > close[decisions - look_back], 2, 0).astype(np.int64)


def run_agent(
    market: Market,
    bars: BarRange,
    actions: NDArray[np.int64],
    *,
    split: Split,
    iteration: int = 0,
    trading: TradingConfig = TRADING,
) -> RecordBatch:
    simulator = Simulator(market, trading, accounts=1)
    simulator.iteration = iteration
    identity = evaluation_episode_id(
        1, split=split, iteration=iteration, policy=Policy.AGENT, instrument=0
    )
    simulator.begin(
        np.array([0]),
        instrument=0,
        start=bars.start,
        end=bars.end,
        episode_id=np.array([identity]),
        split=split,
        policy=Policy.AGENT,
        fold=0,
        steps_recorded=np.array([True]),
    )
    for action in actions:
        simulator.step(np.array([action]))
    return simulator.drain()


def completed(*batches: RecordBatch) -> SplitRecords:
    episodes = np.concatenate([batch.episodes for batch in batches])
    episodes = episodes[episodes["state"] == EpisodeState.COMPLETED]
    return SplitRecords(
        split=Split(int(episodes["split"][0])),
        episodes=episodes,
        steps=np.concatenate([batch.steps for batch in batches]),
        trades=np.concatenate([batch.trades for batch in batches]),
    )


def split(market: Market, bars: BarRange, split: Split) -> SplitRecords:
    agent = run_agent(market, bars, momentum(market.close, bars, 20), split=split)
    others = run_baselines(market, TRADING, (bars,), trial_id=1, split=split, fold=0, seed=7)
    return completed(agent, others)


def learning_curve(market: Market) -> LearningCurve:
    rng = np.random.default_rng(3)
    returns, rows = [], []
    for iteration, look_back in enumerate(LOOK_BACKS):
        greedy = momentum(market.close, VALIDATION, look_back)
        evaluated = completed(
            run_agent(market, VALIDATION, greedy, split=Split.VALIDATION, iteration=iteration)
        )
        found = performance_of_records(
            evaluated.episodes, evaluated.steps, evaluated.trades, periods_per_year=252
        )
        rows.append([found.sharpe, found.sharpe_low, found.sharpe_high])
        explored = momentum(market.close, TRAIN, look_back)
        random = rng.random(len(explored)) > (iteration + 1) / len(LOOK_BACKS)
        explored[random] = rng.integers(3, size=int(random.sum()))
        batch = run_agent(market, TRAIN, explored, split=Split.TRAIN, iteration=iteration)
        returns.append(batch.episodes[-1]["episode_return"])
    iterations = np.arange(len(LOOK_BACKS), dtype=np.float64)
    table = np.array(rows, dtype=np.float64)
    return LearningCurve(
        iteration=iterations,
        episode_return=np.array(returns),
        evaluated=iterations,
        sharpe=table[:, 0],
        sharpe_low=table[:, 1],
        sharpe_high=table[:, 2],
        best_iteration=int(table[:, 0].argmax()),
    )


CONFIG = """\
name: sp500-dqn
seed: 7
data:
  sources:
    - {instrument: S&P 500, uri: builtin:sp500}
features:
  window: 30
trading:
  fill: next_close
  fee_bps: 1.0
  slippage_bps: 1.0
training:
  algorithm: dqn
  total_steps: 100000
"""


def facts(market: Market, **changes: object) -> RunFacts:
    known: dict[str, object] = {
        "run_id": "20261122-181503-k3f9",
        "name": "sp500-dqn",
        "state": "completed",
        "attempt": 1,
        "seed": 7,
        "algorithm": "dqn",
        "instruments": market.instruments,
        "started_at": datetime(2026, 11, 22, 18, 15, 3, tzinfo=UTC),
        "ended_at": datetime(2026, 11, 22, 18, 19, 27, tzinfo=UTC),
        "code_version": "0.1.0+gabcdef0",
        "config_sha256": "c0ffee" * 10 + "c0ff",
        "data_digest": market.digest,
        "config_yaml": CONFIG,
        "tries_on_data": 3,
    }
    return RunFacts(**(known | changes))  # type: ignore[arg-type]


def example_report() -> ReportData:
    market, _ = sp500()
    return ReportData(
        facts=facts(market),
        periods_per_year=market.periods_per_year,
        splits=(split(market, TEST, Split.TEST), split(market, VALIDATION, Split.VALIDATION)),
        learning=(learning_curve(market),),
    )
