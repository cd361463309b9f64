"""`rsc evaluate`: evaluate the best checkpoint of a run once more."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from rsc import api
from rsc.cli.terminal.options import DatabaseOption, JsonOption, RunArgument, examples
from rsc.cli.terminal.output import emit, fail, say
from rsc.cli.terminal.results import print_rows
from rsc.errors import CheckFailedError
from rsc.log import configure_logging

_OTHER_HINT = (
    "Other hardware or other libraries may round an action differently; on the same the "
    "checkpoint is not the one that was evaluated."
)

app = typer.Typer()


@app.command(epilog=examples("rsc evaluate last", "rsc evaluate last --split validation --json"))
def evaluate(
    run: RunArgument,
    split: Annotated[
        Literal["validation", "test"],
        typer.Option("--split", help="Where to evaluate: on bars never trained on."),
    ] = "test",
    database: DatabaseOption = None,
    *,
    json: JsonOption = False,
) -> None:
    """Load the best checkpoint of RUN, let it trade greedily again, compare with the record.

    Writes nothing. Exit code 3 if it does not do what was recorded: the checkpoint is another
    one, or other hardware rounds differently. A split that was not evaluated yet is refused: the
    test split is evaluated once, after training. Needs the prices where they were, and loads
    torch and a local Ray although it trains nothing.
    """
    configure_logging()
    found = api.evaluate(run, split=split, database=database)
    emit(_document(found), lambda: _print(found), json=json)
    if found.as_recorded:
        say("the checkpoint does what was recorded")
        return
    message = f"run {found.run_id}: the checkpoint does not do what was recorded"
    fail(CheckFailedError(message, _OTHER_HINT), json=json)


def _document(found: api.Reevaluation) -> dict[str, object]:
    return {
        "run_id": found.run_id,
        "split": found.split,
        "agent": found.now.as_dict(),
        "undefined": found.now.undefined,
        "as_recorded": found.as_recorded,
    }


def _print(found: api.Reevaluation) -> None:
    rows = {"agent, now": found.now, "agent, recorded": found.recorded}
    print_rows(rows, title=f"agent on {found.split}")
