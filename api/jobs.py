"""Jobs as people steer them: those of their centres, once more, or no more."""

from __future__ import annotations

import datetime as dt
from typing import Final

from sqlalchemy import ColumnElement, Select, and_, case, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from api.sentences import Problem
from catalog.models import Broadcast, Centre
from catalog.records.reach import broadcasts_within
from infra import jobs
from infra.jobs import log as job_log
from infra.jobs import pace
from infra.tables import Job

HOUSEKEEPING: Final = (
    "compact_cleanup", "settle", "plays", "search", "search_fill",
    "webhook", "webhooks", "sharing", "packages", "uploads",
)  # fmt: skip
"""Kinds nobody waits for; people hear of them when they fail."""

FOLDED: Final = ("chunk", "chunks_end")
"""Kinds that are parts of another job: the desk shows that one alone."""

SHOWN: Final[dict[str, tuple[str, ...]]] = {
    "open": ("running", "queued"),
    "failed": ("failed",),
    "done": ("done", "cancelled"),
}
"""What the page of long work can be narrowed down to."""


def _within(centre_path: str | None, contract: str | None) -> Select[Job]:
    query = select(Job)
    if contract is not None:
        # A studio sees the work on its broadcasts, and none of the centre's own.
        return (
            query.join(Broadcast, Broadcast.id == Job.broadcast_id)
            .join(Centre, Centre.id == Broadcast.centre_id)
            .where(broadcasts_within(centre_path, contract))
        )
    if centre_path is not None:
        # Work that belongs to no centre is the installation's own: its administrators see it.
        query = query.join(Centre, Centre.id == Job.centre_id).where(
            Centre.path.startswith(centre_path, autoescape=True)
        )
    return query


def listed(
    session: Session,
    centre_path: str | None,
    *,
    contract: str | None = None,
    states: tuple[str, ...] | None = None,
    broadcast_id: str | None = None,
    housekeeping: bool = True,
    limit: int = 50,
) -> list[Job]:
    """Running first, then waiting, then failed, then the latest of the rest.

    Without ``housekeeping``: what is on people's minds, as the desk shows it. ``contract``: see
    ``catalog.records.reach.contract_of``.
    """
    place = case({"running": 0, "queued": 1, "failed": 2}, value=Job.state, else_=3)
    # One that waits for its parts is going on all the while.
    order = case((is_waiting(), 0), else_=place)
    query = _within(centre_path, contract)
    if states is not None:
        query = query.where(Job.state.in_(states))
    if broadcast_id is not None:
        query = query.where(Job.broadcast_id == broadcast_id)
    if not housekeeping:
        query = query.where(Job.kind.not_in(HOUSEKEEPING) | (Job.state == "failed"))
        query = query.where(Job.kind.not_in(FOLDED))
    return list(session.scalars(query.order_by(order, Job.id.desc()).limit(limit)))


def seconds_left(job: Job, now: dt.datetime) -> int | None:
    """How long an open job will still take; None: nothing is known of that (yet)."""
    if job.state not in ("queued", "running") or job.progress_permille is None:
        return None
    return pace.seconds_left(job.pace, now.timestamp())


def is_waiting() -> ColumnElement[bool]:
    """Condition: put back until its parts are done."""
    return and_(Job.kind == "chunks", Job.state == "queued", Job.progress_permille > 0)


def log(
    session: Session, centre_path: str | None, job_id: int, *, contract: str | None = None
) -> list[tuple[dt.datetime, str]]:
    """(when, line) of a job's log, oldest first; of one with parts, also why a part failed.
    Raises Problem."""
    job = get(session, centre_path, job_id, contract=contract)
    found = [(line.at, line.text) for line in job_log.lines(session, job.id)]
    if job.kind == "chunks":
        # Not at the top: it brings OpenCV along, which no command line call should wait for.
        from vod import chunked

        found += chunked.part_lines(session, str(job.args["work_id"]))
        found = sorted(found, key=lambda line: line[0])[-job_log.LINES_MAX :]
    if job.started_at is not None:
        found.insert(0, (job.started_at, "开始"))
    if job.state == "done" and job.ended_at is not None:
        found.append((job.ended_at, "完成"))
    return found


def get(
    session: Session, centre_path: str | None, job_id: int, *, contract: str | None = None
) -> Job:
    """A job within reach. Raises Problem."""
    if not 0 < job_id < 2**63:
        raise Problem("job_not_found")
    job = session.scalars(_within(centre_path, contract).where(Job.id == job_id)).one_or_none()
    if job is None:
        raise Problem("job_not_found")
    return job


def retry(session: Session, centre_path: str | None, job_id: int) -> Job:
    """Queue a failed or cancelled job once more. Raises Problem."""
    job = _whole(session, get(session, centre_path, job_id))
    try:
        with session.begin_nested():
            again = jobs.try_again(session, job.id)
    except IntegrityError:
        # Another open job has the same promise to keep already.
        raise Problem("job_not_over") from None
    if not again:
        raise Problem("job_not_over")
    session.refresh(job)
    return job


def cancel(session: Session, centre_path: str | None, job_id: int) -> Job:
    """Cancel a waiting job, ask a running one to stop. Raises Problem."""
    job = _whole(session, get(session, centre_path, job_id))
    if job.kind == "live":
        raise Problem("job_live")
    if job.state not in ("queued", "running"):
        raise Problem("job_not_open")
    if job.kind == "chunks":
        from vod import chunked

        chunked.cancel(session, job)
    else:
        jobs.cancel(session, job.id)
    session.refresh(job)
    return job


def _whole(session: Session, job: Job) -> Job:
    """The job that is steered: of a part, the one it is part of."""
    if job.kind not in FOLDED:
        return job
    from vod import chunked

    return chunked.whole_of(session, job) or job
