"""The director on a feed of its own making, with real PostgreSQL, Redis and FFmpeg."""

from __future__ import annotations

import datetime as dt
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import av
import psutil
import pytest
import redis
from sqlalchemy import select

from catalog.broadcasts import close_take, create_broadcast, end_broadcast, open_take
from catalog.models import AirItem, Broadcast, Centre, Run, Take
from infra.database import Database
from infra.redis import air_key
from infra.settings import Settings
from infra.storage import Storage, open_storage
from infra.tables import Job
from ingest import flv
from tests.support.media import Footage, make_footage, read_numbers
from transcode.fmp4.nal import is_idr
from transcode.hls.head import AirHead, decode_head
from transcode.ladder import Ladder
from transcode.live.director import Director, Tools
from transcode.live.publisher import NotOurs

FIRST_ARRIVAL_US = 1_790_000_000_000_000


@dataclass
class Tag:
    """A tag of the log: where it lies, and what it is."""

    offset: int
    end: int
    ts_ms: int
    kind: int
    key: bool


class FakeNode:
    """A feed server that holds one log and lets out as much of it as it is told."""

    def __init__(self, path: Path) -> None:
        self.data = path.read_bytes()
        self.tags = [
            Tag(t.offset, t.end, t.timestamp_ms, t.kind, t.is_keyframe) for t in flv.scan(self.data)
        ]
        first = next(i for i, t in enumerate(self.tags) if t.kind == 9 and t.key)
        headers = [i for i, t in enumerate(self.tags[: first + 4]) if t.ts_ms == 0]
        self.preamble = self.data[:13] + b"".join(
            self.data[self.tags[i].offset : self.tags[i].end]
            for i in headers
            if flv.classify(self.tags[i].kind, self._payload(i)).is_sequence_header
        )
        self.media = [
            t
            for i, t in enumerate(self.tags)
            if t.kind in (8, 9) and flv.classify(t.kind, self._payload(i)).is_coded
        ]
        self.let_out = 0
        self.closed = False
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _payload(self, index: int) -> bytes:
        tag = self.tags[index]
        return self.data[tag.offset + 11 : tag.end - 4]

    def play(self, until_ms: int, speed: float = 4.0) -> None:
        """Let tags out at a multiple of real time."""
        begun, start = time.monotonic(), self.media[self.let_out].ts_ms
        while self.let_out < len(self.media) and self.media[self.let_out].ts_ms < until_ms:
            due = (self.media[self.let_out].ts_ms - start) / 1000 / speed
            time.sleep(max(0.0, begun + due - time.monotonic()))
            self.let_out += 1

    def index(self, from_ms: int) -> dict[str, object]:
        out = self.media[: self.let_out]
        keys = [t for t in out if t.key and t.kind == 9]
        late = [t for t in keys if t.ts_ms <= from_ms][-1:] + [t for t in keys if t.ts_ms > from_ms]
        video = [t.ts_ms for t in out if t.kind == 9]
        audio = [t.ts_ms for t in out if t.kind == 8]
        return {
            "entries": [[t.ts_ms, t.offset, FIRST_ARRIVAL_US + t.ts_ms * 1000] for t in late],
            "closed": self.closed,
            "last_video_ms": video[-1] if video else None,
            "last_audio_ms": audio[-1] if audio else None,
            "first_arrival_us": FIRST_ARRIVAL_US + self.media[0].ts_ms * 1000,
            "size": out[-1].end if out else 0,
        }

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        node = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *words: object) -> None:
                """Quiet."""

            def do_GET(self) -> None:
                url = urlsplit(self.path)
                from_ms = int(parse_qs(url.query).get("from_ms", ["0"])[0])
                if url.path.endswith("/index"):
                    body = json.dumps(node.index(from_ms)).encode()
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                    return
                self.send_response(200)
                self.end_headers()
                try:
                    self._follow(from_ms)
                except OSError:
                    return

            def _follow(self, from_ms: int) -> None:
                self.wfile.write(node.preamble)
                keys = [
                    i for i, t in enumerate(node.media)
                    if t.key and t.kind == 9 and t.ts_ms <= from_ms
                ]  # fmt: skip
                at = keys[-1] if keys else 0
                while True:
                    while at < node.let_out:
                        tag = node.media[at]
                        self.wfile.write(node.data[tag.offset : tag.end])
                        at += 1
                    self.wfile.flush()
                    if node.closed and at >= node.let_out:
                        return
                    time.sleep(0.01)

        return Handler

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@dataclass
class Stage:
    """A broadcast with one open take, and a director to run on it."""

    database: Database
    storage: Storage
    client: redis.Redis
    node: FakeNode
    tools: Tools
    broadcast_id: str
    token: str
    take_id: str
    stop: threading.Event = field(default_factory=threading.Event)
    outcome: list[str] = field(default_factory=list)
    thread: threading.Thread | None = None

    def start(self) -> None:
        self.stop.clear()
        director = Director(self.broadcast_id, self.tools, self.stop.is_set)

        def work() -> None:
            try:
                self.outcome.append(director.direct())
            except NotOurs:
                self.outcome.append("not ours")

        self.thread = threading.Thread(target=work, daemon=True)
        self.thread.start()

    def join(self, seconds: float = 30.0) -> str:
        assert self.thread is not None
        self.thread.join(seconds)
        assert not self.thread.is_alive(), "the director did not come to an end"
        return self.outcome[-1]

    def finish_feed(self) -> None:
        """The encoder stops and staff end the show."""
        self.node.closed = True
        out = self.node.media[: self.node.let_out]
        with self.database.transaction() as session:
            close_take(
                session, self.take_id, ended_by="unpublished",
                last_arrival_us=FIRST_ARRIVAL_US + out[-1].ts_ms * 1000, first_ms=0,
                last_video_ms=max(t.ts_ms for t in out if t.kind == 9),
                last_audio_ms=max(t.ts_ms for t in out if t.kind == 8),
                end_ms=out[-1].ts_ms + 40, video_frames=0, size_bytes=out[-1].end,
            )  # fmt: skip
            end_broadcast(session, self.broadcast_id, dt.datetime.now(dt.UTC))

    def head(self) -> AirHead | None:
        data = self.client.get(air_key(self.token))
        return decode_head(data) if isinstance(data, bytes) else None

    def items(self) -> list[AirItem]:
        with self.database.transaction() as session:
            return list(
                session.scalars(
                    select(AirItem).where(AirItem.token == self.token).order_by(AirItem.msn)
                )
            )

    def wait(self, condition: Callable[[], bool], seconds: float = 20.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.02)

    def frames(self, rung: str, folder: Path) -> list[int | None]:
        """Frame numbers of everything registered for a rung with one init section."""
        prefix = f"live/{self.token}/{rung}/"
        keys = sorted(k for k in self.storage.list(prefix) if k.endswith(".m4s"))
        path = folder / f"{rung}.mp4"
        path.write_bytes(b"".join(self.storage.get(k) for k in [f"{prefix}init0.mp4", *keys]))
        return read_numbers(path)


