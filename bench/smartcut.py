"""Smart cuts at random points, judged frame by frame, beside the peer `smartcut` 1.7; and what a
3-minute clip out of a 2-hour 1080p programme takes.

    python -m bench.smartcut [points] [hours]

The peer is installed into an environment of its own that goes afterwards; where that is not
possible its lines say "skipped".
"""

from __future__ import annotations

import hashlib
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Final

from bench.chunked import instance
from catalog.models import AirItem, Centre, InitSection, Rendition, Segment, Work
from infra.database import Database
from infra.ffmpeg import ffmpeg_path
from infra.ids import public_id, secret_token
from infra.jobs import JobRunner, install_nudger
from infra.settings import Settings
from infra.telemetry import configure_logging
from tests.support.cuts import (
    KINDS,
    PSNR_LEAST,
    SYNC_SECONDS,
    TICKS,
    VFR,
    CutRig,
    CutSource,
    judge,
    random_cuts,
)
from tests.support.media import Footage, make_footage, read_numbers
from vod import jobs as _handlers  # noqa: F401 - they register
from vod.clips import request_clip

POINTS: Final = 200
PEER: Final = "smartcut==1.7"
PEER_CUTS: Final = 4
"""Of each kind; it is asked for the first ones of ours."""
_ASIDE: Final = 800
"""Ticks; about a quarter of a frame."""
CLIP_SECONDS: Final = 180
CLIP_LIMIT: Final = 2.0
"""Seconds that such a clip may take."""
LONG_BITS: Final = "4000k"
START_US: Final = 1_767_000_000_000_000
_LOOP_SECONDS: Final = 64
"""A whole number of pictures and of frames of sound: the loops join without a seam."""
_AGAIN: Final = 3


@dataclass
class Tally:
    """Of one kind of source."""

    cuts: int = 0
    faults: list[str] = field(default_factory=list)
    psnr: float = math.inf
    sync: float = 0.0
    copied: int = 0
    encoded: int = 0


def sweep(rig: CutRig, kind: str, count: int, seed: int) -> Tally:
    """Random cuts of one kind, each judged."""
    source, tally = rig.made(kind), Tally()
    for start, stop in random_cuts(source, count, seed):
        result = rig.cut([source.piece(start, stop)])
        verdict = judge(rig, source, start, stop, result)
        tally.cuts += 1
        tally.faults += [f"[{start}, {stop}): {fault}" for fault in verdict.faults]
        tally.psnr = min(tally.psnr, verdict.psnr)
        tally.sync = max(tally.sync, verdict.sync)
        tally.copied += result.copied_frames
        tally.encoded += result.encoded_frames
    return tally


# --- the peer --------------------------------------------------------------------------------


def install_peer(folder: Path) -> Path | None:
    """Its program, in an environment of its own; None when it can't be had."""
    environment = folder / "peer"
    for words in (
        [sys.executable, "-m", "venv", str(environment)],
        [str(environment / "bin" / "pip"), "install", "-q", PEER],
    ):
        done = subprocess.run(words, capture_output=True, check=False, timeout=600)
        if done.returncode:
            return None
    program = environment / "bin" / "smartcut"
    return program if program.exists() else None


def peer_cut(program: Path, source: Path, target: Path, start: float, stop: float) -> str:
    """What it complains about."""
    target.unlink(missing_ok=True)
    words = [str(program), str(source), str(target), "--keep", f"{start:.6f},{stop:.6f}"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=600)
    return "" if done.returncode == 0 and target.exists() else done.stderr[-300:] or "no file"


