"""Published records as anyone may see them, and who may have which file."""

from __future__ import annotations

from sqlalchemy.orm import Session

from api.pages.library import cards
from api.pages.library.record import people, public_facts
from api.pages.library.view import PublicChild, PublicRecord
from api.pages.view import Gone
from catalog.audit import Actor
from catalog.errors import Missing
from catalog.models import Resource
from catalog.records.files import large_key, small_key
from catalog.records.service import children, get, public

_SMALL = "-small"
_LARGE = "-large"


def record(session: Session, resource_id: str) -> PublicRecord:
    """A published record with what belongs to it. Raises Missing; Gone once it was withdrawn."""
    try:
        resource = public(session, resource_id)
    except Missing:
        known = session.get(Resource, resource_id)
        if known is not None and known.state == "withdrawn" and known.first_published_at:
            raise Gone from None
        raise
    kids = children(session, None, resource.id)
    parent = session.get(Resource, resource.parent_id) if resource.parent_id else None
    if parent is not None and parent.state != "published":
        parent = None
    listed = [resource, *kids, *([parent] if parent else [])]
    shown = cards.look_up(session, listed, public=True)
    return PublicRecord(
        card=cards.card(resource, shown, public=True),
        media=cards.media(resource, shown),
        facts=tuple(fact for fact in public_facts(resource, shown) if fact.value),
        description=resource.description,
        body=resource.body,
        people=people(resource),
        keywords=tuple(resource.keywords),
        children=tuple(
            PublicChild(
                cards.card(kid, shown, public=True),
                cards.media(kid, shown),
                kid.description,
                photographer="、".join(p.name for p in people(kid) if p.role == "photographer"),
                width=_edge(kid, "width"),
                height=_edge(kid, "height"),
            )
            for kid in kids
        ),
        parent=cards.card(parent, shown, public=True) if parent else None,
    )


def _edge(resource: Resource, name: str) -> int:
    found = resource.technical.get(name)
    return found if isinstance(found, int) else 0


def file_of(session: Session, actor: Actor | None, resource_id: str, name: str) -> tuple[str, str]:
    """Storage key and media type of a record's file: of a published one anyone's, else for those
    who reach the record. Raises Missing, also for a checksum that is not its file's.

    Of a picture that somebody sent, the file itself is for those who reach the record: a camera
    writes into it where it stood. Everybody else gets the large one made from it.
    """
    small, large = name.endswith(_SMALL), name.endswith(_LARGE)
    own = _reached(session, actor, resource_id)
    resource = own or public(session, resource_id)
    digest = name.removesuffix(_SMALL).removesuffix(_LARGE)
    if not resource.storage_key or not resource.sha256 or digest != resource.sha256[:12]:
        raise Missing("resource_unknown")
    if small:
        return small_key(resource.storage_key), "image/jpeg"
    if resource.technical.get("large") and (large or own is None):
        return large_key(resource.storage_key), "image/jpeg"
    return resource.storage_key, resource.media_type


def _reached(session: Session, actor: Actor | None, resource_id: str) -> Resource | None:
    if actor is None:
        return None
    try:
        return get(session, actor, resource_id)
    except Missing:
        return None
