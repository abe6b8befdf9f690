"""What the edge knows of each broadcast, and who waits for news of it.

Redis gives the present: the head is fetched once and then every change is published whole. When
Redis is away, or has no head, a ``Library`` answers from the catalogue. A head leads to new
playlist bytes at most once per kind, however many viewers there are.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeVar

import msgspec
import redis.asyncio
import structlog

from api.edge_http import BRIEF, Ready, Reply, Send, playlist_reply
from infra.redis import EDGE_CHANNEL, RedisError, air_key, off_air_key
from transcode.hls.head import AirHead, HeadError, HeadRendition, decode_head
from transcode.hls.playlist import write_live, write_multivariant, write_plain, write_replay
from transcode.hls.replay import Replay

log = structlog.get_logger(__name__)
T = TypeVar("T")

HOLD_TARGETS: Final = 3
"""A blocking reload is held for this many target durations, then 503 (6.2.5.2)."""
MAX_HELD: Final = 20_000
"""Requests held at once in one process."""
SWEEP_SECONDS: Final = 0.25
"""One timer for all deadlines."""
ADVANCE_SECONDS: Final = 3
"""6.2.5.2, Advance Part Limit: parts this far ahead may be asked for (and three at least)."""

IDLE_SECONDS: Final = 120
"""Without a request for so long, a broadcast is forgotten."""
MAX_STREAMS: Final = 5_000
MISSING_SECONDS: Final = 2.0
"""How long a token that leads nowhere is remembered."""
MAX_MISSING: Final = 10_000
STALE_SECONDS: Final = 2.0
"""How often a stream without fresh heads is looked up in the catalogue."""
FINAL_SECONDS: Final = 60.0
"""How long the description of something finished is kept."""
GROWING_SECONDS: Final = 2.0
OFF_AIR_SECONDS: Final = 2.0
"""How often the catalogue is asked what was taken down, should the news of it be lost."""
MAX_REPLAY_BYTES: Final = 64 << 20
"""Rendered replay playlists kept."""

LIBRARY_THREADS: Final = 4
MAX_LOOKUPS: Final = 256
"""Catalogue look-ups under way or queued; beyond that, 503."""
RECONNECT_SECONDS: Final = (0.1, 0.25, 0.5, 1.0, 2.0)

EntryState = Literal["waiting", "live", "interrupted", "ended", "blocked"]


class LibraryEntry(msgspec.Struct, frozen=True):
    """What the catalogue says of a token.

    ``head``: the live edge rebuilt from registered segments, for a broadcast that has one; with
    ``final``, an ended one.
    ``replay``: its recording so far, renditions without their segments; None when nothing is
    recorded. ``final``: nothing of it will change soon.
    """

    state: EntryState
    head: AirHead | None = None
    replay: Replay | None = None
    final: bool = False


class MediaFile(msgspec.Struct, frozen=True):
    """Where bytes lie in storage. ``size`` None: the whole object from ``offset`` 0."""

    key: str
    offset: int = 0
    size: int | None = None


class SightNews(msgspec.Struct, frozen=True):
    """What is said on the edges' channel: media tokens out of sight, and in sight again."""

    off: tuple[str, ...] = ()
    on: tuple[str, ...] = ()


class LibraryAway(Exception):
    """The catalogue cannot be asked now."""


class Library(Protocol):
    """The catalogue, as the edge asks it. Called from threads; may raise LibraryAway."""

    def lookup(self, token: str) -> LibraryEntry | None:
        """What is known of a media token; None when nothing is."""

    def replay(self, token: str, rendition: str) -> Replay | None:
        """The recording with the segments of that one rendition; None when there is none."""

    def media(self, token: str, rendition: str, name: str) -> MediaFile | None:
        """Where a file lies: ``init3.mp4``, ``s17.m4s``, ``replay1.mp4``, and with an empty
        rendition ``poster.jpg`` and ``download.mp4``. Only what is registered."""

    def off_air(self, tokens: tuple[str, ...]) -> set[str]:
        """Those of these tokens that are taken down."""


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


