"""Which media a transaction takes out of viewers' sight or gives back, for the edges to hear of.

The rows are the truth, and an edge looks at them every few seconds; what is noted here is said to
all edges the moment the transaction is committed.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from sqlalchemy import select, union
from sqlalchemy.orm import Session

from catalog.lineage import sources
from catalog.models import Broadcast, Work

_CHANGED: Final = "xitai.sight"


def touch(session: Session, token: str) -> None:
    """Something that decides whether this medium is shown is changing."""
    session.info.setdefault(_CHANGED, set()).add(token)


def changed(session: Session) -> dict[str, bool]:
    """Media token → whether it is hidden now, of all that this transaction touched; told once.

    As the rows say, for one medium may be kept off the air by several of them.
    """
    touched: set[str] = session.info.pop(_CHANGED, set())
    hidden = off_air(session, touched)
    return {token: token in hidden for token in touched}


def off_air(session: Session, tokens: Collection[str]) -> set[str]:
    """Those of these media tokens that nothing may be sent of: taken down, or withdrawn."""
    if not tokens:
        return set()
    wanted = list(tokens)
    live = select(Broadcast.media_token).where(
        Broadcast.media_token.in_(wanted), Broadcast.off_air_at.is_not(None)
    )
    # A clip goes with every broadcast it was cut from, also one that is still being made.
    works = (
        select(Work.media_token)
        .outerjoin(Broadcast, Broadcast.id == Work.broadcast_id)
        .where(
            Work.media_token.in_(wanted),
            (Work.state == "withdrawn") | Broadcast.off_air_at.is_not(None),
        )
    )
    made_of = sources(wanted)
    cut = select(made_of.c.token).join(Broadcast, Broadcast.id == made_of.c.source)
    cut = cut.where(Broadcast.off_air_at.is_not(None))
    return set(session.scalars(union(live, works, cut)))
