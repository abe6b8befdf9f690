"""Micro-videos over the API: asking for one, of one or more stretches, and looking at it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from api import answers
from api.auth import Db, OurParts, actor, in_reach, require
from api.sentences import Problem
from catalog.accounts import Identity
from catalog.audit import note
from catalog.minutes import TICKS_A_SECOND
from catalog.models import Broadcast, Centre, Work
from catalog.records.reach import works_of
from vod.clips import PIECES_MAX, job_of, request_clip

router = APIRouter(tags=["clips"])

Sees = Annotated[Identity, Depends(require("broadcast.see"))]
Makes = Annotated[Identity, Depends(require("clip.make"))]

LONGEST_SECONDS = 10 * 24 * 3600
TITLE_MAX = 1000
"""Longer is no title; how long one may be, the catalogue says."""


class Stretch(BaseModel):
    """Points in the source, in seconds from its start; fractions are kept to 1/90 000 s."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    start: float = Field(alias="in", ge=0, le=LONGEST_SECONDS, allow_inf_nan=False)
    stop: float = Field(alias="out", gt=0, le=LONGEST_SECONDS, allow_inf_nan=False)


class NewClip(Stretch):
    """A stretch of the replay, and what to call it."""

    title: str = Field(min_length=1, max_length=TITLE_MAX)


class StretchOf(Stretch):
    """A stretch of a broadcast's replay or of a work (an uploaded recording, another clip)."""

    source: str = Field(min_length=1, max_length=32)


class NewEditList(BaseModel):
    """Stretches of one or more sources, played one after the other."""

    model_config = ConfigDict(extra="forbid")

    title: str = Field(min_length=1, max_length=TITLE_MAX)
    pieces: list[StretchOf] = Field(min_length=1, max_length=PIECES_MAX)


def to_ticks(seconds: float) -> int:
    """The nearest tick."""
    return round(seconds * TICKS_A_SECOND)


@router.post("/broadcasts/{broadcast_id}/clips", status_code=202)
def create(
    broadcast_id: str, body: NewClip, who: Makes, session: Db, parts: OurParts
) -> answers.ClipAnswer:
    """Cut a stretch out as a work of its own; the job tells how far it is."""
    broadcast = in_reach(session, who, broadcast_id)
    pieces = [(broadcast.id, to_ticks(body.start), to_ticks(body.stop))]
    return _made(session, who, parts, pieces, body.title)


@router.post("/clips", status_code=202)
def create_of_several(
    body: NewEditList, who: Makes, session: Db, parts: OurParts
) -> answers.ClipAnswer:
    """Cut stretches of broadcasts and works, one after the other, as a work of its own."""
    pieces = [(p.source, to_ticks(p.start), to_ticks(p.stop)) for p in body.pieces]
    return _made(session, who, parts, pieces, body.title)


def _made(
    session: Session,
    who: Identity,
    parts: OurParts,
    pieces: list[tuple[str, int, int]],
    title: str,
) -> answers.ClipAnswer:
    work, job = request_clip(
        session, pieces=pieces, title=title, created_by=who.user_id, actor=actor(who)
    )
    note(session, actor(who), "clip.make", "work", work.id, centre_id=work.centre_id)
    return answers.clip(work, parts.addresses(), job=job)


@router.get("/clips/{clip_id}")
def show(clip_id: str, who: Sees, session: Db, parts: OurParts) -> answers.ClipAnswer:
    """A clip, ready or in the making, and how far its job is."""
    query = (
        select(Work)
        .join(Centre, Centre.id == Work.centre_id)
        .outerjoin(Broadcast, Broadcast.id == Work.broadcast_id)
        .where(Work.id == clip_id, Work.kind == "clip", works_of(actor(who)))
    )
    work = session.scalars(query).one_or_none()
    if work is None:
        raise Problem("clip_not_found")
    return answers.clip(work, parts.addresses(), job=job_of(session, work))