class Overloaded(Exception):
    """A named limit is reached: answer 503."""


class Sent(NamedTuple):
    """An answer already handed to the server; what its sends returned is still to be awaited."""

    reply: Reply
    start: Awaitable[None]
    body: Awaitable[None]


class _Waiter(NamedTuple):
    """A held request. With ``send``, the playlist (``form``) is sent as soon as it is there."""

    deadline: float
    future: asyncio.Future[bool | Sent]
    send: Send | None
    form: str


class _Group:
    """Requests that wait for the same part (or segment) of one rendition."""

    __slots__ = ("deadline", "waiters")

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.waiters: list[_Waiter] = []


class Stream:
    """One token: its newest head, the playlists made of it, and who waits for the next."""

    def __init__(self, token: str, now: float) -> None:
        self.token = token
        self.head: AirHead | None = None
        self.from_redis = False
        self.version = -1
        """Of the newest head that came through Redis."""
        self.entry: LibraryEntry | None = None
        self.looked_up = 0.0
        """When the catalogue was last asked."""
        self.changed = now
        """When the head last changed."""
        self.used = now
        self.blocked = False
        self.sight_at = float("-inf")
        """When it was last said whether it is off the air."""
        self.replies: dict[tuple[str, str], Reply] = {}
        self.groups: dict[tuple[str, int, int | None], _Group] = {}
        self.ready: dict[bytes, Ready] = {}

    @property
    def off_air(self) -> bool:
        """Taken down: nothing of it is to be sent any more."""
        return self.blocked or (self.entry is not None and self.entry.state == "blocked")

    @property
    def state(self) -> EntryState | None:
        """What viewers are to be told; None when nothing is known."""
        if self.off_air:
            return "blocked"
        if self.head is not None:
            return self.head.state
        return self.entry.state if self.entry else None

    def live_playlist(self, rendition: str, form: str) -> Reply | None:
        """``form``: live, delta or plain."""
        key = (rendition, form)
        reply = self.replies.get(key)
        if reply is None and self.head is not None:
            found = self.head.rendition(rendition)
            if found is None or not (found.segments or found.parts):
                return None
            if form == "plain":
                body = write_plain(self.head, found)
            else:
                body = write_live(self.head, found, skip=form == "delta")
            reply = self.replies[key] = playlist_reply(body)
        return reply

    def multivariant(self, name: str) -> Reply | None:
        """``name``: main, plain or replay. After the end, all are the replay."""
        key = ("", name)
        reply = self.replies.get(key)
        if reply is None:
            head, replay = self.head, self.entry.replay if self.entry else None
            ended = self.state == "ended" or head is None
            if replay is not None and (name == "replay" or ended):
                cache = BRIEF if self.entry and self.entry.final else None
                body = write_multivariant(replay.renditions, "replay.m3u8")
                reply = playlist_reply(body, cache) if cache else playlist_reply(body)
            elif head is not None and name != "replay":
                listed = [r for r in head.renditions if r.segments or r.parts]
                if not listed:
                    return None
                file = "plain.m3u8" if name == "plain" else "live.m3u8"
                reply = playlist_reply(write_multivariant(listed, file))
            else:
                return None
            self.replies[key] = reply
        return reply


def has(rendition: HeadRendition, msn: int, part: int | None) -> bool:
    """Whether a playlist of this rendition answers ``_HLS_msn``/``_HLS_part`` (6.2.5.2)."""
    if part is None:
        return msn < rendition.next_msn
    if msn > rendition.next_msn:
        return False
    if msn == rendition.next_msn:
        return part < len(rendition.parts)
    if msn == rendition.next_msn - 1 and rendition.segments:
        listed = rendition.segments[-1].parts
        if rendition.segments[-1].msn == msn and listed and part >= len(listed):
            # Beyond the last part of its segment: that is part 0 of the next one.
            return bool(rendition.parts)
    return True


