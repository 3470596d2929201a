"""Runs revisions on the connection that `bridge.store.migrations` was given."""

from alembic import context

from bridge.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite changes a table by copying it
    transactional_ddl=True,  # true of both, once the driver begins no transactions of its own
)
with context.begin_transaction():
    context.run_migrations()
