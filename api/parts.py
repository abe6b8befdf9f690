"""What a web process holds while it runs, handed to routes and pages; and the request's host."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

import redis
from starlette.requests import Request

from api.answers import Addresses
from infra.database import Database
from infra.instance import http_url, rtmp_url, split_address
from infra.settings import Settings
from infra.storage import Storage

_ANY_ADDRESS = ("0.0.0.0", "::")

request_host: ContextVar[str | None] = ContextVar("request_host", default=None)
"""``scheme://host:port`` the request came to, as its sender knows us; None outside requests."""


@dataclass(frozen=True)
class Parts:
    """The shared things of one web process."""

    settings: Settings
    database: Database
    redis: redis.Redis
    storage: Storage

    def addresses(self) -> Addresses:
        """Our addresses as the present request's sender reaches them.

        Without a public address in the settings, the host the request came to is the best
        guess: a technician's phone cannot push to 127.0.0.1.
        """
        asked = request_host.get()
        return Addresses(
            http=http_url(self.settings)
            if self.settings.public_url or asked is None
            else asked.rstrip("/"),
            rtmp=_rtmp(self.settings, asked),
        )


def _rtmp(settings: Settings, asked: str | None) -> str:
    host, port = split_address(settings.rtmp)
    if settings.public_rtmp_url or asked is None or host not in _ANY_ADDRESS:
        return rtmp_url(settings)
    name = asked.split("://", 1)[-1]
    if not name.endswith("]") and ":" in name:
        name = name.rsplit(":", 1)[0]
    return f"rtmp://{name}:{port}/live"


def parts_of(request: Request) -> Parts:
    """The parts of the process that serves this request."""
    found = request.app.state.parts
    assert isinstance(found, Parts)
    return found
