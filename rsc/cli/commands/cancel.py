"""`rsc cancel`: end a run on the cluster in order, with a last checkpoint."""

from __future__ import annotations

from typing import Annotated

import typer

from rsc.cli.cluster_access import (
    ClusterRunArgument,
    ContextOption,
    NamespaceOption,
    connect,
)
from rsc.cli.terminal.options import ExactOption, JsonOption, examples
from rsc.cli.terminal.output import emit, say
from rsc.cluster.observed import run_id_of
from rsc.cluster.runs.cancellation import cancel as cancel_run
from rsc.cluster.runs.observe import find_rayjob

app = typer.Typer()


@app.command(epilog=examples("rsc cancel last", "rsc cancel 20261122-18 --timeout 300"))
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
    cluster = connect(namespace, context)
    rayjob = find_rayjob(cluster, run, exact=exact)
    outcome = cancel_run(cluster, rayjob, seconds=timeout, say=say)
    document = {"run_id": run_id_of(rayjob), "outcome": outcome}
    emit(document, lambda: say(f"run {run_id_of(rayjob)}: {outcome}"), json=json)
