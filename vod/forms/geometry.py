"""The shapes: how large a form is, which part of the source it crops, how that lands on its pixels.

Pure. The crop is the largest window of the form's shape that the source holds; it moves along one
axis, and its place is not bound to whole pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from vod.forms.sight import SMALL_WIDTH

SHAPES: Final = {"vertical": (9, 16), "square": (1, 1)}
_LARGE: Final = 1080
_SMALL: Final = 720
_LARGE_FROM: Final = 960
"""A source whose short side is at least this becomes a form of 1080, any other one of 720."""
_UPRIGHT_BY: Final = 1e-3


@dataclass(frozen=True, slots=True)
class Geometry:
    """Sizes in pixels, square ones. ``raw`` is what the source is brought to before the crop."""

    raw: tuple[int, int]
    out: tuple[int, int]
    small: tuple[int, int]
    """What is looked at."""

    @property
    def upright(self) -> bool:
        """The crop moves up and down: the source is narrower than the form."""
        (w, h), (a, b) = self.raw, self.out
        return w * b < h * a * (1 - _UPRIGHT_BY)

    @property
    def scale(self) -> float:
        """Pixels of the form a pixel of ``raw`` covers."""
        if self.upright:
            return self.out[0] / self.raw[0]
        return self.out[1] / self.raw[1]

    @property
    def crop(self) -> float:
        """The crop's length as a share of the picture's, along the axis it moves on."""
        axis = int(self.upright)
        return min(1.0, self.out[axis] / self.scale / self.raw[axis])

    def corner(self, centre: float) -> tuple[float, float]:
        """Left and top of the crop whose centre is there, in pixels of ``raw``."""
        axis = int(self.upright)
        length = self.raw[axis]
        along = centre * length - self.out[axis] / self.scale / 2
        along = min(max(along, 0.0), max(0.0, length - self.out[axis] / self.scale))
        # Across, what sizes of whole pixels leave over is shared by both sides.
        across = (self.raw[1 - axis] - self.out[1 - axis] / self.scale) / 2
        return (across, along) if axis else (along, across)


def plan(width: int, height: int, form: str) -> Geometry:
    """For a source of this size as shown. ValueError: no such form, or no such picture."""
    if width < 2 or height < 2:
        raise ValueError(f"a picture of {width}x{height}")
    a, b = SHAPES[form]
    short = _LARGE if min(width, height) >= _LARGE_FROM else _SMALL
    out = (short, short * b // a)
    # A larger source is brought down by FFmpeg's scaler, which averages; a smaller one goes up
    # while it is cropped.
    scale = max(out[0] / width, out[1] / height)
    raw = (width, height)
    if scale < 1:
        raw = (max(out[0], round(width * scale)), max(out[1], round(height * scale)))
    small_height = max(16, round(SMALL_WIDTH * height / width))
    small = (SMALL_WIDTH, small_height)
    if height > width:
        small = (max(16, round(SMALL_WIDTH * width / height)), SMALL_WIDTH)
    return Geometry(_even(raw), out, _even(small))


def _even(size: tuple[int, int]) -> tuple[int, int]:
    """4:2:0 has a colour for every second pixel."""
    return size[0] & ~1, size[1] & ~1
