"""The evaluation of a run: the performance of every policy, split by split.

The figures come from the records in the database and nowhere else, folds joined as the
report joins them, so whoever shows them says the same.
"""

from __future__ import annotations

from rsc.analysis.run_data import ReportData, SplitRecords
from rsc.trading.performance.metrics import Performance, performance_of_records
from rsc.trading.records import Policy


def evaluate_split(records: SplitRecords, periods_per_year: float) -> dict[Policy, Performance]:
    """Return the performance of every policy of a split, over all folds and instruments."""
    found = {}
    for policy in records.policies:
        own = records.only(policy)
        found[policy] = performance_of_records(
            own.episodes, own.steps, own.trades, periods_per_year=periods_per_year
        ).shown()
    return found


def evaluate_splits(data: ReportData) -> dict[str, dict[Policy, Performance]]:
    """Return the performance of every policy by the name of the split, the test first."""
    return {
        split.split.name.lower(): evaluate_split(split, data.periods_per_year)
        for split in data.splits
    }
