"""The one ASGI application: the HLS edge in front, behind it the API and the pages."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from api import errors, health, oai
from api.beacons import BeaconWriter
from api.edge.app import Edge
from api.edge.state import EdgeState
from api.library import CatalogueLibrary
from api.pages.acts.routes import acts_router
from api.pages.backend import Backend, TruthAway
from api.pages.forms.routes import forms_router
from api.pages.library.routes import library_router
from api.pages.outside_routes import outside_router
from api.pages.people_routes import people_router
from api.pages.routes import install_error_pages, page_router
from api.pages.uploads.routes import uploads_router
from api.parts import Parts
from api.public import PublicState
from api.routes import PREFIX, api_router
from api.salts import DailySalt
from api.shell import Shell
from api.uploads.gate import UploadGate
from api.uploads.names import PATH as UPLOADS
from infra import metrics
from infra.database import Database
from infra.health import keep_alive
from infra.queue import connect_queue
from infra.redis import connect, connect_async
from infra.settings import Settings
from infra.storage import open_storage

POOL_SIZE: Final = 10
"""Database connections kept; requests beyond them share five more, and wait beyond those."""


@dataclass(frozen=True)
class Application:
    """What the server serves, and how it is made ready to stop."""

    asgi: ASGIApp
    faces: FastAPI
    """What lies behind the edge."""
    parts: Parts
    release_held: Callable[[], Awaitable[None]]
    """Answer requests that are being held (blocking playlist reloads) with 503, at once."""


def make_parts(settings: Settings) -> Parts:
    """Open nothing yet: every part connects when first used, and again when it was away."""
    return Parts(
        settings=settings,
        database=Database(settings.resolved_database_url, name="xitai-web", pool_size=POOL_SIZE),
        redis=connect(settings),
        storage=open_storage(settings),
    )


def make_application(settings: Settings) -> Application:
    """The web process's application."""
    parts = make_parts(settings)
    faces = make_faces(parts)
    shell = Shell(faces, trusted_proxies=settings.trusted_proxies)
    state = EdgeState(
        connect_async(settings),
        CatalogueLibrary(parts.database),
        metrics=EdgeNumbers(),
        on_sight=faces.state.forget_all,
    )
    edge = Edge(_Closing(shell, state), state, parts.storage)
    return Application(edge, faces, parts, edge.release_held)


class EdgeNumbers:
    """The edge's counts as Prometheus metrics."""

    def requests(self, kind: str, status: int, count: int, size: int) -> None:
        metrics.edge_requests.labels(kind=kind, status=f"{status // 100}xx").inc(count)
        metrics.edge_bytes.labels(kind=kind).inc(size)

    def held(self, count: int) -> None:
        metrics.edge_held.set(count)


class _Closing:
    """Closes the edge when the application behind it has shut down."""

    def __init__(self, app: ASGIApp, state: EdgeState) -> None:
        self._app = app
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)
        if scope["type"] == "lifespan":
            await self._state.close()
            if self._state.client is not None:
                await self._state.client.aclose()


def make_faces(parts: Parts) -> FastAPI:
    """The API, the pages, /healthz and /metrics; all that is not media."""
    app = FastAPI(
        title="Xitai",
        version="1",
        # The viewer of the schema would load scripts from elsewhere; the schema itself is enough.
        docs_url=None,
        redoc_url=None,
        openapi_url=f"{PREFIX}/openapi.json",
        lifespan=_lifespan,
    )
    backend = Backend(parts)
    app.state.parts = parts
    app.state.salt = DailySalt(parts.redis)
    app.state.beacons = BeaconWriter(parts.database)
    app.state.public = public = PublicState(parts.database)

    def forget_all() -> None:
        public.forget_all()
        backend.forget_all()

    app.state.forget_all = forget_all
    app.include_router(health.router)
    app.state.uploads = gate = UploadGate(parts)
    app.router.routes += [Route(UPLOADS, gate, include_in_schema=False), Mount(UPLOADS, gate)]
    app.include_router(api_router())
    app.include_router(oai.router)
    app.include_router(page_router(backend))
    app.include_router(people_router(backend))
    app.include_router(outside_router(backend))
    app.include_router(library_router(backend))
    app.include_router(uploads_router(backend))
    app.include_router(acts_router(backend))
    app.include_router(forms_router(backend))
    errors.install(app)
    install_error_pages(app, backend, machine_error=errors.http_problem)
    app.add_exception_handler(TruthAway, _page_without_truth)
    return app


async def _page_without_truth(request: Request, error: Exception) -> Response:
    """The database is away: the pages' own error page, as 503."""
    answer: Any = request.app.exception_handlers[HTTPException]
    headers = {"retry-after": str(errors.RETRY_SECONDS)}
    response: Response = await answer(request, HTTPException(503, headers=headers))
    response.headers.update(headers)
    return response


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    parts: Parts = app.state.parts
    connect_queue(parts.settings)
    client = connect_async(parts.settings)
    alive = asyncio.create_task(keep_alive(client, "web"), name="alive-web")
    try:
        yield
    finally:
        while not alive.done():
            # A cancellation that meets redis-py connecting comes out as its time-out: ask again.
            alive.cancel()
            await asyncio.wait({alive}, timeout=0.1)
        await client.aclose()
        parts.redis.close()
        parts.database.close()
