"""`rsc db`: bring the schema of the database up to date, or look at it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer

from rsc.cli.terminal.options import EXIT_CODES, KEEP_PANEL, DatabaseOption, JsonOption, examples
from rsc.cli.terminal.output import print_facts, print_json, say

_app = typer.Typer(no_args_is_help=True, help="Upgrade and check the database's schema.")


def register(app: typer.Typer) -> None:
    """Add the group to the program."""
    app.add_typer(_app, name="db", rich_help_panel=KEEP_PANEL, epilog=EXIT_CODES)


@_app.command(epilog=examples("rsc db upgrade --database postgresql://user:password@host/rsc"))
def upgrade(database: DatabaseOption = None, *, json: JsonOption = False) -> None:
    """Create the schema, or bring an older one to this version.

    Safe to repeat, and safe while another process does the same. SQLite files are upgraded
    by training itself; Postgres waits for this command.
    """
    from rsc.store.schema.engine import current_revision, probe
    from rsc.store.schema.engine import upgrade as upgrade_schema

    with _engine(database) as engine:
        probe(engine)
        before = current_revision(engine)
        upgrade_schema(engine)
        after = current_revision(engine)
    if json:
        print_json({"before": before, "after": after})
        return
    say(f"schema {after}: nothing to do" if before == after else f"schema {before} -> {after}")


@_app.command(epilog=examples("rsc db check", "rsc db check --json"))
def check(database: DatabaseOption = None, *, json: JsonOption = False) -> None:
    """Connect, and check that the schema is the one this version works with."""
    from rsc.analysis.database import require_database
    from rsc.store.schema.engine import check_schema, current_revision, probe
    from rsc.store.schema.failures import address

    require_database(database)
    with _engine(database) as engine:
        probe(engine)
        check_schema(engine)
        facts = {"database": address(engine.url), "schema": str(current_revision(engine))}
    if json:
        print_json({**facts, "ok": True})
        return
    print_facts([*facts.items(), ("state", "ready")])


@contextmanager
def _engine(database: str | None) -> Iterator[Any]:
    from rsc.store.schema.engine import create_engine

    engine = create_engine(database)
    try:
        yield engine
    finally:
        engine.dispose()
