"""What the fMP4 reader gives and the writer takes."""

from __future__ import annotations

from typing import Literal

import msgspec

TrackKind = Literal["video", "audio"]

NON_SYNC = 0x0001_0000
"""sample_is_non_sync_sample (ISO/IEC 14496-12 8.8.3.1)."""
SYNC_FLAGS = 0x0200_0000
"""depends_on = 2: an I picture that depends on no other."""
NON_SYNC_FLAGS = 0x0101_0000
"""depends_on = 1, and not a sync sample."""


class Sample(msgspec.Struct, frozen=True, gc=False):
    """One coded frame. Times are in the track's timescale; ``cts`` is pts minus dts."""

    track_id: int
    dts: int
    cts: int
    duration: int
    is_sync: bool
    data: bytes


class Track(msgspec.Struct, frozen=True):
    """A track as its ``trak`` box describes it; ``entry`` is the whole sample entry box."""

    track_id: int
    kind: TrackKind
    timescale: int
    codec: str
    entry: bytes
    width: int = 0
    height: int = 0
    sample_rate: int = 0
    channels: int = 0


class InitSection(msgspec.Struct, frozen=True):
    """``ftyp`` and ``moov`` as read, and their tracks."""

    data: bytes
    tracks: list[Track]

    def track(self, kind: TrackKind) -> Track | None:
        """The first track of that kind."""
        return next((track for track in self.tracks if track.kind == kind), None)


class Fragment(msgspec.Struct, frozen=True):
    """One ``moof`` with its ``mdat``, in file order of its samples."""

    sequence: int
    samples: list[Sample]