def ffmpeg_children() -> list[psutil.Process]:
    return [c for c in psutil.Process().children() if "-copyts" in c.cmdline()]


@pytest.fixture
def stage_of(
    settings: Settings, database: Database, redis_client: redis.Redis, ffmpeg: str
) -> Iterator[Callable[[Path], Stage]]:
    made: list[Stage] = []

    def make(source: Path) -> Stage:
        node = FakeNode(source)
        with database.transaction() as session:
            session.add(Centre(id="c", name="馆", path="c/"))
            session.flush()
            new = create_broadcast(session, title="夜场", centre_id="c")
            take = open_take(
                session, feed_id=new.feed.id, node_url=node.url,
                first_arrival_us=FIRST_ARRIVAL_US, codecs={"video": "h264", "audio": "aac"},
            )  # fmt: skip
            ids = new.broadcast.id, new.broadcast.media_token, take.id
        quick = settings.model_copy(
            update={"rungs": ("v360", "a"), "disk_log_only_bytes": 0, "grace_seconds": 5}
        )
        storage = open_storage(quick)
        tools = Tools(
            settings=quick, database=database, storage=storage, redis=redis_client,
            ffmpeg=ffmpeg, internal_token="token", sharing=lambda: 1, rest=lambda session: True,
        )  # fmt: skip
        stage = Stage(database, storage, redis_client, node, tools, *ids)
        made.append(stage)
        return stage

    yield make
    for stage in made:
        stage.stop.set()
        if stage.thread is not None:
            stage.thread.join(10)
        stage.node.close()


