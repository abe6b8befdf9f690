"""The shapes of answers, shared by the JSON API and the command line, and how they are filled.

Everything public is an address or an id; a stream key stands only in the answer that made it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from api import jobs
from api.making import made_line
from catalog.broadcasts import NewBroadcast, gaps
from catalog.clock import from_us
from catalog.ledger import broadcast_minutes
from catalog.minutes import seconds, total
from catalog.models import Broadcast, Centre, Take, Work
from catalog.pieces import asked
from catalog.play_figures import DayFigures
from catalog.plays import Counts, counts, watching_now
from catalog.records.reach import broadcasts_within
from catalog.resources import raw_footage, timeline_of
from infra.tables import Job


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the instance answers, as the asker reaches it; no slash at the end."""

    http: str
    rtmp: str

    def watch(self, broadcast_id: str) -> str:
        return f"{self.http}/b/{broadcast_id}"

    def clip(self, work_id: str) -> str:
        return f"{self.http}/clips/{work_id}"

    def media(self, token: str, name: str) -> str:
        return f"{self.http}/hls/{token}/{name}"


class Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Publish(Answer):
    rtmp_url: str = Field(description="Where the encoder pushes to, without the key.")
    stream_key: str = Field(description="Shown this once only.")


class BroadcastBrief(Answer):
    id: str
    title: str
    state: str
    mode: str
    centre_id: str
    centre: str
    contract: str = Field(description="The studio contract it is made under; empty: none.")
    planned_at: dt.datetime | None
    planned_end_at: dt.datetime | None
    started_at: dt.datetime | None
    ended_at: dt.datetime | None
    off_air_at: dt.datetime | None = Field(
        description="Since when it is taken down; null: it is not."
    )
    watch_url: str


class BroadcastMade(BroadcastBrief):
    hls_url: str
    publish: Publish


class TakeAnswer(Answer):
    id: str
    seq: int
    state: str
    started_at: dt.datetime
    ended_at: dt.datetime | None
    seconds: float = Field(description="Recorded so far, as far as it is registered.")
    ended_by: str | None
    size_bytes: int


class GapAnswer(Answer):
    started_at: dt.datetime
    ended_at: dt.datetime | None
    seconds: float | None = Field(description="null while the gap lasts.")


class Played(Answer):
    """Figures kept apart (a plan picks the one it reports), and what the rules left out."""

    page_views: int
    play_starts: int
    effective_plays: int = Field(description="Watched for over 3 s at less than 3 times speed.")
    devices: int
    watched_seconds: float
    peak_viewers: int
    completed: int = Field(description="Plays that saw nine tenths of it.")
    excluded: dict[str, dict[str, int]] = Field(
        description="robot, rate or double_click → figure → number; kept, and not counted."
    )


class PlaysAnswer(Played):
    watching_now: int


