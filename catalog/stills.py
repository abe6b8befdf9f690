"""Stills: what is proposed of a programme, and what people say to it. A confirmed one is a 图片.

Confirming makes the record of a picture, its file telling where and when it was taken; taking that
back withdraws the record, and confirming again brings the same one back, so that one still is
never two pictures. Photographs of the show are confirmed in the same place.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from catalog.audit import Actor
from catalog.errors import Missing, Refused
from catalog.models import Broadcast, Centre, Resource, Still
from catalog.programmes import Programme, note_programme
from catalog.records import service
from catalog.records.files import small_key
from catalog.records.reach import resources_of
from catalog.still_records import Clock, Scene, record_still
from infra.storage import Storage

AT_ONCE: Final = 300
"""Pictures answered at once."""
PHOTOS_MOST: Final = 1_000
"""Photographs of one show that are listed."""
_TAKEN_BACK: Final = "撤回了图片确认"
_NOT_WANTED: Final = "没有选用这张照片"


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of a programme as the desk shows it: a still, or a photograph of the show."""

    key: str
    """s and a still's number, p and a record's id."""
    state: str
    """proposed, confirmed, dismissed."""
    title: str
    at_ticks: int | None
    """Where in the programme; None of a photograph."""
    at: dt.datetime | None
    """When it was taken, if a clock said so."""
    width: int
    height: int
    score: int
    resource_id: str | None
    storage_key: str
    small_key: str
    media_type: str = "image/jpeg"


# --- looking ---------------------------------------------------------------------------------


def proposals(session: Session, actor: Actor, programme: Programme) -> list[Picture]:
    """Every picture of a programme, whatever was said to it: stills in order of time, then the
    photographs."""
    query = select(Still).where(Still.token == programme.token).order_by(Still.at_ticks)
    stills = list(session.scalars(query))
    clock = Clock(session, programme.token)
    found = [_of_still(still, clock.at(still.at_ticks), programme.title) for still in stills]
    records = {still.resource_id for still in stills}
    photos = [row for row in _photos(session, actor, programme) if row.id not in records]
    return found + [_of_photo(row) for row in photos]


def waiting(session: Session, token: str) -> int:
    """Stills of a programme that wait for an answer."""
    query = select(func.count()).where(Still.token == token, Still.state == "proposed")
    return session.scalar(query) or 0


def unanswered(session: Session, broadcast: Broadcast) -> int:
    """The same of a show, with the photographs of it that nobody has confirmed or put away."""
    photos = select(func.count()).where(
        Resource.broadcast_id == broadcast.id,
        Resource.kind == "image",
        Resource.storage_key.is_not(None),
        Resource.confirmed_at.is_(None),
        Resource.withdrawn_at.is_(None),
        ~select(Still.id).where(Still.resource_id == Resource.id).exists(),
    )
    return waiting(session, broadcast.media_token) + (session.scalar(photos) or 0)


def picture(session: Session, actor: Actor, programme: Programme, key: str) -> Picture:
    """One of them. Raises Missing."""
    if key.startswith("s") and key[1:].isdecimal() and len(key) < 20:
        still = session.get(Still, int(key[1:]))
        if still is not None and still.token == programme.token:
            return _of_still(still, None, programme.title)
    for row in _photos(session, actor, programme, key[1:] if key.startswith("p") else ""):
        return _of_photo(row)
    raise Missing("still_unknown")


def _photos(
    session: Session, actor: Actor, programme: Programme, only: str | None = None
) -> list[Resource]:
    """Pictures of a show that are no stills of ours, those within reach."""
    if programme.kind != "broadcast":
        return []
    query = (
        select(Resource)
        .join(Centre, Centre.id == Resource.centre_id)
        .outerjoin(Still, Still.resource_id == Resource.id)
        .where(
            Resource.broadcast_id == programme.id,
            Resource.kind == "image",
            Resource.storage_key.is_not(None),
            Still.id.is_(None),
            resources_of(actor),
        )
        .order_by(Resource.technical["taken_at"].astext, Resource.created_at, Resource.id)
        .limit(PHOTOS_MOST)
    )
    if only is not None:
        query = query.where(Resource.id == only)
    return list(session.scalars(query))


def _of_still(still: Still, at: dt.datetime | None, title: str) -> Picture:
    return Picture(
        key=f"s{still.id}",
        state=still.state,
        title=title,
        at_ticks=still.at_ticks,
        at=at,
        width=still.width,
        height=still.height,
        score=still.score,
        resource_id=still.resource_id,
        storage_key=still.storage_key,
        small_key=still.small_key,
    )


def _of_photo(row: Resource) -> Picture:
    taken = row.technical.get("taken_at")
    state = "dismissed" if row.withdrawn_at else "confirmed" if row.confirmed_at else "proposed"
    assert row.storage_key is not None  # as _photos asked
    return Picture(
        key=f"p{row.id}",
        state=state,
        title=row.title,
        at_ticks=None,
        at=dt.datetime.fromisoformat(taken) if isinstance(taken, str) else None,
        width=int(row.technical.get("width", 0)),
        height=int(row.technical.get("height", 0)),
        score=0,
        resource_id=row.id,
        storage_key=row.storage_key,
        small_key=small_key(row.storage_key),
        media_type=row.media_type,
    )


