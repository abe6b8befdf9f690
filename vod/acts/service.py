"""Asking for a programme's acts; vod/acts/finding.py finds them."""

from __future__ import annotations

import datetime as dt
from typing import Final

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from catalog.acts import programme_of
from catalog.errors import Refused
from catalog.models import TIMESCALE, AirItem, Broadcast, Work
from infra.jobs import enqueue
from infra.tables import Job

KIND: Final = "acts"
AUTOMATIC_TICKS: Final = 20 * 60 * TIMESCALE
"""A programme so long is analysed without being asked for; a shorter one is one piece mostly."""
AUTOMATIC_AGE: Final = dt.timedelta(days=2)
AUTOMATIC_AT_ONCE: Final = 2
LENGTH_MAX: Final = 12 * 3600 * TIMESCALE
"""Longest programme that is analysed: what is observed of it is held in memory."""


def request_analysis(session: Session, token: str, *, by: str | None) -> Job:
    """Promise that a programme's acts are looked for; asked twice it is done once. ``by``: the
    person who asks, None for the system. Raises Missing, Refused."""
    found = programme_of(session, token)
    if not found.length_ticks:
        raise Refused("acts_no_footage")
    if found.length_ticks > LENGTH_MAX:
        raise Refused("acts_too_long", hours=LENGTH_MAX // TIMESCALE // 3600)
    return enqueue(
        session,
        kind=KIND,
        # Beside transcoding: the queue of edits is for what somebody waits for.
        queue="vod",
        args={"token": token, "by": by},
        unique_key=f"{KIND}:{token}",
        broadcast_id=found.broadcast_id,
        centre_id=found.centre_id,
        title=found.title,
    )


def promise_missing(session: Session, now: dt.datetime) -> int:
    """Long programmes that have just come in are analysed; how many were promised. Nothing while
    anything is on air: this machine may be the one that encodes it."""
    if session.scalar(select(exists().where(Broadcast.state.in_(("live", "interrupted"))))):
        return 0
    asked = exists().where(Job.kind == KIND, Job.args["token"].astext == Work.media_token)
    query = (
        select(Work)
        .where(
            Work.state == "ready",
            Work.kind.in_(("recording", "upload")),
            Work.duration_ticks >= AUTOMATIC_TICKS,
            Work.duration_ticks <= LENGTH_MAX,
            Work.created_at > now - AUTOMATIC_AGE,
            ~asked,
            exists().where(AirItem.token == Work.media_token),
        )
        .order_by(Work.created_at.desc())
        .limit(AUTOMATIC_AT_ONCE)
    )
    found = session.scalars(query).all()
    for work in found:
        request_analysis(session, work.media_token, by=None)
    return len(found)
