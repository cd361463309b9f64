"""A checksum names its values by version: a column that came later changes none that is there."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import sqlalchemy as sa
from recorded_trials import execute, record_run

from rsc.audit.verify import verify_run
from rsc.store.records import bulk
from rsc.store.records.checksum_versions import CHECKSUMMED
from rsc.store.runs.queries import list_trials
from rsc.store.schema import tables
from rsc.store.schema.column_types import DOUBLE
from rsc.store.schema.columns import RECORD_TABLES, Column, ColumnKind
from rsc.trading.records import RecordBatch

OLD, NEW = "20260101-000000-old", "20260101-000000-new"
PLAIN = (tables.iterations, tables.evaluations)
COUNTS = {
    "episodes": "fold",
    "steps": "bar_index",
    "trades": "bars_held",
    "trading_operations": "bar_index",
    "iterations": "learner_updates",
    "evaluations": "step_count",
}


@contextmanager
def a_later_version(store, monkeypatch):
    """Be a later version of the code, that migrated: each table has the column `later`."""
    before = [(table, table.columns, table.dtype) for table in RECORD_TABLES]
    column = Column(
        name="later", kind=ColumnKind.FLOAT, dtype=np.dtype("f8"), nullable=True, codes={}
    )
    for table in RECORD_TABLES:
        object.__setattr__(table, "columns", (*table.columns, column))
        object.__setattr__(table, "dtype", np.dtype([*table.dtype.descr, ("later", "f8")]))
    added = [sa.Column("later", DOUBLE) for _ in PLAIN]
    for plain, one in zip(PLAIN, added, strict=True):
        plain.append_column(one)
    for name in COUNTS:
        execute(
            store, f"ALTER TABLE {name} ADD COLUMN later {DOUBLE.compile(store.engine.dialect)}"
        )
    later = {name: (*values, "later") for name, values in CHECKSUMMED[1].items()}
    monkeypatch.setitem(CHECKSUMMED, 2, later)
    monkeypatch.setattr("rsc.store.runs.writes.CHECKSUM_VERSION", 2)
    bulk._sqlite_statement.cache_clear()
    try:
        yield
    finally:
        for table, columns, dtype in before:
            object.__setattr__(table, "columns", columns)
            object.__setattr__(table, "dtype", dtype)
        for plain, one in zip(PLAIN, added, strict=True):
            plain._columns.remove(one)
        bulk._sqlite_statement.cache_clear()


def with_later(batch):
    """Return records with a value in the new column, and other rows as they are."""
    if not isinstance(batch, RecordBatch):
        return batch
    arrays = {}
    for name, table in zip(
        ("episodes", "steps", "trades", "operations"), RECORD_TABLES, strict=True
    ):
        old = getattr(batch, name)
        arrays[name] = np.full(len(old), 0.5, table.dtype)
        for field in old.dtype.names:
            arrays[name][field] = old[field]
    return RecordBatch(**arrays)


def test_a_new_column_changes_no_checksum_and_no_digest_of_an_old_run(store, monkeypatch):
    record_run(store, OLD)
    before = verify_run(store.engine, OLD)
    with a_later_version(store, monkeypatch):
        add = store.add
        monkeypatch.setattr(store, "add", lambda trial, payload: add(trial, with_later(payload)))
        record_run(store, NEW)
        versions = {run: list_trials(store.engine, run)[0].checksum_version for run in (OLD, NEW)}
        assert versions == {OLD: 1, NEW: 2}
        assert replace(verify_run(store.engine, OLD), findings=()) == before
        assert verify_run(store.engine, NEW).findings == ()
        for name in COUNTS:
            assert_change_is_found(store, name)
    assert verify_run(store.engine, OLD) == before


def assert_change_is_found(store, name):
    """Change a value of every row: it is found in both runs, the new column in the new one."""
    for column, runs in ((COUNTS[name], (OLD, NEW)), ("later", (NEW,))):
        execute(store, f"UPDATE {name} SET {column} = coalesce({column}, 0) + 1")
        for run in (OLD, NEW):
            found = [f for f in verify_run(store.engine, run).findings if f.table == name]
            assert any("checksum was" in f.what for f in found) == (run in runs), (name, column)
        execute(store, f"UPDATE {name} SET {column} = {column} - 1")


@pytest.mark.parametrize("version", [2, 32767])
def test_a_version_that_nobody_knows_is_found(store, version):
    record_run(store, OLD)
    execute(store, "UPDATE trials SET checksum_version = :version", version=version)
    told = [str(f) for f in verify_run(store.engine, OLD).findings]
    assert any(f"checksum_version was {version}, must be one of [1]" in line for line in told)
