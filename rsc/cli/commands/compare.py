"""`rsc compare`: whether two runs differ by more than chance, and in which settings.

Every further run is compared with the first one on the same bars, paired bar by bar by
the stationary bootstrap of docs/performance-metrics.md section 4. With several
comparisons the p-values are adjusted (Holm), because the best of many always looks good.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rsc.cli.terminal.numbers import probability, ratio_with_interval
from rsc.cli.terminal.options import JUDGE_PANEL, DatabaseOption, JsonOption, examples
from rsc.cli.terminal.output import NOTHING, Column, number_column, print_json, print_table, say
from rsc.errors import UserError

if TYPE_CHECKING:
    from rsc.analysis.run_data import ReportData, SplitRecords
    from rsc.config.load import ConfigDifference
    from rsc.trading.performance.metrics import Performance
    from rsc.trading.performance.series import AccountSeries

_SEED = 0  # of the bootstrap: the same comparison prints the same numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One run against the first one on one split.

    Attributes
    ----------
    run_id : str
        The further run.
    sharpe_difference, low, high : float or None
        Annualised Sharpe ratio of the first run less that of this one, and its 95 %
        interval; None where it cannot be compared.
    p_value : float or None
        Adjusted for the number of comparisons.
    reason : str
        Why there is no comparison; empty where there is one.
    """

    run_id: str
    sharpe_difference: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitComparison:
    """All runs on one split: their performance, and the differences from the first."""

    split: str
    performances: dict[str, Performance]
    differences: tuple[Difference, ...]


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    epilog = examples("rsc compare RUN RUN", "rsc compare last 20261122-1815 --json")
    app.command(rich_help_panel=JUDGE_PANEL, epilog=epilog)(compare)


def compare(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN RUN...", help="Two or more runs; each is compared with the first."
        ),
    ],
    database: DatabaseOption = None,
    *,
    json: JsonOption = False,
) -> None:
    """Compare runs: performance side by side, the difference with its p, settings that differ."""
    from rsc.analysis.load import load_report
    from rsc.cli.database_access import open_records

    if len(runs) < 2:
        raise UserError(
            f"{len(runs)} run was given, must be two or more",
            "Give two or more: rsc compare RUN RUN",
        )
    with open_records(database) as records:
        run_ids = [records.resolve(run) for run in runs]
        if len(set(run_ids)) < len(run_ids):
            raise UserError("the same run was given twice, must be different runs", "See rsc runs.")
        data = [load_report(records.engine, run_id) for run_id in run_ids]
        settings = _settings(records.engine, run_ids)
    splits = [found for name in ("test", "validation") if (found := _split(name, data))]
    if json:
        print_json({"runs": run_ids, "splits": splits, "settings": settings})
        return
    _print(splits, run_ids, settings)


def _split(name: str, data: list[ReportData]) -> SplitComparison | None:
    """Compare on one split; None unless every run was judged on it."""
    from rsc.reports.tables import judged
    from rsc.trading.records import Policy

    found = [_records_of(one, name) for one in data]
    if any(split is None for split in found):
        return None
    splits = [split.only(Policy.AGENT) for split in found if split is not None]
    performances = {
        one.facts.run_id: judged(split, one.periods_per_year)[Policy.AGENT]
        for one, split in zip(data, splits, strict=True)
    }
    others = [
        _difference(data[0], splits[0], one, split)
        for one, split in zip(data[1:], splits[1:], strict=True)
    ]
    return SplitComparison(split=name, performances=performances, differences=_adjusted(others))


def _records_of(data: ReportData, name: str) -> SplitRecords | None:
    return next((split for split in data.splits if split.split.name.lower() == name), None)


