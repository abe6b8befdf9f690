"""Which pictures of a centre are the same: the hashes of those it has, and the search in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import ColumnElement, cast, func, literal, select
from sqlalchemy.dialects.postgresql import BIT, insert
from sqlalchemy.orm import InstrumentedAttribute, Session

from catalog.models import PictureHash, Resource
from catalog.picture_hash import HASH_BITS, LIKE_BITS

LIKE_MOST: Final = 12
"""Pictures with nearly the same hash that are looked at one by one."""
# First half of the advisory lock's key: "pics" in ASCII; the second is of the centre.
_LOCK: Final = 0x70_69_63_73


def lock(session: Session, centre_id: str) -> None:
    """Hold others who bring pictures into this centre until the transaction ends: of two that are
    the same, one is first."""
    session.execute(select(func.pg_advisory_xact_lock(_LOCK, func.hashtext(centre_id))))


def remember(session: Session, resource_id: str, phash: str) -> None:
    """Note the hash of a picture of the catalogue, or its new one."""
    fresh = insert(PictureHash).values(resource_id=resource_id, phash=phash)
    session.execute(
        fresh.on_conflict_do_update(index_elements=["resource_id"], set_={"phash": phash})
    )


def alike(session: Session, centre_id: str, phash: str) -> Iterator[Resource]:
    """Pictures of a centre whose hash is nearly this one, the nearest first; not withdrawn ones.

    They may show the very same picture: whoever asks looks (``picture_hash.same_picture``).
    """
    apart = func.bit_count(_bits(PictureHash.phash).op("#")(_bits(literal(phash))))
    query = (
        select(Resource)
        .join(PictureHash, PictureHash.resource_id == Resource.id)
        .where(Resource.centre_id == centre_id, Resource.withdrawn_at.is_(None), apart <= LIKE_BITS)
        .order_by(apart, Resource.id)
        .limit(LIKE_MOST)
    )
    yield from session.scalars(query).all()


def _bits(digits: ColumnElement[str] | InstrumentedAttribute[str]) -> ColumnElement[Any]:
    """Sixteen hexadecimal digits as PostgreSQL's bit string: an "x" before them says what they
    are."""
    return cast(literal("x").concat(digits), BIT(HASH_BITS))
