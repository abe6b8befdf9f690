"""Where the crop's centre is in every frame: calm, inside the picture, over the subject. Pure.

Within a shot the path is the cheapest that keeps to its bounds (a linear programme, after
Grundmann, Kwatra and Essa, "Auto-directed video stabilization with robust L1 optimal camera
paths", CVPR 2011): moving, speeding up and changing that all cost, and so does a subject that
leaves the crop. Sums of absolute values are cheapest where most terms are zero, so the crop rests
while the subject is well inside, then pans evenly. The future is known, so a pan begins before the
subject needs it. Acceleration is constant between knots: speed has no steps, and the bounds hold
at every moment and not just at the knots. Only at a cut does the crop jump.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.sparse import csr_matrix, hstack, identity, vstack

from catalog.minutes import TICKS_A_SECOND
from vod.forms.subject import Seen, choose

KNOT_TICKS: Final = TICKS_A_SECOND // 5
WINDOW_KNOTS: Final = 400
OVERLAP_KNOTS: Final = 50
"""Long shots are solved window by window; each begins as the one before stood so many knots before
its end, which is more than it takes to come to rest."""

MARGIN: Final = 0.06
"""Of the crop's length, kept free on either side of the subject where it fits."""
DEAD_ZONE: Final = 0.12
"""Of the crop's length: so far the subject may be off its middle for next to nothing."""

_COST_SPEED: Final = 0.6
_COST_ACCELERATION: Final = 0.5
_COST_JERK: Final = 0.12
_COST_UNEVEN: Final = 0.1
_COST_OFF_CENTRE: Final = 1.0
_COST_OUTSIDE: Final = 60.0
_LEAST_SURE: Final = 0.02

Floats = NDArray[np.float64]
Matrix = Any
"""A sparse one of SciPy's, which has no types."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the crop never exceeds, in crop lengths a second, and a second squared."""

    speed: float = 1.5
    acceleration: float = 1.5


@dataclass(frozen=True, slots=True)
class Path:
    """The crop's centre in each frame, as a share of the picture's length along its axis."""

    times: tuple[int, ...]
    """When each frame is shown, ticks."""
    centres: Floats
    shots: tuple[int, ...]
    """Index of the first frame of each shot."""
    crop: float
    """The crop's length, as such a share."""
    chosen: tuple[Seen, ...]
    """What was followed."""

    def fastest(self) -> float:
        """The highest speed in any shot, crop lengths a second."""
        return max((float(np.abs(v).max()) for v, _ in self._moves() if len(v)), default=0.0)

    def sharpest(self) -> float:
        """The highest acceleration in any shot, crop lengths a second squared."""
        return max((float(np.abs(a).max()) for _, a in self._moves() if len(a)), default=0.0)

    def _moves(self) -> list[tuple[Floats, Floats]]:
        found = []
        for start, end in zip(self.shots, (*self.shots[1:], len(self.times)), strict=True):
            t = np.array(self.times[start:end], dtype=np.float64) / TICKS_A_SECOND
            speed = np.diff(self.centres[start:end]) / np.diff(t) / self.crop
            found.append((speed, 2 * np.diff(speed) / (t[2:] - t[:-2])))
        return found


def follow(
    times: Sequence[int],
    cuts: Sequence[int],
    seen: Sequence[Seen],
    crop: float,
    bounds: Bounds | None = None,
) -> Path:
    """The path over frames shown at ``times`` (ticks, strictly increasing).

    ``cuts`` are indices of frames that begin a new shot. ``crop`` is the crop's length as a share
    of the picture's. ValueError when ``times`` do not increase or ``crop`` is not in (0, 1].
    """
    if any(after <= before for before, after in pairwise(times)):
        raise ValueError("frames out of order")
    if not 0 < crop <= 1:
        raise ValueError(f"a crop of {crop} pictures")
    if not times:
        return Path((), np.zeros(0), (), crop, ())
    starts = sorted({0, *(cut for cut in cuts if 0 < cut < len(times))})
    ordered = sorted(seen, key=lambda s: s.at)
    moments = [s.at for s in ordered]
    centres = np.full(len(times), 0.5)
    chosen: list[Seen] = []
    for start, end in zip(starts, [*starts[1:], len(times)], strict=True):
        first = bisect_left(moments, times[start])
        # The last shot's frames have no next one to end at.
        last = bisect_left(moments, times[end]) if end < len(times) else len(moments)
        mine = choose(ordered[first:last])
        chosen += mine
        # Where nothing is seen, it stays in the middle.
        if crop < 1 and mine:
            shot = np.array(times[start:end], dtype=np.float64) / TICKS_A_SECOND
            centres[start:end] = _shot(shot, mine, crop, bounds or Bounds())
    return Path(tuple(times), centres, tuple(starts), crop, tuple(chosen))


