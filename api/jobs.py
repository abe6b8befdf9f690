"""Jobs as people steer them: those of their centres, once more, or no more."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Select, case, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from api.errors import Problem
from catalog.models import Broadcast, Centre
from catalog.records.reach import broadcasts_within
from infra import jobs
from infra.tables import Job

HOUSEKEEPING: Final = (
    "compact_cleanup", "settle", "search", "search_fill",
    "webhook", "webhooks", "sharing", "packages",
)  # fmt: skip
"""Kinds nobody waits for; people hear of them when they fail."""


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
    order = case({"running": 0, "queued": 1, "failed": 2}, value=Job.state, else_=3)
    query = _within(centre_path, contract)
    if states is not None:
        query = query.where(Job.state.in_(states))
    if broadcast_id is not None:
        query = query.where(Job.broadcast_id == broadcast_id)
    if not housekeeping:
        query = query.where(Job.kind.not_in(HOUSEKEEPING) | (Job.state == "failed"))
    return list(session.scalars(query.order_by(order, Job.id.desc()).limit(limit)))


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
    job = get(session, centre_path, job_id)
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
    job = get(session, centre_path, job_id)
    if job.kind == "live":
        raise Problem("job_live")
    if job.state not in ("queued", "running"):
        raise Problem("job_not_open")
    jobs.cancel(session, job.id)
    session.refresh(job)
    return job
