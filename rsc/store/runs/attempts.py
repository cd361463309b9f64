"""Attempts: what became of each start of a run, and what it cost.

An attempt is a number; its attempt is the row that says who it was (pod, node,
image), when it lived, how it ended and the pod-seconds of its cluster. The functions
with a connection belong to a write of `rsc.store.runs.writes`; the others read. An attempt
that never ended itself is closed as lost by the next attempt, at its last heartbeat.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine, Row

from rsc.store.lease import DEFAULT_LEASE_SECONDS, is_alive
from rsc.store.runs.fencing import known_run
from rsc.store.schema import tables
from rsc.store.schema.engine import reading, server_now
from rsc.store.states import AttemptOutcome, RunState

_OF_POD = {
    "pod_name": "RSC_POD_NAME",
    "pod_uid": "RSC_POD_UID",
    "node_name": "RSC_NODE_NAME",
    "image_digest": "RSC_IMAGE_DIGEST",
}


# What the state of an ended run says of its last attempt, when nothing else was said.
OUTCOME_OF_STATE = {
    RunState.COMPLETED: AttemptOutcome.COMPLETED,
    RunState.INTERRUPTED: AttemptOutcome.INTERRUPTED,
    RunState.FAILED: AttemptOutcome.FAILED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFacts:
    """Where an attempt runs; None outside a pod."""

    pod_name: str | None = None
    pod_uid: str | None = None
    node_name: str | None = None
    image_digest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRow:
    """A row of `attempts`."""

    run_id: str
    attempt: int
    """The key; attempts count from 1."""
    holder: str
    """Process that held the run."""
    pod_name: str | None
    pod_uid: str | None
    node_name: str | None
    image_digest: str | None
    """Its pod, None outside Kubernetes or where it is not known."""
    started_at: datetime
    ended_at: datetime | None
    """`ended_at` is None while it runs, and the last heartbeat when it was lost."""
    outcome: AttemptOutcome
    reason: str | None
    """How it ended and why."""
    pod_seconds: float | None
    """Seconds of all pods of its cluster, None outside Kubernetes."""
    pods: Mapping[str, float]
    """The same by worker group."""
    nodes: Mapping[str, tuple[str, ...]]
    """Nodes that each worker group was seen on."""
    node_types: Mapping[str, tuple[str, ...]]
    """What those nodes are, as the chart's values say; groups of which nobody said it are absent.
    """


def attempt_facts(environment: Mapping[str, str]) -> AttemptFacts:
    """Return the facts that the pod's environment tells (RSC_POD_NAME and its kin)."""
    return AttemptFacts(**{name: environment.get(key) or None for name, key in _OF_POD.items()})


def insert_attempt(
    connection: Connection,
    run: Row[Any],
    attempt: int,
    holder: str,
    now: datetime,
    facts: AttemptFacts,
) -> None:
    """Close what went before as lost and enter a new attempt of `run`."""
    attempts = tables.attempts
    connection.execute(
        attempts.update()
        .where(_running(run.run_id))
        .values(
            outcome=AttemptOutcome.LOST,
            ended_at=run.heartbeat_at or now,
            reason=f"no end was recorded; superseded by attempt {attempt}",
        )
    )
    connection.execute(
        attempts.insert().values(
            run_id=run.run_id,
            attempt=attempt,
            holder=holder,
            started_at=now,
            outcome=AttemptOutcome.RUNNING,
            pods={},
            nodes={},
            node_types={},
            **asdict(facts),
        )
    )


def end_attempt(
    connection: Connection,
    run_id: str,
    attempt: int,
    outcome: AttemptOutcome,
    reason: str | None,
) -> None:
    """Note how an attempt ended; the first word stays, but a lost one may explain itself.

    It changes nothing but its own row, so a superseded process may say so.
    """
    attempts = tables.attempts
    if outcome is AttemptOutcome.FAILED and not reason:
        reason = "no reason was given"
    this = sa.and_(attempts.c.run_id == run_id, attempts.c.attempt == attempt)
    connection.execute(
        attempts.update()
        .where(this, attempts.c.outcome == AttemptOutcome.RUNNING)
        .values(outcome=outcome, reason=reason, ended_at=server_now(connection))
    )
    if outcome is AttemptOutcome.SUPERSEDED:
        connection.execute(
            attempts.update()
            .where(this, attempts.c.outcome == AttemptOutcome.LOST)
            .values(outcome=outcome, reason=reason)
        )


