"""`rsc train`: one YAML in, a trained and evaluated agent out.

Two ways of the same command. A person's run gets an id of its own and ends with 130 on
Ctrl-C. A managed start (--run-id, RSC_RUN_ID) goes on with the run of that id whoever
held it, and its exit code is for a machine: 0 done or cancelled, 75 start me again, 1 a
restart would fail the same way.
"""

from __future__ import annotations

import signal
import threading
from typing import Annotated, Literal

import typer

from rsc import api
from rsc.analysis.database import open_records, resolve_run
from rsc.cli.managed import (
    DatabaseWaitOption,
    PlacementOption,
    RunIdOption,
    StorageOption,
    TimeBudgetOption,
    keep_report,
    require_run_id,
    train_managed_run,
)
from rsc.cli.terminal.options import (
    DatabaseOption,
    JsonOption,
    OverrideOption,
    QuietOption,
    examples,
)
from rsc.cli.terminal.output import emit, say
from rsc.cli.terminal.progress import progress_listener
from rsc.cli.terminal.results import print_result
from rsc.config.load import load_run_config
from rsc.config.run import RunConfig
from rsc.errors import ExitCode, RscError, UserError
from rsc.log import configure_logging
from rsc.store.runs.lookup import LAST
from rsc.training.run.results import RunResult
from rsc.training.run.stopping import RunInterruptedError

app = typer.Typer()

_EXAMPLES = (
    "rsc train examples/01-first-run.yaml",
    "rsc train examples/01-first-run.yaml --set training.lr=3e-4 --set seed=2",
    "rsc train --resume last",
    "rsc train run.yaml --run-id nightly-7 --storage s3://bucket/runs --placement cluster",
)


class StoppedError(RscError):
    """Training was asked to stop and did so in order (exit 130)."""

    exit_code = ExitCode.INTERRUPTED


@app.command(epilog=examples(*_EXAMPLES))
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
    run_id: RunIdOption = None,
    placement: PlacementOption = "driver",
    storage: StorageOption = "runs",
    time_budget: TimeBudgetOption = None,
    database: DatabaseOption = None,
    database_wait: DatabaseWaitOption = None,
    *,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Train an agent as FILE says, evaluate it on the test split, compare it with baselines.

    Everything is recorded in the database while it happens. Ctrl-C ends the run in order,
    with a checkpoint; --resume goes on from there, also after a kill or a crash.
    """
    configure_logging()
    managed = run_id is not None and resume is None
    config = _configuration(file, override or [], resume)
    if managed and config is not None and run_id is not None:
        result = train_managed_run(
            config,
            require_run_id(run_id),
            database=database,
            database_wait=database_wait,
            placement=placement,
            storage=storage,
            time_budget=time_budget,
            quiet=quiet,
        )
    else:
        resumed = _run_to_resume(resume, database) if resume else None
        result = _train(config, resumed, database, placement, storage, time_budget, quiet=quiet)
    _print(result, database, storage, json=json)


def _configuration(file: str | None, override: list[str], resume: str | None) -> RunConfig | None:
    """Return what FILE says; None when the resumed run's own settings count."""
    if file is not None:
        return load_run_config(file, override)
    if resume is None:
        message = "no run file was given, there must be one (or --resume RUN)"
        raise UserError(message, "Begin with: rsc train examples/01-first-run.yaml")
    if override:
        message = f"--set {override[0]} was given with --resume, a resumed run keeps its settings"
        raise UserError(message, "Train a new run to change something.")
    return None


def _run_to_resume(reference: str, database: str | None) -> str:
    """Return the id of the run that is meant; ``last`` is the newest unfinished one."""
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
    config: RunConfig | None,
    resume: str | None,
    database: str | None,
    placement: Literal["driver", "cluster"],
    storage: str,
    time_budget: float | None,
    *,
    quiet: bool,
) -> RunResult:
    progress = progress_listener(quiet=quiet)
    if threading.current_thread() is threading.main_thread():
        # Until training listens to signals itself, a polite kill ends as Ctrl-C does.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return api.train(
            config,
            resume=resume,
            database=database,
            storage=storage,
            placement=placement,
            time_budget=time_budget,
            progress=progress,
        )
    except RunInterruptedError as error:
        hint = f"rsc train --resume {error} goes on with it."
        raise StoppedError(f"run {error} was interrupted; its checkpoint is kept", hint) from error


def _print(result: RunResult, database: str | None, storage: str, *, json: bool) -> None:
    if result.cancelled:
        emit({"run_id": result.run_id, "state": "cancelled"}, lambda: None, json=json)
        say(f"run {result.run_id} was cancelled; its checkpoint is kept")
        return
    if result.trials:
        keep_report(result.run_id, database, storage)
    print_result(database, result.run_id, json=json)
