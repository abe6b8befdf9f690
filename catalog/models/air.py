"""What is broadcast: programmes, feeds, takes, and the air list with its segments.

Ticks are integers of 1/90 000 s on a broadcast's air timeline; ``*_ms`` are milliseconds on a
take's own timeline; ``*_us`` are microseconds since 1970 UTC; other times are timestamptz.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    ForeignKey,
    Identity,
    Index,
    Integer,
    String,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from catalog.models.people import Centre
from infra.tables import Base, enum_check

TIMESCALE = 90_000
"""Ticks per second of the air timeline."""

BROADCAST_STATES = ("ready", "live", "interrupted", "ended", "cancelled")


STANDINGS = ("own", "linked", "reshown", "test")
"""own: 一场 of this centre; linked: relays another's signal (联动); reshown: shown again (重播);
test: counts nothing."""


class Broadcast(Base):
    """One programme with its own start, end and listing (一场)."""

    __tablename__ = "broadcasts"
    __table_args__ = (
        enum_check("state", BROADCAST_STATES, "state"),
        enum_check("mode", ("live", "recorded"), "mode"),
        enum_check("standing", STANDINGS, "standing"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    centre_id: Mapped[str] = mapped_column(ForeignKey("centres.id"), index=True)
    title: Mapped[str] = mapped_column(String(200))
    description: Mapped[str] = mapped_column(Text, server_default="")
    mode: Mapped[str] = mapped_column(String(10), server_default="live")
    state: Mapped[str] = mapped_column(String(20), server_default="ready", index=True)
    planned_at: Mapped[dt.datetime | None] = mapped_column(index=True)
    planned_end_at: Mapped[dt.datetime | None]
    short_decided_at: Mapped[dt.datetime | None]
    """When somebody said how one counts that was on for less than half of its planned time."""
    started_at: Mapped[dt.datetime | None] = mapped_column(index=True)
    ended_at: Mapped[dt.datetime | None]
    interrupted_at: Mapped[dt.datetime | None]
    """Since when no feed comes in; the grace time runs from here."""
    finalized_at: Mapped[dt.datetime | None]
    """When the last segment of an ended broadcast was registered."""
    media_token: Mapped[str] = mapped_column(String(32), unique=True)
    part_target_us: Mapped[int] = mapped_column(Integer, server_default="0")
    target_duration: Mapped[int] = mapped_column(Integer, server_default="0")
    """EXT-X-TARGETDURATION, seconds; set by the first run and never changed."""
    standing: Mapped[str] = mapped_column(String(10), server_default="own")
    origin_id: Mapped[str | None] = mapped_column(ForeignKey("broadcasts.id"), index=True)
    """What a linked or re-shown one shows; its footage and plays belong there."""
    contract: Mapped[str] = mapped_column(String(100), server_default="")
    """The studio contract it is made under; empty: the centre's own people."""
    listed: Mapped[bool] = mapped_column(Boolean, server_default=text("true"))
    off_air_at: Mapped[dt.datetime | None]
    """Taken down in an emergency: pages, playlists and segments answer no more."""
    poster_at: Mapped[dt.datetime | None]
    """When its poster was last stored; null until there is one."""
    created_by: Mapped[str | None] = mapped_column(ForeignKey("users.id"))
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())

    centre: Mapped[Centre] = relationship()
    feeds: Mapped[list[Feed]] = relationship(back_populates="broadcast")
    takes: Mapped[list[Take]] = relationship(back_populates="broadcast", order_by="Take.seq")


