"""Who may publish: asks the book, slows down guessers, and never keeps the owner waiting for it."""

from __future__ import annotations

import asyncio
import random
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from infra.metrics import publishes
from ingest.book import Grant, LedgerAway, Refusal, TakeBook

APP: Final = "live"
KEY_CHARS: Final = range(16, 65)
DELAY_SECONDS: Final = (0.5, 1.5)
"""A wrong key is told so after a random time in between: guessing is slow, timing says nothing."""
LOOKUPS_AT_ONCE: Final = 4
ADDRESSES_MAX: Final = 4_096
WRONG_MAX: Final = 20
"""Wrong keys of one address in `WRONG_SECONDS`; from then on its keys are looked up in turn."""
WRONG_SECONDS: Final = 60.0
TURN_SECONDS: Final = 0.05
TURNS_WAIT_SECONDS: Final = 4.0
"""The longest queue for a turn. Keys that were good before don't queue: a guesser behind the
same router as the encoder can't keep it out."""


@dataclass(frozen=True, slots=True)
class Refused:
    """What to tell the encoder, and after how many seconds."""

    code: str
    description: str
    delay: float = 0.0


@dataclass(slots=True)
class _Address:
    wrong: int
    since: float
    next_turn: float = 0.0


class Gate:
    """The check behind every publish."""

    def __init__(self, book: TakeBook) -> None:
        self._book = book
        self._lookups = asyncio.Semaphore(LOOKUPS_AT_ONCE)
        self._addresses: OrderedDict[str, _Address] = OrderedDict()

    def knows(self, key: str) -> bool:
        """Whether somebody published under this key before."""
        return self._book.known(key)

    async def check(self, address: str, app: str, key: str) -> Grant | Refused:
        """Leave or a refusal for one publish from ``address``."""
        if app != APP:
            return Refused("NetStream.Publish.BadName", f"Publish to the application '{APP}'.")
        if not self.knows(key) and not await self._turn(address):
            publishes.labels(outcome="busy").inc()
            return Refused("NetStream.Publish.Denied", "Too many wrong stream keys. Try again.")
        verdict: Grant | Refusal | None = None
        if len(key) in KEY_CHARS:
            try:
                async with self._lookups:
                    verdict = await self._book.admit(key)
            except LedgerAway:
                publishes.labels(outcome="busy").inc()
                return Refused("NetStream.Publish.Denied", "The server is starting. Try again.", 1)
        if isinstance(verdict, Grant):
            return verdict
        publishes.labels(outcome="bad_key").inc()
        delay = random.uniform(*DELAY_SECONDS)
        if isinstance(verdict, Refusal):
            return Refused("NetStream.Publish.Denied", verdict.description, delay)
        self._count_wrong(address)
        return Refused("NetStream.Publish.BadName", "This stream key is not known.", delay)

    def _count_wrong(self, address: str) -> None:
        now = asyncio.get_running_loop().time()
        entry = self._addresses.get(address)
        if entry is None or now - entry.since > WRONG_SECONDS:
            entry = self._addresses[address] = _Address(0, now)
        entry.wrong += 1
        self._addresses.move_to_end(address)
        if len(self._addresses) > ADDRESSES_MAX:
            self._addresses.popitem(last=False)

    async def _turn(self, address: str) -> bool:
        """Wait for this address's turn; False when its queue is too long."""
        entry = self._addresses.get(address)
        if entry is None or entry.wrong < WRONG_MAX:
            return True
        now = asyncio.get_running_loop().time()
        if now - entry.since > WRONG_SECONDS:
            return True
        turn = max(now, entry.next_turn)
        if turn - now > TURNS_WAIT_SECONDS:
            return False
        entry.next_turn = turn + TURN_SECONDS
        await asyncio.sleep(turn - now)
        return True
