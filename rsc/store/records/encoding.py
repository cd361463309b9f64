"""From record arrays to database rows, column by column.

`prepare` brings records to the form that every database gets: sorted by key, timestamps in
microseconds, one NaN, one zero, and a checksum; it refuses what no database should
hold (a number that is not finite, an unknown code). `sqlite_rows` and `copy_binary`
turn that into what the driver wants, with no Python object per value where it can be
helped. Reading the other way is `rsc.store.records.reading`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsc.errors import RscError
from rsc.store.records.checksum import float_bits, integer_bits, mix, text_bits
from rsc.store.records.checksum_versions import checksummed
from rsc.store.schema.columns import EPISODES, Column, ColumnKind, RecordTable
from rsc.trading.records import NULL_INDEX, NULL_TIMESTAMP, TRIAL_SHIFT

_MICROSECOND = 1000
_POSTGRES_EPOCH = 946_684_800_000_000  # microseconds from 1970 to 2000, where Postgres counts from


@dataclass(frozen=True, slots=True)
class Prepared:
    """Rows of one table, ready to be written."""

    table: RecordTable
    """Which table."""
    values: dict[str, NDArray[Any]]
    """Contiguous arrays of equal length; timestamps in microseconds, codes as they are."""
    instruments: tuple[str, ...]
    """Names for the NAME column."""
    checksum: NDArray[np.int64]
    """One for each row."""

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.checksum)

    def select(self, rows: NDArray[Any]) -> Prepared:
        """Return some of the rows."""
        values = {name: array[rows] for name, array in self.values.items()}
        return Prepared(self.table, values, self.instruments, self.checksum[rows])


def prepare(
    table: RecordTable,
    records: NDArray[np.void],
    instruments: tuple[str, ...],
    *,
    trial_id: int,
    checksum_version: int,
) -> Prepared:
    """Return records in the form in which a database keeps them.

    Parameters
    ----------
    table : RecordTable
        Which table the records belong to.
    records : ndarray
        Structured array of the table's dtype. Of episodes that stand there twice only
        the last row is kept.
    instruments : tuple of str
        Names for instrument codes.
    trial_id, checksum_version : int
        The trial whose records these are, and the version of its checksums.

    Raises
    ------
    RscError
        When a record belongs to another trial, holds a number that is not finite where
        it must be, or an unknown code.
    """
    order = _key_order(table, records)
    records = records if order is None else records[order]
    values: dict[str, NDArray[Any]] = {}
    for column in table.columns:
        array = np.ascontiguousarray(records[column.name])
        if column.kind is ColumnKind.FLOAT:
            array = array + 0.0
        elif column.kind is ColumnKind.TIMESTAMP:
            array = np.where(array == NULL_TIMESTAMP, NULL_TIMESTAMP, array // _MICROSECOND)
        values[column.name] = array
    _check(table, values, instruments, trial_id)
    checksum = checksums(table, values, instruments, checksum_version)
    return Prepared(table, values, instruments, checksum)


def _key_order(table: RecordTable, records: NDArray[np.void]) -> NDArray[np.int64] | None:
    """Return the order by key (last of equal episodes only), None if it is so already."""
    first = records[table.key[0]]
    if table is EPISODES:
        order = np.argsort(first, kind="stable")
        last = np.append(np.diff(first[order]) != 0, True) if len(order) else order.astype(bool)
        chosen: NDArray[np.int64] = order[last]
        return chosen
    second = records[table.key[1]]
    rises = (first[1:] > first[:-1]) | ((first[1:] == first[:-1]) & (second[1:] > second[:-1]))
    return None if rises.all() else np.lexsort((second, first))


def _check(
    table: RecordTable, values: dict[str, NDArray[Any]], instruments: tuple[str, ...], trial: int
) -> None:
    """Refuse values that no database should hold, naming row and column."""
    for column in table.columns:
        array = values[column.name]
        if column.kind is ColumnKind.FLOAT:
            bad = np.isinf(array) if column.nullable else ~np.isfinite(array)
            must = "be finite"
        elif column.kind is ColumnKind.CODE:
            known = np.fromiter(column.codes, dtype=array.dtype)
            bad = ~np.isin(array, known) & ~(column.nullable & (array == NULL_INDEX))
            must = "be a known code"
        elif column.kind is ColumnKind.NAME:
            bad = (array < 0) | (array >= len(instruments))
            must = f"be one of {len(instruments)} instruments"
        elif column.name == "episode_id":
            bad, must = array >> TRIAL_SHIFT != trial, f"belong to trial {trial}"
        else:
            continue
        if bad.any():
            _refuse(table, values, column, int(np.argmax(bad)), must)


def _refuse(
    table: RecordTable, values: dict[str, NDArray[Any]], column: Column, row: int, must: str
) -> None:
    key = ", ".join(f"{name} {values[name][row]}" for name in table.key)
    msg = f"{table.name} ({key}): {column.name} was {values[column.name][row]}, must {must}"
    raise RscError(msg, "Nothing of this batch was written. This is a defect: please report it.")


def checksums(
    table: RecordTable,
    values: dict[str, NDArray[Any]],
    instruments: tuple[str, ...],
    version: int,
) -> NDArray[np.int64]:
    """Return the checksum of each row from its values in prepared form."""
    bits = (
        _bits(table.column(name), values[name], instruments)
        for name in checksummed(version, table.name)
    )
    return mix(bits, len(values[table.key[0]]))


def _bits(column: Column, array: NDArray[Any], instruments: tuple[str, ...]) -> NDArray[np.uint64]:
    if column.kind is ColumnKind.FLOAT:
        return float_bits(array)
    if column.kind is ColumnKind.NAME:
        names = np.array([text_bits(name) for name in instruments], dtype=np.uint64)
        return np.take(names, array)
    return integer_bits(array)


# --- SQLite: tuples of Python values -------------------------------------------------------


def iso_texts(microseconds: NDArray[np.int64]) -> NDArray[np.object_]:
    """Return timestamps as the text SQLite keeps: ISO 8601 in UTC ending in Z."""
    whole = bool((microseconds % 1_000_000 == 0).all())
    timestamps = microseconds.astype("datetime64[us]")
    texts = np.datetime_as_string(timestamps, unit="s" if whole else "us")
    return np.char.add(texts, "Z").astype(object)


def _timestamp_values(array: NDArray[np.int64]) -> list[str | None]:
    unique, inverse = np.unique(array, return_inverse=True)
    null = unique == NULL_TIMESTAMP
    texts = iso_texts(np.where(null, 0, unique))
    texts[null] = None
    return texts[inverse].tolist()  # type: ignore[no-any-return]


def _code_values(names: dict[int, str], array: NDArray[Any]) -> list[str | None]:
    table = np.empty(max(names) + 2, dtype=object)  # the last place is NULL_INDEX
    for code, name in names.items():
        table[code] = name
    return table[array].tolist()  # type: ignore[no-any-return]


def sqlite_rows(prepared: Prepared) -> Iterator[tuple[Any, ...]]:
    """Return the rows as tuples in column order, checksum last. NaN becomes NULL there."""
    lists: list[list[Any]] = []
    for column in prepared.table.columns:
        array = prepared.values[column.name]
        if column.kind is ColumnKind.TIMESTAMP:
            lists.append(_timestamp_values(array))
        elif column.kind is ColumnKind.CODE:
            lists.append(_code_values(column.codes, array))
        elif column.kind is ColumnKind.NAME:
            lists.append([prepared.instruments[i] for i in array.tolist()])
        elif column.kind is ColumnKind.INTEGER and column.nullable:
            lists.append([None if v == NULL_INDEX else v for v in array.tolist()])
        else:
            lists.append(array.tolist())
    lists.append(prepared.checksum.tolist())
    return zip(*lists, strict=True)


# --- Postgres: the bytes of COPY ... (FORMAT binary) ---------------------------------------

_HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_TRAILER = b"\xff\xff"


def copy_binary(prepared: Prepared) -> bytes:
    """Return the rows as the bytes that ``COPY ... FROM STDIN (FORMAT binary)`` reads.

    Rows that agree in what decides their layout (which values are NULL, how long the
    names are) are laid out together by numpy; so rows of one layout lie together.
    """
    pattern = _patterns(prepared)
    parts = [_HEADER]
    unique, first = np.unique(pattern, return_index=True)
    for value, row in zip(unique, first, strict=True):
        rows = np.flatnonzero(pattern == value)
        parts.append(_layout_bytes(prepared.select(rows), int(row), prepared))
    parts.append(_TRAILER)
    return b"".join(parts)


def is_null(column: Column, array: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which values of a prepared column are NULL in the database."""
    if not column.nullable:
        return np.zeros(len(array), dtype=bool)
    if column.kind is ColumnKind.FLOAT:
        return np.asarray(np.isnan(array))
    return np.asarray(
        array == (NULL_TIMESTAMP if column.kind is ColumnKind.TIMESTAMP else NULL_INDEX)
    )


