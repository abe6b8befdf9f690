"""Test footage that a machine can read back: every frame carries its number, every second flashes
and beeps.

The lower sixth of the picture is a strip of two rows. The upper row is a number: a white block, a
black block, then 24 blocks (white is 1) of 20 bits frame number and 4 bits check sum, the highest
bit first. The lower row is white for the first tenth of each second and black for the rest; a
1 kHz tone sounds for the same tenth. It survives scaling to 360p and coarse encoding.
"""

from __future__ import annotations

import itertools
import subprocess
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO

import av
import numpy as np
from numpy.typing import NDArray

NUMBER_BITS = 20
CHECK_BITS = 4
COLUMNS = 2 + NUMBER_BITS + CHECK_BITS
STRIP_SHARE = 6
"""The strip's height is the picture's height divided by this."""
TONE_HZ = 1000
FLASH_SHARE = Fraction(1, 10)
SAMPLE_RATE = 48_000
NUMBERS = 1 << NUMBER_BITS


# --- the number ------------------------------------------------------------------------------


def _check_sum(number: int) -> int:
    """Sum of the number's hexadecimal digits, their places weighted, modulo 16."""
    return sum((place + 1) * (number >> 4 * place & 15) for place in range(5)) + 9 & 15


def encode_number(number: int) -> list[bool]:
    """The 24 blocks of a frame number, highest bit first."""
    word = (number % NUMBERS) << CHECK_BITS | _check_sum(number % NUMBERS)
    return [bool(word >> bit & 1) for bit in reversed(range(NUMBER_BITS + CHECK_BITS))]


def decode_number(blocks: Sequence[bool]) -> int | None:
    """The frame number of 24 blocks, or None if the check sum says no."""
    word = sum(1 << bit for bit, on in enumerate(reversed(blocks)) if on)
    number = word >> CHECK_BITS
    return number if word & (1 << CHECK_BITS) - 1 == _check_sum(number) else None


