"""Workers that transcode an upload are killed at random: what comes out is what would have."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from infra.database import Database
from infra.reconciler import reconcile
from infra.settings import Settings
from tests.integration.vod.uploaded import Studio, times_in
from tests.support.media import Footage, make_footage, read_numbers
from vod.chunked.rows import made_of

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(400)]

ROOT = Path(__file__).resolve().parents[2]
KILLS = 8
SEED = 20_261_122


@contextmanager
def workers(settings: Settings, count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Worker processes; whoever kills one puts another in its place."""
    running = [start(settings) for _ in range(count)]
    try:
        yield running
    finally:
        for process in running:
            process.kill()
            process.wait()


def start(settings: Settings) -> subprocess.Popen[bytes]:
    env = {
        **os.environ,
        "XITAI_DATA": str(settings.data),
        "XITAI_DATABASE_URL": settings.resolved_database_url,
        "XITAI_REDIS_URL": settings.resolved_redis_url,
        "XITAI_CHUNK_SECONDS": str(settings.chunk_seconds),
        "XITAI_DISK_LOG_ONLY_BYTES": "0",
    }
    argv = [sys.executable, "-m", "tests.support.vod_worker"]
    return subprocess.Popen(argv, cwd=ROOT, env=env, stdout=subprocess.DEVNULL)


def test_killed_workers_change_nothing(
    settings: Settings, database: Database, ffmpeg: str, media_folder: Path, tmp_path: Path
) -> None:
    settings = settings.model_copy(update={"chunk_seconds": 3, "disk_log_only_bytes": 0})
    studio = Studio(settings, database)
    footage = Footage(18, b_frames=2, size=(640, 360), gop_seconds=5)
    original = make_footage(ffmpeg, media_folder / "chunked-faults.mp4", footage)
    calm = studio.run(studio.upload(original))
    work_id = studio.upload(original)
    chance = random.Random(SEED)
    killed = 0
    with workers(settings, 2) as running:
        until = time.monotonic() + 300
        while studio.work(work_id).state == "making":
            assert time.monotonic() < until
            time.sleep(chance.uniform(0.2, 2.5))
            reconcile(database, lambda job_id, queue: None)
            if killed < KILLS:
                place = chance.randrange(len(running))
                running[place].send_signal(signal.SIGKILL)
                running[place].wait()
                running[place] = start(settings)
                killed += 1
    assert killed >= KILLS // 2
    work = studio.work(work_id)
    assert work.state == "ready"
    assert work.duration_ticks == calm.duration_ticks
    rungs = studio.rungs(work_id)
    assert rungs == studio.rungs(calm.id)
    for name in rungs:
        joined, wanted = (
            studio.joined(work_id, name, tmp_path),
            studio.joined(calm.id, name, tmp_path),
        )
        assert times_in(joined) == times_in(wanted)
        # The encoders' threads are fixed, so even the bytes are those.
        assert joined.read_bytes() == wanted.read_bytes()
        if name != "a":
            assert read_numbers(joined) == list(range(footage.frames))
    # A lost worker costs one chunk: nobody made another's anew, and no half file stays.
    named = {rung.key for chunk in studio.chunks(work_id) for rung in made_of(chunk)}
    there = {key for key in studio.storage.list(f"works/{work.media_token}/") if "/c0" in key}
    assert there == named
    again = [job.attempt for job in studio.jobs(work_id)]
    assert sum(again) - len(again) <= killed
    # What a killed process cannot tidy, the next one to work does.
    with studio.tools.work_folder("look") as folder:
        assert list(folder.parent.iterdir()) == [folder]
