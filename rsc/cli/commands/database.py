"""`rsc db`: bring the schema of the database up to date, or look at it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer

from rsc.analysis.database import require_database
from rsc.cli.terminal.options import EXIT_CODES, DatabaseOption, JsonOption, examples
from rsc.cli.terminal.output import emit, print_facts, say
from rsc.store.schema.engine import check_schema, create_engine, current_revision, probe
from rsc.store.schema.engine import upgrade as upgrade_schema
from rsc.store.schema.failures import address

app = typer.Typer(
    name="db",
    no_args_is_help=True,
    help="Upgrade and check the database's schema.",
    epilog=EXIT_CODES,
)


@app.command(epilog=examples("rsc db upgrade --database postgresql://user:password@host/rsc"))
def upgrade(database: DatabaseOption = None, *, json: JsonOption = False) -> None:
    """Create the schema, or bring an older one to this version.

    Safe to repeat, and safe while another process does the same. SQLite files are upgraded
    by training itself; Postgres waits for this command.
    """
    with _engine(database) as engine:
        probe(engine)
        before = current_revision(engine)
        upgrade_schema(engine)
        after = current_revision(engine)
    done = f"schema {after}: nothing to do" if before == after else f"schema {before} -> {after}"
    emit({"before": before, "after": after}, lambda: say(done), json=json)


@app.command(epilog=examples("rsc db check", "rsc db check --json"))
def check(database: DatabaseOption = None, *, json: JsonOption = False) -> None:
    """Connect, and check that the schema is the one this version works with."""
    require_database(database)
    with _engine(database) as engine:
        probe(engine)
        check_schema(engine)
        facts = {"database": address(engine.url), "schema": str(current_revision(engine))}
    rows = [*facts.items(), ("state", "ready")]
    emit({**facts, "ok": True}, lambda: print_facts(rows), json=json)


@contextmanager
def _engine(database: str | None) -> Iterator[Any]:
    engine = create_engine(database)
    try:
        yield engine
    finally:
        engine.dispose()
