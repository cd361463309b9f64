"""Rows of iterations and evaluations, with the named values that belong to them.

What every algorithm and every evaluation has is a column. Statistics of an algorithm and
metrics from outside have names of their own: they are rows of a second table, written,
removed and covered by the checksum together with the row that they belong to.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from rsc.errors import RscError
from rsc.store.records.bulk import upsert
from rsc.store.records.checksum import row_checksum
from rsc.store.records.checksum_versions import checksummed
from rsc.store.runs.rows import EvaluationRow, IterationRow
from rsc.store.schema import tables
from rsc.store.schema.column_types import JsonDocument, canonical_json

# By name: a value, or None and why it is undefined.
Named: TypeAlias = Mapping[str, tuple[float | None, str | None]]

# The same by the key of the row that they belong to.
NamedValues: TypeAlias = dict[tuple[Any, ...], dict[str, tuple[float | None, str | None]]]

# What has named values, and the table that holds them.
NAMED_VALUES = {
    tables.iterations: tables.iteration_statistics,
    tables.evaluations: tables.evaluation_metrics,
}
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


def iteration_values(trial_id: int, row: IterationRow) -> tuple[dict[str, Any], Named]:
    """Return the columns of `iterations` for a row, and its named values."""
    values = {"trial_id": trial_id} | asdict(row)
    return values, {name: (_float(value), None) for name, value in values.pop("statistics").items()}


def evaluation_values(trial_id: int, row: EvaluationRow) -> tuple[dict[str, Any], Named]:
    """Return the columns of `evaluations` for a row, and its named values.

    Raises
    ------
    RscError
        When a metric has no column.
    """
    unknown = sorted(set(row.metrics) - set(tables.EVALUATION_METRICS))
    if unknown:
        msg = f"evaluation: metric {unknown[0]} was unknown, must be one of the table's"
        raise RscError(msg, f"Known are {', '.join(tables.EVALUATION_METRICS)}.")
    values: dict[str, Any] = dict.fromkeys(tables.EVALUATION_METRICS) | dict(row.metrics)
    values |= {
        "trial_id": trial_id,
        "split": row.split.name.lower(),
        "iteration": row.iteration,
        "policy": row.policy.name.lower(),
        "is_final": row.is_final,
        "checkpoint_iteration": row.checkpoint_iteration,
        "periods_per_year": row.periods_per_year,
        "step_count": row.step_count,
        "episode_return": row.episode_return,
        "undefined": {n: why for n, why in row.undefined.items() if n not in row.extra_metrics},
    }
    return values, {
        name: (_float(value), row.undefined.get(name) if value is None else None)
        for name, value in row.extra_metrics.items()
    }


def _float(value: float | None) -> float | None:
    """Return a plain float: 1 and 1.0 have one checksum, and drivers know no numpy."""
    return None if value is None else float(value)


def plain_checksum(
    table: sa.Table,
    values: Mapping[str, Any],
    named: Named,
    version: int,
    *,
    as_stored: bool = False,
) -> int:
    """Return the checksum of a row of `evaluations` or `iterations`.

    Parameters
    ----------
    table : Table
        One of the two.
    values : mapping
        Its columns by name; missing is NULL.
    named : mapping
        Its named values. Those that the version lists stand in its order, the others follow,
        sorted, each after its name.
    version : int
        That of the trial's checksums.
    as_stored : bool
        Whether documents are given as the text that is stored, not as plain values.
    """
    listed = checksummed(version, table.name)
    plain: list[float | str | None] = [
        _plain(table.columns[name], values.get(name), as_stored=as_stored)
        if name in table.columns
        else named.get(name, (None,))[0]
        for name in listed
    ]
    for name in sorted(set(named) - set(listed)):
        plain += [name, *named[name]]
    return row_checksum(plain)


def _plain(column: sa.Column[Any], value: Any, *, as_stored: bool) -> float | str | None:
    if value is None:
        return None
    if isinstance(column.type, JsonDocument):
        return str(value) if as_stored else canonical_json(value)
    if isinstance(column.type, sa.Double):
        return float(value)
    return str(value) if isinstance(column.type, sa.Text) else int(value)


def write_plain(
    connection: Connection, table: sa.Table, values: Mapping[str, Any], named: Named, version: int
) -> None:
    """Insert a row with its named values, or replace the one with the same key.

    Raises
    ------
    RscError
        When a named value has no good name, or is not finite.
    """
    key = {column.name: values[column.name] for column in table.primary_key}
    _check(table, key, named)
    checksum = plain_checksum(table, values, named, version)
    upsert(connection, table, {**values, "checksum": checksum})
    child = NAMED_VALUES[table]
    connection.execute(child.delete().where(*(child.c[name] == key[name] for name in key)))
    if named:
        connection.execute(child.insert(), [key | _columns(child, *one) for one in named.items()])


def _columns(child: sa.Table, name: str, value: tuple[float | None, str | None]) -> dict[str, Any]:
    columns = {"name": name, "value": value[0], "undefined": value[1]}
    return {column: columns[column] for column in columns if column in child.c}


def _check(table: sa.Table, key: Mapping[str, Any], named: Named) -> None:
    where = f"{table.name} ({', '.join(f'{name} {value}' for name, value in key.items())})"
    for name, (value, undefined) in named.items():
        if not _NAME.fullmatch(name):
            msg = f"{where}: the name {name!r} must be a letter, then letters, digits or _"
            raise RscError(msg, "Lower case, at most 63 of them.")
        if name in table.columns:
            msg = f"{where}: {name} was a column of the table, a value of its own must not be"
            raise RscError(msg, "Give it another name.")
        if undefined is None and (value is None or not math.isfinite(value)):
            msg = f"{where}: {name} was {value}, must be finite, or None with a reason"
            raise RscError(msg, "Nothing of this row was written.")


def named_values(connection: Connection, table: sa.Table, trial_id: int) -> NamedValues:
    """Return the named values of a trial's rows in `table`, by the key of the row."""
    child = NAMED_VALUES[table]
    key = [child.c[column.name] for column in table.primary_key]
    undefined = child.c.get("undefined", sa.null().label("undefined"))
    query = sa.select(*key, child.c.name, child.c.value, undefined).where(
        child.c.trial_id == trial_id
    )
    found: NamedValues = {}
    for *owner, name, value, why in connection.execute(query):
        found.setdefault(tuple(owner), {})[name] = (value, why)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class ChecksumComparison:
    """A row of iterations or evaluations, its checksum, and what its values give now.

    `stored` is None where only named values are there, in `named_table`; `recomputed` is None
    where a value is of another type.
    """

    table: str
    named_table: str
    key: str
    stored: int | None
    recomputed: int | None


