"""`rsc compare`: whether two runs differ by more than chance, and in which settings."""

from __future__ import annotations

from typing import Annotated

import typer

from rsc import api
from rsc.analysis.comparison import Comparison, Difference, SplitComparison
from rsc.cli.commands.config import print_differences
from rsc.cli.terminal.numbers import probability, ratio_with_interval
from rsc.cli.terminal.options import DatabaseOption, JsonOption, examples
from rsc.cli.terminal.output import NOTHING, Column, emit, number_column, print_table, say
from rsc.cli.terminal.results import performance_cells, sharpe_notes

app = typer.Typer()


@app.command(epilog=examples("rsc compare RUN RUN", "rsc compare last 20261122-1815 --json"))
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
    found = api.compare(*runs, database=database)
    emit(found, lambda: _print(found), json=json)


def _print(found: Comparison) -> None:
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
        say("the runs share no split on which all of them were evaluated")
    for run_id, rows_of in found.settings.items():
        print_differences(rows_of, (first, run_id))


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
