"""The ledger: how many minutes of what, per broadcast, centre subtree, month and year.

One row a broadcast, its footage as intervals; every sum is over rows whose footage is disjoint,
so sums of rows are lengths of unions. Footage an earlier row has counted is not counted again.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from catalog.centres import within
from catalog.clock import china_year
from catalog.minutes import TICKS_A_MINUTE, Footage, footage_ticks, together
from catalog.models import Broadcast, Centre, Take
from catalog.resources import aired_footage, event_date, raw_footage
from catalog.year.facts import MICRO_MAX_MINUTES
from catalog.year.footage import FootageOf, Once
from catalog.year.holdings import pieces
from catalog.year.span import span_of


@dataclass(frozen=True, slots=True)
class BroadcastMinutes:
    """Lengths of one broadcast now, in ticks of 1/90 000 s."""

    finished_ticks: int = 0
    raw_ticks: int = 0


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One broadcast in a report: the evidence behind its minutes."""

    broadcast: Broadcast
    centre: Centre
    date: dt.date
    finished: Footage
    """What counts as 成片 here and nowhere above in the same list."""
    raw: Footage
    takes: int
    gaps: int
    gap_us: int
    settled: bool
    """The last segment is registered: these figures will not grow."""

    @property
    def finished_ticks(self) -> int:
        return footage_ticks(self.finished)

    @property
    def raw_ticks(self) -> int:
        return footage_ticks(self.raw)


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over rows of a report. 场 are counted apart by mode."""

    live: int
    recorded: int
    finished_ticks: int
    raw_ticks: int


def broadcast_minutes(
    session: Session, broadcasts: Iterable[Broadcast]
) -> dict[str, BroadcastMinutes]:
    """Broadcast id → finished and raw length, right at any time, on air too."""
    listed = list(broadcasts)
    aired = aired_footage(session, [b.media_token for b in listed])
    recorded = raw_footage(session, [b.id for b in listed])
    return {
        b.id: BroadcastMinutes(
            footage_ticks(aired.get(b.media_token, {})), footage_ticks(recorded.get(b.id, {}))
        )
        for b in listed
    }


def year_rows(session: Session, year: int, *, centre_path: str | None = None) -> list[LedgerRow]:
    """The 场 of a year in China, in order of time: what was relayed, shown again, a test, or
    taken down is none."""
    first, after = china_year(year)
    began = func.coalesce(Broadcast.started_at, Broadcast.planned_at, Broadcast.created_at)
    query = (
        select(Broadcast, Centre)
        .join(Centre, Centre.id == Broadcast.centre_id)
        .where(began >= first, began < after, within(centre_path))
        .where(Broadcast.started_at.is_not(None), Broadcast.state != "cancelled")
        .where(Broadcast.standing == "own", Broadcast.off_air_at.is_(None))
        .order_by(began, Broadcast.id)
    )
    pairs = session.execute(query).all()
    ids = [broadcast.id for broadcast, _ in pairs]
    footage = FootageOf(session, [broadcast for broadcast, _ in pairs])
    takes = _takes(session, ids)
    rows: list[LedgerRow] = []
    finished, raw = Once(), Once()
    for broadcast, centre in pairs:
        number, gaps, gap_us = takes.get(broadcast.id, (0, 0, 0))
        rows.append(
            LedgerRow(
                broadcast=broadcast,
                centre=centre,
                date=event_date(broadcast),
                finished=finished.take(footage.finished(broadcast.id)),
                raw=raw.take(footage.of(broadcast.id, "raw")),
                takes=number,
                gaps=gaps,
                gap_us=gap_us,
                settled=broadcast.finalized_at is not None,
            )
        )
    return rows


def totals(rows: Iterable[LedgerRow]) -> Totals:
    """Sums over rows of one ``year_rows`` call (or a part of them)."""
    listed = list(rows)
    return Totals(
        live=sum(row.broadcast.mode == "live" for row in listed),
        recorded=sum(row.broadcast.mode == "recorded" for row in listed),
        finished_ticks=sum(row.finished_ticks for row in listed),
        raw_ticks=sum(row.raw_ticks for row in listed),
    )


def by_month(rows: Iterable[LedgerRow]) -> dict[tuple[str, int], list[LedgerRow]]:
    """(centre id, month) → its rows, centres in order of their path."""
    groups: dict[tuple[str, int], list[LedgerRow]] = {}
    for row in sorted(rows, key=lambda r: (r.centre.path, r.date)):
        groups.setdefault((row.centre.id, row.date.month), []).append(row)
    return groups


def micro_ticks(session: Session, year: int, *, centre_path: str | None = None) -> tuple[int, int]:
    """(number, ticks) of the micro-videos of a year: their own ledger, never again as finished."""
    after = china_year(year)[1]
    longest = MICRO_MAX_MINUTES * TICKS_A_MINUTE
    found = [
        piece
        for piece in pieces(span_of(session, year, centre_path, after))
        if piece.kind == "micro" and piece.length <= longest
    ]
    return len(found), footage_ticks(together(*(piece.footage for piece in found)))


def _takes(session: Session, broadcast_ids: list[str]) -> dict[str, tuple[int, int, int]]:
    """Broadcast → (takes, gaps between them, microseconds of those gaps)."""
    previous_end = (
        func.lag(func.coalesce(Take.last_arrival_us, Take.first_arrival_us))
        .over(partition_by=Take.broadcast_id, order_by=Take.seq)
        .label("previous_end")
    )
    takes = (
        select(Take.broadcast_id, Take.first_arrival_us, previous_end)
        .where(Take.broadcast_id.in_(broadcast_ids))
        .subquery()
    )
    gap = func.greatest(takes.c.first_arrival_us - takes.c.previous_end, 0)
    query = select(
        takes.c.broadcast_id,
        func.count(),
        func.count(takes.c.previous_end),
        func.coalesce(func.sum(gap).filter(takes.c.previous_end.is_not(None)), 0),
    ).group_by(takes.c.broadcast_id)
    return {key: (number, gaps, int(us)) for key, number, gaps, us in session.execute(query)}
