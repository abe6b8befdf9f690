"""Replays read straight from the catalogue: the air list of a broadcast or clip, from its start.

Nothing is made at the end of a show: the segments are registered, so the replay is a query, and
the end is one row whose state changes. An outline (a few index entries) tells whether what was
read before still holds, and of a list that grew only the new rows are read (``vod.shelf``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec
from sqlalchemy import and_, exists, func, select
from sqlalchemy.orm import Session

from catalog.air import listed_segments, renditions, window_start
from catalog.models import TIMESCALE, AirItem, Broadcast, InitSection, Rendition, Segment, Work
from infra.tables import Job
from transcode.hls.head import AirHead, HeadRendition, HeadState
from transcode.hls.listed import head_segments
from transcode.hls.replay import ByteRange, Replay, ReplayRendition, ReplaySegment

LIVE_WINDOW_TICKS: Final = 60 * TIMESCALE
"""How much of the air list a live playlist shows."""


# --- the outline -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outline:
    """A replay as it stands: its rungs, without their segments, and how far the list goes."""

    token: str
    final: bool
    """Nothing will be added: EXT-X-ENDLIST."""
    grew: bool
    """It has been served while it grew (a broadcast, an uploaded work; not a clip)."""
    target_duration: int
    """Seconds; never changes for a token."""
    next_msn: int
    rungs: tuple[Rung, ...]

    def rung(self, name: str) -> Rung | None:
        return next((rung for rung in self.rungs if rung.shown.name == name), None)

    def replay(self) -> Replay:
        """For the multivariant playlist."""
        return Replay(
            self.token, self.target_duration, self.final, [r.shown for r in self.rungs], self.grew
        )


@dataclass(frozen=True, slots=True)
class Rung:
    """A rendition's row, and what players are told of it."""

    id: int
    compacted_key: str | None
    shown: ReplayRendition


def is_final(session: Session, broadcast: Broadcast) -> bool:
    """Whether a broadcast's air list is complete.

    An ended one whose live job is over will get no more segments either, also when that job
    failed before it could say so: its viewers are not left with an endless EVENT playlist.
    """
    if broadcast.finalized_at is not None:
        return True
    if broadcast.state != "ended":
        return False
    still_open = exists().where(
        Job.unique_key == f"live:{broadcast.id}", Job.state.in_(("queued", "running"))
    )
    return not session.scalar(select(still_open))


def outline(session: Session, token: str) -> Outline | None:
    """The replay of a broadcast or clip by its media token; None when there is none (yet)."""
    broadcast = session.scalars(
        select(Broadcast).where(Broadcast.media_token == token)
    ).one_or_none()
    if broadcast is not None:
        final, target = is_final(session, broadcast), broadcast.target_duration
        grew = True
    else:
        work = session.scalars(select(Work).where(Work.media_token == token)).one_or_none()
        if work is None or not (work.state == "ready" or is_growing(work)):
            return None
        final, grew = work.state == "ready", work.kind == "upload"
        # Of an uploaded work it is known before the first segment is made, and never changes.
        planned = work.making.get("target_duration") if grew else None
        target = int(planned) if planned else _longest_segment(session, token)
    last = session.scalar(select(func.max(AirItem.msn)).where(AirItem.token == token))
    if last is None:
        return None
    rungs = tuple(_rung(row) for row in renditions(session, token))
    return Outline(token, final, grew, target, last + 1, rungs)


def is_growing(work: Work) -> bool:
    """Whether a work is shown as far as it is made: its first chunks, while others are made."""
    return work.kind == "upload" and work.state == "making"


