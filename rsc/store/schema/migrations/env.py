"""Alembic's entry: runs the revisions on the connection that `rsc.store.schema.engine` opened."""

from __future__ import annotations

from alembic import context

from rsc.store.schema.tables import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    render_as_batch=connection.dialect.name == "sqlite",
    transactional_ddl=True,
)
context.run_migrations()
