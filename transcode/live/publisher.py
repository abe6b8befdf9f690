"""Publishing: parts to Redis, segments to storage and then to the catalogue, heads to everyone.

One thread a run works through the packager's events in order. Redis away costs live parts, not
segments; the database or storage away holds the queue (bounded, so FFmpeg waits too, and the
feed log goes on growing behind it): nothing is skipped.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import redis
import structlog

from catalog import air
from infra import metrics
from infra.database import Database, DatabaseAway
from infra.redis import RedisError, air_key, part_key
from infra.storage import Storage, StorageError
from transcode.hls.events import InitReady, PartReady, SlotReady
from transcode.hls.head import TIMESCALE, HeadPart, encode_head, segment_key
from transcode.hls.packager import init_digest
from transcode.ladder import Rung as LadderRung
from transcode.live.arrivals import Arrivals, steady
from transcode.live.board import Board, Rung, SlotNote

log = structlog.get_logger()

HEAD_SECONDS = 3600
PART_SECONDS = 30
QUEUE_EVENTS = 512
RETRY_SECONDS = 0.25
STOP_SECONDS = 5
# Parts are kept in memory as long as a player may ask for them, to refill a wiped Redis.
PARTS_KEPT_BYTES = 24 * 1024 * 1024

PublishEvent = InitReady | PartReady | SlotReady

_T = TypeVar("_T")


class NotOurs(Exception):
    """Another live job has registered this slot: this one must stop."""


class Abandoned(Exception):
    """The run is stopping and what is left need not be published."""


@dataclass(frozen=True, slots=True)
class RunContext:
    """What the publisher must know of the run. Ticks of 1/90 000 s."""

    token: str
    take_id: str
    run_id: int
    take_start_ticks: int
    air_start_ticks: int
    discontinuity: bool
    """The run's first slot is the start of another timeline or encoding."""
    rungs: dict[str, LadderRung]
    frame_rate: float | None

    def take_ms(self, air_ticks: int) -> float:
        return (air_ticks - self.air_start_ticks + self.take_start_ticks) / 90


def publish_head(
    client: redis.Redis,
    board: Board,
    parts: list[tuple[str, bytes]],
    clock: Callable[[], float] = time.time,
) -> bool:
    """Write parts and then the head that names them, at once; False when Redis is away."""
    head = encode_head(board.head(round(clock() * 1e6)))
    key = air_key(board.token)
    pipeline = client.pipeline(transaction=True)
    for part, data in parts:
        pipeline.set(part, data, ex=PART_SECONDS)
    pipeline.set(key, head, ex=HEAD_SECONDS)
    pipeline.publish(key, head)
    try:
        pipeline.execute()
    except RedisError:
        return False
    return True


