"""Runs in a database without training: the real store and simulator, an agent that guesses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from rsc.config.load import config_digest, config_mapping, load_run_config
from rsc.market.build import build_market, market_digest
from rsc.market.prices.sources import load_bars
from rsc.market.splits import make_folds
from rsc.store.runs.rows import EvaluationRow, IterationRow, NewRun, TrialContext
from rsc.store.runs.writes import open_store
from rsc.store.states import RunState
from rsc.trading.environments.baselines.run import run_baselines
from rsc.trading.environments.simulator import Simulator
from rsc.trading.performance.metrics import performance_of_records
from rsc.trading.records import Policy, RecordBatch, Split, evaluation_episode_id

EVALUATED = (Split.VALIDATION, Split.TEST)
ITERATION = 2
EXAMPLE = """\
name: small
seed: 3
data:
  synthetic: {kind: mean_reversion, bars: 600}
features:
  window: 5
  columns: [{kind: log_return, horizon: 1}, {kind: rsi, period: 7}]
  scaling: {kind: none}
"""


def record_run(
    run_id: str,
    file: Path,
    *overrides: str,
    url: str = "sqlite:///rsc.db",
    state: RunState = RunState.COMPLETED,
) -> None:
    """Record a run of `file` whose agent acts at random from the run's seed."""
    config = load_run_config(file, overrides)
    bars = load_bars(config.data)
    folds = make_folds(bars, config.features, config.splits, horizon_bars=config.horizon_bars)
    store = open_store(url)
    attempt = _begin(store, run_id, config, market_digest(bars))
    metrics = []
    for fold in folds:
        market = build_market(bars, config.features, fold, config.data.periods_per_year)
        trial_id = store.create_trial(
            run_id,
            attempt=attempt,
            fold=fold.index,
            seed=config.seed,
            parameters=config_mapping(config),
        )
        context = TrialContext(
            run_id=run_id, attempt=attempt, trial_id=trial_id, instruments=market.instruments
        )
        _add_iterations(store, context)
        metrics.append(_record_fold(store, context, config, market, fold))
        if state is RunState.COMPLETED:
            store.finish_trial(context, state, best_iteration=ITERATION)
    if state is not RunState.RUNNING:
        failure = "the disk was full" if state is RunState.FAILED else None
        finals = {"folds": metrics} if state is RunState.COMPLETED else None
        store.finish_run(run_id, attempt, state, final_metrics=finals, failure=failure)
    store.close()


def _begin(store, run_id, config, data_digest) -> int:
    store.create_run(
        NewRun(
            run_id=run_id,
            name=config.name,
            config=config_mapping(config),
            config_sha256=config_digest(config),
            data_digest=data_digest,
            code_version="0",
            seed=config.seed,
        )
    )
    return store.begin_attempt(run_id, f"holder-{run_id}")


def _record_fold(store, context, config, market, fold) -> dict[str, Any]:
    """Record the agent and the baselines on both splits; return the agent's metrics."""
    found: dict[str, Any] = {"fold": fold.index}
    for split in EVALUATED:
        ranges = fold.validation if split is Split.VALIDATION else fold.test
        own = _agent_records(market, config, context.trial_id, fold.index, split, ranges)
        others = run_baselines(
            market,
            config.trading,
            ranges,
            trial_id=context.trial_id,
            split=split,
            fold=fold.index,
            seed=config.seed,
        )
        for batch in (own, others):
            store.add(context, batch)
            for policy in np.unique(batch.episodes["policy"]):
                row = _evaluate(batch, Policy(policy), split, market.periods_per_year)
                store.add(context, row)
                if policy == Policy.AGENT:
                    found[split.name.lower()] = {"agent": dict(row.metrics)}
    return found


def _add_iterations(store, context) -> None:
    for iteration in range(1, ITERATION + 1):
        row = IterationRow(
            iteration=iteration,
            environment_steps=1000 * iteration,
            learner_updates=10 * iteration,
            episodes_completed=iteration,
            seconds=1.0,
            statistics={"loss": 0.5},
        )
        store.add(context, row)


def _agent_records(market, config, trial_id, fold, split, ranges) -> RecordBatch:
    simulator = Simulator(market, config.trading, accounts=len(ranges))
    simulator.iteration = ITERATION
    for instrument, bars in enumerate(ranges):
        identity = evaluation_episode_id(
            trial_id, split=split, iteration=ITERATION, policy=Policy.AGENT, instrument=instrument
        )
        simulator.begin(
            [instrument],
            instrument=instrument,
            start=bars.start,
            end=bars.end,
            episode_id=identity,
            split=split,
            policy=Policy.AGENT,
            fold=fold,
        )
    rng = np.random.default_rng([config.seed, fold, int(split)])
    while simulator.active.any():
        simulator.step(rng.integers(0, len(config.trading.actions), len(ranges)))
    return simulator.drain()


def _evaluate(batch: RecordBatch, policy: Policy, split: Split, periods: float) -> EvaluationRow:
    episodes = batch.episodes[batch.episodes["policy"] == policy]
    done = episodes[np.isfinite(episodes["episode_return"])]
    found = performance_of_records(episodes, batch.steps, batch.trades, periods_per_year=periods)
    return EvaluationRow(
        split=split,
        iteration=ITERATION if policy is Policy.AGENT else 0,
        policy=policy,
        periods_per_year=periods,
        step_count=found.bars,
        episode_return=float(done["episode_return"].sum()),
        metrics=found.as_dict(),
        undefined=found.undefined,
        is_final=split is Split.TEST,
        checkpoint_iteration=ITERATION if policy is Policy.AGENT else None,
    )
