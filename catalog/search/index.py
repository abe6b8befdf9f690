"""Keeps search up to date: a record's row is written with the record, in the same transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Row, cast, func, select, text, update
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from catalog.models import Centre, Genre, Resource
from catalog.models.search import SearchFresh, SearchRow
from catalog.search import packing
from catalog.search.tokens import fold, letter_tokens, tokens

TEXT_MOST: Final = 2_000
"""Characters of a description and of a body that are indexed."""
FILL_MOST: Final = 500
_BATCH: Final = 5_000
_BUILD_MEMORY: Final = "256MB"


@dataclass(frozen=True, slots=True)
class Entry:
    """What search keeps of a record."""

    resource_id: str
    path: str
    kind: str
    state: str
    genre: str
    languages: str
    contract: str
    day: Any
    title: str
    words: str


def refresh(session: Session, ids: Sequence[str]) -> None:
    """Write what search knows of these records anew; call it after every change of one."""
    entries = [entry_of(row) for row in session.execute(records(ids))]
    session.flush()
    found = select(SearchRow.resource_id, SearchRow.ord).where(SearchRow.resource_id.in_(ids))
    known = {row.resource_id: row.ord for row in session.execute(found)}
    written = []
    for entry in entries:
        values = values_of(entry)
        if entry.resource_id in known:
            # Not by ON CONFLICT: each try would use up a number, and numbers are places in bits.
            session.execute(
                update(SearchRow).where(SearchRow.ord == known[entry.resource_id]).values(values)
            )
            written.append(known[entry.resource_id])
            continue
        made = upsert(SearchRow).values(values)
        made = made.on_conflict_do_update(index_elements=["resource_id"], set_=values)
        written.append(session.scalars(made.returning(SearchRow.ord)).one())
    if written:
        fresh = upsert(SearchFresh).values([{"ord": number} for number in sorted(set(written))])
        # The update holds the mark until we commit: whoever packs the chunk leaves it alone.
        session.execute(
            fresh.on_conflict_do_update(index_elements=["ord"], set_={"ord": fresh.excluded.ord})
        )


def fill_in(session: Session, most: int = FILL_MOST) -> int:
    """Refresh records that search does not know at all; how many there were, at most ``most``."""
    query = (
        select(Resource.id)
        .outerjoin(SearchRow, SearchRow.resource_id == Resource.id)
        .where(SearchRow.ord.is_(None))
        .limit(most)
    )
    ids = session.scalars(query).all()
    refresh(session, ids)
    return len(ids)


def records(ids: Iterable[str] | None) -> Any:
    """Query for all an entry is made of; None: of every record."""
    query = (
        select(
            Resource.id, Resource.kind, Resource.state, Resource.title, Resource.description,
            Resource.body, Resource.keywords, Resource.people, Resource.place,
            Resource.rights_holder, Resource.languages, Resource.event_date, Centre.path,
            Centre.name.label("centre"), Genre.id.label("genre"), Genre.name.label("genre_name"),
            Resource.contract,
        )
        .join(Centre, Centre.id == Resource.centre_id)
        .outerjoin(Genre, Genre.id == Resource.genre_id)
    )  # fmt: skip
    return query if ids is None else query.where(Resource.id.in_(list(ids))).order_by(Resource.id)


def entry_of(row: Row[Any]) -> Entry:
    """A record's entry, from a row of ``records``."""
    names = [*row.keywords, *(person.get("name", "") for person in row.people)]
    short = "\n".join(str(part) for part in (row.title, *names, row.place, row.genre_name or ""))
    long = (row.centre, row.rights_holder, row.description[:TEXT_MOST], row.body[:TEXT_MOST])
    words = {*tokens("\n".join((short, *long))), *letter_tokens(short)}
    return Entry(
        resource_id=row.id,
        path=row.path,
        kind=row.kind,
        state=row.state,
        genre=row.genre or "",
        languages=" ".join(str(code) for code in row.languages),
        contract=row.contract,
        day=row.event_date,
        title=fold(row.title),
        # Tokens are letters and digits only: nothing in them needs quoting.
        words=" ".join(sorted(words)),
    )


def values_of(entry: Entry) -> dict[str, Any]:
    """The columns of an entry."""
    values = {name: getattr(entry, name) for name in Entry.__slots__}
    return values | {"words": cast(entry.words, TSVECTOR)}


def rebuild(session: Session) -> int:
    """Make all of search anew from the records; searches wait until this transaction ends.

    The number of records.
    """
    session.flush()
    session.execute(select(func.set_config("statement_timeout", "0", True)))
    session.execute(select(func.set_config("maintenance_work_mem", _BUILD_MEMORY, True)))
    session.execute(
        text(
            "TRUNCATE search_rows, search_fresh, search_terms, search_words, search_properties,"
            " search_chunks RESTART IDENTITY"
        )
    )
    session.execute(text("DROP INDEX ix_search_rows_words"))
    # In the order of time, so that what is asked for together lies together.
    query = records(None).order_by(Resource.event_date, Resource.id)
    found = session.execute(query, execution_options={"yield_per": _BATCH})
    for rows in found.partitions():
        _copy_in(session, [entry_of(row) for row in rows])
    session.execute(
        text("CREATE INDEX ix_search_rows_words ON search_rows USING gin (words)"
             " WITH (fastupdate = off)")
    )  # fmt: skip
    session.execute(text("ANALYZE search_rows"))
    count = packing.rows_most(session)
    if count >= packing.ROWS_FROM:
        packing.pack_all(session)
        session.execute(text("ANALYZE search_terms, search_words, search_properties"))
    else:
        session.execute(text("INSERT INTO search_fresh SELECT ord FROM search_rows"))
    return count


def _copy_in(session: Session, entries: Sequence[Entry]) -> None:
    connection: Any = session.connection().connection.driver_connection
    columns = ", ".join(Entry.__slots__)
    with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY search_rows ({columns}) FROM STDIN") as copy,
    ):
        for entry in entries:
            copy.write_row([getattr(entry, name) for name in Entry.__slots__])
