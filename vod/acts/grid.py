"""The grid that everything heard and seen is laid on: cells of a quarter of a second."""

from __future__ import annotations

from typing import Final

from catalog.minutes import TICKS_A_SECOND

CELLS_PER_SECOND: Final = 4
CELL_TICKS: Final = TICKS_A_SECOND // CELLS_PER_SECOND

RATE: Final = 16_000
"""Samples per second of sound, mono."""
HOP: Final = 500
"""Samples from one frame of sound to the next: eight frames make a cell."""
FRAMES_PER_CELL: Final = RATE // CELLS_PER_SECOND // HOP
FRAME_RATE: Final = RATE / HOP
PEAKS_PER_SECOND: Final = 10
"""Of the waveform."""
CELL_SAMPLES: Final = HOP * FRAMES_PER_CELL


def cell_of(ticks: int) -> int:
    """The cell a time lies in."""
    return ticks // CELL_TICKS


def cells_in(ticks: int) -> int:
    """Cells that cover so long a stretch."""
    return -(-ticks // CELL_TICKS)


def ticks_of(cell: float) -> int:
    """Where a cell begins."""
    return round(cell * CELL_TICKS)
