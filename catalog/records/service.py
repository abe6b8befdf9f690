"""The one door to the catalogue's records: whatever makes or changes one comes through here.

Every change is a version, an audit entry when a person made it, a new entry of the search index
and an event for webhooks; all in the caller's transaction.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from catalog import pictures
from catalog.audit import SYSTEM, Actor, note
from catalog.clock import china_date
from catalog.errors import Missing, Refused
from catalog.models import RESOURCE_KINDS, Centre, Resource, ResourceVersion
from catalog.records import fields as record_fields
from catalog.records import kinds
from catalog.records.fields import clean, value_of, wrong
from catalog.records.genres import add_genre as add_genre
from catalog.records.genres import genres as genres
from catalog.records.genres import retire_genre as retire_genre
from catalog.records.reach import contract_of, resources_of
from catalog.records.writing import (
    add_version,
    begin,
    change_one,
    find,
    measure_one,
    put_all,
    reason,
    restore_one,
    tell,
    tell_all,
    withdraw_one,
)
from infra.ids import public_id

BULK_MAX: Final = 1_000
"""Records changed at once."""
MEDIA_FIELDS: Final = (
    "storage_key",
    "media_type",
    "size_bytes",
    "sha256",
    "duration_ticks",
    "technical",
)


@dataclass(frozen=True, slots=True)
class BulkResult:
    """What a bulk change came to: (id, code) of each record it could not be made on."""

    changed: int
    refused: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Media:
    """The file of an image, a sound, a document, as it lies in storage."""

    storage_key: str
    media_type: str
    size_bytes: int
    sha256: str
    duration_ticks: int = 0
    technical: dict[str, Any] = field(default_factory=dict)
    phash: str = ""
    """Of a picture: what it is found again by (``catalog.picture_hash``)."""


# --- finding ---------------------------------------------------------------------------------


def get(session: Session, actor: Actor, resource_id: str) -> Resource:
    """A record within the actor's reach; one outside is as unknown as one that is not."""
    return find(session, actor, resource_id)


def public(session: Session, resource_id: str) -> Resource:
    """A published record, for anybody. Raises Missing."""
    found = session.get(Resource, resource_id)
    if found is None or found.state != "published":
        raise Missing("resource_unknown")
    return found


def history(session: Session, resource_id: str) -> list[ResourceVersion]:
    """Every version, the newest first."""
    query = select(ResourceVersion).where(ResourceVersion.resource_id == resource_id)
    return list(session.scalars(query.order_by(ResourceVersion.version.desc())))


def children(session: Session, actor: Actor | None, parent_id: str) -> list[Resource]:
    """The lessons of a course, the images of an exhibition, in their order; not withdrawn ones.

    Those the actor reaches, for a parent's may be others'; of None, the public, the published.
    """
    query = (
        select(Resource)
        .join(Centre, Centre.id == Resource.centre_id)
        .where(
            Resource.parent_id == parent_id,
            Resource.withdrawn_at.is_(None),
            Resource.state == "published" if actor is None else resources_of(actor),
        )
    )
    return list(session.scalars(query.order_by(Resource.position, Resource.id)))


# --- making and changing ---------------------------------------------------------------------


def create(
    session: Session,
    actor: Actor,
    *,
    kind: str,
    centre: Centre,
    fields: Mapping[str, Any],
    now: dt.datetime | None = None,
) -> Resource:
    """A new record, a draft. Raises Refused for a field that is not right."""
    now = now or dt.datetime.now(dt.UTC)
    if kind not in RESOURCE_KINDS:
        raise Refused("resource_kind", kinds="、".join(kinds.KINDS.values()))
    if actor.centre_path is not None and not centre.path.startswith(actor.centre_path):
        raise Missing("centre_unknown", centre=centre.name)
    contract = contract_of(actor.role, actor.contract)
    if contract == "":
        raise Refused("contract_needed")
    today = china_date(now)
    given = clean({"event_date": today, **fields}, today=today)
    if "title" not in given:
        raise wrong("title", "不能空着")
    resource = Resource(id=public_id(), centre_id=centre.id, kind=kind, contract=contract or "")
    resource.origin = kinds.ORIGIN_OF.get(kind)
    resource.created_by = actor.user_id
    begin(resource, now)
    changes = put_all(session, actor, resource, given, now)
    session.add(resource)
    session.flush()
    add_version(session, actor, resource, changes, now)
    note(session, actor, "resource.create", "resource", resource.id, centre_id=centre.id)
    tell(session, resource, "resource.created")
    return resource


def change(
    session: Session,
    actor: Actor,
    resource_id: str,
    changes: Mapping[str, Any],
    *,
    expect_version: int | None = None,
    now: dt.datetime | None = None,
) -> Resource:
    """Change some fields; what reviewers have seen is reopened. No difference, no version.

    ``expect_version``: what the writer was looking at. Raises Refused ``record_changed`` when
    somebody else was quicker.
    """
    now = now or dt.datetime.now(dt.UTC)
    resource = find(session, actor, resource_id, lock=True)
    if expect_version is not None and resource.version != expect_version:
        raise Refused("record_changed")
    if change_one(session, actor, resource, changes, now):
        tell(session, resource, "resource.changed")
    return resource


