"""Who acts, and the list of who did what; entries are only ever added (the database sees to it)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog.centres import within
from catalog.models import AuditEntry, Centre


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


def entries(
    session: Session,
    centre_path: str | None,
    *,
    object_kind: str | None = None,
    object_id: str | None = None,
    action: str | None = None,
    by_id: str | None = None,
    before: int | None = None,
    limit: int = 50,
) -> list[AuditEntry]:
    """The newest first, of a subtree of centres; only None sees what belongs to no centre."""
    query = select(AuditEntry)
    if centre_path is not None:
        inside = select(Centre.id).where(within(centre_path))
        query = query.where(AuditEntry.centre_id.in_(inside))
    wanted = {"object_kind": object_kind, "object_id": object_id, "action": action, "by_id": by_id}
    for name, value in wanted.items():
        if value is not None:
            query = query.where(getattr(AuditEntry, name) == value)
    if before is not None:
        query = query.where(AuditEntry.id < before)
    return list(session.scalars(query.order_by(AuditEntry.id.desc()).limit(limit)))
