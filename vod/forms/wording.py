"""Words for a picture: cleaned of what cannot be drawn, broken into lines as Chinese is. Pure.

What is measured is handed in: ``measure`` says how wide a string is, ``drawable`` whether the font
has a character.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

ELLIPSIS: Final = "…"

# JIS X 4051 and 《中文排版需求》 3.1.7, the common ones: what never begins, and never ends a line.
_NEVER_FIRST: Final = frozenset("，。、；：？！）》」』】〕〉”’％·—…～,.;:?!)]}%")
_NEVER_LAST: Final = frozenset("（《「『【〔〈“‘([{")
_DROPPED: Final = frozenset(("Cc", "Cf", "Cs", "Co", "Cn"))
_MARKS_MAX: Final = 2
"""Combining marks one letter keeps: more are a prank."""
_WORD: Final = re.compile(r"[^\W⺀-鿿豈-﫿＀-￯　-ヿ]+(?:['’\-_./:@&+#][^\W⺀-鿿]+)*|\s+|.", re.S)


@dataclass(frozen=True, slots=True)
class Cleaned:
    """Text fit to be drawn, and the characters that were left out of it."""

    text: str
    left_out: str


def clean(text: str, drawable: Callable[[str], bool]) -> Cleaned:
    """One line of drawable characters, single spaces; nothing in it is a command to anything.

    Controls, bidirectional overrides and other invisible things go silently, what the font lacks
    (emoji, some scripts) is told.
    """
    kept: list[str] = []
    missing: list[str] = []
    marks = 0
    for char in unicodedata.normalize("NFC", text):
        category = unicodedata.category(char)
        if char.isspace():
            kept.append(" ")
        elif category in _DROPPED or 0xFE00 <= ord(char) <= 0xFE0F:
            continue
        elif category.startswith("M"):
            marks += 1
            if marks <= _MARKS_MAX and kept and kept[-1] != " " and drawable(char):
                kept.append(char)
            continue
        elif drawable(char):
            kept.append(char)
        elif char not in missing:
            missing.append(char)
        marks = 0
    return Cleaned(" ".join("".join(kept).split()), "".join(missing))


def break_lines(text: str, width: float, measure: Callable[[str], float]) -> list[str]:
    """Lines no wider than ``width`` (but for a single character that is). Words of letters stay
    whole while they fit; punctuation stays where it belongs."""
    lines: list[str] = []
    line = ""
    for unit in _units(text, width, measure):
        joined = line + unit
        if line and measure(joined.rstrip()) > width:
            lines.append(line.rstrip())
            line = unit.lstrip()
        else:
            line = joined if line else unit.lstrip()
    if line.strip():
        lines.append(line.rstrip())
    return lines


def _units(text: str, width: float, measure: Callable[[str], float]) -> list[str]:
    """What must not be torn apart."""
    units: list[str] = []
    glue = False
    for part in _WORD.findall(text):
        pieces = [part] if measure(part) <= width else list(part)
        for piece in pieces:
            if units and (glue or piece[0] in _NEVER_FIRST):
                together = units[-1] + piece
                # A row of exclamation marks wider than the line has to go somewhere.
                if measure(together.strip()) <= width:
                    units[-1] = together
                    glue = piece[-1] in _NEVER_LAST
                    continue
            units.append(piece)
            glue = piece[-1] in _NEVER_LAST
    return units


def balance(text: str, width: float, measure: Callable[[str], float]) -> list[str]:
    """As few lines as ``break_lines`` makes, but of even length: no lone character at the end."""
    lines = break_lines(text, width, measure)
    if len(lines) < 2:
        return lines
    low, high = max(measure(text) / len(lines) * 0.9, 1.0), width
    for _ in range(12):
        middle = (low + high) / 2
        tried = break_lines(text, middle, measure)
        if len(tried) <= len(lines) and all(measure(line) <= width for line in tried):
            lines, high = tried, middle
        else:
            low = middle
    return lines


@dataclass(frozen=True, slots=True)
class Fitted:
    """Lines at a size that lets them stand in their box."""

    size: int
    lines: tuple[str, ...]


def fit(
    text: str,
    width: float,
    sizes: Sequence[int],
    lines_max: Sequence[int],
    measure: Callable[[str, int], float],
) -> Fitted:
    """The largest of ``sizes`` (descending) at which the text takes no more than that size's
    ``lines_max``; at the smallest the rest is cut off with an ellipsis."""
    lines: list[str] = []
    for size, most in zip(sizes, lines_max, strict=True):
        lines = balance(text, width, lambda words, size=size: measure(words, size))  # type: ignore[misc]
        if len(lines) <= most:
            return Fitted(size, tuple(lines))
    size, most = sizes[-1], lines_max[-1]
    last = lines[most - 1].rstrip()
    while last and measure(last + ELLIPSIS, size) > width:
        last = last[:-1].rstrip()
    return Fitted(size, (*lines[: most - 1], last + ELLIPSIS))
