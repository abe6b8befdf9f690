"""A frame-exact cut out of joined footage: which frames, and FFmpeg's graph that keeps just those.

The first frame is the first one shown at or after ``in``, the last one the last shown before
``out``. They are found in the tables of the files, and FFmpeg trims by their exact timestamps, so
no rounding of seconds decides about a frame. The cut begins at zero with its first frame; sound is
cut to the sample and padded with silence where the feed had none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import ffmpeg

from catalog.models import TIMESCALE
from infra.storage import Storage
from transcode.sandbox import input_limits
from vod.footage import Frame, Measured, Part, Step, join_part, measure

SAMPLE_RATE: Final = 48_000
KEY_SECONDS: Final = 2

# The trims see frames with the joined file's own clock; sound that drifts further than this from
# its timestamps (where takes meet) is filled or cut to them.
_SOUND_SLACK_SECONDS: Final = 0.03


@dataclass(frozen=True, slots=True)
class Source:
    """One joined file, and what of it is wanted."""

    path: Path
    measured: Measured
    frames: tuple[Frame, ...]
    """The wanted ones, in presentation order."""


@dataclass(frozen=True, slots=True)
class Cut:
    """What will be cut. Ticks of the air timeline."""

    video: tuple[Source, ...]
    audio: tuple[Path, ...]
    start: int
    """When the first frame is shown."""
    end: int
    """When the last one ends."""
    frames: tuple[Frame, ...]

    @property
    def duration(self) -> int:
        return self.end - self.start

    @property
    def frame_rate(self) -> Fraction:
        """Mean frames per second."""
        return Fraction(len(self.frames) * TIMESCALE, self.duration).limit_denominator(1001)

    @property
    def size(self) -> tuple[int, int]:
        """Of the largest picture in it; odd sizes are not for H.264 4:2:0."""
        tracks = [s.measured.video for s in self.video if s.measured.video]
        largest = max(tracks, key=lambda track: track.width * track.height)
        return largest.width & ~1, largest.height & ~1


def gather(
    storage: Storage,
    video: list[Part],
    audio: list[Part],
    start: int,
    end: int,
    folder: Path,
    step: Step,
) -> Cut | None:
    """Fetch and join the parts into ``folder`` and choose the frames; None when there are none."""
    pictures = _sources(storage, video, start, end, folder, "v", step)
    pictures_heard = [source.path for source in pictures if source.measured.audio]
    sounds = _sources(storage, audio, start, end, folder, "a", step)
    main = pictures or sounds
    frames = tuple(sorted((f for s in main for f in s.frames), key=lambda frame: frame.pts))
    if not frames:
        return None
    return Cut(
        video=tuple(pictures),
        audio=tuple(source.path for source in sounds) or tuple(pictures_heard),
        start=frames[0].pts,
        end=frames[-1].end,
        frames=frames,
    )


def _sources(
    storage: Storage,
    parts: list[Part],
    start: int,
    end: int,
    folder: Path,
    name: str,
    step: Step,
) -> list[Source]:
    found: list[Source] = []
    for index, part in enumerate(parts):
        path = folder / f"{name}{index}.mp4"
        join_part(storage, part, path, step)
        measured = measure(path, step)
        frames = tuple(f for f in measured.frames if start <= f.pts < end)
        if frames:
            found.append(Source(path, measured, frames))
        else:
            path.unlink()
    return found


def cut_output(cut: Cut, path: Path) -> Any:
    """The ffmpeg-python output that encodes the cut as one MP4 with its index in front."""
    inputs: dict[Path, Any] = {}

    def source(file: Path) -> Any:
        if file not in inputs:
            inputs[file] = ffmpeg.input(f"file:{file}", **input_limits())
        return inputs[file]

    streams = []
    options: dict[str, Any] = {
        "f": "mp4",
        "movflags": "+faststart",
        "map_metadata": -1,
        "map_chapters": -1,
    }
    if cut.video:
        streams.append(_picture(cut, source))
        options |= {
            "c:v": "libx264",
            "preset": "veryfast",
            "crf": 18,
            "profile:v": "high",
            "pix_fmt": "yuv420p",
            "video_track_timescale": TIMESCALE,
            "enc_time_base:v": f"1/{TIMESCALE}",
            "fps_mode:v": "passthrough",
            "sc_threshold": 0,
            # x264 picks the level by the frame rate, which the filters above no longer tell it.
            "x264-params": f"fps={cut.frame_rate.numerator}/{cut.frame_rate.denominator}",
            "force_key_frames": f"expr:gte(t,n_forced*{KEY_SECONDS})",
        }
    if cut.audio:
        streams.append(_sound(cut, source))
        options |= {"c:a": "aac", "b:a": "160k", "ar": SAMPLE_RATE, "ac": 2}
    return ffmpeg.output(*streams, f"file:{path}", **options).global_args("-copyts")


def _picture(cut: Cut, source: Callable[[Path], Any]) -> Any:
    width, height = cut.size
    trimmed = []
    for part in cut.video:
        picture = (
            source(part.path)["v:0"]
            .filter("settb", f"1/{TIMESCALE}")
            .filter("trim", start_pts=part.frames[0].pts, end_pts=part.frames[-1].pts + 1)
        )
        track = part.measured.video
        if track is None or (track.width, track.height) != (width, height):
            picture = picture.filter("scale", width, height, flags="bicubic")
        trimmed.append(picture.filter("setsar", 1).filter("format", "yuv420p"))
    whole = trimmed[0]
    if len(trimmed) > 1:
        # By time and not by `concat`, which would close up what lies between the parts.
        # It counts in microseconds, finer than our ticks: nothing is lost on the way back.
        whole = ffmpeg.filter(trimmed, "interleave", nb_inputs=len(trimmed))
        whole = whole.filter("settb", f"1/{TIMESCALE}")
    return whole.filter("setpts", f"PTS-{cut.start}")


def _sound(cut: Cut, source: Callable[[Path], Any]) -> Any:
    start = -(-cut.start * SAMPLE_RATE // TIMESCALE)
    samples = max(1, cut.duration * SAMPLE_RATE // TIMESCALE)
    heard = []
    for path in cut.audio:
        sound = source(path)["a:0"].filter("aresample", SAMPLE_RATE)
        sound = sound.filter("aformat", channel_layouts="stereo", sample_fmts="fltp")
        heard.append(sound.filter("asettb", f"1/{SAMPLE_RATE}"))
    whole = heard[0]
    if len(heard) > 1:
        whole = ffmpeg.filter(heard, "ainterleave", nb_inputs=len(heard))
        whole = whole.filter("asettb", f"1/{SAMPLE_RATE}")
    return (
        whole.filter("atrim", start_pts=start, end_pts=start + samples)
        .filter(
            "aresample", SAMPLE_RATE, first_pts=start,
            min_hard_comp=_SOUND_SLACK_SECONDS, **{"async": 1},
        )
        .filter("asetpts", f"PTS-{start}")
        .filter("apad", whole_len=samples)
        .filter("atrim", end_sample=samples)
    )  # fmt: skip
