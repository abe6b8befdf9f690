"""The programme whose acts are spoken of, its list (节目单), and the marks pressed for it.

A programme is a broadcast, before, during and after it, or a work; rows hang on its media token.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session, joinedload

from catalog.air import air_end
from catalog.audit import Actor, note
from catalog.errors import Missing, Refused
from catalog.models import TIMESCALE, AirItem, Broadcast, Centre, Mark, ProgrammeEntry, Take, Work
from catalog.records.reach import broadcasts_of, works_of

LINES_MAX: Final = 300
TITLE_MAX: Final = 200
GENRE_MAX: Final = 40
PERFORMERS_MAX: Final = 200
TIME_MAX_TICKS: Final = 48 * 3600 * TIMESCALE
"""Latest time a line may name, and the longest an entry may be said to last."""
MARKS_MAX: Final = 1_000
MARK_APART_TICKS: Final = TIMESCALE
"""Two presses closer than this are one: a finger that bounced, a form that was sent twice."""
_AHEAD_MAX_TICKS: Final = 60 * TIMESCALE
"""So far past the registered end the show may be while it goes on well: footage is registered a
segment late."""

# First half of the advisory lock's key: "acts" in ASCII; the second is of the token.
_LOCK: Final = 0x61_63_74_73


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a programme list. Times in ticks from the programme's beginning."""

    title: str
    genre: str = ""
    performers: str = ""
    about_ticks: int | None = None
    length_ticks: int | None = None


@dataclass(frozen=True, slots=True)
class Programme:
    """A broadcast or work as its acts need it."""

    kind: Literal["broadcast", "work"]
    id: str
    """Of the broadcast, where there is one: what a clip names as its source."""
    token: str
    title: str
    state: str
    centre_id: str
    centre: str
    length_ticks: int
    """Of what is registered by now; 0 before the show."""
    broadcast_id: str | None


def find_programme(session: Session, actor: Actor, key: str) -> Programme:
    """A programme by broadcast id or work id, within reach. A broadcast's recording is the
    broadcast itself. Raises Missing."""
    broadcast = session.scalars(
        select(Broadcast)
        .join(Centre, Centre.id == Broadcast.centre_id)
        .where(Broadcast.id == key, broadcasts_of(actor))
        .options(joinedload(Broadcast.centre))
    ).one_or_none()
    if broadcast is not None:
        return _of_broadcast(session, broadcast)
    work = session.scalars(
        select(Work)
        .join(Centre, Centre.id == Work.centre_id)
        .outerjoin(Broadcast, Broadcast.id == Work.broadcast_id)
        .where(Work.id == key, works_of(actor))
    ).one_or_none()
    if work is None:
        raise Missing("programme_unknown")
    return _of_work(session, work)


def programme_of(session: Session, token: str) -> Programme:
    """The programme that has this media token, whoever asks. Raises Missing."""
    broadcast = session.scalars(
        select(Broadcast).where(Broadcast.media_token == token)
    ).one_or_none()
    if broadcast is not None:
        return _of_broadcast(session, broadcast)
    work = session.scalars(select(Work).where(Work.media_token == token)).one_or_none()
    if work is None:
        raise Missing("programme_unknown")
    return _of_work(session, work)


def _of_broadcast(session: Session, found: Broadcast) -> Programme:
    return Programme(
        kind="broadcast",
        id=found.id,
        token=found.media_token,
        title=found.title,
        state=found.state,
        centre_id=found.centre_id,
        centre=found.centre.name,
        length_ticks=air_end(session, found.media_token).next_ticks,
        broadcast_id=found.id,
    )


def _of_work(session: Session, found: Work) -> Programme:
    if found.kind == "recording" and found.broadcast_id is not None:
        return _of_broadcast(session, session.get_one(Broadcast, found.broadcast_id))
    return Programme(
        kind="work",
        id=found.id,
        token=found.media_token,
        title=found.title,
        state=found.state,
        centre_id=found.centre_id,
        centre=session.get_one(Centre, found.centre_id).name,
        length_ticks=air_end(session, found.media_token).next_ticks,
        broadcast_id=found.broadcast_id,
    )


def lock(session: Session, token: str) -> None:
    """Hold other writers of a programme's list, marks and acts until this transaction ends."""
    session.execute(select(func.pg_advisory_xact_lock(_LOCK, func.hashtext(token))))


def note_programme(
    session: Session, actor: Actor, token: str, action: str, **details: str | int
) -> None:
    """Note what somebody did to a programme."""
    found = programme_of(session, token)
    note(session, actor, action, found.kind, found.id, centre_id=found.centre_id, **details)


# --- the programme list ----------------------------------------------------------------------


def programme(session: Session, token: str) -> list[ProgrammeEntry]:
    """The lines of a programme's list, in order."""
    query = select(ProgrammeEntry).where(ProgrammeEntry.token == token)
    return list(session.scalars(query.order_by(ProgrammeEntry.position)))


def programme_version(session: Session, token: str) -> str:
    """Names the list as it stands: another after every change."""
    rows = [
        (e.id, e.title, e.genre, e.performers, e.about_ticks, e.length_ticks)
        for e in programme(session, token)
    ]
    return hashlib.sha256(repr(rows).encode()).hexdigest()[:16]


