"""Alembic's entry: `kinema.serve.jobs.database` hands over a connection whose transaction is open and which nobody else may migrate."""

from alembic import context

from kinema.serve.jobs.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
