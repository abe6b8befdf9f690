"""The facets of a search: what is chosen of them, and how many records have which value. Pure.

A facet counts under all choices but its own, so that it shows what else could be chosen.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final, NamedTuple

Value = str | int
Counts = dict[str, Counter[Value]]
Choices = Mapping[str, frozenset[Value]]
"""Facet → chosen values, any of which will do; a facet without a choice is missing."""

FACETS: Final = ("kind", "genre", "language", "year", "centre", "state")


class Facts(NamedTuple):
    """What is counted of a record."""

    number: int
    day: dt.date
    path: str
    kind: str
    state: str
    genre: str
    languages: str

    @property
    def year(self) -> int:
        return self.day.year


@dataclass(frozen=True, slots=True)
class Root:
    """The centres that are counted, each with all below it."""

    children: tuple[str, ...]


def values_of(facts: Facts, facet: str) -> Sequence[Value]:
    """A record's values of a facet; of `centre` its own and all above it."""
    if facet == "language":
        return facts.languages.split()
    if facet == "centre":
        return facts.path.split("/")[:-1]
    value: Value = getattr(facts, facet)
    return (value,) if value else ()


def term_of(facet: str, value: Value) -> str:
    """The name of a property among the words (`catalog.search.packing`)."""
    return f"={'in' if facet == 'centre' else facet}:{value}"


def failing(facts: Facts, choices: Choices) -> list[str]:
    """The facets whose choice the record does not meet."""
    return [
        facet for facet, chosen in choices.items() if chosen.isdisjoint(values_of(facts, facet))
    ]


def tally(found: Iterable[tuple[Facts, Sequence[str]]], root: Root) -> Counts:
    """Count records, given with the choices each fails, one by one."""
    passing: list[Facts] = []
    but_one: dict[str, list[Facts]] = {}
    for facts, failed in found:
        if not failed:
            passing.append(facts)
        elif len(failed) == 1:
            but_one.setdefault(failed[0], []).append(facts)
    counts: Counts = {}
    for facet in FACETS:
        counted = [*passing, *but_one.get(facet, ())]
        counts[facet] = Counter(chain.from_iterable(values_of(facts, facet) for facts in counted))
    children = frozenset(root.children)
    for centre_id in counts["centre"].keys() - children:
        del counts["centre"][centre_id]
    return counts


def listed(counts: Counts) -> dict[str, list[tuple[Value, int]]]:
    """The counts in the order people read them: the most first, years the latest first."""
    return {
        facet: sorted(
            ((value, n) for value, n in counter.items() if n > 0),
            key=lambda item: (-int(item[0]),) if facet == "year" else (-item[1], str(item[0])),
        )
        for facet, counter in counts.items()
    }
