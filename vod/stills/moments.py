"""The moments of a stretch at which a frame may be taken: nothing changes over, somebody moves, and
at that instant not much. Pure.

Frames are small grey pictures of one stretch, in order, closely spaced. Refused are frames beside a
hard cut (and so a card or a black frame of an instant), within a dissolve or a fade, and stretches
that stand still: a slate, a frozen feed, a test card.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from catalog.minutes import TICKS_A_SECOND
from vod.stills.look import Grey

CUT_TICKS: Final = TICKS_A_SECOND // 4
"""So far from a cut a frame is taken at the nearest."""
MIX_TICKS: Final = TICKS_A_SECOND * 2 // 5
"""So far from a mixture, whose beginning is hardly to be seen, a frame is taken at the nearest."""
AROUND_TICKS: Final = 2 * TICKS_A_SECOND
"""What has to be seen before and after a frame to judge it."""
_CALM_WIDTH: Final = 160
_CUT_LEAST: Final = 0.3
"""Change from a frame to the next, in standard deviations of both: dark stages differ by little."""
_CUT_TIMES: Final = 4.0
"""And in usual changes of the stretch: a fast pan is no cut."""
_MIX_REACHES: Final = tuple(TICKS_A_SECOND * tenths // 10 for tenths in (3, 6, 10, 17))
_MIX_APART: Final = 0.35
"""Mean change from before to after, in standard deviations of the pictures: less is one scene, and
a slow pan or zoom over it."""
_MIX_CHANGE: Final = 3.0
"""Levels by which a point has to differ before and after to say anything."""
_MIX_WIDTH: Final = 0.1
"""Shares this near to each other say the same."""
_MIX_ALIKE: Final = 0.37
"""Share of the points that have to say the same; the rest are dancers who moved meanwhile."""
_MIX_SHARE: Final = (0.05, 0.95)
_SHARE_STEPS: Final = 60
_STILL_REACH: Final = TICKS_A_SECOND * 2 // 5
_MOVED_LEVELS: Final = 8
"""More than what a coarse encoder makes of a picture that stands still, at its key frames."""
_MOVED_LEAST: Final = 0.0006
"""Share of the picture; a singer at the far end of a stage is more."""


@dataclass(frozen=True, slots=True)
class Moment:
    """An instant a frame may be taken at; ``stillness`` from 0 to 1."""

    at_ticks: int
    stillness: float


@dataclass(frozen=True, slots=True)
class Shot:
    """Small frames of one stretch: when each is shown, in ticks and in order, and what."""

    ticks: Sequence[int]
    frames: Sequence[Grey]

    def at(self, ticks: int) -> int:
        """The frame shown nearest to a time, as its place."""
        place = min(bisect_left(self.ticks, ticks), len(self.ticks) - 1)
        before = max(0, place - 1)
        if abs(self.ticks[before] - ticks) <= abs(self.ticks[place] - ticks):
            return before
        return place


def moments(shot: Shot, start: int, end: int) -> list[Moment]:
    """The instants of [start, end) ticks that may be taken, the stillest first."""
    if len(shot.frames) < 3:
        return []
    frames = [_calm(frame) for frame in shot.frames]
    steps = [_apart(a, b) for a, b in pairwise(frames)]
    cuts = _cuts(shot.ticks, frames, steps)
    usual = float(np.median(steps))
    mixed = [
        at
        for place, at in enumerate(shot.ticks)
        if start - MIX_TICKS <= at < end + MIX_TICKS and _mixed(shot, frames, place)
    ]
    found = []
    for place, at in enumerate(shot.ticks):
        if not start <= at < end or _beside(at, cuts):
            continue
        if not _moves(shot, frames, steps, place, cuts):
            continue
        if any(abs(at - other) <= MIX_TICKS for other in mixed):
            continue
        near = steps[max(0, place - 1) : place + 1]
        found.append(Moment(at, usual / (usual + max(near)) if max(near) else 1.0))
    return sorted(found, key=lambda moment: (-moment.stillness, moment.at_ticks))


def _calm(frame: Grey) -> NDArray[np.float32]:
    """Smaller, and without what a coarse encoding makes of edges from frame to frame."""
    rows, columns = frame.shape
    size = (_CALM_WIDTH, max(1, rows * _CALM_WIDTH // columns))
    small = cv2.resize(frame.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.blur(small, (3, 3)), dtype=np.float32)


def _apart(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Mean difference of two pictures in levels."""
    return float(np.abs(one - other).mean())


