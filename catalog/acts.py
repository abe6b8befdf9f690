"""Acts: the pieces a long programme consists of, proposed by the analysis, confirmed by a person.

A person's save replaces the whole list; splitting, merging and naming are edits of that list
before it is saved. What a person confirmed, the analysis never changes again.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from catalog.audit import Actor
from catalog.errors import Refused
from catalog.models import TIMESCALE, Act, ProgrammeEntry, Work
from catalog.programmes import TITLE_MAX, lock, note_programme, one_line
from catalog.programmes import Line as Line
from catalog.programmes import Programme as Programme
from catalog.programmes import add_mark as add_mark
from catalog.programmes import find_programme as find_programme
from catalog.programmes import marks as marks
from catalog.programmes import programme as programme
from catalog.programmes import programme_of as programme_of
from catalog.programmes import programme_version as programme_version
from catalog.programmes import remove_mark as remove_mark
from catalog.programmes import set_programme as set_programme
from catalog.programmes import tick_now as tick_now

ACTS_MAX: Final = 500
ACT_MIN_TICKS: Final = TIMESCALE
END_SLACK_TICKS: Final = TIMESCALE // 10
"""How far past the end an act may reach: times are shown rounded, and typed in again."""
SURE: Final = 1000
"""Confidence of what a person said, in permille."""


@dataclass(frozen=True, slots=True)
class ActWish:
    """An act as a person wants it. Ticks, the end not included."""

    start_ticks: int
    end_ticks: int
    title: str = ""
    id: int | None = None
    """The act it was before, if it was one."""
    entry_id: int | None = None
    """The line of the programme list it is."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """An act as the analysis proposes it; ``confidence`` and ``reasons`` as ``Act`` has them."""

    start_ticks: int
    end_ticks: int
    title: str = ""
    confidence: int = 0
    reasons: Sequence[tuple[str, int]] = ()
    entry_id: int | None = None


def acts(session: Session, token: str) -> list[Act]:
    """A programme's acts, in order."""
    return list(
        session.scalars(select(Act).where(Act.token == token).order_by(Act.start_ticks, Act.id))
    )


def version(session: Session, token: str) -> str:
    """Names the list as it stands: another after every change a person could be unaware of."""
    rows = [
        (a.id, a.start_ticks, a.end_ticks, a.title, a.state, a.entry_id)
        for a in acts(session, token)
    ]
    return hashlib.sha256(repr(rows).encode()).hexdigest()[:16]


def chapters(session: Session, token: str) -> list[tuple[int, int, str]]:
    """(start, end, title) of the confirmed acts, in ticks and in order."""
    confirmed = [act for act in acts(session, token) if act.state == "confirmed"]
    return [
        (act.start_ticks, act.end_ticks, act.title or f"第 {number} 段")
        for number, act in enumerate(confirmed, start=1)
    ]


def save_acts(
    session: Session, actor: Actor, token: str, wishes: Sequence[ActWish], *, expect: str
) -> list[Act]:
    """Replace the list by what a person confirmed; ``expect`` is the ``version`` they saw.

    An act that keeps its id keeps the clip made of it, and the reasons for its beginning while
    it begins where it did. Raises Missing, Refused.
    """
    found = programme_of(session, token)
    lock(session, token)
    if version(session, token) != expect:
        raise Refused("acts_changed")
    wanted = _checked(wishes, found.length_ticks)
    entries = set(session.scalars(select(ProgrammeEntry.id).where(ProgrammeEntry.token == token)))
    known = {act.id: act for act in acts(session, token)}
    now = dt.datetime.now(dt.UTC)
    kept: list[Act] = []
    for wish in wanted:
        act = known.pop(wish.id, None) if wish.id is not None else None
        if act is None:
            act = Act(token=token, reasons=[])
            session.add(act)
        elif act.start_ticks != wish.start_ticks:
            act.reasons = []
        act.start_ticks, act.end_ticks, act.title = wish.start_ticks, wish.end_ticks, wish.title
        act.entry_id = wish.entry_id if wish.entry_id in entries else None
        act.state, act.confidence, act.changed_at = "confirmed", SURE, now
        kept.append(act)
    for gone in known.values():
        session.delete(gone)
    note_programme(session, actor, token, "act.save", acts=len(kept))
    session.flush()
    return kept


def _checked(wishes: Sequence[ActWish], length: int) -> list[ActWish]:
    """The wishes, cleaned. Raises Refused."""
    if len(wishes) > ACTS_MAX:
        raise Refused("acts_too_many", most=ACTS_MAX)
    cleaned: list[ActWish] = []
    for number, wish in enumerate(wishes, start=1):
        title = one_line(wish.title)
        if len(title) > TITLE_MAX:
            raise Refused("act_title", number=number, most=TITLE_MAX)
        end = wish.end_ticks
        if length < end <= length + END_SLACK_TICKS:
            end = length
        if wish.start_ticks < 0 or end > length:
            raise Refused("act_outside", number=number)
        if end - wish.start_ticks < ACT_MIN_TICKS:
            raise Refused("act_too_short", number=number)
        cleaned.append(ActWish(wish.start_ticks, end, title, wish.id, wish.entry_id))
    for number, (before, after) in enumerate(pairwise(cleaned), start=2):
        if after.start_ticks < before.end_ticks:
            raise Refused("acts_overlap", number=number)
    return cleaned


def propose(session: Session, token: str, proposals: Sequence[Proposal]) -> int:
    """Replace what was proposed before; how many stand now. Confirmed acts stay as they are, and
    nothing is proposed across one."""
    lock(session, token)
    session.execute(delete(Act).where(Act.token == token, Act.state == "proposed"))
    confirmed = acts(session, token)
    made = [
        Act(
            token=token,
            start_ticks=wish.start_ticks,
            end_ticks=wish.end_ticks,
            title=one_line(wish.title)[:TITLE_MAX],
            state="proposed",
            confidence=max(0, min(SURE, wish.confidence)),
            reasons=[[code, weight] for code, weight in wish.reasons],
            entry_id=wish.entry_id,
        )
        for wish in proposals[:ACTS_MAX]
        if not any(
            a.start_ticks < wish.end_ticks and wish.start_ticks < a.end_ticks for a in confirmed
        )
    ]
    session.add_all(made)
    session.flush()
    return len(made)


def clips_of(session: Session, found: Programme) -> Mapping[int, Work]:
    """Act id → the clip that shows exactly this act and is made or being made."""
    rows = [act for act in acts(session, found.token) if act.work_id is not None]
    query = select(Work).where(
        Work.id.in_([act.work_id for act in rows]), Work.state.in_(("making", "ready"))
    )
    works = {work.id: work for work in session.scalars(query)} if rows else {}
    return {
        act.id: works[act.work_id]
        for act in rows
        if act.work_id in works and shows(works[act.work_id], found, act)
    }


def shows(work: Work, found: Programme, act: Act) -> bool:
    """Whether a clip is of just this act as it now is."""
    return work.edit_list == [[found.id, act.start_ticks, act.end_ticks]]
