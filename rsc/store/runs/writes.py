"""What the training writes: runs, attempts, trials, records, curves, evaluations.

`SqlRunStore` does it on SQLite and Postgres alike. Every write is one transaction that
first checks that the attempt it belongs to is still the newest of a running run, and
every write can be sent again without changing anything. The life of a run is `lifecycle`,
reading is `queries`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from rsc.errors import UserError
from rsc.store.records.bulk import upsert, write
from rsc.store.records.checksum_versions import CHECKSUM_VERSION
from rsc.store.records.encoding import Prepared, prepare
from rsc.store.runs.fencing import fence, fence_trial
from rsc.store.runs.lifecycle import RunLifecycle
from rsc.store.runs.plain_rows import (
    Named,
    evaluation_values,
    iteration_values,
    write_plain,
)
from rsc.store.runs.roll_back import roll_back_trial
from rsc.store.runs.rows import (
    CheckpointRow,
    EvaluationRow,
    IterationRow,
    Payload,
    ResumePoint,
    TrialContext,
    TryRow,
)
from rsc.store.runs.totals import trial_totals
from rsc.store.schema import tables
from rsc.store.schema.column_types import canonical_json
from rsc.store.schema.columns import RECORD_TABLES
from rsc.store.schema.engine import await_database, create_engine, prepare_database
from rsc.store.states import RunState
from rsc.trading.records import MAX_TRIAL_ID, RecordBatch

# A managed start waits so long for its database, then it is begun anew.
AWAITED_SECONDS = 45.0
# Managed Postgres is back from a failover in one to two minutes.
FAILOVER_SECONDS = 180.0


def digest_of(parameters: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the canonical JSON of a parameter set."""
    return hashlib.sha256(canonical_json(dict(parameters)).encode()).hexdigest()


def open_store(
    url: str | None = None,
    *,
    managed: bool = False,
    awaited_seconds: float | None = None,
    patience_seconds: float = FAILOVER_SECONDS,
) -> SqlRunStore:
    """Return a store on a database that is ready to be written.

    Parameters
    ----------
    url : str, optional
        As `rsc.store.schema.engine.create_engine` takes it.
    managed : bool
        Whether something restarts this process: then a database that is away or not yet
        migrated is waited for, and being away is a TemporaryError. Otherwise it is
        refused at once, and an empty Postgres is set up.
    awaited_seconds : float, optional
        For how long, when `managed`; default `AWAITED_SECONDS`.
    patience_seconds : float
        How long a write is repeated while a Postgres server is away, so that a run
        outlives a failover.

    Raises
    ------
    UserError
        When the database cannot be reached, or its schema is not that of this code.
    TemporaryError
        When `managed`, and the database was away for so long.
    """
    engine = create_engine(url)
    if managed:
        await_database(engine, AWAITED_SECONDS if awaited_seconds is None else awaited_seconds)
    else:
        prepare_database(engine)
    return SqlRunStore(engine, patience_seconds=patience_seconds)


