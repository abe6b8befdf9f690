"""How a part is asked whether it answers. Each check blocks for two seconds at most."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Callable
from typing import Final

import redis

from infra.instance import split_address
from infra.redis import connect
from infra.settings import Settings

TIMEOUT_SECONDS: Final = 2.0

Check = Callable[[], bool]


def http_ok(address: str, path: str = "/healthz") -> Check:
    """GET gives status 200."""
    return lambda: _status(address, path) == 200


def http_answers(address: str, path: str = "/healthz") -> Check:
    """GET gives any status: the process lives, whatever it thinks of the others."""
    return lambda: _status(address, path) is not None


def tcp_accepts(address: str) -> Check:
    def check() -> bool:
        try:
            with socket.create_connection(_reach(address), timeout=TIMEOUT_SECONDS):
                return True
        except OSError:
            return False

    return check


def both(first: Check, second: Check) -> Check:
    return lambda: first() and second()


class SignOfLife:
    """A part's key in Redis (infra.health), as left by a process of this machine."""

    def __init__(self, settings: Settings, part: str) -> None:
        self._client = connect(settings)
        self._pattern = f"x:alive:{part}:{socket.gethostname()}-*"

    def forget(self) -> None:
        """Before a start: the key of the process before must not speak for the new one."""
        try:
            for key in self._client.scan_iter(match=self._pattern, count=1000):
                self._client.delete(key)
        except redis.RedisError:
            return  # Then it cannot be read for a sign of life either.

    def __call__(self) -> bool:
        try:
            return next(self._client.scan_iter(match=self._pattern, count=1000), None) is not None
        except redis.RedisError:
            return False


def _status(address: str, path: str) -> int | None:
    connection = http.client.HTTPConnection(*_reach(address), timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _reach(address: str) -> tuple[str, int]:
    host, port = split_address(address)
    return ("127.0.0.1" if host == "0.0.0.0" else "::1" if host == "::" else host), port
