"""Looks through a film once, small: when its frames are shown, its cuts, what moves in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import ffmpeg
import numpy as np

from catalog.models import TIMESCALE
from transcode.sandbox import FOOTAGE_CODECS, input_limits
from vod.encode import Beat, EncodeError, Patience
from vod.forms.geometry import Geometry
from vod.forms.pipes import hole, read_frames
from vod.forms.sight import LOOKS_A_SECOND, Cuts, Picture, Sight
from vod.forms.subject import Seen

MAX_FRAMES: Final = 250_000
"""Of one form: half an hour at 120 frames a second."""
_BEAT_FRAMES: Final = 25


@dataclass(frozen=True, slots=True)
class Watched:
    """What was seen. ``times`` are ticks from the first frame, ``cuts`` indices of frames."""

    times: list[int]
    cuts: list[int]
    seen: list[Seen]


def source_limits() -> dict[str, Any]:
    """Options of an input that is one of our own works: smart cut may have copied HEVC."""
    return input_limits(codecs=f"{FOOTAGE_CODECS},hevc")


def watch(
    binary: str,
    source: Path,
    geometry: Geometry,
    *,
    duration: int,
    frame_rate: float,
    folder: Path,
    beat: Beat,
) -> Watched:
    """Look through ``source``. ``duration`` (ticks) and ``frame_rate`` need not be exact: they say
    how far it is, and how often to look. Raises EncodeError and what ``beat`` raises."""
    width, height = geometry.small
    seconds = duration / TIMESCALE
    patience = Patience(deadline=120 + 6 * seconds, stall=60)
    listed = folder / "frames.txt"
    picture = ffmpeg.input(f"file:{source}", **source_limits())["v:0"]
    picture = picture.filter("settb", f"1/{TIMESCALE}")
    picture = picture.filter("scale", width, height, flags="area").filter("setsar", 1)
    output = ffmpeg.output(
        picture, hole("frames"), f="rawvideo", pix_fmt="bgr24",
        **{
            "fps_mode:v": "passthrough",
            "enc_time_base:v": f"1/{TIMESCALE}",
            # When each frame is shown, as the encoder gets it: raw pictures carry no times.
            "stats_enc_pre:v": str(listed),
            "stats_enc_pre_fmt:v": "{pts}",
        },
    ).global_args("-copyts")  # fmt: skip
    cuts, frames = Cuts(), 0
    eyes = _Eyes(geometry.upright, frame_rate)
    for data in read_frames(binary, output, width * height * 3, patience, beat):
        if frames >= MAX_FRAMES:
            raise EncodeError(f"more than {MAX_FRAMES} frames")
        small = np.frombuffer(data, np.uint8).reshape(height, width, 3)
        cuts.feed(small)
        eyes.feed(small, cuts.maybe)
        frames += 1
        if frames % _BEAT_FRAMES == 0:
            beat(min(1.0, frames / max(1.0, seconds * frame_rate)), None)
    times = [int(line) for line in listed.read_text("ascii").split()]
    if len(times) != frames or not times:
        raise EncodeError(f"{frames} frames, {len(times)} times")
    first = times[0]
    times = [at - first for at in times]
    return Watched(times, cuts.found(), eyes.sightings(times))


class _Eyes:
    """Looks at some of the frames. When each is shown is known when all are through."""

    def __init__(self, upright: bool, frame_rate: float) -> None:
        self._sight = Sight(upright)
        self._every = max(1, round(frame_rate / LOOKS_A_SECOND))
        self._seen: list[Seen] = []
        self._frames = 0

    def feed(self, small: Picture, cut: bool) -> None:
        """The next frame of all; ``cut``: it may begin a shot."""
        if cut:
            self._sight.cut()
        if cut or self._frames % self._every == 0:
            self._seen += self._sight.look(small, self._frames)
        self._frames += 1

    def sightings(self, times: list[int]) -> list[Seen]:
        """What was seen, at the times of the frames it was seen in."""
        return [Seen(times[s.at], s.centre, s.width, s.confidence) for s in self._seen]
