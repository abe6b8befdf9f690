"""What the API and the desk do with acts alike: clips in one go, the tick of a press."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog.acts import Programme, acts, clips_of, tick_now
from catalog.audit import Actor, note
from catalog.errors import Missing, Refused
from catalog.models import Act, Work
from catalog.programmes import lock
from infra.tables import Job
from vod.clips import request_clip

CLIPS_MAX: Final = 100
"""Acts one request may have cut: a long gala has some forty."""


@dataclass(frozen=True, slots=True)
class ActClip:
    """An act, the clip of it, and the job that makes or made it."""

    act: Act
    work: Work
    job: Job | None
    new: bool


def make_clips(
    session: Session, actor: Actor, found: Programme, act_ids: Sequence[int]
) -> list[ActClip]:
    """One clip for each of these acts, in order; an act whose clip is made, or being made, keeps
    that one. Raises Missing, Refused, BroadcastError."""
    if not act_ids:
        raise Refused("acts_none")
    if len(act_ids) > CLIPS_MAX:
        raise Refused("clips_too_many", most=CLIPS_MAX)
    lock(session, found.token)
    listed = acts(session, found.token)
    if not set(act_ids) <= {act.id for act in listed}:
        raise Missing("act_unknown")
    known = clips_of(session, found)
    jobs = jobs_of(session, [work.id for work in known.values()])
    made: list[ActClip] = []
    for number, act in enumerate(listed, start=1):
        if act.id not in act_ids:
            continue
        if work := known.get(act.id):
            made.append(ActClip(act, work, jobs.get(work.id), new=False))
            continue
        work, job = request_clip(
            session,
            pieces=[(found.id, act.start_ticks, act.end_ticks)],
            title=act.title or f"{found.title[:180]}（第 {number} 段）",
            created_by=actor.user_id,
            actor=actor,
        )
        act.work_id = work.id
        note(session, actor, "clip.make", "work", work.id, centre_id=work.centre_id)
        made.append(ActClip(act, work, job, new=True))
    session.flush()
    return made


def jobs_of(session: Session, work_ids: Sequence[str]) -> dict[str, Job]:
    """Work id → the latest job that makes it."""
    if not work_ids:
        return {}
    query = (
        select(Job)
        .where(Job.kind == "clip", Job.args["work_id"].astext.in_(work_ids))
        .order_by(Job.id)
    )
    return {str(job.args["work_id"]): job for job in session.scalars(query)}


def stage_tick(session: Session, found: Programme) -> int:
    """Where a programme stands this moment for somebody who sees the stage, or what its encoder
    sends: the newest footage, not what viewers have got to. Raises Refused before the first."""
    if not found.length_ticks:
        raise Refused("acts_no_footage")
    now_us = round(dt.datetime.now(dt.UTC).timestamp() * 1e6)
    return tick_now(session, found.token, now_us, on_air=found.state == "live")
