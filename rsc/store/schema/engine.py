"""One engine for SQLite and Postgres, and the schema it must have.

SQLite is the default and needs nothing: it is created and upgraded silently. A
Postgres database that is empty is set up; one with an older schema waits for
`rsc db upgrade`, as others may be using it. Postgres is always driven by psycopg2,
whatever the URL says: its COPY is what the recorder writes with. Nothing outlives a
transaction in the session of a connection, so a pooler in transaction mode may stand
between; what libpq understands (sslmode, sslrootcert, several hosts) may stand in the URL.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeAlias

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import URL, make_url

from rsc.errors import RscError, TemporaryError, UserError
from rsc.store.lease import DEFAULT_LEASE_SECONDS, is_alive
from rsc.store.schema.column_types import UtcTimestamp
from rsc.store.schema.failures import address, database_errors, failure_of

# For modules that only hand them on: the library itself stays behind this door.
Engine: TypeAlias = sa.Engine
Connection: TypeAlias = sa.Connection

Database: TypeAlias = Engine  # what the layers above call it: they do not know SQLAlchemy

DEFAULT_URL = "sqlite:///rsc.db"
URL_VARIABLE = "RSC_DATABASE_URL"
_SQLITE_MINIMUM = (3, 37, 0)  # STRICT tables
# WAL: readers never wait for the writer. NORMAL: a killed process loses nothing that was
# committed; only a power cut may lose the last commits, never the database.
_PRAGMAS = (
    "PRAGMA busy_timeout = 30000",
    "PRAGMA foreign_keys = ON",
    "PRAGMA synchronous = NORMAL",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA cache_size = -65536",
    "PRAGMA wal_autocheckpoint = 4000",
)
_SCHEMA_LOCK = 0x727363  # advisory lock of Postgres while the schema changes
# A change of the schema waits for a lock no longer than this: others would wait behind it.
_LOCK_TIMEOUT = "60s"
# What libpq is told unless the URL says it: a server that vanished without a word (a
# failover) is noticed after a minute. No `options`: poolers refuse them.
_POSTGRES_DEFAULTS: dict[str, Any] = {
    "connect_timeout": 10,
    "application_name": "rsc",
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
_LOOK_SECONDS = 0.5  # between looks for a database that is not ready yet
# Names of files in a URL.
_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl", "passfile")
# One connection is kept and enough for a process that writes; the others are for a moment.
_CONNECTIONS = 3


class OutdatedSchemaError(UserError):
    """The schema of the database is older than the code, or not there yet."""


def parse_url(url: str | None) -> URL:
    """Return the URL of the database, from `url`, the environment or the default.

    Raises
    ------
    UserError
        When it is not a URL of SQLite or Postgres.
    """
    given = url or os.environ.get(URL_VARIABLE) or DEFAULT_URL
    try:
        parsed = make_url(given)
        backend = parsed.get_backend_name()
    except (sa.exc.ArgumentError, ValueError):
        parsed, backend = None, "no URL"
    if parsed is not None and backend in {"postgresql", "postgres"}:
        return parsed.set(drivername="postgresql+psycopg2")
    if parsed is not None and backend == "sqlite":
        return parsed.set(drivername="sqlite+pysqlite")
    msg = f"the database URL was {backend}, must be a sqlite:/// or postgresql:// URL"
    hint = (
        f"Give --database or {URL_VARIABLE} one: "
        "sqlite:///rsc.db or postgresql://user:password@host/rsc."
    )
    raise UserError(msg, hint)


def create_engine(url: str | None = None, *, connections: int = _CONNECTIONS) -> Engine:
    """Return an engine that has not connected yet.

    Parameters
    ----------
    url : str, optional
        ``sqlite:///file`` or ``postgresql://user:password@host/name``; without it
        ``RSC_DATABASE_URL``, without that ``rsc.db`` in the working folder.
    connections : int
        The most connections to Postgres at one time; one is kept open. Threads share
        them: a writer and its heartbeat need only one.

    Raises
    ------
    UserError
        When the URL is of no known database, malformed, or SQLite is too old.
    """
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite_engine(parsed)
    defaults = {k: v for k, v in _POSTGRES_DEFAULTS.items() if k not in parsed.query}
    with database_errors(parsed):
        return sa.create_engine(
            parsed,
            pool_pre_ping=True,
            pool_size=1,
            max_overflow=connections - 1,
            connect_args=defaults,
        )


def portable_url(engine: Engine) -> str:
    """Return the URL, password included, that means the same in any working folder."""
    url = engine.url
    name = url.database
    if url.get_backend_name() == "sqlite" and name and name != ":memory:":
        url = url.set(database=str(Path(name).absolute()))
    given = {key: url.query[key] for key in _FILES if url.query.get(key, "system") != "system"}
    url = url.update_query_dict(
        {key: str(Path(str(file)).absolute()) for key, file in given.items()}
    )
    return url.render_as_string(hide_password=False)


def _sqlite_engine(url: URL) -> Engine:
    if sqlite3.sqlite_version_info < _SQLITE_MINIMUM:
        msg = f"SQLite was {sqlite3.sqlite_version}, must be at least 3.37 (strict tables)"
        raise UserError(msg, "Use a newer Python, or Postgres by RSC_DATABASE_URL.")
    engine = sa.create_engine(url)
    sa.event.listen(engine, "connect", _prepare_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # transactions are begun below, not by the driver
    for pragma in _PRAGMAS:
        connection.execute(pragma)


def _begin_sqlite(connection: Connection) -> None:
    writing = connection.get_execution_options().get("rsc_writing", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Open one transaction that writes; it is committed at the end or not at all."""
    with (
        database_errors(engine.url),
        engine.connect().execution_options(rsc_writing=True) as connection,
        connection.begin(),
    ):
        yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Open one transaction that reads: everything in it sees one state."""
    level: dict[str, Any] = {}
    if engine.dialect.name == "postgresql":
        level = {"isolation_level": "REPEATABLE READ"}
    with (
        database_errors(engine.url),
        engine.connect().execution_options(**level) as connection,
        connection.begin(),
    ):
        yield connection


def probe(engine: Engine) -> None:
    """Connect once, so that a wrong address is told before anything begins.

    Raises
    ------
    UserError
        When the database cannot be reached or opened.
    """
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("SELECT 1")
    except sa.exc.SQLAlchemyError as error:
        failure = failure_of(error, engine.url)
        kind = UserError if isinstance(failure, TemporaryError) else type(failure)
        raise kind(failure.message, failure.hint) from error


def _alembic(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(files("rsc.store.schema") / "migrations"))
    config.attributes["connection"] = connection
    return config


def head_revision() -> str:
    """Return the revision of the schema that this code works with."""
    head = ScriptDirectory.from_config(_alembic()).get_current_head()
    if head is None:
        msg = "rsc.store.schema.migrations has no revision"
        raise RscError(msg)
    return head


def current_revision(engine: Engine) -> str | None:
    """Return the revision of the database, None when it is empty.

    Raises
    ------
    UserError
        When it holds tables that are not of rsc.
    """
    with reading(engine) as connection:
        revision = _revision(connection)
        others = set(sa.inspect(connection).get_table_names()) - {"alembic_version"}
        if revision is None and others:
            msg = f"database {address(engine.url)} held other tables and no schema of rsc"
            raise UserError(msg, "Give an empty database in RSC_DATABASE_URL.")
        return revision


def _revision(connection: Connection) -> str | None:
    """Return the revision of the database inside a transaction."""
    return MigrationContext.configure(connection).get_current_revision()


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the schema to the newest revision; nothing to do is no error.

    Raises
    ------
    UserError
        When the schema is newer than the code, the tables are not of rsc, or a run is alive:
        its process knows the older schema only.
    """
    _refuse_newer(engine, current_revision(engine))
    if engine.dialect.name == "sqlite":
        _set_wal(engine)
    with writing(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_SCHEMA_LOCK)))
        if _revision(connection) not in (None, head_revision()):
            _refuse_alive(connection)
        command.upgrade(_alembic(connection), revision)