# --- answering -------------------------------------------------------------------------------


def note_asked(session: Session, actor: Actor, token: str, count: int) -> None:
    """Note that somebody asked for proposals."""
    note_programme(session, actor, token, "still.ask", count=count)


def confirm(
    session: Session,
    storage: Storage,
    actor: Actor,
    programme: Programme,
    keys: Sequence[str],
    *,
    base_url: str,
    fields: Mapping[str, Any] | None = None,
    now: dt.datetime | None = None,
) -> list[Resource]:
    """These pictures are 图片 from now on; those that are already stay so. Their records.

    ``fields``: what new records say besides (place, people, keywords …). ``base_url``: of the
    pages, to stand in the files. Raises Missing, Refused, StorageError.
    """
    now = now or dt.datetime.now(dt.UTC)
    stills, photos = _locked(session, actor, programme, keys)
    scene = Scene.of(session, programme, base_url, fields or {}, now)
    made = []
    for still in stills:
        if still.state == "confirmed":
            continue
        still.state = "confirmed"
        if still.resource_id is None:
            made.append(record_still(session, storage, actor, scene, still))
        else:
            made.append(_confirm_record(session, actor, still.resource_id, now))
    for photo in photos:
        if photo.withdrawn_at is not None or photo.confirmed_at is None:
            made.append(_confirm_record(session, actor, photo.id, now))
    if made:
        note_programme(session, actor, programme.token, "still.confirm", pictures=len(made))
    return made


def dismiss(
    session: Session,
    actor: Actor,
    programme: Programme,
    keys: Sequence[str],
    *,
    now: dt.datetime | None = None,
) -> int:
    """These are not wanted: a still is not proposed again, nor one like it; a photograph's record
    is withdrawn. What is confirmed stays. How many. Raises Missing, Refused."""
    now = now or dt.datetime.now(dt.UTC)
    stills, photos = _locked(session, actor, programme, keys)
    done = 0
    for still in stills:
        if still.state == "proposed":
            still.state = "dismissed"
            done += 1
    for photo in photos:
        if photo.withdrawn_at is None and photo.confirmed_at is None:
            service.withdraw(session, actor, photo.id, _NOT_WANTED, now=now)
            done += 1
    session.flush()
    if done:
        note_programme(session, actor, programme.token, "still.dismiss", pictures=done)
    return done


def undo(
    session: Session,
    actor: Actor,
    programme: Programme,
    keys: Sequence[str],
    *,
    now: dt.datetime | None = None,
) -> int:
    """These wait for an answer again; the records of confirmed ones are withdrawn, and count no
    more. How many. Raises Missing, Refused."""
    now = now or dt.datetime.now(dt.UTC)
    stills, photos = _locked(session, actor, programme, keys)
    done = 0
    for still in stills:
        if still.state == "proposed":
            continue
        if still.state == "confirmed" and still.resource_id is not None:
            _take_back(session, actor, still.resource_id, now)
        still.state = "proposed"
        done += 1
    for photo in photos:
        if photo.withdrawn_at is not None:
            service.restore(session, actor, photo.id, now=now)
        elif photo.confirmed_at is None:
            continue
        service.change(session, actor, photo.id, {"confirmed": False}, now=now)
        done += 1
    session.flush()
    if done:
        note_programme(session, actor, programme.token, "still.undo", pictures=done)
    return done


def _locked(
    session: Session, actor: Actor, programme: Programme, keys: Sequence[str]
) -> tuple[list[Still], list[Resource]]:
    """The rows of these pictures, held until the transaction ends, always in the same order."""
    wanted = list(dict.fromkeys(keys))
    if not wanted:
        raise Refused("stills_none")
    if len(wanted) > AT_ONCE:
        raise Refused("stills_many", most=AT_ONCE, sent=len(wanted))
    numbers = [int(key[1:]) for key in wanted if key[:1] == "s" and key[1:].isdecimal()]
    query = (
        select(Still)
        .where(Still.token == programme.token, Still.id.in_([n for n in numbers if n < 1 << 63]))
        .order_by(Still.at_ticks)
        .with_for_update()
    )
    stills = list(session.scalars(query, execution_options={"populate_existing": True}))
    ids = {key[1:] for key in wanted if key[:1] == "p"}
    photos = [row for row in _photos(session, actor, programme) if row.id in ids] if ids else []
    if len(stills) + len(photos) != len(wanted):
        raise Missing("still_unknown")
    return stills, photos


def _confirm_record(session: Session, actor: Actor, resource_id: str, now: dt.datetime) -> Resource:
    """A record that is there already: back from where it was put, and confirmed."""
    row = service.get(session, actor, resource_id)
    if row.withdrawn_at is not None:
        service.restore(session, actor, resource_id, now=now)
    changes: dict[str, Any] = {"confirmed": True}
    if row.ledger is None:
        changes["ledger"] = "broadcast"
    return service.change(session, actor, resource_id, changes, now=now)


def _take_back(session: Session, actor: Actor, resource_id: str, now: dt.datetime) -> None:
    row = service.change(session, actor, resource_id, {"confirmed": False}, now=now)
    if row.withdrawn_at is None:
        service.withdraw(session, actor, resource_id, _TAKEN_BACK, now=now)
