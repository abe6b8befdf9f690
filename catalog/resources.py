"""The resource catalogue's own rows: what is finished, raw or a micro-video, and which footage.

Registering is idempotent: the record of a recording, a take or a clip is made, or its footage
brought up to date; what people have written in it stays.
The footage of a resource is kept as intervals on the timelines of takes, so that a recording, the
raw material it comes from and the clips cut from it can be compared tick for tick.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, and_, case, cast, func, literal, or_, select
from sqlalchemy.orm import Session

from catalog.clock import china_date
from catalog.lineage import roots
from catalog.minutes import (
    TICKS_A_MS,
    Intervals,
    by_timeline,
    footage_ticks,
    rows_of,
    together,
)
from catalog.models import AirItem, Broadcast, Feed, Resource, Run, Take, Upload, Work
from catalog.pieces import asked
from catalog.records.service import register
from infra.ids import public_id

Footage = dict[str, Intervals]


def timeline_of(take_id: str) -> str:
    """Name of a take's own clock in interval rows."""
    return f"take:{take_id}"


def timeline_of_upload(work_id: str) -> str:
    """Name of an uploaded original's clock in interval rows."""
    return f"upload:{work_id}"


def event_date(broadcast: Broadcast) -> dt.date:
    """The day in China a broadcast counts on: when it began, else was to begin, else was made."""
    return china_date(broadcast.started_at or broadcast.planned_at or broadcast.created_at)


# --- footage ---------------------------------------------------------------------------------


def aired_footage(
    session: Session, tokens: Iterable[str], *, ticks: tuple[int, int] | None = None
) -> dict[str, Footage]:
    """Media token → footage on its air list, without gaps and slates, each tick once.

    ``ticks`` keeps only what lies between two points of the air timeline. The union is taken in
    PostgreSQL (``range_agg``), so a long show costs a few rows, not one a segment.
    """
    air_start: ColumnElement[int] = AirItem.start_ticks + 0
    air_end: ColumnElement[int] = AirItem.start_ticks + AirItem.duration_ticks
    if ticks is not None:
        air_start = func.greatest(air_start, literal(ticks[0], BigInteger))
        air_end = func.least(air_end, literal(ticks[1], BigInteger))
    # Where the slot's run stands on both clocks gives its exact ticks; milliseconds would round.
    to_take = case(
        (Run.id.is_not(None), Run.take_start_ticks - Run.air_start_ticks),
        else_=AirItem.take_start_ms * TICKS_A_MS - AirItem.start_ticks,
    )
    query = (
        select(
            AirItem.token,
            AirItem.take_id,
            func.range_agg(
                func.int8range(cast(air_start + to_take, BigInteger), air_end + to_take)
            ).label("ranges"),
        )
        .outerjoin(Run, Run.id == AirItem.run_id)
        .where(
            AirItem.token.in_(list(tokens)),
            AirItem.source == "feed",
            AirItem.gap.is_(False),
            AirItem.take_id.is_not(None),
            air_start < air_end,
        )
        .group_by(AirItem.token, AirItem.take_id)
    )
    found: dict[str, list[tuple[str, int, int]]] = {}
    for token, take_id, ranges in session.execute(query):
        found.setdefault(token, []).extend(
            (timeline_of(take_id), bounds.lower, bounds.upper) for bounds in ranges
        )
    return {token: by_timeline(rows) for token, rows in found.items()}


def raw_footage(
    session: Session, broadcast_ids: Iterable[str], *, backups: bool = False
) -> dict[str, Footage]:
    """Broadcast → what was recorded for it. Backup feeds show the same stage and count nothing.

    An open take is as long as is proven by now: what has been registered for viewers. The log
    itself is a few seconds ahead of that, and its full length stands once the take is closed.
    """
    query = (
        select(Take)
        .join(Feed, Feed.id == Take.feed_id)
        .where(Take.broadcast_id.in_(list(broadcast_ids)))
    )
    if not backups:
        query = query.where(Feed.role != "backup")
    takes = list(session.scalars(query))
    shown = _shown_ends(session, [take.id for take in takes])
    rows: dict[str, list[tuple[str, int, int]]] = {}
    for take in takes:
        rows.setdefault(take.broadcast_id, []).append(
            (timeline_of(take.id), *take_ticks(take, shown.get(take.id, 0)))
        )
    return {broadcast_id: by_timeline(found) for broadcast_id, found in rows.items()}


