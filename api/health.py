"""/healthz says how each part is; /metrics is for Prometheus."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from api.parts import parts_of
from infra.health import AWAY, OK, read_health
from infra.metrics import render

router = APIRouter(include_in_schema=False)


@router.get("/healthz")
def healthz(request: Request) -> Response:
    """Each part's state. 503 only when the truth is out of reach: then we can answer nothing."""
    parts = parts_of(request)
    health = read_health(parts.settings, database=parts.database, client=parts.redis)
    # Whoever reads this reaches us; our own sign of life may just not be due yet.
    health["web"] = OK
    whole = OK if set(health.values()) == {OK} else "weak"
    status = 503 if health["postgres"] == AWAY else 200
    return JSONResponse({"state": whole, "parts": health}, status)


@router.get("/metrics")
def metrics() -> Response:
    body, content_type = render()
    return Response(body, media_type=content_type)
