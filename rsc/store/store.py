"""What the training writes: runs, attempts, trials, records, curves, judgements.

`RunStore` is what the recorder and the driver of a run see; `SqlRunStore` does it on
SQLite and Postgres alike. Every write is one transaction that first checks that the
attempt it belongs to is still the newest of a running run, and every write can be
sent again without changing anything. Reading is `rsc.store.queries`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Engine, Row

from rsc.errors import RscError, UserError
from rsc.store import tables
from rsc.store.bulk import write
from rsc.store.columns import EPISODES, OPERATIONS, STEPS, TRADES
from rsc.store.encoding import prepare
from rsc.store.engine import create_engine, prepare_database, writing
from rsc.store.lease import SupersededError, is_gone
from rsc.store.rows import (
    CheckpointRow,
    EvaluationRow,
    IterationRow,
    NewRun,
    RunState,
    TrialContext,
    TryRow,
)
from rsc.store.sealing import plain_checksum, seal
from rsc.trading.records import MAX_TRIAL_ID, RecordBatch

DEFAULT_LEASE_SECONDS = 60.0


class RunStore(Protocol):
    """Where the facts of runs go."""

    def create_run(self, run: NewRun) -> None:
        """Create a run that no attempt has begun yet."""

    def begin_attempt(self, run_id: str, holder: str) -> int:
        """Take the run for `holder` and return the number of the attempt, from 1."""

    def heartbeat(self, run_id: str, attempt: int) -> None:
        """Say that the attempt is alive."""

    def create_trial(
        self, run_id: str, *, attempt: int, fold: int, seed: int, parameters: Mapping[str, Any]
    ) -> int:
        """Return the id of the trial, creating it when it is new."""

    def append(self, trial: TrialContext, batch: RecordBatch) -> None:
        """Write records; rows that are there already stay as they are."""

    def add_iteration(self, trial: TrialContext, row: IterationRow) -> None:
        """Write one training iteration, replacing the same one."""

    def add_evaluation(self, trial: TrialContext, row: EvaluationRow) -> None:
        """Write one evaluation, replacing the same one."""

    def add_checkpoint(self, trial: TrialContext, row: CheckpointRow) -> None:
        """Write where the newest checkpoint of its kind lies."""

    def finish_trial(
        self, trial: TrialContext, state: RunState, *, best_iteration: int | None = None
    ) -> None:
        """End the trial and seal what it holds."""

    def finish_run(
        self,
        run_id: str,
        attempt: int,
        state: RunState,
        *,
        final_metrics: Mapping[str, Any] | None = None,
        pod_seconds: float | None = None,
        failure: str | None = None,
    ) -> None:
        """End the run; completed is final."""

    def record_try(self, row: TryRow) -> None:
        """Write one line of the ledger of tries, replacing the same one."""

    def close(self) -> None:
        """Give back the connections."""


def digest_of(parameters: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the canonical JSON of a parameter set."""
    return hashlib.sha256(tables.canonical_json(dict(parameters)).encode()).hexdigest()


def open_store(url: str | None = None) -> SqlRunStore:
    """Return a store on a database that is ready to be written.

    Raises
    ------
    UserError
        When the database cannot be reached, or its schema is not that of this code.
    """
    engine = create_engine(url)
    prepare_database(engine)
    return SqlRunStore(engine)


