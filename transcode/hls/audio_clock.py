"""Audio timestamps: from FLV's rounded milliseconds back to an exact count of samples."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

FRAME_SIZES = (1024, 2048, 960, 1920, 2880, 512, 480, 1152)
"""Samples a frame: AAC-LC, HE-AAC, 960-line AAC and Opus 20/40/60 ms, AAC-LD, MP3."""

FRAME_MATCH = 0.10
"""How far the measured frame may be from a known size to count as that size."""

DRIFT_FRAMES = 1.5
"""Beyond this the timestamps are believed, not the counter."""


class AudioClock:
    """Gives each frame its place; ``holes`` and ``dropped`` count the departures.

    A frame whose time has drifted forward by more than ``DRIFT_FRAMES`` leaves a hole and the
    counter starts anew there; one that drifted back as far is left out, because the time it
    claims is already taken.
    """

    def __init__(self) -> None:
        self.frame = 0
        """Samples a frame, 0 before the first frames came or when no known size fits."""
        self.holes = 0
        self.dropped = 0
        self._next: int | None = None
        self._measured = False

    def measure(self, durations: Sequence[int]) -> None:
        """Learn the frame size from the first durations (in samples)."""
        if self._measured or not durations:
            return
        self._measured = True
        typical = median(durations)
        best = min(FRAME_SIZES, key=lambda size: abs(size - typical))
        if abs(best - typical) <= best * FRAME_MATCH:
            self.frame = best

    def place(self, dts: int) -> int | None:
        """The exact time of a frame whose rounded time is ``dts``; None to leave it out."""
        if self._next is None or not self.frame:
            self._next = dts
        drift = dts - self._next
        if drift > DRIFT_FRAMES * self.frame:
            self.holes += 1
            self._next = dts
        elif drift < -DRIFT_FRAMES * self.frame:
            self.dropped += 1
            return None
        placed = self._next
        self._next = placed + self.frame
        return placed
