"""Removing runs: one, old ones, or all; never one that is alive, never the ledger.

Rows of a trial lie in one range of episode ids, so a range is deleted from each table;
when nothing else is in the tables they are emptied at once, which takes no longer for
ten million steps than for ten.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from rsc.errors import UserError
from rsc.store import tables
from rsc.store.attempts import server_now
from rsc.store.engine import check_schema, reading, writing
from rsc.store.executions import executions_in
from rsc.store.failures import database_errors
from rsc.store.queries import RunRow, count_rows, of_trial, run_in, run_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetScope:
    """Which runs: exactly one of the three.

    Attributes
    ----------
    run_id : str or None
        One run.
    older_than : timedelta or None
        Runs that were begun longer ago.
    everything : bool
        All runs.
    """

    run_id: str | None = None
    older_than: timedelta | None = None
    everything: bool = False

    def __post_init__(self) -> None:
        """Refuse none and several."""
        given = (self.run_id is not None) + (self.older_than is not None) + self.everything
        if given != 1:
            msg = f"reset was given {given} scopes, must be given exactly one"
            raise UserError(msg, "Choose a run, an age, or all.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetPlan:
    """What a reset removes (or removed): runs, and rows by table."""

    run_ids: tuple[str, ...]
    rows: dict[str, int]


def plan_reset(engine: Engine, scope: ResetScope) -> ResetPlan:
    """Return what `reset` would remove.

    Raises
    ------
    UserError
        When the run is unknown, or a run in scope is alive.
    """
    check_schema(engine)
    with reading(engine) as connection:
        return _plan(connection, scope)


def reset(engine: Engine, scope: ResetScope) -> ResetPlan:
    """Remove the runs in scope with everything that belongs to them.

    The ledger of tries stays: a try that was made stays a try.

    Returns
    -------
    ResetPlan
        What was removed.

    Raises
    ------
    UserError
        When the run is unknown, or a run in scope is alive. Nothing was removed then.
    """
    check_schema(engine)
    with _removing(engine) as connection:
        plan = _plan(connection, scope)
        trials = _trial_ids(connection, plan.run_ids)
        total = connection.execute(sa.select(sa.func.count()).select_from(tables.trials))
        if total.scalar_one() == len(trials):
            _empty(connection)
        else:
            _delete(connection, trials)
        _delete_runs(connection, plan.run_ids)
    if engine.dialect.name == "sqlite" and scope.everything:
        _shrink(engine)
    return plan


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


def _plan(connection: Connection, scope: ResetScope) -> ResetPlan:
    runs = _runs_in_scope(connection, scope)
    alive = [run for run in runs if run.alive]
    if alive:
        run = alive[0]
        msg = f"run {run.run_id} was alive (held by {run.holder}), it must have stopped"
        raise UserError(msg, "Stop it first; nothing was removed.")
    run_ids = tuple(run.run_id for run in runs)
    trials = _trial_ids(connection, run_ids)
    rows = {t.name: count_rows(connection, t, trials) for t in tables.TRIAL_TABLES}
    executions = sum(len(executions_in(connection, run_id)) for run_id in run_ids)
    rows |= {"trials": len(trials), "executions": executions, "training_runs": len(run_ids)}
    return ResetPlan(run_ids=run_ids, rows=rows)


def _runs_in_scope(connection: Connection, scope: ResetScope) -> list[RunRow]:
    runs = tables.training_runs
    query = sa.select(runs).order_by(runs.c.started_at)
    if connection.dialect.name == "postgresql":
        query = query.with_for_update()  # no attempt begins between the look and the removal
    if scope.older_than is not None:
        query = query.where(runs.c.started_at < server_now(connection) - scope.older_than)
    if scope.run_id is not None:
        run_in(connection, scope.run_id)  # says so when it is unknown
        query = query.where(runs.c.run_id == scope.run_id)
    return [run_of(connection, row) for row in connection.execute(query).all()]


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
    """Remove runs, which have no trials any more, with their executions."""
    for table in (tables.executions, tables.training_runs):
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
