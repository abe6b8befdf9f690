"""How people steer the work of an upload: whatever part they take hold of, it is the whole."""

from __future__ import annotations

import datetime as dt
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from infra.jobs import rows
from infra.tables import Job, JobLine
from vod.chunked.begin import KIND
from vod.chunked.rows import CHUNK, stop_chunks
from vod.chunked.whole import abandon

_PART_LINES: Final = 100


def cancel(session: Session, whole: Job) -> None:
    """Cancel a work: its chunks are asked to stop, nothing of it is listed any more, its original
    stays. In the caller's transaction."""
    work_id = str(whole.args["work_id"])
    stop_chunks(session, work_id)
    if rows.cancel(session, whole.id) == "cancelled":
        abandon(session, work_id)
    # A running one gives the work up itself, at its next heartbeat.


def whole_of(session: Session, part: Job) -> Job | None:
    """The job of the whole that a chunk's job is part of."""
    return session.scalars(
        select(Job)
        .where(Job.kind == KIND, Job.args["work_id"].astext == str(part.args.get("work_id")))
        .order_by(Job.id.desc())
        .limit(1)
    ).one_or_none()


def part_lines(session: Session, work_id: str) -> list[tuple[dt.datetime, str]]:
    """What went wrong with single chunks of a work, and where it went on: (when, line)."""
    query = (
        select(JobLine.at, JobLine.text, Job.args["number"].astext)
        .join(Job, Job.id == JobLine.job_id)
        .where(Job.kind == CHUNK, Job.args["work_id"].astext == work_id)
        .where(JobLine.text.not_like("正在%"))
        .order_by(JobLine.id.desc())
        .limit(_PART_LINES)
    )
    return [(at, f"第 {int(number) + 1} 段：{text}") for at, text, number in session.execute(query)]
