"""The shell around every request that is not media: size limit, id, headers, one log line.

Plain ASGI, because a middleware class per request would cost more than the requests themselves.
"""

from __future__ import annotations

import ipaddress
import re
import secrets
import time
from collections.abc import Iterable, MutableMapping
from typing import Any, Final

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import BodyTooLarge
from api.parts import request_host
from infra.telemetry import get_logger

log = get_logger(__name__)

BODY_MAX: Final = 1 << 20
"""Bytes of a request's body."""
PLAYS_BODY_MAX: Final = 128 << 10
FILE_BODY_MAX: Final = 24 << 20
"""Of a form of the desk that hands in a file: evidence, a year's return."""
RECORD_BODY_MAX: Final = 64 << 20
"""Of a form that describes a record: with the pictures of an exhibition, a sound, a sheet."""
UPLOAD_BODY_MAX: Final = 1 << 40
"""Of a piece of an upload; how long its upload may be the row says, before a byte is read."""
_UPLOAD_PATHS: Final = re.compile(r"/api/v1/uploads/files/[0-9a-f]{32}")
_RECORD_PATHS: Final = re.compile(
    r"/desk/library/(?:new|import|[^/]+/file)|/api/v1/resources/[^/]+/file"
)
_FILE_PATHS: Final = re.compile(
    r"/desk/(?:targets/[^/]+/[^/]+/[^/]+/entries|returns/import"
    r"|programmes/[^/]+/list/read)"
    r"|/api/v1/(?:returns/import|sheets/resources|items/[^/]+/outside)"
)

_QUIET_PATHS: Final = (
    *("/static/", "/healthz", "/metrics", "/api/v1/plays"),
    "/api/v1/uploads/files/",  # a piece each
)
_QUIET_ENDS: Final = ("/public",)
"""What every player asks every few seconds is counted, not logged, while it goes well."""
_MACHINE_POLICY: Final = "default-src 'none'; frame-ancestors 'none'"


class Shell:
    """Wraps the application; lifespan events pass through untouched."""

    def __init__(self, app: ASGIApp, *, trusted_proxies: Iterable[str] = ()) -> None:
        self._app = app
        self._proxies = [ipaddress.ip_network(proxy, strict=False) for proxy in trusted_proxies]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        self._believe_proxy(scope, headers)
        host = headers.get("host")
        request_host.set(f"{scope['scheme']}://{host}" if host else None)
        most = _most(scope["path"])
        request_id = secrets.token_hex(6)
        begun = time.monotonic()
        status = 0

        async def send_sealed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _seal(message, request_id)
            await send(message)

        with structlog.contextvars.bound_contextvars(request=request_id):
            try:
                declared = headers.get("content-length", "0")
                if not declared.isdecimal() or int(declared) > most:
                    await _refuse(send_sealed, most)
                    return
                await self._app(scope, _limited(receive, most), send_sealed)
            except BodyTooLarge as error:
                if status == 0:
                    await _refuse(send_sealed, error.most)
            finally:
                path = scope["path"]
                quiet = path.startswith(_QUIET_PATHS) or path.endswith(_QUIET_ENDS)
                if not quiet or status >= 500:
                    log.info(
                        "request",
                        method=scope["method"],
                        path=path,
                        status=status,
                        ms=round((time.monotonic() - begun) * 1000, 1),
                    )

    def _believe_proxy(self, scope: MutableMapping[str, Any], headers: Headers) -> None:
        """Take the client's address and scheme from a proxy we were told to trust.

        The address is the last of the list that no trusted proxy added: what stands before it
        the client may have written itself.
        """
        if not self._proxies or not scope.get("client") or not self._trusted(scope["client"][0]):
            return
        for hop in reversed(_listed(headers, "x-forwarded-for")):
            scope["client"] = (hop[:64], 0)
            if not self._trusted(hop):
                break
        schemes = _listed(headers, "x-forwarded-proto")
        if schemes and schemes[-1].lower() in ("http", "https"):
            scope["scheme"] = schemes[-1].lower()

    def _trusted(self, address: str) -> bool:
        try:
            ip = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(ip in network for network in self._proxies)


def _most(path: str) -> int:
    """Bytes a request to this path may bring."""
    if path == "/api/v1/plays":
        return PLAYS_BODY_MAX
    if _RECORD_PATHS.fullmatch(path):
        return RECORD_BODY_MAX
    if _UPLOAD_PATHS.fullmatch(path):
        return UPLOAD_BODY_MAX
    return FILE_BODY_MAX if _FILE_PATHS.fullmatch(path) else BODY_MAX


def _listed(headers: Headers, name: str) -> list[str]:
    """A list header whole: a proxy may add a line of its own instead of to the client's."""
    values = ",".join(headers.getlist(name)).split(",")
    return [value.strip() for value in values if value.strip()]


def _limited(receive: Receive, most: int) -> Receive:
    taken = 0

    async def limited() -> Message:
        nonlocal taken
        message = await receive()
        if message["type"] == "http.request":
            taken += len(message.get("body", b""))
            if taken > most:
                raise BodyTooLarge(most)
        return message

    return limited


def _seal(message: Message, request_id: str) -> None:
    """Headers of every answer; a page brings its own, wider ones."""
    headers = MutableHeaders(raw=list(message.get("headers", [])))
    headers["x-request-id"] = request_id
    headers.setdefault("x-content-type-options", "nosniff")
    headers.setdefault("content-security-policy", _MACHINE_POLICY)
    headers.setdefault("referrer-policy", "same-origin")
    headers.setdefault("cross-origin-opener-policy", "same-origin")
    headers.setdefault("cache-control", "no-store")
    message["headers"] = headers.raw


async def _refuse(send: Send, most: int) -> None:
    # The one problem made by hand: there is no request object this far out.
    detail = f"发送的内容太大了，最多 {most} 字节。"
    body = (
        '{"type":"urn:xitai:problem:too_large","title":"too large","status":413,'
        f'"code":"too_large","detail":"{detail}"}}'
    ).encode()
    headers = [(b"content-type", b"application/problem+json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": body})
