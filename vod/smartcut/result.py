"""What a smart cut is asked for, and what it gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.jobs.handlers import JobFailed
from vod.finished import Finished
from vod.footage import Part


class CutError(JobFailed):
    """A cut that cannot be made, however often it is tried. ``code``: ``clip_no_footage``,
    ``clip_not_exact``, ``clip_unreadable``; ``sentence`` is for people."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(code, sentence, retry=False)


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of one source: ``start`` <= pts < ``stop``, ticks of the source's timeline.

    ``video`` and ``audio`` are what ``vod.footage.plan_parts`` gives for the slots around it;
    without audio parts, the sound in the video parts is taken.
    """

    video: Sequence[Part]
    audio: Sequence[Part]
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class CutPiece:
    """Where a piece came to lie. Ticks."""

    first: int
    """When its first frame is shown in the source."""
    end: int
    """When its last frame ends in the source."""
    at: int
    """When its first frame is shown in the cut."""


@dataclass(frozen=True, slots=True)
class CutResult:
    """A cut that lies in the work folder."""

    mp4: Path
    """Faststart MP4; its byte ranges are the HLS rendition too."""
    finished: Finished
    """The rendition: codecs, init section, segments as byte ranges of ``mp4``, pts from zero."""
    init_offset: int
    """Where in ``mp4`` the rendition's init section (``finished.init``) begins."""
    duration: int
    """Ticks: the last frame's end."""
    width: int | None
    """None: sound alone. As shown (cropped), before the sample aspect ratio."""
    height: int | None
    frame_rate: float | None
    """Mean frames per second."""
    frames: list[int]
    """When each frame is shown, ticks from zero, in order."""
    copied_frames: int
    encoded_frames: int
    missing_frames: int
    """Wanted ones that could not be decoded, which only damaged footage can cause."""
    reasons: tuple[str, ...]
    """Codes, sorted: why something was encoded that a cut does not have to. See docs/smart-cut.md.
    """
    pieces: tuple[CutPiece, ...]
    """Those that hold a frame, in order."""
