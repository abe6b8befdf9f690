"""Files on their way in, and come in: their rows, from the wish to send one to what became of it.

    receiving → received → registered            a work, or a picture, was made of it
                received → refused → received    it is no such file; somebody insists on a duplicate
    receiving, received, refused → removed       taken back, expired

An upload is its sender's while it is being sent: for everybody else its address leads nowhere.
What has come in is for the centre (and contract) it was sent for; ``catalog.intakes`` has what
becomes of it.
"""

from __future__ import annotations

import datetime as dt
import re
import secrets
import unicodedata
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from catalog.audit import Actor, note
from catalog.broadcasts import TITLE_MAX
from catalog.errors import Missing, Refused
from catalog.models import UPLOAD_PURPOSES, Broadcast, Centre, Resource, Upload, User, Work
from catalog.records.reach import broadcasts_of, resources_of, uploads_of
from infra.jobs import enqueue
from infra.tables import Job

PHOTO_MAX_BYTES: Final = 100_000_000
FILE_NAME_MAX: Final = 255
INTAKE_ATTEMPTS: Final = 3
DUPLICATE: Final = "upload_duplicate"

_SHA256: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Wish:
    """What a sender announces. Text is cleaned here, and names nothing on any disk."""

    purpose: str
    file_name: str
    size: int
    title: str = ""
    sha256: str | None = None
    broadcast_id: str | None = None
    parent_id: str | None = None
    """Of a photograph: the exhibition it is for."""
    insists: bool = False
    """Take it in although it is here already."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What this installation takes. ``room``: bytes the disk still has for what is announced."""

    file_bytes: int
    open_uploads: int
    room: int


@dataclass(frozen=True, slots=True)
class Twin:
    """What a file that is here already has become."""

    kind: str
    """work or resource."""
    id: str
    title: str


# --- sending ---------------------------------------------------------------------------------


def begin(
    session: Session, actor: Actor, centre: Centre, wish: Wish, bounds: Bounds, now: dt.datetime
) -> Upload:
    """The row of a file that is about to be sent. Raises Refused, Missing.

    Its id has 128 random bits: whoever does not know it cannot even ask for it. What is sent for a
    show or an exhibition belongs to its centre, else to ``centre``.
    """
    name = clean_name(wish.file_name)
    _check_size(wish, bounds)
    sha256 = (wish.sha256 or "").strip().lower() or None
    if sha256 is not None and _SHA256.fullmatch(sha256) is None:
        raise Refused("upload_sha256")
    if actor.role == "studio" and not actor.contract:
        raise Refused("contract_needed")
    if _open_of(session, actor) >= bounds.open_uploads:
        raise Refused("upload_many_open", most=bounds.open_uploads)
    centre_id = _place(session, actor, wish) or centre.id
    if sha256 and not wish.insists and (twin := twin_of(session, centre_id, sha256)):
        raise Refused(DUPLICATE, title=twin.title)
    upload = Upload(
        id=secrets.token_hex(16),
        centre_id=centre_id,
        created_by=actor.user_id,
        contract=actor.contract if actor.role == "studio" else "",
        purpose=wish.purpose,
        state="receiving",
        file_name=name,
        title=clean_text(wish.title)[:TITLE_MAX],
        size_bytes=wish.size,
        claimed_sha256=sha256,
        broadcast_id=wish.broadcast_id,
        parent_id=wish.parent_id,
        technical={"insists": True} if wish.insists else {},
        created_at=now,
        changed_at=now,
    )
    session.add(upload)
    session.flush()
    note(session, actor, "upload.begin", "upload", upload.id, centre_id=centre_id)
    return upload


def clean_text(text: str) -> str:
    """One line of plain text: no controls, no directions, single spaces."""
    kept = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in text)
    return " ".join(unicodedata.normalize("NFC", kept).split())


def clean_name(name: str) -> str:
    """A file's name as it is shown, of a path its last part. Raises Refused if nothing is left."""
    last = clean_text(name.replace("\\", "/").rpartition("/")[2])
    if not last.strip(". "):
        raise Refused("upload_name")
    if len(last) > FILE_NAME_MAX:
        stem, dot, ending = last.rpartition(".")
        ending = dot + ending if stem and len(ending) <= 10 else ""
        last = last[: FILE_NAME_MAX - len(ending)] + ending
    return last


def _check_size(wish: Wish, bounds: Bounds) -> None:
    if wish.purpose not in UPLOAD_PURPOSES:
        raise Refused("upload_purpose")
    most = bounds.file_bytes
    if wish.purpose == "photo":
        most = min(most, PHOTO_MAX_BYTES)
    if wish.size <= 0:
        raise Refused("upload_empty")
    if wish.size > most:
        raise Refused("upload_large", size=size_words(wish.size), most=size_words(most))
    if wish.size > bounds.room:
        room = size_words(max(0, bounds.room))
        raise Refused("upload_no_room", size=size_words(wish.size), room=room)


def size_words(size: int) -> str:
    """Bytes for a sentence: 200 GB, 1.25 MB."""
    for unit, one in (("GB", 10**9), ("MB", 10**6)):
        if size >= one:
            return f"{size / one:.3g} {unit}"
    return f"{size} 字节"


