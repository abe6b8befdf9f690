"""What the page of a programme's pictures shows: plain frozen data, and the queries for it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Final, Literal

from sqlalchemy.orm import Session

from api.pages import cards
from api.pages.view import JobRow
from api.pages.words import clock
from api.rights import may
from api.routes.stills import address
from catalog import stills
from catalog.audit import Actor
from catalog.clock import CHINA
from catalog.minutes import TICKS_A_MS
from catalog.models import Work
from catalog.programmes import Programme, find_programme
from catalog.stills import Picture
from infra.tables import Job
from vod.stills.service import latest_job

OPEN: Final = ("queued", "running")

Group = Literal["proposed", "confirmed", "dismissed"]


@dataclass(frozen=True)
class Tile:
    """One picture of the grid."""

    key: str
    name: str
    """What it is told from the others by: the time in the programme, a photograph's name."""
    when: str
    """By the wall clock; "" where there was none."""
    photo: bool
    small_url: str
    full_url: str
    width: int
    height: int
    record_url: str | None

    @property
    def upright(self) -> bool:
        return self.height > self.width


@dataclass(frozen=True)
class StillsView:
    """A programme's pictures, by what was said to them."""

    id: str
    title: str
    centre: str
    back: str
    watchable: bool
    """There are pictures to look through at all."""
    live: bool
    making: bool
    """A work that is not whole yet."""
    proposed: tuple[Tile, ...]
    confirmed: tuple[Tile, ...]
    dismissed: tuple[Tile, ...]
    job: JobRow | None
    may_confirm: bool
    uploads_url: str | None

    @property
    def searching(self) -> bool:
        return self.job is not None and self.job.state in OPEN

    @property
    def failed(self) -> bool:
        return self.job is not None and self.job.state == "failed"

    @property
    def stills_waiting(self) -> int:
        return sum(not tile.photo for tile in self.proposed)

    @property
    def anything(self) -> bool:
        return bool(self.proposed or self.confirmed or self.dismissed)


def stills_view(session: Session, actor: Actor, programme_id: str, now: dt.datetime) -> StillsView:
    """Raises Missing."""
    found = find_programme(session, actor, programme_id)
    pictures = stills.proposals(session, actor, found)
    groups: dict[str, list[Tile]] = {"proposed": [], "confirmed": [], "dismissed": []}
    for picture in pictures:
        groups[picture.state].append(_tile(found, picture))
    making = found.kind == "work" and found.state in ("making", "failed")
    upload = found.kind == "broadcast" and may(actor.role, "upload.make")
    return StillsView(
        id=found.id,
        title=found.title,
        centre=found.centre,
        back=_back(session, found),
        watchable=found.length_ticks > 0 and not making,
        live=found.state in ("live", "interrupted"),
        making=making,
        proposed=tuple(groups["proposed"]),
        confirmed=tuple(groups["confirmed"]),
        dismissed=tuple(groups["dismissed"]),
        job=job_view(session, found, now),
        may_confirm=may(actor.role, "still.confirm"),
        uploads_url=f"/desk/uploads?broadcast={found.id}&purpose=photo" if upload else None,
    )


def job_view(session: Session, programme: Programme, now: dt.datetime) -> JobRow | None:
    """The search for stills, while it matters: under way, or failed."""
    job: Job | None = latest_job(session, programme.token)
    if job is None or job.state not in (*OPEN, "failed"):
        return None
    return cards.job_row(job, now)


def _back(session: Session, programme: Programme) -> str:
    if programme.kind == "broadcast":
        return f"/desk/b/{programme.id}"
    work = session.get(Work, programme.id)
    return f"/{'clips' if work is not None and work.kind == 'clip' else 'works'}/{programme.id}"


def _tile(programme: Programme, picture: Picture) -> Tile:
    still = picture.at_ticks is not None
    at = picture.at.astimezone(CHINA) if picture.at else None
    return Tile(
        key=picture.key,
        name=clock((picture.at_ticks or 0) // TICKS_A_MS) if still else picture.title,
        when="" if at is None else at.strftime("%H:%M:%S"),
        photo=not still,
        small_url=address(programme.id, picture.key, "small.jpg"),
        full_url=address(programme.id, picture.key, "full"),
        width=picture.width,
        height=picture.height,
        record_url=f"/desk/library/{picture.resource_id}" if picture.resource_id else None,
    )
