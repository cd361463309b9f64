"""Real records for the tests of the store: the kernel's own, from random decisions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import sqlalchemy as sa

from rsc.market.matrix import Market
from rsc.store.runs.rows import EvaluationRow, IterationRow, NewRun, TrialContext
from rsc.store.runs.writes import SqlRunStore
from rsc.store.states import RunState
from rsc.trading.environments.simulator import Simulator
from rsc.trading.performance.metrics import performance_of_records
from rsc.trading.records import (
    Policy,
    RecordBatch,
    Split,
    evaluation_episode_id,
    training_episode_ids,
)
from rsc.trading.rules import TradingConfig

BARS, INSTRUMENTS = 300, ("ACME", "ZETA")
PLAIN = TradingConfig(stop_loss=0.03, take_profit=0.05, fee_bps=10, slippage_bps=5)
LEVERAGED = TradingConfig(
    max_leverage=3,
    position_fraction=2.5,
    maintenance_margin=0.3,
    borrow_rate=0.1,
    financing_rate=0.3,
    fill="next_close",
    fee_bps=20,
    slippage_bps=10,
    actions=(-1, -0.3, 0, 0.5, 1),
    rebalance_tolerance=0.05,
    max_drawdown_limit=0.4,
)


def random_market(seed: int = 1) -> Market:
    """Return two instruments of daily bars with gaps; every fiftieth bar has no volume."""
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.02, (2, BARS)), axis=1)).ravel()
    first = close * np.exp(rng.normal(0, 0.01, 2 * BARS))
    high = np.maximum(first, close) * np.exp(np.abs(rng.normal(0, 0.01, 2 * BARS)))
    low = np.minimum(first, close) * np.exp(-np.abs(rng.normal(0, 0.01, 2 * BARS)))
    start = np.datetime64("2015-01-05T00:00:00", "ns").astype(np.int64)
    return Market(
        instruments=INSTRUMENTS,
        feature_names=("none",),
        offset=np.array([0, BARS, 2 * BARS]),
        first_bar=np.zeros(2, np.int64),
        features=np.zeros((2 * BARS, 1), np.float32),
        open=first,
        high=high,
        low=low,
        close=close,
        timestamp=np.tile(start + np.arange(BARS) * 86_400 * 10**9, 2),
        tradable=np.arange(2 * BARS) % 50 != 7,
        periods_per_year=252.0,
        digest="0" * 64,
    )


def play(
    trial_id: int,
    *,
    trading: TradingConfig = PLAIN,
    accounts: int = 4,
    rounds: int = 3,
    steps: int = 30,
    interrupted: bool = True,
    steps_recorded: bool = True,
    seed: int = 0,
) -> list[RecordBatch]:
    """Return training records in batches: episodes of 25 bars, the last ones interrupted."""
    simulator = Simulator(random_market(), trading, accounts=accounts)
    rng, number, batches = np.random.default_rng(seed), 0, []
    for _ in range(rounds):
        for _ in range(steps):
            index = np.flatnonzero(~simulator.active)
            if len(index):
                start = rng.integers(0, BARS - 30, len(index))
                simulator.begin(
                    index,
                    instrument=rng.integers(0, 2, len(index)),
                    start=start,
                    end=start + 25,
                    episode_id=training_episode_ids(trial_id, number + np.arange(len(index))),
                    split=Split.TRAIN,
                    steps_recorded=steps_recorded,
                )
                number += len(index)
            simulator.step(rng.integers(0, len(trading.actions), accounts))
        batches.append(simulator.drain())
    if interrupted:
        simulator.interrupt()
        batches.append(simulator.drain())
    return batches


def evaluate(trial_id: int, split: Split, policy: Policy) -> tuple[RecordBatch, EvaluationRow]:
    """Return the records of one pass over both instruments and its evaluation."""
    simulator = Simulator(random_market(), PLAIN, accounts=2)
    simulator.iteration = 1
    ids = [
        evaluation_episode_id(trial_id, split=split, iteration=1, policy=policy, instrument=i)
        for i in range(2)
    ]
    simulator.begin(
        [0, 1], instrument=[0, 1], start=40, end=140, episode_id=ids, split=split, policy=policy
    )
    rng = np.random.default_rng(int(policy))
    while simulator.active.any():
        simulator.step(rng.integers(0, 3, 2))
    batch = simulator.drain()
    done = batch.episodes[batch.episodes["state"] == 1]
    found = performance_of_records(done, batch.steps, batch.trades, periods_per_year=252.0)
    row = EvaluationRow(
        split=split,
        iteration=1,
        policy=policy,
        periods_per_year=252.0,
        step_count=found.bars,
        episode_return=float(done["episode_return"].sum()),
        metrics=found.as_dict(),
        extra_metrics={"omega": 1, "tail_ratio": None},
        undefined={**found.undefined, "tail_ratio": "too few bars"},
        is_final=split is Split.TEST,
        checkpoint_iteration=1 if policy is Policy.AGENT else None,
    )
    return batch, row


@dataclass(frozen=True)
class Recorded:
    """A run in a store."""

    store: SqlRunStore
    run_id: str
    trial: TrialContext
    batches: list[RecordBatch]


def new_run(run_id: str = "20260101-000000-test", trading: TradingConfig = PLAIN) -> NewRun:
    return NewRun(
        run_id=run_id,
        name="test",
        config={"trading": trading.model_dump(mode="json"), "seed": 1},
        config_sha256="c" * 64,
        data_digest="d" * 64,
        code_version="0",
        seed=1,
    )


def begin_run(store: SqlRunStore, run_id: str = "20260101-000000-test", **values) -> TrialContext:
    """Create a run with one attempt and one trial."""
    store.create_run(new_run(run_id, **values))
    attempt = store.begin_attempt(run_id, "elsewhere/1/1")
    trial_id = store.create_trial(run_id, attempt=attempt, fold=0, seed=1, parameters={"a": 1})
    return TrialContext(run_id=run_id, attempt=attempt, trial_id=trial_id, instruments=INSTRUMENTS)


def record_run(
    store: SqlRunStore,
    run_id: str = "20260101-000000-test",
    *,
    trading: TradingConfig = PLAIN,
    finish: bool = True,
    **played,
) -> Recorded:
    """Record a whole run: training, validation of two policies, one final test."""
    trial = begin_run(store, run_id, trading=trading)
    batches = play(trial.trial_id, trading=trading, **played)
    if trading is PLAIN:
        for split, policy in (
            (Split.VALIDATION, Policy.AGENT),
            (Split.VALIDATION, Policy.RANDOM),
            (Split.TEST, Policy.AGENT),
        ):
            batch, row = evaluate(trial.trial_id, split, policy)
            store.add(trial, batch)
            store.add(trial, row)
    for batch in batches:
        store.add(trial, batch)
    store.add(
        trial,
        IterationRow(
            iteration=1,
            environment_steps=360,
            learner_updates=10,
            episodes_completed=12,
            seconds=1.5,
            statistics={"loss": 0.25, "temperature": 0.5},
        ),
    )
    if finish:
        store.finish_trial(trial, RunState.COMPLETED, best_iteration=1)
        store.finish_run(run_id, trial.attempt, RunState.COMPLETED, final_metrics={"sharpe": 1.0})
    return Recorded(store, run_id, trial, batches)


def execute(store: SqlRunStore, statement: str, *, checks: bool = True, **values) -> int:
    """Do what a hand with a database shell would do; return the number of rows changed.

    In the shell of SQLite nothing asks for foreign keys; without `checks` it was told to ignore
    these, too.
    """
    with store.engine.connect() as connection:
        if store.engine.dialect.name == "sqlite":
            connection.exec_driver_sql("COMMIT")
            connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
            connection.exec_driver_sql(f"PRAGMA ignore_check_constraints = {not checks}")
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        count = connection.execute(sa.text(statement), values).rowcount
        connection.commit()
        if store.engine.dialect.name == "sqlite":
            connection.exec_driver_sql("COMMIT")
            connection.exec_driver_sql("PRAGMA foreign_keys = ON")
            connection.exec_driver_sql("PRAGMA ignore_check_constraints = OFF")
            connection.exec_driver_sql("BEGIN")
    return count


def joined(batches: list[RecordBatch], name: str) -> np.ndarray:
    return np.concatenate([getattr(batch, name) for batch in batches])