@pytest.fixture(scope="module")
def source(ffmpeg: str, media_folder: Path) -> Path:
    return make_footage(
        ffmpeg, media_folder / "director.flv", Footage(16, size=(640, 360), bitrate="600k")
    )


def test_a_take_is_aired_whole_and_the_show_is_finalised(
    stage_of: Callable[[Path], Stage], source: Path, tmp_path: Path
) -> None:
    stage = stage_of(source)
    stage.start()
    stage.node.play(16_000)
    stage.finish_feed()
    assert stage.join() == "finalized"
    assert stage.frames("v360", tmp_path) == list(range(400))
    items = stage.items()
    assert not any(item.discontinuity for item in items)
    begun = items[0].pdt_us
    assert [item.pdt_us - begun for item in items[:3]] == [0, 2_000_000, 4_000_000]
    head = stage.head()
    assert head is not None
    assert head.state == "ended"
    with stage.database.transaction() as session:
        assert session.get_one(Broadcast, stage.broadcast_id).finalized_at is not None
        assert session.get_one(Take, stage.take_id).aired_at is not None
        kinds = set(session.scalars(select(Job.kind)))
    assert {"live", "poster", "after_show"} <= kinds


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_dead_or_frozen_ffmpeg_costs_nothing(
    stage_of: Callable[[Path], Stage], source: Path, tmp_path: Path, signal_number: int
) -> None:
    stage = stage_of(source)
    stage.start()
    stage.node.play(5_000)
    stage.wait(lambda: len(stage.items()) >= 1)
    for child in ffmpeg_children():
        child.send_signal(signal_number)
    stage.node.play(16_000)
    stage.finish_feed()
    assert stage.join(60) == "finalized"
    assert stage.frames("v360", tmp_path) == list(range(400))


def test_called_off_it_stops_at_once_and_another_goes_on(
    stage_of: Callable[[Path], Stage], source: Path, tmp_path: Path
) -> None:
    stage = stage_of(source)
    stage.start()
    stage.node.play(6_500)
    stage.wait(lambda: len(stage.items()) >= 2)
    called_off = time.monotonic()
    stage.stop.set()
    assert stage.join() == "stopped"
    assert time.monotonic() - called_off < 2
    assert ffmpeg_children() == []
    assert not [t for t in threading.enumerate() if t.name == "publisher"]
    stage.start()
    stage.node.play(16_000)
    stage.finish_feed()
    assert stage.join() == "finalized"
    assert stage.frames("v360", tmp_path) == list(range(400))
    assert not any(item.discontinuity for item in stage.items())


def test_parts_announced_before_a_restart_stay_as_they_were(
    stage_of: Callable[[Path], Stage], source: Path
) -> None:
    stage = stage_of(source)
    stage.start()
    stage.node.play(5_200)

    def open_parts() -> list[int]:
        head = stage.head()
        rung = head.rendition("v360") if head else None
        return [p.dur for p in rung.parts] if rung and rung.next_msn == 2 else []

    stage.wait(lambda: len(open_parts()) >= 2)
    stage.stop.set()
    stage.join()
    before = open_parts()
    stage.start()
    stage.node.play(9_000)
    stage.wait(lambda: len(stage.items()) > 3)
    head = stage.head()
    rung = head.rendition("v360") if head else None
    assert rung is not None
    third = next(s for s in rung.segments if s.msn == 2)
    assert [p.dur for p in third.parts][: len(before)] == before
    assert sum(p.dur for p in third.parts) == third.dur


