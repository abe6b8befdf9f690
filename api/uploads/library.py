"""tuspyserver as we use it: its routes for creation and pieces, on our disk, behind our gate."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException as AnyHTTPException
from tuspyserver import create_tus_router

from api.errors import RETRY_SECONDS, problem
from api.uploads.disk import Halt, UploadDisk
from infra.database import DatabaseAway

PREFIX: Final = "/files"

_CODES: Final = {
    400: "bad_request",
    404: "upload_unknown",
    405: "method_unknown",
    409: "tus_offset_other",
    410: "upload_gone",
    412: "tus_version",
    413: "upload_over_length",
    415: "tus_type",
    503: "busy",
}


def make_library(
    disk: UploadDisk, size_max: int, finished: Callable[[str], Awaitable[None]]
) -> FastAPI:
    """The library's application. ``finished`` is awaited with an upload's id when its last byte
    is on the disk, before the sender hears so."""
    # It logs every question with the note of the upload it is about.
    logging.getLogger("tuspyserver").setLevel(logging.WARNING)

    async def whole(upload_id: str, _metadata: dict[str, str]) -> None:
        await finished(upload_id)

    async def named(request: Request) -> Callable[[dict[str, str]], dict[str, Any]]:
        return lambda _metadata: {"uid": request.state.upload_id}

    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.include_router(
        create_tus_router(
            prefix=PREFIX,
            files_dir=str(disk.folder.path),
            max_size=size_max,
            on_upload_complete=whole,  # type: ignore[arg-type]  # it awaits what is awaitable
            file_dep=named,  # type: ignore[arg-type]  # and takes what it answers
            storage=disk,
        )
    )
    app.add_exception_handler(AnyHTTPException, _said)
    app.add_exception_handler(HTTPException, _said)
    app.add_exception_handler(RequestValidationError, _said)
    for away in DatabaseAway:
        app.add_exception_handler(away, _away)
    return app


async def _away(request: Request, _error: Exception) -> Response:
    """All of it is on the disk; the sender asks again and hears so then."""
    return problem(request, "database_away", headers={"retry-after": str(RETRY_SECONDS)})


async def _said(request: Request, error: Exception) -> Response:
    if isinstance(error, Halt):
        return problem(request, error.code)
    status = error.status_code if isinstance(error, AnyHTTPException) else 400
    return problem(request, _CODES.get(status, "internal"), status=status)
