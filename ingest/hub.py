"""All publishers of one ingest node: who records which feed, and what is told of it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, Protocol

import msgspec
import redis.asyncio
import structlog

from infra.metrics import ingest_bytes, ingest_tags, takes_open
from infra.redis import CONTROL_CHANNEL, RedisError, feed_key
from ingest.book import Grant, LedgerAway, Standing, TakeBook
from ingest.disk import DiskLevel, DiskWatch
from ingest.health import Meter
from ingest.keeper import LogKeeper
from ingest.log import LogMeta, LogShelf, LogWriter
from ingest.publisher import Recorder

SEATS_PER_FEED: Final = 4
"""Connections that hold one feed's key at a time; the oldest that waits makes room."""
HEALTH_SECONDS: Final = 1.0
HEALTH_LIFE_SECONDS: Final = 10
POLL_SECONDS: Final = 1.0
CONTROL_RETRY_SECONDS: Final = 2.0
LETTER_MAX: Final = 4_096
"""Bytes of a control message."""

_log = structlog.get_logger(__name__)


class Seat(Protocol):
    """A publisher's connection, as far as the hub is concerned."""

    def leave(self, description: str, *, reconnect: bool) -> None:
        """End politely; with ``reconnect`` ask the encoder to come back at once."""

    def rtt_ms(self) -> float | None: ...


class ControlLetter(msgspec.Struct):
    """A message on the control channel."""

    op: str
    broadcast_id: str | None = None
    feed_id: str | None = None
    except_take: str | None = None
    """A drop because this take of the same feed has begun, perhaps on another node."""
    seq: int = 0
    """That take's number: only older ones make way."""


@dataclass(slots=True, eq=False)
class _Place:
    seat: Seat
    recorder: Recorder
    grant: Grant
    meter: Meter


