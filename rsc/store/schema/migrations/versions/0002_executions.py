"""Executions of a run and the request to cancel it.

Runs that are there already get their executions too, so that attempts count from 1
without a gap: the newest is known, of earlier ones only that they were.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql, sqlite

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

INTEGER = sa.Integer().with_variant(sqlite.INTEGER(), "sqlite")
DOUBLE: sa.types.TypeEngine[float] = sa.Double().with_variant(sqlite.REAL(), "sqlite")
TEXT = sa.Text()
STAMP = sa.Text().with_variant(sa.DateTime(timezone=True), "postgresql")
JSON = sa.Text().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    """Make the table, add the column, enter what is known of earlier attempts."""
    op.add_column("training_runs", sa.Column("cancel_requested_at", STAMP))
    _executions()
    op.execute("""
        INSERT INTO executions
            (run_id, attempt, holder, image_digest, started_at, ended_at, outcome, reason,
             pod_seconds, pods, nodes)
        SELECT run_id, attempt, coalesce(holder, 'unknown'), image_digest, started_at, ended_at,
               state, failure, pod_seconds, '{}', '{}'
        FROM training_runs WHERE attempt > 0
    """)
    op.execute("""
        WITH RECURSIVE earlier (run_id, attempt, started_at) AS (
            SELECT run_id, attempt - 1, started_at FROM training_runs WHERE attempt > 1
            UNION ALL
            SELECT run_id, attempt - 1, started_at FROM earlier WHERE attempt > 1
        )
        INSERT INTO executions
            (run_id, attempt, holder, started_at, ended_at, outcome, reason, pods, nodes)
        SELECT run_id, attempt, 'unknown', started_at, started_at, 'lost',
               'it began before executions were recorded', '{}', '{}'
        FROM earlier
    """)


def downgrade() -> None:
    """Remove the table and the column."""
    op.drop_table("executions")
    op.drop_column("training_runs", "cancel_requested_at")


def _executions() -> None:
    op.create_table(
        "executions",
        sa.Column("run_id", TEXT, nullable=False),
        sa.Column("attempt", INTEGER, nullable=False, autoincrement=False),
        sa.Column("holder", TEXT, nullable=False),
        sa.Column("pod_name", TEXT),
        sa.Column("pod_uid", TEXT),
        sa.Column("node_name", TEXT),
        sa.Column("image_digest", TEXT),
        sa.Column("started_at", STAMP, nullable=False),
        sa.Column("ended_at", STAMP),
        sa.Column("outcome", TEXT, nullable=False),
        sa.Column("reason", TEXT),
        sa.Column("pod_seconds", DOUBLE),
        sa.Column("pods", JSON, nullable=False),
        sa.Column("nodes", JSON, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "attempt", name="pk_executions"),
        sa.CheckConstraint((
            "outcome = 'running' OR outcome = 'completed' OR outcome = 'interrupted' OR "
            "outcome = 'failed' OR outcome = 'cancelled' OR outcome = 'superseded' OR "
            "outcome = 'lost'"
        ), name=op.f("ck_executions_outcome")),
        sa.CheckConstraint("attempt >= 1", name=op.f("ck_executions_attempt")),
        sa.CheckConstraint("(outcome = 'running') = (ended_at IS NULL)", name=op.f("ck_executions_ended")),
        sa.CheckConstraint("outcome <> 'failed' OR reason IS NOT NULL", name=op.f("ck_executions_failed")),
        sa.CheckConstraint("pod_seconds BETWEEN 0 AND 1.7976931348623157e308", name=op.f("ck_executions_pod_seconds")),
        sa.ForeignKeyConstraint(["run_id"], ["training_runs.run_id"], name="fk_executions_run_id"),
        sqlite_strict=True,
    )
