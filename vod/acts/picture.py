"""What is seen, a few tiny pictures a second: black, still, cuts, and how the light changes.

Cuts are PySceneDetect's (AdaptiveDetector fed with our pictures); the rest is arithmetic on HSV.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from scenedetect import FrameTimecode
from scenedetect.detectors import AdaptiveDetector

from vod.acts.grid import CELLS_PER_SECOND
from vod.acts.sound import Floats

WIDTH: Final = 64
HEIGHT: Final = 36
FRAME_BYTES: Final = WIDTH * HEIGHT * 3
_HUES: Final = 8
PALETTE: Final = 2 * _HUES
"""Share of the picture by hue, weighted by how coloured it is, and by brightness."""
NAMES: Final = ("luma", "contrast", "moved", *(f"p{n}" for n in range(PALETTE)))
_CUT_RATIO: Final = 3.0
_CUT_LEAST: Final = 12.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What a stretch looks like: a row of NAMES for each picture, one a cell; pictures that begin
    another shot."""

    rows: Floats
    cuts: list[int]


@dataclass(slots=True)
class PictureReader:
    """Takes the pictures of one stretch (BGR, WIDTH by HEIGHT, one a cell) as they come."""

    _pending: bytearray = field(default_factory=bytearray)
    _rows: list[Floats] = field(default_factory=list)
    _cuts: list[int] = field(default_factory=list)
    _before: NDArray[np.int16] | None = None
    _detector: AdaptiveDetector = field(
        default_factory=lambda: AdaptiveDetector(
            adaptive_threshold=_CUT_RATIO, min_scene_len=2, min_content_val=_CUT_LEAST
        )
    )

    def feed(self, data: bytes) -> None:
        """Raw pictures, cut anywhere."""
        self._pending += data
        whole = len(self._pending) // FRAME_BYTES * FRAME_BYTES
        if not whole:
            return
        frames = np.frombuffer(bytes(self._pending[:whole]), np.uint8)
        del self._pending[:whole]
        for frame in frames.reshape(-1, HEIGHT, WIDTH, 3):
            self._look(frame)

    def finish(self) -> Seen:
        """What was seen."""
        rows = np.stack(self._rows) if self._rows else np.zeros((0, len(NAMES)), np.float32)
        return Seen(rows, self._cuts)

    def _look(self, frame: NDArray[np.uint8]) -> None:
        time = FrameTimecode(len(self._rows), float(CELLS_PER_SECOND))
        self._cuts += [cut.frame_num for cut in self._detector.process_frame(time, frame)]
        hsv = cv2.cvtColor(frame, cv2.COLOR_BGR2HSV)
        grey = hsv[..., 2].astype(np.int16)
        moved = 0.0 if self._before is None else float(np.abs(grey - self._before).mean())
        self._before = grey
        row = np.empty(len(NAMES), np.float32)
        row[:3] = grey.mean(), grey.std(), moved
        colour = hsv[..., 1].astype(np.float32).ravel() * hsv[..., 2].ravel() / 65025
        bins = hsv[..., 0].ravel().astype(np.intp) * _HUES // 180
        row[3 : 3 + _HUES] = np.bincount(bins, colour, _HUES)[:_HUES] / len(colour)
        light = np.bincount(hsv[..., 2].ravel().astype(np.intp) * _HUES // 256, minlength=_HUES)
        row[3 + _HUES :] = light / light.sum() * 0.5
        self._rows.append(row)
