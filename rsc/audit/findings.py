"""What a check found: named by table and key, counted in full, shown in part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rsc.store.schema.columns import RecordTable

SHOWN_OF_A_TABLE = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """One offending row."""

    table: str
    """Table of the row."""
    key: str
    """Its key as ``name value, name value``."""
    what: str
    """What it was and what was expected."""

    def __str__(self) -> str:
        """Return the finding as one line."""
        return f"{self.table} ({self.key}): {self.what}"


class Findings:
    """Collects findings: the first of each table are kept, all are counted."""

    def __init__(self) -> None:
        self.shown: list[Finding] = []
        self._counts: Counter[str] = Counter()

    @property
    def total(self) -> int:
        """Number of findings, shown or not."""
        return self._counts.total()

    def add(self, finding: Finding) -> None:
        """Take one finding."""
        self._counts[finding.table] += 1
        if self._counts[finding.table] <= SHOWN_OF_A_TABLE:
            self.shown.append(finding)

    def count(self, table: str, number: int) -> None:
        """Count findings of a table beyond those that are shown."""
        self._counts[table] += number

    def rows(
        self,
        table: RecordTable,
        records: NDArray[np.void],
        offending: NDArray[np.bool_],
        what: Callable[[int], str],
    ) -> None:
        """Take the offending rows of a table.

        Parameters
        ----------
        table : RecordTable
            Table of the rows.
        records : ndarray
            Rows of the table.
        offending : ndarray of bool
            Which of them.
        what : callable
            Says what is wrong with a row, by its place in `records`.
        """
        places = np.flatnonzero(offending)
        room = max(0, SHOWN_OF_A_TABLE - self._counts[table.name])
        self._counts[table.name] += len(places)
        for place in places[:room].tolist():
            self.shown.append(Finding(table.name, key_of(table, records[place]), what(place)))

    def add_mismatch(
        self,
        table: RecordTable,
        records: NDArray[np.void],
        column: str,
        expected: NDArray[np.generic],
        offending: NDArray[np.bool_],
        source: str,
    ) -> None:
        """Take the rows whose `column` is not what `source` gives."""
        self.rows(
            table,
            records,
            offending,
            lambda row: f"{column} was {records[column][row]}, must be {expected[row]} ({source})",
        )


def key_of(table: RecordTable, record: np.void) -> str:
    """Return the key of a row as text."""
    return ", ".join(f"{name} {record[name]}" for name in table.key)


def unequal(
    left: NDArray[np.float64], right: NDArray[np.float64], scale: NDArray[np.float64] | float
) -> NDArray[np.bool_]:
    """Return where two amounts differ by more than the tolerance of the trading semantics.

    The tolerance is 1e-9 of the largest of both and `scale` (the initial portfolio
    value for money); null equals null only, and a sum that was too large for a float
    nothing.
    """
    largest = np.maximum(np.maximum(np.abs(left), np.abs(right)), scale)
    close = (np.abs(left - right) <= 1e-9 * largest) & np.isfinite(largest)
    result: NDArray[np.bool_] = ~(close | (np.isnan(left) & np.isnan(right)))
    return result
