"""Where a work comes from, and what was made of something: edit lists followed both ways.

An edit list names broadcasts and works; works are made of works. Down that chain there are always
broadcasts and uploaded originals, and nothing is footage that is not theirs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import ARRAY, CTE, String, bindparam, func, select
from sqlalchemy.orm import Session, aliased

from catalog.models import Broadcast, Work
from catalog.pieces import Piece, asked, laid, shown

GENERATIONS_MAX: Final = 32
"""Clips of clips of clips …: further than this nothing is followed."""


@dataclass(frozen=True, slots=True)
class Root:
    """A stretch of a broadcast's air timeline, or of an uploaded work's."""

    token: str
    upload_id: str | None
    """None: a broadcast."""
    start: int
    end: int


def roots(session: Session, pieces: Iterable[Piece]) -> list[Root]:
    """What these pieces show, down to broadcasts and uploads; what leads nowhere is left out."""
    found: list[Root] = []
    now = list(pieces)
    for _ in range(GENERATIONS_MAX):
        later: list[Piece] = []
        for piece in now:
            broadcast = session.get(Broadcast, piece.source)
            if broadcast is not None:
                found.append(Root(broadcast.media_token, None, piece.start, piece.end))
                continue
            work = session.get(Work, piece.source)
            if work is None:
                continue
            if work.kind == "upload":
                found.append(Root(work.media_token, work.id, piece.start, piece.end))
            elif work.kind == "recording":
                # One token, one timeline.
                later.append(Piece(work.broadcast_id or "", piece.start, piece.end))
            else:
                later += _through(work, piece)
        now = later
    return found


def _through(work: Work, piece: Piece) -> list[Piece]:
    """The sources' footage that this stretch of a clip shows, and no more than was asked for."""
    wanted = asked(work.edit_list)
    found = []
    for part in shown(laid(work.edit_list, work.making), piece.start, piece.end):
        # The last picture lasts a little beyond its out point: that belongs to no clip.
        limits = [p for p in wanted if p.source == part.source and p.start < part.end]
        for limit in limits:
            start, end = max(part.start, limit.start), min(part.end, limit.end)
            if start < end:
                found.append(Piece(part.source, start, end))
    return found


def derived(session: Session, source_ids: Collection[str]) -> list[str]:
    """Ids of all works made of any of these broadcasts or works, in any generation."""
    made = aliased(Work)
    walk = select(func.unnest(bindparam("ids", list(source_ids), ARRAY(String))).label("id")).cte(
        "derived", recursive=True
    )
    names = func.jsonb_build_array(func.jsonb_build_array(walk.c.id))
    walk = walk.union(
        select(made.id).join(walk, made.edit_list.contains(names) | (made.form_of_id == walk.c.id))
    )
    return sorted(set(session.scalars(select(walk.c.id))) - set(source_ids))


def sources(tokens: Collection[str]) -> CTE:
    """Columns ``token``, ``source``: each of these works, and every id its edit list names in any
    generation. For a condition of somebody's query."""
    piece = func.jsonb_array_elements(Work.edit_list).table_valued("value", joins_implicitly=True)
    walk = (
        select(Work.media_token.label("token"), piece.c.value.op("->>")(0).label("source"))
        .where(Work.media_token.in_(list(tokens)))
        .cte("sources", recursive=True)
    )
    older = aliased(Work)
    part = func.jsonb_array_elements(older.edit_list).table_valued("value", joins_implicitly=True)
    return walk.union(
        select(walk.c.token, part.c.value.op("->>")(0)).join(older, older.id == walk.c.source)
    )
