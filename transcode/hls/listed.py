"""Registered segments as the live head lists them: for a head that is made from rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from transcode.hls.head import TIMESCALE, HeadPart, HeadSegment

PART_TARGETS: Final = 4
"""Target durations from the end in which segments keep their parts. rfc8216bis 6.2.2 forbids
removing them within three; one more for the segments a reader of rows may be behind."""


class ListedLike(Protocol):
    """A registered segment, in plain values; ``parts``: (ticks, bytes, independent), in order."""

    @property
    def msn(self) -> int: ...
    @property
    def duration_ticks(self) -> int: ...
    @property
    def pdt_us(self) -> int: ...
    @property
    def init_number(self) -> int: ...
    @property
    def discontinuity(self) -> bool: ...
    @property
    def gap(self) -> bool: ...
    @property
    def run_id(self) -> int | None: ...
    @property
    def parts(self) -> Sequence[tuple[int, int, bool]]: ...


def head_segments(listed: Sequence[ListedLike], target_duration: int) -> list[HeadSegment]:
    """Rows, oldest first, as segments of a head; the newest with their parts."""
    found: list[HeadSegment] = []
    after = 0
    """Ticks from the end of the segment at hand to the end of the list."""
    for row in reversed(listed):
        near = after < PART_TARGETS * target_duration * TIMESCALE
        found.append(
            HeadSegment(
                msn=row.msn,
                dur=row.duration_ticks,
                pdt_us=row.pdt_us,
                init=max(0, row.init_number),
                disc=row.discontinuity,
                gap=row.gap,
                parts=_parts(row.parts) if near else [],
                run=row.run_id or 0,
            )
        )
        after += row.duration_ticks
    found.reverse()
    return found


def _parts(parts: Sequence[tuple[int, int, bool]]) -> list[HeadPart]:
    found: list[HeadPart] = []
    offset = 0
    for dur, size, independent in parts:
        # A part without bytes is time without media: announced, never fetched.
        found.append(HeadPart(dur, size, offset, bool(independent), gap=not size))
        offset += size
    return found
