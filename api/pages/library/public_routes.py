"""What anyone may see of the 资源库: searching it, a record's own page, an exhibition, files."""

from __future__ import annotations

from typing import Final

from anyio import to_thread
from fastapi import APIRouter, Request
from fastapi.responses import (
    JSONResponse,
    RedirectResponse,
    Response,
)
from sqlalchemy.orm import Session

from api.downloads import inline
from api.pages.backend import Person
from api.pages.guard import current_user
from api.pages.library import data as library_data
from api.pages.library import public as library_public
from api.pages.library.ask import ask_of
from api.pages.library.desk import Desk
from api.pages.library.view import PublicRecord
from api.pages.view import NotFound
from api.parts import Parts
from catalog.records.files import EXTENSIONS
from catalog.search.suggest import suggest
from infra.storage import NotFound as NoFile
from infra.storage import Storage

_KEPT_SECONDS: Final = 300
"""A file's address has its checksum in it; withdrawn, browsers that saw it forget it in minutes,
and a link to object storage opens nothing any more."""


def public_routes(router: APIRouter, desk: Desk, parts: Parts) -> None:
    _search(router, desk)
    _records(router, desk)
    _files(router, desk, parts)


def _search(router: APIRouter, desk: Desk) -> None:
    @router.get("/search")
    async def search(request: Request) -> Response:
        ask = ask_of(request.query_params, "/search")
        found = await desk.run(lambda session: library_data.listing(session, ask, None))
        user = await current_user(request, desk.backend)
        return desk.renderer.page(request, "library_search.html", {"listing": found}, user=user)

    @router.get("/search/suggest")
    async def suggestions(q: str = "") -> Response:
        found = await desk.run(
            lambda session: suggest(session, q[:40], centre_path=None, public_only=True)
        )
        return JSONResponse(found)


def _records(router: APIRouter, desk: Desk) -> None:
    async def page(request: Request, record: PublicRecord, template: str) -> Response:
        user = await current_user(request, desk.backend)
        return desk.renderer.page(request, template, {"r": record}, user=user)

    @router.get("/r/{resource_id}")
    async def record(request: Request, resource_id: str) -> Response:
        found = await desk.run(lambda session: library_public.record(session, resource_id))
        own = f"/r/{resource_id}"
        if found.card.kind == "exhibition" or (found.media.watch_url or own) != own:
            # What plays has a page of its own already: one address for one thing.
            where = found.card.href if found.card.kind == "exhibition" else found.media.watch_url
            return RedirectResponse(where or "/", status_code=302)
        return await page(request, found, "library_public.html")

    @router.get("/e/{resource_id}")
    async def exhibition(request: Request, resource_id: str) -> Response:
        found = await desk.run(lambda session: library_public.record(session, resource_id))
        if found.card.kind != "exhibition":
            raise NotFound
        return await page(request, found, "library_exhibition.html")


def _files(router: APIRouter, desk: Desk, parts: Parts) -> None:
    @router.get("/files/{resource_id}/{name}")
    async def file(request: Request, resource_id: str, name: str) -> Response:
        user = await current_user(request, desk.backend)
        actor = user.actor() if isinstance(user, Person) else None

        def work(session: Session) -> tuple[str, str]:
            return library_public.file_of(session, actor, resource_id, name)

        key, media_type = await desk.run(work)
        shown = f"{resource_id}.{EXTENSIONS.get(media_type, 'bin')}"
        return await to_thread.run_sync(_send, parts.storage, key, media_type, shown)


def _send(storage: Storage, key: str, media_type: str, name: str) -> Response:
    try:
        return inline(storage, key, media_type, name, seconds=_KEPT_SECONDS)
    except NoFile:
        raise NotFound from None
