"""The rows of the catalogue: one table a class, in the order footage flows through them.

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

from infra.tables import Base, enum_check

TIMESCALE = 90_000
"""Ticks per second of the air timeline."""


# --- who -----------------------------------------------------------------------------------


class Centre(Base):
    """A culture centre; a tree of province, prefecture, county and station."""

    __tablename__ = "centres"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    parent_id: Mapped[str | None] = mapped_column(ForeignKey("centres.id"), index=True)
    name: Mapped[str] = mapped_column(String(200))
    level: Mapped[str] = mapped_column(String(20), server_default="county")
    path: Mapped[str] = mapped_column(Text, unique=True)
    """Ids from the root down, joined and ended by '/': a subtree is a prefix."""
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


ROLES = ("viewer", "studio", "staff", "reviewer", "supervisor", "clerk", "admin")


class User(Base):
    """A person who signs in."""

    __tablename__ = "users"
    __table_args__ = (enum_check("role", ROLES, "role"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    centre_id: Mapped[str] = mapped_column(ForeignKey("centres.id"), index=True)
    login: Mapped[str] = mapped_column(String(64), unique=True)
    display_name: Mapped[str] = mapped_column(String(100))
    role: Mapped[str] = mapped_column(String(20))
    password_hash: Mapped[str] = mapped_column(Text)
    disabled_at: Mapped[dt.datetime | None]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())

    centre: Mapped[Centre] = relationship()


class Credential(Base):
    """A hashed secret that stands for someone: a signed-in browser, an API token, a set-up link."""

    __tablename__ = "credentials"
    __table_args__ = (enum_check("kind", ("session", "token", "setup"), "kind"),)

    secret_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    kind: Mapped[str] = mapped_column(String(10))
    user_id: Mapped[str | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    role: Mapped[str | None] = mapped_column(String(20))
    centre_id: Mapped[str | None] = mapped_column(ForeignKey("centres.id"))
    label: Mapped[str] = mapped_column(String(100), server_default="")
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[dt.datetime | None]
    used_at: Mapped[dt.datetime | None]


# --- what is broadcast -----------------------------------------------------------------------

BROADCAST_STATES = ("ready", "live", "interrupted", "ended", "cancelled")


class Broadcast(Base):
    """One programme with its own start, end and listing (一场)."""

    __tablename__ = "broadcasts"
    __table_args__ = (
        enum_check("state", BROADCAST_STATES, "state"),
        enum_check("mode", ("live", "recorded"), "mode"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    centre_id: Mapped[str] = mapped_column(ForeignKey("centres.id"), index=True)
    title: Mapped[str] = mapped_column(String(200))
    description: Mapped[str] = mapped_column(Text, server_default="")
    mode: Mapped[str] = mapped_column(String(10), server_default="live")
    state: Mapped[str] = mapped_column(String(20), server_default="ready", index=True)
    planned_at: Mapped[dt.datetime | None] = mapped_column(index=True)
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
    listed: Mapped[bool] = mapped_column(Boolean, server_default=text("true"))
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


# --- what we own -----------------------------------------------------------------------------


class Work(Base):
    """A finished thing people watch: a broadcast's recording, a clip."""

    __tablename__ = "works"
    __table_args__ = (
        enum_check("kind", ("recording", "clip"), "kind"),
        enum_check("state", ("making", "ready", "failed", "withdrawn"), "state"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    centre_id: Mapped[str] = mapped_column(ForeignKey("centres.id"), index=True)
    broadcast_id: Mapped[str | None] = mapped_column(ForeignKey("broadcasts.id"), index=True)
    kind: Mapped[str] = mapped_column(String(20))
    state: Mapped[str] = mapped_column(String(20), server_default="making")
    title: Mapped[str] = mapped_column(String(200))
    media_token: Mapped[str] = mapped_column(String(32), unique=True)
    edit_list: Mapped[list[Any]] = mapped_column(server_default=text("'[]'::jsonb"))
    """[[source work or broadcast id, in ticks, out ticks], …]: where the footage comes from."""
    duration_ticks: Mapped[int] = mapped_column(BigInteger, server_default="0")
    mp4_key: Mapped[str | None] = mapped_column(Text)
    poster_key: Mapped[str | None] = mapped_column(Text)
    size_bytes: Mapped[int] = mapped_column(BigInteger, server_default="0")
    sha256: Mapped[str | None] = mapped_column(String(64))
    published_at: Mapped[dt.datetime | None] = mapped_column(index=True)
    created_by: Mapped[str | None] = mapped_column(ForeignKey("users.id"))
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class Resource(Base):
    """An entry of the catalogue: finished (成片), raw (素材), micro (微视频), image (图片)."""

    __tablename__ = "resources"
    __table_args__ = (enum_check("kind", ("finished", "raw", "micro", "image"), "kind"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    centre_id: Mapped[str] = mapped_column(ForeignKey("centres.id"), index=True)
    kind: Mapped[str] = mapped_column(String(20), index=True)
    title: Mapped[str] = mapped_column(String(200))
    broadcast_id: Mapped[str | None] = mapped_column(ForeignKey("broadcasts.id"), index=True)
    work_id: Mapped[str | None] = mapped_column(ForeignKey("works.id"), unique=True)
    take_id: Mapped[str | None] = mapped_column(ForeignKey("takes.id"), unique=True)
    event_date: Mapped[dt.date]
    """The day of the event in China: the year it counts in."""
    duration_ticks: Mapped[int] = mapped_column(BigInteger, server_default="0")
    intervals: Mapped[list[Any]] = mapped_column(server_default=text("'[]'::jsonb"))
    """[[timeline id, start ticks, end ticks], …]: what footage this is, for unions."""
    sha256: Mapped[str | None] = mapped_column(String(64))
    withdrawn_at: Mapped[dt.datetime | None]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


# --- who watched -----------------------------------------------------------------------------


class PlayEvent(Base):
    """One beacon of a player, kept as it came; counting reads, never rewrites."""

    __tablename__ = "play_events"
    __table_args__ = (Index("ix_play_events_item_play", "item_id", "play_id"),)

    event_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    item_id: Mapped[str] = mapped_column(String(32))
    play_id: Mapped[str] = mapped_column(String(36))
    viewer_id: Mapped[str | None] = mapped_column(String(36))
    surrogate: Mapped[str] = mapped_column(String(64))
    """Salted hash of address, user agent, date and hour: stands for a viewer without an id."""
    kind: Mapped[str] = mapped_column(String(12))
    received_at: Mapped[dt.datetime] = mapped_column(server_default=func.now(), index=True)
    client_at_ms: Mapped[int] = mapped_column(BigInteger)
    position_ms: Mapped[int] = mapped_column(BigInteger)
    watched_ms: Mapped[int] = mapped_column(BigInteger)
    rate_permille: Mapped[int] = mapped_column(Integer, server_default="1000")
    live: Mapped[bool] = mapped_column(Boolean)
    rendition: Mapped[str | None] = mapped_column(String(20))
    user_agent: Mapped[str] = mapped_column(String(300), server_default="")
    details: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
