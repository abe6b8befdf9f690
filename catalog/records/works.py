"""Works as somebody finds them: by their id, or a recording by its broadcast's, within reach."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog.audit import Actor
from catalog.errors import Missing
from catalog.models import Broadcast, Centre, Work
from catalog.records.reach import works_of


def find_work(session: Session, actor: Actor, key: str) -> Work:
    """A work within reach. Raises Missing: one that is not, is not to be known of."""
    query = (
        select(Work)
        .join(Centre, Centre.id == Work.centre_id)
        .outerjoin(Broadcast, Broadcast.id == Work.broadcast_id)
        .where(
            (Work.id == key) | ((Work.broadcast_id == key) & (Work.kind == "recording")),
            works_of(actor),
        )
    )
    found = session.scalars(query).first()
    if found is None:
        raise Missing("work_not_found")
    return found
