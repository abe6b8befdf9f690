"""The web process: Granian inside our own event loop, so that we decide how it stops.

Granian's own graceful stop waits for open requests before it tells the application; a held
blocking reload would keep it for seconds. So we hold the loop: on a signal the edge answers what
it holds (503), and then the server has nothing left to wait for.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import resource
import signal
import time
from typing import Final

import uvloop
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server

from api.app import Application, make_application
from infra.instance import split_address
from infra.settings import Settings
from infra.telemetry import configure_logging, get_logger

log = get_logger(__name__)

BACKLOG: Final = 4_096
"""Connections the kernel may hold for us: an audience arrives within seconds of a link."""
CONNECTIONS: Final = 16_384
"""Requests a process works on or holds at once; a blocking reload holds one for half a second."""
HEADER_SECONDS: Final = 10
STOP_SECONDS: Final = 5.0
_OPEN_FILES: Final = 65_536
_RESPAWN_SECONDS: Final = 1.0


def run_web(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; the exit code."""
    _raise_file_limit()
    if settings.web_workers == 1:
        return serve(settings)
    return _serve_many(settings)


def serve(settings: Settings) -> int:
    """One process's worth of serving."""
    return uvloop.run(_serve(settings, make_application(settings)))


async def _serve(settings: Settings, application: Application) -> int:
    host, port = split_address(settings.http)
    server = Server(
        application.asgi,
        address=host,
        port=port,
        interface=Interfaces.ASGI,
        http=HTTPModes.http1,
        websockets=False,
        backlog=BACKLOG,
        backpressure=CONNECTIONS,
        http1_settings=HTTP1Settings(header_read_timeout=HEADER_SECONDS * 1000),
        log_enabled=False,
    )
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    serving = asyncio.create_task(server.serve(), name="granian")
    stopping = asyncio.create_task(stop.wait(), name="stop")
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if serving.done():
        # It ended by itself: the port is taken, or its worker broke.
        error = serving.exception()
        log.error("web could not serve", address=settings.http, why=str(error or "stopped"))
        return 1
    log.info("web stops")
    await application.release_held()
    server.stop()  # type: ignore[no-untyped-call]
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(serving, STOP_SECONDS)
    return 0


def _serve_many(settings: Settings) -> int:
    """Several processes on one port (SO_REUSEPORT); those that die are replaced."""
    spawn = multiprocessing.get_context("spawn")
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    workers = [spawn.Process(target=_worker, args=(settings,)) for _ in range(settings.web_workers)]
    for worker in workers:
        worker.start()
    while not stopping:
        # A sleep that a signal ends; join() would go on waiting.
        time.sleep(_RESPAWN_SECONDS)
        for number, worker in enumerate(workers):
            if not worker.is_alive() and not stopping:
                log.error("web process ended", code=worker.exitcode)
                workers[number] = spawn.Process(target=_worker, args=(settings,))
                workers[number].start()
    for worker in workers:
        worker.terminate()
    for worker in workers:
        worker.join(STOP_SECONDS + 1)
    return 0


def _worker(settings: Settings) -> None:
    configure_logging(settings, "web")
    raise SystemExit(serve(settings))


def _raise_file_limit() -> None:
    """A held request is an open file; the usual soft limit of 1 024 is below one audience."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
