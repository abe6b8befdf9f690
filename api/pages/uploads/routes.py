"""The pages of uploads. The bytes go through tus (``api.uploads``); a page that is open shows how
far they are, and what becomes of the file when all of it is here."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.orm import Session

from api.pages.backend import Backend
from api.pages.library.desk import Desk, form_of, refusal
from api.pages.render import Renderer
from api.pages.uploads import data
from api.routes.uploads import gate_of
from catalog import intakes
from catalog.audit import Actor
from catalog.errors import Refused
from catalog.models import Upload

Deed = Callable[[Session, Actor, str, dt.datetime], Upload]

DEEDS: Final[dict[str, Deed]] = {
    "remove": intakes.remove,
    "insist": intakes.insist,
    "again": intakes.look_again,
}


def uploads_router(backend: Backend) -> APIRouter:
    """Every page under /desk/uploads."""
    router = APIRouter(include_in_schema=False)
    desk, settings = Desk(backend, Renderer(backend.config)), backend.parts.settings

    async def show(
        request: Request, broadcast: str = "", exhibition: str = "", status: int = 200, **more: Any
    ) -> Response:
        person = await desk.person(request, "upload.make")
        actor, gate = person.actor(), gate_of(request)
        view = await desk.run(
            lambda session: data.page(
                session, actor, gate, settings,
                broadcast=broadcast[:32], exhibition=exhibition[:32],
            )
        )  # fmt: skip
        shown = {"v": view, "home": person.centre_id, **more}
        return desk.page(request, "uploads/uploads.html", shown, person, status=status)

    @router.get("/desk/uploads")
    async def page(request: Request, broadcast: str = "", exhibition: str = "") -> Response:
        return await show(request, broadcast, exhibition)

    @router.get("/desk/uploads/list")
    async def listing(request: Request) -> Response:
        person = await desk.person(request, "upload.make")
        actor, gate = person.actor(), gate_of(request)
        rows = await desk.run(lambda session: data.rows(session, actor, gate, settings))
        return desk.page(request, "uploads/list.html", {"rows": rows}, person)

    @router.post("/desk/uploads/{upload_id}/{deed}")
    async def do(request: Request, upload_id: str, deed: str) -> Response:
        person = await desk.person(request, "upload.make")
        await form_of(request)
        if deed not in DEEDS:
            return RedirectResponse("/desk/uploads", status_code=303)
        actor, now = person.actor(), dt.datetime.now(dt.UTC)
        try:
            await desk.run(lambda session: DEEDS[deed](session, actor, upload_id, now))
        except Refused as error:
            told = {"text": refusal(error, request), "bad": True}
            return await show(request, status=409, notice=told)
        return RedirectResponse("/desk/uploads", status_code=303)

    return router