class SqlRunStore:
    """`RunStore` on SQLite or Postgres.

    Parameters
    ----------
    engine : Engine
        From `rsc.store.engine.create_engine`; nothing connects before the first call.
    lease_seconds : float
        A holder on another machine is taken for dead after so long without heartbeat.
    """

    def __init__(self, engine: Engine, *, lease_seconds: float = DEFAULT_LEASE_SECONDS) -> None:
        self.engine = engine
        self._lease = timedelta(seconds=lease_seconds)

    def create_run(self, run: NewRun) -> None:
        """Create a run that no attempt has begun yet.

        Raises
        ------
        UserError
            When the run exists.
        """
        with writing(self.engine) as connection:
            if _run_row(connection, run.run_id) is not None:
                msg = f"run {run.run_id} existed already, a run id must be new"
                raise UserError(msg, "Resume it, or let a new id be made.")
            values = asdict(run) | {"config": dict(run.config), "host": dict(run.host)}
            connection.execute(
                tables.training_runs.insert().values(
                    **values,
                    state=RunState.RUNNING,
                    attempt=0,
                    started_at=_now(connection),
                )
            )

    def begin_attempt(self, run_id: str, holder: str) -> int:
        """Take the run for `holder` and return the number of the attempt, from 1.

        Raises
        ------
        UserError
            When the run is unknown, completed, or held by another living process.
        """
        runs = tables.training_runs
        with writing(self.engine) as connection:
            row = _known_run(connection, run_id, lock="update")
            now = _now(connection)
            self._refuse_held(row, holder, now)
            attempt = int(row.attempt) + 1
            connection.execute(
                runs.update()
                .where(runs.c.run_id == run_id, runs.c.state != RunState.COMPLETED)
                .values(
                    attempt=attempt,
                    holder=holder,
                    heartbeat_at=now,
                    state=RunState.RUNNING,
                    ended_at=None,
                    failure=None,
                )
            )
            return attempt

    def _refuse_held(self, row: Row[Any], holder: str, now: datetime) -> None:
        if row.state == RunState.COMPLETED:
            msg = f"run {row.run_id} was completed, only an unfinished run can be resumed"
            raise UserError(msg, "Start a new run; a completed one is final.")
        if not is_alive(row, now, self._lease) or row.holder == holder:
            return
        age = (now - row.heartbeat_at).total_seconds()
        msg = (
            f"run {row.run_id} was held by the live process {row.holder} "
            f"(heartbeat {age:.0f} s ago), it must have stopped before another resumes it"
        )
        raise UserError(
            msg, f"Stop it, or wait {self._lease.total_seconds():.0f} s after its last heartbeat."
        )

    def heartbeat(self, run_id: str, attempt: int) -> None:
        """Say that the attempt is alive.

        Raises
        ------
        SupersededError
            When a newer attempt has begun or the run has ended.
        """
        with writing(self.engine) as connection:
            _fence(connection, run_id, attempt, lock="update")
            runs = tables.training_runs
            connection.execute(
                runs.update().where(runs.c.run_id == run_id).values(heartbeat_at=_now(connection))
            )

    def create_trial(
        self, run_id: str, *, attempt: int, fold: int, seed: int, parameters: Mapping[str, Any]
    ) -> int:
        """Return the id of the trial, creating it when it is new.

        Parameters
        ----------
        run_id, attempt : str, int
            Who creates it.
        fold, seed, parameters : int, int, mapping
            What tells it from other trials of the run.

        Returns
        -------
        int
            At most `MAX_TRIAL_ID`; the same for the same fold, seed and parameters.
        """
        trials, digest = tables.trials, digest_of(parameters)
        same = sa.select(trials.c.trial_id).where(
            trials.c.run_id == run_id,
            trials.c.fold == fold,
            trials.c.seed == seed,
            trials.c.parameters_digest == digest,
        )
        with writing(self.engine) as connection:
            _fence(connection, run_id, attempt, lock="update")
            found = connection.execute(same).scalar_one_or_none()
            if found is not None:
                _reopen_trial(connection, found)
                return int(found)
            values = {
                "run_id": run_id,
                "fold": fold,
                "seed": seed,
                "parameters": dict(parameters),
                "parameters_digest": digest,
                "state": RunState.RUNNING,
            }
            return _insert_trial(connection, values)

    def append(self, trial: TrialContext, batch: RecordBatch) -> None:
        """Write records; rows that are there already stay as they are.

        An episode replaces its running row and never a final one.

        Raises
        ------
        SupersededError
            When a newer attempt has begun or the run has ended.
        TemporaryError
            When the database is away: nothing was written, send it again.
        RscError
            When a record holds what no database should; nothing was written.
        """
        pairs = (
            (EPISODES, batch.episodes),
            (STEPS, batch.steps),
            (OPERATIONS, batch.operations),
            (TRADES, batch.trades),
        )
        prepared = [
            prepare(table, records, trial.instruments, trial_id=trial.trial_id)
            for table, records in pairs
            if len(records)
        ]
        with writing(self.engine) as connection:
            _fence_trial(connection, trial)
            for rows in prepared:
                write(connection, rows)

    def add_iteration(self, trial: TrialContext, row: IterationRow) -> None:
        """Write one training iteration, replacing the same one."""
        values = {"trial_id": trial.trial_id} | asdict(row)
        self._upsert(trial, tables.iterations, values)

    def add_evaluation(self, trial: TrialContext, row: EvaluationRow) -> None:
        """Write one evaluation, replacing the same one.

        Raises
        ------
        RscError
            When a metric has a name that the table does not have.
        """
        self._upsert(trial, tables.evaluations, _evaluation_values(trial.trial_id, row))

    def add_checkpoint(self, trial: TrialContext, row: CheckpointRow) -> None:
        """Write where the newest checkpoint of its kind lies."""
        self._upsert(trial, tables.checkpoints, {"trial_id": trial.trial_id} | asdict(row))

    def _upsert(self, trial: TrialContext, table: sa.Table, values: dict[str, Any]) -> None:
        if "checksum" in table.c:
            values["checksum"] = plain_checksum(table, values)
        with writing(self.engine) as connection:
            _fence_trial(connection, trial)
            upsert(connection, table, values)

    def finish_trial(
        self, trial: TrialContext, state: RunState, *, best_iteration: int | None = None
    ) -> None:
        """End the trial and seal what it holds: counts and digest go into its row."""
        trials = tables.trials
        with writing(self.engine) as connection:
            _fence_trial(connection, trial)
            connection.execute(
                trials.update()
                .where(trials.c.trial_id == trial.trial_id)
                .values(
                    state=state,
                    best_iteration=best_iteration,
                    **asdict(seal(connection, trial.trial_id)),
                )
            )

    def finish_run(
        self,
        run_id: str,
        attempt: int,
        state: RunState,
        *,
        final_metrics: Mapping[str, Any] | None = None,
        pod_seconds: float | None = None,
        failure: str | None = None,
    ) -> None:
        """End the run; completed is final, interrupted and failed can be resumed.

        Raises
        ------
        SupersededError
            When a newer attempt has begun or the run has ended already.
        """
        if state is RunState.FAILED and not failure:
            failure = "no reason was given"
        runs = tables.training_runs
        with writing(self.engine) as connection:
            _fence(connection, run_id, attempt, lock="update")
            connection.execute(
                runs.update()
                .where(runs.c.run_id == run_id, runs.c.state != RunState.COMPLETED)
                .values(
                    state=state,
                    ended_at=_now(connection),
                    final_metrics=None if final_metrics is None else dict(final_metrics),
                    pod_seconds=pod_seconds,
                    failure=failure if state is RunState.FAILED else None,
                )
            )

    def record_try(self, row: TryRow) -> None:
        """Write one line of the ledger of tries, replacing the same one."""
        with writing(self.engine) as connection:
            upsert(connection, tables.tries, asdict(row))

    def close(self) -> None:
        """Give back the connections."""
        self.engine.dispose()


