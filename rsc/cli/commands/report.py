"""`rsc report`: a run as one self-contained HTML page."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from rsc.cli.terminal.options import JUDGE_PANEL, DatabaseOption, JsonOption, RunArgument, examples
from rsc.cli.terminal.output import print_json, say
from rsc.errors import UserError

_FOLDER = Path("runs")


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    epilog = examples("rsc report last", "rsc report 20261122 --output report.html")
    app.command(rich_help_panel=JUDGE_PANEL, epilog=epilog)(report)


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
    from rsc.analysis.database import open_records
    from rsc.analysis.load import load_report

    with open_records(database) as records:
        run_id = records.resolve(run)
        data = load_report(records.engine, run_id)
    from rsc.reports.html import render_report

    path = output or _FOLDER / run_id / "report.html"
    _write(path, render_report(data))
    if json:
        print_json({"run_id": run_id, "report": str(path.absolute())})
    else:
        say(f"the report of run {run_id} is {path}")


def _write(path: Path, page: str) -> None:
    """Write the whole page or nothing."""
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(page, encoding="utf-8")
        os.replace(part, path)  # noqa: PTH105 (atomic, and named as such)
    except OSError as error:
        part.unlink(missing_ok=True)
        message = f"{path}: could not be written: {error.strerror or error}"
        raise UserError(message, "Choose another file with --output.") from error
