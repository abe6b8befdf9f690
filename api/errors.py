"""What a machine is told when something goes wrong: problem+json, a stable code, one sentence.

Sentences are gettext ids in plain Chinese: what happened, and what to do about it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from api.pages.render import translations, wishes
from api.sentences import SENTENCES, Problem, sentence
from catalog.broadcasts import BroadcastError
from catalog.errors import Missing, Refused
from infra.database import DatabaseAway
from infra.telemetry import get_logger

log = get_logger(__name__)

MEDIA_TYPE: Final = "application/problem+json"
RETRY_SECONDS: Final = 2


class BodyTooLarge(HTTPException):
    """The request's body went past its limit. An HTTPException, since FastAPI makes "400" of
    anything else that reading a body raises."""

    def __init__(self, most: int) -> None:
        super().__init__(413)
        self.most = most


def problem(
    request: Request,
    code: str,
    *,
    status: int | None = None,
    facts: Mapping[str, str | int] | None = None,
    detail: str | None = None,
    headers: Mapping[str, str] | None = None,
    fields: Mapping[str, str] | None = None,
) -> Response:
    """RFC 9457, with our ``code``; ``fields`` name what was wrong with which input."""
    known_status = SENTENCES[code].status if code in SENTENCES else 400
    body: dict[str, object] = {
        "type": f"urn:xitai:problem:{code}",
        "title": code.replace("_", " "),
        "status": status or known_status,
        "code": code,
        "detail": detail or sentence(code, facts or {}, _translate(request)),
    }
    if fields:
        body["fields"] = fields
    return JSONResponse(
        body, status or known_status, headers=dict(headers or {}), media_type=MEDIA_TYPE
    )


def _translate(request: Request) -> Callable[[str], str]:
    return translations(wishes(request).language).gettext


_BY_STATUS: Final = {
    400: "bad_request",
    401: "sign_in_needed",
    403: "not_allowed",
    404: "not_found",
    405: "method_unknown",
    413: "too_large",
    415: "bad_request",
    429: "slow_down",
    503: "busy",
}


async def http_problem(request: Request, error: Exception) -> Response:
    """For what Starlette itself refuses, and for what nobody caught."""
    if isinstance(error, BodyTooLarge):
        return problem(request, "too_large", facts={"most": error.most})
    if isinstance(error, HTTPException):
        code = _BY_STATUS.get(error.status_code, "internal")
        return problem(request, code, status=error.status_code, headers=error.headers)
    log.error("request failed", path=request.url.path, exc_info=error)
    return problem(request, "internal")


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return problem(request, error.code, facts=error.facts, headers=error.headers)


async def _on_refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    status = None if error.code in SENTENCES else (404 if isinstance(error, Missing) else 422)
    return problem(request, error.code, facts=error.facts, status=status)


async def _on_broadcast(request: Request, error: Exception) -> Response:
    assert isinstance(error, BroadcastError)
    status = 404 if error.code.endswith("_not_found") else 409
    if error.code.startswith(("title_", "mode_")):
        status = 422
    return problem(request, error.code, status=status, detail=error.message)


async def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    # Never the input itself: a password or a key may be in it.
    fields = {".".join(str(part) for part in e["loc"][1:]): e["msg"] for e in error.errors()}
    return problem(request, "bad_input", fields=fields)


async def _on_away(request: Request, error: Exception) -> Response:
    log.warning("database away", path=request.url.path, error=str(error).splitlines()[0])
    return problem(request, "database_away", headers={"retry-after": str(RETRY_SECONDS)})


def install(app: FastAPI) -> None:
    """Add the handlers of everything the routes raise."""
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(Refused, _on_refused)
    app.add_exception_handler(BroadcastError, _on_broadcast)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    for away in DatabaseAway:
        app.add_exception_handler(away, _on_away)
