"""What a trial held when it ended, so that a row that is missing later is found.

The seal is a handful of counts and one SHA-256 over keys and checksums of the rows
that stand for the rest: an episode row sums its steps, operations and trades. It is
cheap enough to take at the end of every trial, whatever the number of steps.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from rsc.store import tables
from rsc.store.checksum import row_checksum
from rsc.store.column_types import JsonDocument, canonical_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """Counts and digest of a trial; field names are columns of `trials`."""

    episode_count: int
    step_count: int
    trade_count: int
    operation_count: int
    evaluation_count: int
    iteration_count: int
    digest: str


def plain_checksum(table: sa.Table, values: Mapping[str, Any]) -> int:
    """Return the checksum of a row of `evaluations` or `iterations`.

    Parameters
    ----------
    table : Table
        One of the two.
    values : mapping
        Its columns by name; missing is NULL.
    """
    plain: list[float | str | None] = []
    for column in table.columns:
        value = values.get(column.name)
        if column.name == "checksum":
            continue
        if value is None:
            plain.append(None)
        elif isinstance(column.type, JsonDocument):
            plain.append(canonical_json(value))
        elif isinstance(column.type, sa.Double):
            plain.append(float(value))
        elif isinstance(column.type, sa.Text):
            plain.append(str(value))
        else:
            plain.append(int(value))
    return row_checksum(plain)


def seal(connection: Connection, trial_id: int) -> Seal:
    """Return the seal of what the trial holds now.

    `step_count` counts all steps taken, recorded or not.
    """
    episodes, digest = tables.episodes, hashlib.sha256()

    def total(column: sa.Column[Any]) -> sa.ColumnElement[int]:
        return sa.func.coalesce(sa.func.sum(column), 0)

    counts = connection.execute(
        sa.select(
            sa.func.count(),
            total(episodes.c.step_count),
            total(episodes.c.trade_count),
            total(episodes.c.operation_count),
        ).where(episodes.c.trial_id == trial_id)
    ).one()
    rows = 0
    numbers = []
    for table in (episodes, tables.evaluations, tables.iterations):
        rows = 0
        query = (
            sa.select(*table.primary_key.columns, table.c.checksum)
            .where(table.c.trial_id == trial_id)
            .order_by(*table.primary_key.columns)
        )
        for row in connection.execute(query):
            digest.update(repr(tuple(row)).encode())
            rows += 1
        numbers.append(rows)
    return Seal(
        episode_count=int(counts[0]),
        step_count=int(counts[1]),
        trade_count=int(counts[2]),
        operation_count=int(counts[3]),
        evaluation_count=numbers[1],
        iteration_count=numbers[2],
        digest=digest.hexdigest(),
    )
