"""FFmpeg and GStreamer as readers of HLS: the frame numbers they get out of an address."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest

from tests.support.media import COLUMNS, read_picture

WIDTH, HEIGHT = COLUMNS * 12, 180
GSTREAMER_PARTS = ("souphttpsrc", "hlsdemux", "qtdemux", "h264parse", "aacparse", "videoconvert")
GSTREAMER_DECODERS = ("avdec_h264", "openh264dec")


def with_ffmpeg(ffmpeg: str, url: str, seconds: float | None = None) -> list[int | None]:
    """Frame numbers FFmpeg reads from the first ``seconds`` it is given (all, when it ends)."""
    argv = [ffmpeg, "-hide_banner", "-loglevel", "error", "-nostdin", "-i", url, "-map", "0:v:0"]
    argv += [] if seconds is None else ["-t", f"{seconds}"]
    argv += ["-vf", f"scale={WIDTH}:{HEIGHT},format=gray", "-fps_mode", "passthrough"]
    argv += ["-f", "rawvideo", "-"]
    done = subprocess.run(argv, capture_output=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr.decode()[-1000:]
    return _numbers(done.stdout)


def need_gstreamer() -> None:
    """Skip, with the reason, where GStreamer cannot read HLS."""
    if shutil.which("gst-launch-1.0") is None or shutil.which("gst-inspect-1.0") is None:
        pytest.skip("no GStreamer here: make test-tools installs it")
    missing = [name for name in GSTREAMER_PARTS if not _has(name)]
    if not any(_has(name) for name in GSTREAMER_DECODERS):
        missing.append(" or ".join(GSTREAMER_DECODERS))
    if missing:
        pytest.skip(f"this GStreamer has no {', '.join(missing)}")


def _has(element: str) -> bool:
    return subprocess.run(["gst-inspect-1.0", "--exists", element], check=False).returncode == 0


def with_gstreamer(url: str, seconds: float | None = None) -> list[int | None]:
    """Frame numbers GStreamer's hlsdemux reads in ``seconds`` (None: to the end)."""
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "frames"
        pipeline = (
            f"souphttpsrc location={url} ! hlsdemux ! decodebin name=d d. ! videoconvert"
            f" ! videoscale ! video/x-raw,format=GRAY8,width={WIDTH},height={HEIGHT}"
            f" ! filesink location={raw}"
        )
        argv = ["gst-launch-1.0", "-q", *pipeline.split()]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as running:
            try:
                told = running.communicate(timeout=seconds or 90)[0]
                assert running.returncode == 0, told.decode()[-1000:]
            except subprocess.TimeoutExpired:
                assert seconds is not None, "GStreamer did not come to the end"
                running.send_signal(signal.SIGINT)
                running.communicate(timeout=15)
        return _numbers(raw.read_bytes())


def _numbers(raw: bytes) -> list[int | None]:
    size = WIDTH * HEIGHT
    frames = np.frombuffer(raw, np.uint8, len(raw) // size * size).reshape(-1, HEIGHT, WIDTH)
    return [read_picture(frame)[0] for frame in frames]
