"""The record of a confirmed still: what it inherits from its programme, and its file, which says
where and when it was taken."""

from __future__ import annotations

import datetime as dt
import hashlib
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog.acts import acts
from catalog.audit import SYSTEM, Actor
from catalog.clock import CHINA, china_date, from_us
from catalog.minutes import TICKS_A_SECOND
from catalog.models import AirItem, Broadcast, Centre, Genre, Resource, Still, Work
from catalog.picture_facts import PictureFacts, with_facts
from catalog.programmes import Programme
from catalog.records import kinds, service
from catalog.records.files import picture_key, small_key
from catalog.records.service import Media
from catalog.resources import event_date
from infra.storage import Storage

_EARLIEST_US: Final = 946_684_800_000_000
"""2000: an earlier wall clock is none."""


class Clock:
    """From a programme's ticks to the wall clock in China."""

    def __init__(self, session: Session, token: str) -> None:
        query = select(AirItem.start_ticks, AirItem.pdt_us).where(AirItem.token == token)
        self._rows = [(at, us) for at, us in session.execute(query.order_by(AirItem.start_ticks))]
        self._starts = [start for start, _ in self._rows]

    def at(self, ticks: int) -> dt.datetime | None:
        """When the camera saw what is shown at a tick; None where no clock was known."""
        place = bisect_right(self._starts, ticks) - 1
        if place < 0:
            return None
        start, pdt_us = self._rows[place]
        us = pdt_us + (ticks - start) * 1_000_000 // TICKS_A_SECOND
        return from_us(us).astimezone(CHINA) if us >= _EARLIEST_US else None


@dataclass(frozen=True, slots=True)
class Scene:
    """What every still of a programme has in common."""

    programme: Programme
    centre: Centre
    day: dt.date
    address: str
    contract: str
    inherited: dict[str, Any]
    fields: dict[str, Any]
    titles: list[tuple[int, int, str]]
    clock: Clock
    now: dt.datetime

    @classmethod
    def of(
        cls,
        session: Session,
        programme: Programme,
        base_url: str,
        fields: Mapping[str, Any],
        now: dt.datetime,
    ) -> Scene:
        show = session.get(Broadcast, programme.id) if programme.kind == "broadcast" else None
        work = None if show else session.get(Work, programme.id)
        source = _recorded(session, programme)
        path = f"/b/{programme.id}"
        if work is not None:
            path = f"/{'clips' if work.kind == 'clip' else 'works'}/{work.id}"
        today = china_date(now)
        day = event_date(show) if show else source.event_date if source else today
        return cls(
            programme=programme,
            centre=session.get_one(Centre, programme.centre_id),
            day=min(day, today),
            address=base_url.rstrip("/") + path,
            contract=show.contract if show else work.contract if work else "",
            inherited=_inherited(session, source),
            fields={name: value for name, value in fields.items() if name not in _OURS},
            titles=[(a.start_ticks, a.end_ticks, a.title) for a in acts(session, programme.token)],
            clock=Clock(session, programme.token),
            now=now,
        )

    def title(self, at_ticks: int) -> str:
        """The programme, the act if it has a name, and where it is."""
        act = next((t for start, end, t in self.titles if start <= at_ticks < end and t), "")
        seconds = at_ticks // TICKS_A_SECOND
        where = f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
        words = f"{self.programme.title}《{act}》" if act else f"{self.programme.title} "
        return words[: kinds.TITLE_MAX - len(where)] + where


_OURS: Final = frozenset(
    {"title", "ledger", "confirmed", "event_date", "broadcast_id", "lineage", "parent_id"}
)
"""What is known of a still, and is not for anybody to say."""


def _recorded(session: Session, programme: Programme) -> Resource | None:
    """The record of what the stills are of."""
    mine = Work.id == programme.id
    if programme.kind == "broadcast":
        mine = (Work.broadcast_id == programme.id) & (Work.kind == "recording")
    query = select(Resource).join(Work, Work.id == Resource.work_id).where(mine)
    return session.scalars(query.limit(1)).one_or_none()


def _inherited(session: Session, source: Resource | None) -> dict[str, Any]:
    if source is None:
        return {}
    genre = session.get(Genre, source.genre_id) if source.genre_id else None
    return {
        "lineage": [source.id],
        "place": source.place,
        "languages": source.languages,
        "rights_holder": source.rights_holder,
        "licence": source.licence,
        "genre_id": genre.id if genre is not None and genre.retired_at is None else None,
    }


def record_still(
    session: Session, storage: Storage, actor: Actor, scene: Scene, still: Still
) -> Resource:
    """The record of a still that has none yet, confirmed. Raises Refused, StorageError."""
    title, at = scene.title(still.at_ticks), scene.clock.at(still.at_ticks)
    media = _keep(storage, scene, still, title, at)
    made = service.create(
        session,
        actor,
        kind="image",
        centre=scene.centre,
        fields={
            "source": scene.address,
            **scene.inherited,
            **scene.fields,
            "title": title,
            "ledger": "broadcast",
            "confirmed": True,
            "event_date": scene.day,
            "broadcast_id": scene.programme.broadcast_id,
        },
        now=scene.now,
    )
    made.contract = scene.contract or made.contract
    service.attach(session, SYSTEM, made.id, media, now=scene.now)
    still.resource_id = made.id
    session.flush()
    return made


def _keep(
    storage: Storage, scene: Scene, still: Still, title: str, at: dt.datetime | None
) -> Media:
    """The still's file with what is known of it written in; the small one beside it."""
    facts = PictureFacts(
        title=title,
        source=scene.programme.title,
        address=scene.address,
        identifier=scene.programme.id,
        creator=scene.centre.name,
        at=at,
    )
    data = with_facts(storage.get(still.storage_key), facts)
    digest = hashlib.sha256(data).hexdigest()
    key = picture_key(digest, "image/jpeg")
    storage.put_bytes(small_key(key), storage.get(still.small_key))
    storage.put_bytes(key, data)
    technical: dict[str, Any] = {
        "width": still.width,
        "height": still.height,
        "at_ticks": still.at_ticks,
    }
    if at is not None:
        technical["taken_at"] = at.isoformat(timespec="milliseconds")
    return Media(key, "image/jpeg", len(data), digest, technical=technical, phash=still.phash)
