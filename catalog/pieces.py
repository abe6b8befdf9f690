"""Edit lists as arithmetic: stretches of programmes laid end to end, and what a part of that shows.

Pure. Ticks of 1/90 000 s; a stretch's start is included, its end not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Chapter = tuple[int, int, str]
"""(start, end, title)."""

CHAPTER_MIN_TICKS = 90_000
"""A sliver of an act at a cut is no chapter."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a broadcast or work, on that one's timeline."""

    source: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Placed(Piece):
    """A piece, and where it begins in what was made of it."""

    at: int

    @property
    def until(self) -> int:
        return self.at + self.end - self.start


def asked(edit_list: Iterable[Sequence[Any]]) -> list[Piece]:
    """The pieces of an edit list as a row keeps it."""
    return [Piece(str(source), int(start), int(end)) for source, start, end in edit_list]


def laid(edit_list: Iterable[Sequence[Any]], making: Mapping[str, Any]) -> list[Placed]:
    """Where the pieces of a work lie in it: as ``making`` says since it was made (it begins with
    a picture, not between two), else end to end as they were asked for."""
    if known := making.get("pieces"):
        return [Placed(str(source), int(a), int(b), int(at)) for at, source, a, b in known]
    placed: list[Placed] = []
    at = 0
    for piece in asked(edit_list):
        placed.append(Placed(piece.source, piece.start, piece.end, at))
        at = placed[-1].until
    return placed


def shown(placed: Iterable[Placed], start: int, end: int) -> list[Piece]:
    """What [start, end) of a work shows of its sources; nothing that is not in its pieces."""
    found = []
    for piece in placed:
        first, last = max(start, piece.at), min(end, piece.until)
        if first < last:
            by = piece.start - piece.at
            found.append(Piece(piece.source, first + by, last + by))
    return found


def carried(
    placed: Iterable[Placed],
    chapters: Mapping[str, Sequence[Chapter]],
    titles: Mapping[str, str],
) -> list[Chapter]:
    """Chapters of a work out of its sources' own (``chapters`` by source id); a piece of which
    nothing is known is one chapter, by the title of its source."""
    found: list[Chapter] = []
    for piece in placed:
        by = piece.at - piece.start
        inside = [
            (max(start, piece.start) + by, min(end, piece.end) + by, title)
            for start, end, title in chapters.get(piece.source, ())
            if min(end, piece.end) - max(start, piece.start) >= CHAPTER_MIN_TICKS
        ]
        found += inside or [(piece.at, piece.until, titles.get(piece.source, ""))]
    return found
