"""The footage of many broadcasts at once, and the rule that none of it counts twice."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Final, Literal, Protocol

import msgspec
from sqlalchemy import Text, cast, func, select
from sqlalchemy.orm import Session, aliased

from catalog.minutes import Footage, Intervals, by_timeline, difference, together, union, without
from catalog.models import Resource
from catalog.resources import aired_footage, raw_footage
from catalog.year.span import any_of

Kind = Literal["original", "optimised", "raw"]
"""原创成片, 优化成片, 素材."""

NOTHING: Final[Footage] = {}


class Show(Protocol):
    """What is needed of a broadcast; a row of columns will do."""

    @property
    def id(self) -> str: ...
    @property
    def media_token(self) -> str: ...
    @property
    def finalized_at(self) -> dt.datetime | None: ...


_TWIN: Final = aliased(Resource)
# A file that is one of our own works or takes, downloaded and handed in again, is its footage.
_OF_TWIN: Final = (
    select(_TWIN.intervals)
    .where(_TWIN.sha256 == Resource.sha256, func.jsonb_array_length(_TWIN.intervals) > 0)
    .where(func.jsonb_array_length(Resource.intervals) == 0)
    .order_by(_TWIN.created_at, _TWIN.id)
    .limit(1)
    .correlate(Resource)
    .scalar_subquery()
)
INTERVALS: Final = cast(func.coalesce(_OF_TWIN, Resource.intervals), Text).label("intervals")
"""The footage as text: thousands of rows are read in one go, and quicker so."""
_read: Final = msgspec.json.Decoder(list[tuple[str, int, int]]).decode


def resource_footage(key: str, sha256: str | None, duration_ticks: int, intervals: str) -> Footage:
    """The footage of a resource row (``intervals`` as ``INTERVALS`` gives them). One without is
    a file with a clock of its own; the same file is the same footage."""
    rows = _read(intervals)
    if not rows and duration_ticks > 0:
        return {f"file:{sha256 or key}": ((0, duration_ticks),)}
    if len(rows) == 1:
        ((timeline, start, end),) = rows
        return {timeline: ((start, end),)} if start < end else NOTHING
    return by_timeline(rows)


class Once:
    """Hands out footage once: what a row has counted, no later row counts."""

    def __init__(self) -> None:
        self._counted: dict[str, Intervals] = {}

    def take(self, footage: Footage) -> Footage:
        fresh: dict[str, Intervals] = {}
        for timeline, intervals in footage.items():
            counted = self._counted.get(timeline)
            if counted is None:
                fresh[timeline] = self._counted[timeline] = intervals
                continue
            left = difference(intervals, counted)
            if left:
                fresh[timeline] = left
                self._counted[timeline] = union((*counted, *left))
        return fresh


class FootageOf:
    """The footage of broadcasts: their resources, else what is proven by now.

    A broadcast that has not been finalised has footage but no settled resource: the same
    arithmetic over its air list and takes stands in, so a report made the minute a show ended
    has it right. A withdrawn resource counts nothing. A recording with a known hash is the
    footage that was first known by it, wherever it lies.
    """

    def __init__(self, session: Session, shows: Sequence[Show]) -> None:
        self._kept: dict[tuple[str, Kind], Footage] = {}
        self._registered: set[tuple[str, str]] = set()
        self._withdrawn: set[tuple[str, str]] = set()
        self._versions: list[tuple[str, Kind, str, int]] = []
        """Masters that are files without a place on any take: broadcast, kind, clock, ticks."""
        self._from_resources(session, shows)
        unsettled = [show for show in shows if self._grows(show, "finished", "raw")]
        aired = aired_footage(session, [show.media_token for show in unsettled])
        recorded = raw_footage(session, [show.id for show in unsettled])
        for show in unsettled:
            finished, raw = aired.get(show.media_token), recorded.get(show.id)
            if finished and self._grows(show, "finished"):
                again = self.of(show.id, "optimised")
                self._kept[show.id, "original"] = without(finished, again)
            if raw and self._grows(show, "raw"):
                self._kept[show.id, "raw"] = raw
        self._lay_versions()

    def _grows(self, show: Show, *kinds: str) -> bool:
        """Whether there may be more footage of any of these kinds than its resources say."""
        keys = {(show.id, kind) for kind in kinds} - self._withdrawn
        return bool(keys) and (show.finalized_at is None or not keys <= self._registered)

    def of(self, broadcast_id: str, kind: Kind) -> Footage:
        return self._kept.get((broadcast_id, kind), NOTHING)

    def finished(self, broadcast_id: str) -> Footage:
        """原创 and 优化 together."""
        optimised = self.of(broadcast_id, "optimised")
        original = self.of(broadcast_id, "original")
        return together(original, optimised) if optimised else original

    def _from_resources(self, session: Session, shows: Sequence[Show]) -> None:
        place = {show.id: number for number, show in enumerate(shows)}
        query = (
            select(
                Resource.id,
                Resource.broadcast_id,
                Resource.kind,
                Resource.origin,
                Resource.withdrawn_at,
                Resource.first_published_at,
                Resource.sha256,
                Resource.duration_ticks,
                INTERVALS,
            )
            .where(Resource.broadcast_id == any_of(place), Resource.kind.in_(("finished", "raw")))
            .order_by(Resource.created_at, Resource.id)
        )
        hashes: dict[str, Footage] = {}
        for row in sorted(session.execute(query), key=lambda row: place[row.broadcast_id]):
            if row.withdrawn_at is not None:
                self._withdrawn.add((row.broadcast_id, row.kind))
                continue
            self._registered.add((row.broadcast_id, row.kind))
            key: tuple[str, Kind] = (row.broadcast_id, _ledger(row.kind, row.origin))
            footage = resource_footage(row.id, row.sha256, row.duration_ticks, row.intervals)
            if row.kind == "raw" and row.sha256:
                footage = hashes.setdefault(row.sha256, footage)
            elif row.kind == "finished" and (clock := _own_clock(footage)):
                if row.first_published_at is not None:
                    self._versions.append((*key, clock, row.duration_ticks))
                continue
            before = self._kept.get(key)
            self._kept[key] = together(before, footage) if before else footage

    def _lay_versions(self) -> None:
        """Another master of an evening shows the evening: of 原创 only what is longer than any
        other version is more. Of 优化 each is work of its own, made from that footage."""
        at: dict[str, int] = {}
        originals_first = sorted(self._versions, key=lambda version: version[1] == "optimised")
        for broadcast_id, kind, clock, ticks in originals_first:
            start = 0
            if kind == "optimised":
                start, at[broadcast_id] = at.get(broadcast_id, 0), at.get(broadcast_id, 0) + ticks
            laid = _laid_on(self.of(broadcast_id, "original"), start, start + ticks, clock)
            before = self._kept.get((broadcast_id, kind), NOTHING)
            self._kept[broadcast_id, kind] = together(before, laid)


def _own_clock(footage: Footage) -> str:
    """The clock of a file that is on no take's."""
    return next((clock for clock in footage if clock.startswith(("file:", "upload:"))), "")


def _laid_on(known: Footage, start: int, end: int, clock: str) -> Footage:
    """The ticks from ``start`` to ``end`` of ``known``; what goes beyond is on ``clock``."""
    rows, at = [], 0
    for timeline in sorted(known):
        for first, last in known[timeline]:
            rows.append((timeline, first + max(start - at, 0), min(last, first + end - at)))
            at += last - first
    rows.append((clock, max(start, at), end))
    return by_timeline(rows)


def _ledger(kind: str, origin: str | None) -> Kind:
    if kind == "raw":
        return "raw"
    return "optimised" if origin == "optimised" else "original"
