"""`rsc stop`: ask a run to end, wherever it is being trained."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from rsc.analysis.database import open_records
from rsc.cli.terminal.options import (
    DatabaseOption,
    ExactOption,
    JsonOption,
    RunArgument,
    examples,
)
from rsc.cli.terminal.output import emit, fail, say
from rsc.errors import TemporaryError
from rsc.store.runs.queries import find_run
from rsc.store.runs.writes import SqlRunStore

app = typer.Typer()

_LOOK_SECONDS = 1.0


@app.command(epilog=examples("rsc stop last", "rsc stop nightly-7 --wait 120"))
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
    with open_records(database) as records:
        run_id = records.resolve(run, exact=exact)
        SqlRunStore(records.engine).request_cancel(run_id)
        ended = _ended(records.engine, run_id, wait)
    asked = "has ended" if ended else "was asked to end; its process hears it within seconds"
    document = {"run_id": run_id, "cancel_requested": True, "ended": ended}
    emit(document, lambda: say(f"run {run_id} {asked}"), json=json)
    if wait and not ended:
        error = TemporaryError(
            f"run {run_id} had not ended after {wait:g} s, it was asked to",
            "Wait longer, or look at what its process does: rsc show RUN",
        )
        fail(error, json=json)


def _ended(engine: Any, run_id: str, wait: float) -> bool:
    """Whether nobody trains the run any more, waiting for it a while."""
    deadline = time.monotonic() + wait
    while find_run(engine, run_id).alive:
        if time.monotonic() >= deadline:
            return False
        time.sleep(_LOOK_SECONDS)
    return True
