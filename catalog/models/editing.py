"""After the show: what is uploaded, chunks of it, programme lists, marks, acts, stills, extras.

``token`` is the media token of the broadcast or work that a row is about; ticks are 1/90 000 s on
its timeline.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import (
    BigInteger,
    ForeignKey,
    Identity,
    Index,
    Integer,
    SmallInteger,
    String,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from infra.tables import Base, enum_check

UPLOAD_PURPOSES = ("recording", "photo")
UPLOAD_STATES = ("receiving", "received", "registered", "refused", "removed")


class Upload(Base):
    """A file on its way in (tus), or come in: kept until it is a work or a picture, or refused."""

    __tablename__ = "uploads"
    __table_args__ = (
        enum_check("purpose", UPLOAD_PURPOSES, "purpose"),
        enum_check("state", UPLOAD_STATES, "state"),
        Index("ix_uploads_sha256", "sha256"),
        Index("ix_uploads_state", "state", "changed_at"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    centre_id: Mapped[str] = mapped_column(ForeignKey("centres.id"), index=True)
    created_by: Mapped[str | None] = mapped_column(ForeignKey("users.id"))
    contract: Mapped[str] = mapped_column(String(100), server_default="")
    purpose: Mapped[str] = mapped_column(String(12))
    state: Mapped[str] = mapped_column(String(12), server_default="receiving")
    file_name: Mapped[str] = mapped_column(String(255))
    """As the sender calls it: shown, never a path."""
    title: Mapped[str] = mapped_column(String(200), server_default="")
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    """What the sender announced; the whole file is exactly as long."""
    claimed_sha256: Mapped[str | None] = mapped_column(String(64))
    """What the sender says it is; it must come out so."""
    sha256: Mapped[str | None] = mapped_column(String(64))
    """What came out, once it is whole."""
    broadcast_id: Mapped[str | None] = mapped_column(ForeignKey("broadcasts.id"), index=True)
    """The show it belongs to, if any."""
    parent_id: Mapped[str | None] = mapped_column(ForeignKey("resources.id"))
    """Of a photograph: the exhibition it is for."""
    storage_key: Mapped[str | None] = mapped_column(Text)
    technical: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    """What the probe found."""
    work_id: Mapped[str | None] = mapped_column(ForeignKey("works.id"), index=True)
    resource_id: Mapped[str | None] = mapped_column(ForeignKey("resources.id"), index=True)
    error_code: Mapped[str | None] = mapped_column(String(60))
    error: Mapped[str | None] = mapped_column(Text)
    """A sentence for people."""
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    changed_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class Chunk(Base):
    """A stretch of an uploaded original that one worker transcodes; its segments are whole."""

    __tablename__ = "chunks"
    __table_args__ = (enum_check("state", ("waiting", "done"), "state"),)

    work_id: Mapped[str] = mapped_column(
        ForeignKey("works.id", ondelete="CASCADE"), primary_key=True
    )
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    state: Mapped[str] = mapped_column(String(10), server_default="waiting")
    start_ticks: Mapped[int] = mapped_column(BigInteger)
    end_ticks: Mapped[int] = mapped_column(BigInteger)
    first_msn: Mapped[int] = mapped_column(BigInteger)
    plan: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    """Where it begins and ends in the original, and where its segments are cut."""
    made: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    """What its worker wrote: files, init sections, segments of every rung."""
    done_at: Mapped[dt.datetime | None]


class ProgrammeEntry(Base):
    """One line of a programme list (节目单), in its order."""

    __tablename__ = "programme_entries"
    __table_args__ = (UniqueConstraint("token", "position"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    token: Mapped[str] = mapped_column(String(32), index=True)
    position: Mapped[int] = mapped_column(Integer)
    """From 0."""
    title: Mapped[str] = mapped_column(String(200))
    genre: Mapped[str] = mapped_column(String(40), server_default="")
    """As the list calls it: 舞蹈, 独唱 …"""
    performers: Mapped[str] = mapped_column(String(200), server_default="")
    about_ticks: Mapped[int | None] = mapped_column(BigInteger)
    """Roughly when it begins, where the list says so."""
    length_ticks: Mapped[int | None] = mapped_column(BigInteger)


class Mark(Base):
    """A button pressed at the live desk, or in the timeline: an act begins about here."""

    __tablename__ = "marks"
    __table_args__ = (Index("ix_marks_token", "token", "at_ticks"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    token: Mapped[str] = mapped_column(String(32))
    at_ticks: Mapped[int] = mapped_column(BigInteger)
    label: Mapped[str] = mapped_column(String(200), server_default="")
    by_id: Mapped[str | None] = mapped_column(ForeignKey("users.id"))
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class Act(Base):
    """A stretch of a long programme that is one piece of it: proposed, or said by a person."""

    __tablename__ = "acts"
    __table_args__ = (
        enum_check("state", ("proposed", "confirmed"), "state"),
        Index("ix_acts_token", "token", "start_ticks"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    token: Mapped[str] = mapped_column(String(32))
    start_ticks: Mapped[int] = mapped_column(BigInteger)
    end_ticks: Mapped[int] = mapped_column(BigInteger)
    title: Mapped[str] = mapped_column(String(200), server_default="")
    state: Mapped[str] = mapped_column(String(10), server_default="proposed")
    confidence: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    """Of its beginning, in permille; 1000 where a person said it."""
    reasons: Mapped[list[Any]] = mapped_column(server_default=text("'[]'::jsonb"))
    """[[code, weight in permille], …] of its beginning: applause, silence, black, shot, mark,
    listed, host, music …; the words for the codes are the pages'."""
    entry_id: Mapped[int | None] = mapped_column(
        ForeignKey("programme_entries.id", ondelete="SET NULL")
    )
    work_id: Mapped[str | None] = mapped_column(ForeignKey("works.id"))
    """The clip made of it last."""
    changed_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class Still(Base):
    """A proposed picture of a programme; a 图片 only once somebody has confirmed it."""

    __tablename__ = "stills"
    __table_args__ = (
        enum_check("state", ("proposed", "confirmed", "dismissed"), "state"),
        UniqueConstraint("token", "at_ticks"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    token: Mapped[str] = mapped_column(String(32), index=True)
    at_ticks: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(String(10), server_default="proposed")
    score: Mapped[int] = mapped_column(Integer, server_default="0")
    """Permille; for ordering only."""
    phash: Mapped[str] = mapped_column(String(16))
    """64-bit perceptual hash, hexadecimal."""
    width: Mapped[int] = mapped_column(Integer)
    height: Mapped[int] = mapped_column(Integer)
    storage_key: Mapped[str] = mapped_column(Text)
    small_key: Mapped[str] = mapped_column(Text)
    resource_id: Mapped[str | None] = mapped_column(ForeignKey("resources.id"))
    made_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


EXTRA_KINDS = ("storyboard", "waveform", "analysis", "master")


class Extra(Base):
    """Something computed from a programme's media and kept beside it, to be made again at will."""

    __tablename__ = "extras"
    __table_args__ = (enum_check("kind", EXTRA_KINDS, "kind"),)

    token: Mapped[str] = mapped_column(String(32), primary_key=True)
    kind: Mapped[str] = mapped_column(String(12), primary_key=True)
    storage_key: Mapped[str] = mapped_column(Text)
    """The file, or the folder of several, in storage."""
    facts: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    made_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class PictureHash(Base):
    """Perceptual hash of a picture in the catalogue: the same photograph is not counted twice."""

    __tablename__ = "picture_hashes"

    resource_id: Mapped[str] = mapped_column(
        ForeignKey("resources.id", ondelete="CASCADE"), primary_key=True
    )
    phash: Mapped[str] = mapped_column(String(16), index=True)
