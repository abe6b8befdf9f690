"""Rows turned into what the pages show: cards, the watch page, the desk's one screen."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any, Final, cast

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session, joinedload

from api import jobs
from api.making import made_line
from api.pages import view
from api.present import Feed, Live
from catalog.broadcasts import fell_short, gaps, planned_ticks
from catalog.clock import from_us
from catalog.ledger import broadcast_minutes
from catalog.minutes import TICKS_A_MS
from catalog.models import AirItem, Broadcast, Centre, Resource, Take, Work
from catalog.plays import Counts, counts, watching_now
from catalog.quality import TROUBLED_REBUFFER_PERMILLE, TROUBLED_STARTUP_MS, quality
from catalog.records.reach import broadcasts_within
from catalog.records.sight import off_air
from catalog.resources import raw_footage, timeline_of
from catalog.stills import unanswered
from infra.tables import Job

SHELF: Final = 12
DESK_MAX: Final = 100
_STILL_COMING: Final = dt.timedelta(hours=6)
"""A show that has not begun this long after its time is no longer announced."""

_STATES: Final[dict[str, view.AirState]] = {
    "ready": "waiting",
    "live": "live",
    "interrupted": "interrupted",
    "ended": "ended",
    "cancelled": "ended",
}
_ON_AIR: Final = ("live", "interrupted")


# --- cards -----------------------------------------------------------------------------------


def home(session: Session, now: dt.datetime) -> view.HomeView:
    """The front page: on air, coming, replays, micro-videos."""
    on_air = _broadcasts(session, Broadcast.state.in_(_ON_AIR), Broadcast.started_at.desc())
    coming = _broadcasts(
        session,
        (Broadcast.state == "ready") & (Broadcast.planned_at > now - _STILL_COMING),
        Broadcast.planned_at.asc(),
    )
    aired = select(AirItem.msn).where(AirItem.token == Broadcast.media_token).exists()
    replays = _broadcasts(session, (Broadcast.state == "ended") & aired, Broadcast.ended_at.desc())
    clips = session.scalars(
        select(Work)
        .outerjoin(Broadcast, Broadcast.id == Work.broadcast_id)
        .where(Work.kind == "clip", Work.state == "ready", Broadcast.off_air_at.is_(None))
        # The form for phones stands on the page of its clip.
        .where(Work.form_of_id.is_(None))
        .order_by(Work.published_at.desc())
        .limit(SHELF)
    ).all()
    hidden = off_air(session, [work.media_token for work in clips])
    made = broadcast_cards(session, [*on_air, *coming, *replays])
    shelf: list[view.BroadcastCard | view.WorkCard] = [*(made[b.id] for b in replays)]
    shelf += _uploads(session)
    return view.HomeView(
        on_air=tuple(made[b.id] for b in on_air),
        coming=tuple(made[b.id] for b in coming),
        replays=tuple(sorted(shelf, key=lambda card: card.ended_at or now, reverse=True)[:SHELF]),
        clips=tuple(clip_card(work) for work in clips if work.media_token not in hidden),
    )


def _broadcasts(
    session: Session, which: ColumnElement[bool], order: ColumnElement[Any]
) -> list[Broadcast]:
    query = (
        select(Broadcast)
        .where(which, Broadcast.listed, ~_gone())
        .options(joinedload(Broadcast.centre))
        .order_by(order, Broadcast.id)
        .limit(SHELF)
    )
    return list(session.scalars(query))


def _gone() -> ColumnElement[bool]:
    """Condition on ``Broadcast``: taken down, or its recording withdrawn."""
    withdrawn = select(Work.id).where(
        Work.broadcast_id == Broadcast.id, Work.kind == "recording", Work.state == "withdrawn"
    )
    return Broadcast.off_air_at.is_not(None) | withdrawn.exists()


def is_gone(session: Session, broadcast: Broadcast) -> bool:
    """Whether its page is to say that it was taken down."""
    found = session.scalar(select(Broadcast.id).where(Broadcast.id == broadcast.id, _gone()))
    return found is not None


def desk_list(
    session: Session, centre_path: str | None, contract: str | None = None
) -> tuple[view.BroadcastCard, ...]:
    """On air first, then coming (soonest first), then over (latest first)."""
    found = list(
        session.scalars(
            select(Broadcast)
            .join(Centre, Centre.id == Broadcast.centre_id)
            .where(broadcasts_within(centre_path, contract), Broadcast.state != "cancelled")
            .options(joinedload(Broadcast.centre))
            .order_by((Broadcast.state == "ended").asc(), Broadcast.created_at.desc(), Broadcast.id)
            .limit(DESK_MAX)
        )
    )
    far = dt.datetime.max.replace(tzinfo=dt.UTC)
    epoch = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

    def place(b: Broadcast) -> tuple[int, float]:
        if b.state in _ON_AIR:
            return 0, -(b.started_at or epoch).timestamp()
        if b.state == "ready":
            return 1, (b.planned_at or far).timestamp()
        return 2, -(b.ended_at or epoch).timestamp()

    found.sort(key=place)
    made = broadcast_cards(session, found)
    return tuple(made[b.id] for b in found)


def broadcast_cards(session: Session, found: Sequence[Broadcast]) -> dict[str, view.BroadcastCard]:
    """Broadcast id → its card."""
    lengths = replay_lengths(session, [b.media_token for b in found])
    played = counts(session, [b.id for b in found if b.state == "ended"])
    present = watching_now(session, [b.id for b in found if b.state in _ON_AIR])
    return {
        b.id: view.BroadcastCard(
            id=b.id,
            title=b.title,
            centre=b.centre.name,
            state=_STATES[b.state],
            starts_at=b.planned_at or b.started_at,
            poster_url=poster_url(b),
            viewers=present.get(b.id, 0),
            plays=played[b.id].play_starts if b.id in played else 0,
            duration_ms=lengths.get(b.media_token) if b.state == "ended" else None,
            mode=cast("view.Mode", b.mode),
            ended_at=b.ended_at,
            off_air=b.off_air_at is not None,
        )
        for b in found
    }


def _uploads(session: Session) -> list[view.WorkCard]:
    """The latest uploaded recordings that are whole."""
    query = (
        select(Work, Centre.name)
        .join(Centre, Centre.id == Work.centre_id)
        .where(Work.kind == "upload", Work.state == "ready")
        .order_by(Work.published_at.desc().nulls_last(), Work.id)
        .limit(SHELF)
    )
    found = session.execute(query).all()
    tokens = [work.media_token for work, _ in found]
    hidden = off_air(session, tokens)
    lengths = replay_lengths(session, tokens)
    played = counts(session, [work.id for work, _ in found])
    return [
        view.WorkCard(
            id=work.id,
            title=work.title,
            centre=centre,
            poster_url=f"/hls/{work.media_token}/poster.jpg" if work.poster_key else None,
            duration_ms=lengths.get(work.media_token, 0),
            plays=played[work.id].play_starts,
            ended_at=work.published_at or work.created_at,
        )
        for work, centre in found
        if work.media_token not in hidden
    ]


def replay_lengths(session: Session, tokens: Sequence[str]) -> dict[str, int]:
    """Media token → length of its replay in ms, gaps within it included."""
    query = (
        select(AirItem.token, func.max(AirItem.start_ticks + AirItem.duration_ticks))
        .where(AirItem.token.in_(tokens))
        .group_by(AirItem.token)
    )
    return {token: int(ticks) // TICKS_A_MS for token, ticks in session.execute(query)}


def poster_url(broadcast: Broadcast) -> str | None:
    """Address of a broadcast's poster, once there is one."""
    return f"/hls/{broadcast.media_token}/poster.jpg" if broadcast.poster_at else None


