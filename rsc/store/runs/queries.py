"""Reading: what the command line, the reports and the checks ask the database.

Every function takes an engine, opens one read transaction and returns frozen rows or
record arrays of `rsc.trading.records`; nothing here writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, TypeVar

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.engine import Connection, Engine, Row

from rsc.store.lease import DEFAULT_LEASE_SECONDS, is_alive
from rsc.store.records.reading import Rows, read_rows
from rsc.store.runs.fencing import unknown_run
from rsc.store.runs.plain_rows import NamedValues, named_values
from rsc.store.runs.rows import CheckpointRow, EvaluationRow, IterationRow, TryRow
from rsc.store.schema import tables
from rsc.store.schema.columns import (
    EPISODES,
    OPERATIONS,
    POLICIES,
    SPLITS,
    STEPS,
    TRADES,
    RecordTable,
)
from rsc.store.schema.engine import reading, server_now
from rsc.store.states import CheckpointKind, RunState
from rsc.trading.records import TRIAL_SHIFT, Policy, Split, episode_id_range

_Plain = TypeVar("_Plain")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """A row of `training_runs`; `alive` is whether its holder's heartbeat is young."""

    run_id: str
    name: str
    state: RunState
    config: Mapping[str, Any]
    config_sha256: str
    data_digest: str
    code_version: str
    seed: int
    image_digest: str | None
    host: Mapping[str, Any]
    attempt: int
    holder: str | None
    heartbeat_at: datetime | None
    started_at: datetime
    ended_at: datetime | None
    final_metrics: Mapping[str, Any] | None
    pod_seconds: float | None
    failure: str | None
    cancel_requested_at: datetime | None
    extensions: tuple[Mapping[str, Any], ...]
    alive: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRow:
    """A row of `trials`; the counts are null until it has ended."""

    trial_id: int
    run_id: str
    fold: int
    seed: int
    parameters: Mapping[str, Any]
    parameters_digest: str
    state: RunState
    checksum_version: int
    best_iteration: int | None
    episode_count: int | None
    step_count: int | None
    trade_count: int | None
    operation_count: int | None
    evaluation_count: int | None
    iteration_count: int | None
    digest: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeTable:
    """Episodes of a trial."""

    records: NDArray[np.void]
    """In order of id; `instrument` is an index into `instruments`."""
    instruments: tuple[str, ...]
    """Names, sorted."""


def list_runs(engine: Engine) -> tuple[RunRow, ...]:
    """Return all runs, the newest first."""
    runs = tables.training_runs
    with reading(engine) as connection:
        rows = connection.execute(sa.select(runs).order_by(runs.c.started_at.desc()))
        return tuple(run_of(connection, row) for row in rows.all())


def find_run(engine: Engine, run_id: str) -> RunRow:
    """Return one run.

    Raises
    ------
    UserError
        When it does not exist; it names the closest known id.
    """
    with reading(engine) as connection:
        return run_in(connection, run_id)


def run_in(connection: Connection, run_id: str) -> RunRow:
    """Return one run inside a transaction; raises UserError when it does not exist."""
    runs = tables.training_runs
    row = connection.execute(sa.select(runs).where(runs.c.run_id == run_id)).one_or_none()
    if row is None:
        raise unknown_run(run_id, connection.execute(sa.select(runs.c.run_id)).scalars().all())
    return run_of(connection, row)


def run_of(connection: Connection, row: Row[Any]) -> RunRow:
    """Return a database row of `training_runs` as a RunRow."""
    lease = timedelta(seconds=DEFAULT_LEASE_SECONDS)
    alive = is_alive(row, server_now(connection), lease)
    values = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for a row as a mapping
    changed = {"state": RunState(row.state), "extensions": tuple(row.extensions)}
    return RunRow(**values | changed, alive=alive)


def run_configuration(engine: Engine, run_id: str) -> Mapping[str, Any]:
    """Return the effective configuration of a run; raises UserError when it is unknown."""
    return find_run(engine, run_id).config


def list_trials(engine: Engine, run_id: str) -> tuple[TrialRow, ...]:
    """Return the trials of a run by fold, seed and parameters; UserError when unknown."""
    with reading(engine) as connection:
        run_in(connection, run_id)
        return trials_in(connection, run_id)


