"""`rsc reset`: remove runs from the database, after showing what would go."""

from __future__ import annotations

import re
import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from rsc.analysis.database import Records, open_records
from rsc.cli.terminal.numbers import count
from rsc.cli.terminal.options import DatabaseOption, ExactOption, JsonOption, examples
from rsc.cli.terminal.output import Column, emit, number_column, print_table, say
from rsc.errors import UserError
from rsc.store.runs import reset as store
from rsc.store.runs.reset import ResetPlan, ResetScope
from rsc.store.schema.engine import parse_url

app = typer.Typer()

_AGE = re.compile(r"^([0-9]{1,9})(m|h|d|w)$")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_OLDEST = timedelta(days=36_500)
_SHOWN_RUNS = 10


@app.command(
    epilog=examples(
        "rsc reset --run 20261122-181503-k3f9",
        "rsc reset --older-than 30d",
        "rsc reset --all --yes",
    )
)
def reset(
    run: Annotated[
        str | None,
        typer.Option("--run", metavar="RUN", help="One run: its id or the beginning of it."),
    ] = None,
    older_than: Annotated[
        str | None,
        typer.Option(
            "--older-than", metavar="AGE", help="Runs begun longer ago: 90m, 12h, 30d or 8w."
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All runs.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    exact: ExactOption = False,
    database_name: Annotated[
        str | None,
        typer.Option(
            "--database-name",
            metavar="NAME",
            show_default=False,
            help="Refuse unless this is the name of the database that the URL leads to.",
        ),
    ] = None,
    database: DatabaseOption = None,
    *,
    json: JsonOption = False,
) -> None:
    """Remove runs with everything recorded of them; say exactly one of --run, --older-than, --all.

    Shows what would go and asks. Refuses while a run in scope is alive. The ledger of
    tries stays: a try that was made stays a try. Checkpoints on disk stay, too.
    With --exact a run that is not there is no error: it may have been removed before.
    """
    age = _age(older_than) if older_than is not None else None
    _exactly_one(run, older_than, everything=everything)
    if database_name is not None:
        _require_name(database, database_name)
    with open_records(database) as records:
        if exact and _is_gone(records, run):
            plan = store.ResetPlan(run_ids=(), rows={})
        else:
            scope = _scope(records, run, age, everything=everything)
            plan = store.plan_reset(records.engine, scope)
        if not json:
            _show(plan)
        if plan.run_ids:
            _confirm(plan, yes=yes)
            store.reset(records.engine, plan)
    nothing = "no run is in that scope: nothing to remove"
    done = f"removed {_runs(len(plan.run_ids))}" if plan.run_ids else nothing
    document = {"removed_runs": plan.run_ids, "removed_rows": plan.rows}
    emit(document, lambda: say(done), json=json)


def _exactly_one(run: str | None, older_than: str | None, *, everything: bool) -> None:
    given = (run is not None) + (older_than is not None) + everything
    if given != 1:
        message = f"reset was given {given} scopes, must be exactly one"
        raise UserError(message, "Say --run RUN, --older-than 30d, or --all.")


def _require_name(database: str | None, name: str) -> None:
    """Refuse another database than the one that was named to confirm it."""
    url = parse_url(database)
    found = url.database or ""
    if url.get_backend_name() == "sqlite":
        found = Path(found).name
    if name != found:
        message = f"--database-name was {name!r}, must be {found!r} as in the database's URL"
        raise UserError(message, "Nothing was removed. Which of the two is meant?")


def _age(text: str) -> timedelta:
    match = _AGE.match(text)
    if match is None:
        message = f"--older-than was {text!r}, must be a number with m, h, d or w"
        raise UserError(message, "Thirty days are 30d.")
    age = timedelta(**{_UNITS[match[2]]: int(match[1])})
    if age > _OLDEST:
        message = f"--older-than was {text!r}, must be at most {_OLDEST.days}d (100 years)"
        raise UserError(message, "Nothing is that old; thirty days are 30d.")
    return age


def _scope(
    records: Records, run: str | None, age: timedelta | None, *, everything: bool
) -> ResetScope:
    run_id = records.resolve(run) if run is not None else None
    return ResetScope(run_id=run_id, older_than=age, everything=everything)


def _is_gone(records: Records, run: str | None) -> bool:
    """Whether nobody is left to remove, as for a Job that is tried again."""
    return run is not None and run not in {found.run_id for found in records.runs()}


def _show(plan: ResetPlan) -> None:
    rows = [[table, count(number)] for table, number in plan.rows.items()]
    shown = ", ".join(plan.run_ids[:_SHOWN_RUNS])
    more = len(plan.run_ids) - _SHOWN_RUNS
    if plan.run_ids:
        print_table((Column("table"), number_column("rows")), rows, title="what would go")
        say(f"runs: {shown}" + (f" and {more} more" if more > 0 else ""))


def _confirm(plan: ResetPlan, *, yes: bool) -> None:
    """Ask on a terminal; elsewhere nobody can answer, so only --yes will do."""
    if yes:
        return
    what = _runs(len(plan.run_ids))
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UserError(
            f"{what} would be removed and nobody was there to confirm it, must be confirmed",
            "Add --yes if that is what you want; nothing was removed.",
        )
    if not typer.confirm(f"Remove {what} for ever?", default=False, err=True):
        raise UserError("the reset was not confirmed", "Nothing was removed.")


def _runs(number: int) -> str:
    return f"{number} run" if number == 1 else f"{number} runs"
