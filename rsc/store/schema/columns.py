"""How a record field becomes a database column, said once for every layer of the store.

The record dtypes are integers and floats; in the database codes are their names, null
is NULL and timestamps are timestamps. Tables, writers and readers are derived from the
descriptions of this module, so they cannot disagree; which columns a checksum or a digest is
of is said by `rsc.store.records.checksum_versions`. Timestamps are kept in microseconds, the
finest that both databases hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum

import numpy as np

from rsc.trading.records import (
    EPISODE_DTYPE,
    EPISODE_METRICS,
    OPERATION_DTYPE,
    STEP_DTYPE,
    TRADE_DTYPE,
    Cause,
    EpisodeState,
    OperationKind,
    OrderStatus,
    Policy,
    Side,
    Split,
)


class ColumnKind(StrEnum):
    """What a column holds."""

    INTEGER = "integer"
    FLOAT = "float"
    TIMESTAMP = "timestamp"  # nanoseconds since 1970 UTC in the record
    CODE = "code"  # small integer in the record, its name in the database
    FLAG = "flag"  # 0 or 1 in the record
    NAME = "name"  # index into the trial's instruments in the record


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a record table."""

    name: str
    """Field of the record dtype and column of the table."""
    kind: ColumnKind
    """What it holds."""
    dtype: np.dtype[np.generic]
    """Type of the record field."""
    nullable: bool
    """Whether the database column may be NULL."""
    codes: dict[int, str]
    """Names of the codes; empty unless `kind` is CODE."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RecordTable:
    """One table of records: its name, its dtype, its key and its columns in dtype order.

    `batch_field` is where a `RecordBatch` has its records.
    """

    name: str
    batch_field: str
    dtype: np.dtype[np.void]
    key: tuple[str, ...]
    columns: tuple[Column, ...]

    def column(self, name: str) -> Column:
        """Return the column called `name`."""
        return next(column for column in self.columns if column.name == name)


def _lower(codes: type[IntEnum]) -> dict[int, str]:
    return {int(code): code.name.lower() for code in codes}


def _upper(codes: type[IntEnum]) -> dict[int, str]:
    return {int(code): code.name for code in codes}


# The causes that end an episode, and those that can close a trade.
ENDINGS = {int(c): c.name.lower() for c in Cause if c >= Cause.LIQUIDATION}
CLOSINGS = {int(c): c.name.lower() for c in Cause if c != Cause.INTERRUPTED}
SPLITS = _lower(Split)
POLICIES = _lower(Policy)

_CODES: dict[tuple[str, str], dict[int, str]] = {
    ("episodes", "split"): SPLITS,
    ("episodes", "policy"): POLICIES,
    ("episodes", "state"): _lower(EpisodeState),
    ("episodes", "ended_by"): ENDINGS,
    ("steps", "order_status"): _lower(OrderStatus),
    ("trading_operations", "kind"): _upper(OperationKind),
    ("trading_operations", "cause"): CLOSINGS,
    ("trades", "side"): _upper(Side),
    ("trades", "exit_cause"): CLOSINGS,
}
# Null while an episode runs; its metrics may stay null for ever.
EPISODE_TOTALS = (
    "end_bar_index",
    "end_timestamp",
    "ended_by",
    "final_portfolio_value",
    "step_count",
    "operation_count",
    "trade_count",
    "episode_return",
    "fees",
    "slippage",
    "carry",
    "traded_value",
)
_NULLABLE = {
    "episodes": {*EPISODE_TOTALS, *EPISODE_METRICS},
    "steps": {"average_entry_price", "exposure"},
    "trading_operations": set(),
    "trades": {"exit_step_index", "exit_timestamp", "average_exit_price", "exit_cause"},
}


def _kind(table: str, name: str, dtype: np.dtype[np.generic]) -> ColumnKind:
    if (table, name) in _CODES:
        return ColumnKind.CODE
    if name == "instrument":
        return ColumnKind.NAME
    if name == "steps_recorded":
        return ColumnKind.FLAG
    if name.endswith("timestamp"):
        return ColumnKind.TIMESTAMP
    return ColumnKind.FLOAT if dtype.kind == "f" else ColumnKind.INTEGER


def _record_table(
    name: str, dtype: np.dtype[np.void], *key: str, batch_field: str = ""
) -> RecordTable:
    columns = tuple(
        Column(
            name=field,
            kind=_kind(name, field, dtype[field]),
            dtype=dtype[field],
            nullable=field in _NULLABLE[name],
            codes=_CODES.get((name, field), {}),
        )
        for field in dtype.names or ()
    )
    return RecordTable(
        name=name, batch_field=batch_field or name, dtype=dtype, key=key, columns=columns
    )


EPISODES = _record_table("episodes", EPISODE_DTYPE, "episode_id")
STEPS = _record_table("steps", STEP_DTYPE, "episode_id", "step_index")
TRADES = _record_table("trades", TRADE_DTYPE, "episode_id", "trade_index")
OPERATIONS = _record_table(
    "trading_operations",
    OPERATION_DTYPE,
    "episode_id",
    "operation_index",
    batch_field="operations",
)
# Parents first: the order of writing.
RECORD_TABLES = (EPISODES, OPERATIONS, TRADES, STEPS)
