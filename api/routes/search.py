"""Search over the API: anyone finds what is published, who is signed in what is theirs to see."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request
from fastapi import Query as Param
from pydantic import Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from api.answers import Answer
from api.auth import Db, actor, caller
from api.pages.guard import SESSION_COOKIE
from api.rights import may
from catalog.accounts import Identity, identity_of
from catalog.models import Centre, Genre, Resource
from catalog.search.query import LIMIT_MOST, OFFSET_MOST, Query, query_for, search
from catalog.search.suggest import suggest

router = APIRouter(tags=["search"])


class SearchItem(Answer):
    id: str
    kind: str
    state: str
    title: str
    centre_id: str
    centre: str
    genre_id: str | None
    event_date: dt.date
    work_id: str | None
    broadcast_id: str | None


class FacetValue(Answer):
    value: str | int
    name: str = Field(description="Of a centre and a genre its name; else the value itself.")
    count: int


class SearchAnswer(Answer):
    items: list[SearchItem]
    total: int
    total_exact: bool = Field(
        description="false: too much is new to be counted by now; total and facets are what is "
        "there at least."
    )
    facets: dict[str, list[FacetValue]]


class Suggestions(Answer):
    items: list[str]


def asker(request: Request, session: Db) -> Identity | None:
    """Who asks, None for the public. A token that is wrong is refused; a cookie that is spent is
    what every browser has that was signed in once."""
    if request.headers.get("authorization"):
        who = caller(request, session)
    else:
        cookie = request.cookies.get(SESSION_COOKIE)
        found = identity_of(session, cookie, "session", dt.datetime.now(dt.UTC)) if cookie else None
        if found is None:
            return None
        who = found
    return who if may(who.role, "resource.see") else None


Asker = Annotated[Identity | None, Depends(asker)]
Words = Annotated[str, Param(max_length=200)]
Choice = Annotated[list[str], Param(max_length=50)]


@router.get("/search")
def find(
    who: Asker,
    session: Db,
    q: Words = "",
    kind: Choice = [],  # noqa: B006 - FastAPI copies it
    genre: Choice = [],  # noqa: B006
    language: Choice = [],  # noqa: B006
    year: Annotated[list[int], Param(max_length=50)] = [],  # noqa: B006
    state: Choice = [],  # noqa: B006
    centre: Annotated[str | None, Param(max_length=32)] = None,
    order: Literal["best", "newest"] = "best",
    limit: Annotated[int, Param(ge=1, le=LIMIT_MOST)] = 30,
    offset: Annotated[int, Param(ge=0, le=OFFSET_MOST)] = 0,
) -> SearchAnswer:
    """Records that have all the words, a page of them, and what all of them are.

    Words may be traditional characters or initials of pinyin. Choices of one facet are either-or;
    each facet is counted under all choices but its own.
    """
    choices: dict[str, Any] = {
        "words": q, "kinds": kind, "genres": genre, "languages": language, "years": year,
        "states": state, "centre_id": centre, "order": order, "limit": limit, "offset": offset,
    }  # fmt: skip
    query = query_for(actor(who), **choices) if who else Query(public_only=True, **choices)
    found = search(session, query)
    names = _names(session, found.facets)
    return SearchAnswer(
        items=_items(session, found.ids),
        total=found.total,
        total_exact=found.total_exact,
        facets={
            facet: [
                FacetValue(value=value, name=names.get((facet, value), str(value)), count=count)
                for value, count in values
            ]
            for facet, values in found.facets.items()
        },
    )


@router.get("/search/suggest")
def complete(who: Asker, session: Db, q: Words = "") -> Suggestions:
    """Names, keywords and titles that complete what was typed, from what the asker may see."""
    scope = query_for(actor(who)) if who else Query(public_only=True)
    return Suggestions(
        items=suggest(
            session,
            q,
            centre_path=scope.centre_path,
            public_only=scope.public_only,
            contract=scope.contract,
        )
    )


def _items(session: Session, ids: list[str]) -> list[SearchItem]:
    query = (
        select(Resource, Centre.name)
        .join(Centre, Centre.id == Resource.centre_id)
        .where(Resource.id.in_(ids))
    )
    rows = {resource.id: (resource, centre) for resource, centre in session.execute(query)}
    return [
        SearchItem(
            id=resource.id,
            kind=resource.kind,
            state=resource.state,
            title=resource.title,
            centre_id=resource.centre_id,
            centre=centre,
            genre_id=resource.genre_id,
            event_date=resource.event_date,
            work_id=resource.work_id,
            broadcast_id=resource.broadcast_id,
        )
        for resource, centre in (rows[key] for key in ids if key in rows)
    ]


def _names(session: Session, facets: dict[str, Any]) -> dict[tuple[str, str | int], str]:
    centres = [value for value, _ in facets["centre"]]
    named = session.execute(select(Centre.id, Centre.name).where(Centre.id.in_(centres)))
    names: dict[tuple[str, str | int], str] = {("centre", key): name for key, name in named}
    return names | {
        ("genre", key): name for key, name in session.execute(select(Genre.id, Genre.name))
    }
