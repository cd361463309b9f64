"""What the nodes of an execution were: their types by worker group.

Nobody knows it of executions that are there already: they get none.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

JSON = sa.Text().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    """Add the column; the default fills the rows that are there."""
    op.add_column(
        "executions", sa.Column("node_types", JSON, nullable=False, server_default="{}")
    )


def downgrade() -> None:
    """Remove the column, and what it holds."""
    op.drop_column("executions", "node_types")
