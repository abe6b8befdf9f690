"""Plays: beacons taken in exactly once, and the honest counts over them.

A player sends events; each has its own id, so a batch sent twice counts once. ``watched_ms`` is
cumulative within a play: a lost heartbeat loses nothing. Counting reads the events and never
rewrites them, so a better rule can be applied to old years.

Event kinds: ``view`` (the page was opened), ``start`` (playback began), ``heartbeat`` (every ten
seconds while playing), ``pause``, ``seek``, ``rate``, ``stall``, ``end`` (the play is over).
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import bindparam, select, text, union_all
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from catalog.clock import CHINA
from catalog.errors import Refused
from catalog.models import Broadcast, PlayEvent, Work

KINDS = ("view", "start", "heartbeat", "pause", "seek", "rate", "stall", "end")

BATCH_MAX = 100
"""Events in one request."""
ID_MIN, ID_MAX = 8, 36
ITEM_MAX = 32
RENDITION_MAX = 20
AGENT_MAX = 300
DETAILS_MAX_BYTES = 1_000
LATE_MAX_MS = 24 * 3_600_000
"""An event kept back longer than this (a phone without network) is dated this much back."""
POSITION_MAX_MS = 10 * 24 * 3_600_000
RATE_MAX_PERMILLE = 16_000

EFFECTIVE_MS = 3_000
"""An effective play is watched longer than this …"""
EFFECTIVE_BELOW_PERMILLE = 3_000
"""… at less than this speed."""
SAME_START_SECONDS = 30
"""Starts of one item by one viewer this close are one (COUNTER R5)."""
PRESENT_SECONDS = 30
"""A viewer is watching now if heard of within this time (three heartbeats)."""


@dataclass(frozen=True, slots=True)
class Event:
    """One beacon as the player sent it."""

    event_id: str
    item_id: str
    """Public id of a broadcast or work."""
    play_id: str
    """Made anew for every start of a player."""
    kind: str
    client_at_ms: int
    """The player's own clock, ms since 1970; only differences on one device mean anything."""
    position_ms: int = 0
    """Where in the item; on air: since the start of the broadcast, as far as the player knows."""
    watched_ms: int = 0
    """Time spent watching within this play so far, stalls and pauses left out."""
    rate_permille: int = 1000
    live: bool = False
    viewer_id: str | None = None
    """First-party random id; None where the browser keeps none."""
    rendition: str | None = None
    details: dict[str, str | int | float | bool | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Client:
    """Where a batch came from; nothing of it is kept but the surrogate and the user agent."""

    surrogate: str
    user_agent: str
    sent_at_ms: int | None = None
    """The player's clock when it sent the batch: dates events that waited. None: the newest
    event of the batch is taken to have just happened."""


Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Batch:
    """Events ready to be kept, each id once."""

    rows: list[Row]
    refused: int = 0
    """Out of bounds: our own player sends none such, and keeps back no other event for them."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a batch."""

    kept: int
    known: int
    """Had been kept before."""
    ignored: int
    """Of no item we have, or out of bounds."""


@dataclass(frozen=True, slots=True)
class Counts:
    """The figures of one item, kept apart on purpose; the plan picks the reported one."""

    page_views: int = 0
    play_starts: int = 0
    effective_plays: int = 0
    devices: int = 0
    watched_ms: int = 0
    peak_viewers: int = 0


# --- taking in -------------------------------------------------------------------------------


def surrogate(salt: bytes, address: str, user_agent: str, now: dt.datetime) -> str:
    """What stands for a viewer without an id: address, user agent, day and hour, salted.

    Once the day's salt is gone nobody can get from it to the address, nor from day to day.
    """
    hour = now.astimezone(CHINA).strftime("%Y-%m-%d %H")
    digest = hashlib.blake2b(key=salt[:64], digest_size=16)
    for part in (address, user_agent[:AGENT_MAX], hour):
        raw = part.encode("utf-8", "replace")
        digest.update(len(raw).to_bytes(4, "big") + raw)
    return digest.hexdigest()


def prepare(events: Sequence[Event], client: Client) -> Batch:
    """Check and shape a batch; no database. Raises Refused when it has too many events."""
    if len(events) > BATCH_MAX:
        raise Refused("beacon_batch", most=BATCH_MAX, sent=len(events))
    unique = {event.event_id: event for event in events}
    good = [event for event in unique.values() if in_bounds(event)]
    sent = client.sent_at_ms or max((event.client_at_ms for event in good), default=0)
    return Batch([_row(event, client, sent) for event in good], len(unique) - len(good))


def keep(session: Session, batches: Sequence[Batch]) -> list[Taken]:
    """Keep batches of beacons, in one statement; those kept before are left alone."""
    items = {row["item_id"] for batch in batches for row in batch.rows}
    known_items = set(
        session.scalars(
            union_all(
                select(Broadcast.id).where(Broadcast.id.in_(items)),
                select(Work.id).where(Work.id.in_(items)),
            )
        )
    )
    # One order for all: two that share ids wait for each other and never deadlock.
    rows = {
        row["event_id"]: row
        for batch in batches
        for row in batch.rows
        if row["item_id"] in known_items
    }
    fresh: set[str] = set()
    if rows:
        table = PlayEvent.__table__
        statement = insert(table).on_conflict_do_nothing().returning(table.c.event_id)  # type: ignore[arg-type]
        fresh.update(session.execute(statement, [rows[key] for key in sorted(rows)]).scalars())
    return [_taken(batch, known_items, fresh) for batch in batches]


def _taken(batch: Batch, known_items: set[str], fresh: set[str]) -> Taken:
    ours = [row["event_id"] for row in batch.rows if row["item_id"] in known_items]
    kept = [key for key in ours if key in fresh]
    # What two batches of one statement share was kept by the first of them.
    fresh.difference_update(kept)
    ignored = len(batch.rows) - len(ours) + batch.refused
    return Taken(len(kept), len(ours) - len(kept), ignored)


def in_bounds(event: Event) -> bool:
    """Whether every field is within its limits."""
    ids = (event.event_id, event.play_id, event.viewer_id or "x" * ID_MIN)
    return (
        all(_is_id(value, ID_MIN, ID_MAX) for value in ids)
        and _is_id(event.item_id, 1, ITEM_MAX)
        and event.kind in KINDS
        and 0 <= event.client_at_ms < 2**53
        and 0 <= event.position_ms <= POSITION_MAX_MS
        and 0 <= event.watched_ms <= POSITION_MAX_MS
        and 0 <= event.rate_permille <= RATE_MAX_PERMILLE
        and len(event.rendition or "") <= RENDITION_MAX
        and len(json.dumps(event.details).encode()) <= DETAILS_MAX_BYTES
    )


def _is_id(value: str, shortest: int, longest: int) -> bool:
    plain = value.isascii() and all(c.isalnum() or c in "-_" for c in value)
    return plain and shortest <= len(value) <= longest


def _row(event: Event, client: Client, sent_at_ms: int) -> Row:
    late = sent_at_ms - event.client_at_ms
    details = {_storable(k): _plain(v) for k, v in event.details.items()}
    return {
        "event_id": event.event_id,
        "item_id": event.item_id,
        "play_id": event.play_id,
        "viewer_id": event.viewer_id,
        "surrogate": client.surrogate,
        "kind": event.kind,
        "client_at_ms": event.client_at_ms,
        "position_ms": event.position_ms,
        "watched_ms": event.watched_ms,
        "rate_permille": event.rate_permille,
        "live": event.live,
        "rendition": _storable(event.rendition) if event.rendition else None,
        "user_agent": _storable(client.user_agent)[:AGENT_MAX],
        "details": details | {"late_ms": min(max(late, 0), LATE_MAX_MS)},
    }


def _plain(value: str | float | bool | None) -> str | float | bool | None:
    return _storable(value) if isinstance(value, str) else value


def _storable(value: str) -> str:
    """PostgreSQL keeps no NUL and no lone surrogates; neither do we keep control characters."""
    kept = (c for c in value if unicodedata.category(c) not in ("Cc", "Cs"))
    return "".join(kept)


# --- counting --------------------------------------------------------------------------------

# When an event happened, on our clock: what waited on the phone is dated back.
_AT = """received_at - make_interval(secs => coalesce((details->>'late_ms')::float8, 0) / 1000)"""
_VIEWER = "coalesce(viewer_id, surrogate)"

_COUNTS = text(f"""
WITH e AS MATERIALIZED (
    SELECT item_id, play_id, {_VIEWER} AS viewer, kind, watched_ms, rate_permille, {_AT} AS at,
           watched_ms - lag(watched_ms, 1, 0::bigint)
               OVER (PARTITION BY item_id, play_id ORDER BY watched_ms, event_id) AS grown
    FROM play_events WHERE item_id = ANY(:items)
), plays AS (
    SELECT item_id, play_id, min(viewer) AS viewer,
           min(at) FILTER (WHERE kind = 'start') AS started,
           min(at) FILTER (WHERE kind <> 'view') AS first_at,
           max(at) FILTER (WHERE kind <> 'view') AS last_at,
           max(watched_ms) AS watched_ms,
           coalesce(sum(grown) FILTER (WHERE rate_permille < :below), 0) > :effective AS effective
    FROM e GROUP BY item_id, play_id
), runs AS (
    -- COUNTER's double-click rule: starts that follow each other within the time are one.
    SELECT *, count(*) FILTER (WHERE apart) OVER w AS run
    FROM (
        SELECT *, coalesce(started - lag(started) OVER w > make_interval(secs => :same), true)
                  AS apart
        FROM plays WHERE started IS NOT NULL
        WINDOW w AS (PARTITION BY item_id, viewer ORDER BY started, play_id)
    ) AS steps
    WINDOW w AS (PARTITION BY item_id, viewer ORDER BY started, play_id)
), starts AS (
    SELECT item_id, count(*) AS play_starts, count(*) FILTER (WHERE effective) AS effective_plays
    FROM (SELECT item_id, viewer, run, bool_or(effective) AS effective
          FROM runs GROUP BY item_id, viewer, run) AS one GROUP BY item_id
), present AS (
    -- A viewer with two windows open is one viewer: their times are united first.
    SELECT item_id, viewer, unnest(range_agg(tstzrange(first_at, last_at, '[]'))) AS span
    FROM plays WHERE started IS NOT NULL GROUP BY item_id, viewer
), steps AS (
    SELECT item_id, lower(span) AS at, 1 AS step FROM present
    UNION ALL SELECT item_id, upper(span), -1 FROM present
), peaks AS (
    SELECT item_id, max(level) AS peak FROM (
        SELECT item_id, sum(step) OVER (PARTITION BY item_id ORDER BY at, step DESC
                                        ROWS UNBOUNDED PRECEDING) AS level FROM steps
    ) AS levels GROUP BY item_id
)
SELECT seen.item_id, seen.page_views, coalesce(starts.play_starts, 0) AS play_starts,
       coalesce(starts.effective_plays, 0) AS effective_plays, seen.devices,
       coalesce(watched.watched_ms, 0)::bigint AS watched_ms,
       coalesce(peaks.peak, 0)::bigint AS peak_viewers
FROM (SELECT item_id, count(*) FILTER (WHERE kind = 'view') AS page_views,
             count(DISTINCT viewer) AS devices FROM e GROUP BY item_id) AS seen
LEFT JOIN starts USING (item_id)
LEFT JOIN (SELECT item_id, sum(watched_ms) AS watched_ms FROM plays GROUP BY item_id) AS watched
     USING (item_id)
LEFT JOIN peaks USING (item_id)
""").bindparams(below=EFFECTIVE_BELOW_PERMILLE, effective=EFFECTIVE_MS, same=SAME_START_SECONDS)

_WATCHING = text(f"""
SELECT item_id, count(DISTINCT {_VIEWER})
FROM (SELECT DISTINCT ON (play_id) item_id, play_id, viewer_id, surrogate, kind
      FROM play_events
      WHERE item_id = ANY(:items) AND received_at > now() - make_interval(secs => :present)
        AND kind <> 'view'
      ORDER BY play_id, received_at DESC, client_at_ms DESC) AS latest
WHERE kind <> 'end' GROUP BY item_id
""").bindparams(bindparam("present", PRESENT_SECONDS))


def counts(session: Session, item_ids: Sequence[str]) -> dict[str, Counts]:
    """Item → its figures. Items nobody has opened are there too, with zeros."""
    wanted = list(dict.fromkeys(item_ids))
    found = {item: Counts() for item in wanted}
    if wanted:
        for item, *figures in session.execute(_COUNTS, {"items": wanted}):
            found[item] = Counts(*(int(figure) for figure in figures))
    return found


def watching_now(session: Session, item_ids: Sequence[str]) -> dict[str, int]:
    """Item → viewers whose player was heard of within the last half minute."""
    wanted = list(item_ids)
    rows = session.execute(_WATCHING, {"items": wanted}).all() if wanted else []
    return {item: int(number) for item, number in rows}
