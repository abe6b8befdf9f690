"""The director of one broadcast: airs its takes one after another until staff end it.

Everything it must know after a crash stands in the catalogue (the air list's end, the takes, the
runs' ladders) and, for the parts of the open segment, in Redis. So a director can be killed at
any moment and the next one goes on where the last slot was registered.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import redis
import structlog
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from catalog import air
from catalog.broadcasts import finalize
from catalog.models import Broadcast, Run, Take
from infra import metrics
from infra.database import Database, DatabaseAway
from infra.feed_token import take_token
from infra.jobs import enqueue
from infra.redis import RedisError, air_key, live_key
from infra.settings import Settings
from infra.storage import Storage
from transcode.ffmpeg.arguments import RunPlan
from transcode.hls.events import ResumePoint, RungSpec, RunTiming
from transcode.hls.head import TIMESCALE, HeadError, HeadState, decode_head
from transcode.hls.listed import head_segments
from transcode.hls.packager import Packager, pick_part_target
from transcode.ladder import Ladder, choose_ladder, segment_seconds
from transcode.live.arrivals import Arrivals
from transcode.live.board import WINDOW_SECONDS, Board, Rung
from transcode.live.feed import FeedAway, FeedClient, FeedGone, FeedIndex
from transcode.live.mixer import Mixer
from transcode.live.publisher import Publisher, RunContext, publish_head
from transcode.live.run import LiveRun, Outcome, RunStatus
from transcode.probe import ProbeError, open_gop, probe_flv
from transcode.source import SourceInfo

log = structlog.get_logger()

IDLE_SECONDS = 0.25
LAST_WORD_SECONDS = 10.0
STATUS_SECONDS = 15
# Long enough to see a second key frame of an encoder set to 2 s; OBS's 10 s are not waited for.
GOP_WAIT_MS = 2_300
PROBE_ATTEMPTS = 20
KEYS_LOOKED_AT = 4
KEY_BYTES = 64 * 1024
"""Of a key frame, to see what kind it is; its size may be ten times that."""
FUTILE_RUNS = 3
BACKOFF_SECONDS = (0.1, 0.5, 1.0, 2.0, 5.0)
TICKS_PER_MS = 90


@dataclass(frozen=True, slots=True)
class Tools:
    """What a director works with."""

    settings: Settings
    database: Database
    storage: Storage
    redis: redis.Redis
    ffmpeg: str
    internal_token: str
    """From which each take's own token is made."""
    sharing: Callable[[], int]
    """How many broadcasts this worker transcodes at the moment."""
    rest: Callable[[Session], bool]
    """Ends the job in the transaction given, so that a take which opens meanwhile finds it ended
    and promises another."""


@dataclass(frozen=True, slots=True)
class StartPoint:
    """Where a run begins. Ticks of 1/90 000 s."""

    msn: int
    air_ticks: int
    take_ticks: int
    same_take: bool
    encoding: frozenset[tuple[str, bool]] = frozenset()
    """Of the run before it, see `_encoding`."""


def _encoding(ladder: Ladder) -> frozenset[tuple[str, bool]]:
    """What makes two runs over a take decode as one: which pictures are copied. A rung given up
    on the way changes nothing for the others."""
    return frozenset(("copied", rung.copied) for rung in ladder.video) | {
        ("keys", ladder.follow_source_keys)
    }


def _first_keys(feed: FeedClient, index: FeedIndex) -> Iterator[bytes]:
    """The preamble and the beginning of each of the first key frames. More than one, for a stream
    of open groups begins with an IDR picture, too."""
    before = min(index.entries[0][1], KEY_BYTES) if index.entries else 0
    for ms, at, _ in index.entries[:KEYS_LOOKED_AT]:
        yield feed.head(before + min(index.size - at, KEY_BYTES), ms)


def _arrivals(index: FeedIndex, first_ms: int) -> Arrivals:
    """Of a take, from its first key frame on: sound may have come in before it."""
    if not index.entries:
        return Arrivals(first_ms, index.first_arrival_us)
    (at_ms, _, arrival_us), *rest = index.entries
    arrivals = Arrivals(at_ms, arrival_us)
    arrivals.add([(ms, us) for ms, _, us in rest])
    return arrivals


