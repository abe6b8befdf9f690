"""Signs of life: each part leaves one in Redis every few seconds; /healthz reads them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Callable
from typing import Final

import redis
import redis.asyncio

from infra.database import Database, DatabaseAway
from infra.redis import RedisAway, alive_key, connect
from infra.settings import Settings

PARTS: Final = ("ingest", "web", "worker-live", "worker-edit", "worker-work", "beat")
"""Parts that leave signs of life."""

BEAT_SECONDS: Final = 5.0
LIFE_SECONDS: Final = 15

OK: Final = "ok"
AWAY: Final = "away"
UNKNOWN: Final = "unknown"
"""Redis, which would know, is away."""


def _own_name() -> str:
    return f"{socket.gethostname()}-{os.getpid()}"


async def keep_alive(client: redis.asyncio.Redis, part: str) -> None:
    """Leave a sign of life every 5 s until cancelled; then take it back."""
    key = alive_key(part, _own_name())
    try:
        while True:
            with contextlib.suppress(*RedisAway):
                await client.set(key, OK, ex=LIFE_SECONDS)
            await asyncio.sleep(BEAT_SECONDS)
    finally:
        with contextlib.suppress(*RedisAway):
            await client.delete(key)


def start_keep_alive(settings: Settings, part: str) -> Callable[[], None]:
    """The same from a thread, for parts without an event loop. Returns what stops it."""
    stop = threading.Event()

    def beat() -> None:
        key = alive_key(part, _own_name())
        client = connect(settings)
        while not stop.is_set():
            with contextlib.suppress(*RedisAway):
                client.set(key, OK, ex=LIFE_SECONDS)
            stop.wait(BEAT_SECONDS)
        with contextlib.suppress(*RedisAway):
            client.delete(key)
        client.close()

    thread = threading.Thread(target=beat, name=f"alive-{part}", daemon=True)
    thread.start()

    def end() -> None:
        stop.set()
        thread.join(timeout=BEAT_SECONDS)

    return end


def alive_parts(client: redis.Redis) -> set[str]:
    """Parts with at least one living process. Raises what an absent Redis raises."""
    return {key.decode().split(":")[2] for key in client.scan_iter(match="x:alive:*", count=1000)}


def read_health(
    settings: Settings, *, database: Database | None = None, client: redis.Redis | None = None
) -> dict[str, str]:
    """State of every part: "ok", "away" or "unknown". Blocks for up to a few seconds.

    Give the caller's own ``database`` and ``client`` if it has them; else they are opened here.
    """
    own_database = database is None
    database = database or Database(settings.resolved_database_url, name="health", pool_size=1)
    own_client = client is None
    client = client or connect(settings)
    health: dict[str, str] = {}
    try:
        try:
            database.ping()
            health["postgres"] = OK
        except DatabaseAway:
            health["postgres"] = AWAY
        try:
            alive = alive_parts(client)
            health["redis"] = OK
            health |= {part: OK if part in alive else AWAY for part in PARTS}
        except RedisAway:
            health["redis"] = AWAY
            health |= dict.fromkeys(PARTS, UNKNOWN)
    finally:
        if own_database:
            database.close()
        if own_client:
            client.close()
    return health
