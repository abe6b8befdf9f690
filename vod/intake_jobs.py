"""The jobs of uploads: taking one in, and looking after those that nobody goes on with."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog.intakes import expire, keeps_file, left_alone, receiving
from catalog.models import Upload
from catalog.uploads import finish
from infra.jobs import JobCancelled, JobContext, JobFailed, job_handler
from infra.upload_folder import UploadFolder
from vod.intake import drop, give_up, take_in
from vod.intake_words import sentence
from vod.jobs import tools_of, verdicts
from vod.tools import Tools

_STRANGER_SECONDS: Final = 24 * 3600.0
"""So old a file without a row is nobody's: its row is written before it."""
_SWEPT_DAYS: Final = 2


@job_handler("intake", backoff_seconds=(10.0, 60.0, 300.0))
def _intake(ctx: JobContext) -> dict[str, Any]:
    tools, upload_id = tools_of(ctx), str(ctx.args["upload_id"])
    try:
        with verdicts():
            return take_in(tools, upload_id, ctx.heartbeat)
    except JobCancelled:
        drop(tools, upload_id)
        raise
    except JobFailed as error:
        if error.retry and ctx.attempt >= ctx.held.max_attempts:
            give_up(tools, upload_id, error.code, error.sentence)
        raise


@job_handler("uploads")
def _uploads(ctx: JobContext) -> dict[str, Any]:
    """Promised by beat every few minutes."""
    return look_after(tools_of(ctx), dt.datetime.now(dt.UTC))


def look_after(tools: Tools, now: dt.datetime) -> dict[str, Any]:
    """Finish what is whole though nobody said so, expire what was left, delete what is no longer
    needed; how many of each."""
    folder = UploadFolder(tools.settings.uploads_dir)
    with tools.database.transaction() as session:
        tools.fence(session)
        finished = sum(
            finish(session, row.id, now)
            for row in receiving(session)
            if folder.offset(row.id) >= row.size_bytes
        )
        expired = expire(session, now, tools.settings.upload_days)
        left = left_alone(session, now)
        for upload in left:
            upload.error_code, upload.error = "upload_left", sentence("upload_left")
    with tools.database.transaction() as session:
        gone = _gone(session, folder, now)
        swept = _removed_lately(session, now)
    for upload_id in gone:
        folder.forget(upload_id)
    for upload_id in swept:
        drop(tools, upload_id)
    return {"finished": finished, "expired": expired, "left": len(left), "deleted": len(gone)}


def _gone(session: Session, folder: UploadFolder, now: dt.datetime) -> list[str]:
    ids = folder.ids()
    rows = {row.id: row for row in session.scalars(select(Upload).where(Upload.id.in_(ids)))}
    return [
        upload_id
        for upload_id in ids
        if (upload_id in rows and not keeps_file(rows[upload_id], now))
        or (upload_id not in rows and folder.age(upload_id) > _STRANGER_SECONDS)
    ]


def _removed_lately(session: Session, now: dt.datetime) -> list[str]:
    """Removed while they were being taken in: their original may have been put into storage
    just then."""
    since = now - dt.timedelta(days=_SWEPT_DAYS)
    query = select(Upload.id).where(Upload.state == "removed", Upload.changed_at > since)
    return list(session.scalars(query.where(Upload.sha256.is_(None)).limit(500)))
