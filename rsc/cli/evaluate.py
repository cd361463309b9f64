"""`rsc evaluate`: judge the best checkpoint of a run once more."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rsc.cli.help_texts import JUDGE_PANEL, DatabaseOption, JsonOption, RunArgument, examples
from rsc.cli.output import print_json, say

if TYPE_CHECKING:
    from rsc.trading.performance import Performance

_SAME = 1e-6  # relative; other processors round the last digits of a network otherwise


class Split(StrEnum):
    """A split that policies are judged on."""

    VALIDATION = "validation"
    TEST = "test"


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    epilog = examples("rsc evaluate last", "rsc evaluate last --split validation --json")
    app.command(rich_help_panel=JUDGE_PANEL, epilog=epilog)(evaluate)


def evaluate(
    run: RunArgument,
    split: Annotated[
        Split, typer.Option("--split", help="Where to judge: on bars never trained on.")
    ] = Split.TEST,
    database: DatabaseOption = None,
    *,
    json: JsonOption = False,
) -> None:
    """Load the best checkpoint of RUN, let it trade greedily again, compare with the record.

    Writes nothing: it shows that the checkpoint is whole and does what was recorded. Other
    hardware may round differently; then it says so. Needs the prices where they were.
    """
    from rsc.cli.records import open_records
    from rsc.log import configure_logging

    with open_records(database) as records:
        run_id = records.resolve(run)
        recorded = _recorded(records.engine, run_id, split)
    configure_logging()
    from rsc.training.judging import evaluate_run

    judged = evaluate_run(run_id, database_url=database, phase=_phase(split))
    same = recorded is not None and _equal(judged, recorded)
    if json:
        document: dict[str, Any] = {"run_id": run_id, "split": split, "agent": judged.as_dict()}
        print_json({**document, "undefined": judged.undefined, "as_recorded": same})
        return
    _print(judged, recorded, split, same=same)


def _phase(split: Split) -> Any:
    from rsc.trading.records import Phase

    return Phase[split.name]


def _recorded(engine: Any, run_id: str, split: Split) -> Performance | None:
    """Return what the database says of the agent on the split."""
    from rsc.cli.results import judgements
    from rsc.reports.load import load_report
    from rsc.trading.records import Policy

    found = judgements(load_report(engine, run_id)).get(str(split), {})
    return found.get(Policy.AGENT)


def _equal(judged: Performance, recorded: Performance) -> bool:
    left, right = judged.as_dict(), recorded.as_dict()
    return all(_close(value, right[name]) for name, value in left.items())


def _close(left: float | None, right: float | None) -> bool:
    if left is None or right is None:
        return left is right
    return abs(left - right) <= _SAME * max(1.0, abs(left), abs(right))


def _print(judged: Performance, recorded: Performance | None, split: Split, *, same: bool) -> None:
    from rsc.cli.results import print_rows

    rows = {"agent, now": judged}
    if recorded is not None:
        rows["agent, recorded"] = recorded
    print_rows(rows, title=f"agent on {split}")
    if same:
        say("the checkpoint does what was recorded")
    elif recorded is not None:
        say("the checkpoint does not do what was recorded: other hardware, or other libraries?")
