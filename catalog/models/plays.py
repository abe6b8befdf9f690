"""Who watched: beacons as they came, the day's figures over them, and how well it played."""

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
    SmallInteger,
    String,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from infra.tables import Base

_ACTS = text("kind IN ('view', 'start')")


class PlayEvent(Base):
    """One beacon of a player, kept as it came; counting reads, never rewrites."""

    __tablename__ = "play_events"
    __table_args__ = (
        Index("ix_play_events_item_play", "item_id", "play_id"),
        # Views and starts alone, a small part: the rules look at all of a day's, and a play's
        # first beacons say which days it touches.
        Index("ix_play_events_acts", "received_at", postgresql_where=_ACTS),
        Index("ix_play_events_act_plays", "item_id", "play_id", postgresql_where=_ACTS),
    )

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


class PlayDay(Base):
    """One item's figures of one day in China, and what the rules left out and why."""

    __tablename__ = "play_days"

    item_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    day: Mapped[dt.date] = mapped_column(primary_key=True, index=True)
    rule_version: Mapped[str] = mapped_column(String(20))
    page_views: Mapped[int] = mapped_column(BigInteger, server_default="0")
    play_starts: Mapped[int] = mapped_column(BigInteger, server_default="0")
    effective_plays: Mapped[int] = mapped_column(BigInteger, server_default="0")
    devices: Mapped[int] = mapped_column(BigInteger, server_default="0")
    watched_ms: Mapped[int] = mapped_column(BigInteger, server_default="0")
    peak_viewers: Mapped[int] = mapped_column(BigInteger, server_default="0")
    completed: Mapped[int] = mapped_column(BigInteger, server_default="0")
    """Plays that saw at least nine tenths of the item."""
    excluded: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    """{"robot": {"page_views": …, "play_starts": …}, "rate": {…}, "double_click": {…}}"""
    events: Mapped[int] = mapped_column(BigInteger, server_default="0")
    """Beacons behind these figures."""
    computed_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class PlayViewer(Base):
    """One viewer of one item on one day: devices of a period are distinct viewers, not a sum."""

    __tablename__ = "play_viewers"

    item_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    day: Mapped[dt.date] = mapped_column(primary_key=True)
    viewer: Mapped[str] = mapped_column(String(64), primary_key=True)


class PlayMark(Base):
    """How far the roll-up has come: one row."""

    __tablename__ = "play_marks"

    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    rule_version: Mapped[str] = mapped_column(String(20))
    rolled_to: Mapped[dt.datetime]
    """Every beacon received a few minutes before this stands in ``play_days``."""


class OutsideCount(Base):
    """Plays another platform reports: kept apart, with source, time and evidence."""

    __tablename__ = "outside_counts"
    __table_args__ = (UniqueConstraint("item_id", "platform", "seen_at"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    item_id: Mapped[str] = mapped_column(String(32), index=True)
    platform: Mapped[str] = mapped_column(String(60))
    clicks: Mapped[int] = mapped_column(BigInteger)
    seen_at: Mapped[dt.datetime]
    link: Mapped[str] = mapped_column(Text, server_default="")
    screenshot_key: Mapped[str | None] = mapped_column(Text)
    entered_by: Mapped[str | None] = mapped_column(ForeignKey("users.id"))
    entered_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class QosSession(Base):
    """How one play went for one viewer, from the player's CMCD (CTA-5004)."""

    __tablename__ = "qos_sessions"
    __table_args__ = (Index("ix_qos_sessions_item", "item_id", "at"),)

    play_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    item_id: Mapped[str] = mapped_column(String(32))
    at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    live: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    startup_ms: Mapped[int | None] = mapped_column(Integer)
    rebuffers: Mapped[int] = mapped_column(Integer, server_default="0")
    rebuffer_ms: Mapped[int] = mapped_column(BigInteger, server_default="0")
    watched_ms: Mapped[int] = mapped_column(BigInteger, server_default="0")
    bitrate_kbps: Mapped[int | None] = mapped_column(Integer)
    """Mean encoded bitrate, weighted by time."""
    top_bitrate_kbps: Mapped[int | None] = mapped_column(Integer)
    throughput_kbps: Mapped[int | None] = mapped_column(Integer)
