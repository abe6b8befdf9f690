"""Redis: connections with short deadlines, and the names of the keys the parts share."""

from __future__ import annotations

from typing import Final

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from infra.settings import Settings

RedisAway: Final = (RedisConnectionError, RedisTimeoutError)
"""What an absent or hung Redis raises. The present is lost, never the truth: go on without."""

CONNECT_TIMEOUT_SECONDS: Final = 1.0
REPLY_TIMEOUT_SECONDS: Final = 2.0
HEALTH_CHECK_SECONDS: Final = 15
RETRIES: Final = 2
MAX_CONNECTIONS: Final = 64

CONTROL_CHANNEL: Final = "x:ctl"
EDGE_CHANNEL: Final = "x:edge"
"""What every edge is to hear: take-downs."""


def connect(settings: Settings) -> redis.Redis:
    """A blocking client (thread-safe, pooled); nothing is sent until first use."""
    return redis.Redis.from_url(
        settings.resolved_redis_url,
        socket_connect_timeout=CONNECT_TIMEOUT_SECONDS,
        socket_timeout=REPLY_TIMEOUT_SECONDS,
        health_check_interval=HEALTH_CHECK_SECONDS,
        max_connections=MAX_CONNECTIONS,
        retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), RETRIES),
    )


def connect_async(settings: Settings) -> redis.asyncio.Redis:
    """An asyncio client, bound to the loop that first uses it."""
    return redis.asyncio.Redis.from_url(
        settings.resolved_redis_url,
        socket_connect_timeout=CONNECT_TIMEOUT_SECONDS,
        socket_timeout=REPLY_TIMEOUT_SECONDS,
        health_check_interval=HEALTH_CHECK_SECONDS,
        max_connections=MAX_CONNECTIONS,
        retry=AsyncRetry(ExponentialBackoff(cap=0.5, base=0.05), RETRIES),
    )


def air_key(token: str) -> str:
    """Key and channel of a broadcast's live head."""
    return f"x:air:{token}"


def off_air_key(token: str) -> str:
    """Set while a medium is taken down, for edges that have not seen it yet."""
    return f"x:off:{token}"


def part_key(token: str, rendition: str, msn: int, part: int) -> str:
    """Bytes of one part (one moof + mdat)."""
    return f"x:part:{token}:{rendition}:{msn}:{part}"


def feed_key(feed_id: str) -> str:
    """Health of a feed, JSON."""
    return f"x:feed:{feed_id}"


def live_key(broadcast_id: str) -> str:
    """State of a broadcast's live job, JSON."""
    return f"x:live:{broadcast_id}"


def alive_key(part: str, instance: str) -> str:
    """Sign of life of one process of a part."""
    return f"x:alive:{part}:{instance}"


__all__ = [
    "CONTROL_CHANNEL",
    "EDGE_CHANNEL",
    "RedisAway",
    "RedisError",
    "air_key",
    "alive_key",
    "connect",
    "connect_async",
    "feed_key",
    "live_key",
    "off_air_key",
    "part_key",
]
