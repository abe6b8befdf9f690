"""What search looks in: one narrow row a record, and bit strings that count frequent words fast.

Nothing here is a source: `catalog.search.index` makes all of it from the records, at any time.
"""

from __future__ import annotations

import datetime as dt

from sqlalchemy import (
    Date,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    String,
    Text,
)
from sqlalchemy.dialects.postgresql import BIT, TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from infra.tables import Base

CHUNK = 32_000
"""Records a bit string tells of: 4 000 bytes, so that two rows fill one page of PostgreSQL."""


class SearchRow(Base):
    """A record as search knows it; `words` lies out of line, so that a page holds many rows."""

    __tablename__ = "search_rows"
    __table_args__ = (
        Index("ix_search_rows_words", "words", postgresql_using="gin",
              postgresql_with={"fastupdate": "off"}),
    )  # fmt: skip

    ord: Mapped[int] = mapped_column(Integer, Identity(start=0, minvalue=0), primary_key=True)
    """The record's number: its place in the bit strings, never given to another."""
    resource_id: Mapped[str] = mapped_column(String(32), unique=True)
    path: Mapped[str] = mapped_column(Text)
    """Path of its centre."""
    kind: Mapped[str] = mapped_column(String(20))
    state: Mapped[str] = mapped_column(String(12))
    genre: Mapped[str] = mapped_column(String(40))
    """Empty: none."""
    languages: Mapped[str] = mapped_column(Text)
    """Codes, joined by spaces."""
    contract: Mapped[str] = mapped_column(String(100))
    """The studio contract it was made under; empty: none."""
    day: Mapped[dt.date] = mapped_column(Date)
    title: Mapped[str] = mapped_column(Text)
    """As `tokens.fold` writes it, for the order of what is found."""
    words: Mapped[str] = mapped_column(TSVECTOR)


class SearchFresh(Base):
    """A record written since its chunk was packed: its row counts, its bits do not."""

    __tablename__ = "search_fresh"

    ord: Mapped[int] = mapped_column(
        ForeignKey("search_rows.ord", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    )


class SearchTerm(Base):
    """A word or property that is packed: it has bits in every chunk that holds it."""

    __tablename__ = "search_terms"

    term: Mapped[str] = mapped_column(Text, primary_key=True)


class SearchWord(Base):
    """Which records of a chunk have a frequent word, the chunk's first record first, compressed.

    No row: none has it.
    """

    __tablename__ = "search_words"

    term: Mapped[str] = mapped_column(Text, primary_key=True)
    chunk: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    bits: Mapped[str] = mapped_column(BIT(CHUNK))


class SearchProperty(Base):
    """The same for what is counted, as it is: a search reads some seventy of these a chunk.

    `=kind:…`, `=state:…`, `=genre:…`, `=language:…`, `=year:…`, `=contract:…` and `=in:<centre>`
    (the centre or one above it); `=` alone is every record.
    """

    __tablename__ = "search_properties"

    term: Mapped[str] = mapped_column(Text, primary_key=True)
    chunk: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    bits: Mapped[str] = mapped_column(BIT(CHUNK))


class SearchChunk(Base):
    """A chunk that is packed, with the day of each of its records, for the order of time."""

    __tablename__ = "search_chunks"

    chunk: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    last_day: Mapped[int] = mapped_column(Integer)
    """The latest of these days."""
    chosen_rows: Mapped[int] = mapped_column(Integer)
    """Records there were when frequent words were chosen, before it was last packed."""
    days: Mapped[bytes] = mapped_column(LargeBinary)
    """Little-endian 32-bit day numbers (1 = 1 January of year 1)."""
