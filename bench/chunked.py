"""Chunk-parallel transcode beside one FFmpeg over the whole file with the same ladder.

    python -m bench.chunked [--seconds 240] [--workers 1,2,4]

The same frames at the same times must come out of both. Told for each number of worker processes:
how long the work takes, and after how long its beginning can be watched.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ffmpeg
import msgspec
from sqlalchemy import select

from bench.footage import shipped
from catalog import migrate
from catalog.models import AirItem, Centre, InitSection, Rendition, Segment, Upload, Work
from infra.database import Database
from infra.embedded import postgres
from infra.embedded.running import running
from infra.ffmpeg import ffmpeg_path
from infra.ids import public_id
from infra.jobs import JobRunner, install_nudger, rows
from infra.reconciler import reconcile
from infra.settings import Settings
from infra.storage import open_storage
from infra.tables import Job
from infra.telemetry import configure_logging
from transcode.confine import NICENESS
from transcode.fmp4 import model as fmp4
from transcode.fmp4.reader import FragmentReader
from vod import chunked
from vod.chunked import jobs as _handlers  # noqa: F401 - they register
from vod.chunked.encode import CRF, ENCODER_THREADS, PRESET, SOUND_BITS
from vod.chunked.rows import Making

SLOWER_MAX = 1.35
"""Times the one command, with a worker a core: what chunks may cost in all."""
LOOK_SECONDS = 0.1
DEADLINE = 3 * 3600.0
KINDS = ("chunks", "chunk", "chunks_end")
"""What else is promised of a work is not measured here."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds from the promise of the work."""

    workers: int
    watchable: float
    ready: float


def make_original(path: Path, seconds: int) -> Path:
    """1080p25 as cameras write it: ten seconds between key frames, B-frames, AAC at 44.1 kHz."""
    subprocess.run(
        [ffmpeg_path(Settings()), "-v", "error", "-nostdin", "-stream_loop", "-1", "-i",
         str(shipped()), "-t", str(seconds), "-vf", "scale=1920:1080,fps=25", "-c:v", "libx264",
         "-preset", "ultrafast", "-bf", "2", "-b:v", "8M", "-g", "250", "-keyint_min", "250",
         "-sc_threshold", "0", "-x264-params", "open-gop=1", "-c:a", "aac", "-b:a", "192k",
         "-ar", "44100", "-ac", "2", str(path)],
        check=True,
    )  # fmt: skip
    return path


@contextmanager
def instance(folder: Path, chunk_seconds: int) -> Iterator[tuple[Settings, Database]]:
    """A database and storage of their own; the workers are ours to start."""
    settings = Settings(data=folder / "data", disk_log_only_bytes=0, chunk_seconds=chunk_seconds)
    command = postgres.prepare(settings)
    with running(command, lambda: postgres.is_ready(settings)):
        postgres.ensure_database(settings)
        migrate.upgrade(settings.resolved_database_url)
        database = Database(settings.resolved_database_url, name="bench")
        yield settings, database
        database.close()


def worker(settings: Settings) -> int:
    """One worker process of the queue `vod`, until it is killed."""
    database = Database(settings.resolved_database_url, name="bench-worker")
    install_nudger(None)
    runner = JobRunner(database, settings, threading.Event())
    while True:
        with database.transaction() as session:
            due = [job_id for job_id, _ in rows.due(session, ["vod"], 10)]
            ours = session.scalars(select(Job.id).where(Job.id.in_(due), Job.kind.in_(KINDS)))
            due = sorted(ours)
        for job_id in due:
            runner.look(job_id)
        time.sleep(LOOK_SECONDS / 2)


