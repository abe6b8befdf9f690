"""What the packager is told, and what it says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from transcode.hls.head import HeadPart, RenditionKind


class PackagerError(Exception):
    """The rungs of a run cannot be packaged together (one stalled, or its tracks are unusable)."""


@dataclass(frozen=True, slots=True)
class RungSpec:
    """One rung of a run, as FFmpeg will produce it."""

    name: str
    kind: RenditionKind


@dataclass(frozen=True, slots=True)
class RunTiming:
    """Lengths and the time mapping of one run. All but ``target_duration`` in 90 kHz ticks."""

    part_target: int
    segment_target: int
    target_duration: int
    """Seconds, EXT-X-TARGETDURATION."""
    take_start: int
    """Where the run begins on the take's timeline (milliseconds times 90)."""
    air_start: int
    """Where that moment lies on the air timeline."""


@dataclass(frozen=True, slots=True)
class ResumePoint:
    """Where the run takes up the air list: the first segment it has to build.

    ``start_tick`` is that segment's place on the air timeline. ``published`` holds, by
    rendition, the parts of it that a former run has announced: those are never announced
    again, nor may their durations change.
    """

    msn: int
    start_tick: int
    published: Mapping[str, Sequence[HeadPart]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class InitReady:
    """The init section of a rendition for this run. ``number`` counts from 0 in the order of
    first use over the whole broadcast; ``is_new`` is false when an earlier run had the same."""

    rendition: str
    number: int
    data: bytes
    is_new: bool
    codecs: str
    width: int | None
    height: int | None


@dataclass(frozen=True, slots=True)
class PartReady:
    """A part to publish. ``data`` is one fragment, empty when ``head.gap``."""

    rendition: str
    msn: int
    part: int
    start_tick: int
    data: bytes
    head: HeadPart


@dataclass(frozen=True, slots=True)
class SegmentReady:
    """A whole segment. ``data`` is the concatenation of ``parts``.

    In the segment a run resumed, ``data`` and the sizes and offsets in ``parts`` are of the media
    made anew; the durations, flags and number of the parts announced before are kept, so the
    playlist lines stay what they were.
    """

    rendition: str
    msn: int
    start_tick: int
    dur_ticks: int
    data: bytes
    parts: list[HeadPart]
    init: int
    gap: bool


@dataclass(frozen=True, slots=True)
class SlotReady:
    """All rungs have delivered segment ``msn``: one item for the air list."""

    msn: int
    start_tick: int
    dur_ticks: int
    segments: dict[str, SegmentReady]


@dataclass(frozen=True, slots=True)
class GopTooLong:
    """The leading rung has no key frame in time: a segment would exceed TARGETDURATION.

    The open segment was ended with what the leading rung had; once the other rungs have come
    that far its slot is given out, and then the run gives nothing more: a new one, going on
    from the end of that slot, must force key frames.
    """

    rendition: str
    msn: int
    at_tick: int
    limit_tick: int


@dataclass(frozen=True, slots=True)
class Hole:
    """Air time without frames of the rendition's leading track; ``dropped`` frames in it could
    not be decoded (no key frame) and were left out. They are still in the feed log."""

    rendition: str
    start_tick: int
    end_tick: int
    dropped: int


PackagerEvent = InitReady | PartReady | SegmentReady | SlotReady | GopTooLong | Hole
