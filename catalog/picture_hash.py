"""Perceptual hashes: 64 bits that stay nearly the same however a picture is scaled or packed. Pure.

The hash is imagehash's phash: the signs of the 8 × 8 slowest waves (DCT) of the picture at 32 × 32
against their median. Two packings of one picture differ in a few bits, two pictures in many.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

HASH_EDGE: Final = 32
"""Edge of the grey square a hash is made of."""
HASH_BITS: Final = 64

DISTINCT_BITS: Final = 10
"""Two pictures of a set that is to be varied differ in at least so many bits."""
LIKE_BITS: Final = 8
"""Two packings of one picture differ in at most so many; so may two pictures of one stage, which
``same_picture`` tells apart."""

COMPARED_EDGE: Final = 256
"""Edge of the grey squares that are compared point by point."""
_BLOCK: Final = 16
_SAME_MEAN: Final = 4.0
_SAME_BLOCK: Final = 14.0


def phash(grey: NDArray[np.uint8]) -> str:
    """The hash of a grey picture of ``HASH_EDGE`` × ``HASH_EDGE``, as 16 hexadecimal digits."""
    # Not at the top: SciPy takes a while to load, and few requests need it.
    import imagehash
    from PIL import Image

    if grey.shape != (HASH_EDGE, HASH_EDGE):
        raise ValueError(f"a hash is made of {HASH_EDGE} × {HASH_EDGE} points, not {grey.shape}")
    return str(imagehash.phash(Image.fromarray(grey)))


def distance(one: str, other: str) -> int:
    """In how many of their 64 bits two hashes differ."""
    return (int(one, 16) ^ int(other, 16)).bit_count()


def near_any(hash_: str, others: Iterable[str], bits: int = DISTINCT_BITS) -> bool:
    """Whether one of the others differs in fewer than ``bits`` bits."""
    return any(distance(hash_, other) < bits for other in others)


def same_picture(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> bool:
    """Whether two grey squares of ``COMPARED_EDGE`` show the very same picture, packed or scaled
    in different ways: alike on the whole and in every corner. A dancer who has moved is another
    picture, however much of the stage is the same.
    """
    levelled = [_levelled(square) for square in (one, other)]
    apart = np.abs(levelled[0] - levelled[1])
    blocks = apart.reshape(apart.shape[0] // _BLOCK, _BLOCK, apart.shape[1] // _BLOCK, _BLOCK)
    worst = blocks.mean(axis=(1, 3)).max()
    return bool(apart.mean() <= _SAME_MEAN and worst <= _SAME_BLOCK)


def _levelled(square: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The same mean and contrast for all: a re-export may have changed both a little."""
    found = square.astype(np.float32)
    spread = max(float(found.std()), 1.0)
    levelled: NDArray[np.float32] = (found - found.mean()) * np.float32(50.0 / spread)
    return levelled