# --- one shot --------------------------------------------------------------------------------


def _shot(times: Floats, seen: Sequence[Seen], crop: float, bounds: Bounds) -> Floats:
    """Centres at ``times`` (s). Inside, lengths are crop lengths and time begins at zero."""
    step = KNOT_TICKS / TICKS_A_SECOND
    knots = max(2, int(np.ceil((times[-1] - times[0]) / step)) + 1)
    wishes = _wishes(seen, times[0], crop)
    # Between two knots the path may swing past both by this much.
    swing = bounds.acceleration * step**2 / 8
    low, high = 0.5 + swing, 1 / crop - 0.5 - swing
    if low >= high:
        return np.full(len(times), 0.5)
    walls = (low, high)
    place, speed, push = np.zeros(knots), np.zeros(knots), np.zeros(knots - 1)
    begin = 0
    while True:
        end = min(knots, begin + WINDOW_KNOTS)
        if knots - end < OVERLAP_KNOTS:
            end = knots
        held = (float(place[begin]), float(speed[begin])) if begin else None
        solved = _solve(wishes.between(begin * step, (end - 1) * step), end - begin, step, walls,
                        bounds, held)  # fmt: skip
        place[begin:end], speed[begin:end], push[begin : end - 1] = solved
        if end == knots:
            break
        begin = end - OVERLAP_KNOTS
    # The solver keeps its rows to a millionth; summed up anew the path is one curve, exactly.
    push = np.clip(push, -bounds.acceleration, bounds.acceleration)
    speed[1:] = speed[0] + np.cumsum(push) * step
    place[1:] = place[0] + np.cumsum(speed[:-1] * step + push * step**2 / 2)
    at = times - times[0]
    knot = np.minimum((at / step).astype(int), knots - 2)
    tau = at - knot * step
    where = place[knot] + speed[knot] * tau + push[knot] * tau**2 / 2
    return np.asarray(np.clip(where * crop, crop / 2, 1 - crop / 2), np.float64)


@dataclass(frozen=True, slots=True)
class _Wishes:
    """Where the subject is, when (s), how far off it may be, and how sure that is."""

    at: Floats
    centre: Floats
    room: Floats
    weight: Floats

    def between(self, start: float, end: float) -> _Wishes:
        kept = (self.at >= start - 1e-9) & (self.at <= end + 1e-9)
        return _Wishes(self.at[kept] - start, self.centre[kept], self.room[kept], self.weight[kept])


def _wishes(seen: Sequence[Seen], zero: float, crop: float) -> _Wishes:
    at = np.array([s.at for s in seen]) / TICKS_A_SECOND - zero
    centre = np.array([s.centre for s in seen]) / crop
    width = _steadied(np.array([s.width for s in seen])) / crop
    weight = np.array([max(s.confidence, _LEAST_SURE) for s in seen])
    room = np.maximum(0.0, 0.5 - width / 2 - MARGIN)
    return _Wishes(at, centre, room, weight)


def _steadied(widths: Floats, reach: int = 3) -> Floats:
    """Running median: an arm that is taken for a body now and then is no wider body."""
    padded = np.pad(widths, reach, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1)
    return np.asarray(np.median(windows, axis=1), np.float64)


@dataclass(frozen=True, slots=True)
class _Term:
    """Something that costs: ``cost`` × what |matrix·z − middle| is over ``free``, row by row; z is
    place and speed at each knot, then push (acceleration) after each knot but the last."""

    matrix: Matrix
    middle: Floats
    free: Floats
    cost: Floats