def _place(session: Session, actor: Actor, wish: Wish) -> str | None:
    """The centre of the exhibition or show it is for; None: of neither. Raises Missing, Refused."""
    centre_id: str | None = None
    if wish.broadcast_id is not None:
        query = select(Broadcast.centre_id).join(Centre, Centre.id == Broadcast.centre_id)
        centre_id = session.scalar(
            query.where(Broadcast.id == wish.broadcast_id, broadcasts_of(actor))
        )
        if centre_id is None:
            raise Missing("broadcast_not_found")
    if wish.parent_id is not None:
        walls = select(Resource).join(Centre, Centre.id == Resource.centre_id)
        wall = session.scalar(walls.where(Resource.id == wish.parent_id, resources_of(actor)))
        if wall is None:
            raise Missing("resource_unknown")
        if wall.kind != "exhibition" or wall.withdrawn_at or wish.purpose != "photo":
            raise Refused("upload_parent")
        centre_id = wall.centre_id
    return centre_id


def _open_of(session: Session, actor: Actor) -> int:
    query = select(func.count()).where(Upload.state == "receiving", _sent_by(actor))
    return session.scalar(query) or 0


def _sent_by(actor: Actor) -> Any:
    # A token that belongs to nobody stands for every such token of its reach.
    return Upload.created_by.is_not_distinct_from(actor.user_id)


def own(session: Session, actor: Actor, upload_id: str) -> Upload:
    """An upload of this very sender, in any state. Raises Missing."""
    query = (
        select(Upload)
        .join(Centre, Centre.id == Upload.centre_id)
        .where(Upload.id == upload_id, _sent_by(actor), uploads_of(actor))
    )
    found = session.scalars(query).one_or_none()
    if found is None:
        raise Missing("upload_unknown")
    return found


def claim_sha256(session: Session, upload: Upload, sha256: str) -> None:
    """The sender's own sum of the whole, told before the last byte is sent. Raises Refused."""
    if _SHA256.fullmatch(sha256) is None:
        raise Refused("upload_sha256")
    if upload.state != "receiving" and upload.claimed_sha256 != sha256:
        raise Refused("upload_over")
    upload.claimed_sha256 = sha256


def finish(session: Session, upload_id: str, now: dt.datetime) -> bool:
    """The last byte is in: promise to look at it. Twice is once; False: it was no more awaited."""
    upload = session.get(Upload, upload_id, with_for_update=True)
    if upload is None or upload.state != "receiving":
        return False
    upload.state = "received"
    upload.changed_at = now
    promise_intake(session, upload)
    return True


def promise_intake(session: Session, upload: Upload) -> Job:
    upload.error_code = upload.error = None
    return enqueue(
        session,
        kind="intake",
        queue="vod",
        args={"upload_id": upload.id},
        unique_key=intake_key(upload.id),
        broadcast_id=upload.broadcast_id,
        centre_id=upload.centre_id,
        title=upload.title or upload.file_name[:TITLE_MAX],
        max_attempts=INTAKE_ATTEMPTS,
    )


def intake_key(upload_id: str) -> str:
    return f"intake:{upload_id}"


# --- what has come in ------------------------------------------------------------------------


def find(session: Session, actor: Actor, upload_id: str) -> Upload:
    """An upload within reach. Raises Missing."""
    query = (
        select(Upload)
        .join(Centre, Centre.id == Upload.centre_id)
        .where(Upload.id == upload_id, uploads_of(actor))
    )
    found = session.scalars(query).one_or_none()
    if found is None:
        raise Missing("upload_unknown")
    return found


def listed(
    session: Session,
    actor: Actor,
    *,
    mine: bool = False,
    states: tuple[str, ...] | None = None,
    limit: int = 50,
) -> list[Upload]:
    """Within reach, the newest first; removed ones only when asked for."""
    query = select(Upload).join(Centre, Centre.id == Upload.centre_id).where(uploads_of(actor))
    if mine:
        query = query.where(_sent_by(actor))
    query = query.where(Upload.state.in_(states) if states else Upload.state != "removed")
    return list(session.scalars(query.order_by(Upload.created_at.desc(), Upload.id).limit(limit)))


def is_own(actor: Actor, upload: Upload) -> bool:
    return upload.created_by == actor.user_id


def sender_names(session: Session, uploads: list[Upload]) -> dict[str, str]:
    """User id → name."""
    ids = {upload.created_by for upload in uploads if upload.created_by}
    rows = session.execute(select(User.id, User.display_name).where(User.id.in_(ids)))
    return {str(user_id): str(name) for user_id, name in rows}


def twin_of(
    session: Session, centre_id: str, sha256: str, *, besides: str | None = None
) -> Twin | None:
    """What the same bytes are in this centre's catalogue already."""
    work = (
        select(Work)
        .join(Upload, Upload.work_id == Work.id)
        .where(
            Upload.sha256 == sha256,
            Upload.centre_id == centre_id,
            Upload.id != (besides or ""),
            Upload.state == "registered",
            Work.state.in_(("making", "ready")),
        )
        .order_by(Work.created_at)
        .limit(1)
    )
    found = session.scalars(work).first()
    if found is not None:
        return Twin("work", found.id, found.title)
    record = (
        select(Resource)
        .where(
            Resource.sha256 == sha256,
            Resource.centre_id == centre_id,
            Resource.withdrawn_at.is_(None),
        )
        .order_by(Resource.created_at)
        .limit(1)
    )
    resource = session.scalars(record).first()
    return None if resource is None else Twin("resource", resource.id, resource.title)


def lock_sum(session: Session, centre_id: str, sha256: str) -> None:
    """Hold others who take in the same bytes until this transaction ends."""
    key = func.hashtextextended(f"upload:{centre_id}:{sha256}", 0)
    session.execute(select(func.pg_advisory_xact_lock(key)))
