"""From database rows back to record arrays, a range of episodes at a time.

The counterpart of `rsc.store.records.encoding`. A range of episode ids is read with every row
that has an id in it, whether its episode exists or not, so that orphans are seen. On
Postgres rows come as fixed-width binary COPY and become an array without a Python
object per value. Values that no record can hold (put there by hand) become codes that
no checksum fits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.engine import Connection

from rsc.store.records.encoding import checksums
from rsc.store.schema.columns import EPISODES, Column, ColumnKind, RecordTable
from rsc.trading.records import NULL_INDEX, NULL_TIMESTAMP

_POSTGRES_EPOCH = 946_684_800_000_000
_UNKNOWN = -2  # a code or a timestamp that no record has
_FIRST_YEAR, _LAST_YEAR = 1678, 2261  # whole years that nanoseconds in 64 bits hold
_TIMESTAMP_UNITS = ("seconds", "microseconds")  # of the texts that are written
_HEADER_BYTES = 19


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one table as they are in the database."""

    table: RecordTable
    """Which table."""
    records: NDArray[np.void]
    """Of the table's dtype, in key order; timestamps in nanoseconds."""
    instruments: tuple[str, ...]
    """Names behind the instrument codes of `records`, sorted."""
    checksum: NDArray[np.int64]
    """As stored."""

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.records)

    def recomputed(self, version: int) -> NDArray[np.int64]:
        """Return the checksums, of a version, that the values give now."""
        values: dict[str, NDArray[Any]] = {}
        for column in self.table.columns:
            array = np.ascontiguousarray(self.records[column.name])
            if column.kind is ColumnKind.TIMESTAMP:
                array = np.where(array == NULL_TIMESTAMP, NULL_TIMESTAMP, array // 1000)
            values[column.name] = array
        return checksums(self.table, values, self.instruments, version)


def read_rows(connection: Connection, table: RecordTable, first: int, last: int) -> Rows:
    """Return all rows of a table with episode ids from `first` to `last`, in key order."""
    if connection.dialect.name == "postgresql":
        return _read_postgres(connection, table, first, last)
    return _read_sqlite(connection, table, first, last)


def _where(table: RecordTable, first: int, last: int) -> str:
    return (
        f"FROM {table.name} WHERE episode_id BETWEEN {int(first)} AND {int(last)} "
        f"ORDER BY {', '.join(table.key)}"
    )


# --- SQLite --------------------------------------------------------------------------------


def _read_sqlite(connection: Connection, table: RecordTable, first: int, last: int) -> Rows:
    names = ", ".join([*(column.name for column in table.columns), "checksum"])
    cursor = connection.connection.cursor()
    cursor.execute(f"SELECT {names} {_where(table, first, last)}")
    fetched = cursor.fetchall()
    cursor.close()
    records = np.zeros(len(fetched), dtype=table.dtype)
    lists = list(zip(*fetched, strict=True)) if fetched else [()] * (len(table.columns) + 1)
    instruments: tuple[str, ...] = ()
    for column, values in zip(table.columns, lists, strict=False):
        if column.kind is ColumnKind.NAME:
            instruments, records[column.name] = _name_codes(values)
        else:
            records[column.name] = _from_sqlite(column, values)
    return Rows(table, records, instruments, np.array(lists[-1], dtype=np.int64))


def _from_sqlite(column: Column, values: tuple[Any, ...]) -> NDArray[Any]:
    if column.kind is ColumnKind.FLOAT:
        return np.array(values, dtype=np.float64)  # None becomes NaN
    if column.kind is ColumnKind.TIMESTAMP:
        return _mapped(values, _timestamp, np.int64)
    if column.kind is ColumnKind.CODE:
        codes = {name: code for code, name in column.codes.items()} | {None: NULL_INDEX}
        return _mapped(values, lambda value: codes.get(value, _UNKNOWN), np.int64)
    if column.nullable:  # -1 stands for NULL in a record, so a -1 put there by hand is none
        values = tuple(NULL_INDEX if v is None else _UNKNOWN if v == -1 else v for v in values)
    array = np.array(values, dtype=np.int64)
    limits = np.iinfo(column.dtype.str)  # a number too large must not wrap into one that fits
    return np.where((array < limits.min) | (array > limits.max), limits.min, array)


def _mapped(
    values: Iterable[Any], function: Callable[[Any], int], dtype: type[np.int64]
) -> NDArray[np.int64]:
    """Return `function` of each value, computed once for equal values."""
    known: dict[Any, int] = {}
    out = []
    for value in values:
        code = known.get(value)
        if code is None:
            code = known[value] = function(value)
        out.append(code)
    return np.array(out, dtype=dtype)


def _timestamp(text: str | None) -> int:
    """Return nanoseconds since 1970 of the text that SQLite keeps.

    The same moment in another form than `rsc.store.records.encoding.iso_texts` writes was put there
    by hand, as a checksum is of the moment and would not tell.
    """
    if text is None:
        return NULL_TIMESTAMP
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return _UNKNOWN
    plain = instant.replace(tzinfo=None)
    if text not in {f"{plain.isoformat(timespec=unit)}Z" for unit in _TIMESTAMP_UNITS}:
        return _UNKNOWN
    if not _FIRST_YEAR <= instant.year <= _LAST_YEAR:
        return _UNKNOWN
    whole = int(instant.replace(microsecond=0).timestamp())
    return (whole * 1_000_000 + instant.microsecond) * 1000


def _name_codes(values: Iterable[str]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    values = list(values)
    names = tuple(sorted(set(values)))
    places = {name: i for i, name in enumerate(names)}
    return names, np.array([places[value] for value in values], dtype=np.int64)


# --- Postgres ------------------------------------------------------------------------------

# NULL has to have a width as well: values that CHECK constraints keep out of the tables.
_NULL_FLOAT = "-infinity"


def _read_postgres(connection: Connection, table: RecordTable, first: int, last: int) -> Rows:
    instruments = _instruments(connection, first, last) if table is EPISODES else ()
    wire = [(column.name, *_wire(column, instruments)) for column in table.columns]
    wire.append(("checksum", "checksum", ">i8"))
    selected = ", ".join(expression for _, expression, _ in wire)
    buffer = BytesIO()
    cursor = connection.connection.cursor()
    cursor.copy_expert(
        f"COPY (SELECT {selected} {_where(table, first, last)}) TO STDOUT (FORMAT binary)",
        buffer,
    )
    cursor.close()
    layout: list[tuple[str, str]] = [("#fields", ">i2")]
    for name, _, kind in wire:
        layout += [(f"#{name}", ">i4"), (name, kind)]
    dtype = np.dtype(layout)
    body = buffer.getbuffer()
    count = (len(body) - _HEADER_BYTES - 2) // dtype.itemsize
    raw = np.frombuffer(body, dtype=dtype, count=count, offset=_HEADER_BYTES)
    records = np.zeros(count, dtype=table.dtype)
    for column in table.columns:
        records[column.name] = _from_postgres(column, raw[column.name])
    return Rows(table, records, instruments, raw["checksum"].astype(np.int64))


def _instruments(connection: Connection, first: int, last: int) -> tuple[str, ...]:
    query = (
        "SELECT DISTINCT instrument FROM episodes "  # noqa: S608
        f"WHERE episode_id BETWEEN {int(first)} AND {int(last)}"
    )
    return tuple(sorted(row[0] for row in connection.exec_driver_sql(query)))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _wire(column: Column, instruments: tuple[str, ...]) -> tuple[str, str]:
    """Return the expression that sends a column with fixed width, and its numpy type."""
    name = column.name
    if column.kind is ColumnKind.FLOAT:
        null = f"coalesce({name}, '{_NULL_FLOAT}'::float8)" if column.nullable else name
        return null, ">f8"
    if column.kind is ColumnKind.TIMESTAMP:
        null = f"coalesce({name}, '-infinity')" if column.nullable else name
        return null, ">i8"
    if column.kind in {ColumnKind.CODE, ColumnKind.NAME}:
        codes = column.codes or dict(enumerate(instruments))
        cases = " ".join(f"WHEN {_quoted(text)} THEN {code}" for code, text in codes.items())
        cases = f"CASE {name} {cases} ELSE {_UNKNOWN} END" if codes else f"{_UNKNOWN}"
        return f"(CASE WHEN {name} IS NULL THEN {NULL_INDEX} ELSE {cases} END)::int2", ">i2"
    if column.kind is ColumnKind.FLAG:
        return f"{name}::int4", ">i4"
    width = max(2, column.dtype.itemsize)
    null = name
    if column.nullable:
        null = (
            f"(CASE WHEN {name} IS NULL THEN {NULL_INDEX} WHEN {name} = {NULL_INDEX} "
            f"THEN {_UNKNOWN} ELSE {name} END)::int{width}"
        )
    return null, f">i{width}"


def _from_postgres(column: Column, raw: NDArray[Any]) -> NDArray[Any]:
    if column.kind is ColumnKind.FLOAT:
        values = raw.astype(np.float64)
        values[values == -np.inf] = np.nan
        return values
    if column.kind is ColumnKind.TIMESTAMP:
        microseconds = raw.astype(np.int64)
        null = microseconds == NULL_TIMESTAMP  # -infinity of Postgres is the least int64
        return np.where(null, NULL_TIMESTAMP, (microseconds + _POSTGRES_EPOCH) * 1000)
    return raw.astype(np.int64)
