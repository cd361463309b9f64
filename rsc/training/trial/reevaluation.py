"""A finished policy evaluated once more, from its checkpoint: nothing is trained or written.

The checkpoint, the prices and the folds must be those of the run; then the greedy
episodes are those that were recorded, and their metrics too. That is what shows that a
checkpoint can be used and does what its run says.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import ray

from rsc.analysis.run_prices import recorded_prices
from rsc.config.load import config_digest, config_from_mapping
from rsc.config.run import RunConfig
from rsc.errors import UserError
from rsc.s3 import is_object_uri
from rsc.store.runs.queries import RunRow, TrialRow, find_run, list_checkpoints, list_trials
from rsc.store.schema.engine import check_schema, create_engine
from rsc.store.states import CheckpointKind
from rsc.trading.performance.metrics import Performance, performance_of_records
from rsc.trading.records import Split
from rsc.training.algorithms.registry import build_algorithm
from rsc.training.checkpoints.local import (
    Checkpoint,
    existing_path,
    open_checkpoint,
    path_of,
    restore,
)
from rsc.training.checkpoints.remote import fetch_checkpoint
from rsc.training.checkpoints.storage import Storage
from rsc.training.ray_session import local_ray
from rsc.training.trial.evaluation import Evaluation, evaluate, greedy_decisions
from rsc.training.trial_plan import TrialPlan


def evaluate_run(
    run_id: str,
    *,
    folds: Collection[int],
    database_url: str | None = None,
    split: Split = Split.TEST,
) -> Performance:
    """Let the best checkpoints of some folds trade greedily over a split.

    Parameters
    ----------
    run_id : str
        A run that has a best checkpoint for each of these folds.
    folds : collection of int
        Folds that were evaluated on this split: nothing is evaluated for the first time here.
    database_url : str, optional
        Where its facts are; nothing is written there.
    split : Split
        VALIDATION or TEST.

    Returns
    -------
    Performance
        Of the folds, joined in order of date.

    Raises
    ------
    UserError
        The run is unknown, its prices changed, or a checkpoint is missing or damaged.
    """
    engine = create_engine(database_url)
    try:
        check_schema(engine)
        run = find_run(engine, run_id)
        trials = tuple(one for one in list_trials(engine, run_id) if one.fold in folds)
        config = config_from_mapping(RunConfig, run.config, f"run {run_id}")
        found = [_best_checkpoint(engine, run, trial, config) for trial in trials]
    finally:
        engine.dispose()
    with local_ray(config):
        evaluated = _evaluate_trials(run, config, trials, found, split)
    episodes, steps, trades = (
        np.concatenate([getattr(one.records, name) for one in evaluated])
        for name in ("episodes", "steps", "trades")
    )
    periods = evaluated[0].performance.periods_per_year
    return performance_of_records(episodes, steps, trades, periods_per_year=periods).shown()


def _best_checkpoint(engine: Any, run: RunRow, trial: TrialRow, config: RunConfig) -> Checkpoint:
    rows = [row for row in list_checkpoints(engine, trial.trial_id)
            if row.kind is CheckpointKind.BEST]  # fmt: skip
    if not rows:
        message = f"run {run.run_id} had no best checkpoint in fold {trial.fold}, must have one"
        raise UserError(message, "Train on until the first evaluation: rsc train --resume RUN.")
    uri, digest = rows[0].uri, config_digest(config)
    if is_object_uri(uri):
        scratch = Storage(uri).scratch(run.run_id) / f"fold-{trial.fold}"
        return fetch_checkpoint(uri, scratch / uri.rpartition("/")[2], config_digest=digest)
    return open_checkpoint(existing_path(path_of(uri)), config_digest=digest)


def _evaluate_trials(
    run: RunRow,
    config: RunConfig,
    trials: tuple[TrialRow, ...],
    found: list[Checkpoint],
    split: Split,
) -> list[Evaluation]:
    prices = recorded_prices(run)
    evaluated = []
    for trial, checkpoint in zip(trials, found, strict=True):
        fold = prices.folds[trial.fold]
        market = prices.market(fold)
        plan = TrialPlan(config=config, fold=fold, trial_id=trial.trial_id, seed=trial.seed)
        algorithm = build_algorithm(plan, ray.put(market))
        try:
            restore(algorithm, checkpoint)
            decide = greedy_decisions(algorithm.greedy_module(), plan, market)
            evaluated.append(
                evaluate(decide, plan, market, split=split, iteration=checkpoint.iteration)
            )
        finally:
            algorithm.stop()
    return evaluated
