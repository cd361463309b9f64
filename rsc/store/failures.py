"""Where a database's own errors stop and become sentences of `rsc.errors`.

What may heal by waiting (server away, lock, server's disk full) is a TemporaryError,
which the writer answers by spooling; what only the user can change is a UserError;
a row that breaks a constraint is a defect of the program and says which constraint.
No sentence ever holds a password.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from rsc.errors import RscError, TemporaryError, UserError

_WRONG_ADDRESS = ("does not exist", "no password supplied", "no pg_hba.conf entry")


def address(url: URL) -> str:
    """Return the address of a database as a person may read it: without password."""
    if url.get_backend_name() == "sqlite":
        return url.database or "in memory"
    shown = url.set(drivername="postgresql", query={})
    return shown.render_as_string(hide_password=True)


def _first_line(error: BaseException, url: URL) -> str:
    text = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return text.replace(str(url.password), "***") if url.password else text


def _sqlite_failure(error: sqlite3.Error, url: URL) -> RscError:
    text, where = str(error), f"database {address(url)}"
    if isinstance(error, sqlite3.IntegrityError):
        return RscError(
            f"{where}: a row was refused: {text}", "This is a defect: please report it."
        )
    if "locked" in text or "busy" in text:
        return TemporaryError(
            f"{where} was locked by another process for too long", "Wait for it, then try again."
        )
    if "full" in text:
        return UserError(
            f"{where}: the disk was full, it must have room for the records",
            "Free some space, then resume the run: what was committed is safe.",
        )
    if "disk I/O" in text:
        return UserError(
            f"{where}: the disk refused to read or write ({text})",
            "Look for a full disk, a quota or a failing device, then resume the run.",
        )
    if "readonly" in text or "read-only" in text:
        return UserError(
            f"{where} was read-only, it must be writable by this user",
            "Change the permissions of the file and its folder, or RSC_DATABASE_URL.",
        )
    if "unable to open" in text:
        return UserError(
            f"{where} could not be opened: its folder must exist and be writable",
            "Make the folder, change its permissions, or set RSC_DATABASE_URL.",
        )
    if "not a database" in text or "malformed" in text:
        return UserError(
            f"{where} was no SQLite database ({text}), it must be one",
            "Give another file in RSC_DATABASE_URL, or restore this one from a backup.",
        )
    if "no such table" in text or "no such column" in text:
        return UserError(f"{where} had another schema: {text}", "Run `rsc db upgrade`.")
    return RscError(f"{where}: {text}", "This is a defect: please report it.")


def _postgres_failure(error: psycopg2.Error, url: URL) -> RscError:
    text, where = _first_line(error, url), f"database {address(url)}"
    code = error.pgcode or ""
    if "authentication failed" in text or code.startswith("28"):
        return UserError(
            f"{where}: user or password was refused ({_reason(text)})",
            "Correct user and password in RSC_DATABASE_URL.",
        )
    if code == "53100":
        return TemporaryError(
            f"{where}: the server's disk was full", "Free some space on the server."
        )
    if code.startswith(("23", "22")):
        return RscError(
            f"{where}: a row was refused: {text}", "This is a defect: please report it."
        )
    if code in {"42P01", "42703"}:
        return UserError(f"{where} had another schema: {text}", "Run `rsc db upgrade`.")
    if code in {"42501", "25006"}:
        return UserError(
            f"{where} could not be written: {text}", "Give the user the right to write there."
        )
    if not code and any(part in text for part in _WRONG_ADDRESS):
        return UserError(
            f"{where} could not be opened: {_reason(text)}", "Correct RSC_DATABASE_URL."
        )
    if not code or code.startswith(("08", "53", "55", "57", "40")):
        return TemporaryError(
            f"{where} was not reachable: {_reason(text)}",
            "Start the server or correct RSC_DATABASE_URL.",
        )
    return RscError(f"{where}: {text}", "This is a defect: please report it.")


def _reason(text: str) -> str:
    """Return what is left of libpq's sentence without its own address."""
    return text.rsplit("failed: ", 1)[-1].removeprefix("FATAL:").strip()


def failure_of(error: BaseException, url: URL) -> RscError:
    """Return the sentence for an error of a database library."""
    origin = error.orig if isinstance(error, DBAPIError) and error.orig else error
    if isinstance(origin, sqlite3.Error):
        return _sqlite_failure(origin, url)
    if isinstance(origin, psycopg2.Error):
        return _postgres_failure(origin, url)
    if isinstance(origin, PoolTimeoutError):
        return TemporaryError(f"database {address(url)} had no free connection", "Try again.")
    return RscError(f"database {address(url)}: {_first_line(origin, url)}", "")


@contextmanager
def database_errors(url: URL) -> Iterator[None]:
    """Turn errors of the database libraries into errors of `rsc.errors`."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error, psycopg2.Error) as error:
        raise failure_of(error, url) from error
