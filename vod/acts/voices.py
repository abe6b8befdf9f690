"""Whose voice it is, coarsely: colour and pitch of what is loud in a cell, and where they change.

It tells no person from another; it only says that the host has stopped and somebody else speaks.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from vod.acts.grid import CELLS_PER_SECOND, FRAMES_PER_CELL
from vod.acts.sound import NAMES as FRAME_NAMES
from vod.acts.sound import Floats

_BANDS: Final = [at for at, name in enumerate(FRAME_NAMES) if name.startswith("band")]
_OTHERS: Final = [FRAME_NAMES.index(name) for name in ("centroid", "harmonicity", "flatness")]
_PITCH: Final = FRAME_NAMES.index("pitch")
COLUMNS: Final = len(_BANDS) + len(_OTHERS) + 1
_REACH: Final = 12 * CELLS_PER_SECOND
_LEAST: Final = 3 * CELLS_PER_SECOND
"""Cells of speech on either side without which nothing can be said."""
_SAME, _OTHER = 0.28, 0.65
"""Mean distance in standard deviations up to which it is the same voice, and from which another."""


def colour(frames: Floats) -> Floats:
    """(cells, COLUMNS): means over each cell's loud frames."""
    cells = len(frames) // FRAMES_PER_CELL
    shaped = frames[: cells * FRAMES_PER_CELL].reshape(cells, FRAMES_PER_CELL, -1)
    loud = shaped[..., 0]
    weight = (loud > loud.max(axis=1, keepdims=True) - 12).astype(np.float32)
    bands = shaped[..., _BANDS] - shaped[..., _BANDS].mean(axis=2, keepdims=True)
    wide = np.concatenate([bands / 10, shaped[..., _OTHERS]], axis=2)
    mean = (wide * weight[..., None]).sum(axis=1) / weight.sum(axis=1)[:, None]
    pitch = shaped[..., _PITCH]
    voiced = weight * (pitch > 0)
    height = (pitch * voiced).sum(axis=1) / np.maximum(1, voiced.sum(axis=1))
    made: Floats = np.concatenate([mean, height[:, None]], axis=1).astype(np.float32)
    return made


def changes(voice: Floats, speech: NDArray[np.float64]) -> NDArray[np.float64]:
    """How surely another voice speaks from each cell on than before it, 0 to 1; ``speech``: how
    surely each cell is speech. 0 where one side has none."""
    cells = len(voice)
    weight = np.where(speech > 0.5, speech, 0)[:, None]
    wide = voice.astype(np.float64)
    sums = [
        np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
        for values in (weight, wide * weight, np.square(wide) * weight)
    ]
    at = np.arange(cells)
    low, high = np.maximum(0, at - _REACH), np.minimum(cells, at + _REACH)

    def side(first: NDArray[np.intp], last: NDArray[np.intp]) -> tuple[NDArray[np.float64], ...]:
        count, total, square = (one[last] - one[first] for one in sums)
        mean = total / np.maximum(count, 1e-6)
        spread = np.maximum(square / np.maximum(count, 1e-6) - np.square(mean), 1e-4)
        return count[:, 0], mean, spread

    before, mean_before, spread_before = side(low, at)
    after, mean_after, spread_after = side(at, high)
    apart = np.abs(mean_after - mean_before) / np.sqrt(spread_before + spread_after)
    sure = np.clip((apart.mean(axis=1) - _SAME) / (_OTHER - _SAME), 0, 1)
    return np.where((before >= _LEAST) & (after >= _LEAST), sure, 0.0)