def bulk_change(
    session: Session,
    actor: Actor,
    ids: Sequence[str],
    changes: Mapping[str, Any],
    add_keywords: Iterable[str] = (),
    remove_keywords: Iterable[str] = (),
    *,
    now: dt.datetime | None = None,
) -> BulkResult:
    """The same change on many records; each is changed whole or refused with its code."""
    now = now or dt.datetime.now(dt.UTC)
    wanted = list(dict.fromkeys(ids))
    if len(wanted) > BULK_MAX:
        raise Refused("bulk_too_many", most=BULK_MAX, sent=len(wanted))
    clean(changes, today=china_date(now))  # a wrong field is wrong on all of them
    added, removed = list(add_keywords), set(remove_keywords)
    query = (
        select(Resource)
        .join(Centre, Centre.id == Resource.centre_id)
        .where(Resource.id.in_(wanted), resources_of(actor))
        .order_by(Resource.id)  # always in the same order, so that two of these never deadlock
        .with_for_update(of=Resource)
    )
    found = {r.id: r for r in session.scalars(query, execution_options={"populate_existing": True})}
    changed: list[Resource] = []
    refused = [(key, "resource_unknown") for key in wanted if key not in found]
    for key in (key for key in wanted if key in found):
        resource = found[key]
        own = dict(changes)
        if added or removed:
            kept = own.get("keywords", resource.keywords)
            own["keywords"] = [word for word in kept if word not in removed] + added
        try:
            if change_one(session, actor, resource, own, now):
                changed.append(resource)
        except Refused as error:
            refused.append((key, error.code))
    tell_all(session, changed, "resource.changed")
    return BulkResult(len(changed), refused)


def attach(
    session: Session,
    actor: Actor,
    resource_id: str,
    media: Media,
    *,
    now: dt.datetime | None = None,
) -> Resource:
    """Give an image, a sound, a document its file, or another one; reviews begin anew."""
    resource = find(session, actor, resource_id, lock=True)
    if resource.work_id or resource.take_id:
        raise Refused("resource_has_footage")
    if media.phash:
        pictures.remember(session, resource.id, media.phash)
    facts = {name: getattr(media, name) for name in MEDIA_FIELDS}
    if measure_one(session, actor, resource, facts, now or dt.datetime.now(dt.UTC)):
        tell(session, resource, "resource.changed")
    return resource


def register(
    session: Session,
    unique: str,
    key: str,
    *,
    facts: Mapping[str, Any],
    first: Mapping[str, Any],
    now: dt.datetime | None = None,
) -> Resource:
    """The record of a work or take, made or brought up to date by the system itself.

    ``unique``: "work_id" or "take_id", whose id is ``key``, or "id" itself. ``facts`` are
    measured and always ours: footage, length, checksum. ``first`` is what a new record begins
    with; from then on people have the word.
    """
    now = now or dt.datetime.now(dt.UTC)
    column = getattr(Resource, unique)
    made = session.scalar(
        insert(Resource)
        .values(
            {"id": public_id(), unique: key, "created_at": now, "changed_at": now, **first, **facts}
        )
        .on_conflict_do_nothing(index_elements=[unique])
        .returning(Resource.id)
    )
    query = select(Resource).where(column == key).with_for_update()
    resource = session.scalars(query, execution_options={"populate_existing": True}).one()
    if made is not None:
        given = {name: value_of(resource, name) for name in first if name in record_fields.FIELDS}
        add_version(session, SYSTEM, resource, {n: [None, v] for n, v in given.items()}, now)
        tell(session, resource, "resource.created")
    elif measure_one(session, SYSTEM, resource, facts, now):
        tell(session, resource, "resource.changed")
    return resource


# --- leaving and coming back -----------------------------------------------------------------


def withdraw(
    session: Session, actor: Actor, resource_id: str, why: str, *, now: dt.datetime | None = None
) -> Resource:
    """Take a record out of the catalogue, and what it shows out of viewers' sight.

    Nothing is deleted; it counts nowhere until it is restored, reviewed and published again.
    """
    resource = find(session, actor, resource_id, lock=True)
    why = reason(why)
    now = now or dt.datetime.now(dt.UTC)
    withdraw_one(session, resource, why, now)
    note(
        session,
        actor,
        "resource.withdraw",
        "resource",
        resource.id,
        centre_id=resource.centre_id,
        why=why,
        # By this a take-down of the same record is told from it.
        at=now.astimezone(dt.UTC).isoformat(),
    )
    return resource


def restore(
    session: Session, actor: Actor, resource_id: str, *, now: dt.datetime | None = None
) -> Resource:
    """Bring a withdrawn record back as a draft. Viewers see it again once it is published."""
    resource = find(session, actor, resource_id, lock=True)
    restore_one(session, resource, now or dt.datetime.now(dt.UTC))
    note(session, actor, "resource.restore", "resource", resource.id, centre_id=resource.centre_id)
    return resource
