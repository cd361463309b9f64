"""`rsc report`: a run as one self-contained HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rsc import api
from rsc.analysis.database import open_records
from rsc.cli.terminal.options import DatabaseOption, JsonOption, RunArgument, examples
from rsc.cli.terminal.output import emit, say

app = typer.Typer()


@app.command(epilog=examples("rsc report last", "rsc report 20261122 --output report.html"))
def report(
    run: RunArgument,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where to write it.",
            show_default="runs/RUN/report.html",
        ),
    ] = None,
    database: DatabaseOption = None,
    *,
    json: JsonOption = False,
) -> None:
    """Write portfolio value, drawdown, trades, learning curve and metrics of RUN as a page.

    The file needs no network and no other file: send it, keep it, open it in any browser.
    """
    with open_records(database) as records:
        run_id = records.resolve(run)
    path = api.report(run_id, output=output, database=database)
    document = {"run_id": run_id, "report": path.absolute()}
    emit(document, lambda: say(f"the report of run {run_id} is {path}"), json=json)
