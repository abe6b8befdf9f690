"""Figures of one item: its plays day by day with what was left out, what other platforms count,
and how well it played."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from fastapi import APIRouter, Depends, File, Form, Path, Query, UploadFile
from fastapi.responses import Response
from pydantic import AwareDatetime, Field

from api.answers import Answer, Played, played
from api.auth import Db, OurParts, actor, in_reach, require
from api.outside import keep_screenshot
from api.sentences import Problem
from catalog import outside
from catalog.accounts import Identity
from catalog.minutes import RULE_VERSION
from catalog.models import OutsideCount
from catalog.play_sums import days
from catalog.plays import counts, watching_now
from catalog.quality import quality
from catalog.records import files

router = APIRouter(tags=["plays"])

Sees = Annotated[Identity, Depends(require("quality.see"))]
Enters = Annotated[Identity, Depends(require("outside.enter"))]
ItemId = Annotated[str, Path(max_length=32)]


class PlayedDay(Played):
    day: dt.date = Field(description="In China.")


class Reading(Answer):
    """What another platform said."""

    id: int
    platform: str
    clicks: int
    seen_at: dt.datetime
    link: str
    screenshot_url: str | None
    entered_at: dt.datetime


class ItemPlays(Answer):
    item_id: str
    rule_version: str
    total: Played
    watching_now: int
    days: list[PlayedDay]
    outside_clicks: int = Field(description="Latest reading of each platform; not in ours.")
    outside: list[Reading]


class QualityAnswer(Answer):
    """How the plays of a broadcast went for its viewers, by their players' CMCD."""

    broadcast_id: str
    sessions: int
    startup_p50_ms: int | None
    startup_p95_ms: int | None
    rebuffer_ratio_permille: int
    bitrate_kbps: int | None
    troubled: int


@router.get("/items/{item_id}/plays")
def item_plays(
    who: Sees,
    session: Db,
    item_id: ItemId,
    since: dt.date | None = None,
    until: dt.date | None = None,
) -> ItemPlays:
    """A broadcast's or work's plays, of all time or of the days asked for."""
    outside.item_centre(session, item_id, who.centre_path)
    total = counts(session, [item_id], since, until)[item_id]
    return ItemPlays(
        item_id=item_id,
        rule_version=RULE_VERSION,
        total=Played(**played(total)),
        watching_now=watching_now(session, [item_id]).get(item_id, 0),
        days=[
            PlayedDay(day=each.day, **played(each))
            for each in days(session, [item_id], since, until)
        ],
        outside_clicks=outside.outside_clicks(session, [item_id])[item_id],
        outside=[_reading(row) for row in outside.readings(session, item_id)],
    )


@router.post("/items/{item_id}/outside", status_code=201)
def enter_outside(
    who: Enters,
    session: Db,
    parts: OurParts,
    item_id: ItemId,
    platform: Annotated[str, Form()],
    clicks: Annotated[int, Form()],
    seen_at: Annotated[AwareDatetime, Form()],
    link: Annotated[str, Form()] = "",
    screenshot: Annotated[UploadFile | None, File()] = None,
) -> Reading:
    """Enter what another platform says, with a screenshot or a link as evidence."""
    outside.item_centre(session, item_id, who.centre_path)
    row = outside.enter(
        session,
        actor(who),
        item_id,
        platform=platform,
        clicks=clicks,
        seen_at=seen_at,
        now=dt.datetime.now(dt.UTC),
        link=link,
        screenshot_key=keep_screenshot(parts.storage, screenshot),
    )
    return _reading(row)


@router.get("/items/{item_id}/outside/{reading_id}/screenshot", response_class=Response)
def screenshot(
    who: Sees, session: Db, parts: OurParts, item_id: ItemId, reading_id: int
) -> Response:
    """The picture a reading was entered with."""
    outside.item_centre(session, item_id, who.centre_path)
    row = session.get(OutsideCount, reading_id)
    if row is None or row.item_id != item_id or row.screenshot_key is None:
        raise Problem("not_found")
    data = parts.storage.get(row.screenshot_key)
    return Response(data, media_type=files.sniff(data) or "application/octet-stream")


@router.get("/quality")
def broadcast_quality(
    who: Sees, session: Db, broadcast: Annotated[str, Query(max_length=32)]
) -> QualityAnswer:
    """How well a broadcast plays for its viewers."""
    found = in_reach(session, who, broadcast)
    summary = quality(session, [found.id])
    return QualityAnswer(
        broadcast_id=found.id,
        sessions=summary.sessions,
        startup_p50_ms=summary.startup_p50_ms,
        startup_p95_ms=summary.startup_p95_ms,
        rebuffer_ratio_permille=summary.rebuffer_ratio_permille,
        bitrate_kbps=summary.bitrate_kbps,
        troubled=summary.troubled,
    )


def _reading(row: OutsideCount) -> Reading:
    shown = row.screenshot_key is not None
    return Reading(
        id=row.id,
        platform=row.platform,
        clicks=row.clicks,
        seen_at=row.seen_at,
        link=row.link,
        screenshot_url=f"/api/v1/items/{row.item_id}/outside/{row.id}/screenshot"
        if shown
        else None,
        entered_at=row.entered_at,
    )
