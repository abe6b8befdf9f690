"""Broadcasts, their feeds and their takes: what changes their state, and what is told of them."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final, Protocol

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from catalog.errors import Refused
from catalog.minutes import TICKS_A_MS
from catalog.models import STANDINGS, Broadcast, Feed, Take
from infra.ids import hash_secret, public_id, secret_token
from infra.jobs import enqueue

TITLE_MAX = 200
PLANNED_MAX: Final = dt.timedelta(days=7)
"""Nothing is on air for longer; a date further off is a slip of the pen."""
CONTRACT_MAX = 100

# A live job is restarted for as long as its broadcast lasts; the bound only stops a crash loop
# from running for ever after everyone has gone home.
LIVE_ATTEMPTS = 10_000


class BroadcastError(Exception):
    """A request that the broadcast's state or the input does not allow."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


# (state, event) -> state. The table also stands in docs/air-list.md.
TRANSITIONS: dict[tuple[str, str], str] = {
    ("ready", "feed_arrives"): "live",
    ("ready", "feed_lost"): "ready",
    ("ready", "staff_cancels"): "cancelled",
    ("ready", "staff_ends"): "cancelled",
    ("live", "feed_arrives"): "live",
    ("live", "feed_lost"): "interrupted",
    ("live", "staff_ends"): "ended",
    ("interrupted", "feed_arrives"): "live",
    ("interrupted", "feed_lost"): "interrupted",
    ("interrupted", "staff_ends"): "ended",
    ("ended", "feed_lost"): "ended",
    ("ended", "staff_ends"): "ended",
    ("cancelled", "feed_lost"): "cancelled",
    ("cancelled", "staff_cancels"): "cancelled",
    ("cancelled", "staff_ends"): "cancelled",
}

_REFUSALS = {
    "ended": ("broadcast_ended", "这场直播已经结束，不能再推流。要再播一场，请先新建直播。"),
    "cancelled": ("broadcast_cancelled", "这场直播已经取消，不能再推流。"),
    "live": ("broadcast_running", "直播正在进行，请先结束直播。"),
    "interrupted": ("broadcast_running", "直播还没有结束，请先结束直播。"),
}


