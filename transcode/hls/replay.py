"""A recording as playlists need it: the rows of its segments, and where their bytes lie."""

from __future__ import annotations

import msgspec

from transcode.hls.head import RenditionKind


class ReplaySegment(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One segment of a recording, in order of play.

    ``msn`` names its file (``s{msn}.m4s``) and need not be contiguous, since slates are left
    out; ``offset`` and ``size`` are its bytes in the compacted file when there is one.
    ``pdt_us`` is 0 when nothing is known of wall-clock time (an edited work).
    """

    msn: int
    dur: int
    pdt_us: int = 0
    init: int = 0
    disc: bool = False
    gap: bool = False
    offset: int = 0
    size: int = 0


class ByteRange(msgspec.Struct, frozen=True, gc=False):
    """A stretch of a file, in bytes."""

    offset: int
    size: int


class ReplayRendition(msgspec.Struct, frozen=True, omit_defaults=True):
    """One rung of a recording.

    ``file`` is the name of the compacted file (``replay1.mp4``), and ``inits`` then says where
    in it each init section lies, by number.
    """

    name: str
    kind: RenditionKind
    bandwidth: int
    average_bandwidth: int
    codecs: str
    width: int | None = None
    height: int | None = None
    frame_rate: float | None = None
    segments: list[ReplaySegment] = []
    file: str | None = None
    inits: dict[int, ByteRange] = {}


class Replay(msgspec.Struct, frozen=True, omit_defaults=True):
    """A recording, finished or still growing.

    ``event`` says that it has been served while it grew. Such a playlist stays an EVENT, even
    with its ENDLIST: a client that has it open may see lines appended, and nothing else
    (RFC 8216bis 6.2.1). Compacted recordings and clips are VOD.
    """

    token: str
    target_duration: int
    ended: bool
    renditions: list[ReplayRendition]
    event: bool = False

    def rendition(self, name: str) -> ReplayRendition | None:
        """The rendition called ``name``, if there is one."""
        return next((r for r in self.renditions if r.name == name), None)
