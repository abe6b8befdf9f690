"""The steps every change of a record is made of: checking, versions, states, and who is told.

For the doors (service, review, takedown) only: they say who may, and write the audit log.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from catalog.audit import SYSTEM, Actor, note
from catalog.clock import china_date
from catalog.errors import Missing, Refused
from catalog.models import Broadcast, Centre, Genre, Resource, ResourceVersion, Work
from catalog.records import kinds, sight
from catalog.records.fields import clean, content_hash, put, tidy, value_of, wrong
from catalog.records.reach import broadcasts_of, resources_of
from catalog.records.states import next_state
from catalog.search import index
from catalog.sharing import webhooks


def find(session: Session, actor: Actor, resource_id: str, *, lock: bool = False) -> Resource:
    """A record within the actor's reach; one outside is as unknown as one that is not."""
    query = (
        select(Resource)
        .join(Centre, Centre.id == Resource.centre_id)
        .where(Resource.id == resource_id, resources_of(actor))
    )
    if lock:
        # The work first, as everywhere: two that lock both in another order could deadlock.
        work = select(Work.id).join(Resource, Resource.work_id == Work.id)
        session.execute(work.where(Resource.id == resource_id).with_for_update(of=Work))
        query = query.with_for_update(of=Resource)
    found = session.scalars(query, execution_options={"populate_existing": lock}).one_or_none()
    if found is None:
        raise Missing("resource_unknown")
    return found


def begin(resource: Resource, now: dt.datetime) -> None:
    """What the database would fill in at the first flush, known before it."""
    resource.state, resource.version = "draft", 1
    resource.created_at = resource.changed_at = now
    for name in ("description", "place", "rights_holder", "source", "body"):
        setattr(resource, name, "")
    for name in ("languages", "keywords", "people", "lineage", "intervals"):
        setattr(resource, name, [])
    resource.licence, resource.position, resource.duration_ticks = "centre", 0, 0


def change_one(
    session: Session,
    actor: Actor,
    resource: Resource,
    changes: Mapping[str, Any],
    now: dt.datetime,
) -> bool:
    """Change a locked record; whether there was any difference. Refuses before it touches it."""
    before = content_hash(resource)
    given = clean(changes, today=china_date(now))
    differences = put_all(session, actor, resource, given, now)
    return _changed(session, actor, resource, differences, before, now)


def measure_one(
    session: Session,
    actor: Actor,
    resource: Resource,
    facts: Mapping[str, Any],
    now: dt.datetime,
) -> bool:
    """The same for what is measured and not written by people."""
    before = content_hash(resource)
    differences = {
        name: [getattr(resource, name), value]
        for name, value in facts.items()
        if getattr(resource, name) != value
    }
    for name, (_, value) in differences.items():
        setattr(resource, name, value)
    return _changed(session, actor, resource, differences, before, now)


def _changed(
    session: Session,
    actor: Actor,
    resource: Resource,
    differences: dict[str, list[Any]],
    before: str,
    now: dt.datetime,
) -> bool:
    if not differences:
        return False
    state = resource.state
    if content_hash(resource) != before:
        resource.state = next_state(state, "change")
    if resource.state != "published":
        resource.published_at = None
    resource.version += 1
    resource.changed_at = now
    add_version(session, actor, resource, differences, now)
    if actor is not SYSTEM:
        note(
            session,
            actor,
            "resource.change",
            "resource",
            resource.id,
            centre_id=resource.centre_id,
            version=resource.version,
            fields=sorted(differences),
            reopened=state not in ("draft", resource.state),
        )
    session.flush()
    return True


def put_all(
    session: Session,
    actor: Actor,
    resource: Resource,
    given: Mapping[str, Any],
    now: dt.datetime,
) -> dict[str, list[Any]]:
    """Write what differs; {field: [before, after]}. Everything is checked before anything is."""
    differences = {}
    new = resource.version == 1 and resource not in session
    for name, value in given.items():
        known = None if new else value_of(resource, name)
        if known != value or new:
            differences[name] = [known, value]
    _check_references(session, actor, resource, differences)
    if resource.kind != "image" and any(
        differences.get(name, [None, None])[1] for name in ("ledger", "confirmed")
    ):
        raise wrong("ledger", "只有图片可以归类和确认")
    if resource.kind != "course" and differences.get("lessons_planned", [None, None])[1]:
        raise wrong("lessons_planned", "只有课程有章节")
    for name, (_, value) in differences.items():
        put(resource, name, value, now)
    return differences


