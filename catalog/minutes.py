"""Minutes as unions of intervals: pure arithmetic on integer ticks, so nothing is counted twice.

An interval is ``(start, end)`` in ticks of 1/90 000 s, start included, end not. A *timeline* is
the clock footage was recorded on (one take's), named by a string; footage on different timelines
never overlaps. Sums of ticks stay integers; rounding happens once, for display.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import ROUND_HALF_UP, Decimal

TICKS_A_SECOND = 90_000
TICKS_A_MS = 90
TICKS_A_MINUTE = 60 * TICKS_A_SECOND

RULE_VERSION = "2026-1"
"""Version of the counting rules printed beside every reported number."""

Interval = tuple[int, int]
Intervals = tuple[Interval, ...]
Footage = Mapping[str, Intervals]
"""Timeline name → its intervals, sorted, disjoint, not touching."""


def union(intervals: Iterable[Interval]) -> Intervals:
    """Sorted intervals that cover the same ticks, each tick once; empty ones vanish."""
    merged: list[Interval] = []
    for start, end in sorted(i for i in intervals if i[0] < i[1]):
        if merged and start <= merged[-1][1]:
            if end > merged[-1][1]:
                merged[-1] = (merged[-1][0], end)
        else:
            merged.append((start, end))
    return tuple(merged)


def difference(left: Iterable[Interval], right: Iterable[Interval]) -> Intervals:
    """The ticks only ``left`` covers."""
    taken = union(right)
    found: list[Interval] = []
    for start, end in union(left):
        for cut_start, cut_end in taken:
            if cut_end <= start:
                continue
            if cut_start >= end:
                break
            if start < cut_start:
                found.append((start, cut_start))
            start = cut_end
        if start < end:
            found.append((start, end))
    return tuple(found)


def total(intervals: Iterable[Interval]) -> int:
    """Ticks covered, each once."""
    return sum(end - start for start, end in union(intervals))


def by_timeline(rows: Iterable[tuple[str, int, int]]) -> dict[str, Intervals]:
    """Footage from ``(timeline, start, end)`` rows in any order, overlapping as they may."""
    loose: dict[str, list[Interval]] = {}
    for timeline, start, end in rows:
        loose.setdefault(timeline, []).append((start, end))
    merged = {timeline: union(intervals) for timeline, intervals in loose.items()}
    return {timeline: intervals for timeline, intervals in merged.items() if intervals}


def together(*parts: Footage) -> dict[str, Intervals]:
    """The footage any of the parts holds."""
    return by_timeline(
        (timeline, start, end)
        for part in parts
        for timeline, intervals in part.items()
        for start, end in intervals
    )


def without(footage: Footage, other: Footage) -> dict[str, Intervals]:
    """The footage ``other`` does not hold."""
    left = {t: difference(found, other.get(t, ())) for t, found in footage.items()}
    return {timeline: intervals for timeline, intervals in left.items() if intervals}


def footage_ticks(footage: Footage) -> int:
    """Ticks of all timelines together."""
    return sum(total(intervals) for intervals in footage.values())


def rows_of(footage: Footage) -> list[list[str | int]]:
    """The ``[[timeline, start, end], …]`` in which a resource row keeps its footage."""
    return [[t, start, end] for t in sorted(footage) for start, end in footage[t]]


def minutes_value(ticks: int) -> Decimal:
    """Minutes to one decimal, half up: a number for display, never for comparison."""
    return (Decimal(ticks) / TICKS_A_MINUTE).quantize(Decimal("0.1"), ROUND_HALF_UP)


def minutes_text(ticks: int) -> str:
    """Minutes as reports print them: one decimal, half up, a trailing .0 dropped."""
    return f"{minutes_value(ticks):f}".removesuffix(".0")


def seconds(ticks: int) -> float:
    """Seconds for machine-readable answers (milliseconds kept, no rounding up to minutes)."""
    return round(ticks / TICKS_A_SECOND, 3)
