"""How fast a job gets on, and how long it will still take: from the last minutes, not from the
whole, for work rarely goes on as it began. Pure.

A pace is a few points (seconds since 1970, permille done), oldest first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

POINT_SECONDS: Final = 10.0
"""A point this soon after another takes its place."""
POINTS: Final = 18
"""Three minutes."""
LEAST_SECONDS: Final = 8.0
LEAST_PERMILLE: Final = 5
"""Less than this says nothing about the rest."""


def noted(pace: Sequence[Sequence[Any]], at: float, permille: int) -> list[list[float]]:
    """The pace with what was just reached. Work that was lost begins it anew."""
    points = [[float(then), float(done)] for then, done in pace]
    if points and permille < points[-1][1]:
        points = []
    if len(points) > 1 and points[-1][0] - points[-2][0] < POINT_SECONDS:
        points.pop()
    return [*points, [round(at, 1), float(permille)]][-POINTS:]


def seconds_left(pace: Sequence[Sequence[Any]], now: float) -> int | None:
    """Seconds until it is done at the pace of the last minutes; None: too early to say."""
    if len(pace) < 2:
        return None
    began, least = float(pace[0][0]), float(pace[0][1])
    at, most = float(pace[-1][0]), float(pace[-1][1])
    if at - began < LEAST_SECONDS or most - least < LEAST_PERMILLE:
        return None
    left = (1000 - most) * (at - began) / (most - least)
    return max(1, round(left - max(0.0, now - at)))
