"""Who is told: webhooks, and the outbox of what they are still to be sent."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, Integer, String, Text, func, text
from sqlalchemy.orm import Mapped, mapped_column

from infra.tables import Base, enum_check


class Webhook(Base):
    """An address that is told of what happens to the resources of a centre's subtree."""

    __tablename__ = "webhooks"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    centre_id: Mapped[str] = mapped_column(ForeignKey("centres.id"), index=True)
    url: Mapped[str] = mapped_column(Text)
    events: Mapped[list[Any]] = mapped_column(server_default=text("'[]'::jsonb"))
    """Names of events; empty: all."""
    secret: Mapped[str] = mapped_column(Text)
    """Signs what we send (Standard Webhooks), so it has to be kept in clear."""
    disabled_at: Mapped[dt.datetime | None]
    created_by: Mapped[str | None] = mapped_column(ForeignKey("users.id"))
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class WebhookDelivery(Base):
    """One event for one address, sent until it is taken or given up."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        enum_check("state", ("waiting", "done", "failed"), "state"),
        Index(
            "ix_webhook_deliveries_due",
            "next_at",
            postgresql_where=text("state = 'waiting'"),
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    webhook_id: Mapped[str] = mapped_column(
        ForeignKey("webhooks.id", ondelete="CASCADE"), index=True
    )
    event_id: Mapped[str] = mapped_column(String(40))
    event: Mapped[str] = mapped_column(String(40))
    body: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(String(10), server_default="waiting")
    attempts: Mapped[int] = mapped_column(Integer, server_default="0")
    next_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    last_status: Mapped[int | None] = mapped_column(Integer)
    last_error: Mapped[str] = mapped_column(String(500), server_default="")
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    done_at: Mapped[dt.datetime | None]


class ImportedRow(Base):
    """A sheet's row that made a record: the same row read again makes no second one."""

    __tablename__ = "imported_rows"

    centre_id: Mapped[str] = mapped_column(ForeignKey("centres.id"), primary_key=True)
    row_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    """SHA-256 of what the row says."""
    resource_id: Mapped[str] = mapped_column(ForeignKey("resources.id"), index=True)
    at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