def _cuts(
    ticks: Sequence[int], frames: Sequence[NDArray[np.float32]], steps: Sequence[float]
) -> list[tuple[int, int]]:
    """(last tick before, first tick after) of each hard cut."""
    usual = _CUT_TIMES * float(np.median(steps))
    return [
        (ticks[n], ticks[n + 1])
        for n, step in enumerate(steps)
        if step >= usual and step >= _CUT_LEAST * _spread(frames[n], frames[n + 1])
    ]


def _spread(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """How much there is to change in two pictures, in levels."""
    return max(4.0, float(one.std() + other.std()) / 2)


def _beside(at: int, cuts: Sequence[tuple[int, int]]) -> bool:
    return any(before - CUT_TICKS < at < after + CUT_TICKS for before, after in cuts)


def _moves(
    shot: Shot,
    frames: Sequence[NDArray[np.float32]],
    steps: Sequence[float],
    place: int,
    cuts: Sequence[tuple[int, int]],
) -> bool:
    """Whether anything moves in the second around a frame, between the cuts.

    The largest step from a frame to the next is left out: movement has many, and a picture that
    stands still has one at its key frame, where a coarse encoder draws it anew.
    """
    middle = shot.ticks[place]
    for way in (-2, -1, 0, 1):
        first = shot.at(middle + way * _STILL_REACH)
        second = shot.at(middle + (way + 1) * _STILL_REACH)
        # What moves beyond a cut is another shot's.
        low, high = shot.ticks[min(first, place)], shot.ticks[max(second, place)]
        if any(low <= before < high for before, _ in cuts):
            continue
        if first >= second:
            continue
        jump = first + int(np.argmax(steps[first:second]))
        change = frames[second] - frames[first] - (frames[jump + 1] - frames[jump])
        moved = np.abs(change) > _MOVED_LEVELS
        if float(moved.mean()) >= _MOVED_LEAST:
            return True
    return False


def _mixed(shot: Shot, frames: Sequence[NDArray[np.float32]], place: int) -> bool:
    """Whether a frame is a mixture of what is shown before and after it: a dissolve, a fade.

    In a mixture every point lies the same share of the way from what it was to what it will be.
    Of what a dancer leaves or enters each point lies at one end or the other; under a camera that
    pans they lie anywhere.
    """
    here, at = frames[place], shot.ticks[place]
    for reach in _MIX_REACHES:
        before, after = frames[shot.at(at - reach)], frames[shot.at(at + reach)]
        change = after - before
        if float(np.abs(change).mean()) < _MIX_APART * _spread(before, after):
            continue
        told = np.abs(change) > _MIX_CHANGE
        share, alike = _said_most((here - before)[told] / change[told])
        if alike >= _MIX_ALIKE and _MIX_SHARE[0] < share < _MIX_SHARE[1]:
            return True
    return False


def _said_most(shares: NDArray[np.float32]) -> tuple[float, float]:
    """What most of them say, and how many of all that are: their mean, and a share of 1."""
    if not shares.size:
        return 0.0, 0.0
    counts, edges = np.histogram(shares, bins=_SHARE_STEPS, range=(-0.25, 1.25))
    wide = round(2 * _MIX_WIDTH * _SHARE_STEPS / 1.5)
    place = int(np.convolve(counts, np.ones(wide), "valid").argmax())
    within = (shares >= edges[place]) & (shares <= edges[place + wide])
    return float(shares[within].mean()) if within.any() else 0.0, float(within.mean())