def _patterns(prepared: Prepared) -> NDArray[np.int64]:
    """Return a number for each row; rows with the same number have the same layout."""
    pattern = np.zeros(len(prepared), dtype=np.int64)
    for column in prepared.table.columns:
        array = prepared.values[column.name]
        if column.kind is ColumnKind.NAME:
            pattern *= len(prepared.instruments)
            pattern += array
        elif column.kind is ColumnKind.CODE:
            pattern *= max(column.codes) + 2
            pattern += array + 1
        elif column.nullable:
            pattern *= 2
            pattern += is_null(column, array)
    return pattern


def _layout_bytes(part: Prepared, row: int, whole: Prepared) -> bytes:
    """Return the bytes of rows that share the layout of row `row` of `whole`."""
    names: list[str | None] = []
    for column in part.table.columns:
        value = whole.values[column.name][row : row + 1]
        if is_null(column, value)[0]:
            names.append(None)
        elif column.kind is ColumnKind.CODE:
            names.append(column.codes[int(value[0])])
        elif column.kind is ColumnKind.NAME:
            names.append(whole.instruments[int(value[0])])
        else:
            names.append("")
    layout = [
        (column.name, _wire_type(column), name)
        for column, name in zip(part.table.columns, names, strict=True)
    ]
    out = np.full(len(part), _template((*layout, ("checksum", ">i8", ""))))
    for column, name in zip(part.table.columns, names, strict=True):
        if name == "":
            shift = _POSTGRES_EPOCH if column.kind is ColumnKind.TIMESTAMP else 0
            array = part.values[column.name]
            out[column.name] = array - shift if shift else array
    out["checksum"] = part.checksum
    return out.tobytes()


@lru_cache(maxsize=4096)
def _template(layout: tuple[tuple[str, str, str | None], ...]) -> NDArray[np.void]:
    """Return one row of a layout with everything filled in but the values."""
    fields: list[tuple[str, str]] = [("#fields", ">i2")]
    for name, code, text in layout:
        fields.append((f"#{name}", ">i4"))
        if text is not None:
            fields.append((name, f"S{len(text.encode())}" if text else code))
    row = np.zeros((), dtype=np.dtype(fields))
    row["#fields"] = len(layout)
    for name, _code, text in layout:
        row[f"#{name}"] = -1 if text is None else row.dtype[name].itemsize
        if text:
            row[name] = text.encode()
    return row


def _wire_type(column: Column) -> str:
    """Return how Postgres sends the type of a column, which is wider than some records."""
    if column.kind is ColumnKind.FLOAT:
        return ">f8"
    if column.kind is ColumnKind.TIMESTAMP:
        return ">i8"
    if column.kind is ColumnKind.FLAG:
        return "i1"
    return f">i{max(2, column.dtype.itemsize)}"
