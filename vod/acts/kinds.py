"""Kinds of sound: how likely each cell is speech, music, song, applause or silence.

A multinomial logistic regression over the rows of vod/acts/context.py and their squares; its
weights are numbers in vod/acts/weights.py, fitted by bench/acts_fit.py on generated and packaged
sounds. Silence is also a rule: what is under the floor is silent, whatever the weights say.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vod.acts import weights
from vod.acts.context import NAMES, describe, reference
from vod.acts.grid import CELLS_PER_SECOND, FRAMES_PER_CELL
from vod.acts.sound import Floats

KINDS: Final = ("silence", "speech", "music", "song", "applause")
SILENCE, SPEECH, MUSIC, SONG, APPLAUSE = range(len(KINDS))

_CLIP: Final = 4.0
"""Standard deviations at which a column saturates: sounds unlike all that was fitted stay sane."""
_SILENT: Final = -36.0
"""dB against the programme's loud passages."""
_FLOOR: Final = 1e-4
_BLOCK: Final = 1800 * CELLS_PER_SECOND
_MARGIN: Final = 15 * CELLS_PER_SECOND
_STAY: Final = 0.985
"""Chance that a cell sounds like the one before."""


def expand(
    rows: Floats, mean: NDArray[np.float64], scale: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Rows standardised and clipped, and behind them their squares."""
    standard = np.clip((rows - mean) / scale, -_CLIP, _CLIP)
    return np.concatenate([standard, np.square(standard) - 1], axis=1)


def likelihoods(frames: Floats) -> NDArray[np.float64]:
    """(cells, kinds) that add to 1, of a whole programme's frames."""
    level = reference(frames)
    cells = len(frames) // FRAMES_PER_CELL
    made = [np.zeros((0, len(KINDS)))]
    for first in range(0, cells, _BLOCK):
        # Each block is heard with what is around it; no more is worked on at once.
        low, high = max(0, first - _MARGIN), min(cells, first + _BLOCK + _MARGIN)
        rows = describe(frames[low * FRAMES_PER_CELL : high * FRAMES_PER_CELL], level)
        made.append(_chances(rows[first - low : first - low + _BLOCK]))
    return np.concatenate(made)


def _chances(rows: Floats) -> NDArray[np.float64]:
    inputs = expand(rows, np.asarray(weights.MEAN), np.asarray(weights.SCALE))
    matrix = np.asarray(weights.WEIGHTS)
    scores = inputs @ matrix[:-1] + matrix[-1]
    scores -= scores.max(axis=1, keepdims=True)
    chances = np.exp(scores)
    chances /= chances.sum(axis=1, keepdims=True)
    silent = rows[:, NAMES.index("now_loud")] < _SILENT
    chances[silent] = np.eye(len(KINDS))[SILENCE]
    chances = np.maximum(chances, _FLOOR)
    done: NDArray[np.float64] = chances / chances.sum(axis=1, keepdims=True)
    return done


def runs_of(kinds: NDArray[np.integer]) -> list[tuple[int, int, int]]:
    """(first cell, cell behind the last, kind) of each run of one kind."""
    if not len(kinds):
        return []
    edges = [0, *(np.flatnonzero(np.diff(kinds)) + 1).tolist(), len(kinds)]
    return [(first, last, int(kinds[first])) for first, last in pairwise(edges)]


def smooth(chances: NDArray[np.floating]) -> NDArray[np.int8]:
    """The likeliest kind of every cell when kinds last (Viterbi)."""
    cells, kinds = chances.shape
    if not cells:
        return np.zeros(0, np.int8)
    # Neighbouring cells share most of their two seconds: they are not as many witnesses.
    score = np.log(chances) / 2
    change = np.log((1 - _STAY) / (kinds - 1)) - np.log(_STAY)
    best = score[0].copy()
    came = np.zeros((cells, kinds), np.int8)
    own = np.arange(kinds)
    for cell in range(1, cells):
        top = int(best.argmax())
        moved = best[top] + change
        came[cell] = np.where(best >= moved, own, top)
        best = np.maximum(best, moved) + score[cell]
        best -= best.max()
    path = np.zeros(cells, np.int8)
    path[-1] = best.argmax()
    for cell in range(cells - 1, 0, -1):
        path[cell - 1] = came[cell, path[cell]]
    return path
