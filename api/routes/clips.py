"""Micro-videos over the API: asking for one, and looking at it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select

from api import answers
from api.auth import Db, OurParts, actor, in_reach, require
from api.errors import Problem
from catalog.accounts import Identity
from catalog.audit import note
from catalog.minutes import TICKS_A_SECOND
from catalog.models import Broadcast, Centre, Work
from catalog.records.reach import works_of
from infra.tables import Job
from vod.clips import request_clip

router = APIRouter(tags=["clips"])

Sees = Annotated[Identity, Depends(require("broadcast.see"))]
Makes = Annotated[Identity, Depends(require("clip.make"))]

LONGEST_SECONDS = 10 * 24 * 3600


class NewClip(BaseModel):
    """Points in the replay, in seconds from its start; fractions are kept to 1/90 000 s."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    title: str = Field(min_length=1, max_length=1000)
    start: float = Field(alias="in", ge=0, le=LONGEST_SECONDS, allow_inf_nan=False)
    stop: float = Field(alias="out", gt=0, le=LONGEST_SECONDS, allow_inf_nan=False)


def to_ticks(seconds: float) -> int:
    """The nearest tick."""
    return round(seconds * TICKS_A_SECOND)


@router.post("/broadcasts/{broadcast_id}/clips", status_code=202)
def create(
    broadcast_id: str, body: NewClip, who: Makes, session: Db, parts: OurParts
) -> answers.ClipAnswer:
    """Cut a stretch out as a work of its own; the job tells how far it is."""
    broadcast = in_reach(session, who, broadcast_id)
    work, job = request_clip(
        session,
        broadcast_id=broadcast.id,
        in_ticks=to_ticks(body.start),
        out_ticks=to_ticks(body.stop),
        title=body.title,
        created_by=who.user_id,
    )
    note(session, actor(who), "clip.make", "work", work.id, centre_id=work.centre_id)
    return answers.clip(work, parts.addresses(), job_id=job.id)


@router.get("/clips/{clip_id}")
def show(clip_id: str, who: Sees, session: Db, parts: OurParts) -> answers.ClipAnswer:
    """A clip, ready or in the making."""
    query = (
        select(Work)
        .join(Centre, Centre.id == Work.centre_id)
        .outerjoin(Broadcast, Broadcast.id == Work.broadcast_id)
        .where(Work.id == clip_id, Work.kind == "clip", works_of(actor(who)))
    )
    work = session.scalars(query).one_or_none()
    if work is None:
        raise Problem("clip_not_found")
    job_id = session.scalar(
        select(Job.id)
        .where(Job.kind == "clip", Job.args["work_id"].astext == work.id)
        .order_by(Job.id.desc())
        .limit(1)
    )
    return answers.clip(work, parts.addresses(), job_id=job_id)
