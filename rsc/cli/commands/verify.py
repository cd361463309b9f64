"""`rsc verify`: proof that the records of a run are complete, unchanged and add up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from rsc import api
from rsc.audit.verify import VerifyResult
from rsc.cli.terminal.numbers import count
from rsc.cli.terminal.options import (
    DatabaseOption,
    ExactOption,
    JsonOption,
    QuietOption,
    RunArgument,
    examples,
)
from rsc.cli.terminal.output import (
    Column,
    emit,
    fail,
    print_facts,
    print_table,
    say,
    stderr_console,
)
from rsc.errors import CheckFailedError

app = typer.Typer()

_FAILED_HINT = (
    "A value was changed after it was written, or rows are missing; nothing was repaired."
)


@app.command(epilog=examples("rsc verify last", "rsc verify last --replay"))
def verify(
    run: RunArgument,
    replay: Annotated[
        bool,
        typer.Option(
            "--replay", help="Derive every portfolio value again, from operations and bars."
        ),
    ] = False,
    exact: ExactOption = False,
    database: DatabaseOption = None,
    *,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Check checksums, counts, states and arithmetic of everything RUN has recorded.

    Prints one digest of all records: equal configuration and seed give equal digests.
    Exit code 3 if anything is wrong, with the first offending rows by table and key.
    --replay needs the prices of the run where they were.
    """
    with _counting(quiet=quiet) as progress:
        result = api.verify(run, replay=replay, exact=exact, database=database, progress=progress)
    emit(_document(result), lambda: _print(result), json=json)
    _tell(result, json=json)


def _document(result: VerifyResult) -> dict[str, Any]:
    return {
        "run_id": result.run_id,
        "passed": result.passed,
        "replayed": result.replayed,
        "episodes": result.episode_count,
        "steps": result.step_count,
        "attempts": result.attempt_count,
        "records_sha256": result.records_sha256,
        "finding_count": result.total,
        "findings": result.findings,
    }


def _print(result: VerifyResult) -> None:
    if result.passed:
        print_facts([("records sha256", result.records_sha256)])
        return
    rows = [[finding.table, finding.key, finding.what] for finding in result.findings]
    print_table((Column("table"), Column("row"), Column("what is wrong")), rows)


def _tell(result: VerifyResult, *, json: bool) -> None:
    """Say how it went; a failed check ends the program with its own exit code."""
    starts = result.attempt_count
    looked = (
        f"{count(result.episode_count)} episodes, {count(result.step_count)} steps, "
        f"{count(starts)} attempt{'' if starts == 1 else 's'}"
    )
    if result.passed:
        replayed = ", every portfolio value derived again" if result.replayed else ""
        say(f"run {result.run_id}: {looked}{replayed}: everything adds up")
        return
    found = f"{count(result.total)} finding{'' if result.total == 1 else 's'}"
    message = f"run {result.run_id}: {found} in {looked}"
    fail(CheckFailedError(message, _FAILED_HINT), json=json)


@contextmanager
def _counting(*, quiet: bool) -> Iterator[Callable[[int], None] | None]:
    """Show how many steps were looked at, on a terminal."""
    console = stderr_console()
    if quiet or not console.is_terminal:
        yield None
        return
    with console.status("looking at the records") as status:
        yield lambda steps: status.update(f"looked at {count(steps)} steps")
