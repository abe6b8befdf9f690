"""Programmes as the aligner's cues see them, without any sound: for tests of what follows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vod.acts.cues import Observed
from vod.acts.grid import CELLS_PER_SECOND
from vod.acts.kinds import APPLAUSE, KINDS, MUSIC, SILENCE
from vod.acts.picture import NAMES as SEEN_NAMES
from vod.acts.voices import COLUMNS

LEVELS = {SILENCE: -70.0, MUSIC: -18.0, APPLAUSE: -24.0}
SURE = 0.96


def observed(runs: Sequence[tuple[int, float]], *, sure: float = SURE) -> Observed:
    """A programme of (kind, seconds) one after the other, each heard for what it is; no picture."""
    kinds = np.concatenate(
        [np.full(round(seconds * CELLS_PER_SECOND), kind) for kind, seconds in runs]
    )
    cells = len(kinds)
    chances = np.full((cells, len(KINDS)), (1 - sure) / (len(KINDS) - 1), np.float32)
    chances[np.arange(cells), kinds] = sure
    return Observed(
        loud=np.array([LEVELS.get(int(kind), -20.0) for kind in kinds], np.float32),
        chances=chances,
        voice=np.zeros((cells, COLUMNS), np.float32),
        rows=np.zeros((cells, len(SEEN_NAMES)), np.float32),
        heard=np.ones(cells, np.bool_),
        seen=np.zeros(cells, np.bool_),
        cuts=np.zeros(0, np.int64),
    )


def cells(seconds: float) -> int:
    return round(seconds * CELLS_PER_SECOND)
