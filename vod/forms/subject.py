"""Which of the things seen is the one to follow: the likeliest way through all sightings. Pure.

Every sighting earns its confidence for the time it stands for; going from one to the next costs
what the way between them is too long for a person; a time without a good one may be passed over.
The best sum over a whole shot wins (a shortest path, so what comes later speaks for what was
before): a lamp that flares up for a moment does not pull the picture away, and somebody hidden for
a second is found again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import numpy as np
from numpy.typing import NDArray

from catalog.minutes import TICKS_A_SECOND

MAX_CANDIDATES: Final = 4
"""Sightings of one time that are looked at; the surest."""
_LOOK_BACK: Final = 32
"""So many times may be passed over between two sightings of the same subject."""
_EARNS_SECONDS: Final = 0.5
"""A sighting stands for no longer than this."""
_REACH: Final = 0.02
_REACH_A_SECOND: Final = 0.45
"""A subject that was lost may be so far off after that long, at no cost. Picture lengths."""
_WAY_COST: Final = 8.0
"""Seconds of full confidence that a whole picture length beyond that costs."""
_SWITCH_COST: Final = 2.0
"""…but no way costs more than taking up another subject."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Seen:
    """Something that may be the subject.

    ``at`` is in ticks; ``centre`` and ``width`` are shares of the picture's length along the axis
    the crop moves on; ``confidence`` is from 0 to 1.
    """

    at: int
    centre: float
    width: float
    confidence: float


def choose(seen: Sequence[Seen]) -> list[Seen]:
    """At most one sighting a time, in order of time. ``seen`` is of one shot, in any order."""
    times = [
        sorted(group, key=lambda s: -s.confidence)[:MAX_CANDIDATES]
        for _, group in groupby(sorted(seen, key=lambda s: s.at), key=lambda s: s.at)
    ]
    if not times:
        return []
    at = np.array([group[0].at for group in times], dtype=np.float64) / TICKS_A_SECOND
    usual = float(np.median(np.diff(at))) if len(at) > 1 else _EARNS_SECONDS
    shape = (len(times), MAX_CANDIDATES)
    centres, earns = np.zeros(shape), np.full(shape, -np.inf)
    for row, group in enumerate(times):
        lasting = min(_EARNS_SECONDS, at[row] - at[row - 1] if row else usual)
        for column, one in enumerate(group):
            centres[row, column] = one.centre
            earns[row, column] = one.confidence * lasting
    return [times[row][column] for row, column in _best_way(at, centres, earns)]


def _best_way(at: Floats, centres: Floats, earns: Floats) -> list[tuple[int, int]]:
    rows, columns = earns.shape
    best = earns.copy()
    came = np.full((rows, columns), -1)
    # The best end of any way up to a row: what taking up another subject begins from.
    top = np.full(rows, -1)
    for row in range(1, rows):
        before = best[row - 1]
        first = int(top[row - 1])
        champion = (row - 1) * columns + int(np.argmax(before))
        if first < 0 or best.flat[champion] > best.flat[first]:
            first = champion
        top[row] = first
        start = max(0, row - _LOOK_BACK)
        reach = _REACH + _REACH_A_SECOND * (at[row] - at[start:row])
        away = np.abs(centres[start:row, :, None] - centres[row][None, None, :])
        cost = np.minimum(_SWITCH_COST, _WAY_COST * np.maximum(0, away - reach[:, None, None]))
        sums = (best[start:row, :, None] - cost).reshape(-1, columns)
        winners = np.argmax(sums, axis=0)
        for column in range(columns):
            gain, source = sums[winners[column], column], start * columns + int(winners[column])
            if best.flat[first] - _SWITCH_COST > gain:
                gain, source = best.flat[first] - _SWITCH_COST, first
            if gain > 0:
                best[row, column] += gain
                came[row, column] = source
    way = []
    here = int(np.argmax(best))
    while here >= 0:
        row, column = divmod(here, columns)
        way.append((row, column))
        here = int(came[row, column])
    return way[::-1]
