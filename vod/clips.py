"""Micro-videos: a stretch of a broadcast cut out to the frame, as an MP4 and as HLS of its own.

Asking makes the work's row and its job in one transaction; making it reads registered segments
only. A clip stands in the catalogue and the edge's rows only when all its files are in storage:
they are written in the transaction that makes it ready.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from catalog.air import RenditionSpec, air_end, ensure_rendition
from catalog.broadcasts import BroadcastError, clean_title
from catalog.models import (
    TIMESCALE,
    AirItem,
    Broadcast,
    InitSection,
    Rendition,
    Segment,
    Work,
)
from catalog.resources import register_clip
from infra.ids import public_id, secret_token
from infra.jobs import enqueue
from infra.tables import Job
from vod.cutting import Cut, cut_output, gather
from vod.encode import Beat, Patience, run_ffmpeg, silent
from vod.finished import Finished, fragmented_output, package
from vod.footage import Part, Step, plan_parts, slots_around
from vod.posters import choose_poster
from vod.tools import Tools

MAX_CLIP_TICKS: Final = 3 * 3600 * TIMESCALE
END_SLACK_TICKS: Final = TIMESCALE // 10
"""How far past the end an out point may lie: lengths are shown rounded, and typed in again."""

_SHARE_FETCHED: Final = 0.1
_SHARE_ENCODED: Final = 0.9


class ClipError(BroadcastError):
    """A clip that cannot be made as asked. ``code`` is stable, ``message`` is for people."""


# --- asking ----------------------------------------------------------------------------------


def request_clip(
    session: Session,
    *,
    broadcast_id: str,
    in_ticks: int,
    out_ticks: int,
    title: str,
    created_by: str | None,
) -> tuple[Work, Job]:
    """A clip's row and the job that will make it, in the caller's transaction.

    ``in_ticks`` and ``out_ticks`` are ticks of the replay's timeline, in included, out not.
    Raises BroadcastError, ClipError.
    """
    broadcast = session.get(Broadcast, broadcast_id)
    if broadcast is None:
        raise BroadcastError("broadcast_not_found", "没有找到这场直播，请检查编号。")
    cleaned = clean_title(title)
    out_ticks = _checked(session, broadcast, in_ticks, out_ticks)
    work = Work(
        id=public_id(),
        centre_id=broadcast.centre_id,
        broadcast_id=broadcast.id,
        kind="clip",
        state="making",
        title=cleaned,
        media_token=secret_token(),
        edit_list=[[broadcast.id, in_ticks, out_ticks]],
        created_by=created_by,
    )
    session.add(work)
    session.flush()
    job = enqueue(
        session,
        kind="clip",
        queue="edit",
        args={"work_id": work.id},
        unique_key=f"clip:{work.id}",
        broadcast_id=broadcast.id,
        centre_id=broadcast.centre_id,
        title=cleaned,
    )
    return work, job


def _checked(session: Session, broadcast: Broadcast, start: int, end: int) -> int:
    """The out point, pulled back to the end if it lies just past it. Raises ClipError."""
    if start < 0:
        raise ClipError("clip_in_negative", "入点不能早于 0 秒。")
    if start >= end:
        raise ClipError("clip_empty", f"出点（{_clock(end)}）要晚于入点（{_clock(start)}）。")
    length = air_end(session, broadcast.media_token).next_ticks
    if length == 0:
        raise ClipError("clip_no_footage", "这场直播还没有录下画面，不能剪辑。")
    if end > length + END_SLACK_TICKS:
        raise ClipError(
            "clip_past_end", f"出点（{_clock(end)}）超出了节目长度（{_clock(length)}）。"
        )
    end = min(end, length)
    if start >= end:
        raise ClipError("clip_past_end", f"入点（{_clock(start)}）已到节目结尾。")
    if end - start > MAX_CLIP_TICKS:
        raise ClipError(
            "clip_too_long", f"片段长 {_clock(end - start)}，最长 {_clock(MAX_CLIP_TICKS)}。"
        )
    footage = session.scalar(
        select(func.count())
        .select_from(AirItem)
        .where(
            AirItem.token == broadcast.media_token,
            AirItem.start_ticks < end,
            AirItem.start_ticks + AirItem.duration_ticks > start,
            AirItem.source == "feed",
            AirItem.gap.is_(False),
        )
    )
    if not footage:
        raise ClipError("clip_no_footage", "这一段没有录到画面，请换一段。")
    return end


def _clock(ticks: int) -> str:
    hundredths = max(0, ticks) * 100 // TIMESCALE
    seconds = hundredths // 100
    clock = f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    return f"{clock}.{hundredths % 100:02d}"


# --- making ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Order:
    """What to make, as the rows say."""

    work_id: str
    token: str
    start: int
    end: int
    video: list[Part]
    audio: list[Part]
    pdt_us: int
    """Wall clock of the in point."""


@dataclass(frozen=True, slots=True)
class _Made:
    """What lies in the work folder, ready to be put."""

    mp4: Path
    rendition: Path
    poster: bytes | None
    finished: Finished
    frame_rate: float | None


def make_clip(tools: Tools, work_id: str, beat: Beat = silent) -> dict[str, Any]:
    """Make a clip and publish it; doing it again changes nothing.

    Raises ClipError, EncodeError, StorageError and what ``beat`` raises; nothing is listed then.
    """
    order = _read_order(tools, work_id)
    if order is None:
        return {"work_id": work_id, "state": "done before"}
    # Joined, encoded, as fragments, and the copies in storage.
    tools.require_room(5 * sum(part.size for part in (*order.video, *order.audio)))
    with tools.work_folder("clip") as folder:
        beat(0.0, "正在读取素材")
        cut = gather(
            tools.storage, order.video, order.audio, order.start, order.end, folder,
            lambda: beat(None, None),
        )  # fmt: skip
        if cut is None:
            raise ClipError("clip_no_footage", "这一段没有录到画面，请换一段。")
        made = _encode(tools, cut, folder, beat)
        beat(_SHARE_ENCODED, "正在保存")
        missing = check_frames(cut, made.finished)
        _publish(tools, order, made, lambda: beat(None, None))
    return {
        "work_id": work_id,
        "frames": len(made.finished.pts),
        "frames_missing": missing,
        "seconds": made.finished.duration / TIMESCALE,
    }


def _read_order(tools: Tools, work_id: str) -> _Order | None:
    with tools.database.transaction() as session:
        work = session.get(Work, work_id)
        if work is None:
            raise ClipError("clip_not_found", "没有找到这个片段。")
        if work.state in ("ready", "withdrawn"):
            return None
        work.state = "making"
        source, start, end = work.edit_list[0]
        broadcast = session.get_one(Broadcast, source)
        token = broadcast.media_token
        around = slots_around(session, token, start, end)
        if around is None:
            raise ClipError("clip_no_footage", "这一段没有录到画面，请换一段。")
        msns = list(range(around[0], around[1] + 1))
        first = session.scalars(
            select(AirItem)
            .where(AirItem.token == token, AirItem.start_ticks <= start)
            .order_by(AirItem.msn.desc())
            .limit(1)
        ).one()
        return _Order(
            work_id=work.id,
            token=work.media_token,
            start=start,
            end=end,
            video=plan_parts(session, token, "video", msns),
            audio=plan_parts(session, token, "audio", msns),
            pdt_us=first.pdt_us + (start - first.start_ticks) * 100 // 9,
        )


def _encode(tools: Tools, cut: Cut, folder: Path, beat: Beat) -> _Made:
    mp4, fragments, rendition = folder / "clip.mp4", folder / "parts.mp4", folder / "replay.mp4"
    seconds = cut.duration / TIMESCALE
    # Slower than a thirtieth of real time means that something is stuck.
    patience = Patience(deadline=120 + 30 * seconds, stall=120)

    def encoded(share: float | None, note: str | None) -> None:
        span = _SHARE_ENCODED - _SHARE_FETCHED
        beat(None if share is None else _SHARE_FETCHED + span * share, note)

    def quiet(share: float | None, note: str | None) -> None:
        beat(None, note)

    beat(_SHARE_FETCHED, "正在编码")
    length_us = cut.duration * 100 // 9
    run_ffmpeg(
        tools.ffmpeg, cut_output(cut, mp4), patience=patience, length_us=length_us, beat=encoded
    )
    copied = fragmented_output(mp4, fragments, video=bool(cut.video))
    run_ffmpeg(tools.ffmpeg, copied, patience=patience, beat=quiet)
    finished = package(fragments, rendition, cut.duration, lambda: beat(None, None))
    fragments.unlink()
    poster = choose_poster(tools.ffmpeg, [mp4], folder, quiet) if cut.video else None
    rate = float(cut.frame_rate) if cut.video else None
    return _Made(mp4, rendition, poster, finished, rate)


def check_frames(cut: Cut, finished: Finished) -> int:
    """How many wanted frames are missing, which only damaged footage can cause. Raises ClipError
    when a frame is there that should not be, or at another time: that would be our own fault."""
    if not cut.video:
        return 0
    wanted = [frame.pts - cut.start for frame in cut.frames]
    surplus = set(finished.pts) - set(wanted)
    if surplus or len(set(finished.pts)) != len(finished.pts):
        raise ClipError(
            "clip_not_exact",
            f"剪出的画面与原片不符（应为 {len(wanted)} 帧，得到 {len(finished.pts)} 帧），未发布。",
        )
    if not finished.pts or finished.pts[0] != 0:
        raise ClipError("clip_not_exact", "片段的第一帧损坏，请把入点移动一点再试。")
    return len(wanted) - len(finished.pts)


# --- publishing ------------------------------------------------------------------------------


def _publish(tools: Tools, order: _Order, made: _Made, step: Step) -> None:
    """Files first, then all rows in one transaction."""
    storage = tools.storage
    finished = made.finished
    name = f"v{finished.height}" if finished.height else "a"
    base = f"works/{order.token}"
    mp4_key, rendition_key = f"{base}/download.mp4", f"{base}/{name}/replay1.mp4"
    digest, size = _digest(made.mp4, step)
    storage.put_file(mp4_key, made.mp4)
    storage.put_file(rendition_key, made.rendition)
    poster_key = None
    if made.poster is not None:
        poster_key = f"{base}/poster.jpg"
        storage.put_bytes(poster_key, made.poster)
    step()
    with tools.database.transaction() as session:
        tools.fence(session)
        work = session.get_one(Work, order.work_id, with_for_update=True)
        if work.state != "making":
            return
        _write_air(session, order, made, name, rendition_key)
        work.state = "ready"
        work.duration_ticks = finished.duration
        work.mp4_key, work.poster_key = mp4_key, poster_key
        work.size_bytes, work.sha256 = size, digest
        work.published_at = work.published_at or dt.datetime.now(dt.UTC)
        session.flush()
        register_clip(session, work)


def _digest(path: Path, step: Step) -> tuple[str, int]:
    digest = hashlib.sha256()
    size = 0
    with path.open("rb") as file:
        while data := file.read(1 << 20):
            digest.update(data)
            size += len(data)
            step()
    return digest.hexdigest(), size


def _write_air(session: Session, order: _Order, made: _Made, name: str, key: str) -> None:
    finished = made.finished
    # Rows of an attempt that lost its lease after this point cannot be: they come with "ready".
    session.execute(delete(AirItem).where(AirItem.token == order.token))
    session.execute(delete(Rendition).where(Rendition.token == order.token))
    rendition_id = ensure_rendition(
        session,
        order.token,
        RenditionSpec(
            name=name,
            kind="video" if finished.height else "audio",
            copied=False,
            codecs=finished.codecs,
            width=finished.width,
            height=finished.height,
            frame_rate=made.frame_rate,
        ),
    )
    session.execute(
        update(Rendition)
        .where(Rendition.id == rendition_id)
        .values(
            compacted_key=key,
            bandwidth=finished.peak_bandwidth,
            average_bandwidth=finished.average_bandwidth,
        )
    )
    session.add(
        InitSection(
            rendition_id=rendition_id,
            number=0,
            sha256=hashlib.sha256(finished.init).hexdigest(),
            storage_key=key,
            byte_offset=0,
            size_bytes=len(finished.init),
        )
    )
    session.flush()
    items, segments = [], []
    at = 0
    for msn, segment in enumerate(finished.segments):
        items.append(
            {
                "token": order.token,
                "msn": msn,
                "source": "feed",
                "take_start_ms": 0,
                "start_ticks": at,
                "duration_ticks": segment.duration,
                "pdt_us": order.pdt_us + at * 100 // 9,
            }
        )
        segments.append(
            {
                "rendition_id": rendition_id,
                "msn": msn,
                "init_number": 0,
                "storage_key": key,
                "byte_offset": segment.offset,
                "size_bytes": segment.size,
                "duration_ticks": segment.duration,
            }
        )
        at += segment.duration
    session.execute(insert(AirItem), items)
    session.execute(insert(Segment), segments)


def give_up_clip(tools: Tools, work_id: str) -> None:
    """A clip that will not be made: its row says so, and what was put for it goes."""
    with tools.database.transaction() as session:
        work = session.get(Work, work_id, with_for_update=True)
        if work is None or work.state != "making":
            return
        work.state = "failed"
        token = work.media_token
    tools.storage.delete_prefix(f"works/{token}/")
