"""The evaluation of a run as tables: the agent beside the baselines, split by split.

The figures come from the records in the database and nowhere else, folds joined as the
report joins them, so `rsc train`, `rsc show` and the report cannot disagree. A Sharpe
ratio never stands without its interval.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rsc.analysis.database import open_records
from rsc.analysis.evaluation import evaluate_splits
from rsc.analysis.load import load_report
from rsc.analysis.run_data import ReportData, SplitRecords
from rsc.cli.terminal.numbers import count, percent, ratio, ratio_with_interval, signed_percent
from rsc.cli.terminal.output import NOTHING, Column, emit, number_column, print_table, say
from rsc.reports.summary import early_ends, period
from rsc.reports.tables import sharpe_text
from rsc.trading.performance.metrics import Performance
from rsc.trading.records import Policy

_COLUMNS = (
    Column("policy", fixed=True),
    number_column("return"),
    number_column("Sharpe [95 %]"),
    number_column("drawdown"),
    number_column("trades"),
    number_column("turnover"),
)


def print_result(database: str | None, run_id: str, *, json: bool) -> None:
    """Write what a run found: tables, or one document.

    Parameters
    ----------
    database : str or None
        URL.
    run_id : str
        A run that was evaluated.
    json : bool
        Whether to write a document.
    """
    with open_records(database) as records:
        data = load_report(records.engine, run_id)

    def render() -> None:
        print_evaluations(data)
        say(f"run {run_id}: rsc show {run_id} has the rest, rsc report {run_id} draws it")

    document = {"run_id": run_id, "state": data.facts.state, **evaluation_document(data)}
    emit(document, render, json=json)


def evaluation_document(data: ReportData) -> dict[str, Any]:
    """Return the evaluations as plain values: split, policy, metric."""
    return {
        "periods_per_year": data.periods_per_year,
        "evaluations": {
            split: {
                policy.name.lower(): {**found.as_dict(), "undefined": found.undefined}
                for policy, found in performances.items()
            }
            for split, performances in evaluate_splits(data).items()
        },
        "ended_early": {
            split.split.name.lower(): {
                policy.name.lower(): how for policy, how in early_ends(split).items()
            }
            for split in data.splits
        },
    }


def print_evaluations(data: ReportData) -> None:
    """Write one table for each split that was evaluated."""
    found = evaluate_splits(data)
    for split in data.splits:
        name = split.split.name.lower()
        early = [
            f"an account of {policy_name(policy)} {how}: its figures end there"
            for policy, how in early_ends(split).items()
        ]
        print_policies(found[name], title=_title(split, name), notes=early)
    if not data.splits:
        say("nothing was evaluated yet")


def policy_name(policy: Policy) -> str:
    """Return a policy's name as tables write it."""
    return policy.name.lower().replace("_", " ")


def print_policies(
    performances: Mapping[Policy, Performance], *, title: str, notes: Sequence[str] = ()
) -> None:
    """Write one table, a line for each policy, and notes below it."""
    names = {policy_name(policy): found for policy, found in performances.items()}
    print_rows(names, title=title, notes=notes)


def print_rows(
    performances: Mapping[str, Performance], *, title: str, notes: Sequence[str] = ()
) -> None:
    """Write one table, a line for each named performance, and notes below it."""
    rows = [[name, *performance_cells(found)] for name, found in performances.items()]
    print_table(_COLUMNS, rows, title=title, notes=[*sharpe_notes(performances), *notes])


def sharpe_notes(performances: Mapping[str, Performance]) -> list[str]:
    """Return a line for each reason for which a table shows a dash for a Sharpe ratio."""
    names: dict[str, list[str]] = {}
    for name, found in performances.items():
        reason = sharpe_text(found)[2]
        if reason:
            names.setdefault(reason, []).append(name)
    return [f"{NOTHING} Sharpe of {', '.join(of)}: {reason}" for reason, of in names.items()]


def performance_cells(found: Performance) -> list[str]:
    """Return the figures of one performance as every table shows them."""
    return [
        signed_percent(found.total_return),
        ratio_with_interval(found.sharpe, found.sharpe_low, found.sharpe_high),
        percent(found.max_drawdown),
        count(found.trade_count),
        ratio(found.turnover),
    ]


def _title(split: SplitRecords, name: str) -> str:
    """Name the split, its dates, and what its figures are of when that is several parts."""
    folds, instruments = (len(set(split.episodes[key].tolist())) for key in ("fold", "instrument"))
    equal = f", {instruments} instruments in equal parts" if instruments > 1 else ""
    joined = f", {folds} folds joined" if folds > 1 else ""
    return f"{name}: {period(split)}{equal}{joined}"
