"""`rsc cancel`: end a run on the cluster in order, with a last checkpoint."""

from __future__ import annotations

from typing import Annotated

import typer

from rsc.cli.cluster_access import (
    CLUSTER_PANEL,
    ClusterRunArgument,
    ContextOption,
    NamespaceOption,
    connect,
)
from rsc.cli.terminal.options import ExactOption, JsonOption, examples
from rsc.cli.terminal.output import print_json, say


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    epilog = examples("rsc cancel last", "rsc cancel 20261122-18 --timeout 300")
    app.command(rich_help_panel=CLUSTER_PANEL, epilog=epilog)(cancel)


def cancel(
    run: ClusterRunArgument,
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout",
            min=0,
            metavar="SECONDS",
            help="How long the driver may take before Ray stops it; 0 asks and does not wait.",
        ),
    ] = 180.0,
    exact: ExactOption = False,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    *,
    json: JsonOption = False,
) -> None:
    """End a run: final checkpoint, episodes closed, pods removed; what it recorded stays.

    A run whose driver never started has recorded nothing: its RayJob is deleted.
    """
    from rsc.cluster.observed import run_id_of
    from rsc.cluster.runs.cancellation import cancel as cancel_run
    from rsc.cluster.runs.observe import find_rayjob

    cluster = connect(namespace, context)
    rayjob = find_rayjob(cluster, run, exact=exact)
    outcome = cancel_run(cluster, rayjob, seconds=timeout, say=say)
    if json:
        print_json({"run_id": run_id_of(rayjob), "outcome": outcome})
        return
    say(f"run {run_id_of(rayjob)}: {outcome}")