@contextmanager
def workers(settings: Settings, count: int) -> Iterator[None]:
    env = {
        **os.environ,
        "XITAI_DATA": str(settings.data),
        "XITAI_DISK_LOG_ONLY_BYTES": "0",
        "XITAI_CHUNK_SECONDS": str(settings.chunk_seconds),
        "XITAI_LOG_LEVEL": "WARNING",
    }
    argv = [sys.executable, "-m", "bench.chunked", "--worker"]
    started = [subprocess.Popen(argv, env=env) for _ in range(count)]
    try:
        time.sleep(2.0)  # their imports are not what is measured
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def measure(settings: Settings, database: Database, key: str, count: int) -> tuple[Measured, str]:
    """Let ``count`` workers make a work of the original; its id."""
    with workers(settings, count):
        began = time.monotonic()
        with database.transaction() as session:
            upload = Upload(
                id=public_id(), centre_id="c1", purpose="recording", state="registered",
                file_name="bench.mp4", title="bench", storage_key=key, sha256=public_id(64),
                size_bytes=open_storage(settings).size(key) or 0,
            )  # fmt: skip
            session.add(upload)
            session.flush()
            work_id = chunked.begin(session, upload).id
        watchable = 0.0
        while time.monotonic() - began < DEADLINE:
            time.sleep(LOOK_SECONDS)
            reconcile(database, lambda job_id, queue: None)
            with database.transaction() as session:
                work = session.get_one(Work, work_id)
                query = select(AirItem.msn).where(AirItem.token == work.media_token).limit(1)
                if not watchable and session.scalar(query) is not None:
                    watchable = time.monotonic() - began
                if work.state != "making":
                    assert work.state == "ready", work.making
                    return Measured(count, watchable, time.monotonic() - began), work_id
    raise TimeoutError("the work did not get ready")


# --- beside it -------------------------------------------------------------------------------


def one_command(original: Path, making: Making, folder: Path) -> float:
    """The same rungs by one FFmpeg over the whole file; seconds."""
    source = ffmpeg.input(f"file:{original}")
    rungs = making.recipe.encoded
    branches = source["v:0"].filter_multi_output("split", len(rungs))
    outputs = []
    for index, rung in enumerate(rungs):
        scaled = (
            branches.stream(index)
            .filter("scale", rung.width, rung.height, flags="bicubic+accurate_rnd")
            .filter("setsar", 1)
            .filter("format", "yuv420p")
        )
        options: dict[str, Any] = {
            "c:v": "libx264", "preset": PRESET, "profile:v": "high", "crf": CRF,
            "maxrate": rung.bit_rate, "bufsize": rung.bit_rate * 3 // 2,
            "threads": ENCODER_THREADS, "x264-params": "open-gop=0",
            "enc_time_base:v": "1/90000", "video_track_timescale": 90_000,
            "fps_mode:v": "passthrough", "force_key_frames": "expr:gte(t,n_forced*2)",
            "movflags": "empty_moov+default_base_moof+frag_keyframe", "f": "mp4",
        }  # fmt: skip
        outputs.append(ffmpeg.output(scaled, f"file:{folder / rung.name}.mp4", **options))
    outputs.append(
        ffmpeg.output(
            source["a:0"], f"file:{folder / 'a.mp4'}",
            **{"c:a": "aac", "b:a": SOUND_BITS, "ar": 48_000, "ac": 2},
        )
    )  # fmt: skip
    graph = ffmpeg.merge_outputs(*outputs).global_args("-v", "error", "-nostdin", "-copyts")
    argv = ffmpeg.compile(graph, cmd=ffmpeg_path(Settings()), overwrite_output=True)
    # As nice to others as the workers' own.
    argv = ["nice", "-n", str(NICENESS), *argv]
    began = time.monotonic()
    subprocess.run(argv, check=True)
    return time.monotonic() - began


