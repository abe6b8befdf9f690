"""Pages anyone may see: the front page, watching, one clip, and the viewer's two wishes."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import FileResponse, RedirectResponse, Response

from api.pages.guard import current_user, own_path, same_origin
from api.pages.render import ASSETS, ELDER_COOKIE, LANGUAGE_COOKIE, LANGUAGES, Renderer, manifest
from api.pages.view import NotFound, PageDeps

_YEAR_S = 365 * 24 * 3600
_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}


def viewer_router(deps: PageDeps, renderer: Renderer) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def home(request: Request) -> Response:
        return renderer.page(
            request,
            "home.html",
            {"home": await deps.home()},
            user=await current_user(request, deps),
        )

    @router.get("/b/{broadcast_id}")
    async def watch(request: Request, broadcast_id: str) -> Response:
        view = await deps.broadcast_page(broadcast_id)
        if view is None:
            raise NotFound
        user = await current_user(request, deps)
        return renderer.page(request, "watch.html", {"b": view}, user=user)

    @router.get("/clips/{clip_id}")
    async def clip(request: Request, clip_id: str) -> Response:
        view = await deps.clip_page(clip_id)
        if view is None:
            raise NotFound
        user = await current_user(request, deps)
        data = {"clip": view, "desk": await deps.work_desk(user, clip_id)}
        return renderer.page(request, "clip.html", data, user=user)

    @router.post("/prefs")
    async def prefs(
        request: Request,
        back: Annotated[str, Form()] = "/",
        elder: Annotated[str | None, Form()] = None,
        language: Annotated[str | None, Form()] = None,
    ) -> Response:
        same_origin(request)
        response = RedirectResponse(own_path(back), status_code=303)
        if elder is not None:
            wish = "1" if elder == "1" else "0"
            response.set_cookie(ELDER_COOKIE, wish, max_age=_YEAR_S, samesite="lax", path="/")
        if language in LANGUAGES:
            response.set_cookie(
                LANGUAGE_COOKIE, language, max_age=_YEAR_S, samesite="lax", path="/"
            )
        return response

    @router.get("/static/{name}")
    async def static(request: Request, name: str) -> Response:
        # Only what the build wrote, by exact name: no path of the reader's reaches the disk.
        if name not in manifest().values():
            raise NotFound
        path = ASSETS / name
        headers = {
            "cache-control": "public, max-age=31536000, immutable",
            "vary": "Accept-Encoding",
            "x-content-type-options": "nosniff",
        }
        accepted = request.headers.get("accept-encoding", "")
        for encoding, suffix in (("br", ".br"), ("gzip", ".gz")):
            packed = path.with_name(name + suffix)
            if encoding in accepted and packed.exists():
                headers["content-encoding"] = encoding
                return FileResponse(packed, headers=headers, media_type=_TYPES[path.suffix])
        return FileResponse(path, headers=headers, media_type=_TYPES[path.suffix])

    return router
