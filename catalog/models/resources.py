"""What we own: works people watch, the catalogue's records, their versions, reviews and audit."""

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
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from catalog.models.people import Centre
from infra.tables import Base, enum_check

WORK_KINDS = ("recording", "upload", "clip")
"""What is kept of a broadcast; a file brought in; a micro-video cut from either."""

WORK_FORMS = ("wide", "vertical", "square")


class Work(Base):
    """A finished thing people watch: a broadcast's recording, an uploaded one, a clip."""

    __tablename__ = "works"
    __table_args__ = (
        enum_check("kind", WORK_KINDS, "kind"),
        enum_check("state", ("making", "ready", "failed", "withdrawn"), "state"),
        enum_check("form", WORK_FORMS, "form"),
        # What was made of this? (catalog.lineage)
        Index(
            "ix_works_edit_list",
            "edit_list",
            postgresql_using="gin",
            postgresql_ops={"edit_list": "jsonb_path_ops"},
        ),
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
    form: Mapped[str] = mapped_column(String(10), server_default="wide")
    """As it was shot, or reframed for phones: 9:16, 1:1."""
    form_of_id: Mapped[str | None] = mapped_column(ForeignKey("works.id"), index=True)
    """The work whose phone form this is; that one is kept beside it."""
    contract: Mapped[str] = mapped_column(String(100), server_default="")
    """The studio contract it was made under, where no broadcast says so."""
    making: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    """How it is to be made (a form's texts, an upload's ladder), and what was done (frames copied,
    frames encoded again and why)."""
    master_key: Mapped[str | None] = mapped_column(Text)
    """Of an upload: the original file, as it came."""
    duration_ticks: Mapped[int] = mapped_column(BigInteger, server_default="0")
    mp4_key: Mapped[str | None] = mapped_column(Text)
    poster_key: Mapped[str | None] = mapped_column(Text)
    size_bytes: Mapped[int] = mapped_column(BigInteger, server_default="0")
    sha256: Mapped[str | None] = mapped_column(String(64))
    published_at: Mapped[dt.datetime | None] = mapped_column(index=True)
    created_by: Mapped[str | None] = mapped_column(ForeignKey("users.id"))
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


RESOURCE_KINDS = (
    "finished",
    "raw",
    "micro",
    "image",
    "audio",
    "course",
    "lesson",
    "exhibition",
    "document",
    "news",
)
"""成片 素材 微视频 图片 音频 课程 章节 展览 文献 信息."""

RESOURCE_STATES = ("draft", "review_1", "review_2", "review_3", "published", "withdrawn")

ORIGINS = ("original", "optimised")
"""原创, 优化: two ledgers that never add up to one."""

IMAGE_LEDGERS = ("broadcast", "exhibition")


class Genre(Base):
    """A 门类 of the vocabulary; staff extend it, and retire what they no longer want."""

    __tablename__ = "genres"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    """A stable short code: dance, opera, calligraphy …"""
    name: Mapped[str] = mapped_column(String(40), unique=True)
    position: Mapped[int] = mapped_column(Integer, server_default="0")
    retired_at: Mapped[dt.datetime | None]


class Resource(Base):
    """A record of the catalogue: one thing we own, described (Dublin Core), reviewed, counted."""

    __tablename__ = "resources"
    __table_args__ = (
        enum_check("kind", RESOURCE_KINDS, "kind"),
        enum_check("state", RESOURCE_STATES, "state"),
        enum_check("origin", ORIGINS, "origin"),
        enum_check("ledger", IMAGE_LEDGERS, "ledger"),
        Index("ix_resources_centre_date", "centre_id", "event_date"),
        Index("ix_resources_changed", "changed_at", "id"),
        Index("ix_resources_sha256", "sha256"),
        Index(
            "ix_resources_shared",
            "changed_at",
            "id",
            postgresql_where=text("shared_at IS NOT NULL"),
        ),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    centre_id: Mapped[str] = mapped_column(ForeignKey("centres.id"), index=True)
    kind: Mapped[str] = mapped_column(String(20), index=True)
    state: Mapped[str] = mapped_column(String(12), server_default="draft", index=True)
    version: Mapped[int] = mapped_column(Integer, server_default="1")
    title: Mapped[str] = mapped_column(String(200))
    description: Mapped[str] = mapped_column(Text, server_default="")
    genre_id: Mapped[str | None] = mapped_column(ForeignKey("genres.id"), index=True)
    languages: Mapped[list[Any]] = mapped_column(server_default=text("'[]'::jsonb"))
    """Language codes (BCP 47): zh, Dai's "khb", Yi's "ii" …; catalog.records.kinds lists them."""
    keywords: Mapped[list[Any]] = mapped_column(server_default=text("'[]'::jsonb"))
    place: Mapped[str] = mapped_column(String(200), server_default="")
    people: Mapped[list[Any]] = mapped_column(server_default=text("'[]'::jsonb"))
    """[{"name": …, "role": "performer|director|author|teacher|photographer|other"}, …]"""
    rights_holder: Mapped[str] = mapped_column(String(200), server_default="")
    licence: Mapped[str] = mapped_column(String(20), server_default="centre")
    """Where it may be shown: centre, province, nation, open."""
    licence_until: Mapped[dt.date | None]
    source: Mapped[str] = mapped_column(String(500), server_default="")
    origin: Mapped[str | None] = mapped_column(String(12))
    ledger: Mapped[str | None] = mapped_column(String(12))
    """Of an image: which of the two ledgers counts it."""
    confirmed_at: Mapped[dt.datetime | None]
    """Of an image: when a person said that it counts."""
    parent_id: Mapped[str | None] = mapped_column(ForeignKey("resources.id"), index=True)
    """A lesson's course, an image's exhibition."""
    position: Mapped[int] = mapped_column(Integer, server_default="0")
    broadcast_id: Mapped[str | None] = mapped_column(ForeignKey("broadcasts.id"), index=True)
    work_id: Mapped[str | None] = mapped_column(ForeignKey("works.id"), unique=True)
    take_id: Mapped[str | None] = mapped_column(ForeignKey("takes.id"), unique=True)
    lineage: Mapped[list[Any]] = mapped_column(server_default=text("'[]'::jsonb"))
    """Ids of the resources it was made from."""
    event_date: Mapped[dt.date]
    """The day of the event in China: the year it counts in."""
    duration_ticks: Mapped[int] = mapped_column(BigInteger, server_default="0")
    intervals: Mapped[list[Any]] = mapped_column(server_default=text("'[]'::jsonb"))
    """[[timeline id, start ticks, end ticks], …]: what footage this is, for unions."""
    storage_key: Mapped[str | None] = mapped_column(Text)
    """Of an image, a document, a sound: its file."""
    media_type: Mapped[str] = mapped_column(String(100), server_default="")
    size_bytes: Mapped[int] = mapped_column(BigInteger, server_default="0")
    sha256: Mapped[str | None] = mapped_column(String(64))
    technical: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    body: Mapped[str] = mapped_column(Text, server_default="")
    """Of a news item: its text."""
    first_published_at: Mapped[dt.datetime | None] = mapped_column(index=True)
    """When it was first public: a 条 of that month and year."""
    published_at: Mapped[dt.datetime | None]
    withdrawn_at: Mapped[dt.datetime | None]
    withdrawn_why: Mapped[str] = mapped_column(String(500), server_default="")
    shared_at: Mapped[dt.datetime | None]
    """Since when harvesters know of it; the database itself notes it (trigger), for good."""
    contract: Mapped[str] = mapped_column(String(100), server_default="", index=True)
    """The studio contract it was made under; empty: the centre's own people."""
    round: Mapped[int] = mapped_column(Integer, server_default="0")
    """How often it was submitted for review."""
    submitted_by: Mapped[str | None] = mapped_column(ForeignKey("users.id"))
    """Who submitted it last: never a reviewer of that round where there are others."""
    created_by: Mapped[str | None] = mapped_column(ForeignKey("users.id"))
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    changed_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())

    centre: Mapped[Centre] = relationship()


class ResourceVersion(Base):
    """What one change of a record changed, field by field; versions count up from 1."""

    __tablename__ = "resource_versions"

    resource_id: Mapped[str] = mapped_column(ForeignKey("resources.id"), primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True)
    changes: Mapped[dict[str, Any]]
    """{field: [before, after], …}; of version 1 every field that was given, before = null."""
    by_id: Mapped[str | None] = mapped_column(ForeignKey("users.id"))
    by_name: Mapped[str] = mapped_column(String(100), server_default="")
    via: Mapped[str] = mapped_column(String(20), server_default="desk")
    """desk, api, import, system."""
    at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class Review(Base):
    """One decision of one reviewer, bound to exactly what they saw."""

    __tablename__ = "reviews"
    __table_args__ = (
        enum_check("decision", ("approve", "return"), "decision"),
        Index("ix_reviews_resource", "resource_id", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    resource_id: Mapped[str] = mapped_column(ForeignKey("resources.id"))
    round: Mapped[int] = mapped_column(Integer)
    """Counts the submissions of this record, from 1."""
    step: Mapped[int] = mapped_column(SmallInteger)
    """1, 2, 3: first, second, final."""
    decision: Mapped[str] = mapped_column(String(10))
    seen_hash: Mapped[str] = mapped_column(String(64))
    note: Mapped[str] = mapped_column(String(500), server_default="")
    by_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    by_name: Mapped[str] = mapped_column(String(100))
    at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class AuditEntry(Base):
    """Who did what; the database itself refuses to change or remove one."""

    __tablename__ = "audit_entries"
    __table_args__ = (
        Index("ix_audit_entries_object", "object_kind", "object_id", "id"),
        Index("ix_audit_entries_centre", "centre_id", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    by_id: Mapped[str | None] = mapped_column(String(32))
    by_name: Mapped[str] = mapped_column(String(100))
    role: Mapped[str] = mapped_column(String(20), server_default="")
    action: Mapped[str] = mapped_column(String(40))
    """resource.change, review.approve, takedown, plan.change, entry.set, return.freeze …"""
    object_kind: Mapped[str] = mapped_column(String(20))
    object_id: Mapped[str] = mapped_column(String(40))
    centre_id: Mapped[str | None] = mapped_column(String(32))
    details: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
