"""A search of the 资源库 as its address says it, its facets and its pages. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol
from urllib.parse import urlencode

PAGE_SIZE: Final = 24
"""Divides by 2, 3 and 4: the last row of a grid is full at every width."""
PAGE_MAX: Final = 400
"""Nobody leafs to the ten-thousandth record; a search that finds more wants more words."""
WORDS_MAX: Final = 100
PICKS_MAX: Final = 12
"""Values chosen of one facet."""

FACETS: Final = ("kind", "genre", "language", "year", "state")
"""Facets of which several values may be chosen; the centre is one at a time."""


class Params(Protocol):
    """A query as the web framework has it."""

    def get(self, key: str, /) -> str | None: ...
    def getlist(self, key: str, /) -> list[str]: ...


@dataclass(frozen=True)
class Ask:
    """One search as its address says it."""

    path: str
    words: str = ""
    kind: tuple[str, ...] = ()
    genre: tuple[str, ...] = ()
    language: tuple[str, ...] = ()
    year: tuple[str, ...] = ()
    state: tuple[str, ...] = ()
    centre: str = ""
    newest: bool = False
    """Newest first, instead of the best match first."""
    table: bool = False
    page: int = 1

    @property
    def narrowed(self) -> int:
        """How many facets are in use."""
        return sum(bool(getattr(self, name)) for name in (*FACETS, "centre"))

    @property
    def any(self) -> bool:
        return bool(self.words or self.narrowed)

    def pairs(self) -> list[tuple[str, str]]:
        """The query's pairs, without what is as it is by default."""
        found = [("q", self.words)] if self.words else []
        for name in FACETS:
            found += [(name, value) for value in getattr(self, name)]
        if self.centre:
            found.append(("centre", self.centre))
        if self.newest:
            found.append(("order", "newest"))
        if self.table:
            found.append(("show", "table"))
        if self.page > 1:
            found.append(("page", str(self.page)))
        return found

    @property
    def href(self) -> str:
        pairs = self.pairs()
        return f"{self.path}?{urlencode(pairs)}" if pairs else self.path

    @property
    def query(self) -> str:
        """The query alone, the page left out: for an export of all that was found."""
        return urlencode(replace(self, page=1, table=False).pairs())

    def toggled(self, name: str, value: str) -> Ask:
        """With one value of a facet chosen, or no longer chosen."""
        if name == "centre":
            return replace(self, centre="" if self.centre == value else value, page=1)
        chosen: tuple[str, ...] = getattr(self, name)
        kept = tuple(v for v in chosen if v != value)
        return self._with(name, kept if value in chosen else (*chosen, value))

    def only(self, name: str, value: str = "") -> Ask:
        """With just this value of a facet chosen; none for an empty one."""
        return self._with(name, (value,) if value else ())

    def _with(self, name: str, values: tuple[str, ...]) -> Ask:
        return Ask(**{**vars(self), name: values, "page": 1})

    def on_page(self, page: int) -> Ask:
        return replace(self, page=page)

    def shown_as(self, *, table: bool) -> Ask:
        return replace(self, table=table)

    def ordered(self, *, newest: bool) -> Ask:
        return replace(self, newest=newest, page=1)

    def bare(self) -> Ask:
        """The words alone."""
        return Ask(path=self.path, words=self.words, table=self.table)


def ask_of(params: Params, path: str) -> Ask:
    """The search an address means; what makes no sense is left out, not refused."""

    def several(name: str) -> tuple[str, ...]:
        values = (value.strip()[:40] for value in params.getlist(name)[: PICKS_MAX * 2])
        return tuple(dict.fromkeys(value for value in values if value))[:PICKS_MAX]

    page = params.get("page") or ""
    number = int(page) if page.isascii() and page.isdecimal() and len(page) < 6 else 1
    return Ask(
        path=path,
        words=" ".join((params.get("q") or "").split())[:WORDS_MAX],
        kind=several("kind"),
        genre=several("genre"),
        language=several("language"),
        year=tuple(v for v in several("year") if v.isascii() and v.isdecimal() and len(v) == 4),
        state=several("state"),
        centre=(params.get("centre") or "").strip()[:32],
        newest=params.get("order") == "newest",
        table=params.get("show") == "table",
        page=min(max(number, 1), PAGE_MAX),
    )


@dataclass(frozen=True)
class Choice:
    """One value of a facet or a select."""

    value: str
    name: str
    count: int = 0
    chosen: bool = False
    href: str = ""


@dataclass(frozen=True)
class Facet:
    name: str
    title: str
    choices: tuple[Choice, ...]

    @property
    def chosen(self) -> tuple[Choice, ...]:
        return tuple(choice for choice in self.choices if choice.chosen)


@dataclass(frozen=True)
class Pager:
    page: int
    pages: int
    before: str | None
    after: str | None


def pager(ask: Ask, total: int) -> Pager:
    """Where the page stands among all of them."""
    pages = max(1, min(PAGE_MAX, -(-total // PAGE_SIZE)))
    return Pager(
        page=ask.page,
        pages=pages,
        before=ask.on_page(ask.page - 1).href if ask.page > 1 else None,
        after=ask.on_page(ask.page + 1).href if ask.page < pages else None,
    )


def facet(
    ask: Ask, name: str, title: str, counted: Iterable[tuple[str, int]], names: Mapping[str, str]
) -> Facet:
    """A facet's values with their addresses; a chosen one stays in sight though nothing has it."""
    found = dict(counted)
    chosen = {ask.centre} - {""} if name == "centre" else set(getattr(ask, name))
    values = [*found, *sorted(chosen - set(found))]
    return Facet(
        name,
        title,
        tuple(
            Choice(
                value=value,
                name=names.get(value, value),
                count=found.get(value, 0),
                chosen=value in chosen,
                href=ask.toggled(name, value).href,
            )
            for value in values
        ),
    )