def _longest_segment(session: Session, token: str) -> int:
    ticks = session.scalar(
        select(func.max(Segment.duration_ticks))
        .join(Rendition, Rendition.id == Segment.rendition_id)
        .where(Rendition.token == token)
    )
    # EXTINF is rounded half up before it is compared (rfc8216bis 4.4.3.1).
    return max(1, ((ticks or 0) * 2 + TIMESCALE) // (2 * TIMESCALE))


def _rung(row: Rendition) -> Rung:
    shown = ReplayRendition(
        name=row.name,
        kind="video" if row.kind == "video" else "audio",
        bandwidth=row.bandwidth,
        average_bandwidth=row.average_bandwidth,
        codecs=row.codecs,
        width=row.width,
        height=row.height,
        frame_rate=row.frame_rate,
    )
    return Rung(row.id, row.compacted_key, shown)


# --- one rendition ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Media:
    """All that a rendition's playlist says: ``write_replay(media.replay, media.rendition)``."""

    outline: Outline
    rung: Rung
    rendition: ReplayRendition

    @property
    def replay(self) -> Replay:
        # A playlist that grew stays an EVENT; one over a joined file is another one, and VOD.
        grew = self.outline.grew and self.rendition.file is None
        return msgspec.structs.replace(
            self.outline.replay(), renditions=[self.rendition], event=grew
        )


def media(session: Session, whole: Outline, name: str) -> Media | None:
    """A rendition's replay; None when there is no rung of that name."""
    rung = whole.rung(name)
    return None if rung is None else _read(session, whole, rung, [])


def _read(session: Session, whole: Outline, rung: Rung, known: list[ReplaySegment]) -> Media:
    """``known``: what was read before, to the end of an earlier outline."""
    segments, in_file = _segments(session, whole, rung, known)
    file: str | None = None
    inits: dict[int, ByteRange] = {}
    if rung.compacted_key is not None and in_file:
        file = rung.compacted_key.rsplit("/", 1)[-1]
        inits = {
            row.number: ByteRange(row.byte_offset or 0, row.size_bytes)
            for row in session.scalars(
                select(InitSection).where(
                    InitSection.rendition_id == rung.id,
                    InitSection.storage_key == rung.compacted_key,
                )
            )
        }
    shown = msgspec.structs.replace(rung.shown, segments=segments, file=file, inits=inits)
    return Media(whole, rung, shown)


def grown(session: Session, before: Media, whole: Outline) -> Media | None:
    """``before`` with what was appended since; None when it must be read anew."""
    rung = whole.rung(before.rung.shown.name)
    if (
        rung is None
        or rung.compacted_key != before.rung.compacted_key
        or whole.next_msn < before.outline.next_msn
    ):
        return None
    if whole.next_msn > before.outline.next_msn:
        if rung.compacted_key is not None:
            return None
        return _read(session, whole, rung, before.rendition.segments)
    kept = before.rendition
    shown = msgspec.structs.replace(
        rung.shown, segments=kept.segments, file=kept.file, inits=kept.inits
    )
    return Media(whole, rung, shown)


def _segments(
    session: Session, whole: Outline, rung: Rung, known: list[ReplaySegment]
) -> tuple[list[ReplaySegment], bool]:
    """The rows up to the outline's end, and whether all lie in the rendition's joined file.

    Columns, not objects: a long show has 5 400. The last known segment is read again, so that a
    slate after it is seen.
    """
    from_msn = known[-1].msn if known else 0
    found = known[:-1]
    rows = session.execute(
        select(
            AirItem.msn,
            AirItem.source,
            func.coalesce(Segment.duration_ticks, AirItem.duration_ticks),
            AirItem.pdt_us,
            AirItem.discontinuity,
            AirItem.gap,
            Segment.init_number,
            Segment.storage_key == rung.compacted_key,
            Segment.byte_offset,
            Segment.size_bytes,
        )
        .outerjoin(Segment, and_(Segment.msn == AirItem.msn, Segment.rendition_id == rung.id))
        .where(
            AirItem.token == whole.token,
            AirItem.msn >= from_msn,
            AirItem.msn < whole.next_msn,
        )
        .order_by(AirItem.msn)
    )
    in_file = True
    init = found[-1].init if found else 0
    cut = bool(known) and known[-1].disc
    for msn, source, duration, pdt, disc, gap, number, joined, offset, size in rows:
        if source == "slate":
            # Viewers of the replay do not get it; what follows is another encoding.
            cut = True
            continue
        # A rung that was not made for a slot keeps the number, and players go to another rung.
        missing = gap or not size
        if not missing:
            init = number
            in_file = in_file and bool(joined)
        found.append(
            ReplaySegment(msn, duration, pdt, init, disc or cut, missing, offset or 0, size or 0)
        )
        cut = False
    return found, in_file


# --- the live head, without Redis ------------------------------------------------------------

_HEAD_STATES: dict[str, HeadState] = {
    "ready": "waiting",
    "live": "live",
    "interrupted": "interrupted",
    "ended": "ended",
    "cancelled": "ended",
}


def head_from_catalogue(session: Session, broadcast: Broadcast, now_us: int = 0) -> AirHead:
    """The live head rebuilt from rows, for a web process that finds none in Redis.

    It ends with the last registered segment: viewers go on a few seconds behind the live edge
    until the live job's next head arrives. Version 0, so that any head of the live job replaces
    it. It is ended only when the air list is complete: between the end of a show and its last
    segment, an ENDLIST would keep that segment from everybody.
    """
    token = broadcast.media_token
    first_msn, discontinuities = window_start(session, token, LIVE_WINDOW_TICKS)
    rungs = [_head_rendition(session, broadcast, r, first_msn) for r in renditions(session, token)]
    state = _HEAD_STATES[broadcast.state]
    if broadcast.state == "ended" and not is_final(session, broadcast):
        state = "live"
    if state == "live" and not any(rung.segments for rung in rungs):
        state = "waiting"
    return AirHead(
        token=token,
        version=0,
        state=state,
        target_duration=broadcast.target_duration,
        part_target_us=broadcast.part_target_us,
        media_sequence=first_msn,
        discontinuity_sequence=discontinuities,
        renditions=rungs,
        server_us=now_us,
    )


def _head_rendition(
    session: Session, broadcast: Broadcast, rendition: Rendition, first_msn: int
) -> HeadRendition:
    rows = listed_segments(session, broadcast.media_token, rendition.id, from_msn=first_msn)
    segments = head_segments(rows, broadcast.target_duration)
    last = segments[-1] if segments else None
    media = [segment.init for segment in segments if not segment.gap]
    return HeadRendition(
        name=rendition.name,
        kind="video" if rendition.kind == "video" else "audio",
        bandwidth=rendition.bandwidth,
        average_bandwidth=rendition.average_bandwidth,
        codecs=rendition.codecs,
        next_msn=first_msn if last is None else last.msn + 1,
        width=rendition.width,
        height=rendition.height,
        frame_rate=rendition.frame_rate,
        segments=segments,
        open_init=media[-1] if media else 0,
        open_pdt_us=0 if last is None else last.pdt_us + last.dur * 100 // 9,
    )