def _now(connection: Connection) -> datetime:
    """Return the instant: the server's on Postgres, as leases are judged by one clock."""
    if connection.dialect.name == "postgresql":
        return connection.execute(sa.select(sa.func.clock_timestamp())).scalar_one().astimezone(UTC)  # type: ignore[no-any-return]
    return datetime.now(UTC)


def is_alive(row: Row[Any], now: datetime, lease: timedelta) -> bool:
    """Return whether the run of `row` has a holder that may still be writing."""
    if row.state != RunState.RUNNING or row.holder is None or row.heartbeat_at is None:
        return False
    return now - row.heartbeat_at < lease and not is_gone(row.holder)


def _run_row(connection: Connection, run_id: str, lock: str = "") -> Row[Any] | None:
    query = sa.select(tables.training_runs).where(tables.training_runs.c.run_id == run_id)
    if lock:  # SQLite has one writer at a time and knows no row locks
        query = query.with_for_update(read=lock == "share")
    return connection.execute(query).one_or_none()


def _known_run(connection: Connection, run_id: str, lock: str = "") -> Row[Any]:
    row = _run_row(connection, run_id, lock)
    if row is not None:
        return row
    known = connection.execute(sa.select(tables.training_runs.c.run_id)).scalars().all()
    raise unknown_run(run_id, known)


