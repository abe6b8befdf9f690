"""What the page of uploads shows: where files go, what is under way, what became of it."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.answers_uploads import WORDS, UploadAnswer, told
from api.pages.library.ask import Choice
from api.uploads.gate import UploadGate
from api.uploads.names import PATH
from catalog import uploads
from catalog.audit import Actor
from catalog.centres import centres_within
from catalog.models import Broadcast, Centre, Resource
from catalog.records.reach import broadcasts_of, resources_of
from catalog.uploads import PHOTO_MAX_BYTES, size_words
from infra.settings import Settings

SHOWN: int = 60
BADGES = {
    "receiving": "",
    "checking": "badge-warn",
    "stuck": "badge-bad",
    "making": "badge-warn",
    "ready": "badge-good",
    "failed": "badge-bad",
    "refused": "badge-bad",
    "removed": "",
}


@dataclass(frozen=True, slots=True)
class UploadRow:
    """One file that came or comes in."""

    told: UploadAnswer
    word: str
    badge: str
    sender: str
    """Who sends it, where that is somebody else."""


@dataclass(frozen=True, slots=True)
class UploadsView:
    """The page. ``preset``: ("broadcast" or "exhibition", id, title) of where files go."""

    rows: tuple[UploadRow, ...]
    unfinished: int
    """Own files that wait to be chosen again."""
    centres: tuple[Choice, ...]
    preset: tuple[str, str, str] | None
    recording_max: int
    photo_max: int
    hours_max: int

    @property
    def recording_words(self) -> str:
        return size_words(self.recording_max)

    @property
    def photo_words(self) -> str:
        return size_words(self.photo_max)


def rows(
    session: Session, actor: Actor, gate: UploadGate, settings: Settings
) -> tuple[UploadRow, ...]:
    """The newest first; what is still awaited from oneself before all else."""
    found = uploads.listed(session, actor, limit=SHOWN)
    names = uploads.sender_names(session, found)
    senders = {row.id: names.get(row.created_by or "", "") for row in found}
    answers = told(
        session, actor, found, offset=gate.disk.folder.offset, days=settings.upload_days,
        files_path=PATH,
    )  # fmt: skip
    answers.sort(key=lambda one: not (one.mine and one.stage == "receiving"))
    return tuple(_row(one, "" if one.mine else senders[one.id]) for one in answers)


def _row(one: UploadAnswer, sender: str) -> UploadRow:
    if one.mine and one.stage == "receiving":
        # One that is going up right now the page itself shows above.
        return UploadRow(one, "没传完", "badge-warn", sender)
    return UploadRow(one, WORDS[one.stage], BADGES[one.stage], sender)


def page(
    session: Session,
    actor: Actor,
    gate: UploadGate,
    settings: Settings,
    *,
    broadcast: str = "",
    exhibition: str = "",
) -> UploadsView:
    """Everything on the page; an address that names what is out of reach names nothing."""
    shown = rows(session, actor, gate, settings)
    centres = sorted(centres_within(session, actor.centre_path), key=lambda c: len(c.path))
    return UploadsView(
        rows=shown,
        unfinished=sum(row.told.mine and row.told.stage == "receiving" for row in shown),
        centres=tuple(Choice(centre.id, centre.name) for centre in centres),
        preset=_preset(session, actor, broadcast, exhibition),
        recording_max=settings.upload_max_bytes,
        photo_max=PHOTO_MAX_BYTES,
        hours_max=settings.upload_hours_max,
    )


def _preset(
    session: Session, actor: Actor, broadcast: str, exhibition: str
) -> tuple[str, str, str] | None:
    if broadcast:
        titles = select(Broadcast.title).join(Centre, Centre.id == Broadcast.centre_id)
        title = session.scalar(titles.where(Broadcast.id == broadcast, broadcasts_of(actor)))
        return ("broadcast", broadcast, title) if title else None
    if exhibition:
        names = select(Resource.title).join(Centre, Centre.id == Resource.centre_id)
        here = (Resource.id == exhibition, Resource.kind == "exhibition", resources_of(actor))
        title = session.scalar(names.where(*here))
        return ("exhibition", exhibition, title) if title else None
    return None
