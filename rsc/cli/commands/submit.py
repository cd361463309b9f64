"""`rsc submit`: the run of a YAML file as a RayJob on a cluster."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
import yaml

from rsc.cli.cluster_access import (
    ContextOption,
    ManifestOption,
    NamespaceOption,
    ResourceOption,
    SamplersOption,
    connect,
    read_documents,
)
from rsc.cli.commands.plan import refuse
from rsc.cli.terminal.numbers import duration
from rsc.cli.terminal.options import FileArgument, JsonOption, OverrideOption, examples
from rsc.cli.terminal.output import emit, print_facts, say
from rsc.cluster.manifest.capacity import Plan, make_plan
from rsc.cluster.manifest.rayjob import Submission, rayjob_of
from rsc.cluster.manifest.run_objects import run_objects
from rsc.cluster.runs.submission import submit as make
from rsc.config.load import load_run_config
from rsc.config.run_ids import new_run_id

app = typer.Typer()

_ImageOption = Annotated[
    str | None,
    typer.Option(
        "--image", metavar="NAME", show_default="the manifest's", help="Image of all pods."
    ),
]
_StorageOption = Annotated[
    str | None,
    typer.Option(
        "--storage",
        metavar="URI",
        envvar="RSC_STORAGE_URI",
        show_envvar=False,
        show_default="the manifest's",
        help="Where checkpoints and reports go: s3://bucket/prefix.",
    ),
]
_RunIdOption = Annotated[
    str | None,
    typer.Option(
        "--run-id",
        metavar="ID",
        show_default="a new one",
        help="The run's identity; one that the database knows is resumed.",
    ),
]
_NameOption = Annotated[
    str | None,
    typer.Option(
        "--name", metavar="NAME", show_default="the run's", help="Beginning of the RayJob's name."
    ),
]
_DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Print the objects, make none, ask no cluster.")
]


@app.command(
    epilog=examples(
        "rsc submit run.yaml --storage s3://bucket/runs",
        "rsc submit run.yaml --set seed=2 --image registry/rsc:1.0 --namespace train",
        "rsc submit run.yaml --dry-run | kubectl diff -f -",
    )
)
def submit(
    file: FileArgument,
    override: OverrideOption = None,
    image: _ImageOption = None,
    storage: _StorageOption = None,
    run_id: _RunIdOption = None,
    name: _NameOption = None,
    samplers: SamplersOption = None,
    resource: ResourceOption = None,
    manifest: ManifestOption = None,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    dry_run: _DryRunOption = False,
    *,
    json: JsonOption = False,
) -> None:
    """Train FILE's run on a cluster: fill in the manifest, check it, make its objects.

    Everything that can be refused is refused before a pod exists: the YAML, a demand that
    the groups cannot meet, a missing Secret. It returns when the RayJob is made.
    """
    config = load_run_config(file, override or [])
    documents = read_documents(manifest)
    cluster = None if dry_run else connect(namespace, context)
    objects, submission = run_objects(
        config,
        documents,
        shipped=manifest is None,
        samplers=samplers,
        resources=resource or (),
        run_id=run_id or new_run_id(),
        name=name,
        namespace=cluster.namespace if cluster else namespace or "default",
        image=image,
        storage=storage,
    )
    plan = make_plan(config, rayjob_of(objects))
    refuse(plan)
    if cluster is None:
        emit({"objects": objects}, lambda: _print_objects(objects), json=json)
        return
    make(cluster, objects, say)
    document = {
        "run_id": submission.run_id,
        "rayjob": submission.name,
        "namespace": submission.namespace,
        "longest_seconds": plan.longest_seconds,
        "holds": plan.holds,
    }
    emit(document, lambda: _tell(submission, plan), json=json)


def _print_objects(objects: tuple[dict[str, Any], ...]) -> None:
    sys.stdout.write(yaml.safe_dump_all(objects, sort_keys=False, explicit_start=True))


def _tell(submission: Submission, plan: Plan) -> None:
    pods = ", ".join(f"{hold.pods} {hold.group.name}" for hold in plan.holds if hold.pods)
    longest = duration(plan.longest_seconds) if plan.longest_seconds is not None else "no limit"
    print_facts(
        [
            ("run", submission.run_id),
            ("RayJob", submission.name),
            ("namespace", submission.namespace),
            ("pods", pods),
            ("longest", longest),
        ]
    )
    for warning in plan.warnings:
        say(f"warning: {warning}")
    say(f"rsc status {submission.run_id} --watch -n {submission.namespace}")
