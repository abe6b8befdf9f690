"""From what the catalogue knows of a programme to the aligner's terms, and back to acts. Pure.

The convention: an act begins with its own first sound, after the host's words and the applause
that greets it, and ends with the end of its applause. What is proposed gives a clip half a second
of air on either side, as far as the next act leaves it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from catalog.acts import Proposal
from catalog.minutes import TICKS_A_SECOND
from vod.acts.align import Found
from vod.acts.grid import CELL_TICKS, ticks_of
from vod.acts.lattice import Entry, Fixed
from vod.acts.programme_lines import words_chance

AIR_TICKS: Final = TICKS_A_SECOND // 2
"""Before an act's first sound and behind its last."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A line of the programme list."""

    id: int
    title: str
    genre: str
    about_ticks: int | None
    length_ticks: int | None


@dataclass(frozen=True, slots=True)
class Said:
    """An act a person confirmed."""

    start_ticks: int
    end_ticks: int
    entry_id: int | None


@dataclass(frozen=True, slots=True)
class Known:
    """What people have said of a programme."""

    entries: tuple[Listed, ...] = ()
    marks: tuple[int, ...] = ()
    confirmed: tuple[Said, ...] = ()


def entries_of(known: Known) -> list[Entry]:
    """The list as the aligner takes it."""
    return [
        Entry(
            about=None if line.about_ticks is None else line.about_ticks / CELL_TICKS,
            length=None if not line.length_ticks else line.length_ticks / CELL_TICKS,
            words=words_chance(line.genre, line.title),
        )
        for line in known.entries
    ]


def fixed_of(known: Known, cells: int) -> list[Fixed]:
    """Confirmed acts on the grid, in order and without overlap. An entry that would come before
    one that is already taken is not held to: the evening changed its order."""
    place = {line.id: number for number, line in enumerate(known.entries)}
    made: list[Fixed] = []
    end, taken = 0, -1
    for said in sorted(known.confirmed, key=lambda act: act.start_ticks):
        start = max(end, round(said.start_ticks / CELL_TICKS))
        stop = min(cells, round(said.end_ticks / CELL_TICKS))
        if stop <= start:
            continue
        entry = place.get(said.entry_id) if said.entry_id is not None else None
        if entry is not None and entry <= taken:
            entry = None
        taken = taken if entry is None else entry
        made.append(Fixed(start, stop, entry))
        end = stop
    return made


def proposals_of(found: Sequence[Found], known: Known, length_ticks: int) -> list[Proposal]:
    """What is proposed; acts people have confirmed are not proposed again."""
    taken = {act.entry_id for act in known.confirmed}
    made = []
    for number, act in enumerate(found):
        if act.fixed:
            continue
        start, end = placed(found, number, length_ticks)
        line = None if act.entry is None else known.entries[act.entry]
        if line is not None and line.id in taken:
            line = None
        made.append(
            Proposal(
                start_ticks=start,
                end_ticks=end,
                title=line.title if line else "",
                confidence=round(act.confidence * 1000),
                reasons=tuple((code, round(weight * 1000)) for code, weight in act.reasons),
                entry_id=line.id if line else None,
            )
        )
    return made


def placed(found: Sequence[Found], number: int, length_ticks: int) -> tuple[int, int]:
    """(start, end) of an act in ticks, with its air."""
    act = found[number]
    low = ticks_of(found[number - 1].end) if number else 0
    high = ticks_of(found[number + 1].start) if number + 1 < len(found) else length_ticks
    start, end = ticks_of(act.start), min(ticks_of(act.end), length_ticks)
    # Between two acts, each has half of what there is.
    return (
        start - max(0, min(AIR_TICKS, (start - low) // 2)),
        end + max(0, min(AIR_TICKS, (high - end) // 2)),
    )
