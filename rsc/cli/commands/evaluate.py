"""`rsc evaluate`: judge the best checkpoint of a run once more."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rsc.cli.terminal.options import JUDGE_PANEL, DatabaseOption, JsonOption, RunArgument, examples
from rsc.cli.terminal.output import print_error, print_json, say
from rsc.errors import CheckFailedError, UserError

if TYPE_CHECKING:
    from rsc.trading.performance.metrics import Performance

_SAME = 1e-6  # relative; other processors round the last digits of a network otherwise
_OTHER_HINT = (
    "Other hardware or other libraries may round an action differently; on the same the "
    "checkpoint is not the one that was judged."
)


class Split(StrEnum):
    """A split that policies are judged on."""

    VALIDATION = "validation"
    TEST = "test"


_NOT_YET = {
    Split.VALIDATION: "Train on until the first evaluation: rsc train --resume RUN.",
    Split.TEST: "It is judged once, when training is over: rsc train --resume RUN goes on.",
}


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

    Writes nothing. Exit code 3 if it does not do what was recorded: the checkpoint is another
    one, or other hardware rounds differently. A split that was not judged yet is refused: the
    test split is judged once, after training. Needs the prices where they were, and loads
    torch and a local Ray although it trains nothing.
    """
    from rsc.analysis.database import open_records
    from rsc.log import configure_logging

    with open_records(database) as records:
        run_id = records.resolve(run)
        folds, recorded = _recorded(records.engine, run_id, split)
    configure_logging()
    from rsc.training.trial.reevaluation import evaluate_run

    judged = evaluate_run(run_id, folds=folds, database_url=database, split=_split(split))
    same = _equal(judged, recorded)
    if json:
        document: dict[str, Any] = {"run_id": run_id, "split": split, "agent": judged.as_dict()}
        print_json({**document, "undefined": judged.undefined, "as_recorded": same})
    else:
        _print(judged, recorded, split)
    _tell(run_id, same=same)


def _split(split: Split) -> Any:
    from rsc.trading.records import Split

    return Split[split.name]


def _recorded(engine: Any, run_id: str, split: Split) -> tuple[set[int], Performance]:
    """Return the folds that were judged on the split, and what the database says of the agent."""
    from rsc.analysis.judgement import judgements
    from rsc.analysis.load import load_report
    from rsc.trading.records import Policy

    data = load_report(engine, run_id)
    for records in data.splits:
        if records.split == _split(split):
            folds = set(records.episodes["fold"].tolist())
            return folds, judgements(data)[str(split)][Policy.AGENT]
    message = f"run {run_id} was not judged on its {split} split yet, must have been"
    raise UserError(message, _NOT_YET[split])


def _equal(judged: Performance, recorded: Performance) -> bool:
    left, right = judged.as_dict(), recorded.as_dict()
    return all(_close(value, right[name]) for name, value in left.items())


def _close(left: float | None, right: float | None) -> bool:
    if left is None or right is None:
        return left is right
    return abs(left - right) <= _SAME * max(1.0, abs(left), abs(right))


def _print(judged: Performance, recorded: Performance, split: Split) -> None:
    from rsc.cli.terminal.results import print_rows

    print_rows({"agent, now": judged, "agent, recorded": recorded}, title=f"agent on {split}")


def _tell(run_id: str, *, same: bool) -> None:
    """Say how the comparison went; a failed one ends the program with its own exit code."""
    if same:
        say("the checkpoint does what was recorded")
    else:
        print_error(f"run {run_id}: the checkpoint does not do what was recorded", _OTHER_HINT)
        raise typer.Exit(CheckFailedError.exit_code)
