"""What a trial held when it ended, so that a row that is missing later is found.

Its totals are a handful of counts and one SHA-256 over keys and checksums of the rows
that stand for the rest: an episode row sums its steps, operations and trades. They are
cheap enough to take at the end of every trial, whatever the number of steps.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from rsc.store.runs.rows import RunState
from rsc.store.schema import tables

_SUMMED = ("step_count", "trade_count", "operation_count")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialTotals:
    """Counts and digest of a trial; field names are columns of `trials`."""

    episode_count: int
    step_count: int
    trade_count: int
    operation_count: int
    evaluation_count: int
    iteration_count: int
    digest: str


def trial_totals(connection: Connection, trial_id: int) -> TrialTotals:
    """Return counts and digest of what the trial holds now.

    `step_count` counts all steps taken, recorded or not.
    """
    digest = hashlib.sha256()
    # Added up here: a sum beyond 64 bits, of a number put there by hand, stops SQLite.
    totals = [0, 0, 0]
    numbers = []
    for table in (tables.episodes, tables.evaluations, tables.iterations):
        key = (*table.primary_key.columns, table.c.checksum)
        summed = [table.c[name] for name in _SUMMED] if table is tables.episodes else []
        query = (
            sa.select(*key, *summed)
            .where(table.c.trial_id == trial_id)
            .order_by(*table.primary_key.columns)
        )
        rows = 0
        for row in connection.execute(query):
            digest.update(repr(tuple(row[: len(key)])).encode())
            for place, value in enumerate(row[len(key) :]):
                totals[place] += value or 0
            rows += 1
        numbers.append(rows)
    steps, trades, operations = totals
    return TrialTotals(
        episode_count=numbers[0],
        step_count=steps,
        trade_count=trades,
        operation_count=operations,
        evaluation_count=numbers[1],
        iteration_count=numbers[2],
        digest=digest.hexdigest(),
    )


def end_trials(connection: Connection, run_id: str, state: RunState) -> None:
    """End the unfinished trials and tries of a run as the run ended, with their totals."""
    trials, tries = tables.trials, tables.tries
    unfinished = sa.and_(trials.c.run_id == run_id, trials.c.state != RunState.COMPLETED)
    for trial_id in connection.execute(sa.select(trials.c.trial_id).where(unfinished)).scalars():
        connection.execute(
            trials.update()
            .where(trials.c.trial_id == trial_id)
            .values(state=state, **asdict(trial_totals(connection, trial_id)))
        )
    connection.execute(
        tries.update()
        .where(tries.c.run_id == run_id, tries.c.state == RunState.RUNNING)
        .values(state=state)
    )


def reopen_trials(connection: Connection, run_id: str) -> None:
    """Let the unfinished trials of a run go on: their totals are taken anew when they end."""
    trials = tables.trials
    connection.execute(
        trials.update()
        .where(trials.c.run_id == run_id, trials.c.state != RunState.COMPLETED)
        .values(state=RunState.RUNNING, digest=None)
    )
