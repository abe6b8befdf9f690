"""Pages of works: an uploaded recording for everybody, any work's MP4 for staff."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote, urlsplit

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from api.pages.guard import current_user, own_path, same_origin, staff
from api.pages.render import Renderer
from api.pages.view import NotFound, PageDeps


def works_router(deps: PageDeps, renderer: Renderer) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.get("/works/{work_id}")
    async def work(request: Request, work_id: str) -> Response:
        view = await deps.work_page(work_id)
        if view is None:
            raise NotFound
        if isinstance(view, str):
            return RedirectResponse(view, status_code=303)
        user = await current_user(request, deps)
        data = {"w": view, "desk": await deps.work_desk(user, work_id)}
        return renderer.page(request, "works/work.html", data, user=user)

    @router.get("/desk/works/{work_id}/mp4")
    async def mp4(request: Request, work_id: str) -> Response:
        user = await staff(request, deps)
        desk = await deps.work_desk(user, work_id)
        if desk is None:
            raise NotFound
        # The page it stands on, for when it is to be asked for once more.
        back = own_path(urlsplit(request.headers.get("hx-current-url", "/desk")).path or "/desk")
        data = {"desk": desk, "back": back}
        return renderer.page(request, "works/mp4.html", data, user=user, private=True)

    @router.post("/desk/works/{work_id}/mp4")
    async def make(
        request: Request, work_id: str, back: Annotated[str, Form()] = "/desk"
    ) -> Response:
        same_origin(request)
        user = await staff(request, deps)
        await deps.make_mp4(user, work_id)
        return RedirectResponse(own_path(back), status_code=303)

    @router.get("/desk/works/{work_id}/download")
    async def download(request: Request, work_id: str) -> Response:
        user = await staff(request, deps)
        found = await deps.mp4(user, work_id)
        if found is None:
            # Put away, as it had not been wanted for a while: the page offers to make it again.
            return RedirectResponse(f"/works/{quote(work_id)}", status_code=303)
        return found

    return router
