"""What we owe: plans with their targets, the values kept by hand, and the returns that freeze them.

Amounts are exact fractions of two integers, so that 300 minutes of ticks compare unrounded.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    BigInteger,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Numeric,
    SmallInteger,
    String,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from infra.tables import Base, enum_check


class Plan(Base):
    """What an issuer asks of centres in a year (实施方案)."""

    __tablename__ = "plans"
    __table_args__ = (UniqueConstraint("owner_id", "code"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    owner_id: Mapped[str] = mapped_column(ForeignKey("centres.id"), index=True)
    """The centre that keeps it; its subtree sees it."""
    code: Mapped[str] = mapped_column(String(60))
    """chuxiong-2020 …; of a shipped template the template's name."""
    title: Mapped[str] = mapped_column(String(200))
    issuer: Mapped[str] = mapped_column(String(200), server_default="")
    document: Mapped[str] = mapped_column(String(200), server_default="")
    issued_on: Mapped[str] = mapped_column(String(10), server_default="")
    """As the document says it: a day, or only a month."""
    year: Mapped[int] = mapped_column(SmallInteger, index=True)
    switches: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    milestones: Mapped[list[Any]] = mapped_column(server_default=text("'[]'::jsonb"))
    """[{"by": "2020-05-31", "progress_pct": 50, "do": "…"}, …]"""
    notes: Mapped[list[Any]] = mapped_column(server_default=text("'[]'::jsonb"))
    """Where the document contradicts itself, as sentences."""
    version: Mapped[int] = mapped_column(Integer, server_default="1")
    withdrawn_at: Mapped[dt.datetime | None]
    created_by: Mapped[str | None] = mapped_column(ForeignKey("users.id"))
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())

    targets: Mapped[list[Target]] = relationship(
        order_by="Target.position", cascade="all, delete-orphan"
    )
    units: Mapped[list[PlanUnit]] = relationship(cascade="all, delete-orphan")


class Target(Base):
    """One line of a plan: so much of something, of someone, by some time."""

    __tablename__ = "targets"
    __table_args__ = (enum_check("per", ("per_unit", "total", "per_session"), "per"),)

    plan_id: Mapped[str] = mapped_column(
        ForeignKey("plans.id", ondelete="CASCADE"), primary_key=True
    )
    code: Mapped[str] = mapped_column(String(60), primary_key=True)
    position: Mapped[int] = mapped_column(Integer, server_default="0")
    level: Mapped[str] = mapped_column(String(20), server_default="")
    who: Mapped[str] = mapped_column(String(100))
    """The group of units it is asked of: 县（市）文化馆 …"""
    units: Mapped[int | None] = mapped_column(Integer)
    """How many such units the document counts."""
    indicator: Mapped[str] = mapped_column(String(200))
    unit: Mapped[str] = mapped_column(String(20))
    op: Mapped[str] = mapped_column(String(2), server_default=">=")
    value: Mapped[Decimal] = mapped_column(Numeric(18, 4))
    per: Mapped[str] = mapped_column(String(12))
    period: Mapped[str] = mapped_column(String(40), server_default="year")
    """year, quarter, month, or words of the document that no calendar has."""
    parent: Mapped[str | None] = mapped_column(String(60))
    """Code of the target it is 其中 of."""
    denominator: Mapped[str | None] = mapped_column(String(12))
    """Of a share: "target" or "actual" of its parent."""
    area: Mapped[str] = mapped_column(String(20), server_default="")
    overrides: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    """{name of a unit (or the start of it): value}: exceptions by name."""
    query: Mapped[dict[str, Any] | None]
    """What the ledger answers it from (catalog.plans.queries); null: entered by hand."""
    aliases: Mapped[list[Any]] = mapped_column(server_default=text("'[]'::jsonb"))
    """What returns call it: 注册用户 for 年新增注册用户数."""
    note: Mapped[str] = mapped_column(Text, server_default="")


class PlanUnit(Base):
    """Which centre stands in which group of a plan."""

    __tablename__ = "plan_units"

    plan_id: Mapped[str] = mapped_column(
        ForeignKey("plans.id", ondelete="CASCADE"), primary_key=True
    )
    centre_id: Mapped[str] = mapped_column(ForeignKey("centres.id"), primary_key=True)
    who: Mapped[str] = mapped_column(String(100), primary_key=True)


