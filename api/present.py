"""What Redis knows of the present: feed health, the live job's state; and orders to ingest.

Redis may be away: then nothing is known of the present, and orders wait for the rows, which
ingest looks at every second.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec
import redis
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog import models
from infra.redis import CONTROL_CHANNEL, RedisError, feed_key, live_key
from infra.telemetry import get_logger

log = get_logger(__name__)

HISTORY_MAX: Final = 120

_Report = TypeVar("_Report", bound=BaseModel)


class Rung(BaseModel):
    """One quality viewers are offered."""

    model_config = ConfigDict(extra="ignore")

    name: str
    bitrate_bps: int = 0
    fps: float = 0.0


class Live(BaseModel):
    """The live job's own report."""

    model_config = ConfigDict(extra="ignore")

    state: str = ""
    speed: float | None = None
    rungs: list[Rung] = []
    lag_ms: int | None = None
    restarts: int = 0
    advice: list[str] = []
    waiting_for: str | None = Field(
        default=None, description="database, storage or disk: what it cannot write to now."
    )


class Feed(BaseModel):
    """A feed's health as ingest sees it, with the live job's report beside it."""

    model_config = ConfigDict(extra="ignore")

    connected: bool = False
    state: str = "away"
    bitrate_bps: int = 0
    fps: float = 0.0
    audio_bps: int = 0
    width: int | None = None
    height: int | None = None
    video_codec: str | None = None
    audio_codec: str | None = None
    encoder: str | None = None
    rtt_ms: float | None = None
    dropped: int = 0
    gop_ms: int = 0
    key_interval_ms: int = 0
    late_ms: int = 0
    log_bytes: int = 0
    disk_free_bytes: int | None = None
    warnings: list[str] = []
    at_us: int = 0
    history: list[tuple[int, int, float]] = Field(
        default=[], description="[second since 1970, bits/s, frames/s], oldest first."
    )
    live: Live | None = None


def read_feed(session: Session, client: redis.Redis, broadcast_id: str) -> Feed:
    """Health of a broadcast's main feed; all zeros when nothing comes in or Redis is away."""
    feed_id = session.scalar(
        select(models.Feed.id).where(
            models.Feed.broadcast_id == broadcast_id, models.Feed.role == "main"
        )
    )
    taken = session.scalar(
        select(models.Take.id)
        .where(models.Take.broadcast_id == broadcast_id, models.Take.state == "open")
        .limit(1)
    )
    health, live = _read(client, feed_key(feed_id or ""), live_key(broadcast_id))
    found = _report(Feed, health) or Feed()
    report = _report(Live, live)
    return found.model_copy(
        update={
            # The key outlives the publisher by a few seconds, and may be missing with Redis.
            "connected": taken is not None and found.state not in ("closed", "idle"),
            "history": found.history[-HISTORY_MAX:],
            "live": report,
        }
    )


def _read(client: redis.Redis, *keys: str) -> list[dict[str, Any] | None]:
    try:
        values = client.mget(keys)
    except RedisError:
        return [None] * len(keys)
    found: list[dict[str, Any] | None] = []
    for value in values:
        try:
            found.append(msgspec.json.decode(value, type=dict[str, Any]) if value else None)
        except msgspec.DecodeError:
            found.append(None)
    return found


def _report(model: type[_Report], report: dict[str, Any] | None) -> _Report | None:
    """A part's report, null fields left to their defaults; None when it can't be understood, as
    during an upgrade: a page without numbers beats no page."""
    if report is None:
        return None
    known = {k: v for k, v in report.items() if k in model.model_fields and v is not None}
    try:
        return model.model_validate(known)
    except ValidationError as error:
        log.warning("report not understood", model=model.__name__, why=str(error))
        return None


def tell_ingest(client: redis.Redis, order: str, broadcast_id: str) -> None:
    """Have ingest close a publisher now. Ingest finds it in the rows a second later anyway."""
    message = msgspec.json.encode({"op": order, "broadcast_id": broadcast_id})
    try:
        client.publish(CONTROL_CHANNEL, message)
    except RedisError as error:
        log.warning("order not sent", order=order, broadcast=broadcast_id, why=str(error))
