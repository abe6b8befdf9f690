"""What somebody may mean who has typed so far: names, keywords and titles they may see."""

from __future__ import annotations

from collections import Counter
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog.models import Resource
from catalog.search.query import Query, ids_of
from catalog.search.tokens import fold, initials, is_letters

SUGGESTIONS_MOST: Final = 8
_LOOKED_AT: Final = 100
"""Records whose names and keywords are offered."""


def suggest(
    session: Session,
    prefix: str,
    *,
    centre_path: str | None,
    public_only: bool,
    contract: str | None = None,
) -> list[str]:
    """Completions of what was typed, from the records that would be found by it.

    Keywords and names that begin so come first, the most used first, then titles that have it.
    """
    if not prefix.strip():
        return []
    query = Query(
        words=prefix,
        centre_path=centre_path,
        contract=contract,
        public_only=public_only,
        limit=_LOOKED_AT,
    )
    ids = ids_of(session, query)
    found = select(Resource.id, Resource.title, Resource.keywords, Resource.people, Resource.place)
    rows = {row.id: row for row in session.execute(found.where(Resource.id.in_(ids)))}
    phrases: Counter[str] = Counter()
    titles: dict[str, None] = {}
    for row in (rows[key] for key in ids if key in rows):
        names = [person.get("name", "") for person in row.people]
        phrases.update(
            phrase for phrase in (*row.keywords, *names, row.place) if _begins(phrase, prefix)
        )
        titles[row.title] = None
    best = [phrase for phrase, _ in phrases.most_common(SUGGESTIONS_MOST)]
    return list(dict.fromkeys([*best, *titles]))[:SUGGESTIONS_MOST]


def _begins(phrase: str, prefix: str) -> bool:
    start = fold(prefix.strip())
    if fold(phrase).startswith(start):
        return True
    return is_letters(start) and initials(phrase).startswith(start)
