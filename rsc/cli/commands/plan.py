"""`rsc plan`: what a run will ask of a cluster, refused here when it can never be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from rsc.cli.cluster_access import (
    CLUSTER_PANEL,
    ManifestOption,
    PriceOption,
    ResourceOption,
    SamplersOption,
    read_documents,
    read_prices,
)
from rsc.cli.terminal.numbers import duration
from rsc.cli.terminal.options import FileArgument, JsonOption, OverrideOption, examples
from rsc.cli.terminal.output import (
    NOTHING,
    Column,
    number_column,
    print_facts,
    print_json,
    print_table,
    say,
)
from rsc.errors import UserError

if TYPE_CHECKING:
    from rsc.cluster.manifest.capacity import Allocation, Bundle, ResourcePlan
    from rsc.cluster.manifest.rayjob import Submission
    from rsc.config.run import RunConfig


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    epilog = examples(
        "rsc plan run.yaml",
        "rsc plan run.yaml --set resources.num_env_runners=8",
        "rsc plan run.yaml --price head=0.1 --price learner=1.2 --price sampler=0.05",
    )
    app.command(rich_help_panel=CLUSTER_PANEL, epilog=epilog)(plan)


def plan(
    file: FileArgument,
    override: OverrideOption = None,
    manifest: ManifestOption = None,
    samplers: SamplersOption = None,
    resource: ResourceOption = None,
    price: PriceOption = None,
    *,
    json: JsonOption = False,
) -> None:
    """Compute what FILE's run requests of the groups of a manifest; needs no cluster.

    Refuses a demand that can never be met, which Ray would wait for without end. Prints
    the pods it will hold, and for how long at most.
    """
    from rsc.cluster.manifest.capacity import make_plan
    from rsc.cluster.manifest.rayjob import rayjob_of
    from rsc.config.load import load_run_config

    config = load_run_config(file, override or [])
    objects, _ = prepare(
        config,
        read_documents(manifest),
        shipped=manifest is None,
        samplers=samplers,
        resource=resource,
    )
    found = make_plan(config, rayjob_of(objects), prices=read_prices(price))
    if json:
        print_json(plan_document(found))
    else:
        print_plan(found)
    refuse(found, as_json=json)


def prepare(
    config: RunConfig,
    documents: tuple[dict[str, Any], ...],
    *,
    shipped: bool,
    samplers: int | None,
    resource: list[str] | None,
    run_id: str = "run",
    name: str | None = None,
    namespace: str = "default",
    image: str | None = None,
    storage: str | None = None,
) -> tuple[tuple[dict[str, Any], ...], Submission]:
    """Return the objects of a run and what was filled in.

    The shipped manifest is for any run, so its sampler groups get the size this run needs;
    a manifest of the user's is a limit that stays, unless `samplers` says otherwise.
    """
    from dataclasses import replace

    from rsc.cluster.manifest.capacity import samplers_needed
    from rsc.cluster.manifest.rayjob import (
        Submission,
        fill_in,
        parse_resource,
        rayjob_name,
        rayjob_of,
    )
    from rsc.config.load import dump_yaml

    submission = Submission(
        name=rayjob_name(name or config.name, run_id),
        run_id=run_id,
        namespace=namespace,
        train_yaml=dump_yaml(config),
        image=image,
        storage=storage,
        samplers=samplers,
        resources=tuple(parse_resource(text) for text in resource or []),
    )
    objects = fill_in(documents, submission)
    if samplers is None and shipped:
        needed = samplers_needed(config, rayjob_of(objects))
        submission = replace(submission, samplers=needed)
        objects = fill_in(documents, submission)
    return objects, submission


def print_plan(plan: ResourcePlan) -> None:
    """Write demand, pods and bounds."""
    print_table(
        (Column("requests", fixed=True), number_column("count"), Column("each, on one pod")),
        [_bundle_cells(bundle) for bundle in plan.demand],
        title="demand, all at once",
    )
    columns = (
        Column("group", fixed=True),
        number_column("pods"),
        number_column("at most"),
        number_column("CPU each"),
        number_column("memory each"),
        number_column("GPU each"),
    )
    print_table(columns, [_holding_cells(hold) for hold in plan.holds], title="pods it holds")
    print_facts(_bounds(plan))
    for warning in plan.warnings:
        say(f"warning: {warning}")


def _bundle_cells(bundle: Bundle) -> list[str]:
    requests = ", ".join(f"{key} {amount:g}" for key, amount in bundle.requests.items())
    return [bundle.kind, str(bundle.count), requests]


def _holding_cells(hold: Allocation) -> list[str]:
    from rsc.cluster.quantities import memory_text

    group = hold.group
    gpu = f"{group.gpu:g}" if group.gpu else NOTHING
    memory = memory_text(group.memory) if group.memory else NOTHING
    return [group.name, str(hold.pods), str(hold.most), f"{group.cpu:g}", memory, gpu]


def _bounds(plan: ResourcePlan) -> list[tuple[str, str]]:
    longest = duration(plan.longest_seconds) if plan.longest_seconds is not None else "no limit"
    facts = [("longest", longest)]
    if plan.longest_seconds is not None:
        pods = sum(hold.pods for hold in plan.holds)
        facts.append(("pod-hours at most", f"{pods * plan.longest_seconds / 3600:.1f}"))
    if plan.max_cost is not None:
        facts.append(("cost at most", f"{plan.max_cost:.2f}"))
    return facts


def plan_document(plan: ResourcePlan) -> dict[str, Any]:
    """Return a plan as plain values."""
    return {
        "demand": plan.demand,
        "holds": plan.holds,
        "longest_seconds": plan.longest_seconds,
        "max_cost": plan.max_cost,
        "refusals": plan.refusals,
        "warnings": plan.warnings,
    }


def refuse(plan: ResourcePlan, *, as_json: bool = False) -> None:
    """Raise when a run can never work.

    Raises
    ------
    UserError
        The first refusal; the others are in the hint.
    """
    if not plan.refusals:
        return
    first, *others = plan.refusals
    if as_json:
        # The document is out: one is all that stdout may hold.
        for sentence in plan.refusals:
            say(f"error: {sentence}")
        raise typer.Exit(1)
    hint = "\n".join([f"{len(others)} more:", *(f"  {text}" for text in others)] if others else [])
    raise UserError(first, hint or "Change the run (--set) or the groups (--resource, --samplers).")
