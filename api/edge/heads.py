"""Heads of the live edge compared and merged, and what a blocking reload may ask of one. Pure."""

from __future__ import annotations

from typing import Final

import msgspec

from transcode.hls.head import AirHead, HeadRendition

ADVANCE_SECONDS: Final = 3
"""6.2.5.2, Advance Part Limit: parts this far ahead may be asked for (and three at least)."""


def has(rendition: HeadRendition, msn: int, part: int | None) -> bool:
    """Whether a playlist of this rendition answers ``_HLS_msn``/``_HLS_part`` (6.2.5.2)."""
    if part is None:
        return msn < rendition.next_msn
    if msn > rendition.next_msn:
        return False
    if msn == rendition.next_msn:
        return part < len(rendition.parts)
    if msn == rendition.next_msn - 1 and rendition.segments:
        listed = rendition.segments[-1].parts
        if rendition.segments[-1].msn == msn and listed and part >= len(listed):
            # Beyond the last part of its segment: that is part 0 of the next one.
            return bool(rendition.parts)
    return True


def too_far(head: AirHead, rendition: HeadRendition, msn: int, part: int | None) -> bool:
    """Whether the request is to be refused at once: it asks for what is not coming soon."""
    last = rendition.next_msn if rendition.parts else rendition.next_msn - 1
    if msn > last + 2:
        return True
    if part is None or msn < rendition.next_msn:
        return False
    ahead = max(3, -(-ADVANCE_SECONDS * 1_000_000 // max(1, head.part_target_us)))
    listed = len(rendition.parts) if msn == rendition.next_msn else 0
    # In a segment to come, any part its predecessor could still leave room for.
    room = ahead if msn == rendition.next_msn else 2 * ahead
    return part >= listed + room


def further(head: AirHead, known: AirHead) -> bool:
    """Whether the catalogue's head says more than the one we have."""
    return head.state == "ended" or reach(head) > reach(known)


def reach(head: AirHead) -> int:
    """The segment being built."""
    return max((rendition.next_msn for rendition in head.renditions), default=-1)


def closed(head: AirHead) -> AirHead:
    """The same, ended. Parts of a segment that was never registered are nowhere to be had."""
    renditions = [msgspec.structs.replace(r, parts=[]) for r in head.renditions]
    return msgspec.structs.replace(head, state="ended", renditions=renditions)


def with_parts(head: AirHead, known: AirHead) -> AirHead:
    """A head from the catalogue with the parts as they are already listed: lines of a playlist
    may not go while their segment is near its end."""
    renditions = []
    for rendition in head.renditions:
        before = known.rendition(rendition.name)
        listed = {s.msn: s for s in before.segments if s.parts} if before else {}
        segments = [listed.get(segment.msn, segment) for segment in rendition.segments]
        renditions.append(msgspec.structs.replace(rendition, segments=segments))
    return msgspec.structs.replace(head, renditions=renditions)
