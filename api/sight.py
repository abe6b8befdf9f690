"""Tells every edge, after the commit, which media a transaction took down or gave back."""

from __future__ import annotations

from typing import Final

import msgspec
import redis
from sqlalchemy.orm import Session

from api.edge.library import SightNews
from catalog.records import sight
from infra.database import after_commit
from infra.redis import EDGE_CHANNEL, RedisError, off_air_key
from infra.telemetry import get_logger

log = get_logger(__name__)

KEPT_SECONDS: Final = 24 * 3600
"""How long Redis remembers a take-down for edges that load the stream; the rows do for ever."""


def tell_edges(session: Session, client: redis.Redis) -> None:
    """Call at the end of a transaction: the news go out once it is committed."""
    if changed := sight.changed(session):
        after_commit(session, lambda: say(client, changed))


def say(client: redis.Redis, changed: dict[str, bool]) -> None:
    """Media token → whether it is hidden now. Without Redis the edges find out from the rows."""
    news = SightNews(
        off=tuple(token for token, hidden in changed.items() if hidden),
        on=tuple(token for token, hidden in changed.items() if not hidden),
    )
    try:
        with client.pipeline() as pipe:
            for token in news.off:
                pipe.set(off_air_key(token), 1, ex=KEPT_SECONDS)
            if news.on:
                pipe.delete(*(off_air_key(token) for token in news.on))
            pipe.publish(EDGE_CHANNEL, msgspec.json.encode(news))
            pipe.execute()
    except RedisError as error:
        log.warning("edges not told of a take-down", count=len(changed), why=str(error))
