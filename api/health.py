"""/healthz says how each part is; /metrics is for Prometheus, and not for the public."""

from __future__ import annotations

import hmac
import ipaddress
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from api.parts import parts_of
from api.sentences import Problem
from infra.health import AWAY, OK, read_health
from infra.instance import internal_token
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


_FORWARDING: Final = (
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
)


@router.get("/metrics")
def metrics(request: Request) -> Response:
    """For this machine itself, or with the internal token; to others there is no such page."""
    if not _is_local(request) and not _has_token(request):
        raise Problem("not_found")
    body, content_type = render()
    return Response(body, media_type=content_type)


def _is_local(request: Request) -> bool:
    """Asked from this machine, and not by a proxy on it for somebody else."""
    if request.client is None or any(name in request.headers for name in _FORWARDING):
        return False
    try:
        ip = ipaddress.ip_address(request.client.host)
    except ValueError:
        return False
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return (mapped or ip).is_loopback


def _has_token(request: Request) -> bool:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return False
    wanted = internal_token(parts_of(request).settings)
    return hmac.compare_digest(given.strip().encode(), wanted.encode())