def note_pods(
    connection: Connection,
    run_id: str,
    attempt: int,
    pods: Mapping[str, float] | None,
    nodes: Mapping[str, Collection[str]] | None,
    node_types: Mapping[str, Collection[str]] | None,
) -> float | None:
    """Add what is known of an attempt's pods; return the pod-seconds of the whole run.

    Seconds of a group never get fewer, nodes and their types are never forgotten, also when
    whoever counts them had to begin again.
    """
    attempts = tables.attempts
    if pods or nodes or node_types:
        this = sa.and_(attempts.c.run_id == run_id, attempts.c.attempt == attempt)
        row = connection.execute(sa.select(attempts).where(this)).one()
        seconds = _most(row.pods, pods or {})
        connection.execute(
            attempts.update()
            .where(this)
            .values(
                pods=seconds,
                nodes=_union(row.nodes, nodes or {}),
                node_types=_union(row.node_types, node_types or {}),
                pod_seconds=sum(seconds.values()) if seconds else None,
            )
        )
    total = sa.select(sa.func.sum(attempts.c.pod_seconds)).where(attempts.c.run_id == run_id)
    found: float | None = connection.execute(total).scalar_one()
    return found


def _most(before: Mapping[str, float], now: Mapping[str, float]) -> dict[str, float]:
    groups = sorted({*before, *now})
    return {group: float(max(before.get(group, 0.0), now.get(group, 0.0))) for group in groups}


def _union(
    before: Mapping[str, Collection[str]], now: Mapping[str, Collection[str]]
) -> dict[str, list[str]]:
    groups = sorted({*before, *now})
    return {group: sorted({*before.get(group, ()), *now.get(group, ())}) for group in groups}


def _running(run_id: str) -> sa.ColumnElement[bool]:
    attempts = tables.attempts
    return sa.and_(attempts.c.run_id == run_id, attempts.c.outcome == AttemptOutcome.RUNNING)


def list_attempts(engine: Engine, run_id: str) -> tuple[AttemptRow, ...]:
    """Return the attempts of a run by attempt; UserError when the run is unknown."""
    with reading(engine) as connection:
        known_run(connection, run_id)
        return attempts_in(connection, run_id)


def attempts_in(connection: Connection, run_id: str) -> tuple[AttemptRow, ...]:
    """Return the attempts of a run inside a transaction."""
    attempts = tables.attempts
    query = sa.select(attempts).where(attempts.c.run_id == run_id)
    rows = connection.execute(query.order_by(attempts.c.attempt)).all()
    return tuple(_attempt(row) for row in rows)


def _attempt(row: Row[Any]) -> AttemptRow:
    values = {field.name: getattr(row, field.name) for field in fields(AttemptRow)}
    for name in ("nodes", "node_types"):
        values[name] = {group: tuple(found) for group, found in values[name].items()}
    return AttemptRow(**values | {"outcome": AttemptOutcome(row.outcome)})


def seconds_used(engine: Engine, run_id: str) -> float:
    """Return the wall-clock seconds of all attempts of a run so far.

    An attempt that runs counts until now, one whose heartbeat is old until that.

    Raises
    ------
    UserError
        When the run is unknown.
    """
    with reading(engine) as connection:
        run, now = known_run(connection, run_id), server_now(connection)
        alive = is_alive(run, now, timedelta(seconds=DEFAULT_LEASE_SECONDS))
        last = now if alive else run.heartbeat_at or now
        spans = [(row.ended_at or last) - row.started_at for row in attempts_in(connection, run_id)]
    return sum(max(0.0, span.total_seconds()) for span in spans)
