"""A tus sender for tests: whole requests through httpx, cut ones straight into the application."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from typing import Any

from httpx import AsyncClient, Response
from starlette.types import ASGIApp, Message

from api.uploads.names import PATH, written_metadata

HEAD = {"tus-resumable": "1.0.0"}


def creating(size: int, **meta: str) -> dict[str, str]:
    """Headers of a POST."""
    meta = {"filename": "晚会.mp4", **meta}
    return {**HEAD, "upload-length": str(size), "upload-metadata": written_metadata(meta)}


def patching(offset: int, *, data: bytes | None = None) -> dict[str, str]:
    """Headers of a PATCH; with ``data`` its checksum."""
    told = {**HEAD, "upload-offset": str(offset), "content-type": "application/offset+octet-stream"}
    if data is not None:
        digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
        told["upload-checksum"] = f"sha256 {digest}"
    return told


async def create(web: AsyncClient, who: dict[str, str], size: int, **meta: str) -> str:
    """A new upload's path."""
    made = await web.post(PATH, headers={**creating(size, **meta), **who})
    assert made.status_code == 201, made.text
    return made.headers["location"]


async def offset(web: AsyncClient, who: dict[str, str], path: str) -> int:
    told = await web.head(path, headers={**HEAD, **who})
    assert told.status_code == 200, told.status_code
    return int(told.headers["upload-offset"])


async def patch(
    web: AsyncClient, who: dict[str, str], path: str, at: int, data: bytes, *, summed: bool = False
) -> Response:
    told = patching(at, data=data if summed else None)
    return await web.patch(path, headers={**told, **who}, content=data)


async def cut_patch(
    app: ASGIApp, headers: dict[str, str], path: str, length: int, pieces: Iterable[bytes]
) -> int:
    """A PATCH of ``length`` bytes whose connection breaks after ``pieces``; the status that was
    said into the void, 0 if none."""
    told = {"host": "stage.test", "content-length": str(length), **headers}
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "PATCH",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in told.items()],
        "client": ("203.0.113.9", 40_000),
        "server": ("stage.test", 80),
    }
    left = iter(pieces)
    status = 0

    async def receive() -> Message:
        piece = next(left, None)
        if piece is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": piece, "more_body": True}

    async def send(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]

    await app(scope, receive, send)
    return status
