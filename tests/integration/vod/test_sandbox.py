"""FFmpeg on footage that is not what it says, and an FFmpeg that does not behave."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import ffmpeg as graph
import psutil
import pytest

from tests.support.media import Footage, make_footage
from transcode.sandbox import GIB, Limits, input_limits, launcher
from vod.encode import EncodeError, Patience, run_ffmpeg

PATIENCE = Patience(deadline=20, stall=10)


def copy_of(source: Path, target: Path) -> object:
    opened = graph.input(f"file:{source}", **input_limits())
    return graph.output(opened, f"file:{target}", f="mp4", c="copy")


@pytest.fixture
def film(ffmpeg: str, media_folder: Path) -> Path:
    return make_footage(ffmpeg, media_folder / "sandbox.mp4", Footage(seconds=2))


def test_honest_footage_passes(ffmpeg: str, film: Path, tmp_path: Path) -> None:
    shares: list[float | None] = []
    out = tmp_path / "out.mp4"
    run_ffmpeg(
        ffmpeg, copy_of(film, out), patience=PATIENCE, length_us=2_000_000,
        beat=lambda share, note: shares.append(share),
    )  # fmt: skip
    assert out.stat().st_size > 1000
    assert shares[-1] == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("name", ["u.mp4", "u.ts", "u.m3u8", "u.flv"])
def test_playlist_in_disguise_is_refused(
    ffmpeg: str, film: Path, tmp_path: Path, name: str
) -> None:
    """RELIABILITY, fault 26: its text names another user's file by absolute path."""
    bait = tmp_path / name
    bait.write_text(
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-PLAYLIST-TYPE:VOD\n"
        f"#EXTINF:2.0,\n{film}\n#EXT-X-ENDLIST\n"
    )
    out = tmp_path / "out.mp4"
    with pytest.raises(EncodeError):
        run_ffmpeg(ffmpeg, copy_of(bait, out), patience=PATIENCE)
    assert not out.exists()


@pytest.mark.parametrize(
    "text",
    ["ffconcat version 1.0\nfile '{film}'\n", "#EXTM3U\n#EXTINF:1,\n{url}/a.ts\n#EXT-X-ENDLIST\n"],
)
def test_nothing_else_is_opened(ffmpeg: str, film: Path, tmp_path: Path, text: str) -> None:
    """RELIABILITY, fault 27: a canary on loopback gets no hit."""
    hits: list[str] = []

    class Canary(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hits.append(self.path)

    with ThreadingHTTPServer(("127.0.0.1", 0), Canary) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        bait = tmp_path / "u.mp4"
        bait.write_text(text.format(film=film, url=f"http://127.0.0.1:{server.server_address[1]}"))
        with pytest.raises(EncodeError):
            run_ffmpeg(ffmpeg, copy_of(bait, tmp_path / "out.mp4"), patience=PATIENCE)
        server.shutdown()
        thread.join()
    assert hits == []


def test_other_codecs_are_refused(ffmpeg: str, tmp_path: Path) -> None:
    """RELIABILITY, fault 29."""
    source = tmp_path / "u.mp4"
    argv = [ffmpeg, "-loglevel", "error", "-f", "lavfi", "-i", "testsrc2=d=1", "-c:v", "mpeg4"]
    subprocess.run([*argv, str(source)], check=True)
    opened = graph.input(f"file:{source}", **input_limits())
    out = graph.output(opened.video, f"file:{tmp_path / 'o.mp4'}", vcodec="libx264")
    with pytest.raises(EncodeError):
        run_ffmpeg(ffmpeg, out, patience=PATIENCE)


def test_file_larger_than_allowed_fails(ffmpeg: str, film: Path, tmp_path: Path) -> None:
    with pytest.raises(EncodeError):
        run_ffmpeg(
            ffmpeg, copy_of(film, tmp_path / "out.mp4"), patience=PATIENCE,
            limits=Limits(file_bytes=50_000),
        )  # fmt: skip
    assert (tmp_path / "out.mp4").stat().st_size <= 50_000


# --- stubs that stand for FFmpeg ---------------------------------------------------------------


def stub(folder: Path, script: str) -> str:
    path = folder / "ffmpeg"
    path.write_text("#!/bin/sh\n" + script)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def any_output(folder: Path) -> object:
    return copy_of(folder / "in.mp4", folder / "out.mp4")


def sleepers() -> list[psutil.Process]:
    return [p for p in psutil.Process().children() if p.name() == "sleep"]


def test_hanging_ffmpeg_is_killed(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(EncodeError, match="no progress"):
        run_ffmpeg(
            stub(tmp_path, "exec sleep 100\n"), any_output(tmp_path),
            patience=Patience(deadline=60, stall=1.0),
        )  # fmt: skip
    assert time.monotonic() - began < 5
    assert sleepers() == []


def test_slow_ffmpeg_has_a_deadline(tmp_path: Path) -> None:
    with pytest.raises(EncodeError, match="longer than 1 s"):
        run_ffmpeg(
            stub(tmp_path, "exec sleep 100\n"), any_output(tmp_path),
            patience=Patience(deadline=1.0, stall=60),
        )  # fmt: skip
    assert sleepers() == []


def test_flood_of_messages_is_cut(tmp_path: Path) -> None:
    """RELIABILITY, fault 31."""
    loud = "i=0; while [ $i -lt 20000 ]; do echo complaint $i >&2; i=$((i+1)); done; exit 3\n"
    with pytest.raises(EncodeError, match="code 3") as caught:
        run_ffmpeg(stub(tmp_path, loud), any_output(tmp_path), patience=PATIENCE)
    assert "complaint 19999" in str(caught.value)
    assert len(str(caught.value)) < 2000


def test_cancelling_kills_ffmpeg(tmp_path: Path) -> None:
    class Cancelled(Exception):
        pass

    def beat(share: float | None, note: str | None) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        run_ffmpeg(
            stub(tmp_path, "exec sleep 100\n"), any_output(tmp_path), patience=PATIENCE, beat=beat
        )
    assert sleepers() == []


def test_limits_hold_in_the_program(tmp_path: Path) -> None:
    limits = Limits(address_bytes=2 * GIB, cpu_seconds=77, file_bytes=512 * 1024, open_files=99)
    shown = subprocess.run(
        [*launcher(limits), "/bin/sh", "-c", "for l in v t f n c; do ulimit -$l; done"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert shown.stdout.split() == [str(2 * GIB // 1024), "77", "1024", "99", "0"]


def test_ffmpeg_dies_with_its_worker(tmp_path: Path) -> None:
    """A worker killed with SIGKILL leaves no encoder behind."""
    code = (
        "import subprocess, sys\n"
        "from transcode.sandbox import Limits, launcher\n"
        "child = subprocess.Popen([*launcher(Limits()), 'sleep', '100'])\n"
        "print(child.pid, flush=True)\n"
        "child.wait()\n"
    )
    worker = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=os.getcwd()
    )
    assert worker.stdout is not None
    with worker.stdout:
        pid = int(worker.stdout.readline())
    child = psutil.Process(pid)
    deadline = time.monotonic() + 10
    while child.name() != "sleep" and time.monotonic() < deadline:
        time.sleep(0.02)
    worker.kill()
    worker.wait()
    _, alive = psutil.wait_procs([child], timeout=5)
    assert not [p for p in alive if p.status() != psutil.STATUS_ZOMBIE]
