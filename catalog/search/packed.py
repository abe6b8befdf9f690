"""Counting with bit strings: which packed records have all of some terms, and what they are."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from sqlalchemy import func, or_, select, text
from sqlalchemy.orm import Session

from catalog.models.search import CHUNK, SearchChunk, SearchRow, SearchTerm
from catalog.search.packing import ALL, bits_hex

Groups = Sequence[Sequence[str]]
"""Terms: one of each group, and all groups."""
Chunks = dict[int, npt.NDArray[np.uint8]]
"""Chunk → its bits, eight a byte."""

_MATCHED: Final = """
    WITH wanted (number, term) AS MATERIALIZED (
        SELECT * FROM unnest(CAST(:numbers AS int[]), CAST(:terms AS text[]))
    ), masks (chunk, bits) AS MATERIALIZED (
        -- Sent as one text: an array of long texts takes ten times as long to read.
        SELECT chunk, CAST('x' || bits AS bit(32000))
        FROM unnest(CAST(:chunks AS smallint[]), string_to_array(:masks, ',')) AS m (chunk, bits)
    ), one (number, chunk, bits) AS (
        SELECT w.number, b.chunk, bit_or(b.bits)
        FROM wanted w JOIN (
            SELECT * FROM search_words UNION ALL SELECT * FROM search_properties
        ) AS b ON b.term = w.term
        GROUP BY w.number, b.chunk
    ), everyone (chunk, bits) AS (
        SELECT chunk, bit_and(bits) FROM one GROUP BY chunk HAVING count(*) = :groups
    ), matched (chunk, bits) AS MATERIALIZED (
        -- "&" in any case: what comes out of it is no longer compressed.
        SELECT e.chunk, e.bits & ~ COALESCE(m.bits, CAST(B'0' AS bit(32000)))
        FROM everyone e LEFT JOIN masks m ON m.chunk = e.chunk
    )
"""
_COUNTED: Final = """
    SELECT term, sum(n) AS n, 0 AS chunk, CAST(NULL AS bytea) AS data
    FROM (
        SELECT b.term, bit_count(b.bits & m.bits) AS n
        FROM matched m JOIN search_properties b ON b.chunk = m.chunk
        WHERE b.term = ANY (CAST(:counted AS text[]))
        OFFSET 0 -- so that numbers are grouped, and not strings sorted
    ) AS counted
    GROUP BY term
"""
_FOUND: Final = """
    UNION ALL
    SELECT NULL, bit_count(bits), chunk, bit_send(bits) FROM matched WHERE bit_count(bits) > 0
"""
FEW: Final = 1_500
"""Records that are sooner looked at one by one."""
_HEADER: Final = 4
"""Bytes before the bits in what `bit_send` gives: their number."""


@dataclass(frozen=True, slots=True)
class Packed:
    """What the bit strings say."""

    counts: Mapping[str, int]
    """Term → matching records that have it; terms nobody has are missing."""
    chunks: Chunks
    total: int


def packed_terms(session: Session, words: Collection[str]) -> tuple[set[str], list[str]]:
    """Which of these words are packed, and the terms of all properties any record has."""
    query = select(SearchTerm.term).where(
        or_(SearchTerm.term.in_(list(words)), SearchTerm.term.startswith("="))
    )
    found = session.scalars(query).all()
    return set(words).intersection(found), [term for term in found if term.startswith("=")]


def masks_of(numbers: Collection[int]) -> dict[int, str]:
    """Chunk → bits of the records whose bits are out of date, in hexadecimal."""
    found = np.fromiter(numbers, np.int32, len(numbers))
    return {
        int(chunk): bits_hex(found[found // CHUNK == chunk] % CHUNK)
        for chunk in np.unique(found // CHUNK)
    }


def count(
    session: Session,
    groups: Groups,
    counted: Sequence[str],
    masks: Mapping[int, str],
    *,
    places: bool = True,
) -> Packed:
    """Count the packed records that have one term of each group, and which they are."""
    groups = groups or [[ALL]]
    numbered = [(number, term) for number, group in enumerate(groups) for term in group]
    rows = session.execute(
        text(_MATCHED + _COUNTED + (_FOUND if places else "")),
        {
            "numbers": [number for number, _ in numbered],
            "terms": [term for _, term in numbered],
            "groups": len(groups),
            "chunks": list(masks),
            "masks": ",".join(masks.values()),
            "counted": list(counted),
        },
    )
    counts: dict[str, int] = {}
    chunks: Chunks = {}
    total = 0
    for term, n, chunk, data in rows:
        if term is None:
            chunks[chunk] = np.frombuffer(data, np.uint8)[_HEADER:]
            total += int(n)
        elif n:
            counts[term] = int(n)
    return Packed(counts, chunks, total)


def newest(session: Session, chunks: Chunks, most: int) -> list[tuple[int, int]]:
    """(day, number) of the newest of these records, the newest first.

    Chunks are filled as records come in, roughly in the order of time: of many records, few chunks
    have to be looked into. Few records have their days looked up one by one.
    """
    counts = {chunk: int(np.bitwise_count(bits).sum()) for chunk, bits in chunks.items()}
    if sum(counts.values()) <= FEW:
        return _looked_up(session, chunks)[:most]
    query = select(SearchChunk.chunk, SearchChunk.last_day).order_by(SearchChunk.last_day.desc())
    waiting = [row for row in session.execute(query) if row.chunk in chunks]
    found = np.zeros(0, np.int64)
    while waiting:
        full = len(found) >= most
        oldest = int(found[-1]) >> 32 if full else 0
        taken: list[int] = []
        has = 0
        while waiting and waiting[0].last_day >= oldest and (full or has < most):
            taken.append(waiting.pop(0).chunk)
            has += counts[taken[-1]]
        if not taken:
            break
        keys = _keys(session, {chunk: chunks[chunk] for chunk in taken})
        found = np.sort(np.concatenate([found, keys]))[::-1][:most]
    return [(key >> 32, key & 0xFFFFFFFF) for key in found.tolist()]


def numbers(chunks: Chunks) -> list[int]:
    """The numbers of these records."""
    return [
        int(place) + chunk * CHUNK
        for chunk, bits in chunks.items()
        for place in np.flatnonzero(np.unpackbits(bits))
    ]


def _looked_up(session: Session, chunks: Chunks) -> list[tuple[int, int]]:
    query = select(SearchRow.day, SearchRow.ord).where(SearchRow.ord == func.any(numbers(chunks)))
    return sorted(((day.toordinal(), at) for day, at in session.execute(query)), reverse=True)


def _keys(session: Session, chunks: Chunks) -> npt.NDArray[np.int64]:
    """Day and number of each record, as one number each."""
    query = select(SearchChunk.chunk, SearchChunk.days).where(SearchChunk.chunk.in_(list(chunks)))
    keys = []
    for chunk, data in session.execute(query):
        places = np.flatnonzero(np.unpackbits(chunks[chunk]))
        days = np.frombuffer(data, "<i4")[places].astype(np.int64)
        keys.append(days << 32 | (places + chunk * CHUNK))
    return np.concatenate(keys)
