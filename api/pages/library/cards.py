"""Records turned into cards: pictures, lengths and names of many of them in a few queries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session, joinedload

from api.pages.library.view import Card, Media
from api.pages.watching import path_of
from catalog.minutes import TICKS_A_MS
from catalog.models import Broadcast, Genre, Resource, Work
from catalog.records import kinds

Row = TypeVar("Row", Work, Broadcast)


def desk_href(resource: Resource) -> str:
    return f"/desk/library/{resource.id}"


def public_href(resource: Resource) -> str:
    """Where anyone sees it: the place that plays it, else its own page."""
    if resource.kind == "exhibition":
        return f"/e/{resource.id}"
    return f"/r/{resource.id}"


def file_url(resource: Resource, *, small: bool = False) -> str | None:
    """Address of a record's file; its checksum in it, so that browsers may keep it."""
    if not resource.storage_key or not resource.sha256:
        return None
    return f"/files/{resource.id}/{resource.sha256[:12]}{'-small' if small else ''}"


def large_url(resource: Resource) -> str | None:
    """Address of a picture as a page shows it alone: of a photographer's a smaller one."""
    whole = file_url(resource)
    return f"{whole}-large" if whole and resource.technical.get("large") else whole


def load(session: Session, ids: Sequence[str]) -> list[Resource]:
    """Records with their centres, in the order of ``ids``."""
    query = select(Resource).where(Resource.id.in_(ids)).options(joinedload(Resource.centre))
    found = {resource.id: resource for resource in session.scalars(query)}
    return [found[key] for key in ids if key in found]


def genre_names(session: Session) -> dict[str, str]:
    """Every 门类 ever, retired ones too: old records keep theirs."""
    query = select(Genre.id, Genre.name).order_by(Genre.position, Genre.name)
    return {row.id: row.name for row in session.execute(query)}


@dataclass(frozen=True)
class Shown:
    """What of many records has to be looked up elsewhere."""

    works: Mapping[str, Work]
    broadcasts: Mapping[str, Broadcast]
    first_pictures: Mapping[str, Resource]
    children: Mapping[str, int]
    genres: Mapping[str, str]


def look_up(session: Session, resources: Iterable[Resource], *, public: bool = False) -> Shown:
    """``public``: of what belongs to a record, only the published counts and is shown."""
    listed = list(resources)
    works = [r.work_id for r in listed if r.work_id]
    broadcasts = [r.broadcast_id for r in listed if r.broadcast_id]
    parents = [r.id for r in listed if r.kind in ("exhibition", "course")]
    counted: dict[str, int] = {}
    first: dict[str, Resource] = {}
    if parents:
        of = Resource.parent_id.in_(parents) & Resource.withdrawn_at.is_(None)
        if public:
            of &= Resource.state == "published"
        counted = {
            str(parent): number
            for parent, number in session.execute(
                select(Resource.parent_id, func.count()).where(of).group_by(Resource.parent_id)
            )
        }
        pictures = (
            select(Resource)
            .where(of, Resource.kind == "image", Resource.storage_key.is_not(None))
            .ext(distinct_on(Resource.parent_id))
            .order_by(Resource.parent_id, Resource.position, Resource.id)
        )
        first = {str(r.parent_id): r for r in session.scalars(pictures)}
    return Shown(
        works=_by_id(session, Work, works),
        broadcasts=_by_id(session, Broadcast, broadcasts),
        first_pictures=first,
        children=counted,
        genres=genre_names(session),
    )


def _by_id(session: Session, table: type[Row], ids: Sequence[str]) -> dict[str, Row]:
    if not ids:
        return {}
    return {row.id: row for row in session.scalars(select(table).where(table.id.in_(ids)))}


def poster_url(resource: Resource, shown: Shown) -> str | None:
    """The picture a list shows of a record; None for a blank one."""
    if resource.kind == "image":
        return file_url(resource, small=True)
    if resource.kind == "exhibition":
        first = shown.first_pictures.get(resource.id)
        return file_url(first, small=True) if first else None
    work = shown.works.get(resource.work_id or "")
    if work is not None and work.poster_key:
        return f"/hls/{work.media_token}/poster.jpg"
    broadcast = shown.broadcasts.get(resource.broadcast_id or "")
    if broadcast is not None and broadcast.poster_at and resource.kind in ("finished", "raw"):
        return f"/hls/{broadcast.media_token}/poster.jpg"
    return None


def card(resource: Resource, shown: Shown, *, public: bool = False) -> Card:
    """One record in a list."""
    return Card(
        id=resource.id,
        title=resource.title,
        kind=resource.kind,
        kind_name=kinds.KINDS[resource.kind],
        state=resource.state,
        state_name=kinds.STATES[resource.state],
        centre=resource.centre.name,
        date=resource.event_date,
        href=public_href(resource) if public else desk_href(resource),
        genre=shown.genres.get(resource.genre_id or "", ""),
        poster_url=poster_url(resource, shown),
        length_ms=resource.duration_ticks // TICKS_A_MS or None,
        note=_note(resource, shown, public=public),
    )


def cards(
    session: Session, resources: Sequence[Resource], *, public: bool = False
) -> tuple[Card, ...]:
    shown = look_up(session, resources, public=public)
    return tuple(card(resource, shown, public=public) for resource in resources)


def media(resource: Resource, shown: Shown) -> Media:
    """What of a record can be played, looked at or opened."""
    work = shown.works.get(resource.work_id or "")
    broadcast = shown.broadcasts.get(resource.broadcast_id or "")
    watch = None
    if work is not None and work.kind != "recording":
        watch = path_of(work)
    elif broadcast is not None and resource.kind in ("finished", "raw"):
        watch = f"/b/{broadcast.id}"
    elif resource.state == "published":
        watch = public_href(resource)
    playable = work is not None and work.state == "ready"
    whole = file_url(resource)
    return Media(
        hls_url=f"/hls/{work.media_token}/main.m3u8" if work is not None and playable else None,
        item_id=_item(resource, work),
        poster_url=poster_url(resource, shown),
        image_url=whole if resource.kind == "image" else None,
        large_url=large_url(resource) if resource.kind == "image" else None,
        file_url=whole,
        file_name=resource.title,
        file_type=resource.media_type,
        length_ms=resource.duration_ticks // TICKS_A_MS or None,
        watch_url=watch,
    )


def _item(resource: Resource, work: Work | None) -> str:
    """What its plays are counted under: a recording's are its broadcast's."""
    if work is None:
        return ""
    return work.broadcast_id or work.id if work.kind == "recording" else work.id


def _note(resource: Resource, shown: Shown, *, public: bool) -> str:
    number = shown.children.get(resource.id, 0)
    if resource.kind == "course":
        return f"{number} 章"
    if resource.kind == "exhibition":
        return f"{number} 幅"
    if resource.kind == "image" and resource.confirmed_at is None and not public:
        return "还没确认"
    return ""