class Entry(Base):
    """A value kept by hand, with its evidence; a correction is a new row that replaces it."""

    __tablename__ = "entries"
    __table_args__ = (Index("ix_entries_cell", "plan_id", "centre_id", "code", "year", "period"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    plan_id: Mapped[str] = mapped_column(ForeignKey("plans.id"))
    centre_id: Mapped[str] = mapped_column(ForeignKey("centres.id"))
    code: Mapped[str] = mapped_column(String(60))
    year: Mapped[int] = mapped_column(SmallInteger)
    period: Mapped[str] = mapped_column(String(10), server_default="")
    """"" for the year, "Q1".."Q4", "01".."12"."""
    value: Mapped[Decimal] = mapped_column(Numeric(18, 4))
    evidence: Mapped[list[Any]] = mapped_column(server_default=text("'[]'::jsonb"))
    """[{"kind": "file|link|note", "text": …, "key": storage key of a file}, …]"""
    replaced_by: Mapped[int | None] = mapped_column(ForeignKey("entries.id"))
    withdrawn_at: Mapped[dt.datetime | None]
    """Taken back: it was entered for the wrong line."""
    entered_by: Mapped[str | None] = mapped_column(ForeignKey("users.id"))
    entered_name: Mapped[str] = mapped_column(String(100), server_default="")
    entered_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class PastBroadcast(Base):
    """A 场 from before Xitai, or from elsewhere: its figures as the old return printed them."""

    __tablename__ = "past_broadcasts"
    __table_args__ = (
        UniqueConstraint("centre_id", "held_on", "title"),
        enum_check("mode", ("live", "recorded"), "mode"),
        enum_check("standing", ("own", "linked", "reshown"), "standing"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    centre_id: Mapped[str] = mapped_column(ForeignKey("centres.id"), index=True)
    held_on: Mapped[dt.date] = mapped_column(index=True)
    title: Mapped[str] = mapped_column(String(200))
    mode: Mapped[str] = mapped_column(String(10))
    standing: Mapped[str] = mapped_column(String(10), server_default="own")
    finished_ticks: Mapped[int] = mapped_column(BigInteger, server_default="0")
    raw_ticks: Mapped[int] = mapped_column(BigInteger, server_default="0")
    images: Mapped[int] = mapped_column(Integer, server_default="0")
    clicks: Mapped[int] = mapped_column(BigInteger, server_default="0")
    source: Mapped[str] = mapped_column(String(200), server_default="")
    """The document it was taken from."""
    withdrawn_at: Mapped[dt.datetime | None]
    entered_by: Mapped[str | None] = mapped_column(ForeignKey("users.id"))
    entered_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class Return(Base):
    """A plan's numbers of one centre at a cut-off, frozen; a correction is the next revision."""

    __tablename__ = "returns"
    __table_args__ = (UniqueConstraint("plan_id", "centre_id", "year", "revision"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    plan_id: Mapped[str] = mapped_column(ForeignKey("plans.id"))
    centre_id: Mapped[str] = mapped_column(ForeignKey("centres.id"), index=True)
    """The root of the subtree it speaks for."""
    year: Mapped[int] = mapped_column(SmallInteger)
    revision: Mapped[int] = mapped_column(Integer)
    cut_off: Mapped[dt.datetime]
    rule_version: Mapped[str] = mapped_column(String(20))
    plan_version: Mapped[int] = mapped_column(Integer)
    numbers: Mapped[dict[str, Any]]
    """The whole report as catalog.returns writes it: lines, evidence rows, sentences."""
    sha256: Mapped[str] = mapped_column(String(64))
    """Over the canonical form of ``numbers``: what was handed in cannot change unseen."""
    why: Mapped[str] = mapped_column(String(500), server_default="")
    """Why there is another revision."""
    frozen_by: Mapped[str | None] = mapped_column(ForeignKey("users.id"))
    frozen_name: Mapped[str] = mapped_column(String(100), server_default="")
    frozen_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
