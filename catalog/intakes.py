"""What becomes of a file that has come in: refused, insisted on, looked at again, removed, expired.

The states are those of ``catalog.uploads``.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from catalog.audit import SYSTEM, Actor, note
from catalog.errors import Missing, Refused
from catalog.models import Upload
from catalog.uploads import DUPLICATE, find, intake_key, is_own, promise_intake
from infra.jobs import cancel
from infra.tables import Job

KEEP_DUPLICATE: Final = dt.timedelta(days=3)
"""So long a file that is here already is kept for somebody who insists on it."""
KEEP_RECEIVED: Final = dt.timedelta(days=30)
"""So long a file that could not be looked at for want of room, say, waits for another try."""
_ROWS_MAX: Final = 500


def refuse(
    session: Session, upload: Upload, code: str, sentence: str, now: dt.datetime, **facts: Any
) -> None:
    """It is not taken in; the sentence says why."""
    upload.state = "refused"
    upload.error_code, upload.error = code, sentence
    upload.technical = {**upload.technical, **facts}
    upload.changed_at = now
    note(
        session, SYSTEM, "upload.refuse", "upload", upload.id, centre_id=upload.centre_id,
        code=code,
    )  # fmt: skip


def insist(session: Session, actor: Actor, upload_id: str, now: dt.datetime) -> Upload:
    """Take a duplicate in all the same. Raises Refused, Missing."""
    upload = find(session, actor, upload_id)
    session.refresh(upload, with_for_update=True)
    if upload.state != "refused" or upload.error_code != DUPLICATE:
        raise Refused("upload_over")
    if not keeps_file(upload, now):
        raise Refused("upload_not_kept")
    _steer(actor, upload)
    upload.state = "received"
    upload.changed_at = now
    upload.technical = {**upload.technical, "insists": True}
    promise_intake(session, upload)
    note(session, actor, "upload.insist", "upload", upload.id, centre_id=upload.centre_id)
    return upload


def look_again(session: Session, actor: Actor, upload_id: str, now: dt.datetime) -> Upload:
    """Look once more at a file whose looking-at failed. Raises Refused, Missing."""
    upload = find(session, actor, upload_id)
    session.refresh(upload, with_for_update=True)
    if upload.state != "received":
        raise Refused("upload_over")
    _steer(actor, upload)
    upload.changed_at = now
    promise_intake(session, upload)
    return upload


def remove(session: Session, actor: Actor, upload_id: str, now: dt.datetime) -> Upload:
    """Take it back, whole or not, or clear a refused one away. Raises Refused, Missing."""
    upload = find(session, actor, upload_id)
    _steer(actor, upload)
    session.refresh(upload, with_for_update=True)
    if upload.state == "registered":
        raise Refused("upload_registered")
    if upload.state == "removed":
        return upload
    upload.state = "removed"
    upload.changed_at = now
    for job_id in session.scalars(
        select(Job.id).where(
            Job.unique_key == intake_key(upload.id), Job.state.in_(("queued", "running"))
        )
    ).all():
        cancel(session, job_id)
    note(session, actor, "upload.remove", "upload", upload.id, centre_id=upload.centre_id)
    return upload


def _steer(actor: Actor, upload: Upload) -> None:
    """A studio steers its own alone; the centre's people also what others left lying."""
    if actor.role == "studio" and not is_own(actor, upload):
        raise Missing("upload_unknown")


# --- looking after them ----------------------------------------------------------------------


def touch(session: Session, upload: Upload, now: dt.datetime, every: dt.timedelta) -> None:
    """Bytes of it are coming: it is not abandoned."""
    if now - upload.changed_at > every:
        upload.changed_at = now


def expire(session: Session, now: dt.datetime, days: int) -> int:
    """Remove what nobody went on with; how many."""
    gone = session.scalars(
        update(Upload)
        .where(Upload.state == "receiving", Upload.changed_at < now - dt.timedelta(days=days))
        .values(state="removed", error_code="upload_expired", changed_at=now)
        .returning(Upload.id)
        .execution_options(synchronize_session=False)
    ).all()
    return len(gone)


def keeps_file(upload: Upload, now: dt.datetime) -> bool:
    """Whether the file that came in is still needed where it came in."""
    age = now - upload.changed_at
    if upload.state == "received":
        return age < KEEP_RECEIVED
    if upload.state == "refused":
        return upload.error_code == DUPLICATE and age < KEEP_DUPLICATE
    return upload.state == "receiving"


def receiving(session: Session, *, limit: int = _ROWS_MAX) -> list[Upload]:
    """Every upload that is under way, whoever sends it."""
    return list(session.scalars(select(Upload).where(Upload.state == "receiving").limit(limit)))


def left_alone(session: Session, now: dt.datetime) -> list[Upload]:
    """Received ones that no job looks at though none has said why: their worker was lost, or
    the job was cancelled."""
    open_job = select(Job.id).where(
        Job.unique_key == func.concat("intake:", Upload.id), Job.state.in_(("queued", "running"))
    )
    query = select(Upload).where(
        Upload.state == "received",
        Upload.error_code.is_(None),
        Upload.changed_at < now - dt.timedelta(minutes=1),
        ~open_job.exists(),
    )
    return list(session.scalars(query.limit(_ROWS_MAX)))