def clip_card(work: Work) -> view.ClipCard:
    return view.ClipCard(
        id=work.id,
        title=work.title,
        duration_ms=work.duration_ticks // TICKS_A_MS,
        poster_url=f"/hls/{work.media_token}/poster.jpg" if work.poster_key else None,
        ready=work.state == "ready",
        made=made_line(work.making),
    )


# --- the desk --------------------------------------------------------------------------------


def item_counts(session: Session, item_id: str) -> Counts:
    return counts(session, [item_id])[item_id]


def desk_page(
    session: Session,
    broadcast: Broadcast,
    *,
    feed: Feed,
    rtmp_url: str,
    counted: Counts,
) -> view.DeskBroadcastView:
    """All the desk knows of one broadcast."""
    takes = list(
        session.scalars(select(Take).where(Take.broadcast_id == broadcast.id).order_by(Take.seq))
    )
    length = broadcast_minutes(session, [broadcast])[broadcast.id]
    clips = session.scalars(
        select(Work)
        .where(Work.broadcast_id == broadcast.id, Work.kind == "clip")
        .where(Work.state.in_(("making", "ready")), Work.form_of_id.is_(None))
        .order_by(Work.created_at)
    )
    images = session.scalar(
        select(func.count())
        .select_from(Resource)
        .where(Resource.broadcast_id == broadcast.id, Resource.kind == "image")
        .where(Resource.withdrawn_at.is_(None), Resource.confirmed_at.is_not(None))
    )
    planned = planned_ticks(broadcast)
    card = broadcast_cards(session, [broadcast])[broadcast.id]
    media = f"/hls/{broadcast.media_token}"
    now = dt.datetime.now(dt.UTC)
    open_work = jobs.listed(
        session,
        None,
        states=("queued", "running", "failed"),
        broadcast_id=broadcast.id,
        housekeeping=False,
    )
    return view.DeskBroadcastView(
        card=card,
        description=broadcast.description,
        rtmp_url=rtmp_url,
        hls_url=f"{media}/main.m3u8",
        health=feed_health(feed, card.viewers),
        started_at=broadcast.started_at,
        takes=_takes(session, broadcast, takes),
        gaps=_gaps(broadcast, takes, now),
        finished_ms=length.finished_ticks // TICKS_A_MS,
        raw_ms=length.raw_ticks // TICKS_A_MS,
        images=images or 0,
        stills=unanswered(session, broadcast),
        counts=view.Counts(
            views=counted.page_views,
            starts=counted.play_starts,
            effective=counted.effective_plays,
            devices=counted.devices,
            completed=counted.completed,
            excluded={
                reason: found.get("page_views", 0) + found.get("play_starts", 0)
                for reason, found in counted.excluded.items()
            },
        ),
        replay_hls_url=f"{media}/replay.m3u8" if length.finished_ticks else None,
        clips=tuple(clip_card(work) for work in clips),
        jobs=tuple(job_row(row, now) for row in open_work),
        peak_viewers=counted.peak_viewers,
        standing=broadcast.standing,
        origin=_origin(session, broadcast),
        short_of_ms=planned // TICKS_A_MS if fell_short(planned, length.finished_ticks) else 0,
    )


