"""`rsc stop`: ask a run to end, wherever it is being trained."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from rsc.cli.terminal.options import (
    TRAIN_PANEL,
    DatabaseOption,
    ExactOption,
    JsonOption,
    RunArgument,
    examples,
)
from rsc.cli.terminal.output import print_error, print_json, say
from rsc.errors import TemporaryError

_LOOK_SECONDS = 1.0


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    epilog = examples("rsc stop last", "rsc stop nightly-7 --wait 120")
    app.command(rich_help_panel=TRAIN_PANEL, epilog=epilog)(stop)


def stop(
    run: RunArgument,
    wait: Annotated[
        float,
        typer.Option(
            "--wait", metavar="SECONDS", min=0, help="Wait so long for the run to have ended."
        ),
    ] = 0.0,
    exact: ExactOption = False,
    database: DatabaseOption = None,
    *,
    json: JsonOption = False,
) -> None:
    """Ask RUN to end with a checkpoint and closed episodes; it stays ended.

    The request goes through the database and is heard within seconds. A run that is ended
    so is cancelled: its managed starts exit 0, and only --resume goes on with it.
    """
    from rsc.analysis.database import open_records
    from rsc.store.runs.writes import SqlRunStore

    with open_records(database) as records:
        run_id = records.resolve(run, exact=exact)
        SqlRunStore(records.engine).request_cancel(run_id)
        ended = _ended(records.engine, run_id, wait)
    if json:
        print_json({"run_id": run_id, "cancel_requested": True, "ended": ended})
    elif ended:
        say(f"run {run_id} has ended")
    else:
        say(f"run {run_id} was asked to end; its process hears it within seconds")
    if wait and not ended:
        _refuse(run_id, wait, as_json=json)


def _refuse(run_id: str, wait: float, *, as_json: bool) -> None:
    error = TemporaryError(
        f"run {run_id} had not ended after {wait:g} s, it was asked to",
        "Wait longer, or look at what its process does: rsc show RUN",
    )
    if as_json:  # the document is out: one is all that stdout may hold
        print_error(error.message, error.hint)
        raise typer.Exit(error.exit_code)
    raise error


def _ended(engine: Any, run_id: str, wait: float) -> bool:
    """Whether nobody trains the run any more, waiting for it a while."""
    from rsc.store.runs.queries import find_run

    deadline = time.monotonic() + wait
    while find_run(engine, run_id).alive:
        if time.monotonic() >= deadline:
            return False
        time.sleep(_LOOK_SECONDS)
    return True