def _check_references(
    session: Session,
    actor: Actor,
    resource: Resource,
    differences: Mapping[str, list[Any]],
) -> None:
    def new(name: str) -> str | None:
        found: str | None = differences.get(name, [None, None])[1]
        return found

    if key := new("genre_id"):
        genre = session.get(Genre, key)
        if genre is None or genre.retired_at is not None:
            raise wrong("genre_id", "没有这个门类")
    if key := new("parent_id"):
        wanted = kinds.PARENT_OF.get(resource.kind)
        parent = session.scalars(
            select(Resource)
            .join(Centre, Centre.id == Resource.centre_id)
            .where(Resource.id == key, resources_of(actor))
        ).one_or_none()
        if parent is None or parent.kind != wanted or parent.id == resource.id:
            raise wrong("parent_id", "章节只能属于课程，图片只能属于展览")
    if "broadcast_id" in differences and (resource.work_id or resource.take_id):
        raise wrong("broadcast_id", "录像属于哪场直播不能改")
    if key := new("broadcast_id"):
        broadcast = session.scalars(
            select(Broadcast)
            .join(Centre, Centre.id == Broadcast.centre_id)
            .where(Broadcast.id == key, broadcasts_of(actor))
        ).one_or_none()
        if broadcast is None:
            raise wrong("broadcast_id", "没有这场直播")
    before, after = differences.get("lineage", [None, None])
    # What stands there already stays: the system itself knows of sources that not all reach.
    if added := set(after or ()) - set(before or ()):
        known = session.scalars(
            select(Resource.id)
            .join(Centre, Centre.id == Resource.centre_id)
            .where(Resource.id.in_(added), or_(resources_of(actor), Resource.state == "published"))
        )
        if unknown := added - set(known):
            raise wrong("lineage", "没有这个资源：" + "、".join(sorted(unknown)))


def add_version(
    session: Session,
    actor: Actor,
    resource: Resource,
    changes: dict[str, list[Any]],
    now: dt.datetime,
) -> None:
    """One row of the record's history; ``changes`` is {field: [before, after]}."""
    session.add(
        ResourceVersion(
            resource_id=resource.id,
            version=resource.version,
            changes=changes,
            by_id=actor.user_id,
            by_name=actor.name[:100],
            via=actor.via,
            at=now,
        )
    )


def tell(session: Session, resource: Resource, event: str | None) -> None:
    """As ``tell_all``, of one record."""
    tell_all(session, [resource], event)


def tell_all(session: Session, resources: Sequence[Resource], event: str | None) -> None:
    """Search finds them as they are now, and webhooks hear of it; None: of nothing yet."""
    if not resources:
        return
    session.flush()
    index.refresh(session, [resource.id for resource in resources])
    if event is not None:
        for resource in resources:
            webhooks.emit(session, event, resource)


def withdraw_one(session: Session, resource: Resource, why: str, now: dt.datetime) -> None:
    """The withdrawing itself, of a locked record; its work is blocked for viewers with it."""
    resource.state = next_state(resource.state, "withdraw")
    resource.withdrawn_at = resource.changed_at = now
    resource.published_at = None
    resource.withdrawn_why = why
    work = session.get(Work, resource.work_id) if resource.work_id else None
    if work is not None and work.state == "ready":
        work.state = "withdrawn"
        sight.touch(session, work.media_token)
    session.flush()
    tell(session, resource, "resource.withdrawn")


def restore_one(session: Session, resource: Resource, now: dt.datetime) -> None:
    """The restoring itself, of a locked record."""
    resource.state = next_state(resource.state, "restore")
    resource.withdrawn_at = None
    resource.withdrawn_why = ""
    resource.changed_at = now
    session.flush()
    tell(session, resource, "resource.restored")


def publish_one(session: Session, resource: Resource, now: dt.datetime) -> None:
    """What the last approval does: the record and its work are for everybody."""
    resource.published_at = resource.changed_at = now
    resource.first_published_at = resource.first_published_at or now
    work = session.get(Work, resource.work_id) if resource.work_id else None
    if work is not None and work.state == "withdrawn":
        work.state = "ready"
        sight.touch(session, work.media_token)
    session.flush()
    tell(session, resource, "resource.published")


def reason(why: str) -> str:
    """Why something is taken away, fit to keep. Raises Refused when nothing is said."""
    kept = tidy(why)
    if not kept or len(kept) > kinds.WHY_MAX:
        raise Refused("why_needed", most=kinds.WHY_MAX)
    return kept
