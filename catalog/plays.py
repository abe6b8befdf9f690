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
from typing import Any, Final

from sqlalchemy import bindparam, select, text, union_all
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from catalog.clock import CHINA
from catalog.errors import Refused
from catalog.models import Broadcast, Work
from catalog.play_rules import LATE_MAX_MS, PRESENT_SECONDS, is_robot
from catalog.play_sums import sums
from catalog.quality import keep_sessions

KINDS = ("view", "start", "heartbeat", "pause", "seek", "rate", "stall", "end")

BATCH_MAX = 100
"""Events in one request."""
ID_MIN, ID_MAX = 8, 36
ITEM_MAX = 32
RENDITION_MAX = 20
AGENT_MAX = 300
DETAILS_MAX_BYTES = 1_000
POSITION_MAX_MS = 10 * 24 * 3_600_000
RATE_MAX_PERMILLE = 16_000


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
    completed: int = 0
    """Plays that saw nine tenths of it."""
    excluded: dict[str, dict[str, int]] = field(default_factory=dict)
    """What the rules left out: robot, rate, double_click → figure → number."""


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


_COLUMNS: Final = (
    "event_id, item_id, play_id, viewer_id, surrogate, kind, client_at_ms, position_ms,"
    " watched_ms, rate_permille, live, rendition, user_agent, details"
)
# All rows as one argument: a thousand of fourteen columns cost the driver more than the database.
_KEEP: Final = text(f"""
INSERT INTO play_events ({_COLUMNS})
SELECT {_COLUMNS} FROM jsonb_populate_recordset(NULL::play_events, :rows)
ON CONFLICT DO NOTHING RETURNING event_id
""").bindparams(bindparam("rows", type_=JSONB))


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
        ordered = [rows[key] for key in sorted(rows)]
        fresh.update(session.scalars(_KEEP, {"rows": ordered}))
        keep_sessions(session, rows.values())
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

_WATCHING = text("""
SELECT item_id, user_agent, count(DISTINCT coalesce(viewer_id, surrogate))
FROM (SELECT DISTINCT ON (play_id) item_id, play_id, viewer_id, surrogate, kind, user_agent
      FROM play_events
      WHERE item_id = ANY(:items) AND received_at > now() - make_interval(secs => :present)
        AND kind <> 'view'
      ORDER BY play_id, received_at DESC, client_at_ms DESC) AS latest
WHERE kind <> 'end' GROUP BY item_id, user_agent
""").bindparams(bindparam("present", PRESENT_SECONDS))


def counts(
    session: Session,
    item_ids: Sequence[str],
    since: dt.date | None = None,
    until: dt.date | None = None,
) -> dict[str, Counts]:
    """Item → its figures, of all time or of the days ``since`` to ``until`` (both included).

    Sums of the days, but for the peak, which is the highest of them, and the devices, which are
    distinct over the whole. Items nobody has opened are there too, with zeros.
    """
    wanted = list(dict.fromkeys(item_ids))
    if not wanted:
        return {}
    found = sums(session, wanted, since, until)
    return {
        item: Counts(
            page_views=whole.page_views,
            play_starts=whole.play_starts,
            effective_plays=whole.effective_plays,
            devices=whole.devices,
            watched_ms=whole.watched_ms,
            peak_viewers=whole.peak_viewers,
            completed=whole.completed,
            excluded=whole.excluded,
        )
        for item, whole in found.items()
    }


def watching_now(session: Session, item_ids: Sequence[str]) -> dict[str, int]:
    """Item → viewers whose player was heard of within the last half minute."""
    wanted = list(item_ids)
    rows = session.execute(_WATCHING, {"items": wanted}).all() if wanted else []
    found: dict[str, int] = {}
    for item, agent, number in rows:
        if not is_robot(agent):
            found[item] = found.get(item, 0) + int(number)
    return found
