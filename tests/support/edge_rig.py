"""The edge without sockets: Redis in memory, a library of dictionaries, requests as calls."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import redis.asyncio

from api.edge.app import Edge
from api.edge.library import LibraryAway, LibraryEntry, MediaFile
from api.edge.state import EdgeState
from infra.redis import RedisAway, air_key
from infra.storage.folder import FolderStorage
from infra.storage.port import Storage
from transcode.hls.head import AirHead, encode_head
from transcode.hls.replay import Replay


class FakeRedis:
    """The four calls the edge makes. ``away`` makes all of them fail."""

    def __init__(self) -> None:
        self.data: dict[str, bytes] = {}
        self.gets: Counter[str] = Counter()
        self.subscribers: list[FakePubSub] = []
        self.away = False

    async def get(self, key: str) -> bytes | None:
        await asyncio.sleep(0)
        self.check()
        self.gets[key] += 1
        return self.data.get(key)

    def pubsub(self) -> FakePubSub:
        return FakePubSub(self)

    def check(self) -> None:
        if self.away:
            raise RedisAway[0]("away")

    def publish(self, head: AirHead) -> None:
        """What the live job does on every change."""
        self.data[air_key(head.token)] = encode_head(head)
        for subscriber in self.subscribers:
            subscriber.deliver(air_key(head.token), encode_head(head))

    def say(self, channel: str, data: bytes) -> None:
        """Any other message."""
        for subscriber in self.subscribers:
            subscriber.deliver(channel, data)

    def cut(self) -> None:
        """Redis goes away, and with it every connection."""
        self.away = True
        for subscriber in self.subscribers:
            subscriber.queue.put_nowait(None)
        self.subscribers = []


class FakePubSub:
    """A subscription connection."""

    def __init__(self, server: FakeRedis) -> None:
        self.server = server
        self.channels: set[str] = set()
        self.queue: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()

    async def subscribe(self, *channels: str) -> None:
        self.server.check()
        if self not in self.server.subscribers:
            self.server.subscribers.append(self)
        for channel in channels:
            self.channels.add(channel)
            self.queue.put_nowait({"type": "subscribe", "channel": channel.encode(), "data": 1})

    async def unsubscribe(self, *channels: str) -> None:
        self.channels -= set(channels)

    def deliver(self, channel: str, data: bytes) -> None:
        if channel in self.channels:
            self.queue.put_nowait({"type": "message", "channel": channel.encode(), "data": data})

    async def listen(self) -> AsyncIterator[dict[str, Any]]:
        while (message := await self.queue.get()) is not None:
            yield message
        raise RedisAway[0]("connection lost")

    async def aclose(self) -> None:
        if self in self.server.subscribers:
            self.server.subscribers.remove(self)


@dataclass
class FakeLibrary:
    """The catalogue."""

    entries: dict[str, LibraryEntry] = field(default_factory=dict)
    replays: dict[tuple[str, str], Replay] = field(default_factory=dict)
    files: dict[tuple[str, str, str], MediaFile] = field(default_factory=dict)
    off: set[str] = field(default_factory=set)
    """Tokens that are taken down."""
    asked: Counter[str] = field(default_factory=Counter)
    away: bool = False

    def lookup(self, token: str) -> LibraryEntry | None:
        self._asked("lookup")
        return self.entries.get(token)

    def replay(self, token: str, rendition: str) -> Replay | None:
        self._asked("replay")
        return self.replays.get((token, rendition))

    def media(self, token: str, rendition: str, name: str) -> MediaFile | None:
        self._asked("media")
        return self.files.get((token, rendition, name))

    def off_air(self, tokens: tuple[str, ...]) -> set[str]:
        self._asked("off_air")
        return self.off & set(tokens)

    def _asked(self, what: str) -> None:
        self.asked[what] += 1
        if self.away:
            raise LibraryAway("no database")


class CountingMetrics:
    """What the edge reported."""

    def __init__(self) -> None:
        self.counted: Counter[tuple[str, int]] = Counter()
        self.bytes: Counter[str] = Counter()
        self.now_held = 0

    def requests(self, kind: str, status: int, count: int, size: int) -> None:
        self.counted[(kind, status)] += count
        self.bytes[kind] += size

    def held(self, count: int) -> None:
        self.now_held = count


@dataclass
class Answer:
    """A response. ``path``: the file the server was told to send."""

    status: int
    headers: dict[str, str]
    body: bytes
    path: str | None = None

    @property
    def text(self) -> str:
        return self.body.decode()


class Rig:
    """An edge with everything around it in hand."""

    def __init__(
        self,
        folder: Path,
        storage: Storage | None = None,
        clock: Callable[[], float] | None = None,
        client: redis.asyncio.Redis | None = None,
    ) -> None:
        """``clock``: real time instead of ``now``; ``client``: a Redis instead of ``redis``."""
        self.now = 1000.0
        self.redis = FakeRedis()
        self.library = FakeLibrary()
        self.metrics = CountingMetrics()
        self.storage = storage or FolderStorage(folder)
        self.passed: list[str] = []
        self.state = EdgeState(
            client or cast(redis.asyncio.Redis, self.redis),
            self.library,
            metrics=self.metrics,
            clock=clock or (lambda: self.now),
        )
        self.edge = Edge(self._behind, self.state, self.storage)

    async def _behind(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        self.passed.append(scope.get("path", scope["type"]))

    async def get(
        self,
        target: str,
        *,
        method: str = "GET",
        headers: dict[str, str] | None = None,
        pathsend: bool = False,
        raw: str | None = None,
    ) -> Answer:
        """One request. ``raw``: the path as it came over the wire, when it differs."""
        path, _, query = target.partition("?")
        scope: dict[str, Any] = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": (raw or path).encode(),
            "query_string": query.encode(),
            "headers": [(k.lower().encode(), v.encode()) for k, v in (headers or {}).items()],
            "extensions": {"http.response.pathsend": {}} if pathsend else {},
        }
        messages: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            await asyncio.Event().wait()
            raise AssertionError

        async def send(message: Any) -> None:
            messages.append(message)

        await self.edge(scope, receive, send)
        start = messages[0]
        listed = {key.decode(): value.decode() for key, value in start["headers"]}
        assert len(listed) == len(start["headers"]), "a header twice"
        body = b"".join(message.get("body", b"") for message in messages[1:])
        path_sent = next((m["path"] for m in messages if m["type"].endswith("pathsend")), None)
        return Answer(start["status"], listed, body, path_sent)

    def held(self, target: str) -> asyncio.Task[Answer]:
        """A request that is expected to wait."""
        return asyncio.create_task(self.get(target))

    async def pause(self, turns: int = 20) -> None:
        """Let everything run that can."""
        for _ in range(turns):
            await asyncio.sleep(0)

    async def later(self, seconds: float) -> None:
        """Time goes by, and the sweep comes round."""
        self.now += seconds
        self.state.sweep()
        await self.pause()
        await asyncio.sleep(0.01)

    async def close(self) -> None:
        await self.state.close()