def times_in(path: Path) -> list[int]:
    """When the pictures of a fragmented file are shown, in ticks from the first."""
    reader, found = FragmentReader(), []
    track: fmp4.Track | None = None
    with path.open("rb") as file:
        while data := file.read(1 << 20):
            for item in reader.feed(data):
                if isinstance(item, fmp4.InitSection):
                    track = item.track("video")
                elif track is not None:
                    found += [(s.dts + s.cts) * 90_000 // track.timescale for s in item.samples]
    found.sort()
    return [at - found[0] for at in found]


def joined(settings: Settings, database: Database, work_id: str, name: str, path: Path) -> Path:
    """A rung of a work as one file."""
    storage = open_storage(settings)
    with database.transaction() as session:
        token = session.get_one(Work, work_id).media_token
        row = session.scalars(
            select(Rendition).where(Rendition.token == token, Rendition.name == name)
        ).one()
        (init,) = session.scalars(select(InitSection).where(InitSection.rendition_id == row.id))
        segments = session.scalars(
            select(Segment).where(Segment.rendition_id == row.id).order_by(Segment.msn)
        ).all()
    blobs = [(init.storage_key, init.byte_offset or 0, init.size_bytes)]
    blobs += [(s.storage_key, s.byte_offset, s.size_bytes) for s in segments]
    with path.open("wb") as out:
        for key, at, size in blobs:
            out.write(storage.open_range(key, at, at + size))
    return path


def differences(
    settings: Settings, database: Database, work_id: str, making: Making, folder: Path
) -> list[str]:
    """Rungs whose frames or times are not those of the one command."""
    found = []
    for rung in making.recipe.encoded:
        path = joined(settings, database, work_id, rung.name, folder / "joined.mp4")
        ours, theirs = times_in(path), times_in(folder / f"{rung.name}.mp4")
        if ours != theirs:
            found.append(f"{rung.name}: {len(ours)} frames, {len(theirs)} in one run")
        path.unlink()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=240)
    parser.add_argument("--chunk", type=int, default=60)
    parser.add_argument("--workers", default="")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    configure_logging(Settings(log_level="WARNING"), "bench")
    if asked.worker:
        return worker(Settings())
    cores = usable_cores()
    counts = [int(word) for word in asked.workers.split(",") if word] or sorted({1, 2, cores})
    with tempfile.TemporaryDirectory(prefix="xitai-chunked-") as name:
        folder = Path(name)
        original = make_original(folder / "original.mp4", asked.seconds)
        with instance(folder, asked.chunk) as (settings, database):
            return compare(settings, database, original, counts, asked.seconds, folder)


def usable_cores() -> int:
    """Those this process may run on."""
    return len(os.sched_getaffinity(0))


def say(line: str) -> None:
    """At once: a long run tells how far it is."""
    print(line, flush=True)


def compare(
    settings: Settings, database: Database, original: Path, counts: list[int], seconds: int,
    folder: Path,
) -> int:  # fmt: skip
    """Measure, print, and say whether it holds."""
    cores = usable_cores()
    key = "originals/bench/original.mp4"
    open_storage(settings).put_file(key, original)
    with database.transaction() as session:
        session.add(Centre(id="c1", name="bench", path="c1/"))
    measured, wrong = [], []
    beside = 0.0
    for count in counts:
        one, work_id = measure(settings, database, key, count)
        measured.append(one)
        with database.transaction() as session:
            making = msgspec.convert(session.get_one(Work, work_id).making, Making)
        if not beside:
            beside = one_command(original, making, folder)
            rungs = " ".join(rung.name for rung in making.recipe.rungs)
            say(f"{seconds} s of 1080p25 into {rungs}, {making.chunks} chunks, {cores} cores")
            pace = seconds / beside
            say(f"one FFmpeg over the whole file    {beside:7.1f} s  {pace:5.2f}x real time")
        say(
            f"{one.workers:3d} worker processes              {one.ready:7.1f} s  "
            f"{seconds / one.ready:5.2f}x real time  {one.ready / beside:5.2f} of the one command  "
            f"{measured[0].ready / one.ready:5.2f}x {measured[0].workers} worker(s)  "
            f"watchable after {one.watchable:.1f} s"
        )
        wrong += differences(settings, database, work_id, making, folder)
    for line in wrong:
        print(f"    WRONG: {line}")
    if not wrong:
        print(f"the same {making.pictures} frames at the same times in every rung of every run")
    best = min(one.ready for one in measured)
    held = not wrong and best <= SLOWER_MAX * beside
    print("holds" if held else f"does NOT hold (at most {SLOWER_MAX} of the one command)")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
