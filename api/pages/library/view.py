"""What the pages of the 资源库 show: plain frozen data.

Ids are strings, instants are aware datetimes, lengths are integer milliseconds; labels are Chinese
words ready to be shown.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field

from api.pages.library.ask import Ask, Choice, Facet, Pager
from api.pages.view import WorkDesk


@dataclass(frozen=True)
class Card:
    """One record in a list."""

    id: str
    title: str
    kind: str
    kind_name: str
    state: str
    state_name: str
    centre: str
    date: dt.date
    href: str
    genre: str = ""
    poster_url: str | None = None
    length_ms: int | None = None
    note: str = ""
    """A few more words: how many lessons, how many pictures, what is missing."""


@dataclass(frozen=True)
class Listing:
    """A page of what a search found."""

    ask: Ask
    cards: tuple[Card, ...]
    total: int
    exact: bool
    facets: tuple[Facet, ...]
    pager: Pager

    @property
    def picked(self) -> tuple[Choice, ...]:
        """Every chosen value, with the address that drops it."""
        return tuple(choice for facet in self.facets for choice in facet.chosen)


# ---- one record ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Media:
    """What of a record can be played, looked at or opened."""

    hls_url: str | None = None
    item_id: str = ""
    poster_url: str | None = None
    image_url: str | None = None
    large_url: str | None = None
    """The picture as a page shows it alone: no larger than a screen needs."""
    file_url: str | None = None
    file_name: str = ""
    file_type: str = ""
    length_ms: int | None = None
    watch_url: str | None = None
    """Where the public sees it."""


@dataclass(frozen=True)
class Fact:
    """One line of a record, in plain words."""

    label: str
    value: str
    href: str = ""


@dataclass(frozen=True)
class Person:
    name: str
    role: str
    role_name: str


@dataclass(frozen=True)
class Change:
    """One field of one version."""

    label: str
    before: str
    after: str


@dataclass(frozen=True)
class Version:
    number: int
    at: dt.datetime
    by: str
    via: str
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Decision:
    round: int
    step: int
    step_name: str
    approved: bool
    by: str
    at: dt.datetime
    note: str
    same: bool
    """What was seen is what stands here now."""


@dataclass(frozen=True)
class ReviewBox:
    """Where a record stands in 三审三校, and what this person may do about it."""

    step: int
    """0: not in review."""
    step_name: str
    may_decide: bool
    why_not: str
    seen_hash: str
    decisions: tuple[Decision, ...]
    reviewers: int = 3


@dataclass(frozen=True)
class Report:
    """A frozen return that has this record among its evidence."""

    title: str
    year: int
    revision: int
    href: str
    lines: tuple[str, ...]
    """Names of the indicators it counts for."""


@dataclass(frozen=True)
class Figures:
    """Plays of the record's work, and what the rules left out."""

    views: int = 0
    starts: int = 0
    effective: int = 0
    devices: int = 0
    completed: int = 0
    watched_ms: int = 0
    peak: int = 0
    excluded: tuple[tuple[str, int], ...] = ()
    """(why, how many play starts and page views together)."""


@dataclass(frozen=True)
class RecordView:
    card: Card
    version: int
    media: Media
    facts: tuple[Fact, ...]
    description: str
    body: str
    people: tuple[Person, ...]
    keywords: tuple[str, ...]
    counts_as: str
    """One sentence: how the rules count it."""
    review: ReviewBox
    history: tuple[Version, ...]
    figures: Figures | None
    reports: tuple[Report, ...]
    children: tuple[Card, ...]
    child_kind: str
    parent: Card | None
    technical: tuple[Fact, ...]
    withdrawn_at: dt.datetime | None = None
    withdrawn_why: str = ""
    off_air: bool = False
    """Taken down at once: media addresses answer nothing."""
    mp4: WorkDesk | None = None
    """Of footage that is a work: its MP4, and how it was cut."""
    rights: frozenset[str] = frozenset()
    """submit, change, withdraw, restore, takedown, put_back: what this person may do now."""

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of what nobody has filled in yet."""
        empty = [fact.label for fact in self.facts if not fact.value]
        return (*empty, *(["关键词"] if not self.keywords else []))

    @property
    def may_hide(self) -> bool:
        """Whether there is anything for this person to do about its being seen."""
        return bool(self.rights & {"withdraw", "restore", "takedown", "put_back"})


@dataclass(frozen=True)
class FormView:
    """A record being described: what was typed, what was wrong with it."""

    kind: str
    kind_name: str
    values: Mapping[str, str]
    people: tuple[tuple[str, str], ...]
    """(name, role)."""
    languages: frozenset[str]
    errors: Mapping[str, str] = field(default_factory=dict)
    general: str | None = None
    record_id: str | None = None
    title: str = ""
    version: int = 0


@dataclass(frozen=True)
class Vocabulary:
    """The values a record's fields choose from."""

    kinds: tuple[Choice, ...]
    genres: tuple[Choice, ...]
    languages: tuple[Choice, ...]
    licences: tuple[Choice, ...]
    roles: tuple[Choice, ...]
    origins: tuple[Choice, ...]
    ledgers: tuple[Choice, ...]
    centres: tuple[Choice, ...]


@dataclass(frozen=True)
class Waiting:
    """A record in the queue of what waits for review."""

    card: Card
    step_name: str
    sent_by: str
    sent_at: dt.datetime | None
    mine: bool
    why_not: str
    wall_href: str
    """Of an exhibition's picture: where all of them are approved together."""


@dataclass(frozen=True)
class AuditRow:
    id: int
    at: dt.datetime
    by: str
    role: str
    action: str
    what: str
    object_name: str
    href: str
    details: tuple[Fact, ...]


@dataclass(frozen=True)
class PublicRecord:
    """A published record as anyone may see it."""

    card: Card
    media: Media
    facts: tuple[Fact, ...]
    description: str
    body: str
    people: tuple[Person, ...]
    keywords: tuple[str, ...]
    children: tuple[PublicChild, ...]
    parent: Card | None


@dataclass(frozen=True)
class PublicChild:
    """A lesson of a course, a picture of an exhibition."""

    card: Card
    media: Media
    description: str
    photographer: str = ""
    width: int = 0
    """Of a picture, upright; 0: not known."""
    height: int = 0
