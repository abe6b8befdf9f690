"""Player beacons: taken from anyone, kept exactly once.

Sent by ``navigator.sendBeacon`` as text/plain too, so the body is read as JSON whatever it is
called. An event that is out of bounds is ignored and keeps back no other.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

import msgspec
from anyio import to_thread
from fastapi import APIRouter, Request
from fastapi.responses import Response

from api import answers
from api.beacons import BeaconWriter
from api.salts import DailySalt
from api.sentences import Problem
from catalog.cmcd import TEXT_MAX
from catalog.plays import BATCH_MAX, KINDS, Batch, Client, Event, prepare, surrogate
from infra import metrics

router = APIRouter(tags=["plays"])


class PlayEvent(msgspec.Struct):
    """One event. ``watched_ms`` counts within the play, pauses and stalls left out."""

    event_id: str
    play_id: str
    item: str
    kind: str
    at_ms: float
    viewer_id: str | None = None
    position_ms: float = 0
    watched_ms: float = 0
    rate: float = 1.0
    live: bool = False
    rendition: str | None = None
    buffered_ms: float | None = None
    visible: bool | None = None
    startup_ms: float | None = None
    stalls: int | None = None
    cmcd: str | None = None


class _Envelope(msgspec.Struct):
    events: list[msgspec.Raw]
    sent_at_ms: float | None = None


_envelope = msgspec.json.Decoder(_Envelope)
_event = msgspec.json.Decoder(PlayEvent)
_DETAILS: Final = ("buffered_ms", "visible", "startup_ms", "stalls", "cmcd")


class PlaysTaken(answers.Answer):
    kept: int
    known: int
    ignored: int


_SCHEMA: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["events"],
                    "properties": {
                        "events": {
                            "type": "array",
                            "maxItems": BATCH_MAX,
                            "items": {
                                "type": "object",
                                "required": ["event_id", "play_id", "item", "kind", "at_ms"],
                                "properties": {
                                    "event_id": {"type": "string"},
                                    "play_id": {"type": "string"},
                                    "viewer_id": {"type": ["string", "null"]},
                                    "item": {"type": "string"},
                                    "kind": {"enum": list(KINDS)},
                                    "at_ms": {"type": "number"},
                                    "position_ms": {"type": "number"},
                                    "watched_ms": {"type": "number"},
                                    "rate": {"type": "number"},
                                    "live": {"type": "boolean"},
                                    "rendition": {"type": ["string", "null"]},
                                    "buffered_ms": {"type": ["number", "null"]},
                                    "visible": {"type": ["boolean", "null"]},
                                    "startup_ms": {"type": ["number", "null"]},
                                    "stalls": {"type": ["integer", "null"]},
                                    "cmcd": {
                                        "type": ["string", "null"],
                                        "maxLength": TEXT_MAX,
                                        "description": "CTA-5004 of the whole play so far.",
                                    },
                                },
                            },
                        },
                        "sent_at_ms": {"type": ["number", "null"]},
                    },
                }
            }
        },
    }
}


@router.post("/plays", status_code=202, response_model=PlaysTaken, openapi_extra=_SCHEMA)
async def plays(request: Request) -> Response:
    """Up to 100 events of one player. Sending a batch again changes nothing."""
    raw = await request.body()
    try:
        envelope = _envelope.decode(raw)
    except msgspec.MsgspecError:
        raise Problem("bad_request") from None
    if len(envelope.events) > BATCH_MAX:
        raise Problem("beacon_batch", most=BATCH_MAX, sent=len(envelope.events))
    client = await _client(request, envelope.sent_at_ms)
    found = [read_event(each) for each in envelope.events]
    events = [event for event in found if event is not None]
    unread = len(found) - len(events)
    batch = prepare(events, client)
    writer: BeaconWriter = request.app.state.beacons
    taken = await writer.take(Batch(batch.rows, batch.refused + unread))
    for row in batch.rows:
        metrics.play_events.labels(kind=row["kind"]).inc()
    if taken.ignored:
        metrics.play_events.labels(kind="refused").inc(taken.ignored)
    # Written by hand: the model would be built, checked and turned into a dict for every beacon.
    answer = {"kept": taken.kept, "known": taken.known, "ignored": taken.ignored}
    return Response(msgspec.json.encode(answer), 202, media_type="application/json")


async def _client(request: Request, sent_at_ms: float | None) -> Client:
    now = dt.datetime.now(dt.UTC)
    salts: DailySalt = request.app.state.salt
    salt = salts.known(now)
    if salt is None:
        salt = await to_thread.run_sync(salts.of, now)
    agent = request.headers.get("user-agent", "")
    address = request.client.host if request.client else ""
    return Client(surrogate(salt, address, agent, now), agent, _whole(sent_at_ms))


def read_event(raw: msgspec.Raw) -> Event | None:
    """One event as the catalogue has it; None for what is none."""
    try:
        sent = _event.decode(raw)
        if len(sent.cmcd or "") > TEXT_MAX:
            # How it went is worth less than that it was watched.
            sent.cmcd = None
        return Event(
            event_id=sent.event_id,
            item_id=sent.item,
            play_id=sent.play_id,
            kind=sent.kind,
            client_at_ms=round(sent.at_ms),
            # A player at the live edge may stand a little before the first segment it was told of.
            position_ms=max(0, round(sent.position_ms)),
            watched_ms=round(sent.watched_ms),
            rate_permille=round(sent.rate * 1000),
            live=sent.live,
            viewer_id=sent.viewer_id or None,
            rendition=sent.rendition,
            details={
                name: value for name in _DETAILS if (value := getattr(sent, name)) is not None
            },
        )
    except (msgspec.MsgspecError, OverflowError, ValueError):
        return None


def _whole(number: float | None) -> int | None:
    return round(number) if number is not None and 0 <= number < 2**53 else None
