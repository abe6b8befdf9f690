"""Who acts, and the list of who did what; entries are only ever added (the database sees to it)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from catalog.models import AuditEntry


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something, as the catalogue needs to know it. The faces make one of a sign-in."""

    user_id: str | None
    """None: a token that belongs to nobody, a command at the machine, the system itself."""
    name: str
    role: str
    centre_path: str | None = None
    """Root of what they reach; None: everywhere."""
    contract: str = ""
    """Of a studio: the one contract it sees."""
    via: str = "desk"
    """desk, api, import, cli, system."""


SYSTEM = Actor(user_id=None, name="系统", role="admin", via="system")


def note(
    session: Session,
    actor: Actor,
    action: str,
    object_kind: str,
    object_id: str,
    *,
    centre_id: str | None = None,
    **details: Any,
) -> None:
    """Add an entry to the audit log, in the caller's transaction: no deed without its entry."""
    session.add(
        AuditEntry(
            by_id=actor.user_id,
            by_name=actor.name[:100],
            role=actor.role,
            action=action,
            object_kind=object_kind,
            object_id=object_id[:40],
            centre_id=centre_id,
            details=details,
        )
    )
