"""When pictures are decoded that are coded in another order than they are shown in. Pure.

Times from zero with no offset below it: such a file needs no edit list, and reads the same in every
player. (FFmpeg's reader moves a track with negative composition offsets, and only that track.)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

MAX_REORDER = 16
"""No H.264 or H.265 decoder holds more pictures back."""


def reorder_depth(pts: Ints) -> int:
    """How many pictures go before one in coded order and after it in output order, at most."""
    depth = np.zeros(len(pts), np.int64)
    for lag in range(1, MAX_REORDER + 1):
        depth[lag:] += pts[:-lag] > pts[lag:]
    return int(depth.max(initial=0))


def decode_times(pts: Ints) -> Ints:
    """When pictures are decoded that are shown at ``pts`` (in coded order, the first one at 0):
    from 0 on, each later than the one before and none later than it is shown.

    As a rule, in the order and at the distances they are shown at, as much earlier as reordering
    wants. The first few, for which that would be before 0, share the time up to the next.
    """
    shown = np.sort(pts)
    times = shown - int((shown - pts).max())
    early = int(np.searchsorted(times, 0, side="right"))
    if early and early < len(times):
        times[:early] = np.arange(early) * times[early] // early
    else:
        times[:early] = np.arange(early)
    # None is later than the earliest picture still to come is shown.
    due = np.minimum.accumulate(pts[::-1])[::-1]
    steps = np.arange(len(pts))
    return np.minimum.accumulate((np.minimum(times, due) - steps)[::-1])[::-1] + steps