class Hub:
    """Owner of all recorders."""

    def __init__(
        self,
        *,
        shelf: LogShelf,
        keeper: LogKeeper,
        disk: DiskWatch,
        redis_client: redis.asyncio.Redis | None,
    ) -> None:
        self.shelf = shelf
        self.keeper = keeper
        self.disk = disk
        self.book: TakeBook  # set by who builds both: each needs the other
        self._redis = redis_client
        self._feeds: dict[str, list[_Place]] = {}  # in the order they came
        self._publishing_health: asyncio.Task[None] | None = None
        self._errands: set[asyncio.Task[None]] = set()

    # -- publishers come and go

    def join(self, seat: Seat, grant: Grant, encoder: str) -> Recorder:
        """A publisher with leave: its recorder, which takes over at its first keyframe."""
        now = time.monotonic()
        recorder = Recorder(
            owner=self,
            shelf=self.shelf,
            feed_id=grant.feed_id,
            broadcast_id=grant.broadcast_id,
            encoder=encoder,
            now=now,
            wall_us=time.time_ns() // 1000,
        )
        places = self._feeds.setdefault(grant.feed_id, [])
        if len(places) >= SEATS_PER_FEED:
            waiting = [place for place in places if place.recorder.log is None]
            self._send_away((waiting or places)[0], "taken_over", "Replaced.", drop=False)
        places = self._feeds.setdefault(grant.feed_id, [])
        places.append(_Place(seat, recorder, grant, Meter(recorder, now)))
        return recorder

    def left(self, recorder: Recorder, ended_by: str) -> None:
        """The connection is gone, or its publish is over."""
        recorder.stop(ended_by, drop=True)
        self._forget(recorder)

    def _forget(self, recorder: Recorder) -> None:
        places = self._feeds.get(recorder.feed_id, [])
        places[:] = [place for place in places if place.recorder is not recorder]
        if not places:
            self._feeds.pop(recorder.feed_id, None)

    def _send_away(
        self, place: _Place, ended_by: str, words: str, *, drop: bool, reconnect: bool = False
    ) -> None:
        place.recorder.stop(ended_by, drop=drop)
        self._forget(place.recorder)
        place.seat.leave(words, reconnect=reconnect)

    def places(self) -> list[_Place]:
        return [place for places in self._feeds.values() for place in places]

    # -- what recorders tell (ingest.publisher.Owner)

    def may_record(self) -> bool:
        return self.disk.level < DiskLevel.FULL

    def take_begins(self, recorder: Recorder) -> None:
        """The newest connection has its keyframe: those that came before it are replaced."""
        for place in tuple(self._feeds.get(recorder.feed_id, ())):
            if place.recorder is recorder:
                return
            self._send_away(
                place, "taken_over", "Another encoder publishes with this key.", drop=False
            )

    def take_opened(self, recorder: Recorder, log: LogWriter) -> None:
        _log.info(
            "take begins",
            take_id=log.take_id,
            feed_id=recorder.feed_id,
            broadcast_id=recorder.broadcast_id,
            codecs=log.meta.codecs,
        )
        takes_open.inc()
        self.keeper.add(log, lambda error: recorder.log_failed(error, time.monotonic()))
        self.book.opened(log.meta)

    def take_closed(self, recorder: Recorder, log: LogWriter) -> None:
        meta = log.meta
        _log.info(
            "take ends",
            take_id=log.take_id,
            feed_id=recorder.feed_id,
            ended_by=meta.ended_by,
            size_bytes=meta.counts.size,
            end_ms=meta.counts.end_ms,
        )
        if meta.ended_by in ("disk_full", "disk_error"):
            _log.error("the log could not be written", take_id=log.take_id, why=meta.ended_by)
            self.disk.look()
        takes_open.dec()
        self.book.closed(meta, self._errand(self.keeper.release(log)))

    def _errand(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start ``work``; the loop alone would not keep it alive."""
        errand = asyncio.get_running_loop().create_task(work)
        self._errands.add(errand)
        errand.add_done_callback(self._errands.discard)
        return errand

    def take_numbered(self, meta: LogMeta) -> None:
        """A take has its place among the feed's takes: older ones on other nodes make way.

        Before it has one nobody is told: of two that begin at once, each would end the other.
        """
        if self._redis is not None and meta.state == "open":
            letter = ControlLetter("drop", meta.broadcast_id, meta.feed_id, meta.take_id, meta.seq)
            self._errand(self._tell(msgspec.json.encode(letter)))

    async def _tell(self, letter: bytes) -> None:
        assert self._redis is not None
        # When it does not arrive, the other nodes find the take in the catalogue.
        with contextlib.suppress(RedisError, OSError):
            await self._redis.publish(CONTROL_CHANNEL, letter)

    def take_refused(self, meta: LogMeta) -> None:
        """The catalogue does not want a take: its broadcast ended while it began."""
        for place in self.places():
            if place.recorder.feed_id == meta.feed_id:
                self._send_away(place, "refused", "This broadcast is over.", drop=False)

    # -- what staff and the machine decide

    def end(self, letter: ControlLetter) -> None:
        """End or drop the publishers a control letter names."""
        if letter.op not in ("end", "drop"):
            return
        for place in self.places():
            if letter.feed_id is not None and place.grant.feed_id != letter.feed_id:
                continue
            if letter.broadcast_id not in (None, place.grant.broadcast_id):
                continue
            if letter.feed_id is None and letter.broadcast_id is None:
                continue
            if letter.except_take is not None:
                self._make_way(place, letter.seq)
            elif letter.op == "end":
                self._send_away(place, "broadcast_ended", "The broadcast has ended.", drop=False)
            else:
                self._send_away(place, "dropped_by_staff", "Stopped by staff.", drop=True)

    def _make_way(self, place: _Place, open_seq: int) -> None:
        """End ``place`` when its take is older than take ``open_seq`` of the same feed."""
        log = place.recorder.log
        # A take without a number yet will get a higher one.
        if log is not None and 0 < log.meta.seq < open_seq:
            self._send_away(
                place, "taken_over", "Another encoder publishes with this key.", drop=False
            )

    def compare(self, places: list[_Place], standings: dict[str, Standing]) -> None:
        """Act on what the catalogue says of the feeds of ``places``."""
        for place in places:
            if place.recorder.stopped:
                continue
            standing = standings.get(place.grant.feed_id)
            if standing is None or standing.broadcast_state in ("ended", "cancelled"):
                self._send_away(place, "broadcast_ended", "The broadcast has ended.", drop=False)
            elif standing.key_hash != place.grant.key_hash:
                self._send_away(place, "key_replaced", "The stream key was replaced.", drop=True)
            else:
                self._make_way(place, standing.open_seq)

    def shut(self) -> None:
        """The node stops: encoders that can are asked to come back at once."""
        for place in self.places():
            self._send_away(
                place, "ingest_stopped", "The server restarts.", drop=True, reconnect=True
            )

    # -- tasks

    async def watch_catalogue(self) -> None:
        """Ask once a second whether the broadcasts that come in are still wanted."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            # Only those that were there when asked: a later one was let in by a newer answer.
            places = self.places()
            if not places:
                continue
            try:
                standings = await self.book.standings([p.grant.feed_id for p in places])
            except LedgerAway:
                continue  # then they go on: the log does not need the database
            self.compare(places, standings)

    async def listen(self) -> None:
        """Hear control letters at once; the catalogue says the same within a second."""
        if self._redis is None:
            return
        while True:
            try:
                async with self._redis.pubsub(ignore_subscribe_messages=True) as channel:
                    await channel.subscribe(CONTROL_CHANNEL)
                    while True:
                        message = await channel.get_message(timeout=None)
                        if message is not None:
                            self._on_letter(message["data"])
            except (RedisError, OSError):
                await asyncio.sleep(CONTROL_RETRY_SECONDS)

    def _on_letter(self, data: object) -> None:
        if not isinstance(data, bytes) or len(data) > LETTER_MAX:
            return
        try:
            letter = msgspec.json.decode(data, type=ControlLetter)
        except msgspec.MsgspecError:
            _log.warning("control letter not understood")
            return
        self.end(letter)

    async def measure(self) -> None:
        """Once a second: the disk, and every feed's health into Redis."""
        while True:
            await asyncio.sleep(HEALTH_SECONDS)
            self.disk.look()
            letters = self._sample()
            busy = self._publishing_health
            if letters and self._redis is not None and (busy is None or busy.done()):
                # One at a time: a Redis that hangs costs these numbers, nothing else.
                self._publishing_health = asyncio.create_task(self._publish(letters))

    def _sample(self) -> dict[str, bytes]:
        now = time.monotonic()
        at_us = time.time_ns() // 1000
        letters: dict[str, bytes] = {}
        for place in self.places():
            health = self._measure_one(place, now, at_us)
            # The one that records speaks for the feed; before any does, the newest.
            if place.recorder.log is not None or place.grant.feed_id not in letters:
                letters[place.grant.feed_id] = msgspec.json.encode(health)
        return letters

    def _measure_one(self, place: _Place, now: float, at_us: int) -> dict[str, Any]:
        health = place.meter.sample(
            now,
            at_us,
            disk=self.disk.level,
            free_bytes=self.disk.free_bytes,
            rtt_ms=place.seat.rtt_ms(),
        )
        received, video, audio = place.meter.last
        ingest_bytes.inc(received)
        ingest_tags.labels(kind="video").inc(video)
        ingest_tags.labels(kind="audio").inc(audio)
        return health

    async def _publish(self, letters: dict[str, bytes]) -> None:
        assert self._redis is not None
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                for feed_id, letter in letters.items():
                    pipe.set(feed_key(feed_id), letter, ex=HEALTH_LIFE_SECONDS)
                await pipe.execute()
        except (RedisError, OSError):
            return  # the present is lost, never the truth

    def tasks(self) -> list[Callable[[], Any]]:
        """What runs for as long as the node does."""
        return [self.watch_catalogue, self.listen, self.measure]