def peer_sweep(rig: CutRig, program: Path, kind: str, seed: int) -> tuple[int, int, int]:
    """(cuts, those with exactly the asked frames, those that decode in silence)."""
    source, exact, silent = rig.made(kind), 0, 0
    target = rig.folder / "peer.mp4"
    cuts = random_cuts(source, PEER_CUTS, seed)
    for start, stop in cuts:
        expected = source.expected(start, stop)
        behind = [tick for tick, _ in source.shown if tick >= stop]
        begin = expected[0][0] - _ASIDE
        end = behind[0] if behind else expected[-1][0] + 4 * _ASIDE
        quiet = right = False
        # Its times count from the file's first picture. No way of rounding is held against it: of
        # an out point a little before and a little behind the frame's end, the better one counts.
        for out in (end - _ASIDE, end + _ASIDE):
            times = [max(0, tick - source.begin) / TICKS for tick in (begin, out)]
            if not right and not peer_cut(program, source.made_of, target, *times):
                right = read_numbers(target) == [number for _, number in expected]
                quiet = not rig.warnings(target).strip()
        exact, silent = exact + right, silent + quiet
    return len(cuts), exact, silent


# --- time ------------------------------------------------------------------------------------


def long_source(rig: CutRig, hours: float) -> tuple[Path, CutSource]:
    """A 1080p programme: a minute of it over and over."""
    minute = make_footage(
        rig.ffmpeg,
        rig.folder / "minute.mp4",
        Footage(
            _LOOP_SECONDS, size=(1920, 1080), bitrate=LONG_BITS, b_frames=2, preset="veryfast",
            sample_rate=48_000,
        ),
    )  # fmt: skip
    path = rig.folder / "programme.mp4"
    loops = max(0, round(hours * 3600 / _LOOP_SECONDS) - 1)
    rig.run("-stream_loop", str(loops), "-i", str(minute), "-c", "copy", str(path))
    return path, rig.registered(path, pictures=False)


def ready(rig: CutRig, source: CutSource, start: int, stop: int) -> tuple[float, float]:
    """Seconds until a clip is made, and until it is digested and lies in storage."""
    began = time.monotonic()
    result = rig.cut([source.piece(start, stop)])
    made = time.monotonic() - began
    with result.mp4.open("rb") as file:
        hashlib.file_digest(file, "sha256")
    rig.storage.put_file("clips/one.mp4", result.mp4)
    return made, time.monotonic() - began


def timed(measure: Callable[[], float]) -> float:
    """The middle one of a few."""
    return statistics.median(measure() for _ in range(_AGAIN))


# --- the whole job ---------------------------------------------------------------------------


def shelved(database: Database, source: CutSource) -> str:
    """A work whose footage the source is; its id."""
    token, begins = secret_token(), [begin for begin, _ in source.segments]
    lengths = [after - begin for begin, after in pairwise(begins)]
    with database.transaction() as session:
        session.add(Centre(id="c1", name="馆", path="c1/"))
        session.flush()
        work = Work(
            id=public_id(), centre_id="c1", kind="upload", state="ready", title="bench",
            media_token=token, edit_list=[], duration_ticks=sum(lengths),
        )  # fmt: skip
        rung = Rendition(
            token=token, name="v1080", kind="video", copied=True, codecs="avc1.4d4028,mp4a.40.2",
            width=1920, height=1080,
        )  # fmt: skip
        session.add_all([work, rung])
        session.flush()
        init = source.init
        session.add(
            InitSection(
                rendition_id=rung.id, number=0, sha256="0" * 64, storage_key=init.key,
                byte_offset=init.offset, size_bytes=init.size,
            )
        )  # fmt: skip
        for msn, length in enumerate(lengths):
            start, blob = begins[msn], source.segments[msn][1]
            session.add(
                AirItem(
                    token=token, msn=msn, source="feed", take_start_ms=0, start_ticks=start,
                    duration_ticks=length, pdt_us=START_US + start * 100 // 9,
                )
            )  # fmt: skip
            session.add(
                Segment(
                    rendition_id=rung.id, msn=msn, init_number=0, storage_key=blob.key,
                    byte_offset=blob.offset, size_bytes=blob.size, duration_ticks=length,
                )
            )  # fmt: skip
        return work.id


