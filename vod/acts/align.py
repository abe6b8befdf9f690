"""The aligner: cues (and a programme list) to acts, by dynamic programming. Pure.

A programme is edge · act · between · act · … · edge over the candidates of vod/acts/cues.py. Every
stretch is scored by how well its kind explains what is heard and seen in it, by its length, and by
the cues at its ends; an act may be the next entry of the list, or one that the list does not have
(at a cost, free without a list), and entries may have been dropped (at a cost). The best path is
what is proposed; how often an act begins within two seconds of there in paths drawn by their
likelihood is its confidence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vod.acts.cues import Cues
from vod.acts.grid import CELLS_PER_SECOND
from vod.acts.lattice import ABOUT_SPREAD, Entry, Fixed, Lattice, Path

DRAWS: Final = 100
NEAR_CELLS: Final = 2 * CELLS_PER_SECOND


@dataclass(frozen=True, slots=True)
class Found:
    """A proposed act: cells, the entry it is, confidence of its beginning (0 to 1), and what
    speaks for its beginning, the strongest first."""

    start: int
    end: int
    entry: int | None
    confidence: float
    reasons: list[tuple[str, float]]
    fixed: bool = False


def align(
    cues: Cues,
    entries: Sequence[Entry] = (),
    fixed: Sequence[Fixed] = (),
    step: Callable[[], None] = lambda: None,
) -> list[Found]:
    """The acts of a programme, in order, without overlap; those in ``fixed`` among them.

    ``fixed`` must be in order, without overlap, and its entries rise. ``step`` is called now and
    then; what it raises ends the work.
    """
    if not cues.cells:
        return []
    lattice = Lattice(cues, entries, fixed, step)
    path = lattice.best()
    if len(entries) and any(entry.about is not None for entry in entries):
        # The evening began when it began: listed times count from there on.
        offset, spread = _offset(path, entries, lattice.points)
        lattice = Lattice(cues, entries, fixed, step, offset=offset, spread=spread)
        path = lattice.best()
    drawn = lattice.draw(DRAWS)
    held = {(act.start, act.end) for act in fixed}
    found = []
    for i, j, k in path:
        start, end = int(lattice.points[i]), int(lattice.points[j])
        near = sum(
            any(abs(lattice.points[one] - start) <= NEAR_CELLS for one, _, _ in other)
            for other in drawn
        )
        sure = (start, end) in held
        reasons = lattice.reasons(i, j, k)
        found.append(Found(start, end, k, 1.0 if sure else near / len(drawn), reasons, sure))
    return found


def _offset(path: Path, entries: Sequence[Entry], points: NDArray[np.int64]) -> tuple[float, float]:
    """(what to add to listed times, by how much they are off then), in cells: the shift under
    which most of them have an act begin near. Which entry an act is may still be wrong."""
    usual = ABOUT_SPREAD * CELLS_PER_SECOND
    listed = np.array([entry.about for entry in entries if entry.about is not None])
    starts = np.array([float(points[i]) for i, _, _ in path])
    if not len(starts):
        return 0.0, usual
    shifts = np.unique(np.round(np.subtract.outer(starts, listed)))
    edges = np.concatenate([[-np.inf], starts, [np.inf]])
    wished = shifts[:, None] + listed
    place = np.searchsorted(starts, wished)
    off = np.minimum(wished - edges[place], edges[place + 1] - wished)
    best = int(np.exp(-off / usual).sum(axis=1).argmax())
    # The best shift makes one of them exact; the middle of all that fit it is fairer.
    apart = starts[None, :] - listed[:, None] - shifts[best]
    near = apart[np.arange(len(listed)), np.abs(apart).argmin(axis=1)]
    middle = float(np.median(near))
    spread = 1.5 * float(np.median(np.abs(near - middle)))
    return float(shifts[best]) + middle, min(3 * usual, max(usual / 3, spread))
