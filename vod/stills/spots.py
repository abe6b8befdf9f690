"""Where in a programme to look, and in which order: places spread over it, the promising first.
Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from catalog.minutes import TICKS_A_SECOND
from vod.stills.choose import Candidate, Stretch, choose
from vod.stills.judge import fault, marks_of, worth
from vod.stills.look import Look
from vod.stills.moments import AROUND_TICKS

SPOTS_MOST: Final = 480
"""Places of a programme that are looked at on their key frames."""
LOOKS_A_STILL: Final = 4
"""Places that are looked at closely for each still asked for, at the most."""
SPOT_TICKS: Final = 4 * TICKS_A_SECOND
BATCH_TICKS: Final = 45 * TICKS_A_SECOND
"""Footage whose small pictures are held at once."""
_ROUGH_BITS: Final = 6
"""Key frames this near may yet have more different frames beside them."""


@dataclass(frozen=True, slots=True)
class Spot:
    """A few seconds of one slot, and its key frame's measures. Ticks, the end not included."""

    msn: int
    start: int
    end: int
    look: Look | None = None

    @property
    def around(self) -> tuple[int, int]:
        """What has to be seen to judge the frames of the spot."""
        return self.start - AROUND_TICKS, self.end + AROUND_TICKS


def spots_of(slots: Sequence[tuple[int, int, int]], most: int = SPOTS_MOST) -> list[Spot]:
    """Places to look at, evenly over (msn, start, length) of a programme's slots."""
    spots = []
    for msn, start, ticks in slots:
        pieces = max(1, -(-ticks // SPOT_TICKS))
        cuts = [start + ticks * place // pieces for place in range(pieces + 1)]
        spots += [Spot(msn, a, b) for a, b in pairwise(cuts)]
    if len(spots) <= most:
        return spots
    return [spots[place * len(spots) // most] for place in range(most)]


def in_order(spots: Sequence[Spot], pieces: Sequence[Stretch], wanted: int) -> list[Spot]:
    """What to look at closely: first a varied set from everywhere, then what is left by its worth,
    and last what its key frame says nothing good of: the seconds after it may be better. In all no
    more than ``LOOKS_A_STILL`` times what is wanted."""
    marks = marks_of([spot.look for spot in spots if spot.look])
    good = {
        spot.start: Candidate(spot.start, worth(spot.look, marks), spot.look.phash)
        for spot in spots
        if spot.look is not None and fault(spot.look, marks) is None
    }
    order: dict[int, None] = {}
    for count, bits in ((wanted * 3 // 2, _ROUGH_BITS), (len(good), 1), (len(good), 0)):
        left = [found for at, found in good.items() if at not in order]
        turn = choose(left, count, pieces, bits=bits)
        order |= dict.fromkeys(c.at_ticks for c in sorted(turn, key=lambda c: -c.worth))
    order |= dict.fromkeys(spot.start for spot in spots)
    by_start = {spot.start: spot for spot in spots}
    return [by_start[start] for start in order][: LOOKS_A_STILL * wanted]


def batches(order: Sequence[Spot]) -> Iterator[list[Spot]]:
    """The same in batches of so much footage, each in order of time."""
    batch: list[Spot] = []
    ticks = 0
    for spot in order:
        batch.append(spot)
        ticks += spot.around[1] - spot.around[0]
        if ticks >= BATCH_TICKS:
            yield sorted(batch, key=lambda s: s.start)
            batch, ticks = [], 0
    if batch:
        yield sorted(batch, key=lambda s: s.start)
