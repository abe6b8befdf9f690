"""A stretch of time of a subtree: what every statement over a year asks for."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import ARRAY, ColumnElement, String, and_, any_, literal
from sqlalchemy.orm import Session

from catalog.centres import within
from catalog.clock import china_date, china_year
from catalog.models import Centre

_INSTANT: Final = dt.timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Span:
    """A year in China up to a cut-off, of the centres under ``path`` (None: all)."""

    session: Session
    path: str | None
    begin: dt.datetime
    end: dt.datetime
    """Exclusive."""
    first: dt.date
    last: dt.date
    """The last day that counts; before ``first`` where the cut-off is before the year."""

    only: frozenset[str] | None = None
    """Of those centres only these; None: all."""

    def narrowed(self, only: Collection[str] | None) -> Span:
        """The same for some of the centres."""
        return self if only is None else replace(self, only=frozenset(only))

    def reach(self) -> ColumnElement[bool]:
        """Condition on ``Centre``."""
        inside = within(self.path)
        return inside if self.only is None else and_(inside, Centre.id == any_of(self.only))

    def within(self, query: Any, centre_id: Any, day: Any) -> Any:
        """``query`` over the rows of these centres whose day is in the span."""
        return query.join(Centre, Centre.id == centre_id).where(
            day >= self.first, day <= self.last, self.reach()
        )


def any_of(ids: Collection[str]) -> ColumnElement[Any]:
    """The right side of ``column ==`` for many ids: one parameter, however many."""
    return any_(literal(list(ids), ARRAY(String)))


def span_of(session: Session, year: int, path: str | None, cut_off: dt.datetime) -> Span:
    """The span of a year up to ``cut_off``; the instant of the cut-off itself still counts.

    At midnight a day begins: nothing that has only a date is of the day it begins.
    """
    begin, after = china_year(year)
    end = after if cut_off >= after else max(begin, cut_off + _INSTANT)
    last = china_date(end - (2 * _INSTANT if end < after else _INSTANT))
    return Span(session, path, begin, end, begin.date(), last)
