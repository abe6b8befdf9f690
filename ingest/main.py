"""The ingest process: encoders in, feed logs kept, feed logs served."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final

import redis.asyncio
import structlog
import uvloop

from infra.database import Database
from infra.health import keep_alive
from infra.instance import internal_token, split_address
from infra.queue import connect_queue
from infra.redis import connect_async
from infra.settings import Settings
from infra.telemetry import configure_logging
from ingest.book import CatalogLedger, Ledger, TakeBook
from ingest.disk import DiskRules, DiskWatch
from ingest.feed_server import FeedServer
from ingest.gate import Gate
from ingest.hub import Hub
from ingest.keeper import LogKeeper
from ingest.log import LogShelf
from ingest.node import node_id
from ingest.recovery import recover
from ingest.retention import Retention
from ingest.rtmp import Limits
from ingest.rtmp_server import RtmpServer

SETTLE_SECONDS: Final = 2.5
"""At the end: how long rows may take to be written. What is late is booked at the next start."""

_log = structlog.get_logger(__name__)


class Ingest:
    """One ingest node, inside a running event loop: `start`, `serve`, `stop`."""

    def __init__(
        self,
        settings: Settings,
        *,
        token: str,
        ledger: Callable[[str, str], Ledger],
        redis_client: redis.asyncio.Redis | None = None,
        limits: Limits | None = None,
        disk_rules: DiskRules | None = None,
    ) -> None:
        """``ledger`` makes the ledger from this node's URL, known once the port is, and its id."""
        self._settings = settings
        self._make_ledger = ledger
        self._redis = redis_client
        self.shelf = LogShelf(settings.feeds_dir)
        self.keeper = LogKeeper(self.shelf)
        self.disk = DiskWatch(settings.feeds_dir, disk_rules or DiskRules.of(settings))
        self.hub = Hub(
            shelf=self.shelf, keeper=self.keeper, disk=self.disk, redis_client=redis_client
        )
        self.node_id = node_id(settings.feeds_dir)
        self.feed_server = FeedServer(self.shelf, token, self.node_id)
        self.rtmp = RtmpServer(self.hub, limits or Limits())
        self.book: TakeBook
        self.rtmp_port = self.http_port = 0
        self.node_url = ""
        self._tasks: list[asyncio.Task[Any]] = []

    async def start(self) -> None:
        """Repair what a crash left, then listen."""
        # First of all, or a feed server that may have any port could be given this one.
        self.rtmp_port = await self.rtmp.bind(*split_address(self._settings.rtmp))
        unbooked = await asyncio.to_thread(recover, self.shelf)
        host, port = split_address(self._settings.ingest_http)
        self.http_port = await self.feed_server.listen(host, port)
        given = self._settings.ingest_url
        derived = f"http://{_advertised(host)}:{self.http_port}"
        self.node_url = given.rstrip("/") if given else derived
        ledger = self._make_ledger(self.node_url, self.node_id)
        self.book = TakeBook(ledger, self.shelf, self.hub.take_refused, self.hub.take_numbered)
        self.hub.book = self.book
        for meta in unbooked:
            self.book.closed(meta)
        self.rtmp.gate = Gate(self.book)
        retention = Retention(self.shelf, self.book, self._settings.keep_shipped_logs_hours)
        for work in (self.keeper.run, self.book.run, retention.run, *self.hub.tasks()):
            self._spawn(work)
        if self._redis is not None:
            client = self._redis
            self._spawn(lambda: keep_alive(client, "ingest"))
        await self.rtmp.open()
        _log.info(
            "ingest ready", rtmp_port=self.rtmp_port, node_url=self.node_url, node_id=self.node_id
        )

    def _spawn(self, work: Callable[[], Awaitable[Any]]) -> None:
        self._tasks.append(asyncio.ensure_future(work()))

    async def serve(self, until: asyncio.Event) -> None:
        """Until told to stop. Raises what a task of ours died of: the supervisor restarts us."""
        stop = asyncio.create_task(until.wait())
        done, _ = await asyncio.wait([stop, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        for task in done - {stop}:
            task.result()

    async def stop(self) -> None:
        """Send encoders away, close takes, write their rows. Under 5 s."""
        self.rtmp.stop_listening()
        self.hub.shut()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_SECONDS):
                await self.book.settled()
        await self.rtmp.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.feed_server.close()
        self.book.close()
        self.keeper.close()


def _advertised(host: str) -> str:
    """The name by which workers reach an address we listen on, if nobody told us."""
    if host in ("0.0.0.0", "::", ""):
        return socket.getfqdn()
    return f"[{host}]" if ":" in host else host


async def _run(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    database = Database(settings.resolved_database_url, name="ingest")
    client = connect_async(settings)
    # A take that opens promises a live job: the worker is to hear of it at once.
    connect_queue(settings)
    ingest = Ingest(
        settings,
        token=internal_token(settings),
        ledger=lambda node_url, node_id: CatalogLedger(database, node_url, node_id),
        redis_client=client,
    )
    try:
        await ingest.start()
        try:
            await ingest.serve(stop)
        finally:
            await ingest.stop()
    finally:
        with contextlib.suppress(OSError, redis.RedisError):
            await client.aclose()
        database.close()


def run_ingest(settings: Settings) -> None:
    """The `xitai ingest` process: returns after SIGTERM or SIGINT."""
    configure_logging(settings, "ingest")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    # The usual 1024 is less than our own bounds on connections, readers and logs together.
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(settings))
