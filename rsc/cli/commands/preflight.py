"""`rsc preflight`: would `rsc train` begin? Asked before a GPU is held for the answer."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from rsc.cli.managed import (
    MANAGED_PANEL,
    DatabaseWaitOption,
    RetryableExitError,
    StorageOption,
    require_run_id,
)
from rsc.cli.terminal.options import (
    DatabaseOption,
    FileArgument,
    JsonOption,
    OverrideOption,
    examples,
)
from rsc.cli.terminal.output import emit, say
from rsc.config.load import load_run_config
from rsc.errors import TemporaryError
from rsc.log import configure_logging
from rsc.training.checkpoints.storage import Storage
from rsc.training.run.admission import preflight as check

app = typer.Typer()

_RunIdOption = Annotated[
    str | None,
    typer.Option(
        "--run-id",
        metavar="ID",
        envvar="RSC_RUN_ID",
        show_envvar=True,
        help="The run that is to begin or go on: it is entered, and a reason that only you can "
        "remove is kept with it. Exit codes are then 0 it may begin, 75 check again, 1 it would "
        "fail the same way.",
        rich_help_panel=MANAGED_PANEL,
    ),
]


@app.command(
    epilog=examples(
        "rsc preflight run.yaml",
        "rsc preflight run.yaml --run-id nightly-7 --storage s3://bucket/runs",
    )
)
def preflight(
    file: FileArgument,
    override: OverrideOption = None,
    run_id: _RunIdOption = None,
    storage: StorageOption = "runs",
    database: DatabaseOption = None,
    database_wait: DatabaseWaitOption = None,
    *,
    json: JsonOption = False,
) -> None:
    """Check what training FILE needs: settings, database, every price, folds, storage.

    Takes less than a minute, whatever is wrong, and trains nothing. With --run-id the run
    is entered, and a reason that a restart cannot cure is kept with it.
    """
    configure_logging()
    began = time.monotonic()
    found: dict[str, Any] = {}

    def note(name: str, what: str) -> None:
        found[name] = what
        if not json:
            say(f"{name}: {what}")

    config = load_run_config(file, override or [])
    note("settings", f"{file} is valid")
    try:
        check(
            config,
            database_url=database,
            storage=Storage(storage),
            run_id=None if run_id is None else require_run_id(run_id),
            database_wait=database_wait,
            note=note,
        )
    except TemporaryError as error:
        if run_id is None:
            raise
        raise RetryableExitError(error.message, error.hint) from error
    seconds = time.monotonic() - began
    document = {"ok": True, "seconds": round(seconds, 3), "checks": found}
    emit(document, lambda: say(f"ready to train, checked in {seconds:.1f} s"), json=json)