def set_programme(
    session: Session,
    actor: Actor,
    token: str,
    lines: Sequence[Line],
    *,
    expect: str | None = None,
) -> list[ProgrammeEntry]:
    """Replace the list; an empty one removes it. ``expect``: the version that was seen, None
    whatever there is. A line that stays keeps its row, and with it the acts that name it.
    Raises Missing, Refused."""
    if len(lines) > LINES_MAX:
        raise Refused("programme_too_long", lines=len(lines), most=LINES_MAX)
    cleaned = [_clean(number, line) for number, line in enumerate(lines, start=1)]
    lock(session, token)
    if expect is not None and programme_version(session, token) != expect:
        raise Refused("programme_changed")
    note_programme(session, actor, token, "programme.set", lines=len(cleaned))
    old = programme(session, token)
    # Out of the way first: the place of a line is unique while rows change one by one.
    for place, entry in enumerate(old):
        entry.position = -1 - place
    session.flush()
    kept = [entry or ProgrammeEntry(token=token) for entry in _matched(old, cleaned)]
    for place, (entry, line) in enumerate(zip(kept, cleaned, strict=True)):
        entry.position = place
        entry.title, entry.genre, entry.performers = line.title, line.genre, line.performers
        entry.about_ticks, entry.length_ticks = line.about_ticks, line.length_ticks
    for entry in old:
        if entry not in kept:
            session.delete(entry)
    session.add_all(kept)
    session.flush()
    return kept


def _matched(old: Sequence[ProgrammeEntry], lines: Sequence[Line]) -> list[ProgrammeEntry | None]:
    """For each line the row it was before: the same words anywhere, else the same place."""
    left = dict(enumerate(old))
    found: list[ProgrammeEntry | None] = []
    for line in lines:
        place = next((p for p, e in left.items() if _same(e, line)), None)
        found.append(None if place is None else left.pop(place))
    return [left.pop(place, None) if entry is None else entry for place, entry in enumerate(found)]


def _same(entry: ProgrammeEntry, line: Line) -> bool:
    return entry.title == line.title and entry.performers == line.performers


def _clean(number: int, line: Line) -> Line:
    title = one_line(line.title)
    if not title:
        raise Refused("programme_line_empty", line=number)
    fields = (
        ("名称", title, TITLE_MAX),
        ("门类", genre := one_line(line.genre), GENRE_MAX),
        ("演出者", performers := one_line(line.performers), PERFORMERS_MAX),
    )
    for name, value, most in fields:
        if len(value) > most:
            raise Refused(
                "programme_line_long", line=number, field=name, length=len(value), most=most
            )
    for ticks in (line.about_ticks, line.length_ticks):
        if ticks is not None and not 0 <= ticks <= TIME_MAX_TICKS:
            raise Refused("programme_line_time", line=number)
    return Line(title, genre, performers, line.about_ticks, line.length_ticks or None)


def one_line(text: str) -> str:
    """A name fit to keep: printable, one line, single spaces."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


# --- marks -----------------------------------------------------------------------------------


def marks(session: Session, token: str) -> list[Mark]:
    """A programme's marks, in order of time."""
    return list(
        session.scalars(select(Mark).where(Mark.token == token).order_by(Mark.at_ticks, Mark.id))
    )


def add_mark(session: Session, actor: Actor, token: str, at_ticks: int, label: str = "") -> Mark:
    """Mark that an act begins about here; a press beside an earlier one gives that one again.
    Raises Missing, Refused."""
    label = one_line(label)
    if len(label) > TITLE_MAX:
        raise Refused("mark_label", most=TITLE_MAX)
    if not 0 <= at_ticks <= TIME_MAX_TICKS:
        raise Refused("mark_outside")
    lock(session, token)
    known = marks(session, token)
    for mark in known:
        if abs(mark.at_ticks - at_ticks) < MARK_APART_TICKS:
            return mark
    if len(known) >= MARKS_MAX:
        raise Refused("marks_too_many", most=MARKS_MAX)
    note_programme(session, actor, token, "mark.add", at_ticks=at_ticks, label=label)
    mark = Mark(token=token, at_ticks=at_ticks, label=label, by_id=actor.user_id)
    session.add(mark)
    session.flush()
    return mark


def remove_mark(session: Session, actor: Actor, token: str, mark_id: int) -> None:
    """Take a mark back. Raises Missing."""
    lock(session, token)
    mark = session.get(Mark, mark_id)
    if mark is None or mark.token != token:
        raise Missing("mark_unknown")
    note_programme(session, actor, token, "mark.remove", at_ticks=mark.at_ticks, label=mark.label)
    session.delete(mark)
    session.flush()


def tick_now(session: Session, token: str, now_us: int, *, on_air: bool) -> int:
    """Where the programme's timeline stands at ``now_us``, for somebody who sees the stage.

    Each slot of the air list says when its first frame came in; from the newest one time is
    counted on. While nothing comes in, the timeline stands at its end; so it does after a
    reconnect, until the first slot of the new take is registered.
    """
    last = session.scalars(
        select(AirItem).where(AirItem.token == token).order_by(AirItem.msn.desc()).limit(1)
    ).first()
    if last is None:
        return 0
    end = last.start_ticks + last.duration_ticks
    take = session.get(Take, last.take_id) if last.take_id else None
    if not on_air or (take is not None and take.state == "closed"):
        return end
    ahead = last.start_ticks + (now_us - last.pdt_us) * TIMESCALE // 1_000_000
    return max(end, min(ahead, end + _AHEAD_MAX_TICKS))
