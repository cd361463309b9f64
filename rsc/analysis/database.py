"""The database for whoever reads it: opened, checked, runs found by a few letters.

Whoever only reads must never create a database: SQLite would make an empty file
of every misspelt path.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rsc.config.validation_errors import did_you_mean
from rsc.errors import UserError
from rsc.store.runs.lookup import place_of_run
from rsc.store.runs.queries import RunRow, list_runs
from rsc.store.schema.engine import Engine, check_schema, create_engine, parse_url, probe


@dataclass(frozen=True, slots=True)
class Records:
    """A database that is ready to be read, by its engine or by these methods."""

    engine: Engine

    def runs(self) -> tuple[RunRow, ...]:
        """Return all runs, the newest first."""
        return list_runs(self.engine)

    def resolve(self, reference: str, *, exact: bool = False) -> str:
        """Return the id of the run that a person means.

        Parameters
        ----------
        reference : str
            An id, the beginning of exactly one, or ``last`` for the newest run.
        exact : bool
            Only the whole id: where a program asks, the run it means may be gone, and
            another one's id may begin with the same letters.

        Raises
        ------
        UserError
            There is no such run, or there are several.
        """
        return resolve_run(reference, [run.run_id for run in self.runs()], exact=exact)


def resolve_run(reference: str, run_ids: Sequence[str], *, exact: bool = False) -> str:
    """Do what `Records.resolve` does, among ids of which the newest is the first."""
    place = place_of_run(reference, [(run_id,) for run_id in run_ids], exact=exact)
    if place is None:
        raise _unknown(reference, run_ids)
    return run_ids[place]


def _unknown(reference: str, run_ids: Sequence[str]) -> UserError:
    if not run_ids:
        return UserError(f"run {reference!r} was not found: there are no runs yet", _TRAIN_FIRST)
    message = f"run {reference!r} was not found{did_you_mean(reference, run_ids)}"
    return UserError(message, "'rsc runs' lists all; 'last' is the newest.")


_TRAIN_FIRST = "Train one first: rsc train examples/01-first-run.yaml"


@contextmanager
def open_records(database: str | None) -> Iterator[Records]:
    """Open the database for reading.

    Raises
    ------
    UserError
        It is not there, or its schema is not the one of this version.
    TemporaryError
        It is away.
    """
    require_database(database)
    engine = create_engine(database)
    try:
        probe(engine)
        check_schema(engine)
        yield Records(engine)
    finally:
        engine.dispose()


def require_database(database: str | None) -> None:
    """Refuse a SQLite file that does not exist.

    Raises
    ------
    UserError
        The file is missing, or the URL is of no known database.
    """
    path = missing_file(database)
    if path is not None:
        raise UserError(f"database {path} was not found, must exist to be read", _TRAIN_FIRST)


def missing_file(database: str | None) -> str | None:
    """Return the SQLite file that the URL names and that does not exist, else None."""
    url = parse_url(database)
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        return None
    return None if Path(url.database).exists() else url.database
