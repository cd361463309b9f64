"""One SHA-256 of everything a run recorded: equal facts, equal digest.

Trial ids, run ids, clocks and parameters are left out, and trials are taken in the order
of fold, seed and parameters; so two runs have the same digest if and only if they recorded
the same, on SQLite or on Postgres, with a learner in the driver or in its own process.
It reads every row, so `rsc verify` prints it, which reads them anyway.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from rsc.audit.chunks import Chunk, chunks
from rsc.store.records.checksum import float_bits, integer_bits, text_bits
from rsc.store.records.checksum_versions import CHECKSUM_VERSION, checksummed
from rsc.store.records.reading import Rows
from rsc.store.runs.plain_rows import named_values
from rsc.store.runs.queries import TrialRow, run_in, trials_in
from rsc.store.schema import tables
from rsc.store.schema.column_types import canonical_json
from rsc.store.schema.columns import ColumnKind
from rsc.store.schema.engine import reading
from rsc.trading.records import EPISODE_NUMBER_MASK


def record_digest(engine: Engine, run_id: str) -> str:
    """Return the digest of a run's episodes, steps, operations, trades and evaluations.

    Raises
    ------
    UserError
        When the run is unknown.
    """
    digest = RecordDigest()
    with reading(engine) as connection:
        run_in(connection, run_id)
        for trial in trials_in(connection, run_id):
            digest.begin(trial)
            for chunk in chunks(connection, trial.trial_id):
                digest.add(chunk)
            digest.end(connection, trial)
    return digest.text()


class RecordDigest:
    """The digest of a run whose trials and chunks somebody else walks, in their order."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._parts: dict[str, Any] = {}
        self._version = CHECKSUM_VERSION

    def begin(self, trial: TrialRow) -> None:
        """Go on with the next trial."""
        self._digest.update(f"{trial.fold}/{trial.seed}\n".encode())
        self._version = trial.checksum_version
        # Tables apart, so that the size of a chunk does not matter.
        self._parts = {table.name: hashlib.sha256() for table in tables.RECORD_TABLES}

    def add(self, chunk: Chunk) -> None:
        """Take the next episodes of the trial with all their rows."""
        for rows in chunk.rows:
            self._parts[rows.table.name].update(_bytes(rows, self._version))

    def end(self, connection: Connection, trial: TrialRow) -> None:
        """Take the evaluations of the trial, after its last chunk."""
        for name in sorted(self._parts):
            self._digest.update(f"{name}/{self._parts[name].hexdigest()}\n".encode())
        self._digest.update(_evaluations(connection, trial))

    def text(self) -> str:
        """Return the digest of the trials so far, 64 hexadecimal digits."""
        return self._digest.hexdigest()


def _bytes(rows: Rows, version: int) -> bytes:
    """Return rows as bytes that are the same on every machine and database."""
    columns = []
    for name in checksummed(version, rows.table.name):
        column = rows.table.column(name)
        array = rows.records[column.name]
        if column.name == "episode_id":
            bits = integer_bits(array & EPISODE_NUMBER_MASK)
        elif column.kind is ColumnKind.FLOAT:
            bits = float_bits(array)
        elif column.kind is ColumnKind.NAME:
            texts = np.array([text_bits(text) for text in rows.instruments], dtype=np.uint64)
            bits = np.take(texts, array)
        else:
            bits = integer_bits(array)
        columns.append(bits)
    return np.column_stack(columns).astype("<u8").tobytes()


def _evaluations(connection: Connection, trial: TrialRow) -> bytes:
    table = tables.evaluations
    names = checksummed(trial.checksum_version, table.name)
    columns = [table.c[name] for name in names if name != "trial_id"]
    query = sa.select(*columns).where(table.c.trial_id == trial.trial_id)
    lines = [canonical_json([_plain(value) for value in row]) for row in connection.execute(query)]
    extra = [
        canonical_json([*key[1:], name, *map(_plain, value)])
        for key, named in named_values(connection, table, trial.trial_id).items()
        for name, value in named.items()
    ]
    return "\n".join(sorted(lines) + sorted(extra)).encode()


def _plain(value: Any) -> Any:
    """Return a value as both databases give it: flags are 0 and 1, -0.0 is 0.0."""
    if isinstance(value, bool):
        return int(value)
    return value + 0.0 if isinstance(value, float) else value
