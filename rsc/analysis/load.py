"""From the store to a `ReportData`: which trials, which iteration, which episodes.

A run may hold several tries (a search) and several folds of each. A report shows one try,
all its folds: the one whose chosen modules did best on the validation split. Of a trial
it shows the module that was chosen there, and on the test split the one final evaluation.
A run that is still going, was interrupted or has failed shows what it has: of several
folds those that were evaluated for every policy, so that all are compared on the same bars.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsc.analysis.run_data import LearningCurve, ReportData, RunFacts, SplitRecords
from rsc.analysis.selection import (
    agent_on_validation,
    chosen_iteration,
    figure,
    selection_metric,
)
from rsc.config.load import config_from_mapping, dump_yaml
from rsc.config.run import RunConfig
from rsc.config.yaml_io import write_document
from rsc.errors import UserError
from rsc.store.runs import queries
from rsc.store.runs.queries import EpisodeTable, RunRow, TrialRow
from rsc.store.runs.rows import EvaluationRow
from rsc.store.schema.engine import Database
from rsc.trading.performance.series import non_overlapping, span
from rsc.trading.records import (
    EPISODE_DTYPE,
    NULL_TIMESTAMP,
    STEP_DTYPE,
    TRADE_DTYPE,
    EpisodeState,
    Policy,
    Split,
)

Evaluations = tuple[EvaluationRow, ...]


def load_report(engine: Database, run_id: str) -> ReportData:
    """Read everything a report of a run shows.

    Parameters
    ----------
    engine : Database
        The database.
    run_id : str
        The run.

    Raises
    ------
    UserError
        The run does not exist.
    TemporaryError
        The database is away.
    """
    run = queries.find_run(engine, run_id)
    trials = queries.list_trials(engine, run_id)
    evaluated = {one.trial_id: queries.list_evaluations(engine, one.trial_id) for one in trials}
    chosen = {
        one.trial_id: chosen_iteration(engine, run, one, evaluated[one.trial_id]) for one in trials
    }
    tries, metric = _tries(trials), selection_metric(run)
    shown = max(tries, key=lambda one: _try_value(one, evaluated, chosen, metric), default=())
    tables = {trial.trial_id: queries.read_episodes(engine, trial.trial_id) for trial in shown}
    names = _instrument_names(run, tables.values())
    splits = [
        _split(engine, split, _episodes(split, tables, chosen, evaluated, names))
        for split in (Split.TEST, Split.VALIDATION)
    ]
    years = [row.periods_per_year for rows in evaluated.values() for row in rows]
    return ReportData(
        facts=_facts(engine, run, shown, len(tries), names, tables),
        periods_per_year=years[0] if years else math.nan,
        splits=tuple(split for split in splits if Policy.AGENT in split.policies),
        learning=tuple(
            _curve(engine, trial, evaluated[trial.trial_id], chosen[trial.trial_id])
            for trial in shown
        ),
    )


def _tries(trials: Sequence[TrialRow]) -> list[tuple[TrialRow, ...]]:
    """Return the trials of each try, in order of fold."""
    found: dict[tuple[int, str], list[TrialRow]] = {}
    for trial in trials:
        found.setdefault((trial.seed, trial.parameters_digest), []).append(trial)
    return [tuple(sorted(group, key=lambda trial: trial.fold)) for group in found.values()]


def _try_value(
    trials: Sequence[TrialRow],
    evaluated: dict[int, Evaluations],
    chosen: dict[int, int | None],
    metric: str,
) -> float:
    """Return the mean of the chosen validation figures over the folds of a try.

    What is undefined, or was not evaluated yet, is below every number.
    """
    values = []
    for trial in trials:
        own = [
            figure(row, metric)
            for row in agent_on_validation(evaluated[trial.trial_id])
            if row.iteration == chosen[trial.trial_id]
        ]
        values.append(-math.inf if not own or own[0] is None else own[0])
    return sum(values) / len(values)


def _instrument_names(run: RunRow, tables: Any) -> tuple[str, ...]:
    """Return the instruments in the order of the configuration, others after them."""
    sources = run.config.get("data", {}).get("sources") or ()
    configured = [str(source["instrument"]) for source in sources]
    recorded = [name for table in tables for name in table.instruments]
    return tuple(dict.fromkeys([*configured, *recorded]))


def _episodes(
    split: Split,
    tables: dict[int, EpisodeTable],
    chosen: dict[int, int | None],
    evaluated: dict[int, Evaluations],
    names: tuple[str, ...],
) -> NDArray[np.void]:
    """Return the completed episodes of a split that are shown, of all folds."""
    found = []
    for trial_id, table in tables.items():
        records = table.records.copy()
        code = np.array([names.index(name) for name in table.instruments], dtype=np.int16)
        if len(records):
            records["instrument"] = code[records["instrument"]]
        iteration = _shown_iteration(split, chosen[trial_id], evaluated[trial_id])
        of_agent = (records["policy"] == Policy.AGENT) & (records["iteration"] == iteration)
        of_baseline = records["policy"] != Policy.AGENT
        kept = (records["split"] == split) & (records["state"] == EpisodeState.COMPLETED)
        found.append(records[kept & (of_agent | of_baseline)])
    return np.concatenate([np.zeros(0, EPISODE_DTYPE), *comparable(found)])


def comparable(folds: list[NDArray[np.void]]) -> list[NDArray[np.void]]:
    """Return the folds that can be joined: evaluated for every policy, none over another's bars.

    The baselines of a fold are evaluated at its end. Where no fold has them all, the agent
    stands alone.
    """
    evaluated = [episodes for episodes in folds if len(episodes)]
    policies = [set(episodes["policy"].tolist()) for episodes in evaluated]
    everyone = set().union(*policies)
    whole = [one for one, found in zip(evaluated, policies, strict=True) if found == everyone]
    if not whole:
        whole = [episodes[episodes["policy"] == Policy.AGENT] for episodes in evaluated]
        whole = [episodes for episodes in whole if len(episodes)]
    return [whole[position] for position in non_overlapping([span(episodes) for episodes in whole])]


def _shown_iteration(split: Split, chosen: int | None, rows: Evaluations) -> int:
    """Return the iteration of the agent's episodes that a split shows; -1 is none."""
    if split is Split.TEST:
        final = [r for r in rows if r.split is Split.TEST and r.policy is Policy.AGENT]
        final.sort(key=lambda row: (row.is_final, row.iteration))
        return final[-1].iteration if final else -1
    return -1 if chosen is None else chosen


