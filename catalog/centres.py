"""The tree of culture centres: making them, finding them, and subtrees as path prefixes."""

from __future__ import annotations

from sqlalchemy import ColumnElement, func, or_, select, true
from sqlalchemy.orm import Session

from catalog.errors import Missing, Refused
from catalog.models import Centre
from infra.ids import public_id

NAME_MAX = 200
FIRST_NAME = "文化馆"
"""Name of the centre a fresh instance begins with, until somebody gives it its own."""
LEVELS = ("province", "prefecture", "county", "station")

# One lock for making centres: two first accounts at once must not make two first centres.
_LOCK = 0x78_69_74_01


def add_centre(
    session: Session, name: str, *, parent: Centre | None = None, level: str = "county"
) -> Centre:
    """A new centre, at the root or under ``parent``. Raises Refused for a bad name or level."""
    name = name.strip()
    if not name or len(name) > NAME_MAX:
        raise Refused("centre_name", longest=NAME_MAX)
    if level not in LEVELS:
        raise Refused("centre_level", levels="、".join(LEVELS))
    key = public_id()
    centre = Centre(
        id=key,
        parent_id=parent.id if parent else None,
        name=name,
        level=level,
        path=f"{parent.path if parent else ''}{key}/",
    )
    session.add(centre)
    session.flush()
    return centre


def find_centre(session: Session, wanted: str) -> Centre | None:
    """A centre by its id, else by its exact name (the oldest, were two called the same)."""
    wanted = wanted.strip()
    query = (
        select(Centre)
        .where(or_(Centre.id == wanted, Centre.name == wanted))
        .order_by((Centre.id == wanted).desc(), Centre.created_at, Centre.id)
        .limit(1)
    )
    return session.scalars(query).first()


def get_centre(session: Session, wanted: str) -> Centre:
    """As ``find_centre``; raises Missing."""
    centre = find_centre(session, wanted)
    if centre is None:
        raise Missing("centre_unknown", centre=wanted[:NAME_MAX])
    return centre


def find_or_add(session: Session, name: str) -> Centre:
    """The centre of that name or id, made when there is none."""
    lock_centres(session)
    return find_centre(session, name) or add_centre(session, name)


def home_centre(session: Session, wanted: str | None) -> Centre:
    """The centre a local command means: the one it names, else the oldest.

    Where no centre exists yet, the first is made, so that a fresh machine needs no set-up step.
    """
    lock_centres(session)
    if session.scalar(select(func.count()).select_from(Centre)) == 0:
        return add_centre(session, wanted or FIRST_NAME)
    if wanted:
        return get_centre(session, wanted)
    oldest = select(Centre).order_by(func.length(Centre.path), Centre.created_at, Centre.id)
    return session.scalars(oldest.limit(1)).one()


def within(path: str | None) -> ColumnElement[bool]:
    """SQL condition on ``Centre``: inside the subtree at ``path``; None is everywhere."""
    if path is None:
        return true()
    return Centre.path.startswith(path, autoescape=True)


def centres_within(session: Session, path: str | None) -> list[Centre]:
    """Centres of a subtree, parents before children."""
    return list(session.scalars(select(Centre).where(within(path)).order_by(Centre.path)))


def lock_centres(session: Session) -> None:
    """Hold other makers of centres until this transaction ends."""
    session.execute(select(func.pg_advisory_xact_lock(_LOCK)))