def next_state(state: str, event: str) -> str:
    """The state after an event; BroadcastError when the table has no such step."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        code, message = _REFUSALS[state]
        raise BroadcastError(code, message) from None


@dataclass(frozen=True, slots=True)
class NewBroadcast:
    """A broadcast just made. The stream key exists in clear only here."""

    broadcast: Broadcast
    feed: Feed
    stream_key: str = field(repr=False)


class Planned(Protocol):
    """What decides whether a show fell short of its plan: a Broadcast, or a row with these."""

    planned_at: Any
    planned_end_at: Any
    short_decided_at: Any
    finalized_at: Any
    mode: Any
    standing: Any


@dataclass(frozen=True, slots=True)
class Gap:
    """Time between two takes in which nothing came in. Microseconds since 1970 UTC."""

    after_take: str
    before_take: str | None
    start_us: int
    end_us: int | None

    @property
    def seconds(self) -> float | None:
        return None if self.end_us is None else max(0, self.end_us - self.start_us) / 1e6


def clean_title(title: str) -> str:
    """A title fit to keep: one line, trimmed, 1 to 200 characters."""
    cleaned = " ".join("".join(c if c.isprintable() else " " for c in title).split())
    if not cleaned:
        raise BroadcastError("title_empty", "请填写标题。")
    if len(cleaned) > TITLE_MAX:
        raise BroadcastError(
            "title_too_long", f"标题有 {len(cleaned)} 个字，最多 {TITLE_MAX} 个字，请缩短。"
        )
    return cleaned


def create_broadcast(
    session: Session,
    *,
    title: str,
    centre_id: str,
    mode: str = "live",
    description: str = "",
    planned_at: dt.datetime | None = None,
    planned_end_at: dt.datetime | None = None,
    created_by: str | None = None,
    contract: str = "",
) -> NewBroadcast:
    """A broadcast with its main feed, ready for an encoder. ``contract``: the studio's, if one
    makes it."""
    if mode not in ("live", "recorded"):
        raise BroadcastError("mode_unknown", "类型只能是直播（live）或录播（recorded）。")
    if planned_end_at is not None:
        _check_plan(planned_at, planned_end_at)
    broadcast = Broadcast(
        id=public_id(),
        centre_id=centre_id,
        title=clean_title(title),
        description=description[:5000],
        mode=mode,
        state="ready",
        planned_at=planned_at,
        planned_end_at=planned_end_at,
        media_token=secret_token(),
        contract=contract.strip()[:CONTRACT_MAX],
        created_by=created_by,
    )
    key = secret_token()
    feed = Feed(id=public_id(), broadcast=broadcast, role="main", key_hash=hash_secret(key))
    session.add_all([broadcast, feed])
    session.flush()
    return NewBroadcast(broadcast, feed, key)


def _check_plan(start: dt.datetime | None, end: dt.datetime) -> None:
    if start is None:
        raise BroadcastError("planned_end_alone", "填了结束时间，也请填上开演时间。")
    if end <= start:
        raise BroadcastError("planned_end_early", "结束时间要晚于开演时间。")
    if end - start > PLANNED_MAX:
        raise BroadcastError(
            "planned_end_late", f"一场最长 {PLANNED_MAX.days} 天，请检查结束时间的日期。"
        )


def planned_ticks(broadcast: Planned) -> int:
    """How long a live show was to last, where that decides whether it was live enough to be one:
    on for less than half of it, somebody has to say. 0: not planned, not live, or said."""
    start, end = broadcast.planned_at, broadcast.planned_end_at
    if start is None or end is None or broadcast.short_decided_at is not None:
        return 0
    if broadcast.mode != "live" or broadcast.standing != "own" or broadcast.finalized_at is None:
        return 0
    return int((end - start) / dt.timedelta(milliseconds=1)) * TICKS_A_MS


def fell_short(planned: int, aired: int) -> bool:
    """Live for less than half of the planned time (COUNTING: flagged for a decision). Ticks."""
    return 2 * aired < planned


def set_standing(session: Session, broadcast_id: str, standing: str, origin: str = "") -> Broadcast:
    """Say how a broadcast counts (see ``STANDINGS``). One that relays another or shows it again
    names it, by id or by its watch address. Said after the end, it also decides about one that
    fell short of its plan. Raises Refused."""
    if standing not in STANDINGS:
        raise Refused("standing_unknown")
    broadcast = _lock(session, broadcast_id)
    found: Broadcast | None = None
    if standing in ("linked", "reshown"):
        key = origin.strip().rstrip("/").rpartition("/")[2]
        if not key:
            raise Refused("standing_origin_needed")
        found = session.get(Broadcast, key)
        if found is not None and found.origin_id is not None:
            # A relay of a relay shows the first one's pictures.
            found = session.get(Broadcast, found.origin_id)
        if found is None or found.id == broadcast.id or found.state == "cancelled":
            raise Refused("standing_origin_unknown")
    broadcast.standing = standing
    broadcast.origin_id = found.id if found else None
    if broadcast.finalized_at is not None:
        broadcast.short_decided_at = func.now()
    session.flush()
    return broadcast


def rotate_key(session: Session, broadcast_id: str, *, feed_role: str = "main") -> str:
    """A new stream key in place of the old one, which stops working at the next publish."""
    feed = session.scalars(
        select(Feed).where(Feed.broadcast_id == broadcast_id, Feed.role == feed_role)
    ).one_or_none()
    if feed is None:
        raise BroadcastError("broadcast_not_found", "没有找到这场直播。")
    key = secret_token()
    feed.key_hash = hash_secret(key)
    return key


def feed_by_key(session: Session, key: str) -> Feed | None:
    """The feed a stream key opens, or None."""
    return session.scalars(select(Feed).where(Feed.key_hash == hash_secret(key))).one_or_none()


def _lock(session: Session, broadcast_id: str) -> Broadcast:
    broadcast = session.get(Broadcast, broadcast_id, with_for_update=True, populate_existing=True)
    if broadcast is None:
        raise BroadcastError("broadcast_not_found", "没有找到这场直播。")
    return broadcast


def open_take(
    session: Session,
    *,
    feed_id: str,
    node_url: str,
    first_arrival_us: int,
    codecs: dict[str, Any],
    take_id: str | None = None,
    node_id: str = "",
) -> Take:
    """A take begins: the broadcast is live, and a live job is promised for it.

    ``take_id``: ingest names its takes itself, since the log is there before the row.
    """
    feed = session.get(Feed, feed_id)
    if feed is None:
        raise BroadcastError("feed_not_found", "没有找到这路信号。")
    broadcast = _lock(session, feed.broadcast_id)
    broadcast.state = next_state(broadcast.state, "feed_arrives")
    broadcast.interrupted_at = None
    if broadcast.started_at is None:
        broadcast.started_at = dt.datetime.fromtimestamp(first_arrival_us / 1e6, dt.UTC)
    last_seq = session.scalar(select(func.max(Take.seq)).where(Take.broadcast_id == broadcast.id))
    take = Take(
        id=take_id or public_id(16),
        broadcast_id=broadcast.id,
        feed_id=feed.id,
        seq=(last_seq or 0) + 1,
        state="open",
        node_url=node_url,
        node_id=node_id,
        first_arrival_us=first_arrival_us,
        codecs=codecs,
    )
    session.add(take)
    session.flush()
    promise_live_job(session, broadcast)
    return take


def promise_live_job(session: Session, broadcast: Broadcast) -> None:
    """One open live job a broadcast; a second promise changes nothing."""
    enqueue(
        session,
        kind="live",
        queue="live",
        args={"broadcast_id": broadcast.id},
        unique_key=f"live:{broadcast.id}",
        broadcast_id=broadcast.id,
        centre_id=broadcast.centre_id,
        title=broadcast.title,
        max_attempts=LIVE_ATTEMPTS,
    )


def close_take(
    session: Session,
    take_id: str,
    *,
    ended_by: str,
    last_arrival_us: int,
    first_ms: int,
    last_video_ms: int | None,
    last_audio_ms: int | None,
    end_ms: int,
    video_frames: int,
    size_bytes: int,
) -> Take | None:
    """A take ends. Called again for the same take it changes nothing and gives None."""
    take = session.get(Take, take_id, with_for_update=True, populate_existing=True)
    if take is None or take.state == "closed":
        return None
    take.state = "closed"
    take.ended_by = ended_by[:40]
    take.last_arrival_us = last_arrival_us
    take.first_ms = first_ms
    take.last_video_ms = last_video_ms
    take.last_audio_ms = last_audio_ms
    take.end_ms = end_ms
    take.video_frames = video_frames
    take.size_bytes = size_bytes
    session.flush()
    return take


def mark_interrupted(session: Session, broadcast_id: str, now: dt.datetime) -> None:
    """No feed comes in any more; the grace time starts unless another take is open."""
    broadcast = _lock(session, broadcast_id)
    still_open = session.scalar(
        select(func.count())
        .select_from(Take)
        .where(Take.broadcast_id == broadcast_id, Take.state == "open")
    )
    if still_open or broadcast.state not in ("live", "interrupted"):
        return
    broadcast.state = next_state(broadcast.state, "feed_lost")
    broadcast.interrupted_at = broadcast.interrupted_at or now


def end_broadcast(session: Session, broadcast_id: str, now: dt.datetime) -> Broadcast:
    """Staff end it (or cancel one that never began). Ending twice is ending once."""
    broadcast = _lock(session, broadcast_id)
    before = broadcast.state
    broadcast.state = next_state(before, "staff_ends")
    if broadcast.state == "ended" and before != "ended":
        broadcast.ended_at = now
        broadcast.interrupted_at = None
        # The live job may have gone home after the grace time; the tail still wants registering.
        promise_live_job(session, broadcast)
    session.flush()
    return broadcast


def gaps(takes: list[Take], *, open_ended: bool) -> list[Gap]:
    """Gaps between takes, in order; with ``open_ended`` the one that still lasts too."""
    found: list[Gap] = []
    for before, after in pairwise(takes):
        end = before.last_arrival_us or before.first_arrival_us
        found.append(Gap(before.id, after.id, end, max(end, after.first_arrival_us)))
    if open_ended and takes and takes[-1].state == "closed":
        last = takes[-1]
        found.append(Gap(last.id, None, last.last_arrival_us or last.first_arrival_us, None))
    return found


def finalize(session: Session, broadcast_id: str, now: dt.datetime) -> bool:
    """The last segment of an ended broadcast is registered. False when that was known, or it
    has not ended."""
    changed = session.scalar(
        update(Broadcast)
        .where(
            Broadcast.id == broadcast_id,
            Broadcast.state == "ended",
            Broadcast.finalized_at.is_(None),
        )
        .values(finalized_at=now)
        .returning(Broadcast.id)
    )
    return changed is not None
