"""RELIABILITY rows 26–31: files that lie, want too much or are broken, and an FFmpeg that hangs.

Each goes the way of every upload: a received row, the intake job, and what that says.
"""

from __future__ import annotations

import os
import random
import stat
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest
from sqlalchemy import text

import transcode.probe
import vod.intake
import vod.intake_jobs
import vod.intake_words
from catalog.errors import Refused
from catalog.models import Upload
from catalog.uploads import promise_intake
from infra.database import Database
from infra.jobs import JobFailed, JobRunner
from infra.settings import Settings
from infra.tables import Job
from tests.support import bad_media
from tests.support.media import Footage, make_footage
from tests.support.uploads import Desk
from transcode.probe import ProbeHung, probe_file
from vod.encode import Patience

pytestmark = pytest.mark.faults

FUZZED = int(os.environ.get("FUZZED_UPLOADS", "100"))
"""`FUZZED_UPLOADS=1000` is the whole of row 30."""
RSS_MAX = 300 << 20


@pytest.fixture
def desk(settings: Settings, database: Database) -> Desk:
    return Desk.of(settings, database)


@pytest.fixture(scope="module")
def folder(media_folder: Path) -> Path:
    made = media_folder / "uploads"
    made.mkdir(exist_ok=True)
    return made


@pytest.fixture(scope="module")
def film(ffmpeg: str, folder: Path) -> Path:
    return make_footage(ffmpeg, folder / "film.mp4", Footage(seconds=2, size=(128, 72)))


