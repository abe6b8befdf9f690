"""Asking for stills: the promise of a job, made once however often it is asked for."""

from __future__ import annotations

import datetime as dt
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog.audit import Actor
from catalog.errors import Refused
from catalog.programmes import programme_of
from catalog.stills import note_asked
from infra.jobs import enqueue
from infra.tables import Job

KIND: Final = "stills"
COUNT: Final = 24
"""Stills proposed of a programme, unless another number is asked for."""
COUNT_MOST: Final = 120


def request_stills(
    session: Session,
    token: str,
    *,
    count: int = COUNT,
    by: Actor | None,
    not_before: dt.datetime | None = None,
) -> Job:
    """Promise that ``count`` stills of a programme will wait for an answer; the job that is to do
    it, or that is at it already. ``by``: None, the system itself.

    Raises Missing, Refused ``stills_count``, ``stills_not_ready``, ``stills_no_footage``.
    """
    if not 1 <= count <= COUNT_MOST:
        raise Refused("stills_count", most=COUNT_MOST)
    programme = programme_of(session, token)
    if programme.kind == "work" and programme.state in ("making", "failed"):
        # What is not whole may yet be taken away, and its files with it.
        raise Refused("stills_not_ready")
    if programme.length_ticks == 0:
        raise Refused("stills_no_footage")
    job = enqueue(
        session,
        kind=KIND,
        queue="vod",
        args={"token": token, "count": count},
        unique_key=f"stills:{token}",
        broadcast_id=programme.broadcast_id,
        centre_id=programme.centre_id,
        title=programme.title,
        not_before=not_before,
    )
    if by is not None:
        if job.state == "queued":
            job.not_before = None  # Somebody is waiting for it now.
        note_asked(session, by, token, count)
    return job


def promise_stills(session: Session, token: str, not_before: dt.datetime | None = None) -> None:
    """What follows a show, or an upload that is whole: proposals, once. A programme without
    pictures has none."""
    if latest_job(session, token) is None and programme_of(session, token).length_ticks:
        request_stills(session, token, by=None, not_before=not_before)


def latest_job(session: Session, token: str) -> Job | None:
    """The last job that was promised for a programme's stills."""
    return session.scalars(
        select(Job)
        .where(Job.kind == KIND, Job.args["token"].astext == token)
        .order_by(Job.id.desc())
        .limit(1)
    ).one_or_none()
