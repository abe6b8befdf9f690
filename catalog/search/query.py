"""Searching the catalogue: the records that have all the words, how many there are, and of what.

Counts are exact. The records of a rare word are fetched by PostgreSQL's index and counted one by
one; frequent words are counted by bit strings, and what these do not know yet one by one. Only
right after a mass import, where more than `rows.ROWS_MOST` would have to be counted one by one (or
more than `rows.FRESH_MOST` wait to be packed), the newest of these are all that is looked at; then
``total_exact`` is False, and the total, the facets and the pages are of what was looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from catalog.audit import Actor
from catalog.errors import Refused
from catalog.models import Centre
from catalog.search import packed, rows
from catalog.search.facets import (
    FACETS,
    Choices,
    Counts,
    Root,
    Value,
    failing,
    listed,
    tally,
    term_of,
)
from catalog.search.rank import ranked
from catalog.search.tokens import query_of

RANKED_MOST: Final = 500
"""The newest so many are put into the best order; those after them stay in the order of time."""
LIMIT_MOST: Final = 200
OFFSET_MOST: Final = 10_000
WORDS_MOST: Final = 200
"""Characters of what is typed that are looked at."""

Newest = list[tuple[int, int]]
"""(day, number of the record)."""


@dataclass(frozen=True, slots=True)
class Query:
    """What is looked for. Several choices of one facet mean any of them."""

    words: str = ""
    kinds: Sequence[str] = ()
    genres: Sequence[str] = ()
    languages: Sequence[str] = ()
    years: Sequence[int] = ()
    states: Sequence[str] = ()
    centre_path: str | None = None
    """Root of what the asker reaches; None: everywhere."""
    centre_id: str | None = None
    """A centre they chose, with all below it."""
    contract: str | None = None
    """Only what was made under it; None: no matter; empty: nothing at all (see `query_for`)."""
    public_only: bool = False
    limit: int = 30
    offset: int = 0
    order: Literal["best", "newest"] = "best"


@dataclass(frozen=True, slots=True)
class Found:
    """A page of what was found, and how much of what there is."""

    ids: list[str] = field(default_factory=list)
    total: int = 0
    total_exact: bool = True
    facets: dict[str, list[tuple[Value, int]]] = field(
        default_factory=lambda: {facet: [] for facet in FACETS}
    )
    """Facet → (value, records). ``centre`` has the direct children of the root of reach (where
    that is everywhere: of the only centre without a parent), each with all below it."""


def query_for(actor: Actor, **choices: Any) -> Query:
    """A query of what somebody reaches: their subtree, and for a studio its one contract."""
    contract = actor.contract if actor.role == "studio" else None
    return Query(centre_path=actor.centre_path, contract=contract, **choices)


def search(session: Session, query: Query) -> Found:
    """The records within reach that have all words, under the choices. Raises Refused."""
    scope = _scope(query)
    if scope is None:
        return Found()
    matches = _Matches(session, scope, _choices(query))
    counts = matches.counts(_root(session, query.centre_path))
    return Found(matches.page(query), matches.total, matches.exact, listed(counts))


def ids_of(session: Session, query: Query) -> list[str]:
    """Only the page: no facet is counted."""
    scope = _scope(query)
    return _Matches(session, scope, _choices(query)).page(query) if scope else []


class _Matches:
    """What is in scope and under all choices, once row by row and once in bits."""

    def __init__(self, session: Session, scope: rows.Scope, choices: Choices) -> None:
        self._session = session
        self._choices = choices
        self._groups: list[list[str]] | None = None
        """What is counted in bits; None: nothing."""
        self._chosen: packed.Packed | None = None
        among: list[int] | None = None
        known = True
        words, self._properties = packed.packed_terms(session, scope.words)
        if len(words) == len(scope.words):
            # Asked for first: a record that is packed a moment later is still told by its row.
            among, known = rows.fresh_numbers(session)
            self._masks = packed.masks_of(among)
            self._groups = _groups(scope)
            if scope.words:
                among = self._look_ahead(among)
        found, all_of_them = rows.matching(session, scope, among=among)
        self.exact = known and all_of_them
        self._rows = [(facts, failing(facts, choices)) for facts in found]
        self._newest = [
            (facts.day.toordinal(), facts.number) for facts, failed in self._rows if not failed
        ]

    def _look_ahead(self, fresh: list[int]) -> list[int]:
        """Where few records have all the words, these are counted one by one like fresh ones."""
        found = packed.count(self._session, self._groups or (), (), self._masks)
        if found.total <= packed.FEW:
            self._groups = None
            return [*fresh, *packed.numbers(found.chunks)]
        if not self._choices:
            self._chosen = found
        return fresh

    @property
    def total(self) -> int:
        return len(self._newest) + (self._chosen.total if self._chosen else 0)

    def counts(self, root: Root) -> Counts:
        """Every facet counted under all choices but its own."""
        counts = tally(self._rows, root)
        if self._groups is not None:
            terms = _facet_terms(self._properties, root)
            for facet in (None, *self._choices):
                own = [facet] if facet else [name for name in FACETS if name not in self._choices]
                counted = {term: key for term, key in terms.items() if key[0] in own}
                for term, n in self._count(facet, counted).counts.items():
                    name, value = counted[term]
                    counts[name][value] += n
        return counts

    def _count(self, but: str | None, counted: Mapping[str, object]) -> packed.Packed:
        """Count in the bits, under all choices but one."""
        groups = [
            *(self._groups or ()),
            *([term_of(facet, value) for value in chosen]
              for facet, chosen in self._choices.items() if facet != but),
        ]  # fmt: skip
        places = but is None and self._chosen is None
        found = packed.count(self._session, groups, list(counted), self._masks, places=places)
        if places:
            self._chosen = found
        return found

    def page(self, query: Query) -> list[str]:
        """Ids of a page, in the order that is wished."""
        best = bool(query.words) and query.order == "best"
        end = query.offset + query.limit
        most = max(end, RANKED_MOST) if best else end
        newest = self._newest
        if self._groups is not None:
            chosen = self._chosen or self._count(None, {})
            newest = newest + packed.newest(self._session, chosen.chunks, most)
        newest = sorted(newest, reverse=True)[:most]
        numbers = [number for _, number in newest]
        first = min(RANKED_MOST, most) if best and query.offset < RANKED_MOST else 0
        known = rows.titles(
            self._session, numbers[:first] + numbers[max(first, query.offset) : end]
        )
        if first:
            numbers[:first] = ranked(
                ((known[number][1], number) for number in numbers[:first]), query.words
            )
        return [known[number][0] for number in numbers[query.offset : end]]


def _scope(query: Query) -> rows.Scope | None:
    """What is asked for; None where nothing can be found."""
    if not 0 <= query.limit <= LIMIT_MOST or not 0 <= query.offset <= OFFSET_MOST:
        raise Refused("search_page", limit=LIMIT_MOST, offset=OFFSET_MOST)
    typed = query.words[:WORDS_MOST].strip()
    words = tuple(query_of(typed))
    if query.contract == "" or (typed and not words):
        return None
    return rows.Scope(words, query.centre_path, query.contract, query.public_only)


def _choices(query: Query) -> Choices:
    given: dict[str, Sequence[Value]] = {
        "kind": query.kinds,
        "genre": query.genres,
        "language": query.languages,
        "year": query.years,
        "state": query.states,
        "centre": [query.centre_id] if query.centre_id else [],
    }
    # PostgreSQL's text has no NUL, so none of our values has.
    return {
        facet: frozenset(v.replace("\0", " ") if isinstance(v, str) else v for v in values)
        for facet, values in given.items()
        if values
    }


def _groups(scope: rows.Scope) -> list[list[str]]:
    """The scope in terms of the bit strings."""
    terms = list(scope.words)
    if scope.path is not None:
        terms.append(term_of("centre", scope.path.split("/")[-2]))
    if scope.contract is not None:
        terms.append(term_of("contract", scope.contract))
    if scope.public_only:
        terms.append(term_of("state", "published"))
    return [[term] for term in terms]


def _root(session: Session, path: str | None) -> Root:
    if path is not None:
        children = select(Centre.id).where(Centre.parent_id == path.split("/")[-2])
        return Root(tuple(session.scalars(children)))
    above = aliased(Centre)
    query = (
        select(Centre.id, Centre.parent_id)
        .outerjoin(above, above.id == Centre.parent_id)
        .where(above.parent_id.is_(None))
    )
    two_levels = session.execute(query).all()
    tops = [key for key, parent_id in two_levels if parent_id is None]
    if len(tops) == 1:
        return Root(tuple(key for key, parent_id in two_levels if parent_id))
    return Root(tuple(tops))


def _facet_terms(properties: Sequence[str], root: Root) -> dict[str, tuple[str, Value]]:
    """Every term that is counted, and the facet and value it stands for."""
    terms: dict[str, tuple[str, Value]] = {
        term_of("centre", child): ("centre", child) for child in root.children
    }
    for term in properties:
        facet, _, value = term[1:].partition(":")
        if facet in FACETS:
            terms[term] = facet, int(value) if facet == "year" else value
    return terms
