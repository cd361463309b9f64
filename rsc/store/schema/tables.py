"""The tables and their constraints.

What can be said as NOT NULL, CHECK or FOREIGN KEY is said here, so that a bad state
cannot be stored; what needs several rows is the work of `rsc.audit.verify`. SQLite
tables are STRICT: a column holds only values of its type there too. The migrations
build the same schema; a test compares them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

from rsc.store.schema.column_types import (
    BIGINT,
    DOUBLE,
    FLAG,
    INTEGER,
    SMALLINT,
    TEXT,
    JsonDocument,
    UtcTimestamp,
)
from rsc.store.schema.columns import (
    EPISODE_TOTALS,
    EPISODES,
    OPERATIONS,
    POLICIES,
    SPLITS,
    STEPS,
    TRADES,
    Column,
    ColumnKind,
    RecordTable,
)
from rsc.trading.records import MAX_TRIAL_ID

metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)

RUN_STATES = ("running", "completed", "interrupted", "failed")
ATTEMPT_OUTCOMES = (*RUN_STATES, "cancelled", "superseded", "lost")
CHECKPOINT_KINDS = ("last", "best", "final")
_LARGEST = "1.7976931348623157e308"


def one_of(column: str, values: Iterable[str]) -> sa.CheckConstraint:
    """Return the CHECK that `column` is one of `values` (or NULL where it may be).

    Written with OR, the most frequent first: for IN with more than two values SQLite
    builds a temporary table for every row, which halves the speed of writing.
    """
    condition = " OR ".join(f"{column} = '{value}'" for value in values)
    return sa.CheckConstraint(condition, name=column)


def _is(name: str, condition: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(condition, name=name)


def _finite(columns: Iterable[tuple[str, bool]]) -> sa.CheckConstraint:
    """Return one CHECK for all floats: a sum is finite only if every term is."""
    terms = [f"coalesce({name}, 0)" if nullable else name for name, nullable in columns]
    return _is("finite", f"{' + '.join(terms)} BETWEEN -{_LARGEST} AND {_LARGEST}")


def _flag(column: str) -> sa.CheckConstraint:
    """Return the CHECK that a flag is 0 or 1 also where it is an integer."""
    check = _is(column, f"{column} IN (0, 1)")
    return check.ddl_if(dialect="sqlite")


def _type(column: Column) -> TypeEngine[Any]:
    match column.kind:
        case ColumnKind.FLOAT:
            return DOUBLE
        case ColumnKind.TIMESTAMP:
            return UtcTimestamp()
        case ColumnKind.CODE | ColumnKind.NAME:
            return TEXT
        case ColumnKind.FLAG:
            return FLAG
        case _:
            sizes = {8: BIGINT, 4: INTEGER}
            return sizes.get(column.dtype.itemsize, SMALLINT)


def _record_columns(table: RecordTable) -> list[sa.schema.SchemaItem]:
    """Return columns, key, foreign key and the CHECKs that follow from the descriptions."""
    items: list[sa.schema.SchemaItem] = [
        sa.Column(c.name, _type(c), nullable=c.nullable, autoincrement=False) for c in table.columns
    ]
    items.append(sa.Column("checksum", BIGINT, nullable=False))
    items.append(sa.PrimaryKeyConstraint(*table.key))
    items += [one_of(c.name, c.codes.values()) for c in table.columns if c.codes]
    items.append(_finite((c.name, c.nullable) for c in table.columns if c.kind is ColumnKind.FLOAT))
    if table is not EPISODES:
        items.append(sa.ForeignKeyConstraint(["episode_id"], ["episodes.episode_id"]))
    return items


training_runs = sa.Table(
    "training_runs",
    metadata,
    sa.Column("run_id", TEXT, primary_key=True),
    sa.Column("name", TEXT, nullable=False),
    sa.Column("state", TEXT, nullable=False),
    sa.Column("config", JsonDocument(), nullable=False),
    sa.Column("config_sha256", TEXT, nullable=False),
    sa.Column("data_digest", TEXT, nullable=False),
    sa.Column("code_version", TEXT, nullable=False),
    sa.Column("seed", BIGINT, nullable=False),
    sa.Column("image_digest", TEXT),
    sa.Column("host", JsonDocument(), nullable=False),
    sa.Column("attempt", INTEGER, nullable=False),
    sa.Column("holder", TEXT),
    sa.Column("heartbeat_at", UtcTimestamp()),
    sa.Column("started_at", UtcTimestamp(), nullable=False),
    sa.Column("ended_at", UtcTimestamp()),
    sa.Column("final_metrics", JsonDocument()),
    sa.Column("pod_seconds", DOUBLE),
    sa.Column("failure", TEXT),
    sa.Column("cancel_requested_at", UtcTimestamp()),
    # What was loaded from outside: kind, reference, origin, version and SHA-256 of each.
    sa.Column("extensions", JsonDocument(), nullable=False, server_default="[]"),
    one_of("state", RUN_STATES),
    _is("attempt", "attempt >= 0"),
    _is("ended", "(state = 'running') = (ended_at IS NULL)"),
    _is("failed", "(state = 'failed') = (failure IS NOT NULL)"),
    _is("pod_seconds", "pod_seconds >= 0"),
    sqlite_strict=True,
)

# One row for each start of a run: attempts 1, 2, 3 … without a gap.
attempts = sa.Table(
    "attempts",
    metadata,
    sa.Column("run_id", TEXT, sa.ForeignKey("training_runs.run_id"), nullable=False),
    sa.Column("attempt", INTEGER, nullable=False, autoincrement=False),
    sa.Column("holder", TEXT, nullable=False),
    sa.Column("pod_name", TEXT),
    sa.Column("pod_uid", TEXT),
    sa.Column("node_name", TEXT),
    sa.Column("image_digest", TEXT),
    sa.Column("started_at", UtcTimestamp(), nullable=False),
    sa.Column("ended_at", UtcTimestamp()),
    sa.Column("outcome", TEXT, nullable=False),
    sa.Column("reason", TEXT),
    # NULL outside Kubernetes; `pods`, `nodes` and `node_types` are by worker group.
    sa.Column("pod_seconds", DOUBLE),
    sa.Column("pods", JsonDocument(), nullable=False),
    sa.Column("nodes", JsonDocument(), nullable=False),
    sa.Column("node_types", JsonDocument(), nullable=False, server_default="{}"),
    sa.PrimaryKeyConstraint("run_id", "attempt"),
    one_of("outcome", ATTEMPT_OUTCOMES),
    _is("attempt", "attempt >= 1"),
    _is("ended", "(outcome = 'running') = (ended_at IS NULL)"),
    _is("failed", "outcome <> 'failed' OR reason IS NOT NULL"),
    _is("pod_seconds", f"pod_seconds BETWEEN 0 AND {_LARGEST}"),
    sqlite_strict=True,
)

trials = sa.Table(
    "trials",
    metadata,
    sa.Column("trial_id", INTEGER, primary_key=True, autoincrement=True),
    sa.Column("run_id", TEXT, sa.ForeignKey("training_runs.run_id"), nullable=False),
    sa.Column("fold", SMALLINT, nullable=False),
    sa.Column("seed", BIGINT, nullable=False),
    sa.Column("parameters", JsonDocument(), nullable=False),
    sa.Column("parameters_digest", TEXT, nullable=False),
    sa.Column("state", TEXT, nullable=False),
    sa.Column("best_iteration", INTEGER),
    # Which values its checksums are of (rsc.store.records.checksum_versions).
    sa.Column("checksum_version", SMALLINT, nullable=False, server_default="1"),
    # What the trial holds when it ends: a row that is missing later is found by them.
    sa.Column("episode_count", BIGINT),
    sa.Column("step_count", BIGINT),
    sa.Column("trade_count", BIGINT),
    sa.Column("operation_count", BIGINT),
    sa.Column("evaluation_count", BIGINT),
    sa.Column("iteration_count", BIGINT),
    sa.Column("digest", TEXT),
    sa.UniqueConstraint("run_id", "fold", "seed", "parameters_digest"),
    one_of("state", RUN_STATES),
    _is("trial_id", f"trial_id BETWEEN 0 AND {MAX_TRIAL_ID}"),
    _is("fold", "fold >= 0"),
    _is("checksum_version", "checksum_version >= 1"),
    _is("counted", "(state = 'running') = (digest IS NULL)"),
    sqlite_strict=True,
    sqlite_autoincrement=True,
)

_FINAL = " AND ".join(f"{name} IS NOT NULL" for name in EPISODE_TOTALS)
episodes = sa.Table(
    "episodes",
    metadata,
    sa.Column(
        "trial_id", INTEGER, sa.ForeignKey("trials.trial_id"), nullable=False, autoincrement=False
    ),
    *_record_columns(EPISODES),
    _is("trial_id", "trial_id = episode_id >> 40"),
    _flag("steps_recorded"),
    _is("final", f"state = 'running' OR ({_FINAL})"),
    _is("running", "(state = 'running') = (ended_by IS NULL)"),
    _is("interrupted", "(state = 'interrupted') = (coalesce(ended_by, '') = 'interrupted')"),
    _is("costs", "fees >= 0 AND slippage >= 0 AND carry >= 0 AND traded_value >= 0"),
    _is("start", "initial_portfolio_value > 0 AND start_bar_index >= 0 AND iteration >= 0"),
    sqlite_strict=True,
)

steps = sa.Table(
    "steps",
    metadata,
    *_record_columns(STEPS),
    _is("average_entry_price", "(average_entry_price IS NULL) = (position = 0)"),
    _is("exposure", "(exposure IS NULL) = (portfolio_value <= 0)"),
    _is("costs", "fees >= 0 AND slippage >= 0 AND carry >= 0 AND traded_value >= 0"),
    _is("range", "step_index >= 0 AND price > 0 AND drawdown <= 0"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

trades = sa.Table(
    "trades",
    metadata,
    *_record_columns(TRADES),
    _is("open_timestamp", "(exit_cause IS NULL) = (exit_timestamp IS NULL)"),
    _is("open_step", "(exit_cause IS NULL) = (exit_step_index IS NULL)"),
    _is("open_price", "(exit_cause IS NULL) = (average_exit_price IS NULL)"),
    _is("costs", "fees >= 0 AND slippage >= 0 AND carry >= 0"),
    _is("range", "entry_units > 0 AND mae <= 0 AND mfe >= 0 AND trade_index >= 0"),
    _is("order", "exit_step_index >= entry_step_index AND bars_held >= 0"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

trading_operations = sa.Table(
    "trading_operations",
    metadata,
    *_record_columns(OPERATIONS),
    _is("range", "units > 0 AND reference_price > 0 AND fill_price > 0"),
    _is("costs", "fee >= 0 AND slippage >= 0"),
    _is("order", "operation_index >= 0 AND step_index >= 0 AND trade_index >= 0"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

# What one training iteration reported. `seconds` and `steps_per_second` are wall clock: no
# digest of records is of them.
_ITERATION_FLOATS = ("episode_return_mean", "steps_per_second", "seconds")
iterations = sa.Table(
    "iterations",
    metadata,
    sa.Column("trial_id", INTEGER, sa.ForeignKey("trials.trial_id"), nullable=False),
    sa.Column("iteration", INTEGER, nullable=False),
    sa.Column("environment_steps", BIGINT, nullable=False),
    sa.Column("learner_updates", BIGINT, nullable=False),
    sa.Column("episodes_completed", BIGINT, nullable=False),
    sa.Column("episode_return_mean", DOUBLE),
    sa.Column("steps_per_second", DOUBLE),
    sa.Column("seconds", DOUBLE, nullable=False),
    sa.Column("checksum", BIGINT, nullable=False),
    sa.PrimaryKeyConstraint("trial_id", "iteration"),
    _finite((name, True) for name in _ITERATION_FLOATS),
    _is("range", "iteration >= 0 AND environment_steps >= 0 AND seconds >= 0"),
    _is("counts", "learner_updates >= 0 AND episodes_completed >= 0"),
    sqlite_strict=True,
)


def _named_values(
    name: str, owner: sa.Table, *more: sa.schema.SchemaItem, nullable: bool
) -> sa.Table:
    """Return a table of values that have names of their own and belong to a row of `owner`."""
    key = [column.name for column in owner.primary_key]
    types = {column.name: column.type for column in owner.primary_key}
    return sa.Table(
        name,
        metadata,
        *[sa.Column(column, types[column], nullable=False, autoincrement=False) for column in key],
        sa.Column("name", TEXT, nullable=False),
        sa.Column("value", DOUBLE, nullable=nullable),
        *more,
        sa.PrimaryKeyConstraint(*key, "name"),
        sa.ForeignKeyConstraint(key, [owner.c[column] for column in key]),
        _is("finite", f"value BETWEEN -{_LARGEST} AND {_LARGEST}"),
        _is("name", "name <> ''"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )


# What an algorithm reported of an iteration, whatever names it has.
iteration_statistics = _named_values("iteration_statistics", iterations, nullable=False)

# Section 1 of the performance metrics (docs/performance-metrics.md) and from section 2 how
# sure the Sharpe ratio is. Undefined is NULL, with its reason in `undefined`.
EVALUATION_COUNTS = ("max_drawdown_bars", "longest_underwater_bars", "trade_count")
EVALUATION_FLOATS = (
    "total_return",
    "annual_return",
    "volatility",
    "sharpe",
    "sharpe_standard_error",
    "sharpe_low",
    "sharpe_high",
    "psr",
    "sortino",
    "max_drawdown",
    "calmar",
    "value_at_risk",
    "conditional_value_at_risk",
    "win_rate",
    "profit_factor",
    "expectancy",
    "expectancy_return",
    "average_win",
    "average_loss",
    "turnover",
    "exposure",
    "time_in_market",
)
EVALUATION_METRICS = (*EVALUATION_COUNTS, *EVALUATION_FLOATS)
evaluations = sa.Table(
    "evaluations",
    metadata,
    sa.Column("trial_id", INTEGER, sa.ForeignKey("trials.trial_id"), nullable=False),
    sa.Column("split", TEXT, nullable=False),
    sa.Column("iteration", INTEGER, nullable=False),
    sa.Column("policy", TEXT, nullable=False),
    sa.Column("is_final", FLAG, nullable=False),
    sa.Column("checkpoint_iteration", INTEGER),
    sa.Column("periods_per_year", DOUBLE, nullable=False),
    sa.Column("step_count", BIGINT, nullable=False),
    sa.Column("episode_return", DOUBLE, nullable=False),
    *[sa.Column(name, INTEGER) for name in EVALUATION_COUNTS],
    *[sa.Column(name, DOUBLE) for name in EVALUATION_FLOATS],
    sa.Column("undefined", JsonDocument(), nullable=False),
    sa.Column("checksum", BIGINT, nullable=False),
    sa.PrimaryKeyConstraint("trial_id", "split", "iteration", "policy"),
    one_of("split", SPLITS.values()),
    one_of("policy", POLICIES.values()),
    _flag("is_final"),
    _finite(
        [("periods_per_year", False), ("episode_return", False)]
        + [(name, True) for name in EVALUATION_FLOATS]
    ),
    _is("range", "iteration >= 0 AND step_count >= 0 AND periods_per_year > 0"),
    _is("checkpoint", "checkpoint_iteration >= 0"),
    sqlite_strict=True,
)

# Metrics from outside, beside those that are columns of `evaluations`.
evaluation_metrics = _named_values(
    "evaluation_metrics",
    evaluations,
    sa.Column("undefined", TEXT),
    _is("undefined", "(value IS NULL) = (undefined IS NOT NULL)"),
    nullable=True,
)

checkpoints = sa.Table(
    "checkpoints",
    metadata,
    sa.Column("trial_id", INTEGER, sa.ForeignKey("trials.trial_id"), nullable=False),
    sa.Column("iteration", INTEGER, nullable=False),
    sa.Column("kind", TEXT, nullable=False),
    sa.Column("uri", TEXT, nullable=False),
    sa.Column("digest", TEXT, nullable=False),
    sa.Column("size_bytes", BIGINT, nullable=False),
    sa.Column("environment_steps", BIGINT, nullable=False),
    sa.PrimaryKeyConstraint("trial_id", "kind"),
    one_of("kind", CHECKPOINT_KINDS),
    _is("range", "iteration >= 0 AND size_bytes >= 0 AND environment_steps >= 0"),
    sqlite_strict=True,
)

# The ledger of tries has no foreign key: it survives the reset of the runs it counts.
tries = sa.Table(
    "tries",
    metadata,
    sa.Column("instrument", TEXT, nullable=False),
    sa.Column("first_date", UtcTimestamp(), nullable=False),
    sa.Column("last_date", UtcTimestamp(), nullable=False),
    sa.Column("data_digest", TEXT, nullable=False),
    sa.Column("parameters_digest", TEXT, nullable=False),
    sa.Column("seed", BIGINT, nullable=False),
    sa.Column("run_id", TEXT, nullable=False),
    sa.Column("state", TEXT, nullable=False),
    sa.Column("sharpe", DOUBLE),
    sa.Column("step_count", BIGINT),
    sa.Column("skewness", DOUBLE),
    sa.Column("kurtosis", DOUBLE),
    sa.PrimaryKeyConstraint("run_id", "parameters_digest", "seed", "instrument"),
    one_of("state", RUN_STATES),
    _finite((name, True) for name in ("sharpe", "skewness", "kurtosis")),
    _is("dates", "first_date <= last_date"),
    sqlite_strict=True,
)

# What belongs to a trial, child tables first: the order of removing.
RECORD_TABLES = (steps, trades, trading_operations, episodes)
TRIAL_TABLES = (
    *RECORD_TABLES,
    iteration_statistics,
    evaluation_metrics,
    iterations,
    evaluations,
    checkpoints,
)
