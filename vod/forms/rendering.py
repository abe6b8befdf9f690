"""The film itself: decoded by one FFmpeg, reframed here, encoded by another, timestamps kept.

Frame for frame what the source shows, at the times it shows it; words lie over it for as long as
they are wanted. On the way the best frame for a cover is put aside, before anything is laid over.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import cv2
import ffmpeg

from catalog.models import TIMESCALE
from transcode.sandbox import input_limits
from vod.encode import Beat, EncodeError, Patience, run_ffmpeg
from vod.forms.geometry import Geometry
from vod.forms.paint import Canvas, Layer, Showing, paint
from vod.forms.path import Path as Way
from vod.forms.pipes import FrameWriter, hole, ivf_limits, read_frames
from vod.forms.watching import source_limits
from vod.posters import score

KEY_SECONDS: Final = 2
COVER_CANDIDATES: Final = 12
_COVER_QUALITY: Final = 85
_RATES: Final = {1080: "6M", 720: "3500k"}
"""Most bits a second by the form's width."""
_BEAT_FRAMES: Final = 10


@dataclass(frozen=True, slots=True)
class Rendered:
    """The picture alone, and its cover as a JPEG."""

    path: Path
    cover: bytes | None


def render(
    binary: str,
    source: Path,
    geometry: Geometry,
    way: Way,
    showings: Sequence[Showing],
    cover_layer: Layer | None,
    folder: Path,
    beat: Beat,
) -> Rendered:
    """Reframe ``source`` along ``way`` into a silent MP4 in ``folder``. Raises EncodeError (also
    when another number of frames comes out than went into the way) and what ``beat`` raises."""
    target = folder / "picture.mp4"
    times = way.times
    seconds = (times[-1] - times[0]) / TIMESCALE + 1
    # Slower than a thirtieth of real time means that something is stuck.
    patience = Patience(deadline=120 + 30 * seconds, stall=120)
    width, height = geometry.raw
    frames = read_frames(binary, _raw(source, geometry), width * height * 3 // 2, patience, beat)
    canvas = Canvas(geometry)
    cover = _Cover(len(times))
    output = _encoded(target, geometry, times)
    writer = FrameWriter(binary, output, geometry.out, patience, beat)
    with writer, closing(frames):
        for number, raw in enumerate(_counted(frames, len(times))):
            canvas.crop(raw, float(way.centres[number]))
            if cover.wants(number):
                cover.see(canvas)
            paint(canvas, showings, times[number])
            writer.write(canvas.data, times[number])
            if number % _BEAT_FRAMES == 0:
                beat(number / len(times), None)
        writer.finish()
    return Rendered(target, cover.jpeg(canvas, cover_layer))


def _counted(frames: Iterable[bytes], wanted: int) -> Iterator[bytes]:
    number = 0
    for frame in frames:
        number += 1
        if number > wanted:
            break
        yield frame
    if number != wanted:
        raise EncodeError(f"{wanted} frames were seen, {number} came the second time")


def _raw(source: Path, geometry: Geometry) -> Any:
    """Every frame as yuv420p, square pixels, BT.709 and limited range whatever it was."""
    picture = ffmpeg.input(f"file:{source}", **source_limits())["v:0"]
    picture = picture.filter(
        "scale", *geometry.raw, flags="lanczos+accurate_rnd", out_color_matrix="bt709",
        out_range="tv",
    )  # fmt: skip
    return ffmpeg.output(
        picture, hole("frames"), f="rawvideo", pix_fmt="yuv420p",
        **{"fps_mode:v": "passthrough"},
    ).global_args("-copyts")  # fmt: skip


def _encoded(target: Path, geometry: Geometry, times: Sequence[int]) -> Any:
    span = times[-1] - times[0]
    rate = Fraction((len(times) - 1) * TIMESCALE, span) if span else Fraction(25)
    rate = rate.limit_denominator(1001)
    most = _RATES[geometry.out[0]]
    picture = ffmpeg.input("pipe:0", **ivf_limits())["v:0"]
    picture = picture.filter("setparams", range="tv", color_primaries="bt709",
                             color_trc="bt709", colorspace="bt709")  # fmt: skip
    options: dict[str, Any] = {
        "f": "mp4",
        "c:v": "libx264",
        "preset": "veryfast",
        "crf": 20,
        "maxrate": most,
        "bufsize": most,
        "profile:v": "high",
        "pix_fmt": "yuv420p",
        "video_track_timescale": TIMESCALE,
        "enc_time_base:v": f"1/{TIMESCALE}",
        "fps_mode:v": "passthrough",
        "sc_threshold": 0,
        "x264-params": f"fps={rate.numerator}/{rate.denominator}",
        "force_key_frames": f"expr:gte(t,n_forced*{KEY_SECONDS})",
        "map_metadata": -1,
    }
    return ffmpeg.output(picture, f"file:{target}", **options).global_args("-copyts")


def join(binary: str, picture: Path, sound: Path | None, target: Path, beat: Beat) -> None:
    """Picture and sound, copied into one MP4 with its index in front. Raises EncodeError."""
    streams = [ffmpeg.input(f"file:{picture}", **input_limits())["v:0"]]
    if sound is not None:
        streams.append(ffmpeg.input(f"file:{sound}", **input_limits())["a:0"])
    output = ffmpeg.output(
        *streams, f"file:{target}", f="mp4", c="copy", movflags="+faststart", map_metadata=-1,
        map_chapters=-1, video_track_timescale=TIMESCALE,
    )  # fmt: skip
    run_ffmpeg(binary, output, patience=Patience(deadline=1800, stall=120), beat=beat)


# --- cover -----------------------------------------------------------------------------------


class _Cover:
    """The most telling of a few frames spread over the film."""

    def __init__(self, frames: int) -> None:
        step = max(1, frames // COVER_CANDIDATES)
        self._wanted = set(range(step // 2, frames, step))
        self._best = -1.0
        self._data: bytes | None = None

    def wants(self, number: int) -> bool:
        return number in self._wanted

    def see(self, canvas: Canvas) -> None:
        worth = score(canvas.bgr())
        if worth > self._best:
            self._best, self._data = worth, bytes(canvas.data)

    def jpeg(self, canvas: Canvas, layer: Layer | None) -> bytes | None:
        """The frame with ``layer`` over it; ``canvas`` is drawn over."""
        if self._data is None:
            return None
        canvas.data[:] = self._data
        if layer is not None:
            canvas.lay(layer, 1.0)
        done, data = cv2.imencode(".jpg", canvas.bgr(), [cv2.IMWRITE_JPEG_QUALITY, _COVER_QUALITY])
        return data.tobytes() if done else None
