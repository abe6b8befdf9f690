"""The HTML routes as one router, and what a browser is told when something goes wrong."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import quote

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.exc import DataError
from starlette.exceptions import HTTPException

from api.pages.backend import Backend
from api.pages.desk_routes import desk_router
from api.pages.guard import ForeignPost, SignInNeeded
from api.pages.job_routes import jobs_router
from api.pages.render import Renderer
from api.pages.stills.routes import stills_router
from api.pages.targets.minutes_routes import minutes_router
from api.pages.targets.plans_routes import plans_router
from api.pages.targets.returns_routes import returns_router
from api.pages.targets.routes import targets_router
from api.pages.view import Gone, NotAllowed, NotFound, PageDeps
from api.pages.viewer_routes import viewer_router
from api.pages.works_routes import works_router
from infra.telemetry import get_logger

__all__ = ["install_error_pages", "page_router"]

log = get_logger(__name__)

_MACHINE_PATHS = ("/api/", "/hls/", "/metrics", "/healthz")
Handler = Callable[[Request, Exception], Awaitable[Response]]


def page_router(deps: PageDeps) -> APIRouter:
    """Every HTML page and the built assets under /static."""
    renderer = Renderer(deps.config)
    router = APIRouter(include_in_schema=False)
    router.include_router(viewer_router(deps, renderer))
    router.include_router(desk_router(deps, renderer))
    router.include_router(jobs_router(deps, renderer))
    router.include_router(works_router(deps, renderer))
    if isinstance(deps, Backend):
        # These speak to the catalogue itself; a fake of the pages above has none.
        for made in (targets_router, plans_router, returns_router, minutes_router, stills_router):
            router.include_router(made(deps, renderer))
    return router


def install_error_pages(app: FastAPI, deps: PageDeps, machine_error: Handler | None = None) -> None:
    """Answer browsers with pages and machines with `machine_error` (default: a short JSON).

    Replaces the app's handlers for HTTPException and for what nobody caught.
    """
    renderer = Renderer(deps.config)

    async def page(request: Request, status: int) -> Response:
        # Without asking who it is: the database may be what is away.
        data = {"status": status, "path": request.url.path}
        return renderer.page(request, "error.html", data, status=status, private=True)

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if _for_machines(request):
            return await (machine_error or _problem)(request, error)
        return await page(request, error.status_code)

    async def on_sign_in(request: Request, error: Exception) -> Response:
        if request.headers.get("hx-request"):
            return Response(status_code=204, headers={"hx-redirect": "/desk/sign-in"})
        target = quote(request.url.path) if request.method == "GET" else "/desk"
        return RedirectResponse(f"/desk/sign-in?next={target}", status_code=303)

    async def on_missing(request: Request, error: Exception) -> Response:
        return await page(request, 404)

    async def on_gone(request: Request, error: Exception) -> Response:
        return await page(request, 410)

    async def on_refused(request: Request, error: Exception) -> Response:
        return await page(request, 403)

    async def on_data(request: Request, error: Exception) -> Response:
        # A NUL in an address, say: no text of ours has one, and PostgreSQL takes none.
        assert isinstance(error, DataError)
        log.warning("no value for the database", path=request.url.path, why=str(error.orig))
        return await on_http(request, HTTPException(400 if _for_machines(request) else 404))

    async def on_crash(request: Request, error: Exception) -> Response:
        log.error("request crashed", path=request.url.path, exc_info=error)
        if _for_machines(request):
            return await (machine_error or _problem)(request, error)
        return await page(request, 500)

    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(SignInNeeded, on_sign_in)
    app.add_exception_handler(NotFound, on_missing)
    app.add_exception_handler(Gone, on_gone)
    app.add_exception_handler(NotAllowed, on_refused)
    app.add_exception_handler(ForeignPost, on_refused)
    app.add_exception_handler(DataError, on_data)
    app.add_exception_handler(Exception, on_crash)


def _for_machines(request: Request) -> bool:
    return request.url.path.startswith(_MACHINE_PATHS)


async def _problem(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    body = f'{{"type":"about:blank","title":"error","status":{status}}}'
    return Response(body, status, media_type="application/problem+json")
