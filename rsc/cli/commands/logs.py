"""`rsc logs`: what the driver of a run says, or any other of its pods."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from rsc.cli.cluster_access import (
    ClusterRunArgument,
    ContextOption,
    NamespaceOption,
    connect,
)
from rsc.cli.terminal.options import JsonOption, examples
from rsc.cli.terminal.output import emit, say
from rsc.cluster.runs.logs import find_log
from rsc.cluster.runs.logs import follow as follow_log
from rsc.cluster.runs.observe import find_rayjob, observe
from rsc.errors import UserError

app = typer.Typer()


@app.command(
    epilog=examples(
        "rsc logs last --follow",
        "rsc logs last --pod learner --tail 100",
        "rsc logs last --pod head --container autoscaler",
    )
)
def logs(
    run: ClusterRunArgument,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the run has ended.")
    ] = False,
    pod: Annotated[
        str,
        typer.Option(
            "--pod",
            metavar="POD",
            show_default="the driver's log",
            help="A pod's name or what it is for: head, learner, sampler, migrate.",
        ),
    ] = "submitter",
    container: Annotated[
        str | None,
        typer.Option(
            "--container", metavar="NAME", show_default="the main one", help="Container of the pod."
        ),
    ] = None,
    tail: Annotated[
        int | None,
        typer.Option(
            "--tail", min=0, metavar="N", show_default="all", help="Only the last N lines."
        ),
    ] = None,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    *,
    json: JsonOption = False,
) -> None:
    """Print the log of a run's driver, as the submitter pod keeps it, or of another pod.

    The driver's log stays after the cluster is gone, until the RayJob is deleted.
    """
    if follow and json:
        message = "--follow was given with --json, must be without: one document has an end"
        raise UserError(message, "The driver's own lines are JSON already.")
    cluster = connect(namespace, context)
    rayjob = find_rayjob(cluster, run)
    if follow:
        for line in follow_log(cluster, rayjob, pod, container, tail, say):
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
        return
    name, found = find_log(observe(cluster, rayjob), pod, container)
    lines = cluster.log(name, found, tail=tail)
    document = {"pod": name, "container": found, "lines": lines}
    emit(document, lambda: sys.stdout.writelines(f"{line}\n" for line in lines), json=json)