class ClipPiece(Answer):
    """A stretch of a source, in seconds of that source's timeline; ``out`` is not included."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    source: str = Field(description="Id of a broadcast or a work.")
    start: float = Field(alias="in")
    stop: float = Field(alias="out")


class ClipAnswer(Answer):
    id: str
    title: str
    state: str = Field(description="making, ready, failed or withdrawn.")
    broadcast_id: str | None = Field(description="Null: it is of several, or of none.")
    watch_url: str
    hls_url: str | None
    mp4_url: str | None
    seconds: float | None
    pieces: list[ClipPiece] = []
    made: str = Field(default="", description="What was copied and what was encoded, in words.")
    frames_copied: int | None = None
    frames_encoded: int | None = None
    job_id: int | None = None
    progress: float | None = Field(default=None, description="0 to 1, of its job.")
    note: str = ""
    error_code: str | None = None
    error: str | None = None


class BroadcastFull(BroadcastBrief):
    description: str
    standing: str = Field(description="own, linked, reshown or test: how it counts.")
    origin_id: str | None = Field(description="Of a linked or re-shown one: what it shows.")
    hls_url: str
    replay_hls_url: str | None = Field(description="From the first second; null before footage.")
    takes: list[TakeAnswer]
    gaps: list[GapAnswer]
    finished_seconds: float
    raw_seconds: float
    plays: PlaysAnswer
    clips: list[ClipAnswer]


class BroadcastPublic(Answer):
    """What anyone may know of a broadcast. Addresses are paths on this host."""

    id: str
    title: str
    description: str
    state: str = Field(description="waiting, live, interrupted or ended.")
    mode: str
    centre: str
    starts_at: dt.datetime | None
    ended_at: dt.datetime | None
    watch_url: str
    hls_url: str
    replay_hls_url: str | None
    poster_url: str | None
    viewers: int


class JobAnswer(Answer):
    id: int
    kind: str
    queue: str
    title: str
    state: str
    progress: float | None = Field(description="0 to 1; null when it cannot be known.")
    seconds_left: int | None = Field(
        default=None, description="At the pace of the last minutes; null while it is too early."
    )
    note: str
    attempt: int
    error_code: str | None
    error: str | None
    broadcast_id: str | None
    created_at: dt.datetime
    started_at: dt.datetime | None
    ended_at: dt.datetime | None


# --- filling them ----------------------------------------------------------------------------


def utc(at: dt.datetime | None) -> dt.datetime | None:
    """The same instant, written as UTC."""
    return None if at is None else at.astimezone(dt.UTC)


def _known(at: dt.datetime) -> dt.datetime:
    return at.astimezone(dt.UTC)


def brief(broadcast: Broadcast, at: Addresses) -> BroadcastBrief:
    return BroadcastBrief.model_validate(_brief(broadcast, at))


def _brief(broadcast: Broadcast, at: Addresses) -> dict[str, object]:
    return {
        "id": broadcast.id,
        "title": broadcast.title,
        "state": broadcast.state,
        "mode": broadcast.mode,
        "centre_id": broadcast.centre_id,
        "centre": broadcast.centre.name,
        "contract": broadcast.contract,
        "planned_at": utc(broadcast.planned_at),
        "planned_end_at": utc(broadcast.planned_end_at),
        "started_at": utc(broadcast.started_at),
        "ended_at": utc(broadcast.ended_at),
        "off_air_at": utc(broadcast.off_air_at),
        "watch_url": at.watch(broadcast.id),
    }


def made(new: NewBroadcast, at: Addresses) -> BroadcastMade:
    return BroadcastMade.model_validate(
        _brief(new.broadcast, at)
        | {
            "hls_url": at.media(new.broadcast.media_token, "main.m3u8"),
            "publish": Publish(rtmp_url=at.rtmp, stream_key=new.stream_key),
        }
    )


def full(session: Session, broadcast: Broadcast, at: Addresses) -> BroadcastFull:
    """Everything staff may know; finished and raw lengths are right while on air too."""
    takes = list(
        session.scalars(select(Take).where(Take.broadcast_id == broadcast.id).order_by(Take.seq))
    )
    length = broadcast_minutes(session, [broadcast])[broadcast.id]
    per_take = take_seconds(session, takes)
    clips = session.scalars(
        select(Work)
        .where(Work.broadcast_id == broadcast.id, Work.kind == "clip", Work.state != "withdrawn")
        .order_by(Work.created_at)
    )
    replay = at.media(broadcast.media_token, "replay.m3u8") if length.finished_ticks else None
    return BroadcastFull.model_validate(
        _brief(broadcast, at)
        | {
            "description": broadcast.description,
            "standing": broadcast.standing,
            "origin_id": broadcast.origin_id,
            "hls_url": at.media(broadcast.media_token, "main.m3u8"),
            "replay_hls_url": replay,
            "takes": [_take(take, per_take[take.id]) for take in takes],
            "gaps": [
                GapAnswer(
                    started_at=from_us(gap.start_us),
                    ended_at=None if gap.end_us is None else from_us(gap.end_us),
                    seconds=gap.seconds,
                )
                for gap in gaps(takes, open_ended=broadcast.state == "interrupted")
            ],
            "finished_seconds": seconds(length.finished_ticks),
            "raw_seconds": seconds(length.raw_ticks),
            "plays": plays(session, broadcast.id),
            "clips": [clip(work, at) for work in clips],
        }
    )


def take_seconds(session: Session, takes: Sequence[Take]) -> dict[str, float]:
    """Take id → recorded seconds, of open takes too."""
    footage = raw_footage(session, {take.broadcast_id for take in takes}, backups=True)
    merged = {timeline: found for part in footage.values() for timeline, found in part.items()}
    return {take.id: seconds(total(merged.get(timeline_of(take.id), ()))) for take in takes}


def _take(take: Take, length: float) -> TakeAnswer:
    ended = take.last_arrival_us if take.state == "closed" else None
    return TakeAnswer(
        id=take.id,
        seq=take.seq,
        state=take.state,
        started_at=from_us(take.first_arrival_us),
        ended_at=None if ended is None else from_us(ended),
        seconds=length,
        ended_by=take.ended_by,
        size_bytes=take.size_bytes,
    )


def plays(session: Session, item_id: str) -> PlaysAnswer:
    found: Counts = counts(session, [item_id])[item_id]
    present = watching_now(session, [item_id]).get(item_id, 0)
    return PlaysAnswer(**played(found), watching_now=present)


def played(found: Counts | DayFigures) -> dict[str, Any]:
    """The fields of `Played`."""
    return {
        "page_views": found.page_views,
        "play_starts": found.play_starts,
        "effective_plays": found.effective_plays,
        "devices": found.devices,
        "watched_seconds": found.watched_ms / 1000,
        "peak_viewers": found.peak_viewers,
        "completed": found.completed,
        "excluded": found.excluded,
    }


def clip(work: Work, at: Addresses, *, job: Job | None = None) -> ClipAnswer:
    ready = work.state == "ready"
    pieces = [
        ClipPiece.model_validate(
            {"source": piece.source, "in": seconds(piece.start), "out": seconds(piece.end)}
        )
        for piece in asked(work.edit_list)
    ]
    progress = job.progress_permille if job is not None else None
    return ClipAnswer(
        id=work.id,
        title=work.title,
        state=work.state,
        broadcast_id=work.broadcast_id,
        watch_url=at.clip(work.id),
        hls_url=at.media(work.media_token, "main.m3u8") if ready else None,
        mp4_url=at.media(work.media_token, "download.mp4") if ready and work.mp4_key else None,
        seconds=seconds(work.duration_ticks) if ready else None,
        pieces=pieces,
        made=made_line(work.making),
        frames_copied=work.making.get("copied"),
        frames_encoded=work.making.get("encoded"),
        job_id=job.id if job else None,
        progress=None if progress is None else progress / 1000,
        note=job.note if job else "",
        error_code=job.error_code if job else None,
        error=job.error if job else None,
    )


def job(row: Job) -> JobAnswer:
    return JobAnswer(
        id=row.id,
        kind=row.kind,
        queue=row.queue,
        title=row.title,
        state=row.state,
        progress=None if row.progress_permille is None else row.progress_permille / 1000,
        seconds_left=jobs.seconds_left(row, dt.datetime.now(dt.UTC)),
        note=row.note,
        attempt=row.attempt,
        error_code=row.error_code,
        error=row.error,
        broadcast_id=row.broadcast_id,
        created_at=_known(row.created_at),
        started_at=utc(row.started_at),
        ended_at=utc(row.ended_at),
    )


def find_broadcast(
    session: Session,
    broadcast_id: str,
    *,
    centre_path: str | None = None,
    contract: str | None = None,
) -> Broadcast | None:
    """A broadcast inside a subtree of centres, with its centre loaded; see ``contract_of``."""
    query = (
        select(Broadcast)
        .join(Centre, Centre.id == Broadcast.centre_id)
        .where(Broadcast.id == broadcast_id, broadcasts_within(centre_path, contract))
        .options(joinedload(Broadcast.centre))
    )
    return session.scalars(query).one_or_none()


def listed_broadcasts(
    session: Session,
    *,
    centre_path: str | None = None,
    contract: str | None = None,
    state: str | None = None,
    limit: int = 50,
    before: dt.datetime | None = None,
) -> list[Broadcast]:
    """Latest first."""
    query = (
        select(Broadcast)
        .join(Centre, Centre.id == Broadcast.centre_id)
        .where(broadcasts_within(centre_path, contract))
        .options(joinedload(Broadcast.centre))
        .order_by(Broadcast.created_at.desc(), Broadcast.id)
        .limit(limit)
    )
    if state is not None:
        query = query.where(Broadcast.state == state)
    if before is not None:
        query = query.where(Broadcast.created_at < before)
    return list(session.scalars(query))