class Publisher:
    """Takes events of one run and makes them public, in order, in a thread of its own."""

    def __init__(
        self,
        board: Board,
        run: RunContext,
        arrivals: Arrivals,
        *,
        database: Database,
        storage: Storage,
        client: redis.Redis,
        bandwidth: Callable[[str], tuple[int, int]],
        room: Callable[[], bool],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``room`` tells whether derived media may be written (disk watermark)."""
        self._board = board
        self._run = run
        self._arrivals = arrivals
        self._database = database
        self._storage = storage
        self._redis = client
        self._bandwidth = bandwidth
        self._room = room
        self._clock = clock
        self._queue: queue.Queue[PublishEvent | None] = queue.Queue(QUEUE_EVENTS)
        self._rendition_ids: dict[str, int] = {}
        self._inits: dict[str, int] = {}
        self._first_slot = run.discontinuity
        self._parts: OrderedDict[str, bytes] = OrderedDict()
        self._parts_bytes = 0
        self._fresh: list[tuple[str, bytes]] = []
        self._redis_lost = False
        self._announced = False
        self._newest_arrival_us: int | None = None
        self._abandon = threading.Event()
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="put")
        self._thread = threading.Thread(target=self._work, name="publisher", daemon=True)
        self.failure: Exception | None = None
        self.waiting_for: str | None = None
        """What publishing waits for at the moment: "database", "storage", "disk" or None."""

    def start(self) -> None:
        self._thread.start()

    def put(self, event: PublishEvent | None, called_off: Callable[[], bool]) -> bool:
        """Hand over an event; waits while the queue is full. False when called off meanwhile.

        Raises what the thread died of.
        """
        while not called_off():
            self._check()
            try:
                self._queue.put(event, timeout=0.2)
                return True
            except queue.Full:
                continue
        return False

    def finish(self, called_off: Callable[[], bool]) -> bool:
        """Publish what is queued, however long that takes, and end; False when called off."""
        self.put(None, called_off)
        while self._thread.is_alive() and not called_off():
            self._thread.join(0.2)
        if self._thread.is_alive():
            self.stop()
            return False
        self._pool.shutdown(wait=False)
        self._check()
        return True

    def stop(self) -> None:
        """End without publishing what is queued; the next run makes it again."""
        self._abandon.set()
        if self._thread.ident is not None:
            self._thread.join(STOP_SECONDS)
        self._pool.shutdown(wait=False)

    def _check(self) -> None:
        if self.failure is not None:
            raise self.failure

    def _work(self) -> None:
        try:
            while True:
                event = self._next()
                if event is None:
                    return
                # Parts that came in meanwhile go out with one head.
                changed = self._handle(event)
                while self._queue.queue and isinstance(self._queue.queue[0], PartReady):
                    part = self._queue.get()
                    changed = (part is not None and self._handle(part)) or changed
                if changed:
                    self._announce()
        except Abandoned:
            return
        except Exception as error:
            # The outermost shell of this thread; the owner raises it again in `put`.
            log.exception("live.publisher_failed")
            self.failure = error

    def _next(self) -> PublishEvent | None:
        """The next event; Abandoned when the run has been called off meanwhile."""
        while True:
            if self._abandon.is_set():
                raise Abandoned
            try:
                return self._queue.get(timeout=RETRY_SECONDS)
            except queue.Empty:
                continue

    def _handle(self, event: PublishEvent) -> bool:
        if isinstance(event, InitReady):
            self._put_init(event)
            return False
        if isinstance(event, PartReady):
            return self._put_part(event)
        self._put_slot(event)
        return True

    # --- init sections ---------------------------------------------------------------------

    def _put_init(self, event: InitReady) -> None:
        rung = self._run.rungs[event.rendition]
        pattern = f"live/{self._run.token}/{event.rendition}/init{{n}}.mp4"
        key = pattern.format(n=event.number)
        if event.is_new:
            self._keep(lambda: self._storage.put_bytes(key, event.data))
        spec = air.RenditionSpec(
            name=event.rendition,
            kind=rung.kind,
            copied=rung.copied,
            codecs=event.codecs,
            width=event.width,
            height=event.height,
            frame_rate=self._run.frame_rate if rung.kind == "video" else None,
        )
        digest = init_digest(event.data)

        def register() -> int:
            with self._database.transaction() as session:
                rendition_id = air.ensure_rendition(session, self._run.token, spec)
                air.ensure_init(
                    session,
                    rendition_id,
                    sha256=digest,
                    storage_key_pattern=pattern,
                    size=len(event.data),
                )
                return rendition_id

        self._rendition_ids[event.rendition] = self._registered(register)
        self._inits[event.rendition] = event.number
        nominal = round(rung.bit_rate * 1.1) + (160_000 if rung.kind == "video" else 16_000)
        self._board.put_rung(
            Rung(
                name=event.rendition,
                kind="video" if rung.kind == "video" else "audio",
                codecs=event.codecs,
                width=event.width,
                height=event.height,
                frame_rate=spec.frame_rate,
                bandwidth=nominal,
                average_bandwidth=nominal,
                init=event.number,
            )
        )
        self._board.only(set(self._run.rungs))

    # --- parts -----------------------------------------------------------------------------

    def _put_part(self, event: PartReady) -> bool:
        board = self._board
        if not board.open_has_parts and event.msn == board.next_msn:
            self._describe_open(event.start_tick)
        if event.data:
            key = part_key(self._run.token, event.rendition, event.msn, event.part)
            self._remember(key, event.data)
            self._fresh.append((key, event.data))
        shown = board.add_part(event.rendition, event.msn, event.head)
        if shown:
            end = self._run.take_ms(event.start_tick + event.head.dur)
            self._newest_arrival_us = self._arrivals.at(end)
        return shown

    def _describe_open(self, start_tick: int) -> None:
        pdt_us = self._arrivals.at(self._run.take_ms(start_tick))
        before = self._board.newest
        if before is not None and not self._first_slot:
            length_us = before.dur * 1_000_000 // TIMESCALE
            pdt_us = steady(before.pdt_us + length_us, pdt_us, length_us)
        self._board.open_segment(pdt_us=pdt_us, discontinuity=self._first_slot)

    def _remember(self, key: str, data: bytes) -> None:
        self._parts[key] = data
        self._parts_bytes += len(data)
        while self._parts_bytes > PARTS_KEPT_BYTES:
            _, old = self._parts.popitem(last=False)
            self._parts_bytes -= len(old)

    def _announce(self) -> None:
        if self._abandon.is_set():
            # Whoever has the broadcast now speaks for it.
            raise Abandoned
        fresh, self._fresh = self._fresh, []
        if self._redis_lost or self._wiped():
            fresh = list(self._parts.items())
        lost = not publish_head(self._redis, self._board, fresh, self._clock)
        if self._newest_arrival_us is not None and not lost:
            delay = self._clock() - self._newest_arrival_us / 1e6
            metrics.part_publish_delay.observe(max(0.0, delay))
            self._newest_arrival_us = None
        if lost and not self._redis_lost:
            log.warning("live.redis_away")
        elif self._redis_lost and not lost:
            log.info("live.redis_back", parts=len(fresh))
        self._redis_lost = lost

    def _wiped(self) -> bool:
        """Whether Redis forgot the head we wrote: then it forgot the parts as well."""
        if not self._announced:
            self._announced = True
            return False
        try:
            return not self._redis.exists(air_key(self._run.token))
        except RedisError:
            return True

    # --- slots -----------------------------------------------------------------------------

    def _put_slot(self, event: SlotReady) -> None:
        run = self._run
        keys = {
            name: segment_key(run.token, name, event.msn, run.run_id) for name in event.segments
        }
        made = {name: s for name, s in event.segments.items() if not s.gap}

        def put(name: str) -> None:
            data = made[name].data
            self._keep(lambda: self._storage.put_bytes(keys[name], data))

        for future in [self._pool.submit(put, name) for name in made]:
            future.result()
        if not self._board.open_has_parts:
            self._describe_open(event.start_tick)
        pdt_us = self._board.open_pdt_us
        discontinuity = self._board.open_discontinuity or self._first_slot
        slot = air.Slot(
            token=run.token,
            msn=event.msn,
            take_id=run.take_id,
            run_id=run.run_id,
            take_start_ms=round(run.take_ms(event.start_tick)),
            start_ticks=event.start_tick,
            duration_ticks=event.dur_ticks,
            pdt_us=pdt_us,
            discontinuity=discontinuity,
            segments=[
                air.SlotSegment(
                    rendition_id=self._rendition_ids[name],
                    init_number=segment.init,
                    storage_key=keys[name],
                    size_bytes=len(segment.data),
                    duration_ticks=segment.dur_ticks,
                    parts=[(p.dur, p.size, p.independent) for p in segment.parts],
                )
                for name, segment in made.items()
            ],
        )
        rates = {name: self._bandwidth(name) for name in made}

        def register() -> bool:
            with self._database.transaction() as session:
                if not air.register_slot(session, slot):
                    return False
                for name, (peak, average) in rates.items():
                    air.set_bandwidth(
                        session, self._rendition_ids[name], peak=peak, average=average
                    )
                return True

        if not self._registered(register) and not self._stands_already(slot):
            raise NotOurs(f"slot {event.msn} is registered by another job")
        for name in made:
            metrics.segments_registered.labels(rendition=name).inc()
        self._note_slot(event, slot, rates)

    def _stands_already(self, slot: air.Slot) -> bool:
        """A commit whose answer was lost with the connection: ours if the run is ours."""

        def look() -> bool:
            with self._database.transaction() as session:
                return air.run_of_slot(session, slot.token, slot.msn) == slot.run_id

        return self._registered(look)

    def _note_slot(
        self, event: SlotReady, slot: air.Slot, rates: dict[str, tuple[int, int]]
    ) -> None:
        rungs: dict[str, tuple[int, int, list[HeadPart]]] = {
            name: (segment.dur_ticks, segment.init, segment.parts)
            for name, segment in event.segments.items()
            if not segment.gap
        }
        self._first_slot = False
        self._board.add_slot(
            SlotNote(
                msn=slot.msn,
                dur=slot.duration_ticks,
                pdt_us=slot.pdt_us,
                disc=slot.discontinuity,
                run=slot.run_id,
                rungs=rungs,
            )
        )
        for name, (peak, average) in rates.items():
            rung = self._board.rungs[name]
            rung.bandwidth = max(rung.bandwidth, peak)
            rung.average_bandwidth = average
        self._describe_open(slot.start_ticks + slot.duration_ticks)

    # --- waiting for what is away ------------------------------------------------------------

    def _keep(self, put: Callable[[], None]) -> None:
        """Put bytes into storage, for as long as it takes."""
        while True:
            if self._abandon.is_set():
                raise Abandoned
            if not self._room():
                self.waiting_for = "disk"
            else:
                try:
                    put()
                    self.waiting_for = None
                    return
                except StorageError as error:
                    if self.waiting_for != "storage":
                        log.warning("live.storage_failed", error=str(error))
                    self.waiting_for = "storage"
            self._abandon.wait(4 * RETRY_SECONDS)

    def _registered(self, transaction: Callable[[], _T]) -> _T:
        """Run a transaction, for as long as it takes the database to be there."""
        while True:
            if self._abandon.is_set():
                raise Abandoned
            try:
                result = transaction()
                self.waiting_for = None
                return result
            except DatabaseAway as error:
                if self.waiting_for != "database":
                    log.warning("live.database_away", error=type(error).__name__)
                self.waiting_for = "database"
                self._abandon.wait(RETRY_SECONDS)
