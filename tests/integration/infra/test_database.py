"""The database as the parts use it: transactions, callbacks, a server that dies, migrations."""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

import catalog.models
from catalog import migrate
from infra.database import Database, DatabaseAway, after_commit
from infra.embedded import postgres
from infra.embedded.running import running, start
from infra.settings import Settings
from infra.tables import Base

Centre = catalog.models.Centre


def a_centre(name: str = "a") -> Centre:
    return Centre(id=name, name=name, path=f"{name}/")


def count_centres(session: Session) -> int:
    return session.scalar(sa.select(sa.func.count()).select_from(Centre)) or 0


def test_a_transaction_commits_and_its_rows_stay_readable(database: Database) -> None:
    with database.transaction() as session:
        centre = a_centre()
        session.add(centre)
    assert centre.name == "a"
    with database.transaction() as session:
        assert count_centres(session) == 1


def test_an_error_rolls_back_and_runs_no_callback(database: Database) -> None:
    called: list[str] = []
    with pytest.raises(ZeroDivisionError), database.transaction() as session:
        session.add(a_centre())
        after_commit(session, lambda: called.append("x"))
        raise ZeroDivisionError
    assert called == []
    with database.transaction() as session:
        assert count_centres(session) == 0


def test_callbacks_run_once_after_the_commit_in_order(database: Database) -> None:
    seen: list[tuple[str, int]] = []

    def look(name: str) -> Callable[[], None]:
        def callback() -> None:
            with database.transaction() as other:
                seen.append((name, count_centres(other)))

        return callback

    with database.transaction() as session:
        session.add(a_centre())
        after_commit(session, look("first"))
        after_commit(session, look("second"))
        assert seen == []
    assert seen == [("first", 1), ("second", 1)]


def test_each_test_gets_an_empty_database(database: Database) -> None:
    with database.transaction() as session:
        assert count_centres(session) == 0


def test_a_killed_server_is_away_and_then_there_again(bare_settings: Settings) -> None:
    settings = bare_settings
    command = postgres.prepare(settings)
    server = start(command, lambda: postgres.is_ready(settings))
    postgres.ensure_database(settings)
    migrate.upgrade(settings.resolved_database_url)
    database = Database(settings.resolved_database_url)
    try:
        with database.transaction() as session:
            session.add(a_centre("kept"))
        with pytest.raises(DatabaseAway), database.transaction() as session:
            session.add(a_centre("lost"))
            session.flush()
            server.kill()
            server.wait()
            session.add(a_centre("lost too"))
        with pytest.raises(DatabaseAway):
            database.wait_ready(0.2)
        server = start(postgres.prepare(settings), lambda: postgres.is_ready(settings))
        database.wait_ready(5)
        with database.transaction() as session:
            assert session.scalars(sa.select(Centre.id)).all() == ["kept"]
    finally:
        database.close()
        server.send_signal(command.stop_signal)
        server.wait(20)


# --- migrations ------------------------------------------------------------------------------


def dump(settings: Settings, name: str) -> list[str]:
    """The schema as pg_dump tells it, without Alembic's own table."""
    done = subprocess.run(
        [
            *(str(postgres.binaries() / "pg_dump"), "--schema-only", "--no-owner"),
            *("--exclude-table=alembic_version", "-h", str(settings.run_dir)),
            *("-U", "postgres", name),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    return [line for line in done.stdout.splitlines() if not line.startswith(("\\", "--"))]


def tables(lines: Iterable[str]) -> Iterator[str]:
    """What models can say: no functions, triggers and storage, which migrations alone make. A
    column that was added later stands last, so its comma says nothing."""
    in_function = False
    for line in lines:
        in_function |= line.startswith("CREATE FUNCTION")
        aside = not line or line.startswith("CREATE TRIGGER") or " SET STORAGE " in line
        if not (in_function or aside):
            yield line.rstrip(",")
        in_function &= not line.endswith("$$;")


def test_migrations_make_exactly_the_tables_of_the_models(
    postgres_server: Settings, database_url: str
) -> None:
    postgres.ensure_database(postgres_server, "from_models")
    base = database_url.rpartition("?")[2]
    engine = sa.create_engine(f"postgresql+psycopg://xitai@/from_models?{base}")
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    engine.dispose()
    migrated = sa.make_url(database_url).database
    assert migrated is not None
    made = sorted(tables(dump(postgres_server, "from_models")))
    assert sorted(tables(dump(postgres_server, migrated))) == made


def test_several_processes_may_migrate_at_once(postgres_server: Settings) -> None:
    postgres.ensure_database(postgres_server, "many")
    url = f"postgresql+psycopg://xitai@/many?host={postgres_server.run_dir}"
    errors: list[Exception] = []

    def one() -> None:
        try:
            migrate.upgrade(url)
        except sa.exc.SQLAlchemyError as e:
            errors.append(e)

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    migrate.upgrade(url)  # And again: nothing to do.


def test_a_data_folder_with_awkward_characters(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path / "戏 台+%41&b")
    command = postgres.prepare(settings)
    server = start(command, lambda: postgres.is_ready(settings))
    try:
        postgres.ensure_database(settings)
        migrate.upgrade(settings.resolved_database_url)
    finally:
        server.send_signal(command.stop_signal)
        server.wait(20)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")
def test_root_without_user_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = postgres._runs
    monkeypatch.setattr(
        postgres, "_runs", lambda options: "--userns" not in options and runs(options)
    )
    if not runs(("--setuid", "65534:65534")):
        pytest.skip("this checkout lies in a folder that only root may enter")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        settings = Settings(data=Path(folder) / "data")
        command = postgres.prepare(settings)
        assert command.launch_options[0] == "--setuid"
        for _ in range(2):
            with running(postgres.prepare(settings), lambda: postgres.is_ready(settings)):
                postgres.ensure_database(settings)
                migrate.upgrade(settings.resolved_database_url)
