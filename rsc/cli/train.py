"""`rsc train`: one YAML in, a trained and judged agent out."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Annotated

import typer

from rsc.cli.help_texts import (
    TRAIN_PANEL,
    DatabaseOption,
    JsonOption,
    OverrideOption,
    QuietOption,
    examples,
)
from rsc.errors import RscError, UserError

if TYPE_CHECKING:
    from rsc.config.run import RunConfig

_EXAMPLES = (
    "rsc train examples/01-first-run.yaml",
    "rsc train examples/01-first-run.yaml --set training.lr=3e-4 --set seed=2",
    "rsc train --resume last",
)


class StoppedError(RscError):
    """Training was asked to stop and did so in order (exit 130)."""

    exit_code = 130


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(rich_help_panel=TRAIN_PANEL, epilog=examples(*_EXAMPLES))(train)


def train(
    file: Annotated[
        str | None, typer.Argument(metavar="FILE", help="A run's YAML file.", show_default=False)
    ] = None,
    override: OverrideOption = None,
    resume: Annotated[
        str | None,
        typer.Option(
            "--resume", metavar="RUN", help="Go on with an unfinished run; its settings stay."
        ),
    ] = None,
    database: DatabaseOption = None,
    *,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Train an agent as FILE says, judge it on the test split, compare it with baselines.

    Everything is recorded in the database while it happens. Ctrl-C ends the run in order,
    with a checkpoint; --resume goes on from there, also after a kill or a crash.
    """
    config = _configuration(file, override or [], resume)
    run_id = _run_to_resume(resume, database) if resume else None
    _train(config, run_id, database, json=json, quiet=quiet)


def _configuration(file: str | None, override: list[str], resume: str | None) -> RunConfig | None:
    """Return what FILE says; None when the resumed run's own settings count."""
    from rsc.config.load import load_run_config

    if file is not None:
        return load_run_config(file, override)
    if resume is None:
        message = "no run file was given, there must be one (or --resume RUN)"
        raise UserError(message, "rsc train examples/01-first-run.yaml")
    if override:
        message = f"--set {override[0]} was given with --resume, a resumed run keeps its settings"
        raise UserError(message, "Train a new run to change something.")
    return None


def _run_to_resume(reference: str, database: str | None) -> str:
    """Return the id of the run that is meant; ``last`` is the newest unfinished one."""
    from rsc.cli.records import LAST, open_records, resolve_run

    with open_records(database) as records:
        runs = records.runs()
    if reference != LAST:
        return resolve_run(reference, [run.run_id for run in runs])
    unfinished = [run.run_id for run in runs if run.state != "completed"]
    if not unfinished:
        message = f"--resume {LAST} found {len(runs)} runs, of which none is unfinished"
        raise UserError(message, "Train a new one: rsc train examples/01-first-run.yaml")
    return unfinished[0]


def _train(
    config: RunConfig | None, resume: str | None, database: str | None, *, json: bool, quiet: bool
) -> None:
    from rsc.cli.progress import progress_listener
    from rsc.cli.results import print_result
    from rsc.log import configure_logging

    configure_logging()
    progress = progress_listener(quiet=quiet)
    if threading.current_thread() is threading.main_thread():
        # Until training listens to signals itself, a polite kill ends as Ctrl-C does.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Seconds, so only after everything that can be refused without it was refused.
    from rsc.training.run import RunInterruptedError, train_run

    try:
        result = train_run(config, database_url=database, resume=resume, progress=progress)
    except RunInterruptedError as error:
        hint = f"rsc train --resume {error} goes on with it."
        raise StoppedError(f"run {error} was interrupted; its checkpoint is kept", hint) from error
    print_result(database, result.run_id, json=json)
