"""Builds registered shows for the tests of this folder: footage through FFmpeg, the fragment reader
and the packager into storage and rows, as the live job does, only without a feed server."""

from __future__ import annotations

import datetime as dt
import hashlib
import subprocess
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
from sqlalchemy import select

from catalog import air
from catalog.air import RenditionSpec, Slot, SlotSegment
from catalog.broadcasts import close_take, create_broadcast, end_broadcast, finalize, open_take
from catalog.models import Broadcast, Centre, InitSection, Rendition, Segment
from infra.database import Database
from infra.settings import Settings
from infra.storage import Storage, open_storage
from tests.support.media import Footage, make_footage
from transcode.fmp4.reader import FragmentReader
from transcode.hls.events import (
    InitReady,
    PackagerEvent,
    ResumePoint,
    RungSpec,
    RunTiming,
    SlotReady,
)
from transcode.hls.head import segment_key
from transcode.hls.packager import Packager, init_digest, pick_part_target
from vod.tools import Tools

START_US = 1_767_000_000_000_000


@dataclass(frozen=True, slots=True)
class TakeMade:
    """A take of a show and where its first frame is on the air timeline."""

    footage: Footage
    path: Path
    take_id: str
    air_start: int


@dataclass(slots=True)
class Show:
    """A broadcast with registered segments."""

    settings: Settings
    database: Database
    storage: Storage
    ffmpeg: str
    folder: Path
    broadcast_id: str
    token: str
    takes: list[TakeMade] = field(default_factory=list)

    @property
    def tools(self) -> Tools:
        return Tools(self.settings, self.database, self.storage)

    def frames(self) -> list[tuple[int, int]]:
        """(tick it is shown at, number) of every frame on air, in order, as the logs have them."""
        found = []
        for take in self.takes:
            with av.open(str(take.path)) as log:
                times = sorted(
                    int(packet.pts * packet.time_base * 90_000)
                    for packet in log.demux(log.streams.video[0])
                    if packet.pts is not None and packet.time_base is not None
                )
            assert len(times) == take.footage.frames
            first = take.footage.first
            found += [(take.air_start + at, first + n) for n, at in enumerate(times)]
        return found

    def end(self, *, final: bool = True) -> None:
        now = dt.datetime.now(dt.UTC)
        with self.database.transaction() as session:
            end_broadcast(session, self.broadcast_id, now)
            if final:
                assert finalize(session, self.broadcast_id, now)

    def broadcast(self) -> Broadcast:
        with self.database.transaction() as session:
            return session.get_one(Broadcast, self.broadcast_id)


def new_show(settings: Settings, database: Database, ffmpeg: str, folder: Path) -> Show:
    """An empty broadcast."""
    with database.transaction() as session:
        if session.get(Centre, "c1") is None:
            session.add(Centre(id="c1", name="县文化馆", path="c1/"))
            session.flush()
        new = create_broadcast(session, title="村晚", centre_id="c1")
        broadcast = new.broadcast
    return Show(
        settings, database, open_storage(settings), ffmpeg, folder, broadcast.id,
        broadcast.media_token,
    )  # fmt: skip


def air_take(
    show: Show, footage: Footage, media: Path, *, rungs: tuple[str, ...] = ("v", "a")
) -> None:
    """Publish ``footage`` as one take: a copied picture rung with sound, and the sound alone.

    A rung called "s" is the picture scaled to 180 lines, with its own encoder.
    """
    name = "-".join(
        str(part).replace("/", "_")
        for part in (
            footage.seconds, footage.fps, footage.size[1], footage.first, footage.b_frames,
            footage.preset, int(footage.audio), int(footage.video),
        )
    )  # fmt: skip
    air_file(show, make_footage(show.ffmpeg, media / f"show-{name}.flv", footage), footage, rungs)


