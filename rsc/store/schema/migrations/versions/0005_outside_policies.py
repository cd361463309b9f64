"""Baselines from outside have codes of their own among the policies."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_TABLES = ("episodes", "evaluations")
_LAST = "policy = 'flat'"
_OUTSIDE = "".join(f" OR policy = 'outside_{number}'" for number in range(1, 9))
_BUILT_IN = ("agent", "buy_and_hold", "sma_crossover", "random", "flat")


def upgrade() -> None:
    """Let the CHECK of both tables know them."""
    _change(_LAST, _LAST + _OUTSIDE, _OUTSIDE)


def downgrade() -> None:
    """Forget them; rows that have one stay, and the CHECK then refuses to be made."""
    _change(_LAST + _OUTSIDE, _LAST, "")


def _change(old: str, new: str, outside: str) -> None:
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        # A CHECK stands only in the text of its table, which SQLite's documentation allows to
        # edit where every row still fits; rebuilding the table would copy all episodes.
        connection.exec_driver_sql("PRAGMA writable_schema = ON")
        for table in _TABLES:
            connection.exec_driver_sql(
                "UPDATE sqlite_master SET sql = replace(sql, ?, ?) WHERE type = 'table' "
                "AND name = ?",
                (old, new, table),
            )
        connection.exec_driver_sql("PRAGMA writable_schema = RESET")
        return
    known = " OR ".join(f"policy = '{name}'" for name in _BUILT_IN)
    for table in _TABLES:
        op.drop_constraint(op.f(f"ck_{table}_policy"), table, type_="check")
        op.create_check_constraint(op.f(f"ck_{table}_policy"), table, known + outside)
