"""The live head: everything the edge must know to write the playlists of one broadcast.

The live job writes it whole on every change and the edge reads it whole, so nobody applies
deltas and a lost message is repaired by the next one. All durations are integer ticks of
``TIMESCALE``; wall-clock values are integer microseconds of UTC since the epoch.
"""

from __future__ import annotations

from typing import Literal

import msgspec

TIMESCALE = 90_000
"""Ticks a second on the air timeline (and of every video track we write)."""

HeadState = Literal["waiting", "live", "interrupted", "ended"]
RenditionKind = Literal["video", "audio"]


class HeadError(ValueError):
    """Bytes that are no AirHead."""


class HeadPart(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One partial segment. ``size``/``offset``: bytes, in the file of the whole segment."""

    dur: int
    size: int
    offset: int
    independent: bool = False
    gap: bool = False
    """Time that holds no media (a hole in the feed): announced, never fetched."""


class HeadSegment(msgspec.Struct, frozen=True, omit_defaults=True):
    """One complete segment. ``init`` is the number of its init section."""

    msn: int
    dur: int
    pdt_us: int
    init: int = 0
    disc: bool = False
    gap: bool = False
    parts: list[HeadPart] = []
    """Kept for the last few segments only; older ones are fetched whole."""
    run: int = 0
    """The run that made it: part of its storage key."""


class HeadRendition(msgspec.Struct, frozen=True, omit_defaults=True):
    """One rung: its description, its window of registered segments, and the open segment."""

    name: str
    kind: RenditionKind
    bandwidth: int
    average_bandwidth: int
    codecs: str
    next_msn: int
    """Number of the segment being built; ``parts`` are its parts so far."""
    width: int | None = None
    height: int | None = None
    frame_rate: float | None = None
    segments: list[HeadSegment] = []
    parts: list[HeadPart] = []
    open_init: int = 0
    open_discontinuity: bool = False
    open_pdt_us: int = 0


class AirHead(msgspec.Struct, frozen=True, omit_defaults=True):
    """The whole public state of a broadcast's live edge at one moment."""

    token: str
    version: int
    """Grows with every change; an older version never replaces a newer one."""
    state: HeadState
    target_duration: int
    """Seconds; fixed for the life of the broadcast (RFC 8216bis 4.4.3.1)."""
    part_target_us: int
    media_sequence: int
    discontinuity_sequence: int
    renditions: list[HeadRendition]
    server_us: int = 0
    """When the head was written."""

    @property
    def part_target_ticks(self) -> int:
        """PART-TARGET in ticks, rounded down so that no part can exceed it."""
        return self.part_target_us * 9 // 100

    def rendition(self, name: str) -> HeadRendition | None:
        """The rendition called ``name``, if there is one."""
        return next((r for r in self.renditions if r.name == name), None)


def segment_key(token: str, rendition: str, msn: int, run: int) -> str:
    """Storage key of a live segment. With its run in it, a job that has lost its broadcast
    without knowing can't write over what its successor has registered."""
    return f"live/{token}/{rendition}/{msn:08d}-{run}.m4s"


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(AirHead)


def encode_head(head: AirHead) -> bytes:
    """The bytes that go to Redis."""
    return _encoder.encode(head)


def decode_head(data: bytes | str) -> AirHead:
    """Read what ``encode_head`` wrote. Raises HeadError."""
    try:
        return _decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise HeadError(f"not an AirHead: {error}") from error
