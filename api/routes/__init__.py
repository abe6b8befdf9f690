"""The JSON API under /api/v1: thin routes over the catalogue, one transaction a request."""

from __future__ import annotations

from fastapi import APIRouter

from api.routes import accounts, broadcasts, clips, exports, jobs, plays

PREFIX = "/api/v1"
ROUTERS = tuple(part.router for part in (broadcasts, clips, jobs, plays, exports, accounts))


def api_router() -> APIRouter:
    """Every route of the API."""
    router = APIRouter(prefix=PREFIX)
    for part in ROUTERS:
        router.include_router(part)
    return router