@contextmanager
def canary() -> Iterator[tuple[str, list[str]]]:
    """A web server on loopback that notes who comes."""
    hits: list[str] = []

    class Canary(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hits.append(self.path)

        do_HEAD = do_GET

    with ThreadingHTTPServer(("127.0.0.1", 0), Canary) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", hits
        finally:
            server.shutdown()
            thread.join()


# --- 26, 27: what names other files --------------------------------------------------------------


def test_26_a_playlist_in_disguise(desk: Desk, film: Path, folder: Path) -> None:
    """It names another centre's recording by the path it really has."""
    other = desk.arrive(film)
    target = str(desk.folder.part(other))
    for name in ("u.mp4", "u.ts", "u.m3u8", "u.mkv"):
        assert desk.refused(bad_media.hls(folder / name, target), name) == "upload_format"


def test_27_nothing_else_is_opened(desk: Desk, film: Path, folder: Path) -> None:
    secret = folder / "secret.mp4"
    secret.write_bytes(film.read_bytes())
    with canary() as (address, hits):
        for target in (f"{address}/a.mp4", str(secret)):
            for make in (bad_media.hls, bad_media.concat, bad_media.dash):
                code = desk.refused(make(folder / "bait.mp4", target))
                assert code == "upload_format", make
        entries = (
            bad_media.url_entry(f"{address}/a.mp4"),
            bad_media.url_entry(f"file://{secret}"),
            bad_media.alias_entry(str(secret)),
        )
        for entry in entries:
            bait = bad_media.referring(film, folder / "dref.mov", entry)
            os.utime(secret, (0, secret.stat().st_mtime))
            # Read as if the reference were not there, or refused: it is ours to choose.
            with suppress(JobFailed):
                desk.take_in(desk.arrive(bait, technical={"insists": True}))
            assert secret.stat().st_atime == 0
        assert hits == []


# --- 28: too much --------------------------------------------------------------------------------


def test_28_too_much(desk: Desk, ffmpeg: str, folder: Path) -> None:
    wall = bad_media.huge_png(folder / "wall.png")
    black = bad_media.long_black(ffmpeg, folder / "black.mp4")
    streams = bad_media.many_streams(folder / "streams.mkv")
    film = bad_media.huge_vp8(ffmpeg, folder / "wall.webm")
    with watched_memory() as peak:
        assert desk.refused(wall, "wall.png", purpose="photo") == "upload_pixels"
        assert desk.refused(wall) == "upload_format"
        assert desk.refused(streams) == "upload_streams"
        assert desk.refused(black) == "upload_long"
        assert desk.refused(film) == "upload_undecodable"
    assert 0 < peak[0] < RSS_MAX


@contextmanager
def watched_memory() -> Iterator[list[int]]:
    """The most memory any child of ours holds that begins meanwhile.

    One that was forked and is not yet what it will be still shows the pages of pytest itself.
    """
    peak, over = [0], threading.Event()
    pytest_itself = psutil.Process()
    forked = pytest_itself.cmdline()
    # Other tests' browser may still be there.
    before = set(pytest_itself.children(recursive=True))

    def watch() -> None:
        while not over.wait(0.01):
            for child in pytest_itself.children(recursive=True):
                try:
                    if child in before:
                        continue
                    if child.name() != "postgres" and child.cmdline() != forked:
                        peak[0] = max(peak[0], child.memory_info().rss)
                except psutil.Error:
                    continue

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()


# --- 29: what is not taken -----------------------------------------------------------------------


def test_29_codecs_and_formats(desk: Desk, ffmpeg: str, film: Path, folder: Path) -> None:
    assert desk.refused(bad_media.magicyuv(ffmpeg, folder / "m.avi")) == "upload_codec"
    assert desk.refused(bad_media.magicyuv(ffmpeg, folder / "m.mkv")) == "upload_codec"
    assert desk.refused(bad_media.exr(ffmpeg, folder / "e.exr")) == "upload_format"
    assert desk.refused(bad_media.ass_text(folder / "a.ass")) == "upload_format"
    fonts = bad_media.film_with_fonts(ffmpeg, film, folder / "fonts.mkv")
    assert desk.refused(fonts) == "upload_attachments"


def test_29_the_very_ffmpeg_refuses_too(ffmpeg: str, folder: Path) -> None:
    """Were it let through by the look, FFmpeg itself would not decode it."""
    import ffmpeg as graph

    from transcode.sandbox import upload_limits
    from vod.encode import EncodeError, run_ffmpeg

    for source in (folder / "m.avi", folder / "e.exr", folder / "a.ass"):
        opened = graph.input(f"file:{source}", **upload_limits())
        output = graph.output(opened, f"file:{folder / 'out.mkv'}", vcodec="libx264")
        with pytest.raises(EncodeError):
            run_ffmpeg(ffmpeg, output, patience=Patience(20, 10), reads=())


# --- 30: noise -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_30_broken_files(ffmpeg: str, folder: Path, tmp_path: Path) -> None:
    """Each is taken or refused within seconds; the process that asks lives, and nothing is left."""
    seeds = [path.read_bytes() for path in bad_media.seeds(ffmpeg, folder)]
    said: dict[str, int] = {}

    def look(number: int) -> str:
        dice = random.Random(number)
        path = tmp_path / f"{number}"
        path.write_bytes(bad_media.damaged(dice.choice(seeds), dice))
        began = time.monotonic()
        try:
            probe_file(path, hours_max=8)
            return "taken"
        except Refused as why:
            return why.code
        finally:
            path.unlink()
            assert time.monotonic() - began < 20, number

    with ThreadPoolExecutor(2) as pool:
        for code in pool.map(look, range(FUZZED)):
            said[code] = said.get(code, 0) + 1
    assert sum(said.values()) == FUZZED
    assert set(said) <= {*vod.intake_words.SENTENCES, "taken"}, said
    assert said["taken"] > FUZZED // 10, said
    assert FUZZED - said["taken"] > FUZZED // 10, said


def test_30_a_broken_file_fails_once(
    desk: Desk, film: Path, settings: Settings, database: Database
) -> None:
    upload = desk.arrive(film.read_bytes()[:5_000])
    job_id = promised(desk, upload)
    runner = JobRunner(database, settings, threading.Event())
    assert runner.look(job_id) == "failed"
    assert runner.look(job_id) is None
    with database.transaction() as session:
        job = session.get_one(Job, job_id)
        assert (job.attempt, job.error_code) == (1, "upload_broken")
    assert desk.row(upload).state == "refused"
    # The worker lives: it takes the next one.
    good = desk.arrive(film)
    assert runner.look(promised(desk, good)) == "done"
    assert desk.row(good).state == "registered"


def promised(desk: Desk, upload_id: str) -> int:
    with desk.tools.database.transaction() as session:
        return promise_intake(session, session.get_one(Upload, upload_id)).id


# --- 31: an FFmpeg that hangs, or talks without end ----------------------------------------------

HANGS = "exec sleep 1000\n"
FLOODS = "while :; do echo complaint complaint complaint complaint >&2; done\n"


def stub(folder: Path, script: str) -> str:
    path = folder / "ffmpeg"
    path.write_text("#!/bin/sh\n" + script)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.mark.parametrize("script", [HANGS, FLOODS], ids=["hangs", "floods"])
def test_31_killed_tried_again_and_said(
    desk: Desk,
    film: Path,
    settings: Settings,
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: str,
) -> None:
    monkeypatch.setattr(vod.intake, "_DECODING", Patience(deadline=2.0, stall=0.8))
    upload = desk.arrive(film)
    job_id = promised(desk, upload)
    bad = settings.model_copy(update={"ffmpeg": stub(tmp_path, script)})
    runner = JobRunner(database, bad, threading.Event())
    before = psutil.Process().memory_info().rss
    for attempt in (1, 2, 3):
        with database.transaction() as session:
            session.execute(text("UPDATE jobs SET not_before = NULL"))
        began = time.monotonic()
        ended = runner.look(job_id)
        assert time.monotonic() - began < 8
        assert ended == ("failed" if attempt == 3 else "to be retried")
    assert psutil.Process().memory_info().rss - before < 64 << 20
    assert runner.look(job_id) is None
    row = desk.row(upload)
    # It is not the file's fault: it stays, and may be looked at again.
    assert (row.state, row.error_code) == ("received", "upload_hung")
    assert row.error == "检查这个文件时卡住了。"
    assert desk.folder.part(upload).exists()
    assert not [p for p in psutil.Process().children(recursive=True) if p.name() == "sleep"]
    runner = JobRunner(database, settings, threading.Event())
    assert runner.look(promised(desk, upload)) == "done"
    assert desk.row(upload).error is None


@pytest.mark.parametrize("script", [HANGS, FLOODS], ids=["hangs", "floods"])
def test_31_the_look_itself(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    look = tmp_path / "look.py"
    look.write_text(
        "import os, sys, time\n"
        + ("time.sleep(1000)\n" if script is HANGS else "while 1: os.write(2, b'x' * 9999)\n")
    )
    monkeypatch.setattr(transcode.probe, "_LOOK", look)
    monkeypatch.setattr(transcode.probe, "_LOOK_SECONDS", 1.5)
    began = time.monotonic()
    with pytest.raises(ProbeHung):
        probe_file(film, hours_max=8)
    assert time.monotonic() - began < 6
