"""Broadcasts over the API: make, show, list, end, a new key, the health of the feed."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

from anyio import to_thread
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from api import answers
from api.auth import Db, OurParts, actor, in_reach, own_centre, require
from api.present import Feed, read_feed, tell_ingest
from api.public import PUBLIC_SECONDS, PublicState
from catalog.accounts import Identity
from catalog.audit import note
from catalog.broadcasts import create_broadcast, end_broadcast, rotate_key, set_standing
from catalog.models import Broadcast
from catalog.records.reach import contract_of
from infra.database import after_commit

router = APIRouter(tags=["broadcasts"])

Sees = Annotated[Identity, Depends(require("broadcast.see"))]
Makes = Annotated[Identity, Depends(require("broadcast.make"))]
Ends = Annotated[Identity, Depends(require("broadcast.end"))]


class NewBroadcast(BaseModel):
    model_config = ConfigDict(extra="forbid")

    title: str = Field(min_length=1, max_length=1000)
    centre: str | None = Field(default=None, max_length=200, description="Id or name.")
    mode: Literal["live", "recorded"] = "live"
    planned_at: AwareDatetime | None = None
    planned_end_at: AwareDatetime | None = Field(
        default=None, description="A live show on for less than half of that is flagged."
    )
    description: str = Field(default="", max_length=5000)
    contract: str = Field(default="", max_length=100, description="Of the studio that makes it.")


class Standing(BaseModel):
    model_config = ConfigDict(extra="forbid")

    standing: Literal["own", "linked", "reshown", "test"]
    origin: str = Field(default="", max_length=500, description="Id or watch address.")


class BroadcastList(answers.Answer):
    items: list[answers.BroadcastBrief]


@router.post("/broadcasts", status_code=201)
def create(body: NewBroadcast, who: Makes, session: Db, parts: OurParts) -> answers.BroadcastMade:
    """A broadcast ready for an encoder. The stream key is told here and never again."""
    centre = own_centre(session, who, body.centre)
    new = create_broadcast(
        session,
        title=body.title,
        centre_id=centre.id,
        mode=body.mode,
        description=body.description,
        planned_at=body.planned_at,
        planned_end_at=body.planned_end_at,
        created_by=who.user_id,
        contract=body.contract,
    )
    _note(session, who, "broadcast.create", new.broadcast)
    return answers.made(new, parts.addresses())


@router.get("/broadcasts")
def listing(
    who: Sees,
    session: Db,
    parts: OurParts,
    state: Annotated[str | None, Query(max_length=20)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    before: AwareDatetime | None = None,
) -> BroadcastList:
    """Broadcasts of the caller's centres, latest first; ``before`` pages by time of making."""
    at = parts.addresses()
    found = answers.listed_broadcasts(
        session,
        centre_path=who.centre_path,
        contract=contract_of(who.role, who.contract),
        state=state,
        limit=limit,
        before=before,
    )
    return BroadcastList(items=[answers.brief(broadcast, at) for broadcast in found])


@router.get("/broadcasts/{broadcast_id}")
def show(broadcast_id: str, who: Sees, session: Db, parts: OurParts) -> answers.BroadcastFull:
    """State, takes, gaps, minutes and plays; right at any time, on air too."""
    return answers.full(session, in_reach(session, who, broadcast_id), parts.addresses())


@router.put("/broadcasts/{broadcast_id}/standing")
def standing(
    broadcast_id: str, body: Standing, who: Makes, session: Db, parts: OurParts
) -> answers.BroadcastFull:
    """How it counts: one of this centre's own, a relay of another's, shown again, or a test."""
    found = in_reach(session, who, broadcast_id)
    set_standing(session, found.id, body.standing, body.origin)
    _note(session, who, "broadcast.standing", found)
    return answers.full(session, found, parts.addresses())


@router.post("/broadcasts/{broadcast_id}/end")
def end(broadcast_id: str, who: Ends, session: Db, parts: OurParts) -> answers.BroadcastFull:
    """End it for good; ending twice is ending once."""
    broadcast = in_reach(session, who, broadcast_id)
    end_broadcast(session, broadcast.id, dt.datetime.now(dt.UTC))
    _note(session, who, "broadcast.end", broadcast)
    after_commit(session, lambda: tell_ingest(parts.redis, "end", broadcast.id))
    return answers.full(session, broadcast, parts.addresses())


@router.post("/broadcasts/{broadcast_id}/stream-key")
def new_key(broadcast_id: str, who: Makes, session: Db, parts: OurParts) -> answers.Publish:
    """A new stream key; the old one stops working at the encoder's next try."""
    broadcast = in_reach(session, who, broadcast_id)
    key = rotate_key(session, broadcast.id)
    _note(session, who, "broadcast.key", broadcast)
    return answers.Publish(rtmp_url=parts.addresses().rtmp, stream_key=key)


@router.get("/broadcasts/{broadcast_id}/feed")
def feed(broadcast_id: str, who: Sees, session: Db, parts: OurParts) -> Feed:
    """What comes in and what is made of it, as of the last second or two."""
    broadcast = in_reach(session, who, broadcast_id)
    return read_feed(session, parts.redis, broadcast.id)


@router.get("/broadcasts/{broadcast_id}/public", response_model=answers.BroadcastPublic)
async def public(broadcast_id: str, request: Request) -> Response:
    """What anyone may know: where to watch, and whether it is on. Every viewer asks now and then,
    so one answer serves them all for a moment."""
    state: PublicState = request.app.state.public
    body = state.at_hand(broadcast_id) or await to_thread.run_sync(state.of, broadcast_id)
    headers = {"cache-control": f"public, max-age={PUBLIC_SECONDS}"}
    return Response(body, media_type="application/json", headers=headers)


def _note(session: Db, who: Identity, action: str, broadcast: Broadcast) -> None:
    note(session, actor(who), action, "broadcast", broadcast.id, centre_id=broadcast.centre_id)
