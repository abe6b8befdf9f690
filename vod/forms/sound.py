"""A form's sound at −16 LUFS: measured, raised or lowered as a whole, its peaks held back.

One gain for all of it keeps what is soft soft (EBU R 128; a dynamic normaliser would pump); a
limiter at four times the sample rate keeps true peaks (BS.1770-4 annex 2) under the ceiling. What
the limiter takes away makes it softer again, so the result is measured too and the gain put right.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import ffmpeg

from catalog.models import TIMESCALE
from transcode.sandbox import input_limits
from vod.encode import Beat, Patience, run_ffmpeg

TARGET_LUFS: Final = -16.0
CEILING_DBTP: Final = -1.5
_LIMIT_DBTP: Final = -2.2
"""Where the limiter holds: what AAC makes of it peaks a little higher."""
MAX_GAIN_DB: Final = 30.0
"""More would make a show of the amplifier's hiss."""
SILENCE_LUFS: Final = -60.0
"""Nothing in it is louder than this: it stays as it is."""
_CLOSE_ENOUGH_DB: Final = 0.3
_ROUNDS: Final = 4
SAMPLE_RATE: Final = 48_000
_TRUE_PEAK_RATE: Final = 4 * SAMPLE_RATE
_TAIL_BYTES: Final = 4096
_LOUDNESS: Final = re.compile(rb"lavfi\.r128\.I=(-?[\d.]+|-?inf|nan)")


@dataclass(frozen=True, slots=True)
class Sound:
    """A form's sound, encoded. ``before`` and ``after`` are LUFS, None where there is silence."""

    path: Path
    before: float | None
    after: float | None
    gain_db: float


def even_sound(
    binary: str,
    source: Path,
    duration: int,
    folder: Path,
    beat: Beat,
    inputs: Callable[[], dict[str, Any]] = input_limits,
) -> Sound:
    """The first sound of ``source`` as AAC in ``folder``, ``duration`` ticks long. Raises
    EncodeError and what ``beat`` raises."""
    seconds = duration / TIMESCALE
    patience = Patience(deadline=60 + 4 * seconds, stall=60)
    target = folder / "sound.m4a"

    def measure(path: Path) -> float | None:
        told = folder / "loudness.txt"
        told.unlink(missing_ok=True)
        heard = ffmpeg.input(f"file:{path}", **inputs())["a:0"]
        heard = heard.filter("ebur128", metadata=1, framelog="quiet")
        heard = heard.filter("ametadata", mode="print", key="lavfi.r128.I", file=str(told))
        output = ffmpeg.output(heard, "-", f="null")
        run_ffmpeg(binary, output, patience=patience, beat=beat)
        return read_loudness(told)

    def encode(gain: float) -> None:
        heard = ffmpeg.input(f"file:{source}", **inputs())["a:0"]
        output = ffmpeg.output(
            _levelled(heard, gain, duration), f"file:{target}",
            **{"c:a": "aac", "b:a": "160k", "ar": SAMPLE_RATE, "ac": 2, "map_metadata": -1},
        )  # fmt: skip
        run_ffmpeg(binary, output, patience=patience, beat=beat)

    before = measure(source)
    if before is None:
        encode(0.0)
        return Sound(target, None, None, 0.0)
    gain = min(MAX_GAIN_DB, TARGET_LUFS - before)
    after: float | None = None
    for _ in range(_ROUNDS):
        encode(gain)
        after = measure(target)
        if after is None or abs(TARGET_LUFS - after) <= _CLOSE_ENOUGH_DB or gain >= MAX_GAIN_DB:
            break
        gain = min(MAX_GAIN_DB, gain + TARGET_LUFS - after)
    return Sound(target, before, after, gain)


def _levelled(heard: Any, gain: float, duration: int) -> Any:
    samples = max(1, duration * SAMPLE_RATE // TIMESCALE)
    heard = heard.filter("aresample", SAMPLE_RATE, first_pts=0, **{"async": 1})
    heard = heard.filter("aformat", channel_layouts="stereo", sample_fmts="fltp")
    if gain:
        heard = heard.filter("volume", f"{gain:.3f}dB", precision="float")
        heard = heard.filter("aresample", _TRUE_PEAK_RATE)
        heard = heard.filter(
            "alimiter", level_in=1, level_out=1, limit=f"{10 ** (_LIMIT_DBTP / 20):.6f}",
            attack=4, release=60, level="disabled", latency=1,
        )  # fmt: skip
        heard = heard.filter("aresample", SAMPLE_RATE)
    return heard.filter("apad", whole_len=samples).filter("atrim", end_sample=samples)


def read_loudness(told: Path) -> float | None:
    """The last integrated loudness in a file of FFmpeg's; None: silence."""
    with told.open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL_BYTES))
        found = _LOUDNESS.findall(file.read())
    value = float(found[-1]) if found else -math.inf
    return value if math.isfinite(value) and value > SILENCE_LUFS else None
