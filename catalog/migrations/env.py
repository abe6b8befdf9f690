"""Alembic's entry: migrates over the connection that catalog.migrate hands in."""

from __future__ import annotations

from alembic import context

import catalog.models  # noqa: F401 - registers the tables
from infra.tables import Base

connection = context.config.attributes.get("connection")
if connection is None:
    raise SystemExit("Run migrations with `python -m catalog.revise` or catalog.migrate.upgrade().")
context.configure(connection=connection, target_metadata=Base.metadata, compare_type=True)
with context.begin_transaction():
    context.run_migrations()
