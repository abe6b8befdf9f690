"""Emergency take-down: a broadcast, a work or a record out of everybody's sight, at once.

Nothing is deleted: feeds are recorded on, footage stays in storage, and what was taken down can
be put back. What browsers and CDNs outside hold already cannot be recalled.
"""

from __future__ import annotations

import datetime as dt

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from catalog.audit import Actor, note
from catalog.errors import Missing, Refused
from catalog.lineage import derived
from catalog.models import AuditEntry, Broadcast, Centre, Resource, Work
from catalog.records import sight
from catalog.records.reach import broadcasts_of, works_of
from catalog.records.writing import find, reason, restore_one, withdraw_one


def take_down(
    session: Session,
    actor: Actor,
    *,
    broadcast_id: str | None = None,
    work_id: str | None = None,
    resource_id: str | None = None,
    why: str,
    now: dt.datetime | None = None,
) -> None:
    """Take exactly one thing down, with what was made of it. Twice is once.

    Raises Missing for what is out of reach, Refused without a reason.
    """
    now = now or dt.datetime.now(dt.UTC)
    why = reason(why)
    kind, key, centre_id = "resource", resource_id or "", ""
    if broadcast_id is not None:
        broadcast = _broadcast(session, actor, broadcast_id)
        _broadcast_down(session, broadcast, why, now)
        for relay in _relays(session, broadcast, off_air_at=None):
            # Who relays the signal shows the same pictures, under another address.
            _broadcast_down(session, relay, why, now)
            _note(session, actor, "takedown", "broadcast", relay.id, relay.centre_id, why=why)
        kind, key, centre_id = "broadcast", broadcast.id, broadcast.centre_id
    elif work_id is not None:
        work = _work(session, actor, work_id)
        for shown in (work, *_made_of(session, [work.id])):
            _work_down(session, shown, why, now)
            if shown.state == "making":
                shown.state = "withdrawn"  # and so it will not be published when it is made
        kind, key, centre_id = "work", work.id, work.centre_id
    else:
        resource = find(session, actor, key, lock=True)
        if resource.state != "withdrawn":
            withdraw_one(session, resource, why, now)
        centre_id = resource.centre_id
    _note(session, actor, "takedown", kind, key, centre_id, why=why)


def put_back(
    session: Session,
    actor: Actor,
    *,
    broadcast_id: str | None = None,
    work_id: str | None = None,
    resource_id: str | None = None,
    now: dt.datetime | None = None,
) -> None:
    """Undo a take-down: media are shown again; records come back as drafts, to be reviewed.

    What had been withdrawn for another reason stays withdrawn. Raises Refused ``not_taken_down``.
    """
    now = now or dt.datetime.now(dt.UTC)
    kind, key, centre_id = "resource", resource_id or "", ""
    if broadcast_id is not None:
        broadcast = _broadcast(session, actor, broadcast_id)
        since = broadcast.off_air_at
        if since is None:
            raise Refused("not_taken_down")
        for relay in _relays(session, broadcast, off_air_at=since):
            _broadcast_up(session, relay, since, now)
            _note(session, actor, "takedown.undo", "broadcast", relay.id, relay.centre_id)
        _broadcast_up(session, broadcast, since, now)
        kind, key, centre_id = "broadcast", broadcast.id, broadcast.centre_id
    elif work_id is not None:
        work = _work(session, actor, work_id)
        if work.state != "withdrawn":
            raise Refused("not_taken_down")
        record = _of_work(session, work)
        since = record.withdrawn_at if record is not None else None
        if record is not None and record.state == "withdrawn":
            _restore(session, record, now)
        _work_up(session, work)
        for made in _made_of(session, [work.id]):
            _up_again(session, made, since, now)
        kind, key, centre_id = "work", work.id, work.centre_id
    else:
        resource = find(session, actor, key, lock=True)
        if resource.state != "withdrawn":
            raise Refused("not_taken_down")
        _restore(session, resource, now)
        if resource.work_id:
            _work_up(session, session.get_one(Work, resource.work_id))
        centre_id = resource.centre_id
    _note(session, actor, "takedown.undo", kind, key, centre_id)


def _restore(session: Session, resource: Resource, now: dt.datetime) -> None:
    """Bring a record back that was taken down, and no other: one that was withdrawn is restored,
    and shown again only once it is reviewed."""
    assert resource.withdrawn_at is not None  # it is withdrawn
    deed = select(AuditEntry.id).where(
        AuditEntry.object_kind == "resource",
        AuditEntry.object_id == resource.id,
        AuditEntry.action == "resource.withdraw",
        AuditEntry.details["at"].astext == resource.withdrawn_at.astimezone(dt.UTC).isoformat(),
    )
    if session.scalar(deed.limit(1)) is not None:
        raise Refused("not_taken_down")
    restore_one(session, resource, now)


