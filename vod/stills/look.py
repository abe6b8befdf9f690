"""What a frame looks like, in numbers: how sharp, how lit, how flat, and its hash. Pure.

Sharpness is a ratio, so that it speaks of focus and not of what is shown: how steep the steepest
edges are beside those of the same picture at a quarter of its size. A sharp edge is as steep in
both, a soft one much less so in the large one. The least over four directions counts, for a camera
that moves blurs edges across its way and leaves those along it. It is taken tile by tile: a face
before a soft background is a sharp picture, a station's logo on a soft one is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from catalog.picture_hash import HASH_EDGE, phash

Grey = NDArray[np.uint8]
"""Rows by columns of luma, full range."""
Levels = NDArray[np.float32]

LOOKED_WIDTH: Final = 960
"""Frames are measured at most so wide: what no screen shows is noise."""
_COARSE: Final = 4
_POWER: Final = 4
"""Slopes count by this power: the steepest say it all."""
_TILES: Final = (4, 5)
_TILE_SHARP: Final = 65.0
"""Percentile of the tiles: so about a third of what is in the picture has to be sharp."""
_TILE_LEAST: Final = 5.0
"""Slope, in levels a point, below which there is nothing in a tile to be sharp or soft."""
_DARK: Final = 24
_BRIGHT: Final = 250
_BLOCK: Final = 16
_FLAT_SPREAD: Final = 1.2
_FLAT_LEVELS: Final = 8
_LEVEL: Final = 3
_PLAIN: Final = (28, 247)
"""Flat blocks darker or brighter than this are shadow or light, not paint."""


@dataclass(frozen=True, slots=True)
class Look:
    """A frame's measures. Levels are of 0 to 255, shares of 0 to 1."""

    sharpness: float
    """About 1 where the sharp edges are one point wide, 0.7 where two, 0.45 where five."""
    detail: float
    """Logarithm of the Laplacian's variance: how much there is to see."""
    mean: float
    spread: float
    """Standard deviation of the levels."""
    peak: float
    """Level of the brightest hundredth."""
    dark: float
    """Share of the picture in deep shadow."""
    bright: float
    """Share that is burnt out."""
    painted: float
    """Share of the picture that is of a few flat colours, as cards and colour bars are."""
    phash: str


def sharpness(grey: Grey) -> float:
    """How sharp a frame is, as ``Look`` has it: for finding the sharpest of many."""
    return _sharpness(_fit(grey).astype(np.float32))


def look(grey: Grey) -> Look:
    """Measure a frame."""
    grey = _fit(grey)
    levels = grey.astype(np.float32)
    return Look(
        sharpness=_sharpness(levels),
        detail=float(np.log1p(cv2.Laplacian(levels, cv2.CV_32F).var())),
        mean=float(levels.mean()),
        spread=float(levels.std()),
        peak=float(np.percentile(grey, 99)),
        dark=float((grey <= _DARK).mean()),
        bright=float((grey >= _BRIGHT).mean()),
        painted=_painted(levels),
        phash=phash(shrink(grey, HASH_EDGE, HASH_EDGE)),
    )


def shrink(grey: Grey, width: int, height: int) -> Grey:
    """The picture in another size, each point the mean of what it stands for."""
    made = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(made, dtype=np.uint8)


def _fit(grey: Grey) -> Grey:
    rows, columns = grey.shape
    if columns <= LOOKED_WIDTH:
        return grey
    return shrink(grey, LOOKED_WIDTH, max(1, round(rows * LOOKED_WIDTH / columns)))


def _sharpness(levels: Levels) -> float:
    high, wide = _TILES
    rows = levels.shape[0] // (high * _COARSE) * high * _COARSE
    columns = levels.shape[1] // (wide * _COARSE) * wide * _COARSE
    if not rows or not columns:
        return 0.0
    levels = levels[:rows, :columns]
    coarse = cv2.resize(levels, (columns // _COARSE, rows // _COARSE), interpolation=cv2.INTER_AREA)
    points = coarse.size // (high * wide)
    fine = [_pooled(slopes[::2, ::2]) * 4 for slopes in _slopes(levels)]
    # An edge is _COARSE times as many points long in the large picture.
    whole = [_pooled(slopes) * _COARSE for slopes in _slopes(coarse)]
    steep = np.min(whole, axis=0) / (points * _COARSE)
    told = steep >= min(_TILE_LEAST**_POWER, float(steep.max()))
    ratios = np.min([a / np.maximum(b, 1e-6) for a, b in zip(fine, whole, strict=True)], axis=0)
    return float(np.percentile(ratios[told] ** (1 / _POWER), _TILE_SHARP))


def _pooled(slopes: Levels) -> NDArray[np.float64]:
    """Sum over each tile of the slopes' fourth power."""
    high, wide = _TILES
    rows, columns = (edge // parts for edge, parts in zip(slopes.shape, _TILES, strict=True))
    cut = slopes[: rows * high, : columns * wide].astype(np.float64) ** _POWER
    return np.asarray(cut.reshape(high, rows, wide, columns).sum(axis=(1, 3)), dtype=np.float64)


def _slopes(levels: Any) -> list[Levels]:
    """How steep the picture is across, down, and along both diagonals; levels a point."""
    across = cv2.Sobel(levels, cv2.CV_32F, 1, 0) / 8
    down = cv2.Sobel(levels, cv2.CV_32F, 0, 1) / 8
    diagonal = np.float32(np.sqrt(0.5))
    return [
        np.abs(across),
        np.abs(down),
        np.abs(across + down) * diagonal,
        np.abs(across - down) * diagonal,
    ]


def _painted(levels: Levels) -> float:
    """Share of blocks without any texture, if a few levels are all they have: paint on a wall is
    lit from somewhere, and goes through many."""
    rows, columns = (edge // _BLOCK for edge in levels.shape)
    if not rows or not columns:
        return 0.0
    blocks = levels[: rows * _BLOCK, : columns * _BLOCK].reshape(rows, _BLOCK, columns, _BLOCK)
    means, spreads = blocks.mean(axis=(1, 3)), blocks.std(axis=(1, 3))
    flat = (spreads < _FLAT_SPREAD) & (means > _PLAIN[0]) & (means < _PLAIN[1])
    if not flat.any():
        return 0.0
    counts = np.bincount((means[flat] / _LEVEL).astype(np.int64))
    few = np.sort(counts)[-_FLAT_LEVELS:].sum() / counts.sum()
    return float(flat.mean() * few)
