"""The salt of the day: what keeps a viewer's surrogate from being anyone's address.

It lives in Redis only, for all web processes alike, and goes at the end of the day in China; no
backup ever holds it. While Redis is away a process uses one of its own, asks again only every few
seconds and keeps nobody waiting: at worst a viewer without an id counts once more.
"""

from __future__ import annotations

import datetime as dt
import secrets
import threading
import time
from typing import Final

import redis

from catalog.clock import CHINA
from infra.redis import RedisError

_BYTES: Final = 32
ASK_AGAIN_SECONDS: Final = 5.0


class DailySalt:
    """Hands out the salt of a moment's day."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._day = ""
        self._salt = b""
        self._shared = False
        self._asked_at = float("-inf")

    def of(self, now: dt.datetime) -> bytes:
        """The salt of the day ``now`` falls on in China."""
        local = now.astimezone(CHINA)
        day = local.date().isoformat()
        with self._lock:
            if self._day != day:
                self._day, self._salt, self._shared = day, secrets.token_bytes(_BYTES), False
                self._asked_at = float("-inf")
            salt, ask = self._salt, not self._shared and self._may_ask()
        # Outside the lock: a Redis that hangs holds up the one that asked, and no other.
        if not ask:
            return salt
        return self._share(day, salt, local)

    def known(self, now: dt.datetime) -> bytes | None:
        """The day's salt if it can be had without waiting for Redis."""
        with self._lock:
            at_hand = self._shared or time.monotonic() - self._asked_at < ASK_AGAIN_SECONDS
            if at_hand and self._day == now.astimezone(CHINA).date().isoformat():
                return self._salt
        return None

    def _may_ask(self) -> bool:
        now = time.monotonic()
        if now - self._asked_at < ASK_AGAIN_SECONDS:
            return False
        self._asked_at = now
        return True

    def _share(self, day: str, salt: bytes, local: dt.datetime) -> bytes:
        """Agree with the other processes on one salt of the day: whose was first."""
        midnight = dt.datetime.combine(local.date() + dt.timedelta(days=1), dt.time(), CHINA)
        seconds = max(1, int((midnight - local).total_seconds()))
        key = f"x:salt:{day}"
        try:
            self._client.set(key, salt, nx=True, ex=seconds)
            kept = self._client.get(key)
        except RedisError:
            return salt
        if not isinstance(kept, bytes):
            return salt
        with self._lock:
            if self._day == day:
                self._salt, self._shared = kept, True
        return kept
