"""Beacons for tests of counting: made with ids of their own, kept as if they had come at a time."""

from __future__ import annotations

import datetime as dt
from itertools import count

from sqlalchemy import text
from sqlalchemy.orm import Session

from catalog.clock import CHINA
from catalog.plays import Client, Event, keep, prepare

BROWSER = "Mozilla/5.0 (Linux; Android 13; V2219A) AppleWebKit/537.36 MicroMessenger/8.0.42"
NOON = dt.datetime(2026, 3, 5, 12, 0, tzinfo=CHINA)
_ids = count(1)


def event(item: str, play: str, kind: str, **more: object) -> Event:
    fields: dict[str, object] = {
        "event_id": f"beacon-{next(_ids):09}",
        "item_id": item,
        "play_id": f"the-play-{play}",
        "kind": kind,
        "client_at_ms": 1_000_000,
        "viewer_id": "viewer-one",
    }
    return Event(**(fields | more))  # type: ignore[arg-type]


def came(
    session: Session,
    *events: Event,
    at: dt.datetime = NOON,
    agent: str = BROWSER,
    surrogate: str = "s" * 32,
    sent_at_ms: int | None = None,
) -> None:
    """Keep events as if they had been received at a time."""
    for start in range(0, len(events), 100):
        some = events[start : start + 100]
        keep(session, [prepare(some, Client(surrogate, agent, sent_at_ms))])
        session.execute(
            text("UPDATE play_events SET received_at = :at WHERE event_id = ANY(:ids)"),
            {"at": at, "ids": [each.event_id for each in some]},
        )


def watch(
    session: Session,
    item: str,
    play: str,
    *,
    at: dt.datetime = NOON,
    seconds: int = 60,
    viewer: str | None = "viewer-one",
    agent: str = BROWSER,
    live: bool = False,
    beats: int = 10,
) -> None:
    """A whole play: view, start, a beat every so many seconds, end."""

    def one(kind: str, into: int) -> None:
        made = event(
            item, play, kind, viewer_id=viewer, watched_ms=into * 1000, live=live,
            position_ms=into * 1000, client_at_ms=1_000_000 + into * 1000,
        )  # fmt: skip
        came(session, made, at=at + dt.timedelta(seconds=into), agent=agent)

    one("view", 0)
    one("start", 0)
    for into in range(beats, seconds, beats):
        one("heartbeat", into)
    one("end", seconds)
