"""Removing runs: one, old ones, or all; never one that is alive, never the ledger.

What would go is planned and counted first, and only what was planned is removed, without
counting again. Rows of a trial lie in one range of episode ids, so a range is deleted from
each table; when nothing else is in the tables they are emptied at once: Postgres lets go of
their files, SQLite of their pages without a look at the rows. Counting reads every page, so
a plan takes longer the more was recorded (benchmarks/reset.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from rsc.errors import UserError
from rsc.store.runs.attempts import attempts_in
from rsc.store.runs.queries import RunRow, count_rows, of_trial, run_in, run_of
from rsc.store.schema import tables
from rsc.store.schema.engine import check_schema, reading, server_now, writing
from rsc.store.schema.failures import database_errors


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetScope:
    """Which runs: exactly one of the three."""

    run_id: str | None = None
    """One run."""
    older_than: timedelta | None = None
    """Runs that were begun longer ago."""
    everything: bool = False
    """All runs."""

    def __post_init__(self) -> None:
        """Refuse none and several."""
        given = (self.run_id is not None) + (self.older_than is not None) + self.everything
        if given != 1:
            msg = f"reset was given {given} scopes, must be given exactly one"
            raise UserError(msg, "Choose a run, an age, or all.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetPlan:
    """What a reset removes: runs, and rows by table when it was planned."""

    run_ids: tuple[str, ...]
    rows: dict[str, int]


def plan_reset(engine: Engine, scope: ResetScope) -> ResetPlan:
    """Return what `reset` is to remove.

    Raises
    ------
    UserError
        When the run is unknown, or a run in scope is alive.
    """
    check_schema(engine)
    with reading(engine) as connection:
        runs = _runs_in_scope(connection, scope)
        _refuse_alive(runs)
        run_ids = tuple(run.run_id for run in runs)
        trials = _trial_ids(connection, run_ids)
        counted = None if _are_all(connection, trials) else trials
        rows = {t.name: count_rows(connection, t, counted) for t in tables.TRIAL_TABLES}
        attempts = sum(len(attempts_in(connection, run_id)) for run_id in run_ids)
    rows |= {"trials": len(trials), "attempts": attempts, "training_runs": len(run_ids)}
    return ResetPlan(run_ids=run_ids, rows=rows)


def reset(engine: Engine, plan: ResetPlan) -> None:
    """Remove the runs of a plan with everything that belongs to them.

    The ledger of tries stays: a try that was made stays a try. A run of the plan that is
    gone meanwhile is no error.

    Raises
    ------
    UserError
        When a run of the plan is alive by now. Nothing was removed then.
    """
    check_schema(engine)
    with _removing(engine) as connection:
        _refuse_alive(_planned_runs(connection, plan))
        trials = _trial_ids(connection, plan.run_ids)
        emptied = _are_all(connection, trials, locked=True)
        if emptied:
            _empty(connection)
        else:
            _delete(connection, trials)
        _delete_runs(connection, plan.run_ids)
    if engine.dialect.name == "sqlite" and emptied:
        _shrink(engine)


@contextmanager
def _removing(engine: Engine) -> Iterator[Connection]:
    """Open a transaction for removing rows, children first.

    On SQLite foreign keys rest meanwhile: it can empty a table at once only without.
    """
    if engine.dialect.name == "postgresql":
        with writing(engine) as connection:
            yield connection
        return
    with (
        database_errors(engine.url),
        engine.connect().execution_options(rsc_writing=True) as connection,
    ):
        cursor = connection.connection.cursor()  # no transaction yet: the pragma needs that
        cursor.execute("PRAGMA foreign_keys = OFF")
        try:
            with connection.begin():
                yield connection
        finally:
            cursor.execute("PRAGMA foreign_keys = ON")
            cursor.close()


def _refuse_alive(runs: list[RunRow]) -> None:
    for run in runs:
        if run.alive:
            msg = f"run {run.run_id} was alive (held by {run.holder}), it must have stopped"
            raise UserError(msg, "Stop it first; nothing was removed.")


def _runs_in_scope(connection: Connection, scope: ResetScope) -> list[RunRow]:
    runs = tables.training_runs
    query = sa.select(runs).order_by(runs.c.started_at)
    if scope.older_than is not None:
        query = query.where(runs.c.started_at < server_now(connection) - scope.older_than)
    if scope.run_id is not None:
        run_in(connection, scope.run_id)  # says so when it is unknown
        query = query.where(runs.c.run_id == scope.run_id)
    return [run_of(connection, row) for row in connection.execute(query).all()]


def _planned_runs(connection: Connection, plan: ResetPlan) -> list[RunRow]:
    runs = tables.training_runs
    query = sa.select(runs).where(runs.c.run_id.in_(plan.run_ids))
    if connection.dialect.name == "postgresql":
        query = query.with_for_update()  # no attempt begins between the look and the removal
    return [run_of(connection, row) for row in connection.execute(query).all()]


def _are_all(connection: Connection, trials: list[int], *, locked: bool = False) -> bool:
    """Return whether there are no other trials than these; `locked`: nor will be any."""
    query = sa.select(sa.func.count()).select_from(tables.trials)
    alone = connection.execute(query).scalar_one() == len(trials)
    if alone and locked and connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"LOCK TABLE {tables.trials.name} IN SHARE ROW EXCLUSIVE MODE")
        return bool(connection.execute(query).scalar_one() == len(trials))
    return bool(alone)


def _trial_ids(connection: Connection, run_ids: tuple[str, ...]) -> list[int]:
    trials = tables.trials
    query = sa.select(trials.c.trial_id, trials.c.run_id).order_by(trials.c.trial_id)
    wanted = set(run_ids)
    return [row.trial_id for row in connection.execute(query) if row.run_id in wanted]


def _empty(connection: Connection) -> None:
    """Remove all trials and what belongs to them at once."""
    below = (*tables.TRIAL_TABLES, tables.trials)
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"TRUNCATE {', '.join(table.name for table in below)}")
        return
    for table in below:
        connection.execute(table.delete())


def _delete(connection: Connection, trials: list[int]) -> None:
    for table in (*tables.TRIAL_TABLES, tables.trials):
        for trial_id in trials:
            connection.execute(table.delete().where(of_trial(table, trial_id)))


def _delete_runs(connection: Connection, run_ids: tuple[str, ...]) -> None:
    """Remove runs, which have no trials any more, with their attempts."""
    for table in (tables.attempts, tables.training_runs):
        for run_id in run_ids:
            connection.execute(table.delete().where(table.c.run_id == run_id))


def _shrink(engine: Engine) -> None:
    """Give the space of an emptied SQLite file back to the disk."""
    with database_errors(engine.url):
        connection = engine.raw_connection()
        try:
            connection.cursor().execute("VACUUM")
        finally:
            connection.close()