def _split(engine: Database, split: Split, episodes: NDArray[np.void]) -> SplitRecords:
    identities = [int(identity) for identity in episodes["episode_id"]]
    steps = [queries.read_steps(engine, identity) for identity in identities]
    trades = [queries.read_trades(engine, identity) for identity in identities]
    return SplitRecords(
        split=split,
        episodes=episodes,
        steps=np.concatenate([np.zeros(0, STEP_DTYPE), *steps]),
        trades=np.concatenate([np.zeros(0, TRADE_DTYPE), *trades]),
    )


def _curve(
    engine: Database, trial: TrialRow, rows: Evaluations, chosen: int | None
) -> LearningCurve:
    iterations = queries.list_iterations(engine, trial.trial_id)
    own = agent_on_validation(rows)
    return LearningCurve(
        fold=trial.fold,
        iteration=_floats([row.iteration for row in iterations]),
        episode_return=_floats([row.episode_return_mean for row in iterations]),
        evaluated=_floats([row.iteration for row in own]),
        sharpe=_floats([row.metrics.get("sharpe") for row in own]),
        sharpe_low=_floats([row.metrics.get("sharpe_low") for row in own]),
        sharpe_high=_floats([row.metrics.get("sharpe_high") for row in own]),
        best_iteration=chosen,
    )


def _floats(values: Sequence[float | None]) -> NDArray[np.float64]:
    return np.array([math.nan if value is None else value for value in values], dtype=np.float64)


def _facts(
    engine: Database,
    run: RunRow,
    shown: Sequence[TrialRow],
    tries_in_run: int,
    names: tuple[str, ...],
    tables: dict[int, EpisodeTable],
) -> RunFacts:
    return RunFacts(
        run_id=run.run_id,
        name=run.name,
        state=str(run.state),
        attempt=run.attempt,
        seed=shown[0].seed if shown else run.seed,
        algorithm=str(run.config.get("training", {}).get("algorithm", "unknown")),
        instruments=names,
        started_at=run.started_at,
        ended_at=run.ended_at,
        code_version=run.code_version,
        config_sha256=run.config_sha256,
        data_digest=run.data_digest,
        config_yaml=_yaml(run),
        tries_on_data=_count_tries(engine, names, tables, tries_in_run),
        tries_in_run=max(1, tries_in_run),
        failure=run.failure or "",
    )


def _yaml(run: RunRow) -> str:
    """Return the configuration in the order of its fields, or as stored by another version."""
    try:
        return dump_yaml(config_from_mapping(RunConfig, run.config, where=f"run {run.run_id}"))
    except UserError:
        return write_document(dict(run.config))


def _count_tries(
    engine: Database, names: tuple[str, ...], tables: dict[int, EpisodeTable], at_least: int
) -> int | None:
    """Return the tries on overlapping dates; None before the first episode began."""
    timestamps = [table.records[name] for table in tables.values()
              for name in ("start_timestamp", "end_timestamp")]  # fmt: skip
    known = np.concatenate([np.zeros(0, np.int64), *timestamps])
    known = known[known != NULL_TIMESTAMP]
    if len(known) == 0:
        return None
    first, last = (datetime.fromtimestamp(int(s) / 1e9, tz=UTC) for s in (known.min(), known.max()))
    found = queries.count_tries(engine, instruments=names, first=first, last=last)
    return max(found, at_least)
