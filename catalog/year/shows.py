"""The broadcasts of a year: our own, relayed and re-shown ones, and those of before Xitai."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import and_, case, func, or_, select
from sqlalchemy.orm import Session, aliased

from catalog.broadcasts import fell_short, planned_ticks
from catalog.clock import china_date
from catalog.minutes import Footage, footage_ticks, minutes_text
from catalog.models import Broadcast, Centre, Feed, PastBroadcast, Take
from catalog.plays import Counts, counts
from catalog.resources import timeline_of
from catalog.year.facts import Show
from catalog.year.footage import FootageOf
from catalog.year.span import Span, any_of


def shows(span: Span, with_footage: Container[str] | None = None) -> tuple[Show, ...]:
    """What took place, in order of date. A past one that Xitai holds itself counts once.

    Footage is looked up of the centres ``with_footage`` (None: of all).
    """
    own = _own_and_relayed(span, with_footage)
    known = {(show.centre_id, show.date, show.title) for show in own}
    past = [show for show in _past(span) if (show.centre_id, show.date, show.title) not in known]
    return tuple(sorted((*own, *past), key=lambda show: (show.date, show.past)))


def _own_and_relayed(span: Span, with_footage: Container[str] | None) -> list[Show]:
    origin = aliased(Broadcast)
    # A relay is on when its origin is, whenever somebody wrote it down.
    relayed_at = case((Broadcast.standing == "linked", origin.started_at))
    began = func.coalesce(
        Broadcast.started_at, relayed_at, Broadcast.planned_at, Broadcast.created_at
    )
    # A relay needs no encoder of its own; its origin has to have been on, and to count.
    counts_itself = and_(
        origin.started_at.is_not(None),
        origin.standing != "test",
        origin.state != "cancelled",
        origin.off_air_at.is_(None),
    )
    took_place = or_(
        and_(Broadcast.standing == "own", Broadcast.started_at.is_not(None)),
        and_(Broadcast.standing != "own", or_(Broadcast.origin_id.is_(None), counts_itself)),
    )
    query = (
        select(
            Broadcast.id,
            Broadcast.centre_id,
            Broadcast.title,
            Broadcast.mode,
            Broadcast.standing,
            Broadcast.origin_id,
            Broadcast.media_token,
            Broadcast.finalized_at,
            Broadcast.planned_at,
            Broadcast.planned_end_at,
            Broadcast.short_decided_at,
            began.label("began"),
        )
        .join(Centre, Centre.id == Broadcast.centre_id)
        .outerjoin(origin, origin.id == Broadcast.origin_id)
        .where(began >= span.begin, began < span.end, span.reach(), took_place)
        .where(Broadcast.state != "cancelled", Broadcast.standing != "test")
        .where(Broadcast.off_air_at.is_(None))
        .order_by(began, Broadcast.id)
    )
    rows = span.session.execute(query).all()
    wanted = [
        row
        for row in rows
        if row.standing == "own" and (with_footage is None or row.centre_id in with_footage)
    ]
    footage = FootageOf(span.session, wanted)
    planned = [row for row in rows if planned_ticks(row)]
    aired = footage if with_footage is None else FootageOf(span.session, planned)
    short = {row.id: _short(planned_ticks(row), aired.finished(row.id)) for row in planned}
    return [_show(row, footage, short.get(row.id, "")) for row in rows]


def _short(planned: int, aired: Footage) -> str:
    ticks = footage_ticks(aired)
    if not fell_short(planned, ticks):
        return ""
    return (
        f"播出{minutes_text(ticks)}分钟，不到计划{minutes_text(planned)}分钟的一半，请定是否算直播"
    )


def _past(span: Span) -> list[Show]:
    query = span.within(
        select(PastBroadcast), PastBroadcast.centre_id, PastBroadcast.held_on
    ).where(PastBroadcast.withdrawn_at.is_(None))
    query = query.order_by(PastBroadcast.held_on, PastBroadcast.entered_at, PastBroadcast.id)
    return [_past_show(row) for row in span.session.scalars(query)]


def _show(row: Any, footage: FootageOf, short: str) -> Show:
    date = china_date(row.began)
    own = row.standing == "own"
    return Show(
        id=row.id,
        centre_id=row.centre_id,
        title=row.title,
        date=date,
        mode=row.mode,
        standing=row.standing,
        signal=row.origin_id or (row.id if own else f"{date} {row.title}"),
        past=False,
        settled=row.finalized_at is not None or not own,
        original=footage.of(row.id, "original"),
        optimised=footage.of(row.id, "optimised"),
        raw=footage.of(row.id, "raw"),
        short=short,
    )


def _past_show(row: PastBroadcast) -> Show:
    clock = f"past:{row.id}"
    own = row.standing == "own"
    return Show(
        id=row.id,
        centre_id=row.centre_id,
        title=row.title,
        date=row.held_on,
        mode=row.mode,
        standing=row.standing,
        signal=row.id if own else f"{row.held_on} {row.title}",
        past=True,
        settled=True,
        original={clock: ((0, row.finished_ticks),)} if own and row.finished_ticks else {},
        optimised={},
        raw={clock: ((0, row.raw_ticks),)} if own and row.raw_ticks else {},
        images=row.images if own else 0,
        clicks=row.clicks,
    )


def cameras(span: Span, shows: Sequence[Show]) -> frozenset[str]:
    """Timelines of takes that cameras sent beside the programme feed."""
    query = (
        select(Take.id)
        .join(Feed, Feed.id == Take.feed_id)
        .where(
            Take.broadcast_id == any_of([show.id for show in shows if show.standing == "own"]),
            Feed.role == "camera",
        )
    )
    return frozenset(timeline_of(take_id) for take_id in span.session.scalars(query))


def clicks(session: Session, shows: Sequence[Show], until: dt.date) -> dict[str, Counts]:
    """Broadcast → figures, up to the end of a day. What a re-showing drew goes to the original
    (展播/重播)."""
    ours = [show for show in shows if not show.past]
    shown_again = select(Broadcast.id, Broadcast.origin_id).where(
        Broadcast.origin_id == any_of([show.id for show in ours]), Broadcast.standing == "reshown"
    )
    reshown = {row.id: row.origin_id for row in session.execute(shown_again)}
    found = counts(session, [*(show.id for show in ours), *reshown], until=until)
    for key, origin in reshown.items():
        if origin is not None and origin in found:
            found[origin] = added(found[origin], found[key])
    return found


def added(one: Counts, other: Counts) -> Counts:
    """Two items' figures as one's; devices may be the same and are counted twice then."""
    return replace(
        one,
        page_views=one.page_views + other.page_views,
        play_starts=one.play_starts + other.play_starts,
        effective_plays=one.effective_plays + other.effective_plays,
        devices=one.devices + other.devices,
        watched_ms=one.watched_ms + other.watched_ms,
        peak_viewers=max(one.peak_viewers, other.peak_viewers),
        completed=one.completed + other.completed,
        excluded={
            why: dict(Counter(one.excluded.get(why, {})) + Counter(other.excluded.get(why, {})))
            for why in one.excluded | other.excluded
        },
    )
