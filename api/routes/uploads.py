"""Uploads over the API: what is under way and what became of it. The bytes themselves go through
tus, under /uploads/files (``api.uploads``)."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from api.answers import Answer
from api.answers_uploads import UploadAnswer, told
from api.auth import Db, OurParts, actor, require
from api.uploads.gate import UploadGate
from api.uploads.names import PATH
from catalog import intakes, uploads
from catalog.accounts import Identity
from catalog.models import Upload

router = APIRouter(tags=["uploads"])

Makes = Annotated[Identity, Depends(require("upload.make"))]
State = Literal["receiving", "received", "registered", "refused", "removed"]


def gate_of(request: Request) -> UploadGate:
    """The door the bytes come through."""
    found = request.app.state.uploads
    assert isinstance(found, UploadGate)
    return found


Gate = Annotated[UploadGate, Depends(gate_of)]


class UploadList(Answer):
    items: list[UploadAnswer]


class Sum(BaseModel):
    """The sender's own SHA-256 of the whole file."""

    model_config = ConfigDict(extra="forbid")

    sha256: str = Field(pattern="^[0-9a-f]{64}$")


def _told(
    session: Db, who: Identity, parts: OurParts, gate: UploadGate, found: list[Upload]
) -> list[UploadAnswer]:
    return told(
        session,
        actor(who),
        found,
        offset=gate.disk.folder.offset,
        days=parts.settings.upload_days,
        files_path=PATH,
    )


@router.get("/uploads")
def listing(
    who: Makes,
    session: Db,
    parts: OurParts,
    gate: Gate,
    mine: bool = False,
    state: Annotated[list[State] | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> UploadList:
    """The newest first: one's own, or all within reach."""
    states = tuple(state) if state else None
    found = uploads.listed(session, actor(who), mine=mine, states=states, limit=limit)
    return UploadList(items=_told(session, who, parts, gate, found))


@router.get("/uploads/{upload_id}")
def show(upload_id: str, who: Makes, session: Db, parts: OurParts, gate: Gate) -> UploadAnswer:
    found = uploads.find(session, actor(who), upload_id)
    return _told(session, who, parts, gate, [found])[0]


@router.put("/uploads/{upload_id}/sha256")
def claim(
    upload_id: str, body: Sum, who: Makes, session: Db, parts: OurParts, gate: Gate
) -> UploadAnswer:
    """What the sender's own sum of the whole is; told before the last piece is sent. A file that
    comes out otherwise is refused."""
    found = uploads.own(session, actor(who), upload_id)
    uploads.claim_sha256(session, found, body.sha256)
    return _told(session, who, parts, gate, [found])[0]


@router.post("/uploads/{upload_id}/insist")
def insist(upload_id: str, who: Makes, session: Db, parts: OurParts, gate: Gate) -> UploadAnswer:
    """Take a file in although the same one is here already."""
    found = intakes.insist(session, actor(who), upload_id, dt.datetime.now(dt.UTC))
    return _told(session, who, parts, gate, [found])[0]


@router.post("/uploads/{upload_id}/again")
def again(upload_id: str, who: Makes, session: Db, parts: OurParts, gate: Gate) -> UploadAnswer:
    """Look once more at a file whose looking-at failed."""
    found = intakes.look_again(session, actor(who), upload_id, dt.datetime.now(dt.UTC))
    return _told(session, who, parts, gate, [found])[0]


@router.delete("/uploads/{upload_id}")
def remove(upload_id: str, who: Makes, session: Db, parts: OurParts, gate: Gate) -> UploadAnswer:
    """Take an upload back, or clear a refused one away."""
    found = intakes.remove(session, actor(who), upload_id, dt.datetime.now(dt.UTC))
    gate.disk.folder.forget(upload_id)
    return _told(session, who, parts, gate, [found])[0]
