"""Keeps open logs flushed and synced: one timer for all of them, the waiting done in threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import structlog

from ingest.log import LogFailed, LogShelf, LogWriter

FLUSH_SECONDS: Final = 0.2
"""How long a tag may wait in memory when nobody reads the log."""
SYNC_SECONDS: Final = 0.8
"""From one sync of a log to the next; with a flush before it, a power loss costs <= 1 s."""
CHECKPOINT_SECONDS: Final = 10.0
"""Between two rewrites of the meta file: what a recovery has to scan."""
SYNC_THREADS: Final = 4

_log = structlog.get_logger(__name__)


class _Kept:
    __slots__ = ("checkpoint_at", "failed", "on_failed", "sync_at", "syncing", "writer")

    def __init__(self, writer: LogWriter, on_failed: Callable[[LogFailed], None], now: float):
        self.writer = writer
        self.on_failed = on_failed
        self.sync_at = now
        self.checkpoint_at = now
        self.syncing: asyncio.Future[None] | None = None
        self.failed = False


class LogKeeper:
    """Owns the flush timer and the sync threads of one ingest process."""

    def __init__(self, shelf: LogShelf) -> None:
        self._shelf = shelf
        self._kept: dict[str, _Kept] = {}
        self._threads = ThreadPoolExecutor(SYNC_THREADS, "log-sync")

    def add(self, writer: LogWriter, on_failed: Callable[[LogFailed], None]) -> None:
        """Look after ``writer``; ``on_failed`` must then call `LogWriter.finish`."""
        now = asyncio.get_running_loop().time()
        self._kept[writer.take_id] = _Kept(writer, on_failed, now)

    async def run(self) -> None:
        """Flush and start syncs until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            now = loop.time()
            for kept in tuple(self._kept.values()):
                if kept.writer.closed:
                    continue
                try:
                    kept.writer.flush()
                except LogFailed as error:
                    kept.on_failed(error)
                    continue
                if now >= kept.sync_at and kept.syncing is None:
                    kept.sync_at = now + SYNC_SECONDS
                    self._start_sync(loop, kept, now)

    def _start_sync(self, loop: asyncio.AbstractEventLoop, kept: _Kept, now: float) -> None:
        checkpoint = now >= kept.checkpoint_at
        if checkpoint:
            kept.checkpoint_at = now + CHECKPOINT_SECONDS
        kept.syncing = loop.run_in_executor(
            self._threads, lambda: kept.writer.sync(checkpoint=checkpoint)
        )
        kept.syncing.add_done_callback(lambda done: self._synced(kept, done))

    def _synced(self, kept: _Kept, done: asyncio.Future[None]) -> None:
        kept.syncing = None
        if done.cancelled():
            return
        error = done.exception()
        if isinstance(error, LogFailed):
            kept.failed = True
            _log.error("log sync failed", take_id=kept.writer.take_id, error=str(error))
            if not kept.writer.closed:
                kept.on_failed(error)
        elif error is not None:
            raise error

    async def release(self, writer: LogWriter) -> None:
        """Sync and close the files of a finished log; it stays readable from disk."""
        kept = self._kept.pop(writer.take_id)
        if kept.syncing is not None:
            await asyncio.wait([kept.syncing])
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._threads, lambda: writer.release(sync=not kept.failed))
        except LogFailed as error:
            _log.error("log sync failed at the end", take_id=writer.take_id, error=str(error))
        self._shelf.open.pop(writer.take_id, None)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
