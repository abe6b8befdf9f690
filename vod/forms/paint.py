"""One frame of a form: cropped out of planes at a place between pixels, layers laid over. No I/O.

Planes are Y, U, V of 4:2:0, limited range, BT.709. A crop that moves by whole pixels judders at
slow pans (a step of one source pixel is two or three of the form, and colour moves only every
second one); each plane is therefore sampled where the crop really is, by cubic interpolation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vod.forms.geometry import Geometry

Plane = NDArray[np.uint8]
Floats = NDArray[np.float32]

# RGB (0…255) to BT.709 limited range.
_TO_YUV = np.array(
    [
        [0.182586, 0.614231, 0.062007],
        [-0.100644, -0.338572, 0.439216],
        [0.439216, -0.398942, -0.040274],
    ],
    np.float32,
)
_OFFSETS = np.array([16, 128, 128], np.float32)


class Canvas:
    """The planes of one frame of the form, used again for every frame."""

    def __init__(self, geometry: Geometry) -> None:
        self._geometry = geometry
        width, height = geometry.out
        self.data = bytearray(width * height * 3 // 2)
        flat = np.frombuffer(self.data, np.uint8)
        luma = width * height
        self._planes = (
            flat[:luma].reshape(height, width),
            flat[luma : luma * 5 // 4].reshape(height // 2, width // 2),
            flat[luma * 5 // 4 :].reshape(height // 2, width // 2),
        )

    def crop(self, raw: bytes | bytearray | memoryview, centre: float) -> None:
        """Fill it from a frame of the source (yuv420p of the geometry's ``raw`` size)."""
        width, height = self._geometry.raw
        flat = np.frombuffer(raw, np.uint8)
        luma = width * height
        planes = (
            flat[:luma].reshape(height, width),
            flat[luma : luma * 5 // 4].reshape(height // 2, width // 2),
            flat[luma * 5 // 4 : luma * 3 // 2].reshape(height // 2, width // 2),
        )
        left, top = self._geometry.corner(centre)
        step = 1 / self._geometry.scale
        # Pixel centres: the form's u lies over the source's left + (u + ½)·step − ½.
        x, y = left + step / 2 - 0.5, top + step / 2 - 0.5
        # Colour is sited with every second luma sample on its row, and between two of them in
        # its column (MPEG-2's siting, H.264's default).
        chroma_x = x / 2
        chroma_y = (top + step - 0.5 - 0.5) / 2
        self._sample(planes[0], self._planes[0], step, x, y)
        for source, target in zip(planes[1:], self._planes[1:], strict=True):
            self._sample(source, target, step, chroma_x, chroma_y)

    @staticmethod
    def _sample(source: Plane, target: Plane, step: float, x: float, y: float) -> None:
        matrix = np.array([[step, 0, x], [0, step, y]], np.float64)
        cv2.warpAffine(
            source,
            matrix,
            (target.shape[1], target.shape[0]),
            target,
            cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
            cv2.BORDER_REPLICATE,
        )

    def lay(self, layer: Layer, opacity: float) -> None:
        """Lay a layer over it."""
        if opacity <= 0:
            return
        for index, plane in enumerate(self._planes):
            half = 1 if index == 0 else 2
            colour, alpha = layer.planes[index], layer.alphas[min(index, 1)] * opacity
            x, y = layer.left // half, layer.top // half
            part = plane[y : y + colour.shape[0], x : x + colour.shape[1]]
            part[:] = np.rint(part + (colour - part) * alpha).astype(np.uint8)

    def bgr(self) -> NDArray[np.uint8]:
        """A copy as a picture of BGR bytes."""
        y, u, v = self._planes
        size = (y.shape[1], y.shape[0])
        grown = [cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR) for plane in (u, v)]
        yuv = np.stack([y, *grown], axis=-1).astype(np.float32) - _OFFSETS
        rgb = yuv @ np.linalg.inv(_TO_YUV).T
        return np.asarray(np.clip(np.rint(rgb[..., ::-1]), 0, 255), np.uint8)


@dataclass(frozen=True, slots=True)
class Layer:
    """A picture with transparency at an even place, as planes of floats."""

    left: int
    top: int
    planes: tuple[Floats, Floats, Floats]
    alphas: tuple[Floats, Floats]
    """Of luma, of colour; 0 to 1."""


def layer_of(rgba: NDArray[np.uint8], left: int, top: int) -> Layer:
    """From rows of RGBA bytes; what is fully transparent all round is cut off."""
    rows, columns = (np.flatnonzero(rgba[..., 3].any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        rows = columns = np.array([0, 1])
    y0, y1 = int(rows[0]) & ~1, (int(rows[-1]) + 2) & ~1
    x0, x1 = int(columns[0]) & ~1, (int(columns[-1]) + 2) & ~1
    part = rgba[y0:y1, x0:x1].astype(np.float32)
    part = np.pad(part, ((0, part.shape[0] & 1), (0, part.shape[1] & 1), (0, 0)))
    alpha = np.asarray(part[..., 3] / 255, np.float32)
    yuv = part[..., :3] @ _TO_YUV.T + _OFFSETS
    half = (alpha.shape[1] // 2, alpha.shape[0] // 2)

    def small(plane: Floats) -> Floats:
        return np.asarray(cv2.resize(plane, half, interpolation=cv2.INTER_AREA), np.float32)

    # Colour is averaged by how much of it shows, or a dark edge would creep in.
    weight = small(alpha)
    safe = np.maximum(weight, 1e-6)
    colours = [small(np.asarray(yuv[..., i] * alpha, np.float32)) / safe for i in (1, 2)]
    planes = (
        np.asarray(yuv[..., 0], np.float32),
        np.asarray(colours[0], np.float32),
        np.asarray(colours[1], np.float32),
    )
    return Layer((left & ~1) + x0, (top & ~1) + y0, planes, (alpha, weight))


@dataclass(frozen=True, slots=True)
class Showing:
    """When a layer is seen, ticks: it comes and goes softly, unless it is there from the start."""

    layer: Layer
    start: int
    stop: int
    fade: int

    def opacity(self, at: int) -> float:
        """At a time, from 0 to 1."""
        if not self.start <= at < self.stop:
            return 0.0
        out = (self.stop - at) / self.fade
        come = 1.0 if self.start <= 0 else (at - self.start) / self.fade
        share = min(1.0, out, come)
        return share * share * (3 - 2 * share)


def paint(canvas: Canvas, showings: Sequence[Showing], at: int) -> None:
    """Lay what is to be seen at a time over the frame that is in the canvas."""
    for showing in showings:
        canvas.lay(showing.layer, showing.opacity(at))
