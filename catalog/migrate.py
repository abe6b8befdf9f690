"""Brings the database's tables up to date; safe to call from several processes at once."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.pool import NullPool

from infra.settings import Settings

MIGRATIONS: Final = Path(__file__).with_name("migrations")

_LOCK: Final = 0x7869_7461_69  # "xitai": any number nobody else locks.


def config(connection: sa.Connection | None = None) -> Config:
    """Alembic's configuration: there is no ini file, all of it is here."""
    made = Config()
    # ConfigParser reads % as its own.
    made.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    made.set_main_option("path_separator", "os")
    if connection is not None:
        made.attributes["connection"] = connection
    return made


def upgrade(database_url: str, revision: str = "head") -> None:
    """Run what migrations are missing, all or none of them. Blocks until others are through."""
    engine = sa.create_engine(database_url, poolclass=NullPool, connect_args={"connect_timeout": 3})
    try:
        with engine.begin() as connection:
            # Gone with the transaction, also when we are killed.
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            command.upgrade(config(connection), revision)
    finally:
        engine.dispose()


if __name__ == "__main__":
    upgrade(Settings().resolved_database_url)
