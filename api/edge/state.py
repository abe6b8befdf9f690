"""What the edge knows of each broadcast: streams found, kept up to date, and forgotten.

Redis gives the present (api.edge.present). When it is away, or has no head, a ``Library`` answers
from the catalogue. A head leads to new playlist bytes at most once per kind, however many viewers
there are.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, Protocol, TypeVar

import redis.asyncio
import structlog

from api.edge import heads
from api.edge.http import Ready, Reply, Send
from api.edge.library import Library, LibraryAway, LibraryEntry, SightNews
from api.edge.present import Present
from api.edge.replays import FINAL_SECONDS, GROWING_SECONDS, Replays, render
from api.edge.stream import Stream
from api.edge.waiting import HOLD_TARGETS, Overloaded, Sent, Waiting
from transcode.hls.head import AirHead

log = structlog.get_logger(__name__)
T = TypeVar("T")

SWEEP_SECONDS: Final = 0.25
"""One timer for all deadlines."""
IDLE_SECONDS: Final = 120
"""Without a request for so long, a broadcast is forgotten."""
MAX_STREAMS: Final = 5_000
MISSING_SECONDS: Final = 2.0
"""How long a token that leads nowhere is remembered."""
MAX_MISSING: Final = 10_000
STALE_SECONDS: Final = 2.0
"""How often a stream without fresh heads is looked up in the catalogue."""
OFF_AIR_SECONDS: Final = 2.0
"""How often the catalogue is asked what was taken down, should the news of it be lost."""

LIBRARY_THREADS: Final = 4
MAX_LOOKUPS: Final = 256
"""Catalogue look-ups under way or queued; beyond that, 503."""


class EdgeMetrics(Protocol):
    """Where counts go, a few times a second."""

    def requests(self, kind: str, status: int, count: int, size: int) -> None:
        """``count`` answers of that kind and status, ``size`` bytes in all."""

    def held(self, count: int) -> None:
        """Requests being held now."""


class NoMetrics:
    """For tests and benches."""

    def requests(self, kind: str, status: int, count: int, size: int) -> None:
        """Not counted."""

    def held(self, count: int) -> None:
        """Not counted."""


class EdgeState:
    """All streams of one process. Made outside the loop, at work from the first request on."""

    def __init__(
        self,
        client: redis.asyncio.Redis | None,
        library: Library,
        *,
        metrics: EdgeMetrics | None = None,
        on_sight: Callable[[], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``on_sight``: called when something was taken down or put back anywhere."""
        self.client = client
        self.library = library
        self._metrics = metrics or NoMetrics()
        self._on_sight = on_sight
        self._clock = clock
        self._sight_asked = clock()
        self.streams: dict[str, Stream] = {}
        self.ready: dict[bytes, Ready] = {}
        """Answers by path, of streams on the air; each change of a stream takes its own away."""
        self._loading: dict[str, asyncio.Task[Stream | None]] = {}
        self._missing: OrderedDict[str, float] = OrderedDict()
        self._replays = Replays(clock)
        self._flights: dict[Any, asyncio.Future[Any]] = {}
        self._threads = ThreadPoolExecutor(LIBRARY_THREADS, "edge-library")
        self._lookups = 0
        self._waiting = Waiting()
        self._counts: dict[tuple[str, int], list[int]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._background: set[asyncio.Task[Any]] = set()
        self._present = Present(client, self.streams, self)

    # --- life --------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin the two tasks of the process (idempotent; needs the running loop)."""
        if not self._tasks:
            self._tasks.append(asyncio.create_task(self._sweep_forever(), name="edge-sweep"))
            if self.client is not None:
                listening = self._present.listen_forever()
                self._tasks.append(asyncio.create_task(listening, name="edge-redis"))

    async def close(self) -> None:
        """Answer what is held and stop."""
        await self.release_held()
        tasks = [*self._tasks, *self._background]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def release_held(self) -> None:
        """Answer every held request with 503 and hold none from now on."""
        self._waiting.closing = True
        for stream in self.streams.values():
            self._waiting.release_all(stream.groups, answer=False)
        await asyncio.sleep(0)
        self._flush_counts()

    @property
    def held(self) -> int:
        """Requests being held."""
        return self._waiting.held

    # --- counting ----------------------------------------------------------------------------

    def count(self, kind: str, status: int, size: int, answers: int = 1) -> None:
        """Answers, ``size`` bytes in all; passed on a few times a second."""
        entry = self._counts.get((kind, status))
        if entry is None:
            self._counts[(kind, status)] = [answers, size]
        else:
            entry[0] += answers
            entry[1] += size

    def _flush_counts(self) -> None:
        counts, self._counts = self._counts, {}
        for (kind, status), (count, size) in counts.items():
            self._metrics.requests(kind, status, count, size)
        self._metrics.held(self._waiting.held)

    # --- finding a stream --------------------------------------------------------------------

    async def stream(self, token: str) -> Stream | None:
        """The stream of a token; None when there is no such thing. Raises Overloaded,
        LibraryAway."""
        self.start()
        now = self._clock()
        stream = self.streams.get(token)
        if stream is not None:
            stream.used = now
            if stream.state == "ended" or stream.head is None:
                await self._refresh_entry(stream, now)
            return stream
        if (missing := self._missing.get(token)) is not None:
            if now < missing:
                return None
            del self._missing[token]
        task = self._loading.get(token)
        if task is None:
            task = self._loading[token] = asyncio.create_task(self._load(token))
            task.add_done_callback(lambda _: self._loading.pop(token, None))
        return await asyncio.shield(task)

    async def _load(self, token: str) -> Stream | None:
        stream = Stream(token, self._clock())
        head, stream.blocked = await self._present.fetch(token)
        if head is not None:
            self.apply(stream, head, from_redis=True)
        if head is None or head.state == "ended":
            entry = await self.ask(self.library.lookup, token)
            stream.looked_up = self._clock()
            if entry is None and head is None:
                self._missing[token] = self._clock() + MISSING_SECONDS
                while len(self._missing) > MAX_MISSING:
                    self._missing.popitem(last=False)
                return None
            stream.entry = entry
            if head is None and entry is not None:
                stream.head = entry.head
        self._make_room()
        self.streams[token] = stream
        await self._present.subscribe(token)
        if head is not None:
            # Redis may have been emptied since the take-down; the catalogue was not asked yet.
            self.spawn(self._ask_sight((token,)))
        return stream

    async def _refresh_entry(self, stream: Stream, now: float) -> None:
        """Ask the catalogue again, when its last answer is old, about what has no live edge."""
        entry = stream.entry
        keep = FINAL_SECONDS if entry is not None and entry.final else GROWING_SECONDS
        if now - stream.looked_up < keep:
            return
        stream.looked_up = now
        try:
            fresh = await self.ask(self.library.lookup, stream.token)
        except (LibraryAway, Overloaded):
            if entry is None and stream.head is None:
                raise
            return
        self._apply_entry(stream, fresh)

    async def entry(self, stream: Stream) -> LibraryEntry | None:
        """The catalogue's view of a stream that is on the air too (for its replay)."""
        await self._refresh_entry(stream, self._clock())
        return stream.entry

    async def replay_playlist(self, stream: Stream, rendition: str) -> Reply | None:
        """The playlist of a recording; kept for a while."""
        key = (stream.token, rendition)
        if (known := self._replays.at_hand(key)) is not None:
            return known
        return await self.once(("replay", *key), partial(self._render_replay, key))

    async def _render_replay(self, key: tuple[str, str]) -> Reply | None:
        return self._replays.keep(key, await self.ask(render, self.library, key))

    async def ask(self, call: Callable[..., T], *args: object) -> T:
        """Run a blocking call in the edge's own threads. Raises Overloaded."""
        if self._lookups >= MAX_LOOKUPS:
            raise Overloaded(f"{self._lookups} look-ups under way, limit {MAX_LOOKUPS}")
        self._lookups += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, call, *args)
        finally:
            self._lookups -= 1

    async def once(self, key: object, make: Callable[[], Awaitable[T]]) -> T:
        """Single flight: those who ask for ``key`` while it is being made share the result."""
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = asyncio.ensure_future(make())
            flight.add_done_callback(lambda _: self._flights.pop(key, None))
        return await asyncio.shield(flight)

    def _make_room(self) -> None:
        while len(self.streams) >= MAX_STREAMS:
            oldest = min(self.streams.values(), key=lambda stream: stream.used)
            self._forget(oldest)

    def _forget(self, stream: Stream) -> None:
        self._waiting.release_all(stream.groups, answer=False)
        self._not_ready(stream)
        self.streams.pop(stream.token, None)
        self.spawn(self._present.unsubscribe(stream.token))

    def spawn(self, work: Awaitable[Any]) -> None:
        """Run something on the side, until the edge is closed."""
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    # --- news --------------------------------------------------------------------------------

    def make_ready(self, path: str, stream: Stream, ready: Ready) -> bool:
        """Remember an answer by its path until the stream's next change; False when the stream
        is not on the air."""
        if stream.state != "live" or self.streams.get(stream.token) is not stream:
            return False
        raw = path.encode()
        self.ready[raw] = ready
        stream.ready[raw] = ready
        return True

    def _not_ready(self, stream: Stream) -> None:
        self._count_ready(stream)
        for path in stream.ready:
            self.ready.pop(path, None)
        stream.ready = {}

    def _count_ready(self, stream: Stream) -> bool:
        """Add up what was sent without another thought; whether there was any."""
        any_hits = False
        for ready in stream.ready.values():
            if hits := ready.hits:
                any_hits, ready.hits = True, 0
                self.count(ready.kind, 200, hits * ready.size, hits)
        return any_hits

    def apply(self, stream: Stream, head: AirHead, *, from_redis: bool) -> bool:
        """Take a head if it is newer; whoever waited for it is woken. Nothing comes after an
        ended one: its playlists have said EXT-X-ENDLIST."""
        known = stream.head
        if known is not None and known.state == "ended":
            return False
        if from_redis:
            if head.version <= stream.version or (known and heads.reach(head) < heads.reach(known)):
                return False
            stream.version = head.version
        elif known is not None:
            if not heads.further(head, known):
                return False
            head = heads.with_parts(head, known)
        stream.head, stream.from_redis = head, from_redis
        stream.changed = self._clock()
        self._changed(stream)
        return True

    def _apply_entry(self, stream: Stream, entry: LibraryEntry | None) -> None:
        before = stream.entry
        stream.entry = entry
        head, known = (entry.head if entry else None), stream.head
        if (
            entry is not None
            and entry.final
            and entry.state == "ended"
            and known is not None
            and (head is None or heads.reach(head) < heads.reach(known))
        ):
            # It ended while Redis was away, and the catalogue has no more to list than we do.
            head = heads.closed(known)
        if head is not None:
            self.apply(stream, head, from_redis=False)
        if before != entry:
            self._changed(stream)

    def _changed(self, stream: Stream) -> None:
        stream.replies = {}
        self._not_ready(stream)
        if stream.state in ("ended", "blocked"):
            self._waiting.release_all(stream.groups, answer=True)
            return
        head = stream.head
        if head is None or not stream.groups:
            return
        for key in list(stream.groups):
            name, msn, part = key
            rendition = head.rendition(name)
            if rendition is None or heads.has(rendition, msn, part):
                group = stream.groups.pop(key)
                self._waiting.send_all(group, partial(stream.live_playlist, name))
                self._waiting.release(group, answer=True)

    def heard_head(self, token: str, head: AirHead) -> None:
        """A head was published."""
        if (stream := self.streams.get(token)) is not None:
            self.apply(stream, head, from_redis=True)

    def subscribed(self, token: str | None) -> None:
        """New, or again after a loss: what was published in between is to be fetched."""
        if token is not None and (stream := self.streams.get(token)) is not None:
            self.spawn(self._catch_up(stream))
        elif token is None and self.streams:
            self.spawn(self._ask_sight(tuple(self.streams)))

    async def _catch_up(self, stream: Stream) -> None:
        head = await self._present.fetch_head(stream.token)
        if head is not None:
            self.apply(stream, head, from_redis=True)

    # --- take-downs --------------------------------------------------------------------------

    def hear(self, news: SightNews) -> None:
        """Something was taken down or put back: at once, for whoever holds a request too."""
        now = self._clock()
        for tokens, off in ((news.off, True), (news.on, False)):
            for token in tokens:
                if (stream := self.streams.get(token)) is not None:
                    self._set_sight(stream, off=off, at=now)
        if self._on_sight is not None:
            self._on_sight()

    def _set_sight(self, stream: Stream, *, off: bool, at: float) -> None:
        stream.sight_at = at
        if off == stream.off_air:
            return
        stream.blocked = off
        if not off:
            # Whatever the catalogue said last, it is to be asked again before anything is sent.
            stream.looked_up = float("-inf")
            if stream.entry is not None and stream.entry.state == "blocked":
                stream.entry = None
        self._changed(stream)

    async def _ask_sight(self, tokens: tuple[str, ...]) -> None:
        """What the catalogue says of them: news may be lost with Redis, rows are not."""
        asked = self._clock()
        try:
            off = await self.ask(self.library.off_air, tokens)
        except (LibraryAway, Overloaded) as error:
            log.debug("edge could not ask what is off the air", why=str(error))
            return
        for token in tokens:
            stream = self.streams.get(token)
            # News that came while we asked are newer than the answer.
            if stream is not None and stream.sight_at < asked:
                self._set_sight(stream, off=token in off, at=asked)

    # --- waiting -----------------------------------------------------------------------------

    def hold(
        self,
        stream: Stream,
        rendition: str,
        msn: int,
        part: int | None,
        send: Send | None = None,
        form: str = "live",
    ) -> asyncio.Future[bool | Sent]:
        """Wait for a part or segment; see ``Waiting.hold``. Raises Overloaded."""
        assert stream.head is not None
        deadline = self._clock() + HOLD_TARGETS * stream.head.target_duration
        return self._waiting.hold(stream.groups, (rendition, msn, part), deadline, send, form)

    # --- the sweep ---------------------------------------------------------------------------

    async def _sweep_forever(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self.sweep()

    def sweep(self) -> None:
        """Deadlines, take-downs, catalogue look-ups that are due, what nobody watches."""
        now = self._clock()
        for stream in list(self.streams.values()):
            self._waiting.sweep(stream.groups, now)
            if self._count_ready(stream) or stream.groups:
                stream.used = now
            if now - stream.used > IDLE_SECONDS:
                self._forget(stream)
            elif self._is_stale(stream, now):
                stream.looked_up = now
                self.spawn(self._look_again(stream))
        if self.streams and now - self._sight_asked >= OFF_AIR_SECONDS:
            self._sight_asked = now
            self.spawn(self._ask_sight(tuple(self.streams)))
        self._flush_counts()

    def _is_stale(self, stream: Stream, now: float) -> bool:
        """On the air, in use, and without news for longer than a segment lasts."""
        head = stream.head
        if head is None or head.state not in ("live", "interrupted"):
            return False
        if now - stream.used > 2 * HOLD_TARGETS * head.target_duration:
            return False
        quiet = now - stream.changed
        due = (
            STALE_SECONDS
            if not self._present.connected or not stream.from_redis
            else (1.5 * head.target_duration)
        )
        return quiet >= due and now - stream.looked_up >= STALE_SECONDS

    async def _look_again(self, stream: Stream) -> None:
        """A stream without news: Redis first, then the catalogue."""
        head = await self._present.fetch_head(stream.token) if self._present.connected else None
        if head is not None and self.apply(stream, head, from_redis=True):
            return
        try:
            entry = await self.ask(self.library.lookup, stream.token)
        except (LibraryAway, Overloaded) as error:
            log.warning("edge could not ask the catalogue", why=str(error))
            return
        self._apply_entry(stream, entry)