class Feed(Base):
    """A place a signal comes in: the main encoder, later a backup or another camera."""

    __tablename__ = "feeds"
    __table_args__ = (enum_check("role", ("main", "backup", "camera"), "role"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    broadcast_id: Mapped[str] = mapped_column(ForeignKey("broadcasts.id"), index=True)
    role: Mapped[str] = mapped_column(String(10), server_default="main")
    key_hash: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())

    broadcast: Mapped[Broadcast] = relationship(back_populates="feeds")


class Take(Base):
    """One uninterrupted publish, kept as received (素材)."""

    __tablename__ = "takes"
    __table_args__ = (
        enum_check("state", ("open", "closed"), "state"),
        UniqueConstraint("broadcast_id", "seq"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    broadcast_id: Mapped[str] = mapped_column(ForeignKey("broadcasts.id"))
    feed_id: Mapped[str] = mapped_column(ForeignKey("feeds.id"), index=True)
    seq: Mapped[int] = mapped_column(Integer)
    state: Mapped[str] = mapped_column(String(10), server_default="open")
    container: Mapped[str] = mapped_column(String(10), server_default="flv")
    node_url: Mapped[str] = mapped_column(Text)
    """Where the feed server that holds the log answers."""
    node_id: Mapped[str] = mapped_column(String(32), server_default="")
    """The node whose disk holds the log; its address may change, and be shared."""
    first_arrival_us: Mapped[int] = mapped_column(BigInteger)
    last_arrival_us: Mapped[int | None] = mapped_column(BigInteger)
    first_ms: Mapped[int] = mapped_column(BigInteger, server_default="0")
    last_video_ms: Mapped[int | None] = mapped_column(BigInteger)
    last_audio_ms: Mapped[int | None] = mapped_column(BigInteger)
    end_ms: Mapped[int | None] = mapped_column(BigInteger)
    """End of the last frame; with ``first_ms`` the interval that counts as raw."""
    video_frames: Mapped[int] = mapped_column(BigInteger, server_default="0")
    size_bytes: Mapped[int] = mapped_column(BigInteger, server_default="0")
    codecs: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    ended_by: Mapped[str | None] = mapped_column(String(40))
    aired_at: Mapped[dt.datetime | None]
    """When its last frame was registered on the air list (or it proved to have none)."""
    storage_key: Mapped[str | None] = mapped_column(Text)
    sha256: Mapped[str | None] = mapped_column(String(64))

    broadcast: Mapped[Broadcast] = relationship(back_populates="takes")


# --- what is on air --------------------------------------------------------------------------


class Run(Base):
    """One FFmpeg session over one take: where its timeline stands on the air timeline."""

    __tablename__ = "runs"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    broadcast_id: Mapped[str] = mapped_column(ForeignKey("broadcasts.id"), index=True)
    take_id: Mapped[str] = mapped_column(ForeignKey("takes.id"), index=True)
    ladder: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    take_start_ticks: Mapped[int] = mapped_column(BigInteger)
    air_start_ticks: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class Rendition(Base):
    """One rung of a broadcast or work: a picture size or the sound alone."""

    __tablename__ = "renditions"
    __table_args__ = (
        UniqueConstraint("token", "name"),
        enum_check("kind", ("video", "audio"), "kind"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    token: Mapped[str] = mapped_column(String(32), index=True)
    """Media token of the broadcast or work it belongs to."""
    name: Mapped[str] = mapped_column(String(20))
    kind: Mapped[str] = mapped_column(String(10))
    copied: Mapped[bool] = mapped_column(Boolean)
    codecs: Mapped[str] = mapped_column(String(100))
    width: Mapped[int | None] = mapped_column(Integer)
    height: Mapped[int | None] = mapped_column(Integer)
    frame_rate: Mapped[float | None]
    bandwidth: Mapped[int] = mapped_column(BigInteger, server_default="0")
    average_bandwidth: Mapped[int] = mapped_column(BigInteger, server_default="0")
    compacted_key: Mapped[str | None] = mapped_column(Text)


class InitSection(Base):
    """An EXT-X-MAP of a rendition; a new one when the encoding's parameters change."""

    __tablename__ = "init_sections"

    rendition_id: Mapped[int] = mapped_column(
        ForeignKey("renditions.id", ondelete="CASCADE"), primary_key=True
    )
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64))
    storage_key: Mapped[str] = mapped_column(Text)
    byte_offset: Mapped[int | None] = mapped_column(BigInteger)
    size_bytes: Mapped[int] = mapped_column(BigInteger)


class AirItem(Base):
    """One slot of the air list: what viewers get from tick to tick, and where it comes from."""

    __tablename__ = "air_items"
    __table_args__ = (
        enum_check("source", ("feed", "slate"), "source"),
        Index("ix_air_items_take", "take_id", "take_start_ms"),
    )

    token: Mapped[str] = mapped_column(String(32), primary_key=True)
    msn: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    """Media sequence number."""
    source: Mapped[str] = mapped_column(String(10))
    take_id: Mapped[str | None] = mapped_column(ForeignKey("takes.id"))
    run_id: Mapped[int | None] = mapped_column(ForeignKey("runs.id"))
    take_start_ms: Mapped[int] = mapped_column(BigInteger)
    start_ticks: Mapped[int] = mapped_column(BigInteger)
    duration_ticks: Mapped[int] = mapped_column(BigInteger)
    pdt_us: Mapped[int] = mapped_column(BigInteger)
    discontinuity: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    gap: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))


class Segment(Base):
    """One rendition's media of an air item: exists once its bytes are in storage."""

    __tablename__ = "segments"

    rendition_id: Mapped[int] = mapped_column(
        ForeignKey("renditions.id", ondelete="CASCADE"), primary_key=True
    )
    msn: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    init_number: Mapped[int] = mapped_column(Integer)
    storage_key: Mapped[str] = mapped_column(Text)
    byte_offset: Mapped[int] = mapped_column(BigInteger, server_default="0")
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    duration_ticks: Mapped[int] = mapped_column(BigInteger)
    parts: Mapped[list[Any]] = mapped_column(server_default=text("'[]'::jsonb"))
    """[[duration ticks, size, independent 0|1], …]"""
