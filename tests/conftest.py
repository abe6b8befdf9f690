"""Shared fixtures: real PostgreSQL and Redis for the session, a clean database for each test."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import psycopg
import pytest
import redis

from bench.instance import Instance, throwaway
from catalog import migrate
from infra.database import Database
from infra.embedded import postgres
from infra.embedded import redis as embedded_redis
from infra.embedded.running import running
from infra.ffmpeg import ffmpeg_path
from infra.redis import connect
from infra.settings import Settings

# What the person at the keyboard has set must not steer the tests.
for _name in [name for name in os.environ if name.startswith(("XITAI_", "PG"))]:
    del os.environ[_name]

_numbers = count(1)


@pytest.fixture(scope="session")
def session_folder() -> Iterator[Path]:
    """A folder for the session's servers; short, because Unix sockets live in it."""
    folder = Path(tempfile.mkdtemp(prefix="xitai-test-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def server_settings(session_folder: Path) -> Settings:
    """Settings of the session's own PostgreSQL and Redis."""
    return Settings(data=session_folder / "servers")


@pytest.fixture(scope="session")
def postgres_server(server_settings: Settings) -> Iterator[Settings]:
    """A running PostgreSQL with our role, and the database `template` that is up to date."""
    log = (server_settings.data.parent / "postgres.log").open("wb")
    with log:
        # Nothing here outlives the session: no test of the tables needs to wait for the disk.
        command = postgres.prepare(server_settings, {"fsync": "off", "full_page_writes": "off"})
        with running(command, lambda: postgres.is_ready(server_settings), output=log):
            postgres.ensure_database(server_settings, "template")
            migrate.upgrade(_database_url(server_settings, "template"))
            yield server_settings


@pytest.fixture(scope="session")
def redis_server(server_settings: Settings) -> Iterator[str]:
    """URL of a running Redis (database 0)."""
    command = embedded_redis.prepare(server_settings)
    with running(command, lambda: embedded_redis.is_ready(server_settings)):
        yield server_settings.resolved_redis_url


@pytest.fixture
def database_url(postgres_server: Settings) -> Iterator[str]:
    """URL of an empty, up-to-date database of this test's own."""
    name = f"test{next(_numbers)}"
    with _superuser(postgres_server) as connection:
        connection.execute(
            f"CREATE DATABASE {name} OWNER xitai TEMPLATE template STRATEGY wal_log".encode()
        )
    yield _database_url(postgres_server, name)
    with _superuser(postgres_server) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def redis_client(redis_server: str, settings: Settings) -> Iterator[redis.Redis]:
    """A client of the session's Redis, emptied before the test."""
    client = connect(settings)
    client.flushall()
    yield client
    client.close()


@pytest.fixture
def settings(database_url: str, redis_server: str, tmp_path: Path) -> Settings:
    """Settings of an instance: own data folder, own database, the session's Redis."""
    return Settings(
        data=tmp_path / "data",
        http="127.0.0.1:0",
        rtmp="127.0.0.1:0",
        database_url=database_url,
        redis_url=redis_server,
    )


@pytest.fixture
def bare_settings(tmp_path: Path) -> Settings:
    """Settings of an instance of which nothing runs yet, with its own embedded servers."""
    return Settings(data=tmp_path / "data", http="127.0.0.1:0", rtmp="127.0.0.1:0")


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """The test's database, as the parts open it."""
    made = Database(database_url, name="test")
    yield made
    made.close()


@pytest.fixture(scope="session")
def ffmpeg() -> str:
    """Path of FFmpeg."""
    return ffmpeg_path(Settings())


@pytest.fixture(scope="session")
def media_folder(session_folder: Path) -> Path:
    """Where tests/support/media.py keeps what it has made once for the session."""
    folder = session_folder / "media"
    folder.mkdir()
    return folder


@pytest.fixture(scope="session")
def xitai() -> Iterator[Instance]:
    """A whole Xitai as `xitai up` runs it; tests share it and make broadcasts of their own."""
    with throwaway() as instance:
        yield instance


@pytest.fixture
def cleanup() -> Iterator[ExitStack]:
    """Closed at the test's end: `cleanup.enter_context(…)`, `cleanup.callback(…)`."""
    with ExitStack() as stack:
        yield stack


def _superuser(settings: Settings) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(
        host=str(settings.run_dir), user="postgres", dbname="postgres", autocommit=True
    )


def _database_url(settings: Settings, name: str) -> str:
    return f"postgresql+psycopg://xitai@/{name}?host={settings.run_dir}"
