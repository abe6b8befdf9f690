"""Stills over the API: asking for proposals, looking at them, saying which are pictures.

``programme_id``: a broadcast's id or a work's. A picture is named by its key: ``s`` and a number is
a still, ``p`` and a record's id a photograph of the show.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Path, Response
from pydantic import BaseModel, ConfigDict, Field

from api import answers
from api.answers_resources import RecordFields
from api.auth import Db, OurParts, actor, require
from api.downloads import inline
from api.sentences import Problem
from catalog import stills
from catalog.accounts import Identity
from catalog.minutes import TICKS_A_SECOND
from catalog.programmes import Programme, find_programme
from catalog.records.files import EXTENSIONS
from catalog.stills import AT_ONCE, Picture
from infra.storage import NotFound
from vod.stills.service import COUNT, COUNT_MOST, latest_job, request_stills

router = APIRouter(tags=["stills"])

Sees = Annotated[Identity, Depends(require("broadcast.see"))]
Confirms = Annotated[Identity, Depends(require("still.confirm"))]
ProgrammeId = Annotated[str, Path(max_length=32)]
Key = Annotated[str, Field(min_length=2, max_length=34)]
_KEPT_SECONDS: Final = 600


class Wanted(BaseModel):
    model_config = ConfigDict(extra="forbid")

    count: int = Field(default=COUNT, ge=1, le=COUNT_MOST, description="So many are to wait.")


class Picked(BaseModel):
    model_config = ConfigDict(extra="forbid")

    keys: list[Key] = Field(min_length=1, max_length=AT_ONCE)


class Confirmed(Picked):
    fields: RecordFields = Field(
        default=RecordFields(), description="What new records say besides: place, people …"
    )


class PictureAnswer(answers.Answer):
    key: str
    kind: Literal["still", "photo"]
    state: Literal["proposed", "confirmed", "dismissed"]
    seconds: float | None = Field(description="From the programme's beginning; of a still.")
    at: dt.datetime | None = Field(description="When it was taken, if a clock said so.")
    width: int
    height: int
    score: int = Field(description="Permille, for ordering only.")
    resource_id: str | None
    small_url: str
    url: str


class StillsAnswer(answers.Answer):
    programme_id: str
    waiting: int
    items: list[PictureAnswer]
    job: answers.JobAnswer | None


class Answered(answers.Answer):
    changed: int


class Made(answers.Answer):
    resource_ids: list[str]


@router.get("/programmes/{programme_id}/stills")
def listing(programme_id: ProgrammeId, who: Sees, session: Db) -> StillsAnswer:
    """Every picture of a programme, whatever was said to it, and the search for more."""
    person = actor(who)
    found = find_programme(session, person, programme_id)
    items = stills.proposals(session, person, found)
    job = latest_job(session, found.token)
    return StillsAnswer(
        programme_id=found.id,
        waiting=sum(item.state == "proposed" for item in items),
        items=[_answer(found, item) for item in items],
        job=answers.job(job) if job else None,
    )


@router.post("/programmes/{programme_id}/stills", status_code=202)
def ask(
    programme_id: ProgrammeId, who: Confirms, session: Db, body: Wanted | None = None
) -> answers.JobAnswer:
    """Look for stills until so many wait for an answer; the job tells how far it is."""
    person = actor(who)
    found = find_programme(session, person, programme_id)
    count = (body or Wanted()).count
    job = request_stills(session, found.token, count=count, by=person)
    return answers.job(job)


@router.post("/programmes/{programme_id}/stills/confirm")
def confirm(
    programme_id: ProgrammeId, body: Confirmed, who: Confirms, session: Db, parts: OurParts
) -> Made:
    """These are pictures from now on, each with a record of its own."""
    person = actor(who)
    made = stills.confirm(
        session,
        parts.storage,
        person,
        find_programme(session, person, programme_id),
        body.keys,
        base_url=parts.addresses().http,
        fields=body.fields.given(),
    )
    return Made(resource_ids=[row.id for row in made])


@router.post("/programmes/{programme_id}/stills/dismiss")
def dismiss(programme_id: ProgrammeId, body: Picked, who: Confirms, session: Db) -> Answered:
    """These are not wanted, nor are any like them."""
    person = actor(who)
    found = find_programme(session, person, programme_id)
    return Answered(changed=stills.dismiss(session, person, found, body.keys))


@router.post("/programmes/{programme_id}/stills/undo")
def undo(programme_id: ProgrammeId, body: Picked, who: Confirms, session: Db) -> Answered:
    """These wait for an answer again; what they counted for they count no more."""
    person = actor(who)
    found = find_programme(session, person, programme_id)
    return Answered(changed=stills.undo(session, person, found, body.keys))


@router.get("/programmes/{programme_id}/stills/{still_key}/{size}", response_class=Response)
def picture(
    programme_id: ProgrammeId,
    still_key: Annotated[str, Path(min_length=2, max_length=34)],
    size: Literal["small.jpg", "full"],
    who: Sees,
    session: Db,
    parts: OurParts,
) -> Response:
    """A picture as it will be, or small enough for a grid."""
    person = actor(who)
    found = find_programme(session, person, programme_id)
    row = stills.picture(session, person, found, still_key)
    small = size == "small.jpg"
    key, kind = (row.small_key, "image/jpeg") if small else (row.storage_key, row.media_type)
    try:
        name = f"{found.id}-{row.key}.{EXTENSIONS.get(kind, 'bin')}"
        return inline(parts.storage, key, kind, name, seconds=_KEPT_SECONDS)
    except NotFound:
        raise Problem("not_found") from None


def address(programme_id: str, key: str, size: str) -> str:
    """Where a picture is served to staff."""
    return f"/api/v1/programmes/{programme_id}/stills/{key}/{size}"


def _answer(programme: Programme, item: Picture) -> PictureAnswer:
    told: dict[str, Any] = {
        "kind": "still" if item.key.startswith("s") else "photo",
        "seconds": None if item.at_ticks is None else item.at_ticks / TICKS_A_SECOND,
        "small_url": address(programme.id, item.key, "small.jpg"),
        "url": address(programme.id, item.key, "full"),
    }
    for name in ("key", "state", "at", "width", "height", "score", "resource_id"):
        told[name] = getattr(item, name)
    return PictureAnswer(**told)