def trials_in(connection: Connection, run_id: str) -> tuple[TrialRow, ...]:
    """Return the trials of a run inside a transaction."""
    trials = tables.trials
    rows = connection.execute(
        sa.select(trials)
        .where(trials.c.run_id == run_id)
        .order_by(trials.c.fold, trials.c.seed, trials.c.parameters_digest)
    )
    return tuple(_plain(TrialRow, row, state=RunState(row.state)) for row in rows)


def list_iterations(engine: Engine, trial_id: int) -> tuple[IterationRow, ...]:
    """Return the training curve of a trial."""
    table = tables.iterations
    query = sa.select(table).where(table.c.trial_id == trial_id).order_by(table.c.iteration)
    with reading(engine) as connection:
        named = named_values(connection, table, trial_id)
        return tuple(
            _plain(IterationRow, row, statistics=_floats(named, trial_id, row.iteration))
            for row in connection.execute(query)
        )


def _floats(named: NamedValues, *key: Any) -> dict[str, float | None]:
    """Return the values of a row by name, without their reasons."""
    return {name: value for name, (value, _) in sorted(named.get(key, {}).items())}


def list_evaluations(engine: Engine, trial_id: int) -> tuple[EvaluationRow, ...]:
    """Return the evaluations of a trial by split, iteration and policy."""
    with reading(engine) as connection:
        return evaluations_in(connection, trial_id)


def evaluations_in(connection: Connection, trial_id: int) -> tuple[EvaluationRow, ...]:
    """Return the evaluations of a trial inside a transaction.

    A row with a split or a policy that nobody knows, put there past the constraints, is none of
    them: `rsc.audit.verify` finds it by its checksum.
    """
    table = tables.evaluations
    known = table.c.split.in_(SPLITS.values()) & table.c.policy.in_(POLICIES.values())
    rows = connection.execute(sa.select(table).where(table.c.trial_id == trial_id, known))
    named = named_values(connection, table, trial_id)
    found = [_evaluation(row, named) for row in rows]
    return tuple(sorted(found, key=lambda row: (row.split, row.iteration, row.policy)))


def _evaluation(row: Row[Any], named: NamedValues) -> EvaluationRow:
    key = (row.trial_id, row.split, row.iteration, row.policy)
    reasons = {name: why for name, (_, why) in named.get(key, {}).items() if why is not None}
    return _plain(
        EvaluationRow,
        row,
        split=split_of(row.split),
        policy=policy_of(row.policy),
        is_final=bool(row.is_final),
        metrics={name: getattr(row, name) for name in tables.EVALUATION_METRICS},
        extra_metrics=_floats(named, *key),
        undefined=row.undefined | reasons,
    )


def split_of(name: str) -> Split:
    """Return the split that the database calls `name`."""
    return Split(next(code for code, text in SPLITS.items() if text == name))


def policy_of(name: str) -> Policy:
    """Return the policy that the database calls `name`."""
    return Policy(next(code for code, text in POLICIES.items() if text == name))


def list_checkpoints(engine: Engine, trial_id: int) -> tuple[CheckpointRow, ...]:
    """Return where the checkpoints of a trial lie, by kind."""
    table = tables.checkpoints
    query = sa.select(table).where(table.c.trial_id == trial_id).order_by(table.c.kind)
    with reading(engine) as connection:
        rows = connection.execute(query)
        return tuple(_plain(CheckpointRow, row, kind=CheckpointKind(row.kind)) for row in rows)


def read_episodes(
    engine: Engine,
    trial_id: int,
    *,
    split: Split | None = None,
    iteration: int | None = None,
    policy: Policy | None = None,
) -> EpisodeTable:
    """Return the episodes of a trial, or those of a split, iteration and policy."""
    with reading(engine) as connection:
        rows = read_rows(connection, EPISODES, *episode_id_range(trial_id))
    records = rows.records
    keep = np.ones(len(records), dtype=bool)
    for name, wanted in (("split", split), ("iteration", iteration), ("policy", policy)):
        if wanted is not None:
            keep &= records[name] == wanted
    return EpisodeTable(records=records[keep], instruments=rows.instruments)


