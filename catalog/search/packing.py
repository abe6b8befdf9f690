"""Packs records into bit strings, so that words in every third record are counted in no time.

Records are numbered; a chunk is 32 000 of them. For each frequent word, and for each property that
is counted, a chunk keeps one bit a record. What was written since it was packed is *fresh*: its row
says what is true, and its bits are left out. Packing only makes searches faster, it never changes
what they find; so it may run late, or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from sqlalchemy import delete, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from catalog.models.search import CHUNK, SearchChunk, SearchFresh, SearchRow, SearchTerm

ROWS_FROM: Final = 5_000
"""A smaller catalogue is counted row by row, at any time."""
TERM_FROM: Final = 2_000
"""A word of that many records is packed; fewer are fetched and counted."""
FRESH_MOST: Final = 32
"""Fresh records of a chunk at which it is packed."""
ALL_FRESH_MOST: Final = 300
"""Fresh records at which the chunk that has most of them is packed, however few these are."""
GROWTH: Final = 1.25
"""The catalogue has grown so much: other words may be frequent by now."""
SAMPLE: Final = 20_000
"""Records looked at to learn which words are frequent."""
ALL: Final = "="
"""The property of every record."""
_LOCK: Final = 0x78_69_74_05
_TIMEOUT: Final = "10min"

Places = npt.NDArray[np.int32]
"""Numbers of records, counted from the first of their chunk."""
Lines = Iterable[tuple[str, Places]]
"""Term, and who has it."""


def property_terms(
    path: str, kind: str, state: str, genre: str, languages: str, contract: str, year: int
) -> Iterator[str]:
    """The terms of a record's properties."""
    yield ALL
    yield f"=kind:{kind}"
    yield f"=state:{state}"
    yield f"=year:{year}"
    if genre:
        yield f"=genre:{genre}"
    if contract:
        yield f"=contract:{contract}"
    for code in languages.split():
        yield f"=language:{code}"
    for centre_id in path.split("/")[:-1]:
        yield f"=in:{centre_id}"


def pack_next(session: Session, *, least: int = FRESH_MOST) -> bool:
    """Pack the chunk that needs it most, in this transaction; False: none does."""
    _begin(session)
    rows = rows_most(session)
    if rows < ROWS_FROM:
        return False
    chunk, waiting = func.div(SearchFresh.ord, CHUNK), func.count()
    found = session.execute(
        select(chunk, waiting, func.sum(waiting).over())
        .group_by(chunk)
        .order_by(waiting.desc(), chunk)
        .limit(1)
    ).one_or_none()
    if found is None or (found[1] < least and found[2] < ALL_FRESH_MOST):
        return False
    chosen = session.scalar(select(func.max(SearchChunk.chosen_rows))) or 0
    if rows >= chosen * GROWTH:
        choose_terms(session)
        chosen = rows
    return pack(session, int(found[0]), chosen) > 0


def pack_all(session: Session) -> None:
    """Pack every record, where no chunk is packed yet. Nobody may write meanwhile."""
    _begin(session)
    rows = rows_most(session)
    choose_terms(session)
    for first in range(0, rows, CHUNK):
        _bring_in(session, range(first, min(rows, first + CHUNK)), rows)


def rows_most(session: Session) -> int:
    """One more than the highest number of a record: how many there are, or a little more."""
    highest = session.scalar(select(func.max(SearchRow.ord)))
    return 0 if highest is None else highest + 1


def pack(session: Session, chunk: int, chosen_rows: int) -> int:
    """Bring a chunk's bit strings up to date with its fresh records, which are so no longer.

    How many there were. ``chosen_rows``: records when frequent words were last chosen.
    """
    first = chunk * CHUNK
    # Before the rows are read, in another snapshot. What somebody is writing stays fresh: waiting
    # for them, who may wait for us, would be a deadlock.
    marks = select(SearchFresh.ord).where(SearchFresh.ord >= first, SearchFresh.ord < first + CHUNK)
    fresh = session.scalars(
        delete(SearchFresh)
        .where(SearchFresh.ord.in_(marks.with_for_update(skip_locked=True)))
        .returning(SearchFresh.ord)
    ).all()
    if fresh:
        _bring_in(session, fresh, chosen_rows)
    return len(fresh)


