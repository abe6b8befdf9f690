"""Beacons written together: many viewers' batches in one transaction, each answered after it.

An audience of two thousand sends two hundred batches a second; a commit for each would cost more
than the broadcast. They wait a twentieth of a second for each other, and no answer leaves before
its events are kept.
"""

from __future__ import annotations

import asyncio
from typing import Final

from anyio import to_thread

from api.sentences import Problem
from catalog.plays import Batch, Taken, keep
from infra.database import Database, DatabaseAway
from infra.telemetry import get_logger

log = get_logger(__name__)

GATHER_SECONDS: Final = 0.05
ROWS_AT_ONCE: Final = 2_000
WAITING_MAX: Final = 20_000
"""Events that wait; beyond that players are told to come again, and do."""

_Waiting = tuple[Batch, asyncio.Future[Taken]]


class BeaconWriter:
    """One a process. Works while there is something to write."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[_Waiting] = []
        self._rows = 0
        self._task: asyncio.Task[None] | None = None

    async def take(self, batch: Batch) -> Taken:
        """Keep a batch. Raises Problem when too much waits, and what the database raises."""
        if not batch.rows:
            return Taken(0, 0, batch.refused)
        if self._rows + len(batch.rows) > WAITING_MAX:
            raise Problem("busy", headers={"retry-after": "5"})
        future: asyncio.Future[Taken] = asyncio.get_running_loop().create_future()
        self._waiting.append((batch, future))
        self._rows += len(batch.rows)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._write_all(), name="beacons")
        return await future

    async def _write_all(self) -> None:
        while self._waiting:
            await asyncio.sleep(GATHER_SECONDS)
            together = self._next()
            try:
                taken = await to_thread.run_sync(self._keep, [batch for batch, _ in together])
            except DatabaseAway as error:
                _fail(together, error)
                continue
            except Exception as error:
                # The outermost shell of this task: whatever went wrong, nobody is left waiting,
                # and those who came since are still written.
                log.exception("beacons not kept", batches=len(together))
                _fail(together, error)
                continue
            for (_, future), told in zip(together, taken, strict=True):
                if not future.done():
                    future.set_result(told)

    def _next(self) -> list[_Waiting]:
        count = rows = 0
        for batch, _ in self._waiting:
            if count and rows + len(batch.rows) > ROWS_AT_ONCE:
                break
            count += 1
            rows += len(batch.rows)
        together, self._waiting = self._waiting[:count], self._waiting[count:]
        self._rows -= rows
        return together

    def _keep(self, batches: list[Batch]) -> list[Taken]:
        with self._database.transaction() as session:
            return keep(session, batches)


def _fail(together: list[_Waiting], error: Exception) -> None:
    for _, future in together:
        if not future.done():
            future.set_exception(error)
