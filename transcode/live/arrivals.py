"""When each moment of a take arrived at ingest: the source of EXT-X-PROGRAM-DATE-TIME. Pure."""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise

_KEEP = 4_000
_SLEW_SHARE = 0.1
_JUMP_US = 2_000_000


class Arrivals:
    """Arrival times by place on the take's timeline, interpolated from its key frame index."""

    def __init__(self, first_ms: int, first_arrival_us: int) -> None:
        self._at_ms = [first_ms]
        self._arrival_us = [first_arrival_us]

    @property
    def last_ms(self) -> int:
        """Place of the newest entry."""
        return self._at_ms[-1]

    def add(self, entries: list[tuple[int, int]]) -> None:
        """Take entries (ms, arrival µs), oldest first; those known already are passed over."""
        for at_ms, arrival_us in entries:
            if at_ms > self._at_ms[-1]:
                self._at_ms.append(at_ms)
                self._arrival_us.append(arrival_us)
        if len(self._at_ms) > 2 * _KEEP:
            del self._at_ms[:-_KEEP], self._arrival_us[:-_KEEP]

    def at(self, ms: float) -> int:
        """Arrival of the moment ``ms``, in µs since 1970 UTC.

        Between key frames the feed is taken to have come in real time: within one GOP the
        arrival of single frames is the network's jitter, which a viewer's clock must not follow.
        """
        index = max(0, bisect_right(self._at_ms, ms) - 1)
        return self._arrival_us[index] + round((ms - self._at_ms[index]) * 1000)

    def gop_ms(self) -> int | None:
        """Longest distance of neighbouring entries; None with fewer than two."""
        if len(self._at_ms) < 2:
            return None
        pairs = pairwise(self._at_ms)
        return max(after - before for before, after in pairs)


def steady(due_us: int, arrival_us: int, since_us: int) -> int:
    """The date of a segment that goes on from another without a break.

    ``due_us`` is where the one before ends, ``since_us`` how long it is. Encoders begin with a
    burst (FFmpeg's `-re`: half a second) and networks falter: the dates follow arrivals, but a
    tenth of real time at most, so that a player's clock does not leap. What is two seconds off
    is no jitter, and is told at once; dates never go back.
    """
    off = arrival_us - due_us
    if abs(off) > _JUMP_US:
        return max(arrival_us, due_us - since_us + 1_000)
    most = round(since_us * _SLEW_SHARE)
    return due_us + min(most, max(-most, off))