def _difference(
    first: ReportData, left: SplitRecords, other: ReportData, right: SplitRecords
) -> Difference:
    """Compare two runs whose episodes cover the same bars."""
    import numpy as np

    from rsc.trading.performance.statistics import compare_paired, sharpe_ratio

    run_id = other.facts.run_id
    if not _same_bars(first, left, other, right):
        return Difference(run_id=run_id, reason="judged on other bars")
    paired = compare_paired(
        _series(left).returns, _series(right).returns, sharpe_ratio, np.random.default_rng(_SEED)
    )
    if paired is None:
        return Difference(run_id=run_id, reason="a Sharpe ratio is undefined")
    root = math.sqrt(first.periods_per_year)
    return Difference(
        run_id=run_id,
        sharpe_difference=paired.difference * root,
        low=paired.low * root,
        high=paired.high * root,
        p_value=paired.p_value,
    )


def _series(split: SplitRecords) -> AccountSeries:
    from rsc.trading.performance.series import series_of_records

    return series_of_records(split.episodes, split.steps, split.trades)


def _same_bars(
    first: ReportData, left: SplitRecords, other: ReportData, right: SplitRecords
) -> bool:
    """Return whether both runs were judged on the same prices and dates."""

    def bars(split: SplitRecords) -> list[Any]:
        names = ["start_timestamp", "end_timestamp", "step_count"]
        return sorted(split.episodes[names].tolist())

    return first.facts.data_digest == other.facts.data_digest and bars(left) == bars(right)


def _adjusted(differences: list[Difference]) -> tuple[Difference, ...]:
    """Adjust the p-values of several comparisons together."""
    from dataclasses import replace

    from rsc.trading.performance.statistics import holm

    known = [(i, d.p_value) for i, d in enumerate(differences) if d.p_value is not None]
    adjusted = list(differences)
    for (index, _), value in zip(known, holm([p for _, p in known]), strict=True):
        adjusted[index] = replace(adjusted[index], p_value=value)
    return tuple(adjusted)


def _settings(engine: Any, run_ids: list[str]) -> dict[str, tuple[ConfigDifference, ...]]:
    """Return the settings in which each further run differs from the first."""
    from rsc.config.load import diff_mappings
    from rsc.store.runs.queries import run_configuration

    first, *others = [dict(run_configuration(engine, run_id)) for run_id in run_ids]
    pairs = zip(run_ids[1:], others, strict=True)
    return {run_id: diff_mappings(first, other) for run_id, other in pairs}


def _print(
    splits: list[SplitComparison],
    run_ids: list[str],
    settings: dict[str, tuple[ConfigDifference, ...]],
) -> None:
    from rsc.cli.commands.config import print_differences
    from rsc.cli.terminal.results import performance_cells, sharpe_notes

    for split in splits:
        columns = (
            Column("run", fixed=True),
            *(number_column(name) for name in ("return", "Sharpe [95 %]", "drawdown", "trades")),
        )
        rows = [
            [run_id, *performance_cells(found)[:4]] for run_id, found in split.performances.items()
        ]
        notes = sharpe_notes(split.performances)
        print_table(columns, rows, title=f"agent on {split.split}", notes=notes)
        _print_split_differences(split, run_ids[0])
    if not splits:
        say("the runs share no split on which all of them were judged")
    for run_id, rows_of in settings.items():
        print_differences([(r.key, r.left, r.right) for r in rows_of], (run_ids[0], run_id))


def _print_split_differences(split: SplitComparison, first: str) -> None:
    columns = (
        Column("run", fixed=True),
        number_column("Sharpe difference [95 %]"),
        number_column("p"),
        Column("note"),
    )
    rows = [
        [
            found.run_id,
            ratio_with_interval(found.sharpe_difference, found.low, found.high),
            probability(found.p_value),
            found.reason or _verdict(found),
        ]
        for found in split.differences
    ]
    print_table(columns, rows, title=f"{first} less each other run, {split.split}")


def _verdict(found: Difference) -> str:
    if found.p_value is None:
        return NOTHING
    return "more than chance" if found.p_value < 0.05 else "may be chance"