def _origin(session: Session, broadcast: Broadcast) -> view.BroadcastCard | None:
    found = session.get(Broadcast, broadcast.origin_id) if broadcast.origin_id else None
    return broadcast_cards(session, [found])[found.id] if found else None


def quality_view(session: Session, item_id: str) -> view.QualityView:
    found = quality(session, [item_id])
    return view.QualityView(
        sessions=found.sessions,
        startup_p50_ms=found.startup_p50_ms,
        startup_p95_ms=found.startup_p95_ms,
        rebuffer_permille=found.rebuffer_ratio_permille,
        bitrate_bps=None if found.bitrate_kbps is None else found.bitrate_kbps * 1000,
        troubled=found.troubled,
        slow_startup_ms=TROUBLED_STARTUP_MS,
        much_rebuffer_permille=TROUBLED_REBUFFER_PERMILLE,
    )


def _takes(
    session: Session, broadcast: Broadcast, takes: Sequence[Take]
) -> tuple[view.TakeRow, ...]:
    footage = raw_footage(session, [broadcast.id], backups=True).get(broadcast.id, {})
    rows = []
    for take in takes:
        ticks = sum(end - start for start, end in footage.get(timeline_of(take.id), ()))
        ended = take.last_arrival_us if take.state == "closed" else None
        rows.append(
            view.TakeRow(
                number=take.seq,
                started_at=from_us(take.first_arrival_us),
                ended_at=None if ended is None else from_us(ended),
                duration_ms=ticks // TICKS_A_MS,
            )
        )
    return tuple(rows)


