"""The JSON API under /api/v1: thin routes over the catalogue, one transaction a request."""

from __future__ import annotations

from fastapi import APIRouter

from api.routes import (
    accounts,
    acts,
    broadcasts,
    clips,
    exports,
    forms,
    jobs,
    plans,
    plays,
    quality,
    resources,
    returns,
    search,
    sharing,
    sheets,
    stills,
    uploads,
    works,
)

PREFIX = "/api/v1"
_PARTS = (
    # First: routes are tried in order, and every player asks for this one every few seconds.
    plays,
    broadcasts,
    clips,
    works,
    acts,
    stills,
    forms,
    jobs,
    quality,
    resources,
    search,
    sheets,
    sharing,
    plans,
    returns,
    exports,
    uploads,
    accounts,
)
ROUTERS = tuple(part.router for part in _PARTS)


def api_router() -> APIRouter:
    """Every route of the API."""
    router = APIRouter(prefix=PREFIX)
    for part in ROUTERS:
        router.include_router(part)
    return router
