"""The vocabulary of 门类: staff extend it, and retire what they no longer want."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog.audit import Actor, note
from catalog.errors import Missing, Refused
from catalog.models import Genre
from catalog.records import kinds
from catalog.records.fields import tidy
from infra.ids import public_id


def genres(session: Session, *, retired: bool = False) -> list[Genre]:
    """The vocabulary in its order; with ``retired`` also what is no longer offered."""
    query = select(Genre).order_by(Genre.position, Genre.name)
    return list(session.scalars(query if retired else query.where(Genre.retired_at.is_(None))))


def add_genre(session: Session, actor: Actor, name: str) -> Genre:
    """A new 门类, or a retired one of that name back in use. Raises Refused."""
    name = tidy(name)
    if not name or len(name) > kinds.GENRE_NAME_MAX:
        raise Refused("genre_name", most=kinds.GENRE_NAME_MAX)
    known = session.scalars(select(Genre).where(Genre.name == name).with_for_update()).first()
    if known is not None and known.retired_at is None:
        raise Refused("genre_taken", name=name)
    if known is None:
        last = max((genre.position for genre in genres(session, retired=True)), default=0)
        known = Genre(id=public_id(), name=name, position=last + 1)
        session.add(known)
    known.retired_at = None
    session.flush()
    note(session, actor, "genre.add", "genre", known.id, name=name)
    return known


def retire_genre(
    session: Session, actor: Actor, genre_id: str, *, now: dt.datetime | None = None
) -> Genre:
    """Offer it no more; records that have it keep it. Raises Missing."""
    found = session.get(Genre, genre_id, with_for_update=True)
    if found is None:
        raise Missing("genre_unknown")
    if found.retired_at is None:
        found.retired_at = now or dt.datetime.now(dt.UTC)
        note(session, actor, "genre.retire", "genre", found.id, name=found.name)
    return found
