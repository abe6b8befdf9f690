"""Works over the API: the MP4 of any of them, made on a wish and fetched."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi import Path as InPath
from fastapi.responses import Response
from pydantic import Field

from api.answers import Answer
from api.auth import Db, OurParts, actor, require
from api.masters import ask_for_master, master_response
from api.sentences import Problem
from catalog.accounts import Identity
from catalog.records.works import find_work

router = APIRouter(tags=["works"])

Sees = Annotated[Identity, Depends(require("broadcast.see"))]
WorkId = Annotated[str, InPath(max_length=32, description="A work's id, or a broadcast's.")]


class MasterAnswer(Answer):
    """Whether a work's MP4 is at hand, else the job that makes it."""

    work_id: str
    ready: bool
    download_url: str | None = Field(description="For whoever may see the work; never public.")
    job_id: int | None = Field(description="Null: there is nothing to be waited for.")


@router.post("/works/{work_id}/master", status_code=202)
def make(work_id: WorkId, who: Sees, session: Db, parts: OurParts) -> MasterAnswer:
    """Ask for a work's MP4; one that is there already is ready at once."""
    work = find_work(session, actor(who), work_id)
    job = ask_for_master(session, actor(who), work)
    url = f"{parts.addresses().http}/api/v1/works/{work.id}/download"
    return MasterAnswer(
        work_id=work.id,
        ready=job is None,
        download_url=url if job is None else None,
        job_id=job.id if job else None,
    )


@router.get("/works/{work_id}/download", response_class=Response)
def download(work_id: WorkId, who: Sees, session: Db, parts: OurParts) -> Response:
    """A work's MP4, in ranges too; 409 until it is made."""
    found = master_response(session, parts.storage, find_work(session, actor(who), work_id))
    if found is None:
        raise Problem("master_not_ready")
    return found
