"""The job that writes a long report into storage, with its progress; people fetch it when done."""

from __future__ import annotations

import datetime as dt
import tempfile
from pathlib import Path
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog.audit import Actor
from catalog.errors import Refused
from catalog.models import Centre, Plan, Return
from catalog.returns.papers import draft, file_name, frozen, write
from catalog.returns.shown import FORMATS, Format, Paper, Words
from infra.jobs import JobContext, JobFailed, enqueue, job_handler
from infra.storage import StorageFull, open_storage
from infra.tables import Job

KIND: Final = "report"
KEEP: Final = dt.timedelta(days=7)
"""So long a written file waits to be fetched; then it is written anew."""
_FORGET_AT_ONCE: Final = 50


def promise_report(
    session: Session,
    actor: Actor,
    plan: Plan,
    centre: Centre,
    years: tuple[int, int],
    form: Format,
    *,
    base_url: str,
    kept: Return | None = None,
    words: Words | None = None,
) -> Job:
    """A job that writes the file: of a frozen return, else of the numbers as they are then."""
    said = words or Words()
    return enqueue(
        session,
        kind=KIND,
        queue="catalog",
        args={
            "plan_id": plan.id,
            "centre_id": centre.id,
            "years": list(years),
            "format": form,
            "base_url": base_url,
            "return_id": kept.id if kept else None,
            "words": [said.done, said.problems, said.next_year],
            "asked_by": actor.name,
        },
        centre_id=centre.id,
        title=f"{centre.name[:150]}{years[0]}年报表（{form.upper()}）",
    )


@job_handler(KIND)
def _report(ctx: JobContext) -> dict[str, Any]:
    form: Format = ctx.args["format"]
    with ctx.db.transaction() as session:
        try:
            paper = _paper(session, ctx)
        except Refused as error:
            raise JobFailed(
                error.code, "报表没有做成：计划、文化馆或版本已不在。", retry=False
            ) from error
        name = file_name(paper, form)
    storage = open_storage(ctx.settings)
    key = f"reports/{ctx.job_id}.{form}"
    folder = ctx.settings.data / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="report-", dir=folder) as place:
        path = Path(place) / f"report.{form}"
        with path.open("wb") as file:
            write(paper, form, file, lambda share: ctx.heartbeat(0.5 + share * 0.45, "写文件"))
        try:
            size = storage.put_file(key, path)
        except StorageFull as error:
            raise JobFailed("storage_full", "存储空间已满，请先腾出空间再重试。") from error
    with ctx.db.transaction() as session:
        ctx.fence(session)
        old = forget_old(session, dt.datetime.now(dt.UTC))
    for gone in old:
        storage.delete(gone)
    return {"key": key, "name": name, "bytes": size, "media_type": FORMATS[form]}


def _paper(session: Session, ctx: JobContext) -> Paper:
    args = ctx.args
    words, base_url = Words(*args["words"]), str(args["base_url"])
    if args["return_id"]:
        kept = session.get(Return, args["return_id"])
        if kept is None:
            raise Refused("return_unknown")
        return frozen(session, kept, base_url=base_url, words=words)
    plan, centre = session.get(Plan, args["plan_id"]), session.get(Centre, args["centre_id"])
    if plan is None or centre is None:
        raise Refused("plan_unknown")
    first, last = args["years"]
    return draft(
        session, plan, centre, (first, last), base_url=base_url, words=words,
        now=dt.datetime.now(dt.UTC),
        beat=lambda share: ctx.heartbeat(share * 0.5, "取数"),
    )  # fmt: skip


def forget_old(session: Session, now: dt.datetime) -> list[str]:
    """Keys of files nobody will fetch any more; their jobs forget them."""
    query = (
        select(Job)
        .where(Job.kind == KIND, Job.ended_at < now - KEEP, Job.result.has_key("key"))
        .limit(_FORGET_AT_ONCE)
    )
    keys = []
    for job in session.scalars(query):
        keys.append(str(job.result["key"]))
        job.result = {}
    return keys
