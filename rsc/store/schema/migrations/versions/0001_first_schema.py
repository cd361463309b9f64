"""The first schema.

Written out once and then never changed: later changes are revisions of their own. The
types are repeated here so that a later change of `rsc.store.schema.tables` does not change
what this revision makes.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql, sqlite

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

BIGINT = sa.BigInteger().with_variant(sqlite.INTEGER(), "sqlite")
INTEGER = sa.Integer().with_variant(sqlite.INTEGER(), "sqlite")
SMALLINT = sa.SmallInteger().with_variant(sqlite.INTEGER(), "sqlite")
DOUBLE: sa.types.TypeEngine[float] = sa.Double().with_variant(sqlite.REAL(), "sqlite")
FLAG = sa.Boolean(create_constraint=False).with_variant(sqlite.INTEGER(), "sqlite")
TEXT = sa.Text()
STAMP = sa.Text().with_variant(sa.DateTime(timezone=True), "postgresql")
JSON = sa.Text().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    """Make all tables."""
    _training_runs()
    _trials()
    _episodes()
    _steps()
    _trades()
    _trading_operations()
    _iterations()
    _evaluations()
    _checkpoints()
    _tries()


def downgrade() -> None:
    """Remove all tables, children first."""
    for table in (
        "tries",
        "checkpoints",
        "evaluations",
        "iterations",
        "trading_operations",
        "trades",
        "steps",
        "episodes",
        "trials",
        "training_runs",
    ):
        op.drop_table(table)


def _training_runs() -> None:
    op.create_table(
        "training_runs",
        sa.Column("run_id", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("config", JSON, nullable=False),
        sa.Column("config_sha256", TEXT, nullable=False),
        sa.Column("data_digest", TEXT, nullable=False),
        sa.Column("code_version", TEXT, nullable=False),
        sa.Column("seed", BIGINT, nullable=False),
        sa.Column("image_digest", TEXT),
        sa.Column("host", JSON, nullable=False),
        sa.Column("attempt", INTEGER, nullable=False),
        sa.Column("holder", TEXT),
        sa.Column("heartbeat_at", STAMP),
        sa.Column("started_at", STAMP, nullable=False),
        sa.Column("ended_at", STAMP),
        sa.Column("final_metrics", JSON),
        sa.Column("pod_seconds", DOUBLE),
        sa.Column("failure", TEXT),
        sa.PrimaryKeyConstraint("run_id", name="pk_training_runs"),
        sa.CheckConstraint("state = 'running' OR state = 'completed' OR state = 'interrupted' OR state = 'failed'", name=op.f("ck_training_runs_state")),
        sa.CheckConstraint("attempt >= 0", name=op.f("ck_training_runs_attempt")),
        sa.CheckConstraint("(state = 'running') = (ended_at IS NULL)", name=op.f("ck_training_runs_ended")),
        sa.CheckConstraint("(state = 'failed') = (failure IS NOT NULL)", name=op.f("ck_training_runs_failed")),
        sa.CheckConstraint("pod_seconds >= 0", name=op.f("ck_training_runs_pod_seconds")),
        sqlite_strict=True,
    )


def _trials() -> None:
    op.create_table(
        "trials",
        sa.Column("trial_id", INTEGER, nullable=False, autoincrement=True),
        sa.Column("run_id", TEXT, nullable=False),
        sa.Column("fold", SMALLINT, nullable=False),
        sa.Column("seed", BIGINT, nullable=False),
        sa.Column("parameters", JSON, nullable=False),
        sa.Column("parameters_digest", TEXT, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("best_iteration", INTEGER),
        sa.Column("episode_count", BIGINT),
        sa.Column("step_count", BIGINT),
        sa.Column("trade_count", BIGINT),
        sa.Column("operation_count", BIGINT),
        sa.Column("evaluation_count", BIGINT),
        sa.Column("iteration_count", BIGINT),
        sa.Column("digest", TEXT),
        sa.PrimaryKeyConstraint("trial_id", name="pk_trials"),
        sa.UniqueConstraint("run_id", "fold", "seed", "parameters_digest", name="uq_trials_run_id"),
        sa.CheckConstraint("state = 'running' OR state = 'completed' OR state = 'interrupted' OR state = 'failed'", name=op.f("ck_trials_state")),
        sa.CheckConstraint("trial_id BETWEEN 0 AND 8388607", name=op.f("ck_trials_trial_id")),
        sa.CheckConstraint("fold >= 0", name=op.f("ck_trials_fold")),
        sa.CheckConstraint("(state = 'running') = (digest IS NULL)", name=op.f("ck_trials_counted")),
        sa.ForeignKeyConstraint(["run_id"], ["training_runs.run_id"], name="fk_trials_run_id"),
        sqlite_strict=True,
        sqlite_autoincrement=True,
    )


def _episodes() -> None:
    op.create_table(
        "episodes",
        sa.Column("trial_id", INTEGER, nullable=False),
        sa.Column("episode_id", BIGINT, nullable=False, autoincrement=False),
        sa.Column("phase", TEXT, nullable=False),
        sa.Column("policy", TEXT, nullable=False),
        sa.Column("fold", SMALLINT, nullable=False),
        sa.Column("instrument", TEXT, nullable=False),
        sa.Column("iteration", INTEGER, nullable=False),
        sa.Column("steps_recorded", FLAG, nullable=False),
        sa.Column("start_bar_index", INTEGER, nullable=False),
        sa.Column("end_bar_index", INTEGER),
        sa.Column("start_timestamp", STAMP, nullable=False),
        sa.Column("end_timestamp", STAMP),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("ended_by", TEXT),
        sa.Column("initial_portfolio_value", DOUBLE, nullable=False),
        sa.Column("final_portfolio_value", DOUBLE),
        sa.Column("step_count", INTEGER),
        sa.Column("operation_count", INTEGER),
        sa.Column("trade_count", INTEGER),
        sa.Column("episode_return", DOUBLE),
        sa.Column("fees", DOUBLE),
        sa.Column("slippage", DOUBLE),
        sa.Column("carry", DOUBLE),
        sa.Column("traded_value", DOUBLE),
        sa.Column("total_return", DOUBLE),
        sa.Column("volatility", DOUBLE),
        sa.Column("sharpe", DOUBLE),
        sa.Column("sortino", DOUBLE),
        sa.Column("max_drawdown", DOUBLE),
        sa.Column("win_rate", DOUBLE),
        sa.Column("profit_factor", DOUBLE),
        sa.Column("turnover", DOUBLE),
        sa.Column("average_exposure", DOUBLE),
        sa.Column("time_in_market", DOUBLE),
        sa.Column("checksum", BIGINT, nullable=False),
        sa.PrimaryKeyConstraint("episode_id", name="pk_episodes"),
        sa.CheckConstraint("phase = 'train' OR phase = 'validation' OR phase = 'test'", name=op.f("ck_episodes_phase")),
        sa.CheckConstraint((
            "policy = 'agent' OR policy = 'buy_and_hold' OR policy = 'sma_crossover' OR "
            "policy = 'random' OR policy = 'flat'"
        ), name=op.f("ck_episodes_policy")),
        sa.CheckConstraint("state = 'running' OR state = 'completed' OR state = 'interrupted'", name=op.f("ck_episodes_state")),
        sa.CheckConstraint((
            "ended_by = 'liquidation' OR ended_by = 'ruin' OR ended_by = 'max_drawdown' OR "
            "ended_by = 'end' OR ended_by = 'interrupted'"
        ), name=op.f("ck_episodes_ended_by")),
        sa.CheckConstraint((
            "initial_portfolio_value + coalesce(final_portfolio_value, 0) + "
            "coalesce(episode_return, 0) + coalesce(fees, 0) + coalesce(slippage, 0) + "
            "coalesce(carry, 0) + coalesce(traded_value, 0) + coalesce(total_return, 0) + "
            "coalesce(volatility, 0) + coalesce(sharpe, 0) + coalesce(sortino, 0) + "
            "coalesce(max_drawdown, 0) + coalesce(win_rate, 0) + coalesce(profit_factor, 0) +"
            " coalesce(turnover, 0) + coalesce(average_exposure, 0) + "
            "coalesce(time_in_market, 0) BETWEEN -1.7976931348623157e308 AND "
            "1.7976931348623157e308"
        ), name=op.f("ck_episodes_finite")),
        sa.CheckConstraint("trial_id = episode_id >> 40", name=op.f("ck_episodes_trial_id")),
        sa.CheckConstraint("steps_recorded IN (0, 1)", name=op.f("ck_episodes_steps_recorded")).ddl_if(dialect="sqlite"),
        sa.CheckConstraint((
            "state = 'running' OR (end_bar_index IS NOT NULL AND end_timestamp IS NOT NULL "
            "AND ended_by IS NOT NULL AND final_portfolio_value IS NOT NULL AND step_count IS"
            " NOT NULL AND operation_count IS NOT NULL AND trade_count IS NOT NULL AND "
            "episode_return IS NOT NULL AND fees IS NOT NULL AND slippage IS NOT NULL AND "
            "carry IS NOT NULL AND traded_value IS NOT NULL)"
        ), name=op.f("ck_episodes_final")),
        sa.CheckConstraint("(state = 'running') = (ended_by IS NULL)", name=op.f("ck_episodes_running")),
        sa.CheckConstraint("(state = 'interrupted') = (coalesce(ended_by, '') = 'interrupted')", name=op.f("ck_episodes_interrupted")),
        sa.CheckConstraint("fees >= 0 AND slippage >= 0 AND carry >= 0 AND traded_value >= 0", name=op.f("ck_episodes_costs")),
        sa.CheckConstraint("initial_portfolio_value > 0 AND start_bar_index >= 0 AND iteration >= 0", name=op.f("ck_episodes_start")),
        sa.ForeignKeyConstraint(["trial_id"], ["trials.trial_id"], name="fk_episodes_trial_id"),
        sqlite_strict=True,
    )


def _steps() -> None:
    op.create_table(
        "steps",
        sa.Column("episode_id", BIGINT, nullable=False, autoincrement=False),
        sa.Column("step_index", INTEGER, nullable=False, autoincrement=False),
        sa.Column("bar_index", INTEGER, nullable=False),
        sa.Column("timestamp", STAMP, nullable=False),
        sa.Column("action", SMALLINT, nullable=False),
        sa.Column("target_exposure", DOUBLE, nullable=False),
        sa.Column("order_status", TEXT, nullable=False),
        sa.Column("price", DOUBLE, nullable=False),
        sa.Column("cash", DOUBLE, nullable=False),
        sa.Column("position", DOUBLE, nullable=False),
        sa.Column("average_entry_price", DOUBLE),
        sa.Column("portfolio_value", DOUBLE, nullable=False),
        sa.Column("exposure", DOUBLE),
        sa.Column("drawdown", DOUBLE, nullable=False),
        sa.Column("reward", DOUBLE, nullable=False),
        sa.Column("fees", DOUBLE, nullable=False),
        sa.Column("slippage", DOUBLE, nullable=False),
        sa.Column("carry", DOUBLE, nullable=False),
        sa.Column("traded_value", DOUBLE, nullable=False),
        sa.Column("checksum", BIGINT, nullable=False),
        sa.PrimaryKeyConstraint("episode_id", "step_index", name="pk_steps"),
        sa.CheckConstraint((
            "order_status = 'hold' OR order_status = 'filled' OR order_status = "
            "'below_minimum' OR order_status = 'void_stopped' OR order_status = "
            "'void_cooldown' OR order_status = 'void_liquidated' OR order_status = 'void_end'"
            " OR order_status = 'no_equity' OR order_status = 'suspended'"
        ), name=op.f("ck_steps_order_status")),
        sa.CheckConstraint((
            "target_exposure + price + cash + position + coalesce(average_entry_price, 0) + "
            "portfolio_value + coalesce(exposure, 0) + drawdown + reward + fees + slippage + "
            "carry + traded_value BETWEEN -1.7976931348623157e308 AND 1.7976931348623157e308"
        ), name=op.f("ck_steps_finite")),
        sa.ForeignKeyConstraint(["episode_id"], ["episodes.episode_id"], name="fk_steps_episode_id"),
        sa.CheckConstraint("(average_entry_price IS NULL) = (position = 0)", name=op.f("ck_steps_average_entry_price")),
        sa.CheckConstraint("(exposure IS NULL) = (portfolio_value <= 0)", name=op.f("ck_steps_exposure")),
        sa.CheckConstraint("fees >= 0 AND slippage >= 0 AND carry >= 0 AND traded_value >= 0", name=op.f("ck_steps_costs")),
        sa.CheckConstraint("step_index >= 0 AND price > 0 AND drawdown <= 0", name=op.f("ck_steps_range")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )


def _trades() -> None:
    op.create_table(
        "trades",
        sa.Column("episode_id", BIGINT, nullable=False, autoincrement=False),
        sa.Column("trade_index", INTEGER, nullable=False, autoincrement=False),
        sa.Column("side", TEXT, nullable=False),
        sa.Column("entry_step_index", INTEGER, nullable=False),
        sa.Column("exit_step_index", INTEGER),
        sa.Column("entry_timestamp", STAMP, nullable=False),
        sa.Column("exit_timestamp", STAMP),
        sa.Column("entry_units", DOUBLE, nullable=False),
        sa.Column("average_entry_price", DOUBLE, nullable=False),
        sa.Column("average_exit_price", DOUBLE),
        sa.Column("fees", DOUBLE, nullable=False),
        sa.Column("slippage", DOUBLE, nullable=False),
        sa.Column("carry", DOUBLE, nullable=False),
        sa.Column("pnl", DOUBLE, nullable=False),
        sa.Column("trade_return", DOUBLE, nullable=False),
        sa.Column("mae", DOUBLE, nullable=False),
        sa.Column("mfe", DOUBLE, nullable=False),
        sa.Column("bars_held", INTEGER, nullable=False),
        sa.Column("operation_count", INTEGER, nullable=False),
        sa.Column("exit_cause", TEXT),
        sa.Column("checksum", BIGINT, nullable=False),
        sa.PrimaryKeyConstraint("episode_id", "trade_index", name="pk_trades"),
        sa.CheckConstraint("side = 'LONG' OR side = 'SHORT'", name=op.f("ck_trades_side")),
        sa.CheckConstraint((
            "exit_cause = 'agent' OR exit_cause = 'stop_loss' OR exit_cause = 'take_profit' "
            "OR exit_cause = 'liquidation' OR exit_cause = 'ruin' OR exit_cause = "
            "'max_drawdown' OR exit_cause = 'end'"
        ), name=op.f("ck_trades_exit_cause")),
        sa.CheckConstraint((
            "entry_units + average_entry_price + coalesce(average_exit_price, 0) + fees + "
            "slippage + carry + pnl + trade_return + mae + mfe BETWEEN "
            "-1.7976931348623157e308 AND 1.7976931348623157e308"
        ), name=op.f("ck_trades_finite")),
        sa.ForeignKeyConstraint(["episode_id"], ["episodes.episode_id"], name="fk_trades_episode_id"),
        sa.CheckConstraint("(exit_cause IS NULL) = (exit_timestamp IS NULL)", name=op.f("ck_trades_open_timestamp")),
        sa.CheckConstraint("(exit_cause IS NULL) = (exit_step_index IS NULL)", name=op.f("ck_trades_open_step")),
        sa.CheckConstraint("(exit_cause IS NULL) = (average_exit_price IS NULL)", name=op.f("ck_trades_open_price")),
        sa.CheckConstraint("fees >= 0 AND slippage >= 0 AND carry >= 0", name=op.f("ck_trades_costs")),
        sa.CheckConstraint("entry_units > 0 AND mae <= 0 AND mfe >= 0 AND trade_index >= 0", name=op.f("ck_trades_range")),
        sa.CheckConstraint("exit_step_index >= entry_step_index AND bars_held >= 0", name=op.f("ck_trades_order")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )


def _trading_operations() -> None:
    op.create_table(
        "trading_operations",
        sa.Column("episode_id", BIGINT, nullable=False, autoincrement=False),
        sa.Column("operation_index", INTEGER, nullable=False, autoincrement=False),
        sa.Column("step_index", INTEGER, nullable=False),
        sa.Column("trade_index", INTEGER, nullable=False),
        sa.Column("bar_index", INTEGER, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("cause", TEXT, nullable=False),
        sa.Column("units", DOUBLE, nullable=False),
        sa.Column("reference_price", DOUBLE, nullable=False),
        sa.Column("fill_price", DOUBLE, nullable=False),
        sa.Column("fee", DOUBLE, nullable=False),
        sa.Column("slippage", DOUBLE, nullable=False),
        sa.Column("position_after", DOUBLE, nullable=False),
        sa.Column("cash_after", DOUBLE, nullable=False),
        sa.Column("checksum", BIGINT, nullable=False),
        sa.PrimaryKeyConstraint("episode_id", "operation_index", name="pk_trading_operations"),
        sa.CheckConstraint((
            "kind = 'ENTER_LONG' OR kind = 'EXIT_LONG' OR kind = 'ENTER_SHORT' OR kind = "
            "'EXIT_SHORT'"
        ), name=op.f("ck_trading_operations_kind")),
        sa.CheckConstraint((
            "cause = 'agent' OR cause = 'stop_loss' OR cause = 'take_profit' OR cause = "
            "'liquidation' OR cause = 'ruin' OR cause = 'max_drawdown' OR cause = 'end'"
        ), name=op.f("ck_trading_operations_cause")),
        sa.CheckConstraint((
            "units + reference_price + fill_price + fee + slippage + position_after + "
            "cash_after BETWEEN -1.7976931348623157e308 AND 1.7976931348623157e308"
        ), name=op.f("ck_trading_operations_finite")),
        sa.ForeignKeyConstraint(["episode_id"], ["episodes.episode_id"], name="fk_trading_operations_episode_id"),
        sa.CheckConstraint("units > 0 AND reference_price > 0 AND fill_price > 0", name=op.f("ck_trading_operations_range")),
        sa.CheckConstraint("fee >= 0 AND slippage >= 0", name=op.f("ck_trading_operations_costs")),
        sa.CheckConstraint("operation_index >= 0 AND step_index >= 0 AND trade_index >= 0", name=op.f("ck_trading_operations_order")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )


def _iterations() -> None:
    op.create_table(
        "iterations",
        sa.Column("trial_id", INTEGER, nullable=False, autoincrement=False),
        sa.Column("iteration", INTEGER, nullable=False, autoincrement=False),
        sa.Column("environment_steps", BIGINT, nullable=False),
        sa.Column("learner_updates", BIGINT, nullable=False),
        sa.Column("episodes_completed", BIGINT, nullable=False),
        sa.Column("episode_return_mean", DOUBLE),
        sa.Column("loss", DOUBLE),
        sa.Column("q_mean", DOUBLE),
        sa.Column("gradient_norm", DOUBLE),
        sa.Column("epsilon", DOUBLE),
        sa.Column("entropy", DOUBLE),
        sa.Column("kl", DOUBLE),
        sa.Column("value_loss", DOUBLE),
        sa.Column("policy_loss", DOUBLE),
        sa.Column("learning_rate", DOUBLE),
        sa.Column("steps_per_second", DOUBLE),
        sa.Column("seconds", DOUBLE, nullable=False),
        sa.Column("checksum", BIGINT, nullable=False),
        sa.PrimaryKeyConstraint("trial_id", "iteration", name="pk_iterations"),
        sa.CheckConstraint((
            "coalesce(episode_return_mean, 0) + coalesce(loss, 0) + coalesce(q_mean, 0) + "
            "coalesce(gradient_norm, 0) + coalesce(epsilon, 0) + coalesce(entropy, 0) + "
            "coalesce(kl, 0) + coalesce(value_loss, 0) + coalesce(policy_loss, 0) + "
            "coalesce(learning_rate, 0) + coalesce(steps_per_second, 0) + coalesce(seconds, "
            "0) BETWEEN -1.7976931348623157e308 AND 1.7976931348623157e308"
        ), name=op.f("ck_iterations_finite")),
        sa.CheckConstraint("iteration >= 0 AND environment_steps >= 0 AND seconds >= 0", name=op.f("ck_iterations_range")),
        sa.CheckConstraint("learner_updates >= 0 AND episodes_completed >= 0", name=op.f("ck_iterations_counts")),
        sa.ForeignKeyConstraint(["trial_id"], ["trials.trial_id"], name="fk_iterations_trial_id"),
        sqlite_strict=True,
    )


def _evaluations() -> None:
    op.create_table(
        "evaluations",
        sa.Column("trial_id", INTEGER, nullable=False, autoincrement=False),
        sa.Column("phase", TEXT, nullable=False),
        sa.Column("iteration", INTEGER, nullable=False, autoincrement=False),
        sa.Column("policy", TEXT, nullable=False),
        sa.Column("is_final", FLAG, nullable=False),
        sa.Column("checkpoint_iteration", INTEGER),
        sa.Column("periods_per_year", DOUBLE, nullable=False),
        sa.Column("step_count", BIGINT, nullable=False),
        sa.Column("episode_return", DOUBLE, nullable=False),
        sa.Column("max_drawdown_bars", INTEGER),
        sa.Column("longest_underwater_bars", INTEGER),
        sa.Column("trade_count", INTEGER),
        sa.Column("total_return", DOUBLE),
        sa.Column("annual_return", DOUBLE),
        sa.Column("volatility", DOUBLE),
        sa.Column("sharpe", DOUBLE),
        sa.Column("sharpe_standard_error", DOUBLE),
        sa.Column("sharpe_low", DOUBLE),
        sa.Column("sharpe_high", DOUBLE),
        sa.Column("psr", DOUBLE),
        sa.Column("sortino", DOUBLE),
        sa.Column("max_drawdown", DOUBLE),
        sa.Column("calmar", DOUBLE),
        sa.Column("value_at_risk", DOUBLE),
        sa.Column("conditional_value_at_risk", DOUBLE),
        sa.Column("win_rate", DOUBLE),
        sa.Column("profit_factor", DOUBLE),
        sa.Column("expectancy", DOUBLE),
        sa.Column("expectancy_return", DOUBLE),
        sa.Column("average_win", DOUBLE),
        sa.Column("average_loss", DOUBLE),
        sa.Column("turnover", DOUBLE),
        sa.Column("exposure", DOUBLE),
        sa.Column("time_in_market", DOUBLE),
        sa.Column("undefined", JSON, nullable=False),
        sa.Column("checksum", BIGINT, nullable=False),
        sa.PrimaryKeyConstraint("trial_id", "phase", "iteration", "policy", name="pk_evaluations"),
        sa.CheckConstraint("phase = 'train' OR phase = 'validation' OR phase = 'test'", name=op.f("ck_evaluations_phase")),
        sa.CheckConstraint((
            "policy = 'agent' OR policy = 'buy_and_hold' OR policy = 'sma_crossover' OR "
            "policy = 'random' OR policy = 'flat'"
        ), name=op.f("ck_evaluations_policy")),
        sa.CheckConstraint("is_final IN (0, 1)", name=op.f("ck_evaluations_is_final")).ddl_if(dialect="sqlite"),
        sa.CheckConstraint((
            "periods_per_year + episode_return + coalesce(total_return, 0) + "
            "coalesce(annual_return, 0) + coalesce(volatility, 0) + coalesce(sharpe, 0) + "
            "coalesce(sharpe_standard_error, 0) + coalesce(sharpe_low, 0) + "
            "coalesce(sharpe_high, 0) + coalesce(psr, 0) + coalesce(sortino, 0) + "
            "coalesce(max_drawdown, 0) + coalesce(calmar, 0) + coalesce(value_at_risk, 0) + "
            "coalesce(conditional_value_at_risk, 0) + coalesce(win_rate, 0) + "
            "coalesce(profit_factor, 0) + coalesce(expectancy, 0) + "
            "coalesce(expectancy_return, 0) + coalesce(average_win, 0) + "
            "coalesce(average_loss, 0) + coalesce(turnover, 0) + coalesce(exposure, 0) + "
            "coalesce(time_in_market, 0) BETWEEN -1.7976931348623157e308 AND "
            "1.7976931348623157e308"
        ), name=op.f("ck_evaluations_finite")),
        sa.CheckConstraint("iteration >= 0 AND step_count >= 0 AND periods_per_year > 0", name=op.f("ck_evaluations_range")),
        sa.CheckConstraint("checkpoint_iteration >= 0", name=op.f("ck_evaluations_checkpoint")),
        sa.ForeignKeyConstraint(["trial_id"], ["trials.trial_id"], name="fk_evaluations_trial_id"),
        sqlite_strict=True,
    )


def _checkpoints() -> None:
    op.create_table(
        "checkpoints",
        sa.Column("trial_id", INTEGER, nullable=False, autoincrement=False),
        sa.Column("iteration", INTEGER, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("uri", TEXT, nullable=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("size_bytes", BIGINT, nullable=False),
        sa.Column("environment_steps", BIGINT, nullable=False),
        sa.PrimaryKeyConstraint("trial_id", "kind", name="pk_checkpoints"),
        sa.CheckConstraint("kind = 'last' OR kind = 'best' OR kind = 'final'", name=op.f("ck_checkpoints_kind")),
        sa.CheckConstraint("iteration >= 0 AND size_bytes >= 0 AND environment_steps >= 0", name=op.f("ck_checkpoints_range")),
        sa.ForeignKeyConstraint(["trial_id"], ["trials.trial_id"], name="fk_checkpoints_trial_id"),
        sqlite_strict=True,
    )


def _tries() -> None:
    op.create_table(
        "tries",
        sa.Column("instrument", TEXT, nullable=False),
        sa.Column("first_date", STAMP, nullable=False),
        sa.Column("last_date", STAMP, nullable=False),
        sa.Column("data_digest", TEXT, nullable=False),
        sa.Column("parameters_digest", TEXT, nullable=False),
        sa.Column("seed", BIGINT, nullable=False, autoincrement=False),
        sa.Column("run_id", TEXT, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("sharpe", DOUBLE),
        sa.Column("step_count", BIGINT),
        sa.Column("skewness", DOUBLE),
        sa.Column("kurtosis", DOUBLE),
        sa.PrimaryKeyConstraint("run_id", "parameters_digest", "seed", "instrument", name="pk_tries"),
        sa.CheckConstraint("state = 'running' OR state = 'completed' OR state = 'interrupted' OR state = 'failed'", name=op.f("ck_tries_state")),
        sa.CheckConstraint((
            "coalesce(sharpe, 0) + coalesce(skewness, 0) + coalesce(kurtosis, 0) BETWEEN "
            "-1.7976931348623157e308 AND 1.7976931348623157e308"
        ), name=op.f("ck_tries_finite")),
        sa.CheckConstraint("first_date <= last_date", name=op.f("ck_tries_dates")),
        sqlite_strict=True,
    )