def _gaps(broadcast: Broadcast, takes: list[Take], now: dt.datetime) -> tuple[view.GapRow, ...]:
    now_us = round(now.timestamp() * 1e6)
    found = gaps(takes, open_ended=broadcast.state == "interrupted")
    return tuple(
        view.GapRow(
            started_at=from_us(gap.start_us),
            duration_ms=((now_us if gap.end_us is None else gap.end_us) - gap.start_us) // 1000,
        )
        for gap in found
    )


def feed_health(feed: Feed, watching: int) -> view.FeedHealth:
    live = feed.live
    return view.FeedHealth(
        connected=feed.connected,
        bitrate_bps=feed.bitrate_bps,
        fps=feed.fps,
        audio_bps=feed.audio_bps,
        width=feed.width,
        height=feed.height,
        video_codec=feed.video_codec,
        audio_codec=feed.audio_codec,
        encoder=feed.encoder,
        rtt_ms=None if feed.rtt_ms is None else round(feed.rtt_ms),
        dropped=feed.dropped,
        late_ms=feed.late_ms,
        key_interval_ms=feed.key_interval_ms,
        log_bytes=feed.log_bytes,
        disk_free_bytes=feed.disk_free_bytes,
        history=tuple(view.HealthPoint(at, bps, fps) for at, bps, fps in feed.history),
        rungs=tuple(view.RungHealth(r.name, r.bitrate_bps, r.fps) for r in live.rungs)
        if live
        else (),
        lag_ms=live.lag_ms if live else None,
        speed=live.speed if live else None,
        restarts=live.restarts if live else 0,
        codes=tuple(dict.fromkeys([*feed.warnings, *_codes(live)])),
        viewers=watching,
    )


def _codes(live: Live | None) -> list[str]:
    if live is None:
        return []
    return [*live.advice, *([f"waiting_{live.waiting_for}"] if live.waiting_for else [])]


def job_row(row: Job, now: dt.datetime) -> view.JobRow:
    progress = None if row.progress_permille is None else row.progress_permille / 1000
    # One that is put back until its parts are done is going on.
    waits = row.kind == "chunks" and row.state == "queued" and bool(row.progress_permille)
    return view.JobRow(
        id=str(row.id),
        kind=row.kind,
        subject=row.title,
        state="running" if waits else cast("view.JobState", row.state),
        created_at=row.created_at,
        progress=progress,
        eta_s=jobs.seconds_left(row, now),
        note=row.note or None,
        attempt=row.attempt,
        error=failure(row),
        broadcast_id=row.broadcast_id,
        finished_at=row.ended_at,
        href=_subject(row),
    )


def failure(row: Job) -> str | None:
    """Why a job failed, as a person reads it: what programs said of it is in the log."""
    return row.error.partition("\n")[0] if row.error else None


def _subject(row: Job) -> str | None:
    """The page of what a job works on."""
    work_id = row.args.get("work_id")
    gone = row.state in ("failed", "cancelled") and row.kind != "master"
    if work_id and not gone and row.kind in ("clip", "form", "chunks", "master"):
        folder = "clips" if row.kind in ("clip", "form") else "works"
        return f"/{folder}/{work_id}"
    return f"/desk/b/{row.broadcast_id}" if row.broadcast_id else None