class SqlRunStore(RunLifecycle):
    """Where the facts of runs go; the life of a run is `RunLifecycle`."""

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
        values = {
            "run_id": run_id,
            "fold": fold,
            "seed": seed,
            "parameters": dict(parameters),
            "parameters_digest": digest,
            "state": RunState.RUNNING,
            "checksum_version": CHECKSUM_VERSION,
        }

        def create(connection: Connection) -> int:
            fence(connection, run_id, attempt, lock="update")
            found = connection.execute(same).scalar_one_or_none()
            return _insert_trial(connection, values) if found is None else int(found)

        return self._write(create)

    def roll_back(self, trial: TrialContext, cut: ResumePoint) -> None:
        """Remove what was recorded beyond the checkpoint that the trial goes on from.

        Raises
        ------
        SupersededError
            When a newer attempt has begun or the run has ended.
        TemporaryError
            When the database is away: nothing was removed, ask again.
        """
        self._write(
            lambda connection: roll_back_trial(
                connection, trial, cut, fence_trial(connection, trial)
            )
        )

    def add(self, trial: TrialContext, payload: Payload) -> None:
        """Write what a trial recorded, so that it may be sent again.

        Of records, rows that are there already stay as they are; an episode replaces its
        running row and never a final one. An iteration, an evaluation or a checkpoint replaces
        the one with the same key.

        Raises
        ------
        SupersededError
            When a newer attempt has begun or the run has ended.
        TemporaryError
            When the database is away: nothing was written, send it again.
        RscError
            When it holds what no database should: a number that is not finite, a metric or
            a statistic without a good name. Nothing was written.
        """
        work: Callable[[Connection, int], None]
        match payload:
            case RecordBatch():
                work = partial(_write_records, self._prepared(trial, payload))
            case IterationRow():
                values = iteration_values(trial.trial_id, payload)
                work = partial(_write_plain, tables.iterations, values)
            case EvaluationRow():
                values = evaluation_values(trial.trial_id, payload)
                work = partial(_write_plain, tables.evaluations, values)
            case CheckpointRow():
                work = partial(_write_checkpoint, trial, payload)
        self._write(lambda connection: work(connection, fence_trial(connection, trial)))

    def _prepared(self, trial: TrialContext, batch: RecordBatch) -> list[Prepared]:
        """Return records as the database keeps them, made before a transaction begins."""
        version = self._checksum_version(trial)
        return [
            prepare(
                table,
                records,
                trial.instruments,
                trial_id=trial.trial_id,
                checksum_version=version,
            )
            for table in RECORD_TABLES
            if len(records := getattr(batch, table.batch_field))
        ]

    def _checksum_version(self, trial: TrialContext) -> int:
        """Return the version of a trial's checksums, which never changes."""
        if trial.trial_id not in self._checksum_versions:
            version = self._write(lambda connection: fence_trial(connection, trial))
            self._checksum_versions[trial.trial_id] = version
        return self._checksum_versions[trial.trial_id]

    def finish_trial(
        self, trial: TrialContext, state: RunState, *, best_iteration: int | None = None
    ) -> None:
        """End the trial; counts and digest of what it holds go into its row."""
        trials = tables.trials

        def finish(connection: Connection) -> None:
            fence_trial(connection, trial)
            connection.execute(
                trials.update()
                .where(trials.c.trial_id == trial.trial_id)
                .values(
                    state=state,
                    best_iteration=best_iteration,
                    **asdict(trial_totals(connection, trial.trial_id)),
                )
            )

        self._write(finish)

    def record_try(self, row: TryRow, *, attempt: int) -> None:
        """Write one line of the ledger of tries, replacing the same one.

        Raises
        ------
        SupersededError
            When a newer attempt has begun, or the run has ended.
        """

        def enter(connection: Connection) -> None:
            fence(connection, row.run_id, attempt)
            upsert(connection, tables.tries, asdict(row))

        self._write(enter)


def _write_records(prepared: list[Prepared], connection: Connection, version: int) -> None:
    del version  # it is in the checksums already
    for rows in prepared:
        write(connection, rows)


def _write_plain(
    table: sa.Table, values: tuple[dict[str, Any], Named], connection: Connection, version: int
) -> None:
    write_plain(connection, table, *values, version)


def _write_checkpoint(
    trial: TrialContext, row: CheckpointRow, connection: Connection, version: int
) -> None:
    del version  # a checkpoint has no checksum: its files have a digest
    upsert(connection, tables.checkpoints, {"trial_id": trial.trial_id} | asdict(row))


def _insert_trial(connection: Connection, values: dict[str, Any]) -> int:
    statement = tables.trials.insert().values(**values)
    inserted = connection.execute(statement).inserted_primary_key
    if inserted is None or inserted[0] > MAX_TRIAL_ID:  # pragma: no cover - CHECK is first
        msg = f"the database held {MAX_TRIAL_ID} trials, the most it can"
        raise UserError(msg, "Use a new database.")
    return int(inserted[0])
