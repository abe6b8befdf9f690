"""What a year holds that can be counted, as plain tuples: loaded once, asked many times. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

from catalog.minutes import Footage
from catalog.plays import Counts

MICRO_MAX_MINUTES: Final = 15
"""A clip longer than this is no micro-video, unless the plan says otherwise."""
BEFORE_ALL: Final = dt.date.min


class Show(NamedTuple):
    """A broadcast of Xitai's, or one from before or elsewhere (``past``)."""

    id: str
    centre_id: str
    title: str
    date: dt.date
    mode: str
    standing: str
    """own, linked, reshown."""
    signal: str
    """What stands for the signal shown: the same for all who relay it."""
    past: bool
    settled: bool
    """No more footage will come."""
    original: Footage
    optimised: Footage
    raw: Footage
    short: str = ""
    """What a live one that fell short of its plan is asked about; empty: nothing."""
    images: int = 0
    """Of a past one, as the old return printed it."""
    clicks: int = 0
    """Likewise."""


class Piece(NamedTuple):
    """Footage that is no broadcast's main recording: a micro-video, an upload, a pick-up."""

    id: str
    centre_id: str
    kind: str
    """finished, micro, raw."""
    title: str
    date: dt.date
    optimised: bool
    broadcast_id: str | None
    footage: Footage
    length: int
    """Ticks it plays, which decides whether it is a micro-video."""


class Still(NamedTuple):
    """A confirmed image."""

    id: str
    centre_id: str
    title: str
    date: dt.date
    ledger: str
    """broadcast, exhibition."""
    same: str
    """Equal for equal files; empty: there is no other like it."""
    broadcast_id: str | None
    number: int = 1
    """As of a record."""


class Record(NamedTuple):
    """A catalogue record on the day it was first public, or (``edit``) was changed since."""

    id: str
    centre_id: str
    kind: str
    title: str
    date: dt.date
    genre: str | None
    edit: bool = False
    number: int = 1
    """More than one where records were only counted: then there is no id and no title, and
    ``date`` is the last day of that month on which there was one."""


class Lesson(NamedTuple):
    id: str
    title: str
    date: dt.date | None
    """When it was first public; None: not yet."""


class Course(NamedTuple):
    """A course that is public, with every lesson that is not withdrawn."""

    id: str
    centre_id: str
    title: str
    date: dt.date
    genre: str | None
    planned: int
    """Lessons it is announced with; 0: not said."""
    lessons: tuple[Lesson, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """A year (up to a day) of a subtree, or of a part of it. Lists are in order of date."""

    first: dt.date
    last: dt.date
    """The last day that counts: of the year, or of the cut-off."""
    shows: tuple[Show, ...] = ()
    pieces: tuple[Piece, ...] = ()
    stills: tuple[Still, ...] = ()
    """In order of confirmation: of equal ones the first counts."""
    records: tuple[Record, ...] = ()
    courses: tuple[Course, ...] = ()
    cameras: frozenset[str] = frozenset()
    """Timelines of takes that are not the programme feed."""
    clicks: Mapping[str, Counts] = field(default_factory=dict)
    """Broadcast → its plays, those of its re-showings included."""

    def part(self, centres: Collection[str]) -> Facts:
        """The facts of some centres alone."""
        return replace(
            self,
            shows=tuple(row for row in self.shows if row.centre_id in centres),
            pieces=tuple(row for row in self.pieces if row.centre_id in centres),
            stills=tuple(row for row in self.stills if row.centre_id in centres),
            records=tuple(row for row in self.records if row.centre_id in centres),
            courses=tuple(row for row in self.courses if row.centre_id in centres),
        )

    def by_centre(self) -> dict[str, Facts]:
        """Every centre's part, in one pass over all rows."""
        lists: dict[str, dict[str, list[Any]]] = {}
        for name in ("shows", "pieces", "stills", "records", "courses"):
            for row in getattr(self, name):
                lists.setdefault(row.centre_id, {}).setdefault(name, []).append(row)
        return {
            centre_id: replace(
                self,
                shows=tuple(found.get("shows", ())),
                pieces=tuple(found.get("pieces", ())),
                stills=tuple(found.get("stills", ())),
                records=tuple(found.get("records", ())),
                courses=tuple(found.get("courses", ())),
            )
            for centre_id, found in lists.items()
        }

    def until(self, last: dt.date) -> Facts:
        """The facts as of the end of an earlier day of the year."""
        return replace(
            self,
            last=min(last, self.last),
            shows=tuple(row for row in self.shows if row.date <= last),
            pieces=tuple(row for row in self.pieces if row.date <= last),
            stills=tuple(row for row in self.stills if row.date <= last),
            records=tuple(row for row in self.records if row.date <= last),
            courses=tuple(row for row in self.courses if row.date <= last),
        )

    def holds(self, day: dt.date) -> bool:
        return self.first <= day <= self.last
