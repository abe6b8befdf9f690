"""What the pieces of a cut hold: stretches of coded pictures, tables of coded sound, and where
each piece lies in the cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from catalog.models import TIMESCALE
from infra.storage import Storage
from vod.footage import HOLE_FRAMES, Part, Step
from vod.smartcut.result import Piece
from vod.smartcut.sound import Span
from vod.smartcut.tables import Files, Table, Tables, read_tables


@dataclass(frozen=True, slots=True)
class Strand:
    """Coded pictures of one part, and which are shown: ``start`` <= pts < ``stop``, in ticks of
    the source."""

    piece: int
    table: Table
    start: int
    stop: int


@dataclass(slots=True)
class Gathered:
    """Everything that a cut is made of."""

    strands: list[Strand] = field(default_factory=list)
    """In the order they are shown."""
    sounds: list[tuple[int, Table]] = field(default_factory=list)
    """(piece, table)."""
    spans: dict[int, Span] = field(default_factory=dict)
    """Of each piece that has something to show or, in a cut of sound alone, to hear."""
    reasons: set[str] = field(default_factory=set)

    @property
    def duration(self) -> int:
        """Of the cut, in ticks."""
        return sum(span.length for span in self.spans.values())


def gather(
    files: Files, storage: Storage, pieces: Sequence[Piece], folder: Path, step: Step
) -> Gathered:
    """Read the tables of all pieces. Raises Fmp4Error, StorageError, OSError."""
    found = Gathered()
    heard: list[list[Table]] = []
    for number, piece in enumerate(pieces):
        pictures = _read(files, storage, piece.video, folder / f"p{number}v", step)
        sounds = _read(files, storage, piece.audio, folder / f"p{number}a", step)
        found.strands += _strands(number, piece, [t.video for t in pictures if t.video])
        listed = [t.audio for t in sounds if t.audio] or [t.audio for t in pictures if t.audio]
        heard.append(listed)
    for number, piece in enumerate(pieces):
        strands = [strand for strand in found.strands if strand.piece == number]
        if strands:
            first, end = _edges(strands)
        elif found.strands:
            found.reasons.add("piece_without_picture")
            continue
        else:
            first, end = _heard_edges(piece, heard[number])
        if first < end:
            found.spans[number] = Span(first, end - first, found.duration)
            found.sounds += [(number, table) for table in heard[number]]
    return found


def _read(
    files: Files, storage: Storage, parts: Sequence[Part], base: Path, step: Step
) -> list[Tables]:
    return [
        read_tables(files, storage, part, base.with_name(f"{base.name}{index}.mp4"), step)
        for index, part in enumerate(parts)
    ]


def _strands(number: int, piece: Piece, tables: list[Table]) -> list[Strand]:
    """The parts' pictures one after the other: where two parts show the same time, the earlier
    one's pictures are taken."""
    found: list[Strand] = []
    start = piece.start
    for table in tables:
        ticks = table.ticks
        shown = ticks[(ticks >= start) & (ticks < piece.stop)]
        if len(shown):
            found.append(Strand(number, table, start, piece.stop))
            start = int(shown.max()) + 1
    return found


def _edges(strands: list[Strand]) -> tuple[int, int]:
    """When the first picture is shown, and when the last one ends: it lasts until the next one,
    or before a hole as long as most do."""
    first, last = strands[0], strands[-1]
    begin = int(first.table.ticks[first.table.ticks >= first.start].min())
    times = np.sort(last.table.ticks)
    steps = np.diff(times)
    usual = int(np.median(steps)) if len(steps) else TIMESCALE // 25
    index = int(np.searchsorted(times, last.stop)) - 1
    step = int(steps[index]) if index < len(steps) else usual
    return begin, int(times[index]) + (step if step <= HOLE_FRAMES * usual else usual)


def _heard_edges(piece: Piece, tables: list[Table]) -> tuple[int, int]:
    """Of sound alone: from the in point to the out point, as far as there is any."""
    if not tables:
        return 0, 0
    begins = [int(table.ticks.min()) for table in tables]
    ends = [
        int((table.pts + table.duration).max()) * TIMESCALE // table.track.timescale
        for table in tables
    ]
    return max(piece.start, min(begins)), min(piece.stop, max(ends))
