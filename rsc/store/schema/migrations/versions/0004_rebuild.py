"""One word for one thing, and rows for what has a name of its own.

A phase is a split, an execution is an attempt. What an algorithm says of an iteration moves
from columns to rows of `iteration_statistics`, metrics from outside get `evaluation_metrics`,
trials say the version of their checksums, and runs which extensions they were given. No
checksum is computed anew. Going back, statistics that have no column and metrics from outside
are lost, and the older code finds the checksums of their rows changed.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql, sqlite

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

INTEGER = sa.Integer().with_variant(sqlite.INTEGER(), "sqlite")
DOUBLE: sa.types.TypeEngine[float] = sa.Double().with_variant(sqlite.REAL(), "sqlite")
TEXT = sa.Text()
JSON = sa.Text().with_variant(postgresql.JSONB(), "postgresql")
LARGEST = "1.7976931348623157e308"
STATISTICS = (
    "loss",
    "q_mean",
    "gradient_norm",
    "epsilon",
    "entropy",
    "kl",
    "value_loss",
    "policy_loss",
    "learning_rate",
)


def upgrade() -> None:
    """Rename, make the new tables and columns, and move statistics to rows."""
    for table in ("episodes", "evaluations"):
        _rename_column(table, "phase", "split")
    _rename_table("executions", "attempts")
    op.execute(
        f"ALTER TABLE trials ADD COLUMN checksum_version {_small()} NOT NULL DEFAULT 1 "
        "CONSTRAINT ck_trials_checksum_version CHECK (checksum_version >= 1)"
    )
    op.add_column(
        "training_runs", sa.Column("extensions", JSON, nullable=False, server_default="[]")
    )
    _iteration_statistics()
    _evaluation_metrics()
    _columns_to_rows()


def downgrade() -> None:
    """Move back what has a column there, and remove the rest."""
    _rows_to_columns()
    op.drop_table("evaluation_metrics")
    op.drop_table("iteration_statistics")
    op.drop_column("training_runs", "extensions")
    op.drop_column("trials", "checksum_version")
    for table in ("episodes", "evaluations"):
        _rename_column(table, "split", "phase")
    _rename_table("attempts", "executions")


def _iteration_statistics() -> None:
    op.create_table(
        "iteration_statistics",
        sa.Column("trial_id", INTEGER, nullable=False, autoincrement=False),
        sa.Column("iteration", INTEGER, nullable=False, autoincrement=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("value", DOUBLE, nullable=False),
        sa.PrimaryKeyConstraint("trial_id", "iteration", "name", name="pk_iteration_statistics"),
        sa.CheckConstraint(
            f"value BETWEEN -{LARGEST} AND {LARGEST}", name=op.f("ck_iteration_statistics_finite")
        ),
        sa.CheckConstraint("name <> ''", name=op.f("ck_iteration_statistics_name")),
        sa.ForeignKeyConstraint(
            ["trial_id", "iteration"],
            ["iterations.trial_id", "iterations.iteration"],
            name="fk_iteration_statistics_trial_id",
        ),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )


def _evaluation_metrics() -> None:
    key = ["trial_id", "split", "iteration", "policy"]
    op.create_table(
        "evaluation_metrics",
        sa.Column("trial_id", INTEGER, nullable=False, autoincrement=False),
        sa.Column("split", TEXT, nullable=False),
        sa.Column("iteration", INTEGER, nullable=False, autoincrement=False),
        sa.Column("policy", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("value", DOUBLE),
        sa.Column("undefined", TEXT),
        sa.PrimaryKeyConstraint(*key, "name", name="pk_evaluation_metrics"),
        sa.CheckConstraint(
            f"value BETWEEN -{LARGEST} AND {LARGEST}", name=op.f("ck_evaluation_metrics_finite")
        ),
        sa.CheckConstraint("name <> ''", name=op.f("ck_evaluation_metrics_name")),
        sa.CheckConstraint(
            "(value IS NULL) = (undefined IS NOT NULL)",
            name=op.f("ck_evaluation_metrics_undefined"),
        ),
        sa.ForeignKeyConstraint(
            key, [f"evaluations.{name}" for name in key], name="fk_evaluation_metrics_trial_id"
        ),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )


def _columns_to_rows() -> None:
    for name in STATISTICS:
        op.execute(
            "INSERT INTO iteration_statistics (trial_id, iteration, name, value) "  # noqa: S608
            f"SELECT trial_id, iteration, '{name}', {name} FROM iterations "
            f"WHERE {name} IS NOT NULL"
        )
    _replace_finite(before=STATISTICS, after=())
    for name in STATISTICS:
        op.drop_column("iterations", name)


def _rows_to_columns() -> None:
    for name in STATISTICS:
        op.add_column("iterations", sa.Column(name, DOUBLE))
        op.execute(
            f"UPDATE iterations SET {name} = (SELECT value FROM iteration_statistics AS s "  # noqa: S608
            "WHERE s.trial_id = iterations.trial_id AND s.iteration = iterations.iteration "
            f"AND s.name = '{name}')"
        )
    _replace_finite(before=(), after=STATISTICS)


def _replace_finite(*, before: tuple[str, ...], after: tuple[str, ...]) -> None:
    """Replace the CHECK that every float of an iteration is finite."""
    old, new = (
        " + ".join(f"coalesce({name}, 0)" for name in ("episode_return_mean", *names))
        for names in (before, after)
    )
    if op.get_bind().dialect.name == "sqlite":
        _edit_text("iterations", f"({old} + ", f"({new} + ")
        return
    op.drop_constraint(op.f("ck_iterations_finite"), "iterations", type_="check")
    op.create_check_constraint(
        op.f("ck_iterations_finite"),
        "iterations",
        f"{new} + coalesce(steps_per_second, 0) + coalesce(seconds, 0) "
        f"BETWEEN -{LARGEST} AND {LARGEST}",
    )


def _edit_text(table: str, old: str, new: str) -> None:
    """Change the text of a table of SQLite.

    SQLite has no statement for a constraint: its documentation allows to edit the text of a
    table where no data changes.
    """
    connection = op.get_bind()
    connection.exec_driver_sql("PRAGMA writable_schema = ON")
    connection.execute(
        sa.text("UPDATE sqlite_master SET sql = replace(sql, :old, :new) WHERE name = :table"),
        {"old": old, "new": new, "table": table},
    )
    connection.exec_driver_sql("PRAGMA writable_schema = RESET")


def _small() -> str:
    return "INTEGER" if op.get_bind().dialect.name == "sqlite" else "SMALLINT"


def _rename_column(table: str, old: str, new: str) -> None:
    op.execute(f"ALTER TABLE {table} RENAME COLUMN {old} TO {new}")
    _rename_constraints(table, f"ck_{table}_{old}", f"ck_{table}_{new}")


def _rename_table(old: str, new: str) -> None:
    op.rename_table(old, new)
    for kind in ("pk", "fk", "ck"):
        _rename_constraints(new, f"{kind}_{old}", f"{kind}_{new}")


def _rename_constraints(table: str, old: str, new: str) -> None:
    """Rename the constraints of a table whose names begin with `old`."""
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        _edit_text(table, old, new)
        return
    found = connection.execute(
        sa.text(
            "SELECT conname FROM pg_constraint WHERE conrelid = to_regclass(:table) "
            "AND starts_with(conname, :old)"
        ),
        {"table": table, "old": old},
    )
    for (name,) in found.all():
        renamed = new + name.removeprefix(old)
        op.execute(f"ALTER TABLE {table} RENAME CONSTRAINT {name} TO {renamed}")
