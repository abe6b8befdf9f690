"""A programme put together from its stretches: each laid on the grid where it is on the air."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from catalog.minutes import TICKS_A_SECOND
from vod.acts.cues import Observed
from vod.acts.grid import FRAMES_PER_CELL, PEAKS_PER_SECOND, cell_of
from vod.acts.kinds import likelihoods
from vod.acts.picture import NAMES as SEEN_NAMES
from vod.acts.picture import Seen
from vod.acts.sound import NAMES as HEARD_NAMES
from vod.acts.sound import Heard
from vod.acts.voices import colour

_SILENT_DB = -100.0


@dataclass(slots=True)
class Programme:
    """Takes stretches in order of time, gives the whole."""

    _parts: list[tuple[int, Heard | None, Seen | None]] = field(default_factory=list)

    def add(self, start: int, heard: Heard | None, seen: Seen | None) -> None:
        """A stretch that begins at tick ``start``."""
        self._parts.append((start, heard, seen))

    @property
    def cells(self) -> int:
        """How long it is; 0 while nothing was heard or seen."""
        if all(
            (h is None or not len(h.frames)) and (s is None or not len(s.rows))
            for _, h, s in self._parts
        ):
            return 0
        return max(self._end(*part) for part in self._parts)

    def observed(self) -> Observed:
        """The whole on the grid, from its beginning to the end of the last stretch. Not of a
        programme without ``cells``."""
        cells = self.cells
        frames = np.zeros((cells * FRAMES_PER_CELL, len(HEARD_NAMES)), np.float32)
        frames[:, 0] = _SILENT_DB
        frames[:, HEARD_NAMES.index("flatness")] = -1.0
        rows = np.zeros((cells, len(SEEN_NAMES)), np.float32)
        heard_cells, seen_cells = np.zeros(cells, np.bool_), np.zeros(cells, np.bool_)
        cuts: list[int] = []
        for start, heard, seen in self._parts:
            cell = cell_of(start)
            if heard is not None:
                frame = cell * FRAMES_PER_CELL
                frames[frame : frame + len(heard.frames)] = heard.frames
                heard_cells[cell : cell + len(heard.frames) // FRAMES_PER_CELL] = True
            if seen is not None and len(seen.rows):
                rows[cell : cell + len(seen.rows)] = seen.rows
                seen_cells[cell : cell + len(seen.rows)] = True
                cuts += [cell + cut for cut in seen.cuts if 0 < cut < len(seen.rows)]
        return Observed(
            loud=frames[:, 0].reshape(-1, FRAMES_PER_CELL).max(axis=1),
            chances=likelihoods(frames).astype(np.float32),
            voice=colour(frames),
            rows=rows,
            heard=heard_cells,
            seen=seen_cells,
            cuts=np.array(sorted(cuts), np.int64),
        )

    def peaks(self) -> NDArray[np.uint8]:
        """The waveform from the programme's beginning, PEAKS_PER_SECOND a second."""
        ends = [
            self._first_peak(start) + len(heard.peaks)
            for start, heard, _ in self._parts
            if heard is not None
        ]
        made = np.zeros(max(ends, default=0), np.uint8)
        for start, heard, _ in self._parts:
            if heard is not None:
                first = self._first_peak(start)
                made[first : first + len(heard.peaks)] = heard.peaks
        return made

    @staticmethod
    def _first_peak(start: int) -> int:
        return start * PEAKS_PER_SECOND // TICKS_A_SECOND

    @staticmethod
    def _end(start: int, heard: Heard | None, seen: Seen | None) -> int:
        frames = 0 if heard is None else len(heard.frames) // FRAMES_PER_CELL
        return cell_of(start) + max(frames, 0 if seen is None else len(seen.rows))
