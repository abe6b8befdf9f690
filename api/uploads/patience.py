"""A request's body with an end to our patience: cut when it is silent and another wants its place.

A phone that changed its network leaves a connection behind that looks alive for many minutes; its
upload must not stay locked by it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from starlette.types import Message, Receive

SILENT_SECONDS: Final = 60.0
GIVE_WAY_SECONDS: Final = 3.0
"""Silent for so long, a connection gives way to one that asks to go on."""
_LOOK_SECONDS: Final = 0.5


class PatientBody:
    """Wraps ``receive``. ``wanted(since)``: whether somebody else has asked since that time
    (s since 1970). Call ``close`` when the request is over."""

    def __init__(self, receive: Receive, wanted: Callable[[float], bool]) -> None:
        self._receive = receive
        self._wanted = wanted
        self._pending: asyncio.Task[Message] | None = None
        self._heard = time.time()

    async def __call__(self) -> Message:
        began = time.monotonic()
        if self._pending is None:
            self._pending = asyncio.ensure_future(_next(self._receive))
        while True:
            done, _ = await asyncio.wait({self._pending}, timeout=_LOOK_SECONDS)
            if done:
                self._pending = None
                self._heard = time.time()
                return done.pop().result()
            silent = time.monotonic() - began
            given_way = silent > GIVE_WAY_SECONDS and self._wanted(self._heard)
            if silent > SILENT_SECONDS or given_way:
                return {"type": "http.disconnect"}

    async def close(self) -> None:
        if self._pending is not None:
            self._pending.cancel()
            await asyncio.wait({self._pending}, timeout=1)
            self._pending = None


async def _next(receive: Receive) -> Message:
    return await receive()
