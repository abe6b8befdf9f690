"""Looking records up one by one: those with a rare word, and those written a moment ago."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, cast, func, select, true
from sqlalchemy.dialects.postgresql import TSQUERY
from sqlalchemy.orm import Session, aliased

from catalog.models.search import SearchFresh, SearchRow
from catalog.search.facets import Facts

ROWS_MOST: Final = 20_000
"""Records that are counted one by one."""
FRESH_MOST: Final = 50_000
"""Fresh records that are looked at."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a record must have, whatever is chosen of the facets."""

    words: tuple[str, ...]
    path: str | None
    contract: str | None
    public_only: bool


def matching(
    session: Session, scope: Scope, *, among: Sequence[int] | None
) -> tuple[list[Facts], bool]:
    """The newest records in scope, and whether these are all of them.

    ``among``: only these; they are fetched first, however frequent the words are. None: of all.
    """
    if among is not None and not among:
        return [], True
    row: type[SearchRow] = SearchRow
    if among is not None:
        given = select(SearchRow).where(SearchRow.ord == func.any(list(among)))
        row = aliased(SearchRow, given.offset(0).subquery())
    query = (
        select(row.ord, row.day, row.path, row.kind, row.state, row.genre, row.languages)
        .where(*_conditions(row, scope))
        .order_by(row.day.desc(), row.ord.desc())
        .limit(ROWS_MOST + 1)
    )
    found = list(map(Facts._make, session.execute(query)))
    return found[:ROWS_MOST], len(found) <= ROWS_MOST


def fresh_numbers(session: Session) -> tuple[list[int], bool]:
    """The fresh records, the latest, and whether these are all of them."""
    query = select(SearchFresh.ord).order_by(SearchFresh.ord.desc()).limit(FRESH_MOST + 1)
    found = list(session.scalars(query))
    return found[:FRESH_MOST], len(found) <= FRESH_MOST


def titles(session: Session, numbers: Sequence[int]) -> dict[int, tuple[str, str]]:
    """Number → (id, folded title)."""
    query = select(SearchRow.ord, SearchRow.resource_id, SearchRow.title)
    found = session.execute(query.where(SearchRow.ord == func.any(list(numbers))))
    return {number: (resource_id, title) for number, resource_id, title in found}


def _conditions(row: type[SearchRow], scope: Scope) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if scope.words:
        # Words are letters and digits only: nothing in them is read as an operator.
        words = cast(" & ".join(scope.words), TSQUERY)
        conditions.append(row.words.op("@@", is_comparison=True)(words))
    if scope.path is not None:
        conditions.append(row.path.startswith(scope.path, autoescape=True))
    if scope.contract is not None:
        conditions.append(row.contract == scope.contract)
    if scope.public_only:
        conditions.append(row.state == "published")
    return conditions or [true()]
