"""Which attempt of a run may write: what every write asks first, in its own transaction.

The run's row is locked for sharing while a write goes on and for itself when an attempt
begins, so that an attempt cannot begin in the middle of a write of the one before
(docs/adr/0006-runs-attempts-and-fencing.md). Who holds a run is `rsc.store.lease`.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from rsc.errors import RscError, UserError
from rsc.store.lease import SupersededError
from rsc.store.runs.rows import RunState, TrialContext
from rsc.store.schema import tables


def run_row(connection: Connection, run_id: str, lock: str = "") -> Row[Any] | None:
    """Return the row of a run, locked for "share" or "update" until the transaction ends."""
    query = sa.select(tables.training_runs).where(tables.training_runs.c.run_id == run_id)
    if lock:  # SQLite has one writer at a time and knows no row locks
        query = query.with_for_update(read=lock == "share")
    return connection.execute(query).one_or_none()


def known_run(connection: Connection, run_id: str, lock: str = "") -> Row[Any]:
    """Return the row of a run; UserError when it does not exist."""
    row = run_row(connection, run_id, lock)
    if row is not None:
        return row
    known = connection.execute(sa.select(tables.training_runs.c.run_id)).scalars().all()
    raise unknown_run(run_id, known)


def unknown_run(run_id: str, known: Sequence[str]) -> UserError:
    """Return the error for a run id that does not exist."""
    close = get_close_matches(run_id, known, n=1, cutoff=0.5)
    hint = f"Did you mean {close[0]}?" if close else "`rsc runs` lists all."
    return UserError(f"run {run_id} was unknown, must be one of {len(known)} runs", hint)


def fence(connection: Connection, run_id: str, attempt: int, lock: str = "share") -> Row[Any]:
    """Refuse a write whose attempt is not the running one; hold the run while writing."""
    row = known_run(connection, run_id, lock)
    require_running(row, attempt)
    return row


def require_running(row: Row[Any], attempt: int) -> None:
    """Raise SupersededError unless `attempt` is the newest of a running run."""
    if row.attempt != attempt:
        msg = f"run {row.run_id}: attempt {attempt} was superseded by attempt {row.attempt}"
        raise SupersededError(msg, "Another process resumed the run; this one must stop.")
    if row.state != RunState.RUNNING:
        msg = f"run {row.run_id} was {row.state}, only a running run can be written"
        raise SupersededError(msg, "Resume it to begin a new attempt.")


def fence_trial(connection: Connection, trial: TrialContext) -> int:
    """Refuse a write whose attempt is not the running one or whose trial is of another run.

    Returns
    -------
    int
        The version of the trial's checksums.
    """
    fence(connection, trial.run_id, trial.attempt)
    trials = tables.trials
    owner = connection.execute(
        sa.select(trials.c.run_id, trials.c.checksum_version).where(
            trials.c.trial_id == trial.trial_id
        )
    ).one_or_none()
    if owner is None or owner.run_id != trial.run_id:
        msg = f"trial {trial.trial_id} was not of run {trial.run_id}"
        raise RscError(msg, "This is a defect: please report it.")
    return int(owner.checksum_version)
