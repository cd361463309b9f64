"""A recorded run as tables of pandas: names instead of codes, moments instead of numbers.

What is shown is what a report shows: on one split the agent's chosen module and the
baselines, all folds and instruments. Frames are made when they are asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rsc.analysis.evaluation import evaluate_split
from rsc.analysis.load import load_report
from rsc.analysis.paths import policy_path
from rsc.analysis.run_data import RunFacts, SplitRecords
from rsc.store.runs.queries import read_operations
from rsc.store.schema.columns import (
    EPISODES,
    OPERATIONS,
    STEPS,
    TRADES,
    Column,
    ColumnKind,
    RecordTable,
)
from rsc.store.schema.engine import Engine
from rsc.trading.records import EPISODE_DTYPE, OPERATION_DTYPE, STEP_DTYPE, TRADE_DTYPE, Split


@dataclass(frozen=True, kw_only=True)
class RecordedRun:
    """A run and what it did on one split."""

    facts: RunFacts
    """Who the run is: id, name, state, seed, dates, digests, effective configuration."""
    split: str
    """``test`` or ``validation``: where `equity`, `trades`, `operations`, `steps` and `metrics` are
    from. All are empty while the split was not evaluated."""
    periods_per_year: float
    _records: SplitRecords
    _operations: NDArray[np.void]

    @cached_property
    def equity(self) -> pd.DataFrame:
        """Portfolio value at each close, money; a column for each (policy, instrument).

        The index is the moment of the close in UTC. Folds are joined: each begins with what
        the one before it left.
        """
        columns = {}
        pairs = np.unique(self._records.episodes[["policy", "instrument"]])
        for policy in self._records.policies:
            for instrument in pairs["instrument"][pairs["policy"] == policy].tolist():
                path = policy_path(self._records, policy, instrument)
                name = (policy.name.lower(), self.facts.instruments[instrument])
                columns[name] = pd.Series(path.value, index=_moments(path.timestamp))
        frame = pd.DataFrame(columns, columns=pd.MultiIndex.from_tuples(columns) if columns else [])
        frame.columns.names = ["policy", "instrument"] if columns else [None]
        return frame.rename_axis(index="timestamp")

    @cached_property
    def episodes(self) -> pd.DataFrame:
        """One row for each policy, fold and instrument, by ``episode_id``."""
        return _frame(EPISODES, self._records.episodes, self.facts.instruments).set_index(
            "episode_id"
        )

    @cached_property
    def steps(self) -> pd.DataFrame:
        """One row for each decision, by the moment of the close that followed it, UTC."""
        return self._of_episodes(STEPS, self._records.steps).set_index("timestamp")

    @cached_property
    def trades(self) -> pd.DataFrame:
        """One row for each round trip; ``entry_timestamp`` and ``exit_timestamp`` in UTC."""
        return self._of_episodes(TRADES, self._records.trades)

    @cached_property
    def operations(self) -> pd.DataFrame:
        """One row for each fill, with its kind, cause, units, prices and costs."""
        found = self._of_episodes(OPERATIONS, self._operations)
        moments = self.steps.reset_index()[["episode_id", "step_index", "timestamp"]]
        return found.merge(moments, how="left", on=["episode_id", "step_index"])

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """One row for each policy, one column for each metric; NaN where undefined."""
        found = evaluate_split(self._records, self.periods_per_year)
        rows = {policy.name.lower(): one.as_dict() for policy, one in found.items()}
        return pd.DataFrame.from_dict(rows, orient="index", dtype="float64").rename_axis("policy")

    def _of_episodes(self, table: RecordTable, records: NDArray[np.void]) -> pd.DataFrame:
        """Return records with who decided, in which fold, on which instrument."""
        whose = self.episodes[["policy", "fold", "instrument"]]
        frame = _frame(table, records, self.facts.instruments)
        return frame.merge(whose, how="left", left_on="episode_id", right_index=True)


def load_recorded_run(engine: Engine, run_id: str, split: Split = Split.TEST) -> RecordedRun:
    """Read a run and what it did on one split.

    Parameters
    ----------
    engine : Engine
        The database.
    run_id : str
        The run.
    split : Split
        TEST or VALIDATION.

    Raises
    ------
    UserError
        The run does not exist.
    TemporaryError
        The database is away.
    """
    data = load_report(engine, run_id)
    records = data.split(split) or SplitRecords(
        split=split,
        episodes=np.zeros(0, EPISODE_DTYPE),
        steps=np.zeros(0, STEP_DTYPE),
        trades=np.zeros(0, TRADE_DTYPE),
    )
    operations = [read_operations(engine, int(one)) for one in records.episodes["episode_id"]]
    return RecordedRun(
        facts=data.facts,
        split=split.name.lower(),
        periods_per_year=data.periods_per_year,
        _records=records,
        _operations=np.concatenate([np.zeros(0, OPERATION_DTYPE), *operations]),
    )


def _moments(timestamps: NDArray[np.int64]) -> pd.DatetimeIndex:
    """Return nanoseconds since 1970 UTC as moments; the null of the records is NaT."""
    return pd.DatetimeIndex(timestamps.astype("datetime64[ns]")).tz_localize("UTC")


def _frame(
    table: RecordTable, records: NDArray[np.void], instruments: tuple[str, ...]
) -> pd.DataFrame:
    return pd.DataFrame(
        {one.name: _values(one, records[one.name], instruments) for one in table.columns}
    )


def _values(column: Column, values: NDArray[np.generic], instruments: tuple[str, ...]) -> Any:
    if column.kind is ColumnKind.TIMESTAMP:
        return _moments(values.astype(np.int64))
    if column.kind is ColumnKind.CODE:
        names = [column.codes.get(code) for code in values.tolist()]
        return pd.Categorical(names, categories=list(column.codes.values()))
    if column.kind is ColumnKind.NAME:
        return pd.Categorical([instruments[code] for code in values], categories=instruments)
    return values.astype(np.bool_) if column.kind is ColumnKind.FLAG else values
