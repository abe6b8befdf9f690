"""Who: culture centres in their tree, people, and the secrets that stand for them."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import ForeignKey, SmallInteger, String, Text, func
from sqlalchemy.orm import Mapped, mapped_column, relationship

from infra.tables import Base, enum_check


class Centre(Base):
    """A culture centre; a tree of province, prefecture, county and station."""

    __tablename__ = "centres"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    parent_id: Mapped[str | None] = mapped_column(ForeignKey("centres.id"), index=True)
    name: Mapped[str] = mapped_column(String(200))
    level: Mapped[str] = mapped_column(String(20), server_default="county")
    path: Mapped[str] = mapped_column(Text, unique=True)
    """Ids from the root down, joined and ended by '/': a subtree is a prefix."""
    reviewers: Mapped[int] = mapped_column(SmallInteger, server_default="3")
    """How many different people the three reviews take; a small centre may say 1 or 2."""
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


REVIEWERS = ("reviewer_1", "reviewer_2", "reviewer_3")
"""初审, 复审, 终审: one role a step."""
ROLES = ("viewer", "studio", "staff", *REVIEWERS, "supervisor", "clerk", "admin")


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
    contract: Mapped[str] = mapped_column(String(100), server_default="")
    """Of a studio: the contract it works under, and all it sees."""
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
    contract: Mapped[str] = mapped_column(String(100), server_default="")
    label: Mapped[str] = mapped_column(String(100), server_default="")
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[dt.datetime | None]
    used_at: Mapped[dt.datetime | None]
