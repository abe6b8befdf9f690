"""The title card and the lower third, drawn: RGBA pictures of the form's size, from cleaned text.

The face is Noto Sans CJK SC out of a package; text is only ever drawn, never read by anything.
Phones lay their own things over a vertical film (names below, buttons at the right, a bar at the
top), so words keep out of those places.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

import noto_cjk_sans_otc
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from vod.forms.wording import Cleaned, Fitted, clean, fit

_FACE: Final = "Noto Sans CJK SC"
_FACES_MAX: Final = 16
_NO_CHARACTER: Final = "\U0010fffe"

# The pages' own colours (frontend/css/tokens.css).
_NIGHT: Final = (15, 12, 10)
_PAPER: Final = (255, 250, 242)
_GOLD: Final = (226, 189, 108)
_RED: Final = (177, 40, 27)
_SHEET: Final = (255, 253, 247)
_INK: Final = (36, 26, 19)
_INK_SOFT: Final = (90, 76, 64)

Rgba = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Safe:
    """Where words may stand, as shares of width and height."""

    left: float
    right: float
    title_bottom: float
    third_bottom: float


SAFE: Final = {
    "vertical": Safe(left=0.08, right=0.16, title_bottom=0.74, third_bottom=0.74),
    "square": Safe(left=0.08, right=0.08, title_bottom=0.88, third_bottom=0.90),
}


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    path = str(noto_cjk_sans_otc.FONT_PATH)
    basic = ImageFont.Layout.BASIC
    for index in range(_FACES_MAX):
        font = ImageFont.truetype(path, size, index=index, layout_engine=basic)
        if font.getname()[0] == _FACE:
            return font
    raise OSError(f"{path} holds no {_FACE}")


@cache
def drawable(char: str) -> bool:
    """Whether the face has this character (or it is a space)."""
    return char == " " or _ink(char) != _ink(_NO_CHARACTER)


@cache
def _ink(char: str) -> tuple[bytes, tuple[int, int]]:
    mask = _font(24).getmask(char)
    return bytes(mask), mask.size


def cleaned(text: str) -> Cleaned:
    """Text as it will be drawn."""
    return clean(text, drawable)


def _width(words: str, size: int) -> float:
    # A bold look is made by a stroke: the face comes in one weight.
    return float(_font(size).getlength(words)) + 2 * _stroke(size)


def _stroke(size: int) -> int:
    return max(1, round(size / 44))


# --- title card ------------------------------------------------------------------------------

_TITLE_SIZES: Final = (0.105, 0.092, 0.08, 0.068, 0.058, 0.05)
"""Of the form's width; longer titles are set smaller, and in more lines."""
_TITLE_LINES: Final = (2, 3, 3, 4, 4, 5)
_CENTRE_SIZE: Final = 0.042


def title_card(form: str, size: tuple[int, int], title: str, centre: str) -> Rgba:
    """A veil that darkens the lower part, a red bar, the title, the centre's name."""
    width, height = size
    safe = SAFE[form]
    left, room = round(width * safe.left), round(width * (1 - safe.left - safe.right))
    sizes = [max(12, round(width * share)) for share in _TITLE_SIZES]
    words = fit(title, room, sizes, _TITLE_LINES, _width) if title else Fitted(sizes[0], ())
    small = max(12, round(width * _CENTRE_SIZE))
    under = fit(centre, room, [small], [1], _width) if centre else Fitted(small, ())
    leading = round(words.size * 1.34)
    bar = max(4, round(width * 0.009))
    block = bar + round(width * 0.026) + leading * len(words.lines)
    block += round(width * 0.035) + round(small * 1.4) if under.lines else 0
    top = round(height * safe.title_bottom) - block
    image = Image.fromarray(_veil(width, height, top - round(height * 0.16), top), "RGBA")
    draw = ImageDraw.Draw(image)
    draw.rectangle((left, top, left + round(width * 0.11), top + bar - 1), fill=(*_RED, 255))
    y = top + bar + round(width * 0.026)
    for line in words.lines:
        _write(draw, left, y, line, words.size, _PAPER, bold=True)
        y += leading
    for line in under.lines:
        _write(draw, left, y + round(width * 0.035), line, small, _GOLD, bold=False)
    return np.asarray(image)


def _veil(width: int, height: int, first: int, full: int) -> Rgba:
    """Night from nothing at row ``first`` to its darkest at row ``full`` and below."""
    rows = np.arange(height, dtype=np.float64)
    share = np.clip((rows - first) / max(1, full - first), 0, 1)
    share = share * share * (3 - 2 * share)
    veil = np.empty((height, width, 4), np.uint8)
    veil[..., :3] = _NIGHT
    veil[..., 3] = np.rint(share * 0.76 * 255)[:, None]
    return veil


def _write(
    draw: ImageDraw.ImageDraw,
    x: float,
    y: float,
    words: str,
    size: int,
    colour: tuple[int, int, int],
    *,
    bold: bool,
) -> None:
    stroke = _stroke(size) if bold else 0
    draw.text(
        (x + stroke, y), words, font=_font(size), fill=(*colour, 255), stroke_width=stroke,
        stroke_fill=(*colour, 255),
    )  # fmt: skip


# --- lower third -----------------------------------------------------------------------------

_NAME_SIZES: Final = (0.058, 0.05, 0.044)
_NAME_LINES: Final = (1, 1, 2)
_ROLE_SIZES: Final = (0.038, 0.034)
_ROLE_LINES: Final = (1, 2)


def lower_third(form: str, size: tuple[int, int], text: str, sub: str) -> Rgba:
    """A slip of paper with a red edge: a name, and what that person is."""
    width, height = size
    safe = SAFE[form]
    pad = round(width * 0.032)
    edge = max(4, round(width * 0.012))
    left = round(width * safe.left)
    room = round(width * (1 - safe.left - safe.right)) - 2 * pad - edge
    name = _fit(text, room, width, _NAME_SIZES, _NAME_LINES)
    role = _fit(sub, room, width, _ROLE_SIZES, _ROLE_LINES)
    rows = [(line, name.size, _INK, True) for line in name.lines]
    rows += [(line, role.size, _INK_SOFT, False) for line in role.lines]
    wide = max(_width(line, size) for line, size, _, _ in rows)
    tall = sum(round(size * 1.36) for _, size, _, _ in rows)
    box_width, box_height = round(wide) + 2 * pad + edge, tall + round(pad * 1.1)
    top = round(height * safe.third_bottom) - box_height
    image = Image.new("RGBA", size, (*_SHEET, 0))
    draw = ImageDraw.Draw(image)
    box = (left, top, left + box_width, top + box_height)
    draw.rounded_rectangle(box, radius=max(4, round(width * 0.012)), fill=(*_SHEET, 240))
    draw.rectangle((left, top, left + edge - 1, top + box_height), fill=(*_RED, 255))
    y = float(top + round(pad * 0.42))
    for line, points, colour, bold in rows:
        _write(draw, left + edge + pad, y, line, points, colour, bold=bold)
        y += round(points * 1.36)
    return np.asarray(image)


def _fit(
    text: str, room: int, width: int, shares: tuple[float, ...], lines: tuple[int, ...]
) -> Fitted:
    sizes = [max(12, round(width * share)) for share in shares]
    return fit(text, room, sizes, lines, _width) if text else Fitted(sizes[0], ())
