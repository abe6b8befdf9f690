"""The lists of the 资源库: what a search found, and the words its forms choose from."""

from __future__ import annotations

from sqlalchemy.orm import Session

from api.pages.library import cards
from api.pages.library.ask import PAGE_SIZE, Ask, Choice, Facet, facet, pager
from api.pages.library.view import Listing, Vocabulary
from catalog.audit import Actor
from catalog.centres import centres_within
from catalog.models import Centre, Resource
from catalog.records import kinds
from catalog.records.genres import genres
from catalog.records.reach import contract_of
from catalog.search.query import Found, Query, search

TITLES = {
    "centre": "单位",
    "kind": "种类",
    "genre": "门类",
    "language": "语种",
    "year": "年份",
    "state": "状态",
}
_SIDE = ("state", "kind", "genre", "year", "centre", "language")
_PUBLIC_SIDE = ("kind", "genre", "year", "centre", "language")


def listing(session: Session, ask: Ask, actor: Actor | None) -> Listing:
    """A page of what a search finds within somebody's reach; None: published records alone."""
    found = search(session, query_of(ask, actor))
    resources = cards.load(session, found.ids)
    return Listing(
        ask=ask,
        cards=cards.cards(session, resources, public=actor is None),
        total=found.total,
        exact=found.total_exact,
        facets=_facets(session, ask, found, _PUBLIC_SIDE if actor is None else _SIDE),
        pager=pager(ask, found.total),
    )


def query_of(ask: Ask, actor: Actor | None, *, limit: int = PAGE_SIZE) -> Query:
    """An address's search as the catalogue takes it."""
    return Query(
        words=ask.words,
        kinds=_known(ask.kind, kinds.KINDS),
        genres=ask.genre,
        languages=_known(ask.language, kinds.LANGUAGES),
        years=tuple(int(year) for year in ask.year),
        states=() if actor is None else _known(ask.state, kinds.STATES),
        centre_path=actor.centre_path if actor else None,
        centre_id=ask.centre or None,
        contract=contract_of(actor.role, actor.contract) if actor else None,
        public_only=actor is None,
        limit=limit,
        offset=(ask.page - 1) * limit,
        order="newest" if ask.newest or not ask.words else "best",
    )


def _known(values: tuple[str, ...], names: dict[str, str]) -> tuple[str, ...]:
    return tuple(value for value in values if value in names)


def _facets(session: Session, ask: Ask, found: Found, shown: tuple[str, ...]) -> tuple[Facet, ...]:
    names: dict[str, dict[str, str]] = {
        "kind": dict(kinds.KINDS),
        "state": dict(kinds.STATES),
        "genre": cards.genre_names(session),
        "language": dict(kinds.LANGUAGES),
        "year": {},
        "centre": _centre_names(session, ask, found),
    }
    made = {}
    for name in shown:
        values = [(str(value), number) for value, number in found.facets.get(name, [])]
        if name == "state":
            # As a record goes through them, not by how many there are.
            values.sort(key=lambda pair: list(kinds.STATES).index(pair[0]))
        if name == "year":
            names["year"] = {value: f"{value} 年" for value in (*dict(values), *ask.year)}
        made[name] = facet(ask, name, TITLES[name], values, names[name])
    return tuple(made[name] for name in shown)


def _centre_names(session: Session, ask: Ask, found: Found) -> dict[str, str]:
    wanted = [str(value) for value, _ in found.facets.get("centre", [])]
    if ask.centre:
        wanted.append(ask.centre)
    rows = {row.id: row.name for key in wanted if (row := session.get(Centre, key)) is not None}
    return {key: rows.get(key, "（没有这个单位）") for key in wanted}


def vocabulary(session: Session, actor: Actor) -> Vocabulary:
    """What the fields of a record choose from."""
    centres = centres_within(session, actor.centre_path)
    own = actor.centre_path
    centres.sort(key=lambda centre: centre.path != own)
    return Vocabulary(
        kinds=choices(kinds.KINDS),
        genres=tuple(Choice(genre.id, genre.name) for genre in genres(session)),
        languages=choices(kinds.LANGUAGES),
        licences=choices(kinds.LICENCES),
        roles=choices(kinds.PEOPLE_ROLES),
        origins=choices(kinds.ORIGINS),
        ledgers=choices(kinds.LEDGERS),
        centres=tuple(Choice(centre.id, centre.name) for centre in centres),
    )


def choices(names: dict[str, str]) -> tuple[Choice, ...]:
    return tuple(Choice(value, name) for value, name in names.items())


def titles(session: Session, ids: list[str]) -> dict[str, str]:
    """Id → title, to name records in a message."""
    return {key: row.title for key in ids if (row := session.get(Resource, key)) is not None}


def parents(session: Session, ask: Ask, actor: Actor) -> tuple[Choice, ...]:
    """The courses or exhibitions a record may be part of, newest first."""
    found = search(session, query_of(ask, actor, limit=200))
    return tuple(Choice(r.id, r.title) for r in cards.load(session, found.ids))