class Director:
    """Runs in the live job's thread; ``called_off`` says when to let go at once."""

    def __init__(self, broadcast_id: str, tools: Tools, called_off: Callable[[], bool]) -> None:
        self._id = broadcast_id
        self._tools = tools
        self._called_off = called_off
        self._token = ""
        self._board: Board | None = None
        self._ladders: dict[str, Ladder] = {}
        """Ladders of takes changed on the way (a rung dropped, all encoded)."""
        self._sources: dict[str, SourceInfo] = {}
        self._futile: dict[str, int] = {}
        self._restarts = 0
        self._shown: HeadState | None = None
        """The state viewers have been told of."""
        self._away_since: dict[str, float] = {}
        self._paused = threading.Event()

    def direct(self) -> str:
        """Work until the broadcast is over: "finalized", "cancelled", "waiting" (the grace time
        is over and nothing comes in) or "stopped"."""
        while not self._called_off():
            try:
                with self._tools.database.transaction() as session:
                    broadcast = session.get(Broadcast, self._id)
                    if broadcast is None:
                        return "cancelled"
                    self._token = broadcast.media_token
                    state = broadcast.state
                    over = self._grace_is_over(session, broadcast)
                    take = self._next_take(session)
                if take is not None:
                    self._air(take)
                elif state in ("ended", "cancelled"):
                    if self._finalize():
                        return "finalized"
                else:
                    self._show("interrupted" if state == "interrupted" else "live")
                    if over and self._rest():
                        return "waiting"
                    self._paused.wait(IDLE_SECONDS)
            except DatabaseAway as error:
                log.warning("live.database_away", error=type(error).__name__)
                self._paused.wait(IDLE_SECONDS)
        return "stopped"

    # --- between takes -----------------------------------------------------------------------

    def _next_take(self, session: Session) -> Take | None:
        return session.scalars(
            select(Take)
            .where(Take.broadcast_id == self._id, Take.aired_at.is_(None))
            .order_by(Take.seq)
            .limit(1)
        ).first()

    def _grace_is_over(self, session: Session, broadcast: Broadcast) -> bool:
        """By the database's clock: ours and the ingest node's may differ."""
        if broadcast.interrupted_at is None:
            return False
        now = session.scalar(select(func.now()))
        assert now is not None
        waited = (now - broadcast.interrupted_at).total_seconds()
        return bool(waited > self._tools.settings.grace_seconds)

    def _rest(self) -> bool:
        """Give the worker's slot back until the feed returns or staff end it."""
        with self._tools.database.transaction() as session:
            broadcast = session.get_one(Broadcast, self._id, with_for_update=True)
            if broadcast.state != "interrupted" or self._next_take(session) is not None:
                return False
            return self._tools.rest(session)

    def _show(self, state: HeadState) -> None:
        """Change the state viewers see; said again until Redis has heard it."""
        board = self._board
        if board is not None and self._shown != state:
            board.state = state
            if publish_head(self._tools.redis, board, []):
                self._shown = state

    def _finalize(self) -> bool:
        with self._tools.database.transaction() as session:
            if finalize(session, self._id, dt.datetime.now(dt.UTC)):
                broadcast = session.get_one(Broadcast, self._id)
                self._promise(session, broadcast, "after_show", "vod")
            self._board = self._board or self._restore(session)
        deadline = time.monotonic() + LAST_WORD_SECONDS
        while self._board is not None and time.monotonic() < deadline:
            self._show("ended")
            if self._shown == "ended" or self._called_off():
                break
            self._paused.wait(IDLE_SECONDS)
        # Without Redis until the end of that: the edge learns it from the catalogue.
        return True

    def _promise(self, session: Session, broadcast: Broadcast, kind: str, queue: str) -> None:
        enqueue(
            session,
            kind=kind,
            queue=queue,
            args={"broadcast_id": broadcast.id},
            unique_key=f"{kind}:{broadcast.id}",
            broadcast_id=broadcast.id,
            centre_id=broadcast.centre_id,
            title=broadcast.title,
        )

    def _mark_aired(self, take: Take, why: str) -> None:
        log.info("live.take_aired", take=take.id, why=why)
        with self._tools.database.transaction() as session:
            session.get_one(Take, take.id).aired_at = dt.datetime.now(dt.UTC)

    # --- one take ------------------------------------------------------------------------------

    def _air(self, take: Take) -> None:
        token = take_token(self._tools.internal_token, take.id)
        feed = FeedClient(take.node_url, take.id, token, take.node_id)
        try:
            outcome = self._run_take(take, feed)
        except FeedAway as error:
            log.info("live.feed_away", take=take.id, error=str(error))
            if self._given_up(take):
                self._mark_aired(take, "its node has been away for too long")
            self._paused.wait(2 * IDLE_SECONDS)
            return
        except FeedGone:
            self._mark_aired(take, "the node has lost it")
            return
        finally:
            feed.close()
        self._away_since.pop(take.id, None)
        if outcome == "complete":
            self._mark_aired(take, "complete")
        elif outcome not in ("stopped", None):
            self._after_failure(take, outcome)

    def _given_up(self, take: Take) -> bool:
        """Whether a take whose node does not answer holds up others: after the grace time the
        show goes on without its rest, which stays on that node's disk."""
        since = self._away_since.setdefault(take.id, time.monotonic())
        if time.monotonic() - since < self._tools.settings.grace_seconds:
            return False
        with self._tools.database.transaction() as session:
            ended = session.get_one(Broadcast, self._id).state == "ended"
            later = session.scalar(
                select(Take.id).where(Take.broadcast_id == self._id, Take.seq > take.seq).limit(1)
            )
        return ended or later is not None

    def _after_failure(self, take: Take, outcome: Outcome) -> None:
        self._restarts += 1
        metrics.live_restarts.labels(why=outcome).inc()
        ladder = self._ladders.get(take.id)
        if outcome == "gop_too_long":
            # The GOPs seen so far promised too much; from here on every rung is encoded.
            source = self._sources.get(take.id)
            if source is not None:
                self._ladders[take.id] = self._choose(replace(source, gop_ms=None), None)
            return
        if outcome == "slow" and ladder is not None:
            costliest = ladder.costliest()
            if costliest is not None:
                log.warning("live.rung_dropped", rung=costliest)
                self._ladders[take.id] = ladder.without(costliest)
            return
        tries = min(self._futile.get(take.id, 0), len(BACKOFF_SECONDS) - 1)
        self._paused.wait(BACKOFF_SECONDS[tries])

    def _run_take(self, take: Take, feed: FeedClient) -> Outcome | None:
        index = feed.index(0)
        first_ms = index.entries[0][0] if index.entries else take.first_ms
        prepared = self._prepare(take, feed, first_ms)
        if prepared is None:
            return None
        ladder, source, index = prepared
        shown_ms = source.first_shown_ms if ladder.video else None
        start = self._start_point(take, first_ms if shown_ms is None else shown_ms)
        if not ladder.rungs:
            self._mark_aired(take, "nothing in it that can be shown")
            return None
        arrivals = _arrivals(index, first_ms)
        run, board, packager = self._set_up(take, start, ladder, source)
        publisher = Publisher(
            board,
            run,
            arrivals,
            database=self._tools.database,
            storage=self._tools.storage,
            client=self._tools.redis,
            bandwidth=packager.bandwidth,
            room=self._room,
        )
        board.state = self._shown = "live"
        live = LiveRun(
            binary=self._tools.ffmpeg,
            plan=RunPlan(
                url=f"{feed.url}?from_ms={start.take_ticks // TICKS_PER_MS}",
                token=feed.token,
                ladder=ladder,
                start_ms=start.take_ticks // TICKS_PER_MS,
            ),
            feed=feed,
            arrivals=arrivals,
            mixer=Mixer(ladder, packager),
            publisher=publisher,
            called_off=self._called_off,
            report=lambda status: self._report(status, ladder),
            last_try=self._futile.get(take.id, 0) >= FUTILE_RUNS,
        )
        outcome = live.go()
        self._futile[take.id] = 0 if live.slots else self._futile.get(take.id, 0) + 1
        return outcome

    def _start_point(self, take: Take, shown_ms: int) -> StartPoint:
        with self._tools.database.transaction() as session:
            end = air.air_end(session, self._token)
        if end.last_take_id == take.id:
            before = Ladder.from_json(end.last_ladder) if end.last_ladder else None
            return StartPoint(
                end.next_msn,
                end.next_ticks,
                end.last_take_end_ticks,
                True,
                _encoding(before) if before else frozenset(),
            )
        return StartPoint(end.next_msn, end.next_ticks, shown_ms * TICKS_PER_MS, False)

    # --- what a run needs ------------------------------------------------------------------------

    def _prepare(
        self, take: Take, feed: FeedClient, first_ms: int
    ) -> tuple[Ladder, SourceInfo, FeedIndex] | None:
        """The ladder for the take: an earlier run's, or one from a probe. None: called off."""
        for _ in range(PROBE_ATTEMPTS):
            index = self._wait_for_gop(feed, first_ms)
            if index is None:
                return None
            try:
                source = self._sources.get(take.id) or self._probe(feed, index, first_ms)
            except ProbeError as error:
                log.info("live.not_readable_yet", take=take.id, error=str(error))
                if index.closed:
                    self._mark_aired(take, f"unreadable: {error}")
                    return None
                self._paused.wait(2 * IDLE_SECONDS)
                continue
            self._sources[take.id] = source
            ladder = self._ladders.get(take.id) or self._kept_ladder(take)
            if ladder is None:
                ladder = self._choose(source, self._fixed_target())
            self._ladders[take.id] = ladder
            return ladder, source, index
        raise FeedAway("no readable footage yet")

    def _wait_for_gop(self, feed: FeedClient, first_ms: int) -> FeedIndex | None:
        while not self._called_off():
            index = feed.index(0)
            long_enough = index.last_ms - first_ms >= GOP_WAIT_MS
            if index.closed or len(index.entries) > 1 or long_enough:
                return index
            self._paused.wait(IDLE_SECONDS / 2)
        return None

    def _probe(self, feed: FeedClient, index: FeedIndex, first_ms: int) -> SourceInfo:
        arrivals = _arrivals(index, first_ms)
        gop_ms = arrivals.gop_ms()
        if gop_ms is None and index.closed:
            gop_ms = index.last_ms - first_ms
        source = probe_flv(feed.head(index.size), gop_ms=gop_ms)
        source = replace(source, open_gop=open_gop(_first_keys(feed, index)))
        log.info(
            "live.probed", video=str(source.video), audio=str(source.audio), gop_ms=gop_ms,
            open_gop=source.open_gop,
        )  # fmt: skip
        return source

    def _kept_ladder(self, take: Take) -> Ladder | None:
        """The ladder of the take's last run, so that a restart changes nothing for players."""
        with self._tools.database.transaction() as session:
            kept = session.scalar(
                select(Run.ladder).where(Run.take_id == take.id).order_by(Run.id.desc()).limit(1)
            )
        return Ladder.from_json(kept) if kept else None

    def _fixed_target(self) -> int | None:
        with self._tools.database.transaction() as session:
            return session.get_one(Broadcast, self._id).target_duration or None

    def _choose(self, source: SourceInfo, longest_segment: int | None) -> Ladder:
        settings = self._tools.settings
        return choose_ladder(
            source,
            cores=os.cpu_count() or 1,
            sharing=self._tools.sharing(),
            wanted=settings.rungs,
            longest_segment=longest_segment,
            on_air=self._on_air(),
        )

    def _on_air(self) -> list[str]:
        """Rungs viewers have been offered and that are still made."""
        if self._board is not None:
            return [rung.name for rung in self._board.rungs.values() if rung.on]
        with self._tools.database.transaction() as session:
            return [rung.name for rung in air.renditions(session, self._token)]

    def _set_up(
        self, take: Take, start: StartPoint, ladder: Ladder, source: SourceInfo
    ) -> tuple[RunContext, Board, Packager]:
        frame_rate = source.video.frame_rate if source.video else None
        frame_ticks = round(TIMESCALE / frame_rate) if frame_rate else 0
        part_us = pick_part_target(frame_ticks) * 100 // 9
        with self._tools.database.transaction() as session:
            part_us, target = air.fix_timing(
                session,
                self._id,
                part_target_us=part_us,
                target_duration=segment_seconds(ladder, source.gop_ms),
            )
            board = self._board or self._restore(session)
            if board is None or board.next_msn != start.msn:
                board = self._rebuild(session, part_us, target)
            board.drop_waiting()
            self._board = board
            run_id = air.start_run(
                session,
                broadcast_id=self._id,
                take_id=take.id,
                ladder=ladder.to_json(),
                take_start_ticks=start.take_ticks,
                air_start_ticks=start.air_ticks,
            )
            inits = air.known_inits(session, self._token)
            if start.msn == 0:
                self._promise(session, session.get_one(Broadcast, self._id), "poster", "vod")
        discontinuity = start.msn > 0 and not (
            start.same_take and start.encoding == _encoding(ladder)
        )
        packager = Packager(
            [RungSpec(r.name, "video" if r.kind == "video" else "audio") for r in ladder.rungs],
            RunTiming(
                part_target=part_us * 9 // 100,
                segment_target=2 * TIMESCALE,
                target_duration=target,
                take_start=start.take_ticks,
                air_start=start.air_ticks,
            ),
            ResumePoint(start.msn, start.air_ticks, board.published()),
            inits,
        )
        context = RunContext(
            token=self._token,
            take_id=take.id,
            run_id=run_id,
            take_start_ticks=start.take_ticks,
            air_start_ticks=start.air_ticks,
            discontinuity=discontinuity,
            rungs={rung.name: rung for rung in ladder.rungs},
            frame_rate=float(frame_rate) if frame_rate else None,
        )
        return context, board, packager

    # --- the board after a crash -----------------------------------------------------------------

    def _restore(self, session: Session) -> Board | None:
        """The board as the last job published it, if Redis still has it and it is not behind."""
        try:
            kept = self._tools.redis.get(air_key(self._token))
        except RedisError:
            return None
        if not isinstance(kept, bytes | str):
            return None
        try:
            head = decode_head(kept)
        except HeadError as error:
            log.warning("live.head_unreadable", error=str(error))
            return None
        board = Board.from_head(head)
        at_end = board.next_msn == air.air_end(session, self._token).next_msn
        return board if at_end and board.rungs else None

    def _rebuild(self, session: Session, part_us: int, target: int) -> Board:
        """The board from registered slots alone: nothing is known of announced parts."""
        board = Board(self._token, target_duration=target, part_target_us=part_us)
        first, discontinuities = air.window_start(session, self._token, WINDOW_SECONDS * TIMESCALE)
        board.media_sequence = first
        board.discontinuity_sequence = discontinuities
        board.next_msn = air.air_end(session, self._token).next_msn
        for r in air.renditions(session, self._token):
            listed = air.listed_segments(session, self._token, r.id, from_msn=first)
            board.rungs[r.name] = Rung(
                name=r.name,
                kind="video" if r.kind == "video" else "audio",
                codecs=r.codecs,
                width=r.width,
                height=r.height,
                frame_rate=r.frame_rate,
                bandwidth=r.bandwidth,
                average_bandwidth=r.average_bandwidth,
                segments=head_segments(listed, target),
                init=max((s.init_number for s in listed), default=0),
            )
        return board

    # --- for the desk ----------------------------------------------------------------------------

    def _room(self) -> bool:
        """Whether derived media may be written: the feed log has the last of the disk."""
        settings = self._tools.settings
        folder = self._tools.storage.local_path("live")
        if folder is None:
            return True
        while not folder.exists() and folder != Path(folder.anchor):
            folder = folder.parent
        stats = os.statvfs(folder)
        return stats.f_bavail * stats.f_frsize > settings.disk_log_only_bytes

    def _report(self, status: RunStatus, ladder: Ladder) -> None:
        board = self._board
        rungs = [
            {
                "name": rung.name,
                "copied": rung.copied,
                "width": rung.width,
                "height": rung.height,
                "bitrate_bps": board.rungs[rung.name].average_bandwidth
                if board and rung.name in board.rungs
                else 0,
            }
            for rung in ladder.rungs
        ]
        state = {
            "state": "live",
            "speed": status.speed,
            "fps": status.fps,
            "lag_ms": status.lag_ms,
            "waiting_for": status.waiting_for,
            "rungs": rungs,
            "restarts": self._restarts,
            "advice": list(ladder.advice),
            "at_us": time.time_ns() // 1000,
        }
        try:
            self._tools.redis.set(live_key(self._id), json.dumps(state), ex=STATUS_SECONDS)
        except RedisError:
            # The desk misses a reading; the show goes on.
            return
