"""Whether runs differ by more than chance, and in which settings.

Every further run is compared with the first one on the same bars, paired bar by bar by
the stationary bootstrap of docs/performance-metrics.md section 4. With several
comparisons the p-values are adjusted (Holm), because the best of many always looks good.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rsc.analysis.evaluation import evaluate_split
from rsc.analysis.load import load_report
from rsc.analysis.run_data import ReportData, SplitRecords
from rsc.config.load import ConfigDifference, diff_mappings
from rsc.errors import UserError
from rsc.store.runs.queries import run_configuration
from rsc.store.schema.engine import Engine
from rsc.trading.performance.metrics import Performance
from rsc.trading.performance.series import AccountSeries, series_of_records
from rsc.trading.performance.statistics import compare_paired, holm, sharpe_ratio
from rsc.trading.records import Policy, Split

_SEED = 0  # of the bootstrap: the same comparison gives the same numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One run against the first one on one split."""

    run_id: str
    """The further run."""
    sharpe_difference: float | None = None
    low: float | None = None
    high: float | None = None
    """Annualised Sharpe ratio of the first run less that of this one, and its 95 % interval; None
    where it cannot be compared."""
    p_value: float | None = None
    """Adjusted for the number of comparisons."""
    reason: str = ""
    """Why there is no comparison; empty where there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitComparison:
    """All runs on one split: their performance, and the differences from the first."""

    split: str
    performances: dict[str, Performance]
    differences: tuple[Difference, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Runs beside each other, the first one against each of the others."""

    runs: tuple[str, ...]
    """Ids in the order given."""
    splits: tuple[SplitComparison, ...]
    """Those on which every run was evaluated, the test split first."""
    settings: dict[str, tuple[ConfigDifference, ...]]
    """For each further run the settings in which it differs from the first."""


def compare_runs(engine: Engine, run_ids: Sequence[str]) -> Comparison:
    """Compare every further run with the first one.

    Parameters
    ----------
    engine : Engine
        The database.
    run_ids : sequence of str
        Two or more.

    Raises
    ------
    UserError
        A run does not exist, or stands there twice.
    """
    if len(set(run_ids)) < len(run_ids):
        raise UserError("the same run was given twice, must be different runs", "See rsc runs.")
    data = [load_report(engine, run_id) for run_id in run_ids]
    splits = (_split(split, data) for split in (Split.TEST, Split.VALIDATION))
    return Comparison(
        runs=tuple(run_ids),
        splits=tuple(found for found in splits if found is not None),
        settings=_settings(engine, run_ids),
    )


def _split(split: Split, data: Sequence[ReportData]) -> SplitComparison | None:
    """Compare on one split; None unless every run was evaluated on it."""
    found = [one.split(split) for one in data]
    if any(split is None for split in found):
        return None
    splits = [records.only(Policy.AGENT) for records in found if records is not None]
    performances = {
        one.facts.run_id: evaluate_split(records, one.periods_per_year)[Policy.AGENT]
        for one, records in zip(data, splits, strict=True)
    }
    others = [
        _difference(data[0], splits[0], one, records)
        for one, records in zip(data[1:], splits[1:], strict=True)
    ]
    return SplitComparison(
        split=split.name.lower(), performances=performances, differences=_adjusted(others)
    )


def _difference(
    first: ReportData, left: SplitRecords, other: ReportData, right: SplitRecords
) -> Difference:
    """Compare two runs whose episodes cover the same bars."""
    run_id = other.facts.run_id
    if not _same_bars(first, left, other, right):
        return Difference(run_id=run_id, reason="evaluated on other bars")
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
    return series_of_records(split.episodes, split.steps, split.trades)


def _same_bars(
    first: ReportData, left: SplitRecords, other: ReportData, right: SplitRecords
) -> bool:
    """Return whether both runs were evaluated on the same prices and dates."""

    def bars(split: SplitRecords) -> list[Any]:
        names = ["start_timestamp", "end_timestamp", "step_count"]
        return sorted(split.episodes[names].tolist())

    return first.facts.data_digest == other.facts.data_digest and bars(left) == bars(right)


def _adjusted(differences: list[Difference]) -> tuple[Difference, ...]:
    """Adjust the p-values of several comparisons together."""
    known = [(i, d.p_value) for i, d in enumerate(differences) if d.p_value is not None]
    adjusted = list(differences)
    for (index, _), value in zip(known, holm([p for _, p in known]), strict=True):
        adjusted[index] = replace(adjusted[index], p_value=value)
    return tuple(adjusted)


def _settings(engine: Engine, run_ids: Sequence[str]) -> dict[str, tuple[ConfigDifference, ...]]:
    """Return the settings in which each further run differs from the first."""
    first, *others = [dict(run_configuration(engine, run_id)) for run_id in run_ids]
    pairs = zip(run_ids[1:], others, strict=True)
    return {run_id: diff_mappings(first, other) for run_id, other in pairs}