def strip(number: int, fps: Fraction) -> bytes:
    """The strip of frame ``number`` as 2 rows of COLUMNS grey pixels."""
    flash = Fraction(number) / fps % 1 < FLASH_SHARE
    top = [True, False, *encode_number(number)]
    return bytes(255 if on else 0 for on in [*top, *([flash] * COLUMNS)])


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded frame."""

    seconds: float
    """Presentation time."""
    number: int | None
    """None: unreadable."""
    flash: bool
    keyframe: bool
    size: tuple[int, int]


def read_picture(luma: NDArray[np.uint8]) -> tuple[int | None, bool]:
    """(frame number or None, whether it flashes) of a picture's luma plane, rows by columns."""
    height, width = luma.shape
    top = height - height // STRIP_SHARE
    row_height = height // STRIP_SHARE / 2

    def block(row: int, column: int) -> float:
        # The middle half of each block: its edges are smeared by scaling.
        y0 = top + row_height * (row + 0.25)
        x0 = width * (column + 0.25) / COLUMNS
        y1, x1 = y0 + row_height * 0.5, x0 + width * 0.5 / COLUMNS
        area = luma[int(y0) : max(int(y1), int(y0) + 1), int(x0) : max(int(x1), int(x0) + 1)]
        return float(area.mean())

    white, black = block(0, 0), block(0, 1)
    if white - black < 60:
        return None, False
    middle = (white + black) / 2
    blocks = [block(0, column) > middle for column in range(2, COLUMNS)]
    return decode_number(blocks), block(1, COLUMNS // 2) > middle


# --- reading ---------------------------------------------------------------------------------


def read_pictures(source: Path | str, *, options: dict[str, str] | None = None) -> list[Picture]:
    """Decode every frame of a file or URL, in presentation order."""
    return list(iter_pictures(source, options=options))


def iter_pictures(
    source: Path | str, *, options: dict[str, str] | None = None
) -> Iterator[Picture]:
    """Decode frame by frame."""
    with av.open(str(source), options=options or {}) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for frame in container.decode(stream):
            plane = frame.reformat(format="gray").to_ndarray()
            number, flash = read_picture(plane.astype(np.uint8, copy=False))
            yield Picture(
                seconds=float(frame.time or 0.0),
                number=number,
                flash=flash,
                keyframe=bool(frame.key_frame),
                size=(frame.width, frame.height),
            )


def read_numbers(source: Path | str) -> list[int | None]:
    """The frame numbers of a file or URL, in presentation order."""
    return [picture.number for picture in iter_pictures(source)]


def read_sound(source: Path | str) -> tuple[float, NDArray[np.float32]]:
    """(presentation time of the first sample, mono samples at 48 kHz)."""
    chunks: list[NDArray[np.float32]] = []
    start: float | None = None
    with av.open(str(source)) as container:
        resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
        for frame in container.decode(container.streams.audio[0]):
            if start is None:
                start = float(frame.time or 0.0)
            frame.pts = None
            chunks += [_samples(out) for out in resampler.resample(frame)]
        chunks += [_samples(out) for out in resampler.resample(None)]
    samples = np.concatenate(chunks) if chunks else np.zeros(0, np.float32)
    return start or 0.0, samples


def _samples(frame: av.AudioFrame) -> NDArray[np.float32]:
    return frame.to_ndarray().reshape(-1).astype(np.float32, copy=False)


def read_beeps(source: Path | str) -> list[float]:
    """Presentation times (s) at which the tone begins, exact to about 2 ms."""
    start, samples = read_sound(source)
    window = SAMPLE_RATE // 500
    whole = samples[: len(samples) // window * window].reshape(-1, window)
    loud = np.abs(whole).max(axis=1) > 0.1
    begins = np.flatnonzero(loud & ~np.concatenate([[False], loud[:-1]]))
    # Quiet windows inside a tone are no new beginning.
    times: list[float] = []
    for index in begins:
        at = start + float(index) * window / SAMPLE_RATE
        if not times or at - times[-1] > 0.5:
            times.append(at)
    return times


# --- making ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Footage:
    """What to make."""

    seconds: float
    fps: Fraction = Fraction(25)
    size: tuple[int, int] = (640, 360)
    first: int = 0
    """Number of the first frame."""
    gop_seconds: float = 2.0
    b_frames: int = 0
    bitrate: str = "1500k"
    video: bool = True
    audio: bool = True
    channels: int = 2
    sample_rate: int = 44_100
    preset: str = "ultrafast"
    video_args: tuple[str, ...] = ()
    """More FFmpeg output options, e.g. another codec; the last one wins."""

    @property
    def frames(self) -> int:
        return round(self.seconds * self.fps)


def make_footage(ffmpeg: str, path: Path, footage: Footage) -> Path:
    """Encode ``footage`` to ``path`` (its suffix names the container), unless it is there."""
    if path.exists():
        return path
    fresh = path.with_name(f"making-{path.name}")
    argv = footage_argv(ffmpeg, footage, [str(fresh)])
    run_with_strips(argv, footage)
    return fresh.rename(path)


def footage_argv(ffmpeg: str, footage: Footage, output: list[str]) -> list[str]:
    """FFmpeg's arguments; it reads the strips from its stdin when there is a picture."""
    width, height = footage.size
    strip_height = height // STRIP_SHARE
    argv = [ffmpeg, "-hide_banner", "-loglevel", "error", "-y"]
    maps: list[str] = []
    if footage.video:
        rate = str(footage.fps)
        argv += ["-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{COLUMNS}x2", "-r", rate, "-i", "-"]
        argv += ["-f", "lavfi", "-i", f"testsrc2=s={width}x{height}:r={rate}"]
        graph = (
            f"[0:v]scale={width}:{strip_height}:flags=neighbor,format=yuv420p[s];"
            f"[1:v][s]overlay=0:{height - strip_height}:shortest=1,format=yuv420p[v]"
        )
        gop = max(1, round(footage.gop_seconds * footage.fps))
        maps += ["-map", "[v]", "-c:v", "libx264", "-preset", footage.preset, "-g", str(gop)]
        maps += ["-keyint_min", str(gop), "-sc_threshold", "0", "-bf", str(footage.b_frames)]
        maps += ["-b:v", footage.bitrate, "-maxrate", footage.bitrate, "-bufsize", footage.bitrate]
        maps += ["-profile:v", "main", *footage.video_args]
        argv += ["-filter_complex", graph]
    if footage.audio:
        offset = Fraction(footage.first) / footage.fps % 1
        tone = (
            f"0.5*sin(2*PI*{TONE_HZ}*t)*lt(mod(t+{float(offset):.9f}\\,1)\\,{float(FLASH_SHARE)})"
        )
        source = f"aevalsrc={'|'.join([tone] * footage.channels)}:s={footage.sample_rate}"
        argv += ["-f", "lavfi", "-i", source]
        index = 2 if footage.video else 0
        maps += ["-map", f"{index}:a", "-c:a", "aac", "-b:a", "128k"]
    return [*argv, *maps, "-t", f"{footage.seconds:.6f}", *output]


def run_with_strips(argv: list[str], footage: Footage) -> None:
    """Run FFmpeg to its end, feeding it the strips."""
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        feeder = threading.Thread(target=_feed, args=(process.stdin, footage))
        feeder.start()
        errors = process.stderr.read().decode("utf-8", "replace")
        feeder.join()
    if process.returncode != 0:
        raise RuntimeError(f"FFmpeg could not make the footage: {errors}")


def _feed(pipe: IO[bytes], footage: Footage) -> None:
    try:
        if footage.video:
            for number in itertools.islice(itertools.count(footage.first), footage.frames):
                pipe.write(strip(number, footage.fps))
        pipe.close()
    except BrokenPipeError:
        pass  # It has what it wants, or its exit code says why not.


# --- publishing ------------------------------------------------------------------------------


def publisher_argv(
    ffmpeg: str, source: Path, url: str, *, realtime: bool = True, loop: bool = False
) -> list[str]:
    """FFmpeg pushing ``source`` as it is to an RTMP ``url``, as an encoder would."""
    argv = [ffmpeg, "-hide_banner", "-nostdin", "-loglevel", "error"]
    if realtime:
        argv += ["-re"]
    if loop:
        argv += ["-stream_loop", "-1"]
    return [*argv, "-i", str(source), "-c", "copy", "-f", "flv", url]
