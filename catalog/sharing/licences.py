"""Which records are given out of the house: the licence decides, and how long it lasts."""

from __future__ import annotations

import datetime as dt
from typing import Final

from sqlalchemy import ColumnElement, DateTime, cast, func, update
from sqlalchemy.orm import Session

from catalog.clock import CHINA
from catalog.models import Resource

SHARED_LICENCES: Final = ("nation", "open")
"""What a harvest, which anybody may ask for, gives out: 本馆 and 省内 stay where they are. The
trigger that remembers ``shared_at`` (migration 0004) has the same list."""


def shareable(resource: Resource, today: dt.date) -> bool:
    """Whether a record is given out on this day (of China). Pure."""
    return (
        resource.state == "published"
        and resource.licence in SHARED_LICENCES
        and (resource.licence_until is None or resource.licence_until >= today)
    )


def shared_once() -> ColumnElement[bool]:
    """Condition on ``Resource``: harvesters were, or are, given it."""
    return Resource.shared_at.is_not(None)


def lapse(session: Session, now: dt.datetime) -> int:
    """Records whose licence has ended get a new datestamp, so that harvesters who ask for what
    has changed since hear that they are gone; how many. Again it does nothing."""
    ended = func.timezone(CHINA.key, cast(Resource.licence_until + 1, DateTime(timezone=False)))
    lapsed = session.scalars(
        update(Resource)
        .where(shared_once(), ended <= now, Resource.changed_at < ended)
        .values(changed_at=now)
        .returning(Resource.id)
        .execution_options(synchronize_session=False)
    )
    return len(lapsed.all())
