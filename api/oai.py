"""The harvest's face: OAI-PMH at /oai, open to everybody, outside of the API proper."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Annotated, Final
from urllib.parse import parse_qsl, urlsplit

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from sqlalchemy import func, select

from api.auth import Db, OurParts
from catalog.models import Centre
from catalog.sharing import oai
from infra.instance import http_url

router = APIRouter(include_in_schema=False)

_FORM: Final = "application/x-www-form-urlencoded"
_ARGUMENTS_MAX: Final = 20
"""No verb has more than six; what is left over is refused as unknown all the same."""


async def arguments(request: Request) -> list[tuple[str, str]]:
    """The request's arguments in order, repeated ones too, by GET or as a form."""
    raw = request.url.query
    if request.method == "POST":
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        raw = (await request.body()).decode("utf-8", "replace") if kind == _FORM else ""
    try:
        return parse_qsl(raw, keep_blank_values=True, max_num_fields=_ARGUMENTS_MAX)
    except ValueError:
        return []


@router.get("/oai")
@router.post("/oai")
def harvest(
    asked: Annotated[Sequence[tuple[str, str]], Depends(arguments)], session: Db, parts: OurParts
) -> Response:
    """One answer of the protocol; what it refuses is an answer too."""
    base_url = parts.addresses().http
    # From the settings, not from the request: identifiers must not change with the way in.
    host = urlsplit(http_url(parts.settings)).hostname or "localhost"
    eldest = select(Centre.name).order_by(func.length(Centre.path), Centre.created_at, Centre.id)
    repository = oai.Repository(
        name=f"{session.scalar(eldest.limit(1)) or '文化馆'}数字资源目录",
        base_url=base_url,
        namespace=host,
        email=parts.settings.admin_email or f"postmaster@{host}",
    )
    found = oai.answer(session, repository, asked, dt.datetime.now(dt.UTC))
    return Response(found, media_type="text/xml; charset=utf-8")
