"""Jobs over the API: the long work, with its progress; once more, or no more."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query

from api import answers, jobs
from api.auth import Db, actor, require
from catalog.accounts import Identity
from catalog.audit import note
from catalog.records.reach import contract_of

router = APIRouter(tags=["jobs"])

Sees = Annotated[Identity, Depends(require("job.see"))]
Steers = Annotated[Identity, Depends(require("job.steer"))]
State = Literal["queued", "running", "done", "failed", "cancelled"]


class JobList(answers.Answer):
    items: list[answers.JobAnswer]


class JobLogLine(answers.Answer):
    at: dt.datetime
    text: str


class JobLog(answers.Answer):
    items: list[JobLogLine]


@router.get("/jobs")
def listing(
    who: Sees,
    session: Db,
    state: Annotated[list[State] | None, Query()] = None,
    broadcast: Annotated[str | None, Query(max_length=32)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> JobList:
    """Running first, then waiting, then failed, then the latest of the rest."""
    found = jobs.listed(
        session,
        who.centre_path,
        contract=contract_of(who.role, who.contract),
        states=tuple(state) if state else None,
        broadcast_id=broadcast,
        limit=limit,
    )
    return JobList(items=[answers.job(row) for row in found])


@router.get("/jobs/{job_id}")
def show(job_id: int, who: Sees, session: Db) -> answers.JobAnswer:
    contract = contract_of(who.role, who.contract)
    return answers.job(jobs.get(session, who.centre_path, job_id, contract=contract))


@router.get("/jobs/{job_id}/log")
def log(job_id: int, who: Sees, session: Db) -> JobLog:
    """What the job said, oldest first; of one with parts, also why a part failed."""
    contract = contract_of(who.role, who.contract)
    found = jobs.log(session, who.centre_path, job_id, contract=contract)
    return JobLog(items=[JobLogLine(at=at.astimezone(dt.UTC), text=text) for at, text in found])


@router.post("/jobs/{job_id}/retry")
def retry(job_id: int, who: Steers, session: Db) -> answers.JobAnswer:
    """Queue a failed or cancelled job once more, with all its attempts."""
    job = jobs.retry(session, who.centre_path, job_id)
    note(session, actor(who), "job.retry", "job", str(job.id), centre_id=job.centre_id)
    return answers.job(job)


@router.post("/jobs/{job_id}/cancel")
def cancel(job_id: int, who: Steers, session: Db) -> answers.JobAnswer:
    """Cancel a waiting job; a running one is asked to stop and says so when it has."""
    job = jobs.cancel(session, who.centre_path, job_id)
    note(session, actor(who), "job.cancel", "job", str(job.id), centre_id=job.centre_id)
    return answers.job(job)
