"""What a chunk wants of an original: which packets, and where each belongs on the work's timeline.

Pure.
"""

from __future__ import annotations

from typing import Final

import msgspec

SOUND_RATE: Final = 48_000
SOUND_FRAME: Final = 1024
"""Samples of an AAC frame; 1 920 ticks."""


class PictureJob(msgspec.Struct, frozen=True):
    """What a chunk reads and keeps of the picture. ``seek`` and ``pts`` in the stream's time base;
    all else in ticks of the work's timeline."""

    row: int
    """First packet, counted from the file's start."""
    pts: int
    """Of that packet, and its size: by these it is known again."""
    size: int
    seek: int
    at: int
    """Its first byte in the file, or one before it."""
    digest: str
    clock: list[int]
    """When each packet's picture is shown, in the order of decoding, counted from ``zero``. The
    least of them is the room that decoding times need before them."""
    zero: int


class SoundJob(msgspec.Struct, frozen=True):
    """What a chunk reads and keeps of the sound. Samples of the source's rate unless said."""

    row: int
    rows: int
    pts: int
    size: int
    seek: int
    at: int
    digest: str
    anchors: list[tuple[int, int]]
    """(packet, counted from ``row``; its first sample)."""
    step: int
    """Samples of every packet; 0: they differ, and what is decoded is counted."""
    first: int
    """The first sample encoded: a whole number of AAC frames at 48 kHz from zero."""
    first_frame: int
    """Of the AAC frames encoded, on the work's one grid."""
    after_frame: int
    keep: tuple[int, int]
    """The frames that are this chunk's, first and after the last."""
