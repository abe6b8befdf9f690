"""`xitai up`: one machine's instance from lock to last line."""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import psutil
from pydantic import SecretStr

from infra import metrics
from infra.embedded import postgres
from infra.embedded import redis as embedded_redis
from infra.embedded.folders import SetupError, run_folder
from infra.instance import (
    Instance,
    InstanceLock,
    InstanceRunning,
    forget_instance,
    http_url,
    ingest_url,
    internal_token,
    load_instance,
    rtmp_url,
    split_address,
    write_instance,
)
from infra.processes.lines import open_logs
from infra.processes.plan import PartSpec
from infra.processes.supervisor import Part, StartFailed, Supervisor
from infra.settings import Settings
from infra.telemetry import get_logger

EXIT_STOPPED: Final = 0
EXIT_FAILED: Final = 1
EXIT_REFUSED: Final = 2
"""A port is taken, or the data folder is."""

DATABASE: Final = "postgres"
REDIS: Final = "redis"
_LAST_STAGE: Final = 9
_CLEARING_SECONDS: Final = 20.0

log = get_logger(__name__)


class PortInUse(Exception):
    """Somebody else listens there; the message is a plain sentence."""


def run_up(
    settings: Settings,
    *,
    make_parts: Callable[[Settings], Sequence[Part]],
    greeting: Callable[[Settings], str | None],
) -> int:
    """Run the instance until SIGINT or SIGTERM; returns the exit code.

    ``make_parts``: the parts besides the embedded servers, for settings whose ports are fixed; it
    may name :data:`DATABASE` and :data:`REDIS` as needs only where they are embedded
    (:func:`embedded_names`). ``greeting``: asked once when all parts answer; what it returns is
    shown to the person at the keyboard. stdout gets exactly one line, `ready URL`.
    """
    lock = InstanceLock(settings.data)
    try:
        # A supervisor that was killed leaves a guardian behind, which is done in a moment.
        lock.acquire(0.0 if load_instance(settings) else _CLEARING_SECONDS)
        settings = fix_ports(settings)
        run_folder(settings)
    except (InstanceRunning, PortInUse, SetupError, OSError, ValueError) as e:
        lock.release()
        sys.stderr.write(f"{e}\n")
        return EXIT_REFUSED
    try:
        return asyncio.run(_supervise(settings, lock, make_parts, greeting))
    except StartFailed as e:
        sys.stderr.write(f"{e}\nLog: {settings.data / 'logs' / 'xitai.log'}\n")
        return EXIT_FAILED
    finally:
        forget_instance(settings)
        lock.release()


async def _supervise(
    settings: Settings,
    lock: InstanceLock,
    make_parts: Callable[[Settings], Sequence[Part]],
    greeting: Callable[[Settings], str | None],
) -> int:
    open_logs(settings)
    os.environ[metrics.FOLDER_VARIABLE] = str(metrics.clear_metrics(settings))
    internal_token(settings)
    started = time.time()
    own = psutil.Process()

    def write_down(pids: dict[str, int]) -> None:
        write_instance(
            settings,
            Instance(
                http_url=http_url(settings),
                rtmp_url=rtmp_url(settings),
                ingest_url=ingest_url(settings),
                pid=own.pid,
                pid_started=own.create_time(),
                pids=pids,
                started=started,
            ),
        )

    def announce() -> None:
        sys.stdout.write(f"ready {http_url(settings)}\n")
        sys.stdout.flush()
        log.info("ready", url=http_url(settings), seconds=round(time.time() - started, 2))
        if words := greeting(settings):
            # Past the log: it may hold a one-time link.
            sys.stderr.write(f"\n{words}\n\n")
            sys.stderr.flush()

    supervisor = Supervisor(
        [*embedded_parts(settings), *make_parts(settings)],
        marker=f"XITAI_UP={secrets.token_hex(8)}",
        lock_fd=lock.fd,
        on_change=write_down,
        on_up=announce,
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, supervisor.stop)
    await supervisor.run()
    log.info("stopped")
    return EXIT_STOPPED


# --- the embedded servers --------------------------------------------------------------------


def embedded_names(settings: Settings) -> tuple[str, ...]:
    """Names of the embedded parts this instance runs: what the others wait for."""
    names = ((DATABASE, settings.embedded_database), (REDIS, settings.embedded_redis))
    return tuple(name for name, embedded in names if embedded)


def embedded_parts(settings: Settings) -> list[Part]:
    def database_ready() -> bool:
        if not postgres.is_ready(settings):
            return False
        postgres.ensure_database(settings)
        return True

    parts = {
        DATABASE: Part(
            PartSpec(DATABASE, stop_stage=_LAST_STAGE, stop_seconds=20.0),
            command=lambda _failures: postgres.prepare(settings),
            is_ready=database_ready,
            own_lines=False,
        ),
        REDIS: Part(
            PartSpec(REDIS, stop_stage=_LAST_STAGE, stall_seconds=30.0),
            command=lambda failures: embedded_redis.prepare(settings, failures),
            is_ready=lambda: embedded_redis.is_ready(settings),
            own_lines=False,
        ),
    }
    return [parts[name] for name in embedded_names(settings)]


# --- ports and environment -------------------------------------------------------------------


def fix_ports(settings: Settings) -> Settings:
    """Choose a number where a port is 0, and make sure that the others are free.

    Fixed for the life of the instance, so that a part that is started anew is where it was.
    """
    fixed: dict[str, str] = {}
    for name, what in (
        ("http", "the web face (--http)"),
        ("rtmp", "encoders (--rtmp)"),
        ("ingest_http", "the internal feed server (XITAI_INGEST_HTTP)"),
    ):
        address: str = getattr(settings, name)
        host, port = split_address(address)
        chosen = _try_port(host, port, what) if port else _free_port(host, what)
        fixed[name] = f"[{host}]:{chosen}" if ":" in host else f"{host}:{chosen}"
    return settings.model_copy(update=fixed)


# Below the range from which Linux takes ports for outgoing connections (32768 on): between our
# choice and the part's listening, and whenever a part restarts, nobody is given it.
_CHOICE = range(20_000, 32_000)
_TRIES = 50


def _free_port(host: str, what: str) -> int:
    """A port that is free now and likely to stay so."""
    for port in random.sample(_CHOICE, _TRIES):
        try:
            return _try_port(host, port, what)
        except PortInUse:
            continue
    raise PortInUse(f"None of {_TRIES} ports tried on {host} is free for {what}. Name one.")


def _try_port(host: str, port: int, what: str) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as e:
            raise PortInUse(
                f"Port {port} on {host}, for {what}, cannot be used: {e.strerror}. "
                "Stop the program that has it, or name another port."
            ) from None
    return port


def child_environment(settings: Settings) -> dict[str, str]:
    """Our environment with the settings written into it, for a part to read them as they are."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("XITAI_")}
    for name in type(settings).model_fields:
        text = _as_text(getattr(settings, name))
        if text is not None:
            environment[f"XITAI_{name.upper()}"] = text
    return environment | {"PYTHONUNBUFFERED": "1"}


def _as_text(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, tuple | list):
        return ",".join(str(item) for item in value)
    return os.fspath(value) if isinstance(value, Path) else str(value)