def _terms(wishes: _Wishes, n: int, step: float) -> list[_Term]:
    knots, pushes = identity(n, format="csr"), identity(n - 1, format="csr")
    speed = hstack([csr_matrix((n, n)), knots, csr_matrix((n, n - 1))])
    push = hstack([csr_matrix((n - 1, 2 * n)), pushes])
    jerk = hstack([csr_matrix((n - 2, 2 * n)), pushes[1:] - pushes[:-1]])
    m = len(wishes.at)
    rows, knot = np.arange(m), np.minimum((wishes.at / step).astype(int), n - 2)
    tau = wishes.at - knot * step
    there = hstack(
        [
            csr_matrix((np.ones(m), (rows, knot)), (m, n)),
            csr_matrix((tau, (rows, knot)), (m, n)),
            csr_matrix((tau**2 / 2, (rows, knot)), (m, n - 1)),
        ]
    )
    lasting = wishes.weight * (float(np.median(np.diff(wishes.at))) if m > 1 else step)

    def still(matrix: Matrix, cost: float) -> _Term:
        size = matrix.shape[0]
        return _Term(matrix, np.zeros(size), np.zeros(size), np.full(size, cost))

    return [
        still(speed, _COST_SPEED * step),
        still(push, _COST_ACCELERATION * step),
        still(jerk, _COST_JERK),
        # In the dead zone too the middle is a little better, but not worth a move.
        _Term(there, wishes.centre, np.zeros(m), _COST_UNEVEN * lasting),
        _Term(there, wishes.centre, np.full(m, DEAD_ZONE), _COST_OFF_CENTRE * lasting),
        _Term(there, wishes.centre, wishes.room, _COST_OUTSIDE * lasting),
    ]


def _motion(n: int, step: float) -> Matrix:
    """Rows that are zero: x' = x + v·s + a·s²/2 and v' = v + a·s from knot to knot."""
    knots, push = identity(n, format="csr"), identity(n - 1, format="csr")
    head, tail = knots[:-1], knots[1:]
    return vstack(
        [
            hstack([tail - head, -step * head, -(step**2) / 2 * push]),
            hstack([csr_matrix((n - 1, n)), tail - head, -step * push]),
        ]
    )


def _solve(
    wishes: _Wishes,
    n: int,
    step: float,
    walls: tuple[float, float],
    bounds: Bounds,
    held: tuple[float, float] | None,
) -> tuple[Floats, Floats, Floats]:
    """Place and speed at each of ``n`` knots, push after each but the last. ``held``: place and
    speed at the first."""
    terms = _terms(wishes, n, step)
    sizes = [len(term.cost) for term in terms]
    matrix, free = vstack([t.matrix for t in terms]), np.concatenate([t.free for t in terms])
    middle = np.concatenate([term.middle for term in terms])
    # ±(matrix·z − middle) − excess ≤ free, and the excess costs.
    excess = identity(sum(sizes), format="csr")
    places: list[tuple[float, float]] = [walls] * n
    speeds = [(-bounds.speed, bounds.speed)] * n
    if held is not None:
        places[0], speeds[0] = (held[0], held[0]), (held[1], held[1])
    pushes = [(-bounds.acceleration, bounds.acceleration)] * (n - 1)
    solved = linprog(
        np.concatenate([np.zeros(3 * n - 1), *(term.cost for term in terms)]),
        A_ub=vstack([hstack([matrix, -excess]), hstack([-matrix, -excess])], format="csr"),
        b_ub=np.concatenate([middle + free, free - middle]),
        A_eq=hstack([_motion(n, step), csr_matrix((2 * (n - 1), sum(sizes)))], format="csr"),
        b_eq=np.zeros(2 * (n - 1)),
        bounds=[*places, *speeds, *pushes, *[(0.0, np.inf)] * sum(sizes)],
        method="highs",
    )
    if solved.x is None:
        raise ValueError(f"no path: {solved.message}")
    z = np.asarray(solved.x, np.float64)
    return z[:n], z[n : 2 * n], z[2 * n : 3 * n - 1]
