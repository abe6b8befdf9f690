"""For developers: write the migration from what the database has to what the models say.

    python -m catalog.revise 0002 "What changes"

Starts a throw-away PostgreSQL, brings it up to date, compares, and writes the new file.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from sqlalchemy.pool import NullPool

from catalog import migrate
from infra.embedded import postgres
from infra.embedded.running import running
from infra.settings import Settings


def main(number: str, message: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data=Path(folder), database_url=None)
        with running(postgres.prepare(settings), lambda: postgres.is_ready(settings)):
            postgres.ensure_database(settings)
            migrate.upgrade(settings.resolved_database_url)
            engine = sa.create_engine(settings.resolved_database_url, poolclass=NullPool)
            with engine.connect() as connection:
                command.revision(
                    migrate.config(connection), message, autogenerate=True, rev_id=number
                )
            engine.dispose()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