def _refuse_alive(connection: Connection) -> None:
    """Refuse to change the schema under a run that is alive, and let none begin meanwhile."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("LOCK TABLE training_runs IN EXCLUSIVE MODE")
    # Columns that every revision has.
    runs = sa.table(
        "training_runs",
        sa.column("run_id"),
        sa.column("state"),
        sa.column("holder"),
        sa.column("heartbeat_at", UtcTimestamp()),
    )
    now, lease = server_now(connection), timedelta(seconds=DEFAULT_LEASE_SECONDS)
    for row in connection.execute(sa.select(runs)):
        if is_alive(row, now, lease):
            msg = (
                f"database {address(connection.engine.url)} was not migrated: run {row.run_id} was "
                f"alive (heartbeat {(now - row.heartbeat_at).total_seconds():.0f} s ago), "
                "all runs must have ended"
            )
            stop = f"`rsc stop {row.run_id}` of the version that trains it"
            raise UserError(msg, f"Wait for its end or stop it ({stop}), then try again.")


def server_now(connection: Connection) -> datetime:
    """Return the instant: the server's on Postgres, as leases are evaluated by one clock."""
    if connection.dialect.name == "postgresql":
        return connection.execute(sa.select(sa.func.clock_timestamp())).scalar_one().astimezone(UTC)  # type: ignore[no-any-return]
    return datetime.now(UTC)


