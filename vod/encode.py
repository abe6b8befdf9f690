"""Runs FFmpeg to its end on files: limited, watched by progress, killed on a wish or a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import ffmpeg

from transcode.ffmpeg.process import FFmpegProcess
from transcode.ffmpeg.progress import Progress, ProgressReader
from transcode.sandbox import GLOBAL_LIMITS, Limits, launcher, view_of

_LOOK_SECONDS: Final = 0.5
_WORDS_MAX: Final = 1500

Beat = Callable[[float | None, str | None], None]
"""Told (share done or None, note or None) about twice a second; what it raises ends the work."""


class EncodeError(Exception):
    """FFmpeg failed, hung or took too long. The message ends with its last words."""

    def __init__(self, what: str, words: str = "") -> None:
        super().__init__(f"{what}: {words[-_WORDS_MAX:]}" if words else what)


class EncodeHung(EncodeError):
    """FFmpeg was killed because it took too long: another time it may not."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a run may take in all, and without any progress. Seconds."""

    deadline: float
    stall: float = 60.0


def silent(share: float | None, note: str | None) -> None:
    """A beat that nobody listens to."""


def run_ffmpeg(
    binary: str,
    output: Any,
    *,
    patience: Patience,
    length_us: int = 0,
    beat: Beat = silent,
    limits: Limits | None = None,
    reads: Iterable[Path] | None = None,
) -> None:
    """Run an ffmpeg-python ``output`` graph to its end, without network, writing only in the
    folders of its outputs.

    ``length_us`` of output is a share of 1. When ``beat`` raises (cancelled, lease lost), FFmpeg
    is killed and the exception goes on. ``reads``: give it, empty or not, for files as people
    sent them: then FFmpeg sees its inputs and these alone. Raises EncodeError.
    """
    allowed = limits or Limits(cpu_seconds=int(patience.deadline) * 16)

    def arguments(pipes: dict[str, int], progress_fd: int) -> list[str]:
        graph = output.global_args(
            *GLOBAL_LIMITS, "-nostats", "-loglevel", "error",
            "-progress", f"pipe:{progress_fd}", "-stats_period", "0.5",
        )  # fmt: skip
        argv: list[str] = ffmpeg.compile(graph, cmd=binary, overwrite_output=True)
        return [*launcher(allowed, view_of(argv, reads)), *argv]

    with FFmpegProcess(arguments, ()) as process:
        _watch(process, patience, length_us, beat)
        code = process.close()
        if code != 0:
            raise EncodeError(f"FFmpeg ended with code {code}", process.last_words)


def _watch(process: FFmpegProcess, patience: Patience, length_us: int, beat: Beat) -> None:
    reader = ProgressReader()
    moved = time.monotonic()
    last: Progress | None = None
    while not process.drained:
        for chunk in process.read(_LOOK_SECONDS):
            for report in reader.feed(chunk.data):
                if last is None or (report.out_us, report.frames) != (last.out_us, last.frames):
                    moved = time.monotonic()
                last = report
        now = time.monotonic()
        if now - process.started > patience.deadline:
            raise EncodeHung(
                f"FFmpeg took longer than {patience.deadline:.0f} s", process.last_words
            )
        if now - moved > patience.stall:
            raise EncodeHung(
                f"FFmpeg made no progress for {patience.stall:.0f} s", process.last_words
            )
        share = min(1.0, last.out_us / length_us) if last and length_us > 0 else None
        beat(share, None)