# --- a broadcast -----------------------------------------------------------------------------


def _broadcast_down(session: Session, broadcast: Broadcast, why: str, now: dt.datetime) -> None:
    if broadcast.off_air_at is not None:
        return
    broadcast.off_air_at = now
    sight.touch(session, broadcast.media_token)
    for work in _works(session, broadcast):
        _work_down(session, work, why, now)
    shown = select(Resource).where(
        Resource.broadcast_id == broadcast.id,
        # Raw takes nobody published are the evidence of what was received.
        or_(Resource.kind != "raw", Resource.state == "published"),
        Resource.state != "withdrawn",
    )
    for resource in session.scalars(shown.order_by(Resource.id).with_for_update()):
        withdraw_one(session, resource, why, now)


def _broadcast_up(
    session: Session, broadcast: Broadcast, since: dt.datetime, now: dt.datetime
) -> None:
    broadcast.off_air_at = None
    sight.touch(session, broadcast.media_token)
    down = select(Resource).where(
        Resource.broadcast_id == broadcast.id,
        Resource.state == "withdrawn",
        # By its hour one knows what went with the broadcast, and what was withdrawn before.
        Resource.withdrawn_at == since,
    )
    for resource in session.scalars(down.order_by(Resource.id).with_for_update()):
        restore_one(session, resource, now)
    for work in _works(session, broadcast):
        _up_again(session, work, since, now)


def _relays(
    session: Session, broadcast: Broadcast, *, off_air_at: dt.datetime | None
) -> list[Broadcast]:
    query = select(Broadcast).where(
        Broadcast.origin_id == broadcast.id,
        Broadcast.off_air_at.is_(None)
        if off_air_at is None
        else Broadcast.off_air_at == off_air_at,
    )
    return list(session.scalars(query.order_by(Broadcast.id).with_for_update()))


def _broadcast(session: Session, actor: Actor, broadcast_id: str) -> Broadcast:
    query = (
        select(Broadcast)
        .join(Centre, Centre.id == Broadcast.centre_id)
        .where(Broadcast.id == broadcast_id, broadcasts_of(actor))
        .with_for_update(of=Broadcast)
    )
    found = session.scalars(query, execution_options={"populate_existing": True}).one_or_none()
    if found is None:
        raise Missing("broadcast_not_found")
    return found


# --- a work ----------------------------------------------------------------------------------


def _work_down(session: Session, work: Work, why: str, now: dt.datetime) -> None:
    resource = _of_work(session, work)
    if resource is not None and resource.state != "withdrawn":
        withdraw_one(session, resource, why, now)
    if work.state == "ready":
        work.state = "withdrawn"
    sight.touch(session, work.media_token)


def _up_again(session: Session, work: Work, since: dt.datetime | None, now: dt.datetime) -> None:
    """Put a work back that went down with something else at ``since``, and no other."""
    record = _of_work(session, work)
    if record is not None and record.state == "withdrawn" and record.withdrawn_at == since:
        restore_one(session, record, now)
    if record is None or record.state != "withdrawn":
        _work_up(session, work)


def _work_up(session: Session, work: Work) -> None:
    if work.state == "withdrawn":
        # One taken down before it was made has nothing to show: its job is there to be retried.
        work.state = "ready" if work.duration_ticks else "failed"
    sight.touch(session, work.media_token)


def _works(session: Session, broadcast: Broadcast) -> list[Work]:
    own = session.scalars(select(Work.id).where(Work.broadcast_id == broadcast.id)).all()
    ids = {*own, *derived(session, [broadcast.id, *own])}
    query = select(Work).where(Work.id.in_(ids))
    return list(session.scalars(query.order_by(Work.id).with_for_update()))


def _made_of(session: Session, work_ids: list[str]) -> list[Work]:
    query = select(Work).where(Work.id.in_(derived(session, work_ids)))
    return list(session.scalars(query.order_by(Work.id).with_for_update()))


def _of_work(session: Session, work: Work) -> Resource | None:
    query = select(Resource).where(Resource.work_id == work.id).with_for_update()
    return session.scalars(query, execution_options={"populate_existing": True}).one_or_none()


def _work(session: Session, actor: Actor, work_id: str) -> Work:
    query = (
        select(Work)
        .join(Centre, Centre.id == Work.centre_id)
        .outerjoin(Broadcast, Broadcast.id == Work.broadcast_id)
        .where(Work.id == work_id, works_of(actor))
        .with_for_update(of=Work)
    )
    found = session.scalars(query, execution_options={"populate_existing": True}).one_or_none()
    if found is None:
        raise Missing("clip_not_found")
    return found


def _note(
    session: Session,
    actor: Actor,
    action: str,
    kind: str,
    key: str,
    centre_id: str,
    **details: str,
) -> None:
    note(session, actor, action, kind, key, centre_id=centre_id, **details)