def downgrade(engine: Engine, revision: str) -> None:
    """Bring the schema back to `revision` (``base`` removes everything)."""
    with writing(engine) as connection:
        command.downgrade(_alembic(connection), revision)


def _set_wal(engine: Engine) -> None:
    """Choose the write-ahead log; it stays chosen in the file."""
    with database_errors(engine.url):
        connection = engine.raw_connection()
        try:
            connection.cursor().execute("PRAGMA journal_mode = WAL")
        finally:
            connection.close()


def check_schema(engine: Engine) -> None:
    """Refuse a database whose schema is not the one of this code.

    Raises
    ------
    UserError
        When the database is empty, older or newer than the code.
    """
    where, current, head = address(engine.url), current_revision(engine), head_revision()
    if current == head:
        return
    if current is None:
        msg = f"database {where} was empty, must have schema {head}"
        raise OutdatedSchemaError(msg, "Run `rsc db upgrade`, or train once with SQLite.")
    known = {script.revision for script in ScriptDirectory.from_config(_alembic()).walk_revisions()}
    if current in known:
        msg = f"database {where} had the older schema {current}, this code needs {head}"
        raise OutdatedSchemaError(msg, "Run `rsc db upgrade`.")
    msg = f"database {where} had schema {current}, newer than this code, which knows {head}"
    raise UserError(msg, "Use the newer rsc that upgraded it, or another database.")


def prepare_database(engine: Engine) -> None:
    """Make the database ready to be written: what `rsc train` does first.

    SQLite is created or upgraded; Postgres is set up when empty, else only checked.

    Raises
    ------
    UserError
        When it cannot be reached or has another schema.
    """
    probe(engine)
    current = current_revision(engine)
    sqlite_older = engine.dialect.name == "sqlite" and current != head_revision()
    if current is None or sqlite_older:
        upgrade(engine)
    check_schema(engine)


def await_database(engine: Engine, seconds: float) -> None:
    """Wait until the database is there and has its schema: what a start in a pod does first.

    Postgres is never changed: there migrations are a job of their own, which may still be
    under way. SQLite is prepared as always.

    Parameters
    ----------
    engine : Engine
        From `create_engine`.
    seconds : float
        How long to wait.

    Raises
    ------
    TemporaryError
        When the database was away all the time.
    UserError
        When it has another schema, or refuses the address, user or certificate.
    """
    if engine.dialect.name == "sqlite":
        prepare_database(engine)
        return
    deadline = time.monotonic() + seconds
    while True:
        try:
            check_schema(engine)
        except (TemporaryError, OutdatedSchemaError):
            if time.monotonic() >= deadline:
                raise
        else:
            return
        time.sleep(_LOOK_SECONDS)


def _refuse_newer(engine: Engine, current: str | None) -> None:
    known = {script.revision for script in ScriptDirectory.from_config(_alembic()).walk_revisions()}
    if current is not None and current not in known:
        check_schema(engine)