def unknown_run(run_id: str, known: Any) -> UserError:
    """Return the error for a run id that does not exist."""
    close = get_close_matches(run_id, known, n=1, cutoff=0.5)
    hint = f"Did you mean {close[0]}?" if close else "`rsc runs` lists all."
    return UserError(f"run {run_id} was unknown, must be one of {len(known)} runs", hint)


def _fence(connection: Connection, run_id: str, attempt: int, lock: str = "share") -> None:
    """Refuse a write whose attempt is not the running one; hold the run while writing."""
    row = _known_run(connection, run_id, lock)
    if row.attempt != attempt:
        msg = f"run {run_id}: attempt {attempt} was superseded by attempt {row.attempt}"
        raise SupersededError(msg, "Another process resumed the run; this one must stop.")
    if row.state != RunState.RUNNING:
        msg = f"run {run_id} was {row.state}, only a running run can be written"
        raise SupersededError(msg, "Resume it to begin a new attempt.")


def _fence_trial(connection: Connection, trial: TrialContext) -> None:
    _fence(connection, trial.run_id, trial.attempt)
    trials = tables.trials
    owner = connection.execute(
        sa.select(trials.c.run_id, trials.c.state).where(trials.c.trial_id == trial.trial_id)
    ).one_or_none()
    if owner is None or owner.run_id != trial.run_id:
        msg = f"trial {trial.trial_id} was not of run {trial.run_id}"
        raise RscError(msg, "This is a defect: please report it.")


def _reopen_trial(connection: Connection, trial_id: int) -> None:
    """Let an unfinished trial go on: its counts and digest are taken anew when it ends."""
    trials = tables.trials
    connection.execute(
        trials.update()
        .where(trials.c.trial_id == trial_id, trials.c.state != RunState.COMPLETED)
        .values(state=RunState.RUNNING, digest=None)
    )


def _insert_trial(connection: Connection, values: dict[str, Any]) -> int:
    statement = tables.trials.insert().values(**values)
    inserted = connection.execute(statement).inserted_primary_key
    if inserted is None or inserted[0] > MAX_TRIAL_ID:  # pragma: no cover - CHECK is first
        msg = f"the database held {MAX_TRIAL_ID} trials, the most it can"
        raise UserError(msg, "Use a new database.")
    return int(inserted[0])


def upsert(connection: Connection, table: sa.Table, values: Mapping[str, Any]) -> None:
    """Insert a row or replace the one with the same key."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert(table).values(**values)
    key = [column.name for column in table.primary_key]
    changes = {name: statement.excluded[name] for name in values if name not in key}
    connection.execute(statement.on_conflict_do_update(index_elements=key, set_=changes))


def _evaluation_values(trial_id: int, row: EvaluationRow) -> dict[str, Any]:
    unknown = sorted(set(row.metrics) - set(tables.EVALUATION_METRICS))
    if unknown:
        msg = f"evaluation: metric {unknown[0]} was unknown, must be one of the table's"
        raise RscError(msg, f"Known are {', '.join(tables.EVALUATION_METRICS)}.")
    values: dict[str, Any] = dict.fromkeys(tables.EVALUATION_METRICS) | dict(row.metrics)
    return values | {
        "trial_id": trial_id,
        "phase": row.phase.name.lower(),
        "iteration": row.iteration,
        "policy": row.policy.name.lower(),
        "is_final": row.is_final,
        "checkpoint_iteration": row.checkpoint_iteration,
        "periods_per_year": row.periods_per_year,
        "step_count": row.step_count,
        "episode_return": row.episode_return,
        "undefined": dict(row.undefined),
    }
