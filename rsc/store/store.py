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
from datetime import datetime, timedelta
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine, Row

from rsc.errors import UserError
from rsc.store import tables
from rsc.store.attempts import (
    DEFAULT_LEASE_SECONDS,
    fence,
    fence_trial,
    is_alive,
    known_run,
    run_row,
    server_now,
)
from rsc.store.bulk import upsert, write
from rsc.store.column_types import canonical_json
from rsc.store.columns import EPISODES, OPERATIONS, STEPS, TRADES
from rsc.store.encoding import prepare
from rsc.store.engine import create_engine, prepare_database, writing
from rsc.store.rows import (
    CheckpointRow,
    EvaluationRow,
    IterationRow,
    NewRun,
    RunState,
    TrialContext,
    TryRow,
    evaluation_values,
)
from rsc.store.sealing import plain_checksum, seal
from rsc.trading.records import MAX_TRIAL_ID, RecordBatch


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
    return hashlib.sha256(canonical_json(dict(parameters)).encode()).hexdigest()


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
            if run_row(connection, run.run_id) is not None:
                msg = f"run {run.run_id} existed already, a run id must be new"
                raise UserError(msg, "Resume it, or let a new id be made.")
            values = asdict(run) | {"config": dict(run.config), "host": dict(run.host)}
            connection.execute(
                tables.training_runs.insert().values(
                    **values,
                    state=RunState.RUNNING,
                    attempt=0,
                    started_at=server_now(connection),
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
            row = known_run(connection, run_id, lock="update")
            now = server_now(connection)
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
            fence(connection, run_id, attempt, lock="update")
            runs = tables.training_runs
            connection.execute(
                runs.update()
                .where(runs.c.run_id == run_id)
                .values(heartbeat_at=server_now(connection))
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
            fence(connection, run_id, attempt, lock="update")
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
            fence_trial(connection, trial)
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
        self._upsert(trial, tables.evaluations, evaluation_values(trial.trial_id, row))

    def add_checkpoint(self, trial: TrialContext, row: CheckpointRow) -> None:
        """Write where the newest checkpoint of its kind lies."""
        self._upsert(trial, tables.checkpoints, {"trial_id": trial.trial_id} | asdict(row))

    def _upsert(self, trial: TrialContext, table: sa.Table, values: dict[str, Any]) -> None:
        if "checksum" in table.c:
            values["checksum"] = plain_checksum(table, values)
        with writing(self.engine) as connection:
            fence_trial(connection, trial)
            upsert(connection, table, values)

    def finish_trial(
        self, trial: TrialContext, state: RunState, *, best_iteration: int | None = None
    ) -> None:
        """End the trial and seal what it holds: counts and digest go into its row."""
        trials = tables.trials
        with writing(self.engine) as connection:
            fence_trial(connection, trial)
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
            fence(connection, run_id, attempt, lock="update")
            connection.execute(
                runs.update()
                .where(runs.c.run_id == run_id, runs.c.state != RunState.COMPLETED)
                .values(
                    state=state,
                    ended_at=server_now(connection),
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
