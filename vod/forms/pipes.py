"""Frames in and out of FFmpeg as raw pictures: read whole, written with the time they are shown at.

What is written goes as IVF, the smallest container there is: a header, then for each frame its
size and its time, so that a source of varying frame rate keeps every timestamp to the tick.
"""

from __future__ import annotations

import os
import select
import struct
import time
from collections.abc import Generator
from typing import Any, Final

import ffmpeg

from catalog.models import TIMESCALE
from transcode.ffmpeg.process import FFmpegProcess
from transcode.sandbox import GLOBAL_LIMITS, MAX_PIXELS, Limits, launcher, view_of
from vod.encode import Beat, EncodeError, EncodeHung, Patience

FRAME_MAX_BYTES: Final = 64 << 20
"""Of one raw picture; larger is not footage."""
_LOOK_SECONDS: Final = 0.5


def ivf_limits() -> dict[str, Any]:
    """Options of the input ``pipe:0`` that our own pictures come in by."""
    return {
        "f": "ivf",
        "protocol_whitelist": "pipe",
        "format_whitelist": "ivf",
        "codec_whitelist": "rawvideo",
        "max_pixels": MAX_PIXELS,
        "max_streams": 1,
        "probesize": 32,
    }


def _argv(
    binary: str, output: Any, patience: Patience, pipes: dict[str, int], progress: int
) -> list[str]:
    graph = output.global_args(
        *GLOBAL_LIMITS, "-nostats", "-loglevel", "error", "-progress", f"pipe:{progress}",
        "-stats_period", "0.5",
    )  # fmt: skip
    argv: list[str] = ffmpeg.compile(graph, cmd=binary, overwrite_output=True)
    numbers = {hole(name): f"pipe:{fd}" for name, fd in pipes.items()}
    named = [numbers.get(word, word) for word in argv]
    limits = Limits(cpu_seconds=int(patience.deadline) * 16)
    return [*launcher(limits, view_of(named)), *named]


def hole(name: str) -> str:
    """An output's address that becomes the pipe of that name, once its number is known."""
    return f"pipe{{{name}}}"


def read_frames(
    binary: str, output: Any, size: int, patience: Patience, beat: Beat
) -> Generator[bytes]:
    """Pictures of ``size`` bytes that an ffmpeg-python ``output`` to ``hole("frames")`` gives.

    Raises EncodeError, EncodeHung and what ``beat`` raises; closing the generator ends FFmpeg.
    """
    if not 0 < size <= FRAME_MAX_BYTES:
        raise EncodeError(f"frames of {size} bytes")
    with FFmpegProcess(
        lambda pipes, progress: _argv(binary, output, patience, pipes, progress), ("frames",)
    ) as process:
        pending = bytearray()
        moved = time.monotonic()
        while not process.drained:
            for chunk in process.read(_LOOK_SECONDS):
                if chunk.pipe != "frames":
                    continue
                pending += chunk.data
                moved = time.monotonic()
            while len(pending) >= size:
                yield bytes(pending[:size])
                del pending[:size]
                # Whoever takes the pictures may take their time.
                moved = time.monotonic()
            _watch(process, moved, patience)
            beat(None, None)
        code = process.close()
        if code != 0:
            raise EncodeError(f"FFmpeg ended with code {code}", process.last_words)
        if pending:
            raise EncodeError(f"FFmpeg left {len(pending)} bytes of a frame", process.last_words)


def _watch(process: FFmpegProcess, moved: float, patience: Patience) -> None:
    now = time.monotonic()
    if now - process.started > patience.deadline:
        raise EncodeHung(f"FFmpeg took longer than {patience.deadline:.0f} s", process.last_words)
    if now - moved > patience.stall:
        raise EncodeHung(f"FFmpeg made no progress for {patience.stall:.0f} s", process.last_words)


class FrameWriter:
    """FFmpeg that encodes pictures (yuv420p) handed to it one by one, as ``pipe:0``.

    Use as a context: what is raised inside kills it. :meth:`finish` waits for its end.
    """

    def __init__(
        self, binary: str, output: Any, size: tuple[int, int], patience: Patience, beat: Beat
    ) -> None:
        self._patience = patience
        self._beat = beat
        read, self._write = os.pipe()
        try:
            self._process = FFmpegProcess(
                lambda pipes, progress: _argv(binary, output, patience, pipes, progress),
                (),
                stdin=read,
            )
        except BaseException:
            os.close(self._write)
            raise
        finally:
            os.close(read)
        os.set_blocking(self._write, False)
        # Put with the first picture: whatever fails from here on, the context ends the process.
        clock = (TIMESCALE, 1, 0, 0)
        self._header = struct.pack("<4sHH4sHHIIII", b"DKIF", 0, 32, b"I420", *size, *clock)

    def __enter__(self) -> FrameWriter:
        return self

    def __exit__(self, *exc: Any) -> None:
        self._close()
        self._process.__exit__(*exc)

    def write(self, picture: bytes | bytearray, at: int) -> None:
        """One picture, shown at ``at`` (ticks). Raises EncodeError, EncodeHung."""
        self._put(self._header + struct.pack("<IQ", len(picture), at))
        self._header = b""
        self._put(picture)

    def finish(self) -> None:
        """No more pictures; returns when the output is whole. Raises EncodeError, EncodeHung."""
        self._close()
        moved = time.monotonic()
        while not self._process.drained:
            if self._process.read(_LOOK_SECONDS):
                moved = time.monotonic()
            _watch(self._process, moved, self._patience)
            self._beat(None, None)
        code = self._process.close()
        if code != 0:
            raise EncodeError(f"FFmpeg ended with code {code}", self._process.last_words)

    def _put(self, data: bytes | bytearray) -> None:
        left = memoryview(data)
        moved = time.monotonic()
        while left:
            # Its reports and complaints have to go somewhere, or it waits for us.
            self._process.read(0)
            if not select.select((), (self._write,), (), _LOOK_SECONDS)[1]:
                _watch(self._process, moved, self._patience)
                self._beat(None, None)
                continue
            try:
                left = left[os.write(self._write, left) :]
            except BrokenPipeError:
                self._process.close()
                words = self._process.last_words
                raise EncodeError("FFmpeg would take no more pictures", words) from None
            moved = time.monotonic()

    def _close(self) -> None:
        if self._write >= 0:
            os.close(self._write)
            self._write = -1
