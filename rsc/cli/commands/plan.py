"""`rsc plan`: what a run will ask of a cluster, refused here when it can never be."""

from __future__ import annotations

from typing import Any

import typer

from rsc.cli.cluster_access import (
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
    emit,
    number_column,
    print_facts,
    print_table,
    say,
)
from rsc.cluster.manifest.capacity import Allocation, Bundle, Plan, make_plan
from rsc.cluster.manifest.rayjob import rayjob_of
from rsc.cluster.manifest.run_objects import run_objects
from rsc.cluster.quantities import memory_text
from rsc.config.load import load_run_config
from rsc.errors import ExitCode, UserError

app = typer.Typer()


@app.command(
    epilog=examples(
        "rsc plan run.yaml",
        "rsc plan run.yaml --set resources.num_env_runners=8",
        "rsc plan run.yaml --price head=0.1 --price learner=1.2 --price sampler=0.05",
    )
)
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
    """Compute what FILE's run asks of the groups of a manifest; needs no cluster.

    Refuses a demand that can never be met, which Ray would wait for without end. Prints
    the pods it will hold, and for how long at most.
    """
    config = load_run_config(file, override or [])
    objects, _ = run_objects(
        config,
        read_documents(manifest),
        shipped=manifest is None,
        samplers=samplers,
        resources=resource or (),
    )
    found = make_plan(config, rayjob_of(objects), prices=read_prices(price))
    emit(plan_document(found), lambda: print_plan(found), json=json)
    refuse(found, as_json=json)


def print_plan(plan: Plan) -> None:
    """Write demand, pods and bounds."""
    print_table(
        (Column("asks for", fixed=True), number_column("count"), Column("each, on one pod")),
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
    asks = ", ".join(f"{key} {amount:g}" for key, amount in bundle.asks.items())
    return [bundle.kind, str(bundle.count), asks]


def _holding_cells(hold: Allocation) -> list[str]:
    group = hold.group
    gpu = f"{group.gpu:g}" if group.gpu else NOTHING
    memory = memory_text(group.memory) if group.memory else NOTHING
    return [group.name, str(hold.pods), str(hold.most), f"{group.cpu:g}", memory, gpu]


def _bounds(plan: Plan) -> list[tuple[str, str]]:
    longest = duration(plan.longest_seconds) if plan.longest_seconds is not None else "no limit"
    facts = [("longest", longest)]
    if plan.longest_seconds is not None:
        pods = sum(hold.pods for hold in plan.holds)
        facts.append(("pod-hours at most", f"{pods * plan.longest_seconds / 3600:.1f}"))
    if plan.max_cost is not None:
        facts.append(("money at most", f"{plan.max_cost:.2f}"))
    return facts


def plan_document(plan: Plan) -> dict[str, Any]:
    """Return a plan as plain values."""
    return {
        "demand": plan.demand,
        "holds": plan.holds,
        "longest_seconds": plan.longest_seconds,
        "max_cost": plan.max_cost,
        "refusals": plan.refusals,
        "warnings": plan.warnings,
    }


def refuse(plan: Plan, *, as_json: bool = False) -> None:
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
        raise typer.Exit(ExitCode.FAILED)
    hint = "\n".join([f"{len(others)} more:", *(f"  {text}" for text in others)] if others else [])
    raise UserError(first, hint or "Change the run (--set) or the groups (--resource, --samplers).")