def compare_checksums(
    connection: Connection, trial_id: int, version: int
) -> Iterator[ChecksumComparison]:
    """Yield every iteration and evaluation of a trial, then named values without their row.

    The checksum of a document is that of its text on SQLite; on Postgres the text is the
    server's.
    """
    as_stored = connection.dialect.name == "sqlite"
    for table, child in NAMED_VALUES.items():
        key = [column.name for column in table.primary_key]
        named = named_values(connection, table, trial_id)
        columns = [_text_of(column) if as_stored else column for column in table.columns]
        query = sa.select(*columns).where(table.c.trial_id == trial_id)
        for row in connection.execute(query).mappings():
            own = named.pop(tuple(row[name] for name in key), {})
            yield ChecksumComparison(
                table=table.name,
                named_table=child.name,
                key=", ".join(f"{name} {row[name]}" for name in key),
                stored=row["checksum"],
                recomputed=_recomputed(table, dict(row), own, version, as_stored=as_stored),
            )
        for owner in named:
            yield ChecksumComparison(
                table=table.name,
                named_table=child.name,
                key=", ".join(f"{name} {value}" for name, value in zip(key, owner, strict=True)),
                stored=None,
                recomputed=None,
            )


def _text_of(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    """Return the column; a document as the text that SQLite keeps of it."""
    if not isinstance(column.type, JsonDocument):
        return column
    return sa.type_coerce(column, sa.Text()).label(column.name)


def _recomputed(
    table: sa.Table, row: Mapping[str, Any], named: Named, version: int, *, as_stored: bool
) -> int | None:
    try:
        return plain_checksum(table, row, named, version, as_stored=as_stored)
    except (ValueError, TypeError, RscError):
        return None  # a value of another type, put there by hand


def evaluation_facts(
    connection: Connection, trial_id: int, version: int
) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Return the values of a trial's evaluations, and their named values, without trial id.

    The values are those that the version of the checksum lists, in its order; a named value
    stands behind the key of its row.
    """
    table = tables.evaluations
    names = [name for name in checksummed(version, table.name) if name != "trial_id"]
    query = sa.select(*(table.c[name] for name in names)).where(table.c.trial_id == trial_id)
    named = named_values(connection, table, trial_id)
    return [tuple(row) for row in connection.execute(query)], [
        (*key[1:], name, *value) for key, values in named.items() for name, value in values.items()
    ]
