"""One cheap pass over a stretch: FFmpeg gives 16 kHz mono and four tiny pictures a second on two
pipes, and the readers take them as they come. Nothing is kept but what they make of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import ffmpeg

from transcode.ffmpeg.process import FFmpegProcess
from transcode.sandbox import GLOBAL_LIMITS, Limits, input_limits, launcher, view_of
from vod.acts.grid import CELLS_PER_SECOND, RATE
from vod.acts.picture import HEIGHT, WIDTH, PictureReader, Seen
from vod.acts.sound import Heard, SoundReader
from vod.encode import EncodeError, Patience

_LOOK_SECONDS: Final = 0.5
_LIMITS: Final = Limits(cpu_seconds=3600)

Tell = Callable[[float], None]
"""Told the seconds of the stretch done so far; what it raises ends the work."""


def watch(
    binary: str, video: Path | None, audio: Path | None, *, patience: Patience, tell: Tell
) -> tuple[Heard | None, Seen | None]:
    """Hear and see one stretch. ``video`` and ``audio`` may be the same file; None: not there.

    Raises EncodeError.
    """
    sound = SoundReader() if audio is not None else None
    picture = PictureReader() if video is not None else None
    pipes = [name for name, reader in (("sound", sound), ("picture", picture)) if reader]
    if not pipes:
        return None, None

    def arguments(ends: dict[str, int], progress: int) -> list[str]:
        graph = _graph(video, audio, ends).global_args(
            *GLOBAL_LIMITS, "-nostats", "-loglevel", "error", "-progress", f"pipe:{progress}",
            "-stats_period", "0.5",
        )  # fmt: skip
        argv: list[str] = ffmpeg.compile(graph, cmd=binary, overwrite_output=True)
        return [*launcher(_LIMITS, view_of(argv)), *argv]

    with FFmpegProcess(arguments, pipes) as process:
        _read(process, sound, picture, patience, tell)
        code = process.close()
        if code != 0:
            raise EncodeError(f"FFmpeg ended with code {code}", process.last_words)
    return sound.finish() if sound else None, picture.finish() if picture else None


def _graph(video: Path | None, audio: Path | None, ends: dict[str, int]) -> Any:
    outputs = []
    if audio is not None:
        source = ffmpeg.input(f"file:{audio}", vn=None, **input_limits())
        outputs.append(
            ffmpeg.output(source["a:0"], f"pipe:{ends['sound']}", f="s16le", ac=1, ar=RATE)
        )
    if video is not None:
        # Deblocking is a third of the work of decoding, and not seen in a picture of 64 by 36.
        source = ffmpeg.input(
            f"file:{video}", an=None, skip_loop_filter="all", threads=2, **input_limits()
        )
        small = source["v:0"].filter("fps", CELLS_PER_SECOND)
        small = small.filter("scale", WIDTH, HEIGHT, flags="area")
        outputs.append(
            ffmpeg.output(small, f"pipe:{ends['picture']}", f="rawvideo", pix_fmt="bgr24")
        )
    return ffmpeg.merge_outputs(*outputs)


def _read(
    process: FFmpegProcess,
    sound: SoundReader | None,
    picture: PictureReader | None,
    patience: Patience,
    tell: Tell,
) -> None:
    moved = time.monotonic()
    while not process.drained:
        for chunk in process.read(_LOOK_SECONDS):
            if chunk.pipe == "sound" and sound:
                sound.feed(chunk.data)
            elif chunk.pipe == "picture" and picture:
                picture.feed(chunk.data)
            else:
                continue
            moved = time.monotonic()
        now = time.monotonic()
        if now - process.started > patience.deadline or now - moved > patience.stall:
            raise EncodeError(
                f"FFmpeg hung or took longer than {patience.deadline:.0f} s", process.last_words
            )
        tell(sound.samples / RATE if sound else 0.0)
