"""One word for one thing: a phase is a split, an execution is an attempt.

Nothing is computed anew: columns, a table and the names of their constraints change.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Rename."""
    for table in ("episodes", "evaluations"):
        _rename_column(table, "phase", "split")
    _rename_table("executions", "attempts")
    op.execute(
        f"ALTER TABLE trials ADD COLUMN checksum_version {_small()} NOT NULL DEFAULT 1 "
        "CONSTRAINT ck_trials_checksum_version CHECK (checksum_version >= 1)"
    )


def downgrade() -> None:
    """Rename back."""
    op.drop_column("trials", "checksum_version")
    for table in ("episodes", "evaluations"):
        _rename_column(table, "split", "phase")
    _rename_table("attempts", "executions")


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
        # SQLite renames columns and tables, but no constraints: their names stand only in the
        # text of the table, which its documentation allows to edit where no data changes.
        connection.exec_driver_sql("PRAGMA writable_schema = ON")
        connection.execute(
            sa.text("UPDATE sqlite_master SET sql = replace(sql, :old, :new) WHERE name = :table"),
            {"old": old, "new": new, "table": table},
        )
        connection.exec_driver_sql("PRAGMA writable_schema = RESET")
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
