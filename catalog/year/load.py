"""The facts of a year from the database: one statement a kind of row, none a centre or a cell."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from sqlalchemy.orm import Session

from catalog.clock import china_date
from catalog.year import holdings, shows
from catalog.year.facts import Facts, Show
from catalog.year.span import Span, span_of

ALL_PARTS: Final = frozenset(
    {"shows", "cameras", "pieces", "stills", "records", "edits", "courses", "clicks"}
)
"""What can be asked for. "shows" come with their footage; there are "bare_shows",
"still_counts" and "record_counts" instead, for who needs no more."""


def load_facts(
    session: Session,
    year: int,
    *,
    centre_path: str | None,
    cut_off: dt.datetime,
    parts: Collection[str] | Mapping[str, Collection[str]] = ALL_PARTS,
) -> Facts:
    """What happened in the subtree in a year of China, up to ``cut_off``.

    ``parts``: names, or name → ids of the centres it is wanted of.
    """
    span = span_of(session, year, centre_path, cut_off)
    if span.last < span.first:
        return Facts(span.first, span.last)
    until = china_date(cut_off - dt.timedelta(microseconds=1))  # at midnight the day before
    of = parts.get if isinstance(parts, Mapping) else _everywhere
    found = _shows(span, parts)

    def rows(name: str, load: Callable[[Span], tuple[Any, ...]]) -> tuple[Any, ...]:
        return load(span.narrowed(of(name))) if name in parts else ()

    return Facts(
        first=span.first,
        last=span.last,
        shows=found,
        pieces=rows("pieces", holdings.pieces),
        stills=(*rows("stills", holdings.stills), *rows("still_counts", holdings.still_counts)),
        records=(
            *rows("records", holdings.records),
            *rows("record_counts", holdings.record_counts),
            *rows("edits", holdings.edits),
        ),
        courses=rows("courses", holdings.courses),
        cameras=shows.cameras(span, found) if "cameras" in parts else frozenset(),
        clicks=shows.clicks(session, found, until) if "clicks" in parts else {},
    )


def _shows(span: Span, parts: Collection[str] | Mapping[str, Collection[str]]) -> tuple[Show, ...]:
    if not isinstance(parts, Mapping):
        return shows.shows(span) if "shows" in parts else ()
    full, bare = frozenset(parts.get("shows", ())), frozenset(parts.get("bare_shows", ()))
    return shows.shows(span.narrowed(full | bare), full) if full | bare else ()


def _everywhere(_name: str) -> None:
    return None
