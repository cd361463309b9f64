"""Starts by a machine: a run named from outside, exit codes that a machine understands.

Kubernetes starts the same command again and again. So the words here are options that a
pod sets by environment, and codes: 75 (EX_TEMPFAIL) means *start me again*, whatever the
reason; 1 means that it would fail the same way. Signals are heard from the first moment
on, before Ray or the prices are loaded.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer

from rsc import api
from rsc.cli.terminal.output import say
from rsc.cli.terminal.progress import progress_listener
from rsc.config.run import RunConfig
from rsc.errors import ExitCode, RscError, TemporaryError, UserError
from rsc.s3 import is_object_uri, write_object
from rsc.store.lease import SupersededError
from rsc.training.checkpoints.storage import Storage
from rsc.training.run.results import RunResult
from rsc.training.run.stopping import StopController

MANAGED_PANEL = "Managed starts"
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")

RunIdOption = Annotated[
    str | None,
    typer.Option(
        "--run-id",
        metavar="ID",
        envvar="RSC_RUN_ID",
        show_envvar=True,
        help="Begin the run of this id or go on with it, whoever holds it; the newest start "
        "wins. Exit codes are then 0 done or cancelled, 75 start again, 1 a restart would fail "
        "the same way.",
        rich_help_panel=MANAGED_PANEL,
    ),
]
PlacementOption = Annotated[
    Literal["driver", "cluster"],
    typer.Option(
        "--placement",
        envvar="RSC_PLACEMENT",
        show_envvar=True,
        help="Train in this process, or on the pods of the Ray cluster that it runs in.",
        rich_help_panel=MANAGED_PANEL,
    ),
]
StorageOption = Annotated[
    str,
    typer.Option(
        "--storage",
        metavar="URI",
        envvar="RSC_STORAGE_URI",
        show_envvar=True,
        help="Folder or s3://bucket/prefix for checkpoints and the report.",
        rich_help_panel=MANAGED_PANEL,
    ),
]
TimeBudgetOption = Annotated[
    float | None,
    typer.Option(
        "--time-budget",
        metavar="SECONDS",
        envvar="RSC_TIME_BUDGET_SECONDS",
        show_envvar=True,
        min=1,
        help="Seconds of all starts of the run together; then the best checkpoint is evaluated.",
        rich_help_panel=MANAGED_PANEL,
    ),
]
DatabaseWaitOption = Annotated[
    float | None,
    typer.Option(
        "--database-wait",
        metavar="SECONDS",
        envvar="RSC_DATABASE_WAIT_SECONDS",
        show_envvar=True,
        min=0,
        help="How long a managed start, and its preflight, waits for a database that is away or "
        "not migrated yet; 45 if not given.",
        rich_help_panel=MANAGED_PANEL,
    ),
]


class RetryableExitError(RscError):
    """The same start may go on later (exit 75)."""

    exit_code = ExitCode.START_AGAIN


def require_run_id(run_id: str) -> str:
    """Refuse a run id that is no name.

    Raises
    ------
    UserError
        It has other characters than letters, digits, dot, dash and underscore.
    """
    if not _RUN_ID.fullmatch(run_id):
        raise UserError(
            f"--run-id was {run_id!r}, must be 1 to 63 letters, digits, '.', '-' or '_'",
            "The chart uses the name of the RayJob.",
        )
    return run_id


def train_managed_run(
    config: RunConfig,
    run_id: str,
    *,
    database: str | None,
    database_wait: float | None,
    placement: str,
    storage: str,
    time_budget: float | None,
    quiet: bool,
) -> RunResult:
    """Train a run that a machine named.

    Raises
    ------
    UserError
        A restart would fail the same way (exit 1).
    RetryableExitError
        The same start may go on later (exit 75).
    """
    watch = StopController(managed=True, progress=progress_listener(quiet=quiet))
    again = "The same command goes on from its last checkpoint."
    with driver_pid():
        watch.listen_again()
        try:
            # Ray takes seconds to load: signals are heard before.
            from rsc.training.run.attempt import Placement
            from rsc.training.run.run import train_managed

            return train_managed(
                config,
                run_id,
                watch=watch,
                database_url=database,
                database_wait=database_wait,
                storage=storage,
                placement=Placement(placement),
                time_budget=time_budget,
            )
        except (SupersededError, TemporaryError) as error:
            raise RetryableExitError(error.message, error.hint or again) from error
        except (KeyboardInterrupt, SystemExit) as error:
            message = f"run {run_id} was interrupted; its checkpoint is kept"
            raise RetryableExitError(message, again) from error
        finally:
            watch.ignore_signals()  # a pod's second signal must not change the exit code


@contextmanager
def driver_pid() -> Iterator[None]:
    """Keep this process' number in ``$HOME/driver.pid``, where a pod's hook looks for it."""
    path = Path(os.environ.get("HOME") or "/") / "driver.pid"
    try:
        path.write_text(f"{os.getpid()}\n")
    except OSError as error:
        say(f"{path} could not be written ({error.strerror}): a hook will not find this process")
        yield
        return
    try:
        yield
    finally:
        if path.is_file() and path.read_text().strip() == str(os.getpid()):
            path.unlink()


def keep_report(run_id: str, database: str | None, storage: str) -> None:
    """Write the report beside the checkpoints where these are in an object store."""
    if not is_object_uri(storage):
        return
    uri = Storage(storage).report_uri(run_id)
    try:
        write_object(uri, api.report_page(run_id, database=database).encode())
    except RscError as error:  # the run is complete; its report can be made at any time
        say(f"the report was not written: {error.message}")
        return
    say(f"the report of run {run_id} is {uri}")