def air_file(show: Show, path: Path, footage: Footage, rungs: tuple[str, ...] = ("v", "a")) -> None:
    """The same of a file that is there; ``footage`` says what is in it."""
    names = {"v": f"v{footage.size[1]}", "s": "v180", "a": "a"}
    if not footage.video:
        rungs = ("a",)
    with show.database.transaction() as session:
        feed = session.get_one(Broadcast, show.broadcast_id).feeds[0]
        take = open_take(
            session, feed_id=feed.id, node_url="http://127.0.0.1:9", first_arrival_us=START_US,
            codecs={},
        )  # fmt: skip
        end = air.air_end(session, show.token)
        part = pick_part_target(int(90_000 / Fraction(footage.fps)))
        part_us, target = air.fix_timing(
            session, show.broadcast_id, part_target_us=part * 100 // 9, target_duration=3
        )
        run_id = air.start_run(
            session, broadcast_id=show.broadcast_id, take_id=take.id, ladder={},
            take_start_ticks=0, air_start_ticks=end.next_ticks,
        )  # fmt: skip
        known = {
            rendition.name: [
                row.sha256
                for row in session.scalars(
                    select(InitSection)
                    .where(InitSection.rendition_id == rendition.id)
                    .order_by(InitSection.number)
                )
            ]
            for rendition in session.scalars(select(Rendition).where(Rendition.token == show.token))
        }
    packager = Packager(
        [RungSpec(names[r], "audio" if r == "a" else "video") for r in rungs],
        RunTiming(part_us * 9 // 100, 2 * 90_000, target, 0, end.next_ticks),
        ResumePoint(end.next_msn, end.next_ticks),
        known,
    )
    registrar = _Registrar(show, take.id, run_id, end.next_ticks, bool(show.takes))
    readers = {rung: FragmentReader() for rung in rungs}
    data = {rung: _fragments(show.ffmpeg, path, rung, footage) for rung in rungs}
    step = 1 << 16
    for at in range(0, max(map(len, data.values())), step):
        for rung in rungs:
            items = readers[rung].feed(data[rung][at : at + step])
            registrar.take(packager.feed(names[rung], items), packager)
    registrar.take(packager.flush(end=True), packager)
    with show.database.transaction() as session:
        ms = round(footage.seconds * 1000)
        close_take(
            session, take.id, ended_by="encoder", last_arrival_us=START_US + ms * 1000, first_ms=0,
            last_video_ms=ms, last_audio_ms=ms, end_ms=ms, video_frames=footage.frames,
            size_bytes=path.stat().st_size,
        )  # fmt: skip
    show.settings.feeds_dir.mkdir(parents=True, exist_ok=True)
    (show.settings.feeds_dir / f"{take.id}.flv").write_bytes(path.read_bytes())
    show.takes.append(TakeMade(footage, path, take.id, end.next_ticks))


def _fragments(ffmpeg: str, source: Path, rung: str, footage: Footage) -> bytes:
    codecs = {
        "v": ["-map", "0:v", "-map", "0:a?", "-c", "copy"],
        "s": [
            "-map", "0:v", "-map", "0:a?", "-c:a", "copy", "-vf", "scale=-2:180", "-c:v",
            "libx264", "-preset", "ultrafast", "-bf", "0", "-force_key_frames", "source",
            "-sc_threshold", "0", "-enc_time_base", "demux", "-fps_mode", "passthrough",
        ],
        "a": ["-map", "0:a", "-c", "copy"],
    }[rung]  # fmt: skip
    argv = [
        ffmpeg, "-hide_banner", "-nostdin", "-loglevel", "error", "-copyts", "-i", str(source),
        *codecs, "-f", "mp4", "-movflags", "empty_moov+default_base_moof+frag_discont+skip_trailer",
        "-frag_duration", "480000", "-video_track_timescale", "90000", "-use_editlist", "0",
        "-avoid_negative_ts", "disabled", "pipe:1",
    ]  # fmt: skip
    return subprocess.run(argv, check=True, stdout=subprocess.PIPE).stdout


class _Registrar:
    """Packager events into storage and rows."""

    def __init__(self, show: Show, take_id: str, run_id: int, start: int, again: bool) -> None:
        self._show = show
        self._take_id = take_id
        self._run_id = run_id
        self._start = start
        self._discontinuity = again
        self._ids: dict[str, int] = {}

    def take(self, events: list[PackagerEvent | SlotReady], packager: Packager) -> None:
        for event in events:
            if isinstance(event, InitReady):
                self._init(event)
            elif isinstance(event, SlotReady):
                self._slot(event, packager)

    def _init(self, event: InitReady) -> None:
        show = self._show
        with show.database.transaction() as session:
            rendition_id = air.ensure_rendition(
                session,
                show.token,
                RenditionSpec(
                    event.rendition, "video" if event.width else "audio", True, event.codecs,
                    event.width, event.height, 25.0 if event.width else None,
                ),
            )  # fmt: skip
            number, key, new = air.ensure_init(
                session, rendition_id, sha256=init_digest(event.data), size=len(event.data),
                storage_key_pattern=f"live/{show.token}/{event.rendition}/init{{n}}.mp4",
            )  # fmt: skip
            assert number == event.number
            if new:
                show.storage.put_bytes(key, event.data)
        self._ids[event.rendition] = rendition_id

    def _slot(self, event: SlotReady, packager: Packager) -> None:
        show = self._show
        segments = []
        for name, made in event.segments.items():
            if made.gap:
                continue
            key = segment_key(show.token, name, event.msn, self._run_id)
            show.storage.put_bytes(key, made.data)
            segments.append(
                SlotSegment(
                    self._ids[name], made.init, key, len(made.data), made.dur_ticks,
                    [(p.dur, p.size, p.independent) for p in made.parts],
                )
            )  # fmt: skip
        with show.database.transaction() as session:
            assert air.register_slot(
                session,
                Slot(
                    token=show.token, msn=event.msn, take_id=self._take_id, run_id=self._run_id,
                    take_start_ms=(event.start_tick - self._start) // 90,
                    start_ticks=event.start_tick, duration_ticks=event.dur_ticks,
                    pdt_us=START_US + event.start_tick * 100 // 9,
                    discontinuity=self._discontinuity, segments=segments,
                ),
            )  # fmt: skip
            for name in event.segments:
                peak, average = packager.bandwidth(name)
                air.set_bandwidth(session, self._ids[name], peak=peak, average=average)
        self._discontinuity = False


def key_of(show: Show, rung: str, msn: int) -> str:
    """Where a registered segment lies."""
    with show.database.transaction() as session:
        return session.scalars(
            select(Segment.storage_key)
            .join(Rendition, Rendition.id == Segment.rendition_id)
            .where(Rendition.token == show.token, Rendition.name == rung, Segment.msn == msn)
        ).one()


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
