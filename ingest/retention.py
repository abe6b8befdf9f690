"""Retention on an ingest node: logs that viewers have had and storage has make room for new ones.

What is not shipped is never deleted, whatever its age: it is the only copy.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

import structlog

from ingest.book import LedgerAway, TakeBook
from ingest.log import LogShelf, TakeFiles, read_meta

SWEEP_SECONDS: Final = 3_600.0
RETRY_SECONDS: Final = 60.0
"""When the catalogue could not be asked."""
TAKES_AT_ONCE: Final = 500
"""How many takes one question to the catalogue names."""

_log = structlog.get_logger(__name__)


class Retention:
    """Sweeps the node's shelf at the start and every hour."""

    def __init__(self, shelf: LogShelf, book: TakeBook, keep_hours: int) -> None:
        self._shelf = shelf
        self._book = book
        self._keep_us = keep_hours * 3_600_000_000

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            try:
                await self.sweep(time.time_ns() // 1000)
            except LedgerAway as error:
                _log.info("feed logs not swept", why=str(error))
                await asyncio.sleep(RETRY_SECONDS)
            else:
                await asyncio.sleep(SWEEP_SECONDS)

    async def sweep(self, now_us: int) -> list[str]:
        """Delete the logs that may go; their takes. Raises `LedgerAway`."""
        takes = await asyncio.to_thread(lambda: list(self._shelf.takes()))
        closed = [take for take in takes if take not in self._shelf.open]
        gone: list[str] = []
        for start in range(0, len(closed), TAKES_AT_ONCE):
            batch = closed[start : start + TAKES_AT_ONCE]
            shipped = await self._book.shipped(batch, now_us - self._keep_us)
            gone += await asyncio.to_thread(self._remove, shipped)
        return gone

    def _remove(self, shipped: dict[str, int]) -> list[str]:
        """``shipped``: what storage holds of each take, in bytes."""
        gone = []
        for take_id, size in shipped.items():
            files = TakeFiles(self._shelf.folder, take_id)
            meta = read_meta(files.meta)
            try:
                here = files.flv.stat().st_size
                if meta is None or meta.state != "closed" or here != size:
                    _log.warning(
                        "shipped log kept: it differs", take_id=take_id, here=here, shipped=size
                    )
                    continue
                files.remove()
            except OSError as error:
                _log.warning("shipped log not deleted", take_id=take_id, error=error.strerror)
                continue
            _log.info("shipped log deleted", take_id=take_id, size_bytes=size)
            gone.append(take_id)
        return gone
