"""Centres and people of the catalogue's tests: rows, without passwords."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.orm import Session

from catalog.audit import Actor
from catalog.centres import add_centre
from catalog.models import Centre, User


@dataclass(frozen=True)
class Town:
    """A county under its prefecture, and the county beside it."""

    prefecture: Centre
    county: Centre
    other: Centre


def make_town(session: Session) -> Town:
    prefecture = add_centre(session, "西双版纳州文化馆", level="prefecture")
    county = add_centre(session, "勐海县文化馆", parent=prefecture)
    other = add_centre(session, "勐腊县文化馆", parent=prefecture)
    return Town(prefecture, county, other)


def make_actor(
    session: Session, name: str, role: str, centre: Centre, *, contract: str = ""
) -> Actor:
    """Somebody with an account, and the reach it gives."""
    session.add(
        User(
            id=name, centre_id=centre.id, login=name, display_name=name, role=role,
            password_hash="none", contract=contract,
        )
    )  # fmt: skip
    session.flush()
    return Actor(name, name, role, None if role == "admin" else centre.path, contract)
