"""Translate database errors into `rsc.errors`.

What may heal by waiting (server away, lock, server's disk full) is a TemporaryError,
which the writer answers by spooling; what only the user can change is a UserError;
a row that breaks a constraint is a defect of the program and says which constraint.
No sentence ever holds a password.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg2
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from rsc.errors import RscError, TemporaryError, UserError


def address(url: URL) -> str:
    """Return the address of a database as a person may read it: without password."""
    if url.get_backend_name() == "sqlite":
        return url.database or "in memory"
    shown = url.set(drivername="postgresql", query={})
    return shown.render_as_string(hide_password=True)


def _first_line(error: BaseException, url: URL) -> str:
    text = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if "dsn" in url.query:  # a second address, of which libpq may quote any part
        return re.sub('".*"', '"***"', text)
    for secret in (url.password, url.query.get("password"), url.query.get("sslpassword")):
        text = text.replace(str(secret), "***") if secret else text
    return text


@dataclass(frozen=True, slots=True)
class _Rule:
    """What a library's text or code means: the first rule that fits counts."""

    marks: tuple[str, ...]
    kind: type[RscError]
    sentence: str
    hint: str


_DEFECT = "This is a defect: please report it."
_SCHEMA = _Rule(
    ("no such table", "no such column", "42P01", "42703"),
    UserError,
    "had another schema: {text}",
    "Run `rsc db upgrade`.",
)
_SQLITE = (
    _Rule(
        ("locked", "busy"),
        TemporaryError,
        "was locked by another process for too long",
        "Wait for it, then try again.",
    ),
    _Rule(
        ("disk is full",),
        UserError,
        "had no room left: the disk was full, it must hold the records",
        "Free some space, then resume the run: what was committed is safe.",
    ),
    _Rule(
        ("disk I/O",),
        UserError,
        "could not be read or written by the disk ({text})",
        "Look for a full disk, a quota or a failing device, then resume the run.",
    ),
    _Rule(
        ("readonly", "read-only"),
        UserError,
        "was read-only, it must be writable by this user",
        "Change the permissions of the file and its folder, or RSC_DATABASE_URL.",
    ),
    _Rule(
        ("unable to open",),
        UserError,
        "could not be opened: its folder must exist and be writable",
        "Make the folder, change its permissions, or set RSC_DATABASE_URL.",
    ),
    _Rule(
        ("not a database", "malformed"),
        UserError,
        "was not an SQLite database ({text}), it must be one",
        "Give another file in RSC_DATABASE_URL, or restore this one from a backup.",
    ),
    _SCHEMA,
)
_MALFORMED = _Rule(
    (
        "invalid dsn",
        "invalid connection option",
        "invalid integer value",
        "invalid URI",
        "invalid port number",
        "invalid percent-encoded",
        ' value: "',  # of an option that knows only some words
        "could not match",  # more ports than hosts
        "unrecognized configuration parameter",
        "command-line argument",  # of `options`, which the server reads
    ),
    UserError,
    "had a malformed URL ({text}), it must be one that libpq understands",
    "Correct RSC_DATABASE_URL: postgresql://user:password@host:5432/name?option=value.",
)
# By SQLSTATE where the server gave one, else by the words of libpq.
_POSTGRES = (
    _Rule(
        (
            "certificate",
            "does not support SSL",
            "no encryption",
            "sslmode",
            "private key file",
        ),
        UserError,
        "could not be reached as the URL demands: {text}",
        "Correct sslmode and sslrootcert in RSC_DATABASE_URL, or the server's certificate.",
    ),
    _MALFORMED,
    _Rule(
        ("28", "authentication failed", "no password supplied", "no pg_hba.conf entry"),
        UserError,
        "refused the user or the password ({text})",
        "Correct user and password in RSC_DATABASE_URL.",
    ),
    _Rule(
        ("53100",),
        TemporaryError,
        "had no room left: the server's disk was full",
        "Free some space on the server.",
    ),
    _Rule(("23", "22"), RscError, "refused a row: {text}", _DEFECT),
    _SCHEMA,
    _Rule(
        ("42501",),
        UserError,
        "could not be written: {text}",
        "Give the user the right to write there.",
    ),
    _Rule(
        ("25006",),  # a server that is no longer the primary, or not yet
        TemporaryError,
        "could only be read: {text}",
        "Wait for the failover to end, or name the primary in RSC_DATABASE_URL.",
    ),
    _Rule(
        ("3D000", "does not exist"),
        UserError,
        "could not be opened: {text}",
        "Correct RSC_DATABASE_URL, or make the database.",
    ),
    _Rule(
        ("08", "53", "55", "57", "40", ""),
        TemporaryError,
        "was not reachable: {text}",
        "Start the server or correct RSC_DATABASE_URL.",
    ),
)


def _told(rule: _Rule, where: str, text: str) -> RscError:
    return rule.kind(f"{where} {rule.sentence.format(text=text)}", rule.hint)


def _sqlite_failure(error: sqlite3.Error, url: URL) -> RscError:
    text, where = str(error), f"database {address(url)}"
    if isinstance(error, sqlite3.IntegrityError):
        return RscError(f"{where} refused a row: {text}", _DEFECT)
    for rule in _SQLITE:
        if any(mark in text for mark in rule.marks):
            return _told(rule, where, text)
    return RscError(f"{where}: {text}", _DEFECT)


def _fits(mark: str, code: str | None, text: str) -> bool:
    """Return whether a mark is the beginning of the SQLSTATE, or without one in the text."""
    if code:
        return bool(mark) and code.startswith(mark)
    return mark in text and not mark.isdigit()


def _postgres_failure(error: psycopg2.Error, url: URL) -> RscError:
    text, where = _reason(_first_line(error, url)), f"database {address(url)}"
    code = error.pgcode
    for rule in _POSTGRES:
        if any(_fits(mark, code, text) for mark in rule.marks):
            return _told(rule, where, text)
    return RscError(f"{where}: {text}", _DEFECT)


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
    if isinstance(origin, ArgumentError):
        return _told(_MALFORMED, f"database {address(url)}", _first_line(origin, url))
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