def whole_jobs(rig: CutRig, source: CutSource, start: int, stop: int) -> list[float]:
    """Seconds from a worker's first look at the job to the clip being listed with its poster."""
    # What comes after the clip (a storyboard) waits in the queue.
    install_nudger(None)
    configure_logging(Settings(log_level="WARNING"), "bench")
    times = []
    with instance(rig.folder / "instance", 60) as (settings, database):
        settings = settings.model_copy(update={"storage_url": rig.storage.root.as_uri()})
        key = shelved(database, source)
        runner = JobRunner(database, settings, threading.Event())
        for _ in range(_AGAIN):
            with database.transaction() as session:
                work, job = request_clip(
                    session, pieces=[(key, start, stop)], title="bench", created_by=None
                )
            began = time.monotonic()
            assert runner.look(job.id) == "done"
            times.append(time.monotonic() - began)
            with database.transaction() as session:
                listed = session.get_one(Work, work.id)
                assert listed.state == "ready"
                assert listed.poster_key is not None
    return times


def time_clips(rig: CutRig, hours: float, program: Path | None) -> bool:
    path, source = long_source(rig, hours)
    size = path.stat().st_size / 1e9
    print(f"  programme: {hours:g} h of 1080p, {size:.1f} GB; load {os.getloadavg()[0]:.1f}")
    middle = int(hours * 1800) * TICKS + 31_234
    holds = True
    for seconds in (20, 60, CLIP_SECONDS):
        times = [ready(rig, source, middle, middle + seconds * TICKS) for _ in range(_AGAIN)]
        made, stored = (statistics.median(column) for column in zip(*times, strict=True))
        holds &= stored <= CLIP_LIMIT
        verdict = "ok " if stored <= CLIP_LIMIT else "NOT"
        print(
            f"  {verdict}  {seconds:3d} s out of it: made in {made:.2f} s, digested and stored "
            f"after {stored:.2f} s (at most {CLIP_LIMIT:g} s)"
        )
        if program is not None:
            begin, target = middle / TICKS, rig.folder / "peer.mp4"
            began = time.monotonic()
            fault = peer_cut(program, path, target, begin, begin + seconds)
            print(f"         peer: {fault or f'{time.monotonic() - began:.2f} s'}")
    whole = statistics.median(whole_jobs(rig, source, middle, middle + CLIP_SECONDS * TICKS))
    holds &= whole <= CLIP_LIMIT
    print(
        f"  {'ok ' if whole <= CLIP_LIMIT else 'NOT'}  the whole job of {CLIP_SECONDS} s, from a "
        f"worker's claim to the clip in the list with its poster: {whole:.2f} s (at most "
        f"{CLIP_LIMIT:g} s)"
    )
    return holds


def main() -> int:
    points = int(sys.argv[1]) if len(sys.argv) > 1 else POINTS
    hours = float(sys.argv[2]) if len(sys.argv) > 2 else 2.0
    holds = True
    folder = Path(tempfile.mkdtemp(prefix="xitai-smartcut-"))
    try:
        rig = CutRig(ffmpeg_path(Settings()), folder)
        program = install_peer(folder)
        kinds = [*KINDS, VFR]
        for index, kind in enumerate(kinds):
            count = points // len(kinds) + (index < points % len(kinds))
            tally = sweep(rig, kind, count, seed=index)
            good = not tally.faults and tally.psnr >= PSNR_LEAST and tally.sync <= SYNC_SECONDS
            holds &= good
            print(
                f"  {'ok ' if good else 'NOT'}  {kind}: {tally.cuts} cuts, {len(tally.faults)} "
                f"faults; {tally.copied} frames copied, {tally.encoded} encoded at "
                f"{tally.psnr:.1f} dB or more; sync within {tally.sync * 1000:.1f} ms",
                flush=True,
            )
            for fault in tally.faults[:5]:
                print(f"         {fault}")
            if program is None:
                print("         peer: skipped")
            else:
                asked, exact, silent = peer_sweep(rig, program, kind, seed=index)
                print(f"         peer: {exact} of {asked} exact, {silent} decode without a warning")
        holds &= time_clips(rig, hours, program)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
