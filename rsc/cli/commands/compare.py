"""`rsc compare`: whether two runs differ by more than chance, and in which settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from rsc.cli.terminal.numbers import probability, ratio_with_interval
from rsc.cli.terminal.options import JUDGE_PANEL, DatabaseOption, JsonOption, examples
from rsc.cli.terminal.output import NOTHING, Column, number_column, print_json, print_table, say
from rsc.errors import UserError

if TYPE_CHECKING:
    from rsc.analysis.comparison import Comparison, Difference, SplitComparison


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    epilog = examples("rsc compare RUN RUN", "rsc compare last 20261122-1815 --json")
    app.command(rich_help_panel=JUDGE_PANEL, epilog=epilog)(compare)


def compare(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN RUN...", help="Two or more runs; each is compared with the first."
        ),
    ],
    database: DatabaseOption = None,
    *,
    json: JsonOption = False,
) -> None:
    """Compare runs: performance side by side, the difference with its p, settings that differ."""
    from rsc.analysis.comparison import compare_runs
    from rsc.analysis.database import open_records

    if len(runs) < 2:
        raise UserError(
            f"{len(runs)} run was given, must be two or more",
            "Give two or more: rsc compare RUN RUN",
        )
    with open_records(database) as records:
        found = compare_runs(records.engine, [records.resolve(run) for run in runs])
    if json:
        print_json(found)
        return
    _print(found)


def _print(found: Comparison) -> None:
    from rsc.cli.commands.config import print_differences
    from rsc.cli.terminal.results import performance_cells, sharpe_notes

    first = found.runs[0]
    for split in found.splits:
        columns = (
            Column("run", fixed=True),
            *(number_column(name) for name in ("return", "Sharpe [95 %]", "drawdown", "trades")),
        )
        rows = [[run_id, *performance_cells(own)[:4]] for run_id, own in split.performances.items()]
        notes = sharpe_notes(split.performances)
        print_table(columns, rows, title=f"agent on {split.split}", notes=notes)
        _print_split_differences(split, first)
    if not found.splits:
        say("the runs share no split on which all of them were judged")
    for run_id, rows_of in found.settings.items():
        print_differences([(r.key, r.left, r.right) for r in rows_of], (first, run_id))


def _print_split_differences(split: SplitComparison, first: str) -> None:
    columns = (
        Column("run", fixed=True),
        number_column("Sharpe difference [95 %]"),
        number_column("p"),
        Column("note"),
    )
    rows = [
        [
            found.run_id,
            ratio_with_interval(found.sharpe_difference, found.low, found.high),
            probability(found.p_value),
            found.reason or _verdict(found),
        ]
        for found in split.differences
    ]
    print_table(columns, rows, title=f"{first} less each other run, {split.split}")


def _verdict(found: Difference) -> str:
    if found.p_value is None:
        return NOTHING
    return "more than chance" if found.p_value < 0.05 else "may be chance"