def _bring_in(session: Session, fresh: Sequence[int], chosen_rows: int) -> None:
    """Set the bits of records of one chunk, whatever they were."""
    chunk = fresh[0] // CHUNK
    first = chunk * CHUNK
    known = session.get(SearchChunk, chunk, with_for_update=True)
    days = np.zeros(CHUNK, "<i4")
    if known is None:
        known = SearchChunk(chunk=chunk)
    else:
        days = np.frombuffer(known.days, "<i4").copy()
        _clear(session, chunk, np.array(fresh, np.int32) - first)
    properties = _properties(session, fresh, first, days)
    terms = insert(SearchTerm).on_conflict_do_nothing()
    session.execute(terms, [{"term": term} for term in sorted(properties)])
    lines = ((term, np.array(places, np.int32)) for term, places in properties.items())
    _set(session, "search_properties", chunk, lines)
    _set(session, "search_words", chunk, _words(session, fresh, first))
    known.last_day = int(days.max())
    known.days, known.chosen_rows = days.tobytes(), chosen_rows
    session.add(known)
    session.flush()


def choose_terms(session: Session) -> None:
    """Learn which words are frequent by now, and pack those that were not."""
    step = max(1, rows_most(session) // SAMPLE)
    sample = f"SELECT words FROM search_rows WHERE ord % {step} = 0"
    found = session.scalars(
        text(
            "INSERT INTO search_terms SELECT word FROM ts_stat(:sample)"
            " WHERE ndoc * :step >= :least ON CONFLICT DO NOTHING RETURNING term"
        ),
        {"sample": sample, "step": step, "least": TERM_FROM},
    ).all()
    packed = set(session.scalars(select(SearchChunk.chunk)))
    for term in found if packed else ():
        query = text("SELECT ord FROM search_rows WHERE words @@ CAST(:term AS tsquery)")
        numbers = np.array(session.scalars(query, {"term": term}).all(), np.int32)
        for chunk in packed & set((numbers // CHUNK).tolist()):
            _set(
                session, "search_words", chunk, [(term, numbers[numbers // CHUNK == chunk] % CHUNK)]
            )


def bits_hex(places: Places) -> str:
    """A chunk's bit string with these bits set, in hexadecimal."""
    flags = np.zeros(CHUNK, np.uint8)
    flags[places] = 1
    return np.packbits(flags).tobytes().hex()


def _begin(session: Session) -> None:
    """One packer at a time; it may take long where there is much."""
    session.execute(select(func.pg_advisory_xact_lock(_LOCK)))
    session.execute(select(func.set_config("statement_timeout", _TIMEOUT, True)))


def _properties(
    session: Session, fresh: Sequence[int], first: int, days: Places
) -> dict[str, list[int]]:
    """Who has which property; fills in ``days``."""
    found: dict[str, list[int]] = {}
    query = select(
        SearchRow.ord, SearchRow.path, SearchRow.kind, SearchRow.state, SearchRow.genre,
        SearchRow.languages, SearchRow.contract, SearchRow.day,
    ).where(SearchRow.ord == func.any(list(fresh)))  # fmt: skip
    for number, path, kind, state, genre, languages, contract, day in session.execute(query):
        days[number - first] = day.toordinal()
        for term in property_terms(path, kind, state, genre, languages, contract, day.year):
            found.setdefault(term, []).append(number - first)
    return found


def _words(session: Session, fresh: Sequence[int], first: int) -> Lines:
    """Who has which frequent word."""
    query = text("""
        SELECT t.term, string_agg(int4send(r.ord - :first), '') AS places
        FROM search_rows r
        CROSS JOIN LATERAL unnest(tsvector_to_array(r.words)) AS w (term)
        JOIN search_terms t ON t.term = w.term
        WHERE r.ord = ANY (CAST(:fresh AS int[]))
        GROUP BY t.term
    """)
    for term, places in session.execute(query, {"first": first, "fresh": list(fresh)}).all():
        yield term, np.frombuffer(places, ">i4").astype(np.int32)


def _clear(session: Session, chunk: int, places: Places) -> None:
    """Unset the bits of these records."""
    mask = "CAST('x' || :mask AS bit(32000))"
    for table in ("search_words", "search_properties"):
        session.execute(
            text(
                f"UPDATE {table} SET bits = bits & ~ {mask}"
                f" WHERE chunk = :chunk AND bit_count(bits & {mask}) > 0"
            ),
            {"chunk": chunk, "mask": bits_hex(places)},
        )


def _set(session: Session, table: str, chunk: int, lines: Lines) -> None:
    """Set the bits of these records."""
    strings = {term: bits_hex(places) for term, places in lines}
    session.execute(
        text(
            f"INSERT INTO {table} AS known (term, chunk, bits)"
            " SELECT term, :chunk, CAST('x' || bits AS bit(32000))"
            " FROM unnest(CAST(:terms AS text[]), string_to_array(:bits, ',')) AS s (term, bits)"
            " ON CONFLICT (term, chunk) DO UPDATE SET bits = known.bits | excluded.bits"
        ),
        {"chunk": chunk, "terms": list(strings), "bits": ",".join(strings.values())},
    )