def _shown_ends(session: Session, take_ids: list[str]) -> dict[str, int]:
    """Take → end of what viewers got of it, on its own clock. A picture that was reordered for
    coding is shown later than it was sent, so this may lie past the last frame's own time."""
    query = (
        select(
            AirItem.take_id,
            func.max(
                AirItem.start_ticks
                + AirItem.duration_ticks
                - Run.air_start_ticks
                + Run.take_start_ticks
            ),
        )
        .join(Run, Run.id == AirItem.run_id)
        .where(AirItem.take_id.in_(take_ids), AirItem.source == "feed", AirItem.gap.is_(False))
        .group_by(AirItem.take_id)
    )
    return {str(take_id): int(end) for take_id, end in session.execute(query)}


def take_ticks(take: Take, shown_end: int = 0) -> tuple[int, int]:
    """First and end tick of a take on its own clock, as far as its row knows; what was shown of
    it was recorded."""
    end = take.end_ms
    if end is None:
        end = max(take.first_ms, take.last_video_ms or 0, take.last_audio_ms or 0)
    return take.first_ms * TICKS_A_MS, max(end * TICKS_A_MS, shown_end)


def uploaded_footage(
    session: Session, work_id: str, token: str, *, ticks: tuple[int, int] | None = None
) -> Footage:
    """What stands on the air list of an uploaded work, on its original's own clock."""
    query = select(AirItem.start_ticks, AirItem.duration_ticks).where(
        AirItem.token == token, AirItem.source == "feed", AirItem.gap.is_(False)
    )
    first, last = ticks or (0, None)
    query = query.where(AirItem.start_ticks + AirItem.duration_ticks > first)
    if last is not None:
        query = query.where(AirItem.start_ticks < last)
    clock = timeline_of_upload(work_id)
    rows = [(a, a + length) for a, length in session.execute(query)]
    return by_timeline((clock, max(a, first), b if last is None else min(b, last)) for a, b in rows)


def clip_footage(session: Session, work: Work) -> Footage:
    """The footage a clip shows: its edit list, followed through other works back to the takes and
    the uploaded originals. What is not on their air lists is no footage."""
    parts: list[Footage] = []
    for root in roots(session, asked(work.edit_list)):
        ticks = (root.start, root.end)
        if root.upload_id is None:
            found = aired_footage(session, [root.token], ticks=ticks)
            parts.append(found.get(root.token, {}))
        else:
            parts.append(uploaded_footage(session, root.upload_id, root.token, ticks=ticks))
    return together(*parts)


# --- rows ------------------------------------------------------------------------------------


def register_recording(session: Session, broadcast: Broadcast) -> Resource | None:
    """The finished resource (成片) of a broadcast, with its work; None where nothing was aired."""
    token = broadcast.media_token
    footage = aired_footage(session, [token]).get(token, {})
    if not footage:
        return None
    ticks = footage_ticks(footage)
    # Two registrations at once wait for each other here, so there is one recording a broadcast.
    session.get_one(Broadcast, broadcast.id, with_for_update=True)
    work = session.scalars(
        select(Work).where(Work.broadcast_id == broadcast.id, Work.kind == "recording")
    ).one_or_none()
    if work is None:
        work = Work(
            id=public_id(),
            centre_id=broadcast.centre_id,
            broadcast_id=broadcast.id,
            kind="recording",
            title=broadcast.title,
            media_token=token,
            created_by=broadcast.created_by,
            published_at=broadcast.started_at,
        )
        session.add(work)
    air_end = session.scalar(
        select(func.max(AirItem.start_ticks + AirItem.duration_ticks)).where(AirItem.token == token)
    )
    work.state = "withdrawn" if work.state == "withdrawn" else "ready"
    work.duration_ticks = ticks
    work.edit_list = [[broadcast.id, 0, air_end or 0]]
    session.flush()
    return register(
        session,
        "work_id",
        work.id,
        facts={
            "duration_ticks": ticks,
            "intervals": rows_of(footage),
            "sha256": work.sha256,
            "size_bytes": work.size_bytes,
        },
        first={
            "kind": "finished",
            "origin": "original",
            "title": broadcast.title,
            "description": broadcast.description,
            "event_date": event_date(broadcast),
            **_of(broadcast),
        },
    )


