"""The present, out of Redis: heads of the live edge, and the news all edges hear.

A head is fetched once, and then every change is published whole. Redis may be away at any time:
nothing here raises because of it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any, Final, Protocol

import msgspec
import redis.asyncio
import structlog

from api.edge.library import SightNews
from infra.redis import EDGE_CHANNEL, RedisError, air_key, off_air_key
from transcode.hls.head import AirHead, HeadError, decode_head

log = structlog.get_logger(__name__)

RECONNECT_SECONDS: Final = (0.1, 0.25, 0.5, 1.0, 2.0)
_AWAY: Final = (RedisError, OSError, TimeoutError)


class Hears(Protocol):
    """Who is told what comes in."""

    def heard_head(self, token: str, head: AirHead) -> None:
        """A head was published."""

    def hear(self, news: SightNews) -> None:
        """Something was taken down or put back."""

    def subscribed(self, token: str | None) -> None:
        """From now on news of the token come in (None: those for all edges). What was published
        before, or while Redis was away, is to be fetched."""


class Present:
    """One process's connection to it. ``tokens``: those whose heads are wanted, as they change."""

    def __init__(
        self, client: redis.asyncio.Redis | None, tokens: Mapping[str, object], hears: Hears
    ) -> None:
        self._client = client
        self._tokens = tokens
        self._hears = hears
        self._pubsub: Any = None
        self.connected = False

    async def fetch(self, token: str) -> tuple[AirHead | None, bool]:
        """The head, and whether it was taken down, as far as Redis knows."""
        head = await self.fetch_head(token)
        if head is None or self._client is None:
            return None, False  # the catalogue is asked, and knows both
        try:
            return head, await self._client.get(off_air_key(token)) is not None
        except _AWAY as error:
            log.debug("edge could not read a take-down", why=str(error))
            return head, False

    async def fetch_head(self, token: str) -> AirHead | None:
        """The newest head; None when there is none, or Redis is away."""
        if self._client is None:
            return None
        try:
            data = await self._client.get(air_key(token))
        except _AWAY as error:
            log.debug("edge could not read a head", why=str(error))
            return None
        return _read_head(data, token) if data else None

    async def listen_forever(self) -> None:
        """Keep one subscription connection; after every loss, say what is to be fetched."""
        if self._client is None:
            return
        failures = 0
        while True:
            pubsub = self._client.pubsub()
            try:
                self._pubsub = pubsub
                # All edges' own channel, so that there is a connection before the first viewer.
                await pubsub.subscribe(EDGE_CHANNEL, *(air_key(token) for token in self._tokens))
                failures = 0
                async for message in pubsub.listen():
                    self.connected = True
                    self._on_message(message)
            except _AWAY as error:
                log.warning("edge lost Redis", why=str(error))
            finally:
                self.connected = False
                self._pubsub = None
                with contextlib.suppress(*_AWAY):
                    await pubsub.aclose()  # type: ignore[no-untyped-call]
            await asyncio.sleep(RECONNECT_SECONDS[min(failures, len(RECONNECT_SECONDS) - 1)])
            failures += 1

    def _on_message(self, message: dict[str, Any]) -> None:
        channel = message["channel"]
        channel = channel.decode() if isinstance(channel, bytes) else channel
        if channel == EDGE_CHANNEL:
            self._on_edge_message(message)
            return
        token = channel.rpartition(":")[2]
        if token not in self._tokens:
            return
        if message["type"] == "message":
            head = _read_head(message["data"], token)
            if head is not None:
                self._hears.heard_head(token, head)
        elif message["type"] == "subscribe":
            self._hears.subscribed(token)

    def _on_edge_message(self, message: dict[str, Any]) -> None:
        if message["type"] == "message":
            try:
                self._hears.hear(msgspec.json.decode(message["data"], type=SightNews))
            except msgspec.MsgspecError as error:
                log.error("edge got bad news", why=str(error))
        elif message["type"] == "subscribe":
            self._hears.subscribed(None)

    async def subscribe(self, token: str) -> None:
        """Hear of this token too."""
        if self._pubsub is not None:
            with contextlib.suppress(*_AWAY):
                await self._pubsub.subscribe(air_key(token))

    async def unsubscribe(self, token: str) -> None:
        """Hear of it no more, unless it is wanted again by now."""
        if self._pubsub is not None and token not in self._tokens:
            with contextlib.suppress(*_AWAY):
                await self._pubsub.unsubscribe(air_key(token))


def _read_head(data: bytes | str, token: str) -> AirHead | None:
    try:
        head = decode_head(data)
    except HeadError as error:
        log.error("edge got a bad head", token_end=token[-4:], why=str(error))
        return None
    return head if head.token == token else None