def read_steps(engine: Engine, episode_id: int) -> NDArray[np.void]:
    """Return the recorded steps of an episode, in order, as STEP_DTYPE."""
    return _of_episode(engine, STEPS, episode_id)


def read_trades(engine: Engine, episode_id: int) -> NDArray[np.void]:
    """Return the trades of an episode, in order, as TRADE_DTYPE."""
    return _of_episode(engine, TRADES, episode_id)


def read_operations(engine: Engine, episode_id: int) -> NDArray[np.void]:
    """Return the operations of an episode, in order, as OPERATION_DTYPE."""
    return _of_episode(engine, OPERATIONS, episode_id)


def _of_episode(engine: Engine, table: RecordTable, episode_id: int) -> NDArray[np.void]:
    with reading(engine) as connection:
        rows: Rows = read_rows(connection, table, episode_id, episode_id)
        return rows.records


def misplaced_episodes(connection: Connection, trial_ids: list[int]) -> list[tuple[int, int]]:
    """Return id and trial of episodes whose trial is not the one that their id says.

    Those that are of some trials by either; in one pass over the table.
    """
    columns = tables.episodes.c
    said = columns.episode_id.bitwise_rshift(TRIAL_SHIFT)
    misplaced = (columns.trial_id != said) & (columns.trial_id.in_(trial_ids) | said.in_(trial_ids))
    query = sa.select(columns.episode_id, columns.trial_id).where(misplaced)
    return [(row.episode_id, row.trial_id) for row in connection.execute(query)]


def row_counts(engine: Engine, run_id: str | None = None) -> dict[str, int]:
    """Return how many rows each table of records holds, in all or of one run."""
    with reading(engine) as connection:
        ids = None if run_id is None else [t.trial_id for t in trials_in(connection, run_id)]
        return {t.name: count_rows(connection, t, ids) for t in tables.TRIAL_TABLES}


def count_rows(connection: Connection, table: sa.Table, trial_ids: list[int] | None) -> int:
    """Return how many rows of a table belong to some trials (None: all)."""
    query = sa.select(sa.func.count()).select_from(table)
    if trial_ids is None:
        return int(connection.execute(query).scalar_one())
    return sum(
        int(connection.execute(query.where(of_trial(table, trial_id))).scalar_one())
        for trial_id in trial_ids
    )


def of_trial(table: sa.Table, trial_id: int) -> sa.ColumnElement[bool]:
    """Return the condition that a row belongs to a trial; a range of keys where it can be."""
    if "episode_id" in table.c:
        return table.c.episode_id.between(*episode_id_range(trial_id))
    return table.c.trial_id == trial_id


def list_tries(
    engine: Engine, *, instruments: tuple[str, ...], first: datetime, last: datetime
) -> tuple[TryRow, ...]:
    """Return every line of the ledger on these instruments whose dates overlap.

    Parameters
    ----------
    instruments : tuple of str
        Names.
    first, last : datetime
        Dates of the data that is evaluated, both included.
    """
    table = tables.tries
    query = (
        sa.select(table)
        .where(
            table.c.instrument.in_(instruments),
            table.c.first_date <= last,
            table.c.last_date >= first,
        )
        .order_by(*table.primary_key.columns)
    )
    with reading(engine) as connection:
        rows = connection.execute(query)
        return tuple(_plain(TryRow, row, state=RunState(row.state)) for row in rows)


def count_tries(
    engine: Engine, *, instruments: tuple[str, ...], first: datetime, last: datetime
) -> int:
    """Return N of section 3 of the performance metrics: distinct tries on these data.

    A try is a run, a parameter set and a seed, in whatever state it ended; several
    instruments or folds of one try are one.
    """
    rows = list_tries(engine, instruments=instruments, first=first, last=last)
    return len({(row.run_id, row.parameters_digest, row.seed) for row in rows})


def _plain(row_type: type[_Plain], row: Row[Any], /, **changed: Any) -> _Plain:
    """Return a database row as one of the frozen rows, by field name."""
    names = [field.name for field in fields(row_type)]  # type: ignore[arg-type]
    values = {name: changed.get(name, getattr(row, name, None)) for name in names}
    return row_type(**values)
