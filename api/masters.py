"""A work's MP4 as a download for staff: with its title as the file's name, whole or in ranges."""

from __future__ import annotations

import re
from typing import Final

from sqlalchemy.orm import Session
from starlette.responses import Response

from api.downloads import attachment, stored
from catalog.audit import Actor, note
from catalog.errors import Refused
from catalog.models import Work
from infra.storage import NotFound, Storage
from infra.tables import Job
from vod.masters import master_key, request_master

_LINK_SECONDS: Final = 3600
NAME_MAX: Final = 80
_NO_FILE_NAME: Final = re.compile(r'[\\/:*?"<>|\x00-\x1f\x7f]+')


def file_name(work: Work) -> str:
    """A name any system can keep the file under."""
    plain = _NO_FILE_NAME.sub(" ", work.title).strip(" .")[:NAME_MAX].strip(" .")
    return f"{plain or work.id}.mp4"


def ask_for_master(session: Session, actor: Actor, work: Work) -> Job | None:
    """The job that makes a ready work's MP4; None where it is at hand. Raises Refused."""
    if work.state != "ready":
        raise Refused("master_no_media")
    if master_key(session, work) is not None:
        return None
    note(session, actor, "master.make", "work", work.id, centre_id=work.centre_id)
    return request_master(session, work)


def master_response(session: Session, storage: Storage, work: Work) -> Response | None:
    """The file, or None while it is not made."""
    key = master_key(session, work) if work.state == "ready" else None
    if key is None:
        return None
    disposition = attachment(file_name(work), f"xitai-{work.id}.mp4")
    headers = {
        "content-disposition": disposition,
        "cache-control": "private, no-store",
        "x-content-type-options": "nosniff",
    }
    try:
        return stored(storage, key, "video/mp4", headers, link_seconds=_LINK_SECONDS)
    except NotFound:
        # Put away as it had not been wanted for long; the row follows.
        return None
