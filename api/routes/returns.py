"""Returns over the API: freeze, list, show, download; long files as jobs; old years brought in."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Final

from fastapi import APIRouter, Depends, File, Query, UploadFile
from fastapi.responses import Response, StreamingResponse
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from api import answers, jobs
from api import answers_returns as told
from api.auth import Db, OurParts, actor, own_centre, require
from api.downloads import attachment, stored, written
from api.sentences import Problem
from catalog.accounts import Identity
from catalog.models import Centre, Plan, Return
from catalog.plans.service import get_plan
from catalog.returns import freeze as kept_returns
from catalog.returns.bring_in import bring_in
from catalog.returns.jobs import KIND, promise_report
from catalog.returns.papers import YEARS_MAX, draft, file_name, frozen, write
from catalog.returns.past_file import BYTES_MAX
from catalog.returns.shown import FORMATS, Format, Paper, Words
from infra.storage import NotFound

router = APIRouter(tags=["returns"])

Sees = Annotated[Identity, Depends(require("return.see"))]
Freezes = Annotated[Identity, Depends(require("return.freeze"))]
Enters = Annotated[Identity, Depends(require("entry.set"))]
Year = Annotated[int, Query(ge=2000, le=2200)]

WORDS_MAX: Final = 20_000


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class FreezeBody(Body):
    plan: str = Field(max_length=60, description="Id or code.")
    centre: str | None = Field(default=None, max_length=200)
    year: int = Field(ge=2000, le=2200)
    cut_off: AwareDatetime | None = Field(default=None, description="Now, when left out.")
    why: str = Field(default="", max_length=kept_returns.WHY_MAX)


class ReportBody(Body):
    plan: str = Field(max_length=60, description="Id or code.")
    centre: str | None = Field(default=None, max_length=200)
    year: int = Field(ge=2000, le=2200)
    until: int | None = Field(default=None, description="Last year, of a report over several.")
    format: Format = "xlsx"
    return_id: str | None = Field(default=None, max_length=32, description="A frozen one.")
    done: str = Field(default="", max_length=WORDS_MAX, description="二、主要做法")
    problems: str = Field(default="", max_length=WORDS_MAX, description="三、存在问题")
    next_year: str = Field(default="", max_length=WORDS_MAX, description="四、下年计划")


@router.post("/returns", status_code=201)
def freeze(body: FreezeBody, who: Freezes, session: Db) -> told.ReturnFull:
    """Freeze a plan's numbers of a year; a further revision says why."""
    plan, centre = _both(session, who, body.plan, body.centre)
    now = dt.datetime.now(dt.UTC)
    kept = kept_returns.freeze(
        session, actor(who), plan, centre, body.year, body.cut_off or now, body.why, now=now
    )
    return told.full(session, kept, centre, plan)


@router.get("/returns")
def listing(
    who: Sees,
    session: Db,
    plan: Annotated[str | None, Query(max_length=60)] = None,
    centre: Annotated[str | None, Query(max_length=200)] = None,
    year: Annotated[int | None, Query(ge=2000, le=2200)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> told.ReturnList:
    """Returns of the caller's centres, newest first."""
    found = kept_returns.listed(
        session,
        who.centre_path,
        plan_id=get_plan(session, actor(who), plan).id if plan else None,
        centre_id=own_centre(session, who, centre).id if centre else None,
        year=year,
        limit=limit,
    )
    return told.ReturnList(items=[told.brief(*row) for row in found])


@router.get("/returns/draft", response_class=StreamingResponse)
def draft_file(
    who: Sees,
    session: Db,
    parts: OurParts,
    plan: Annotated[str, Query(max_length=60)],
    year: Year,
    centre: Annotated[str | None, Query(max_length=200)] = None,
    until: Annotated[int | None, Query(ge=2000, le=2200)] = None,
    format: Format = "xlsx",
) -> StreamingResponse:
    """The numbers as they are now, as a file that says it is a draft."""
    chosen, root = _both(session, who, plan, centre)
    paper = draft(
        session, chosen, root, (year, until or year), base_url=parts.addresses().http,
        now=dt.datetime.now(dt.UTC),
    )  # fmt: skip
    return _download(paper, format)


@router.post("/returns/jobs", status_code=202)
def promise(body: ReportBody, who: Sees, session: Db, parts: OurParts) -> answers.JobAnswer:
    """Have a long file written; follow the job, then fetch its file."""
    plan, centre = _both(session, who, body.plan, body.centre)
    kept = kept_returns.load(session, actor(who), body.return_id) if body.return_id else None
    years = (kept.year, kept.year) if kept else (body.year, body.until or body.year)
    if not years[0] <= years[1] < years[0] + YEARS_MAX:
        raise Problem("return_years", most=YEARS_MAX)
    job = promise_report(
        session, actor(who), plan, centre, years, body.format,
        base_url=parts.addresses().http, kept=kept,
        words=Words(body.done, body.problems, body.next_year),
    )  # fmt: skip
    return answers.job(job)


@router.get("/returns/jobs/{job_id}/file", response_class=Response)
def job_file(job_id: int, who: Sees, session: Db, parts: OurParts) -> Response:
    """What a report job has written."""
    job = jobs.get(session, who.centre_path, job_id)
    if job.kind != KIND:
        raise Problem("job_not_found")
    if job.state != "done":
        raise Problem("return_file_not_ready")
    result = job.result
    try:
        # No link: whoever follows one would find the file under its key, not under its name.
        return stored(parts.storage, result["key"], result["media_type"], _headers(result["name"]))
    except (KeyError, NotFound):
        raise Problem("return_file_gone") from None


@router.post("/returns/import")
def bring(
    who: Enters,
    session: Db,
    plan: Annotated[str, Query(max_length=60)],
    year: Year,
    file: Annotated[UploadFile, File(description="YAML")],
    create_centres: bool = False,
) -> told.BroughtInAnswer:
    """Bring an old year in: values kept by hand and past broadcasts. Twice is once."""
    data = file.file.read(BYTES_MAX + 1)
    chosen = get_plan(session, actor(who), plan)
    made = bring_in(
        session, actor(who, "import"), data, chosen, year, create_centres=create_centres
    )
    return told.brought_in(made)


@router.get("/returns/{return_id}")
def show(return_id: str, who: Sees, session: Db) -> told.ReturnFull:
    """A return with its rows, sentences, corrections and what it was built on."""
    kept = kept_returns.load(session, actor(who), return_id)
    centre, plan = session.get_one(Centre, kept.centre_id), session.get_one(Plan, kept.plan_id)
    return told.full(session, kept, centre, plan)


@router.get("/returns/{return_id}/file", response_class=StreamingResponse)
def return_file(
    return_id: str, who: Sees, session: Db, parts: OurParts, format: Format = "xlsx"
) -> StreamingResponse:
    """A frozen return as a file."""
    kept: Return = kept_returns.load(session, actor(who), return_id)
    return _download(frozen(session, kept, base_url=parts.addresses().http), format)


# --- parts -----------------------------------------------------------------------------------


def _both(session: Session, who: Identity, plan: str, centre: str | None) -> tuple[Plan, Centre]:
    return get_plan(session, actor(who), plan), own_centre(session, who, centre)


def _download(paper: Paper, form: Format) -> StreamingResponse:
    headers = _headers(file_name(paper, form))
    return written(lambda out: write(paper, form, out), FORMATS[form], headers)


def _headers(name: str) -> dict[str, str]:
    plain = f"report.{name.rpartition('.')[2]}"
    return {"content-disposition": attachment(name, plain), "cache-control": "no-store"}