def register_take(session: Session, take: Take) -> Resource | None:
    """The raw resource (素材) of a closed take; None while it is open, or of a backup feed."""
    if take.state != "closed":
        return None
    feed = session.get_one(Feed, take.feed_id)
    broadcast = session.get_one(Broadcast, take.broadcast_id)
    shown = _shown_ends(session, [take.id]).get(take.id, 0)
    footage = by_timeline([(timeline_of(take.id), *take_ticks(take, shown))])
    if feed.role == "backup" or not footage:
        return None
    return register(
        session,
        "take_id",
        take.id,
        facts={
            "duration_ticks": footage_ticks(footage),
            "intervals": rows_of(footage),
            "sha256": take.sha256,
            "size_bytes": take.size_bytes,
        },
        first={
            "kind": "raw",
            "title": f"{broadcast.title}（素材 {take.seq}）"[-200:],
            "event_date": event_date(broadcast),
            **_of(broadcast),
        },
    )


def register_clip(session: Session, work: Work) -> Resource | None:
    """The micro-video resource (微视频) of a ready clip; it counts from the day it came out."""
    if work.kind != "clip" or work.state != "ready":
        return None
    broadcast = session.get(Broadcast, work.broadcast_id) if work.broadcast_id else None
    return register(
        session,
        "work_id",
        work.id,
        facts={
            "duration_ticks": work.duration_ticks,
            "intervals": rows_of(clip_footage(session, work)),
            "sha256": work.sha256,
            "size_bytes": work.size_bytes,
        },
        first={
            "kind": "micro",
            "origin": "optimised",
            "title": work.title,
            "event_date": china_date(work.published_at or work.created_at),
            "lineage": _sources(session, work),
            "created_by": work.created_by,
            **(
                _of(broadcast)
                if broadcast
                else {"centre_id": work.centre_id, "contract": work.contract}
            ),
        },
    )


def register_upload(session: Session, upload: Upload, work: Work) -> Resource:
    """What a ready work of an upload is in the catalogue: the original as raw (素材), the work as
    finished (成片). Both are the original's own clock, so neither counts twice beside the other or
    a clip; a file that is known already is that one's footage."""
    footage = _twin_of(session, upload) or [[timeline_of_upload(work.id), 0, work.duration_ticks]]
    broadcast = session.get(Broadcast, upload.broadcast_id) if upload.broadcast_id else None
    first = {
        "event_date": event_date(broadcast) if broadcast else china_date(upload.created_at),
        "created_by": upload.created_by,
        "centre_id": upload.centre_id,
        "broadcast_id": upload.broadcast_id,
        "contract": upload.contract,
    }
    facts = {"duration_ticks": work.duration_ticks, "intervals": footage}
    raw = register(
        session,
        "id",
        # One original, one record: it goes by its upload's own id.
        upload.id,
        facts={**facts, "sha256": upload.sha256, "size_bytes": upload.size_bytes},
        first={
            **first,
            "storage_key": work.master_key,
            "kind": "raw",
            "title": f"{work.title}（素材）"[-200:],
            "technical": upload.technical,
        },
    )
    upload.resource_id = raw.id
    return register(
        session,
        "work_id",
        work.id,
        facts={**facts, "sha256": work.sha256, "size_bytes": work.size_bytes},
        first={
            **first,
            "kind": "finished",
            "origin": "original",
            "title": work.title,
            "lineage": [raw.id],
        },
    )


def _twin_of(session: Session, upload: Upload) -> list[Any] | None:
    """The footage of the first record of this very file, if there is one."""
    return session.scalar(
        select(Resource.intervals)
        .where(Resource.sha256 == upload.sha256, func.jsonb_array_length(Resource.intervals) > 0)
        .where(Resource.id != func.coalesce(upload.resource_id, ""))
        .order_by(Resource.created_at, Resource.id)
        .limit(1)
    )


def _of(broadcast: Broadcast) -> dict[str, Any]:
    """What a record has of the broadcast it belongs to."""
    return {
        "centre_id": broadcast.centre_id,
        "broadcast_id": broadcast.id,
        "contract": broadcast.contract,
    }


def _sources(session: Session, work: Work) -> list[str]:
    """Ids of the records a clip was cut from, as far as they are registered."""
    names = [str(source) for source, _, _ in work.edit_list]
    if work.form_of_id is not None:
        names.append(work.form_of_id)
    query = (
        select(Resource.id)
        .join(Work, Work.id == Resource.work_id)
        .where(
            or_(Work.id.in_(names), and_(Work.broadcast_id.in_(names), Work.kind == "recording"))
        )
        .order_by(Resource.id)
    )
    return list(session.scalars(query))
