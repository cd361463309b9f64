"""`rsc verify`: proof that the records of a run are complete, unchanged and add up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rsc.cli.terminal.numbers import count
from rsc.cli.terminal.options import (
    KEEP_PANEL,
    DatabaseOption,
    ExactOption,
    JsonOption,
    QuietOption,
    RunArgument,
    examples,
)
from rsc.cli.terminal.output import (
    Column,
    print_error,
    print_facts,
    print_json,
    print_table,
    say,
    stderr_console,
)
from rsc.errors import CheckFailedError

if TYPE_CHECKING:
    from rsc.audit.verify import VerifyResult

_FAILED_HINT = (
    "A value was changed after it was written, or rows are missing; nothing was repaired."
)


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    epilog = examples("rsc verify last", "rsc verify last --replay")
    app.command(rich_help_panel=KEEP_PANEL, epilog=epilog)(verify)


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
    from rsc.analysis.database import open_records
    from rsc.audit.replay import replay_function
    from rsc.audit.verify import verify_run
    from rsc.store.runs.queries import find_run

    with open_records(database) as records:
        found = find_run(records.engine, records.resolve(run, exact=exact))
        function = replay_function(found) if replay else None
        with _counting(quiet=quiet) as progress:
            result = verify_run(records.engine, found.run_id, function, progress=progress)
    if json:
        print_json({**_document(result)})
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
        if not json:
            print_facts([("records sha256", result.records_sha256)])
        return
    if not json:
        rows = [[finding.table, finding.key, finding.what] for finding in result.findings]
        print_table((Column("table"), Column("row"), Column("what is wrong")), rows)
    found = f"{count(result.total)} finding{'' if result.total == 1 else 's'}"
    print_error(f"run {result.run_id}: {found} in {looked}", _FAILED_HINT)
    raise typer.Exit(CheckFailedError.exit_code)


@contextmanager
def _counting(*, quiet: bool) -> Iterator[Callable[[int], None] | None]:
    """Show how many steps were looked at, on a terminal."""
    console = stderr_console()
    if quiet or not console.is_terminal:
        yield None
        return
    with console.status("looking at the records") as status:
        yield lambda steps: status.update(f"looked at {count(steps)} steps")
