"""The brake on guessing passwords: failures counted per account and per address, for a while.

Counts live in Redis for all web processes; while it is away each process counts for itself. A
right password opens also while its account is being guessed at from elsewhere.
"""

from __future__ import annotations

import hashlib
import ipaddress
import threading
import time
from typing import Final

import redis

from infra.redis import RedisError

WINDOW_SECONDS: Final = 300
PAIR_MAX: Final = 5
"""Failures for one account from one address."""
ADDRESS_MAX: Final = 30
"""Failures from one address, whatever the account: a whole office may share one."""
_LOCAL_MAX: Final = 10_000


class Brake:
    """``wait`` before a try, ``failed`` after a bad one, ``passed`` after a good one."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._local: dict[str, tuple[int, float]] = {}

    def wait(self, login: str, address: str) -> int:
        """Seconds to wait before another try; 0 when it may be made now."""
        limits = zip(_keys(login, address), (PAIR_MAX, ADDRESS_MAX), strict=True)
        return max(self._left(key) if self._count(key) >= most else 0 for key, most in limits)

    def failed(self, login: str, address: str) -> None:
        """Note a failure; the time runs anew from each."""
        for key in _keys(login, address):
            try:
                with self._client.pipeline() as pipe:
                    pipe.incr(key)
                    pipe.expire(key, WINDOW_SECONDS)
                    pipe.execute()
            except RedisError:
                self._count_here(key)

    def passed(self, login: str, address: str) -> None:
        """Forget the failures of this account from this address."""
        pair, _ = _keys(login, address)
        with self._lock:
            self._local.pop(pair, None)
        try:
            self._client.delete(pair)
        except RedisError:
            return

    def _count(self, key: str) -> int:
        try:
            value = self._client.get(key)
        except RedisError:
            value = None
        here, until = self._local.get(key, (0, 0.0))
        there = int(value) if isinstance(value, bytes) and value.isdigit() else 0
        return max(there, here if until > time.monotonic() else 0)

    def _left(self, key: str) -> int:
        try:
            left = self._client.ttl(key)
        except RedisError:
            left = 0
        here = self._local.get(key, (0, 0.0))[1] - time.monotonic()
        return max(1, left, int(here))

    def _count_here(self, key: str) -> None:
        with self._lock:
            now = time.monotonic()
            if len(self._local) >= _LOCAL_MAX:
                self._local = {k: v for k, v in self._local.items() if v[1] > now}
            count, until = self._local.get(key, (0, 0.0))
            self._local[key] = ((count if until > now else 0) + 1, now + WINDOW_SECONDS)


def _keys(login: str, address: str) -> tuple[str, str]:
    """Names of the counters: hashed, so that Redis holds no list of logins and addresses."""
    address = _subscriber(address)
    pair = hashlib.sha256(f"{login.strip().lower()}\0{address}".encode("utf-8", "replace"))
    alone = hashlib.sha256(f"\0{address}".encode("utf-8", "replace"))
    return f"x:brake:{pair.hexdigest()[:32]}", f"x:brake:{alone.hexdigest()[:32]}"


def _subscriber(address: str) -> str:
    """What one subscriber is given: an IPv4 address, or the /64 of an IPv6 one, out of which
    they could take a fresh address for every try."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ipaddress.IPv6Address(int(ip) >> 64 << 64))
