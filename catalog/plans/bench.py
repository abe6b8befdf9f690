"""What a report is worked out on: targets, units, facts and entries, and their sums once. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final, NamedTuple

from catalog.plans.measures import Hit, Switches, evidence, measure, scale
from catalog.plans.queries import Query
from catalog.plans.report import Evidence
from catalog.plans.templates import is_called
from catalog.year.facts import Facts

ZERO: Final = Fraction(0)


class Place(NamedTuple):
    """A centre as a unit of a plan."""

    id: str
    name: str
    level: str
    path: str
    groups: frozenset[str]


class Asked(NamedTuple):
    """A target, its query read and its place in the nesting known."""

    code: str
    indicator: str
    unit: str
    who: str
    level: str
    per: str
    period: str
    parent: str | None
    depth: int
    op: str
    value: Fraction
    overrides: Mapping[str, Fraction]
    denominator: str | None
    query: Query | None

    @property
    def is_share(self) -> bool:
        return self.unit == "%" and self.parent is not None

    def of(self, place: Place) -> Fraction:
        """What is asked of one unit: exceptions go by its name; the most exact one stands."""
        if self.per == "per_unit":
            fitting = [name for name in self.overrides if is_called(place.name, name)]
            if fitting:
                return self.overrides[max(fitting, key=len)]
        return self.value


class Given(NamedTuple):
    """A value entered by hand that stands at the cut-off."""

    id: int
    centre_id: str
    code: str
    period: str
    value: Fraction
    date: dt.date
    note: str


class Found(NamedTuple):
    """What is known of a target's number."""

    amount: Fraction | None
    ledger: Fraction | None
    hand: Fraction | None
    hits: list[Hit]
    given: list[Given]


@dataclass(slots=True)
class Bench:
    """Everything lines are made from, and what has been worked out already."""

    asked: Sequence[Asked]
    places: Sequence[Place]
    """The units in the report's subtree."""
    group_sizes: Mapping[str, int]
    """Group → its units in the whole plan."""
    facts: Facts
    given: Mapping[tuple[str, str], list[Given]]
    """(centre, code) → entries."""
    switches: Switches
    detail: bool
    centres: Sequence[tuple[str, str]]
    """(id, path) of every centre of the subtree, unit or not."""
    _by_centre: dict[str, Facts] = field(default_factory=dict)
    _parts: dict[frozenset[str], Facts] = field(default_factory=dict)
    _hits: dict[tuple[Query, frozenset[str]], list[Hit]] = field(default_factory=dict)
    _rows: dict[tuple[Query, frozenset[str]], tuple[Evidence, ...]] = field(default_factory=dict)
    _found: dict[tuple[str, frozenset[str]], Found] = field(default_factory=dict)

    def part(self, ids: frozenset[str]) -> Facts:
        """The facts of some centres."""
        if len(ids) == 1:
            (only,) = ids
            self._by_centre = self._by_centre or self.facts.by_centre()
            found = self._by_centre.get(only)
            return self.facts.part(()) if found is None else found
        if ids not in self._parts:
            self._parts[ids] = self.facts.part(ids)
        return self._parts[ids]

    def hits(self, query: Query, places: Sequence[Place]) -> list[Hit]:
        """What a query counts over some units; targets that ask the same share it."""
        key = (query, scope_of(query, places, self.centres))
        if key not in self._hits:
            self._hits[key] = measure(query, self.part(key[1]), self.switches)
        return self._hits[key]

    def rows(self, query: Query, places: Sequence[Place]) -> tuple[Evidence, ...]:
        """The same as evidence, in order of date."""
        key = (query, scope_of(query, places, self.centres))
        if key not in self._rows:
            self._rows[key] = evidence(query, self.hits(query, places))
        return self._rows[key]

    def named(self, code: str | None) -> Asked | None:
        return next((asked for asked in self.asked if asked.code == code), None)

    def find(self, asked: Asked, places: Sequence[Place]) -> Found:
        """The number of a target over some units."""
        key = (asked.code, frozenset(place.id for place in places))
        if key not in self._found:
            self._found[key] = self._look(asked, places)
        return self._found[key]

    def _look(self, asked: Asked, places: Sequence[Place]) -> Found:
        given = [row for place in places for row in self.given.get((place.id, asked.code), ())]
        hand = _combined(asked, given)
        if asked.query is None:
            return Found(hand, None, hand, [], given)
        hits = self.hits(asked.query, places)
        ledger = Fraction(sum(hit.amount for hit in hits), scale(asked.query))
        return Found(ledger + (hand or ZERO), ledger, hand, hits, given)


def scope_of(
    query: Query, places: Sequence[Place], centres: Sequence[tuple[str, str]]
) -> frozenset[str]:
    """The centres a query looks at. ``centres``: (id, path) of all there are."""
    if query.scope == "own":
        return frozenset(place.id for place in places)
    return frozenset(
        key for key, path in centres if any(path.startswith(place.path) for place in places)
    )


def _combined(asked: Asked, given: Sequence[Given]) -> Fraction | None:
    """Entries of several units or parts of the year as one number."""
    if not given:
        return None
    values = [row.value for row in given]
    if asked.per == "per_session":
        return min(values)  # every one of them has to reach it
    if asked.unit == "%" and asked.parent is None:
        return sum(values, ZERO) / len(values)
    return sum(values, ZERO)