def too_far(head: AirHead, rendition: HeadRendition, msn: int, part: int | None) -> bool:
    """Whether the request is to be refused at once: it asks for what is not coming soon."""
    last = rendition.next_msn if rendition.parts else rendition.next_msn - 1
    if msn > last + 2:
        return True
    if part is None or msn < rendition.next_msn:
        return False
    ahead = max(3, -(-ADVANCE_SECONDS * 1_000_000 // max(1, head.part_target_us)))
    listed = len(rendition.parts) if msn == rendition.next_msn else 0
    # In a segment to come, any part its predecessor could still leave room for.
    room = ahead if msn == rendition.next_msn else 2 * ahead
    return part >= listed + room


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
        self._replays: OrderedDict[tuple[str, str], tuple[float, Reply]] = OrderedDict()
        self._replay_bytes = 0
        self._flights: dict[Any, asyncio.Future[Any]] = {}
        self._threads = ThreadPoolExecutor(LIBRARY_THREADS, "edge-library")
        self._lookups = 0
        self._held = 0
        self._counts: dict[tuple[str, int], list[int]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._background: set[asyncio.Task[Any]] = set()
        self._pubsub: Any = None
        self._connected = False
        self._closing = False

    # --- life --------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin the two tasks of the process (idempotent; needs the running loop)."""
        if not self._tasks:
            self._tasks.append(asyncio.create_task(self._sweep_forever(), name="edge-sweep"))
            if self.client is not None:
                self._tasks.append(asyncio.create_task(self._listen_forever(), name="edge-redis"))

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
        self._closing = True
        for stream in self.streams.values():
            self._release_all(stream, answer=False)
        await asyncio.sleep(0)
        self._flush_counts()

    @property
    def held(self) -> int:
        """Requests being held."""
        return self._held

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
        self._metrics.held(self._held)

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
        head, stream.blocked = await self._fetch_present(token)
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
        await self._subscribe(token)
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
        known = self._replays.get(key)
        if known is not None and self._clock() < known[0]:
            self._replays.move_to_end(key)
            return known[1]
        return await self.once(("replay", *key), lambda: self._render_replay(stream, rendition))

    async def _render_replay(self, stream: Stream, rendition: str) -> Reply | None:
        def work() -> tuple[bytes, bool] | None:
            replay = self.library.replay(stream.token, rendition)
            found = replay.rendition(rendition) if replay else None
            if replay is None or found is None or not found.segments:
                return None
            return write_replay(replay, found), replay.ended

        made = await self.ask(work)
        if made is None:
            return None
        body, ended = made
        reply = playlist_reply(body, BRIEF) if ended else playlist_reply(body)
        until = self._clock() + (FINAL_SECONDS if ended else GROWING_SECONDS)
        key = (stream.token, rendition)
        self._drop_replay(key)
        self._replays[key] = (until, reply)
        self._replay_bytes += reply.size
        while self._replay_bytes > MAX_REPLAY_BYTES and len(self._replays) > 1:
            self._drop_replay(next(iter(self._replays)))
        return reply

    def _drop_replay(self, key: tuple[str, str]) -> None:
        old = self._replays.pop(key, None)
        if old is not None:
            self._replay_bytes -= old[1].size

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
        self._release_all(stream, answer=False)
        self._not_ready(stream)
        self.streams.pop(stream.token, None)
        if self._pubsub is not None:
            self.spawn(self._unsubscribe(stream.token))

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
            if head.version <= stream.version or (known and _reach(head) < _reach(known)):
                return False
            stream.version = head.version
        elif known is not None:
            if not _further(head, known):
                return False
            head = _with_parts(head, known)
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
            and (head is None or _reach(head) < _reach(known))
        ):
            # It ended while Redis was away, and the catalogue has no more to list than we do.
            head = _closed(known)
        if head is not None:
            self.apply(stream, head, from_redis=False)
        if before != entry:
            self._changed(stream)

    def _changed(self, stream: Stream) -> None:
        stream.replies = {}
        self._not_ready(stream)
        if stream.state in ("ended", "blocked"):
            self._release_all(stream, answer=True)
            return
        head = stream.head
        if head is None or not stream.groups:
            return
        for key in list(stream.groups):
            name, msn, part = key
            rendition = head.rendition(name)
            if rendition is None or has(rendition, msn, part):
                group = stream.groups.pop(key)
                self._send_all(stream, name, group)
                self._release(group, answer=True)

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
        """A future: False when it is time to give up; otherwise the part is there.

        With ``send`` the playlist may have been sent by then, and the result is ``Sent``: when
        two thousand wait for one part, their answers go out in one loop, before any of their
        coroutines runs again. Raises Overloaded.
        """
        if self._held >= MAX_HELD or self._closing:
            raise Overloaded(f"{self._held} requests held, limit {MAX_HELD}")
        assert stream.head is not None
        deadline = self._clock() + HOLD_TARGETS * stream.head.target_duration
        group = stream.groups.get((rendition, msn, part))
        if group is None:
            group = stream.groups[(rendition, msn, part)] = _Group(deadline)
        future: asyncio.Future[bool | Sent] = asyncio.get_running_loop().create_future()
        group.waiters.append(_Waiter(deadline, future, send, form))
        self._held += 1
        return future

    def _send_all(self, stream: Stream, rendition: str, group: _Group) -> None:
        """Send the new playlist to all who wait for it.

        A server may act on ``send`` when it is called (Granian does) or when the result is
        awaited; the request's own coroutine awaits both in order, so either is right.
        """
        sent: list[tuple[asyncio.Future[bool | Sent], Sent]] = []
        rest: list[_Waiter] = []
        replies: dict[str, Reply | None] = {}
        for waiter in group.waiters:
            send, form = waiter.send, waiter.form
            if form not in replies:
                replies[form] = stream.live_playlist(rendition, form)
            reply = replies[form]
            if send is None or reply is None or waiter.future.done():
                rest.append(waiter)
                continue
            try:
                sent.append((waiter.future, Sent(reply, send(reply.start), send(reply.body))))
            except (OSError, RuntimeError) as error:
                waiter.future.set_exception(error)  # its client is gone
                rest.append(waiter)
        for future, result in sent:
            future.set_result(result)
        self._held -= len(sent)
        group.waiters = rest

    def _release(self, group: _Group, *, answer: bool) -> None:
        self._held -= len(group.waiters)
        for waiter in group.waiters:
            if not waiter.future.done():
                waiter.future.set_result(answer)
        group.waiters = []

    def _release_all(self, stream: Stream, *, answer: bool) -> None:
        for group in stream.groups.values():
            self._release(group, answer=answer)
        stream.groups.clear()

    # --- the sweep ---------------------------------------------------------------------------

    async def _sweep_forever(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self.sweep()

    def sweep(self) -> None:
        """Deadlines, take-downs, catalogue look-ups that are due, what nobody watches."""
        now = self._clock()
        for stream in list(self.streams.values()):
            self._sweep_waiters(stream, now)
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

    def _sweep_waiters(self, stream: Stream, now: float) -> None:
        for key, group in list(stream.groups.items()):
            if group.deadline > now:
                continue
            late = 0
            for waiter in group.waiters:
                if waiter.deadline > now:
                    break
                late += 1
                if not waiter.future.done():
                    waiter.future.set_result(False)
            self._held -= late
            del group.waiters[:late]
            if group.waiters:
                group.deadline = group.waiters[0].deadline
            else:
                del stream.groups[key]

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
            if not self._connected or not stream.from_redis
            else (1.5 * head.target_duration)
        )
        return quiet >= due and now - stream.looked_up >= STALE_SECONDS

    async def _look_again(self, stream: Stream) -> None:
        """A stream without news: Redis first, then the catalogue."""
        head = await self._fetch_head(stream.token) if self._connected else None
        if head is not None and self.apply(stream, head, from_redis=True):
            return
        try:
            entry = await self.ask(self.library.lookup, stream.token)
        except (LibraryAway, Overloaded) as error:
            log.warning("edge could not ask the catalogue", why=str(error))
            return
        self._apply_entry(stream, entry)

    # --- Redis -------------------------------------------------------------------------------

    async def _fetch_present(self, token: str) -> tuple[AirHead | None, bool]:
        """The head, and whether it was taken down, as far as Redis knows."""
        if self.client is None:
            return None, False
        head = await self._fetch_head(token)
        if head is None:
            return None, False  # the catalogue is asked, and knows both
        try:
            return head, await self.client.get(off_air_key(token)) is not None
        except (RedisError, OSError, TimeoutError) as error:
            log.debug("edge could not read a take-down", why=str(error))
            return head, False

    async def _fetch_head(self, token: str) -> AirHead | None:
        if self.client is None:
            return None
        try:
            data = await self.client.get(air_key(token))
        except (RedisError, OSError, TimeoutError) as error:
            log.debug("edge could not read a head", why=str(error))
            return None
        return _read_head(data, token) if data else None

    async def _listen_forever(self) -> None:
        """Keep one subscription connection; after every loss, fetch what was missed."""
        assert self.client is not None
        failures = 0
        while True:
            pubsub = self.client.pubsub()
            try:
                self._pubsub = pubsub
                # All edges' own channel, so that there is a connection before the first viewer.
                await pubsub.subscribe(EDGE_CHANNEL, *(air_key(token) for token in self.streams))
                failures = 0
                async for message in pubsub.listen():
                    self._connected = True
                    self._on_message(message)
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("edge lost Redis", why=str(error))
            finally:
                self._connected = False
                self._pubsub = None
                with contextlib.suppress(RedisError, OSError, TimeoutError):
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
        stream = self.streams.get(token)
        if stream is None:
            return
        if message["type"] == "message":
            head = _read_head(message["data"], token)
            if head is not None:
                self.apply(stream, head, from_redis=True)
        elif message["type"] == "subscribe":
            # New, or again after a loss: what was published in between is in the key.
            self.spawn(self._catch_up(stream))

    def _on_edge_message(self, message: dict[str, Any]) -> None:
        if message["type"] == "message":
            try:
                self.hear(msgspec.json.decode(message["data"], type=SightNews))
            except msgspec.MsgspecError as error:
                log.error("edge got bad news", why=str(error))
        elif message["type"] == "subscribe" and self.streams:
            self.spawn(self._ask_sight(tuple(self.streams)))

    async def _catch_up(self, stream: Stream) -> None:
        head = await self._fetch_head(stream.token)
        if head is not None:
            self.apply(stream, head, from_redis=True)

    async def _subscribe(self, token: str) -> None:
        if self._pubsub is not None:
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                await self._pubsub.subscribe(air_key(token))

    async def _unsubscribe(self, token: str) -> None:
        if self._pubsub is not None and token not in self.streams:
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                await self._pubsub.unsubscribe(air_key(token))


def _further(head: AirHead, known: AirHead) -> bool:
    """Whether the catalogue's head says more than the one we have."""
    return head.state == "ended" or _reach(head) > _reach(known)


def _reach(head: AirHead) -> int:
    """The segment being built."""
    return max((rendition.next_msn for rendition in head.renditions), default=-1)


def _closed(head: AirHead) -> AirHead:
    """The same, ended. Parts of a segment that was never registered are nowhere to be had."""
    renditions = [msgspec.structs.replace(r, parts=[]) for r in head.renditions]
    return msgspec.structs.replace(head, state="ended", renditions=renditions)


def _with_parts(head: AirHead, known: AirHead) -> AirHead:
    """A head from the catalogue with the parts as they are already listed: lines of a playlist
    may not go while their segment is near its end."""
    renditions = []
    for rendition in head.renditions:
        before = known.rendition(rendition.name)
        listed = {s.msn: s for s in before.segments if s.parts} if before else {}
        segments = [listed.get(segment.msn, segment) for segment in rendition.segments]
        renditions.append(msgspec.structs.replace(rendition, segments=segments))
    return msgspec.structs.replace(head, renditions=renditions)


def _read_head(data: bytes | str, token: str) -> AirHead | None:
    try:
        head = decode_head(data)
    except HeadError as error:
        log.error("edge got a bad head", token_end=token[-4:], why=str(error))
        return None
    return head if head.token == token else None
