"""Uploads as the API and the desk tell them: how far, and what became of them, in plain words."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Final, Literal

from pydantic import Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from api.answers import Answer, utc
from catalog.audit import Actor
from catalog.models import Upload, Work
from catalog.uploads import DUPLICATE, intake_key, is_own
from infra.jobs.states import OPEN
from infra.tables import Job

Stage = Literal["receiving", "checking", "stuck", "making", "ready", "failed", "refused", "removed"]

WORDS: Final[dict[str, str]] = {
    "receiving": "正在传",
    "checking": "检查中",
    "stuck": "检查没有做完",
    "making": "转码中",
    "ready": "可以看了",
    "failed": "没有做成",
    "refused": "没有收下",
    "removed": "已取消",
}
"""What people are told a stage is."""
_BEFORE_AND_AFTER: Final[dict[str, Stage]] = {"receiving": "receiving", "refused": "refused"}
"""Stages of uploads that are not, or not any more, looked at."""


class TwinAnswer(Answer):
    kind: str
    id: str
    title: str
    path: str = Field(description="Its page at the desk.")


class UploadAnswer(Answer):
    id: str
    purpose: str
    state: str
    stage: Stage = Field(description="What is being done about it now.")
    file_name: str
    title: str
    size_bytes: int
    received_bytes: int
    sha256: str | None = Field(description="Of the whole, as it lies in storage.")
    progress: float | None = Field(description="Of the present stage, 0 to 1.")
    error_code: str | None
    error: str | None = Field(description="A sentence that says why.")
    duplicate_of: TwinAnswer | None
    mine: bool
    centre_id: str
    broadcast_id: str | None
    exhibition_id: str | None
    work_id: str | None
    resource_id: str | None
    path: str | None = Field(description="Page of what it has become.")
    upload_path: str | None = Field(description="Where its bytes go (tus), while they are awaited.")
    created_at: dt.datetime | None
    expires_at: dt.datetime | None


def told(
    session: Session,
    actor: Actor,
    found: list[Upload],
    *,
    offset: Callable[[str], int],
    days: int,
    files_path: str,
) -> list[UploadAnswer]:
    """Uploads with what has become of them, in a few queries for all."""
    works = _works(session, found)
    made = _made(session, list(works))
    jobs = _jobs(session, found)
    return [
        _one(actor, row, works, made, jobs.get(intake_key(row.id)), offset, days, files_path)
        for row in found
    ]


def _works(session: Session, found: list[Upload]) -> dict[str, Work]:
    ids = [row.work_id for row in found if row.work_id]
    return {work.id: work for work in session.scalars(select(Work).where(Work.id.in_(ids)))}


def _made(session: Session, work_ids: list[str]) -> dict[str, float]:
    """Work id → share of it that is transcoded: what its job says, as everywhere else."""
    keys = [f"chunks:{work_id}" for work_id in work_ids]
    query = select(Job.unique_key, Job.progress_permille).where(
        Job.unique_key.in_(keys), Job.state.in_(OPEN), Job.progress_permille.is_not(None)
    )
    found = session.execute(query)
    return {str(key).partition(":")[2]: int(permille or 0) / 1000 for key, permille in found}


def _jobs(session: Session, found: list[Upload]) -> dict[str, Job]:
    keys = [intake_key(row.id) for row in found if row.state == "received"]
    query = select(Job).where(Job.unique_key.in_(keys)).order_by(Job.id)
    return {str(job.unique_key): job for job in session.scalars(query)}


def _one(
    actor: Actor,
    row: Upload,
    works: Mapping[str, Work],
    made: Mapping[str, float],
    job: Job | None,
    offset: Callable[[str], int],
    days: int,
    files_path: str,
) -> UploadAnswer:
    mine = is_own(actor, row)
    coming = row.state == "receiving"
    work = works.get(row.work_id or "")
    stage = stage_of(row, work)
    received = min(offset(row.id), row.size_bytes) if coming else row.size_bytes
    progress: float | None = None
    if coming:
        progress = received / row.size_bytes
    elif stage == "checking" and job and job.progress_permille is not None:
        progress = job.progress_permille / 1000
    elif stage == "making" and work:
        progress = made.get(work.id)
    same = row.technical.get("same") if row.error_code == DUPLICATE else None
    return UploadAnswer(
        id=row.id,
        purpose=row.purpose,
        state=row.state,
        stage=stage,
        file_name=row.file_name,
        title=row.title,
        size_bytes=row.size_bytes,
        received_bytes=received,
        sha256=row.sha256,
        progress=progress,
        error_code=row.error_code,
        error=row.error,
        duplicate_of=same and TwinAnswer(**same, path=page_of(same["kind"], same["id"])),
        mine=mine,
        centre_id=row.centre_id,
        broadcast_id=row.broadcast_id,
        exhibition_id=row.parent_id,
        work_id=row.work_id,
        resource_id=row.resource_id,
        path=_page(row, work),
        upload_path=f"{files_path}/{row.id}" if coming and mine else None,
        created_at=utc(row.created_at),
        expires_at=utc(row.changed_at + dt.timedelta(days=days)) if coming else None,
    )


def stage_of(row: Upload, work: Work | None) -> Stage:
    """What is being done about an upload now."""
    if row.state == "received":
        return "stuck" if row.error_code else "checking"
    if row.state != "registered":
        return _BEFORE_AND_AFTER.get(row.state, "removed")
    if work is None:
        return "ready"
    if work.state == "making":
        return "making"
    return "ready" if work.state == "ready" else "failed"


def _page(row: Upload, work: Work | None) -> str | None:
    if work is not None:
        return page_of("work", work.id)
    return page_of("resource", row.resource_id) if row.resource_id else None


def page_of(kind: str, thing_id: str) -> str:
    return f"/works/{thing_id}" if kind == "work" else f"/desk/library/{thing_id}"
