"""The salt of the day: what keeps a viewer's surrogate from being anyone's address.

It lives in Redis only, for all web processes alike, and goes at the end of the day in China; no
backup ever holds it. While Redis is away a process uses one of its own: at worst a viewer
without an id counts once more.
"""

from __future__ import annotations

import datetime as dt
import secrets
import threading
from typing import Final

import redis

from catalog.clock import CHINA
from infra.redis import RedisError

_BYTES: Final = 32


class DailySalt:
    """Hands out the salt of a moment's day."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._day = ""
        self._salt = b""
        self._shared = False

    def of(self, now: dt.datetime) -> bytes:
        """The salt of the day ``now`` falls on in China."""
        local = now.astimezone(CHINA)
        day = local.date().isoformat()
        with self._lock:
            if self._day != day:
                self._day, self._salt, self._shared = day, secrets.token_bytes(_BYTES), False
            if not self._shared:
                self._share(day, local)
            return self._salt

    def known(self, now: dt.datetime) -> bytes | None:
        """The day's salt if it is at hand; never waits for Redis."""
        with self._lock:
            if self._shared and self._day == now.astimezone(CHINA).date().isoformat():
                return self._salt
        return None

    def _share(self, day: str, local: dt.datetime) -> None:
        midnight = dt.datetime.combine(local.date() + dt.timedelta(days=1), dt.time(), CHINA)
        seconds = max(1, int((midnight - local).total_seconds()))
        key = f"x:salt:{day}"
        try:
            self._client.set(key, self._salt, nx=True, ex=seconds)
            kept = self._client.get(key)
        except RedisError:
            return
        if isinstance(kept, bytes):
            self._salt, self._shared = kept, True