def test_without_redis_the_show_is_kept_and_its_end_is_told_later(
    stage_of: Callable[[Path], Stage], source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = stage_of(source)
    away = threading.Event()
    execute = redis.client.Pipeline.execute

    def failing(pipeline: redis.client.Pipeline, raise_on_error: bool = True) -> list[object]:
        if away.is_set():
            raise redis.ConnectionError("away")
        return execute(pipeline, raise_on_error)

    monkeypatch.setattr(redis.client.Pipeline, "execute", failing)
    stage.start()
    stage.node.play(5_000)
    away.set()
    stage.node.play(16_000)
    stage.finish_feed()
    stage.wait(lambda: len(stage.items()) == 8)
    time.sleep(0.5)
    away.clear()
    assert stage.join() == "finalized"
    assert stage.frames("v360", tmp_path) == list(range(400))
    head = stage.head()
    assert head is not None
    assert head.state == "ended"


def test_key_frames_that_grow_too_far_apart_switch_to_encoding_once(
    stage_of: Callable[[Path], Stage], ffmpeg: str, media_folder: Path
) -> None:
    path = make_footage(
        ffmpeg,
        media_folder / "director-gop.flv",
        Footage(
            16, size=(640, 360), bitrate="600k", gop_seconds=20,
            video_args=("-force_key_frames", "0,2,4"),
        ),
    )  # fmt: skip
    stage = stage_of(path)
    stage.start()
    stage.node.play(16_000)
    stage.finish_feed()
    assert stage.join(60) == "finalized"
    items = stage.items()
    assert [item.msn for item in items if item.discontinuity] == [3]
    assert sum(item.duration_ticks for item in items) == 16 * 90_000
    numbers: list[int | None] = []
    for init, chosen in (("init0.mp4", items[:3]), ("init1.mp4", items[3:])):
        prefix = f"live/{stage.token}/v360/"
        keys = [
            k for k in sorted(stage.storage.list(prefix))
            if k.endswith(".m4s") and int(k.rsplit("/", 1)[1][:8]) in {i.msn for i in chosen}
        ]  # fmt: skip
        joined = media_folder / f"{stage.token}-{init}"
        joined.write_bytes(b"".join(stage.storage.get(k) for k in [prefix + init, *keys]))
        numbers += read_numbers(joined)
    assert numbers == list(range(400))


def test_open_groups_are_encoded_so_that_every_player_can_begin(
    stage_of: Callable[[Path], Stage], ffmpeg: str, media_folder: Path, tmp_path: Path
) -> None:
    path = make_footage(
        ffmpeg,
        media_folder / "director-open.flv",
        Footage(
            10, size=(640, 360), bitrate="600k", b_frames=2,
            video_args=("-x264-params", "open-gop=1"),
        ),
    )  # fmt: skip
    stage = stage_of(path)
    stage.start()
    stage.node.play(10_000)
    stage.finish_feed()
    assert stage.join(60) == "finalized"
    with stage.database.transaction() as session:
        ladder = Ladder.from_json(session.scalars(select(Run.ladder)).one())
    assert [rung.copied for rung in ladder.video] == [False]
    assert "open_gop" in ladder.advice
    assert stage.frames("v360", tmp_path) == list(range(250))
    with av.open(str(tmp_path / "v360.mp4")) as container:
        stream = container.streams.video[0]
        config = stream.codec_context.extradata or b""
        keys = [bytes(p) for p in container.demux(stream) if p.is_keyframe]
    assert len(keys) == 5
    assert all(is_idr("h264", config, sample) for sample in keys)


def test_a_slot_another_job_registered_ends_the_run(
    stage_of: Callable[[Path], Stage], source: Path
) -> None:
    stage = stage_of(source)
    stage.start()
    stage.node.play(6_000)
    stage.wait(lambda: len(stage.items()) >= 2)
    with stage.database.transaction() as session:
        last = session.scalars(select(AirItem).order_by(AirItem.msn.desc())).first()
        assert last is not None
        session.add(
            AirItem(
                token=last.token, msn=last.msn + 1, source="feed", take_id=last.take_id,
                run_id=None, take_start_ms=0, start_ticks=last.start_ticks + last.duration_ticks,
                duration_ticks=1, pdt_us=last.pdt_us,
            )
        )  # fmt: skip
    stage.node.play(12_000)
    assert stage.join() == "not ours"
    assert ffmpeg_children() == []
