"""Promises the work of an uploaded recording: its row and its job, in the caller's transaction."""

from __future__ import annotations

from typing import Final

from sqlalchemy.orm import Session

from catalog.models import Upload, Work
from infra.ids import public_id, secret_token
from infra.jobs import enqueue
from infra.tables import Job

KIND: Final = "chunks"
"""The job of the whole: it plans, waits for its chunks, finishes; its progress is the work's."""

_LOST_WORKERS_MAX: Final = 8
"""While it plans and finishes; between its looks it does not count."""


def begin(session: Session, upload: Upload) -> Work:
    """The work of a received, probed upload of purpose "recording", "making", and its job.

    ``upload.storage_key`` and ``upload.sha256`` are set: the original lies whole in storage. Sets
    ``upload.work_id``; the upload becomes "registered" when the work is ready. Twice is once.
    """
    work = session.get(Work, upload.work_id) if upload.work_id else None
    if work is None:
        if not upload.storage_key:
            raise ValueError(f"upload {upload.id} has no file in storage")
        work = Work(
            id=public_id(),
            centre_id=upload.centre_id,
            broadcast_id=upload.broadcast_id,
            kind="upload",
            state="making",
            title=_title(upload),
            media_token=secret_token(),
            contract=upload.contract or "",
            master_key=upload.storage_key,
            created_by=upload.created_by,
        )
        session.add(work)
        session.flush()
        upload.work_id = work.id
    promise(session, work)
    return work


def promise(session: Session, work: Work) -> Job:
    """The job that brings a work to its end, open from the start until it is ready or failed."""
    return enqueue(
        session,
        kind=KIND,
        queue="vod",
        args={"work_id": work.id},
        unique_key=f"{KIND}:{work.id}",
        broadcast_id=work.broadcast_id,
        centre_id=work.centre_id,
        title=work.title,
        max_attempts=_LOST_WORKERS_MAX,
    )


def _title(upload: Upload) -> str:
    name = upload.file_name.rpartition("/")[2]
    stem = name.rpartition(".")[0] or name
    return (upload.title.strip() or stem.strip() or "未命名录像")[:200]
