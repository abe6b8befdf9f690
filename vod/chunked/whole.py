"""The job of a whole work: plans, has its chunks made, and brings the work to its end.

It does not sit and wait. Between two looks it is put back into the queue, and the chunk that is
done last wakes it; its row stays open all the while, so its progress and state are the work's.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Any, Final

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from catalog.models import Chunk, Rendition, Segment, Upload, Work
from catalog.resources import register_upload
from infra.jobs import JobFailed, JobWaits, enqueue
from infra.jobs.log import say
from infra.jobs.states import OPEN
from infra.tables import Job
from vod.chunked.begin import KIND
from vod.chunked.plan import Plan, make_plan
from vod.chunked.rows import (
    CLEAN,
    MADE_PERMILLE,
    PLANNED_PERMILLE,
    failed_chunk,
    join,
    made_of,
    making_of,
    newest_job,
    open_chunk_jobs,
    promise_chunks,
    stop_chunks,
    tell,
    wipe,
    write_plan,
)
from vod.encode import Beat
from vod.footage import join_part, plan_parts
from vod.originals.clock import TICKS
from vod.originals.confined import scan
from vod.posters import candidate_slots, choose_poster
from vod.stills.service import promise_stills
from vod.tools import Tools

LOOK_SECONDS: Final = 20.0
"""How often it looks by itself, should nobody wake it."""
KEPT: Final = dt.timedelta(days=7)
"""So long what was made of a failed work waits for somebody to try it again."""

_CODES: Final = {
    "sound_before_picture": "原片的声音比画面早开始，画面之前的声音没有收进来。",
    "sound_after_picture": "原片的画面先结束，之后的声音没有收进来。",
    "clock_jumps": "原片中间的时间有跳动，已接成连续的。",
    "cut_short": "原片结尾不完整，能读出来的都收进来了。",
}

_CHUNK_FILE: Final = re.compile(r"works/[A-Za-z0-9_-]+/[a-z0-9]+/c\d{5}-[A-Za-z0-9_-]{8}\.mp4")


def bring_about(tools: Tools, work_id: str, beat: Beat) -> dict[str, Any]:
    """One look at a work. Its result once it is ready.

    Raises JobWaits while chunks are being made, JobFailed when one of them is given up, ReadError,
    PlanError, StorageError, EncodeError.
    """
    state, planned = _begin(tools, work_id)
    if state == "ready":
        return {"work_id": work_id, "state": "done before"}
    if not planned:
        _plan(tools, work_id, beat)
    left = _promise(tools, work_id)
    if left:
        with tools.database.transaction() as session:
            tell(session, work_id)
        raise JobWaits(LOOK_SECONDS)
    return _finish(tools, work_id, beat)


# --- beginning -------------------------------------------------------------------------------


def _begin(tools: Tools, work_id: str) -> tuple[str, bool]:
    """The work's state, and whether its chunks are planned. One that had failed is taken up
    again: what was made of it stands."""
    with tools.database.transaction() as session:
        tools.fence(session)
        work = session.get(Work, work_id, with_for_update=True)
        if work is None or work.state == "withdrawn":
            raise JobFailed("work_gone", "这个作品已经不在了。", retry=False)
        if work.state == "failed":
            work.state = "making"
            work.making = {**work.making, "cancelled": False, "since_job": newest_job(session)}
        rows = session.scalar(select(func.count()).where(Chunk.work_id == work_id)) or 0
        return work.state, rows > 0


def _plan(tools: Tools, work_id: str, beat: Beat) -> None:
    with tools.database.transaction() as session:
        original = session.get_one(Work, work_id).master_key or ""

    def reading(share: float | None, note: str | None) -> None:
        beat(None if share is None else share * PLANNED_PERMILLE / 1000, note)

    reading(0.0, "正在读取原片的结构")
    with tools.work_folder("scan") as folder:
        table, size = scan(tools, original, folder, reading)
    chunk_ticks = tools.settings.chunk_seconds * TICKS
    plan = make_plan(table, file_bytes=size, chunk_ticks=chunk_ticks)
    with tools.database.transaction() as session:
        tools.fence(session)
        work = session.get_one(Work, work_id, with_for_update=True)
        write_plan(session, work, table, plan, size)
        session.flush()
        promise_chunks(session, work)
        _tell(session, work_id, plan)


def _tell(session: Session, work_id: str, plan: Plan) -> None:
    """Say in the log what will be made, and what of the original will not be in it."""
    job = session.scalars(
        select(Job).where(Job.unique_key == f"{KIND}:{work_id}", Job.state.in_(OPEN))
    ).one_or_none()
    if job is None:
        return
    sizes = "、".join(rung.name.removeprefix("v") for rung in plan.ladder.video) or "只有声音"
    said = [f"共 {len(plan.chunks)} 段，清晰度：{sizes}", *(_CODES[code] for code in plan.codes)]
    say(session, job.id, job.attempt, "\n".join(said))


def _promise(tools: Tools, work_id: str) -> int:
    """Jobs for what is not made yet; how many chunks that is. Raises JobFailed."""
    with tools.database.transaction() as session:
        tools.fence(session)
        work = session.get_one(Work, work_id, with_for_update=True)
        making = making_of(work)
        failed = failed_chunk(session, work, making.since_job if making else 0)
        if failed is None:
            join(session, work)
            return promise_chunks(session, work)
        work.state = "failed"
    with tools.database.transaction() as session:
        stop_chunks(session, work_id)
    number, why = failed
    raise JobFailed(
        "chunk_failed",
        f"第 {number + 1} 段没有做成，做好的各段保留 {KEPT.days} 天，可以再试一次。{why}",
        retry=False,
    )


# --- the end ---------------------------------------------------------------------------------


def _finish(tools: Tools, work_id: str, beat: Beat) -> dict[str, Any]:
    beat(MADE_PERMILLE / 1000, "正在做封面")
    poster = _poster(tools, work_id, beat)
    beat(0.995, "正在登记")
    with tools.database.transaction() as session:
        tools.fence(session)
        work = session.get_one(Work, work_id, with_for_update=True)
        if work.state != "making" or not join(session, work):
            raise JobWaits(LOOK_SECONDS)
        result = _publish(session, work, poster)
        kept = _keys(session, work)
        token = work.media_token
    _sweep(tools, token, kept)
    return result


def _publish(session: Session, work: Work, poster: str | None) -> dict[str, Any]:
    making = making_of(work)
    assert making is not None
    missing, pictures, size = 0, 0, 0
    for chunk in session.scalars(select(Chunk).where(Chunk.work_id == work.id)):
        made = [rung for rung in made_of(chunk) if rung.kind == "video"]
        missing += max((rung.missing for rung in made), default=0)
        pictures += max((rung.samples for rung in made), default=0)
    size = int(
        session.scalar(
            select(func.coalesce(func.sum(Segment.size_bytes), 0))
            .join(Rendition, Rendition.id == Segment.rendition_id)
            .where(Rendition.token == work.media_token)
        )
        or 0
    )
    work.state = "ready"
    work.duration_ticks = making.end
    work.poster_key = poster or work.poster_key
    work.size_bytes = size
    work.published_at = work.published_at or dt.datetime.now(dt.UTC)
    work.making = {**work.making, "missing": missing}
    upload = session.scalars(
        select(Upload).where(Upload.work_id == work.id).with_for_update()
    ).one_or_none()
    if upload is not None:
        register_upload(session, upload, work)
        upload.state = "registered"
        upload.changed_at = dt.datetime.now(dt.UTC)
    session.flush()
    promise_stills(session, work.media_token)
    return {
        "work_id": work.id,
        "pictures": pictures,
        "missing": missing,
        "seconds": making.end / TICKS,
        "chunks": making.chunks,
        "codes": making.codes,
    }


def _poster(tools: Tools, work_id: str, beat: Beat) -> str | None:
    with tools.database.transaction() as session:
        token = session.get_one(Work, work_id).media_token
        parts = plan_parts(session, token, "video", candidate_slots(session, token))
    if not parts:
        return None
    with tools.work_folder("poster") as folder:
        files = []
        for index, part in enumerate(parts):
            files.append(folder / f"part{index}.mp4")
            join_part(tools.storage, part, files[-1], lambda: beat(None, None))
        picture = choose_poster(tools.ffmpeg, files, folder, lambda _share, _note: beat(None, None))
    if picture is None:
        return None
    key = f"works/{token}/poster.jpg"
    tools.storage.put_bytes(key, picture)
    return key


def _keys(session: Session, work: Work) -> set[str]:
    """Chunk files that rows name."""
    chunks = session.scalars(select(Chunk).where(Chunk.work_id == work.id))
    return {rung.key for chunk in chunks for rung in made_of(chunk)}


def _sweep(tools: Tools, token: str, kept: set[str]) -> None:
    """Files of attempts that were lost after they had put theirs."""
    for key in list(tools.storage.list(f"works/{token}/")):
        if key not in kept and _CHUNK_FILE.fullmatch(key):
            tools.storage.delete(key)


# --- giving up -------------------------------------------------------------------------------


def abandon(session: Session, work_id: str) -> bool:
    """A work that somebody cancelled, or that failed and was left so: nothing of it stands any
    more, and its files will go. The original stays, so that one can try again. False: it was not
    being made.

    The caller has ended the jobs (``stop_chunks`` first, then the whole's), in that order.
    """
    work = session.get(Work, work_id, with_for_update=True)
    if work is None or work.kind != "upload" or work.state not in ("making", "failed"):
        return False
    if work.state == "making":
        work.making = {**work.making, "cancelled": True}
    work.state = "failed"
    wipe(session, work)
    enqueue(
        session,
        kind=CLEAN,
        queue="vod",
        args={"work_id": work.id},
        unique_key=f"{CLEAN}:{work.id}",
        centre_id=work.centre_id,
        broadcast_id=work.broadcast_id,
        title=work.title,
    )
    return True


def fail(tools: Tools, work_id: str) -> None:
    """The whole has failed for good: nothing of it is shown; what is made waits for a next try."""
    with tools.database.transaction() as session:
        stop_chunks(session, work_id)
        work = session.get(Work, work_id, with_for_update=True)
        if work is not None and work.state == "making":
            work.state = "failed"


def clean(tools: Tools, work_id: str) -> dict[str, Any]:
    """Take away what an abandoned work has left in storage. Raises JobWaits while a chunk that
    was asked to stop has not done so."""
    with tools.database.transaction() as session:
        work = session.get(Work, work_id, with_for_update=True)
        if work is None or work.state != "failed":
            return {"deleted": 0}
        if session.scalar(select(func.count()).where(Chunk.work_id == work_id)):
            return {"deleted": 0}
        if open_chunk_jobs(session, work_id):
            raise JobWaits(LOOK_SECONDS / 4)
        # Under the work's lock: nobody can have begun it anew meanwhile.
        return {"deleted": tools.storage.delete_prefix(f"works/{work.media_token}/")}


def settle(session: Session) -> int:
    """Works still "making" whose job has ended without a word (its worker lost each time it was
    tried, or cancelled while it waited) are failed; how many."""
    open_job = exists().where(Job.unique_key == f"{KIND}:" + Work.id, Job.state.in_(OPEN))
    found = session.scalars(
        select(Work.id).where(Work.kind == "upload", Work.state == "making", ~open_job)
    ).all()
    for work_id in found:
        job = session.scalars(
            select(Job)
            .where(Job.kind == KIND, Job.args["work_id"].astext == work_id)
            .order_by(Job.id.desc())
            .limit(1)
        ).one_or_none()
        stop_chunks(session, work_id)
        if job is not None and job.state == "cancelled":
            abandon(session, work_id)
        else:
            session.get_one(Work, work_id, with_for_update=True).state = "failed"
    return len(found)


def put_away(session: Session, now: dt.datetime) -> int:
    """Failed works that nobody has tried again for ``KEPT`` give back what was made of them;
    how many. Another try makes it anew."""
    of_it = (Job.kind == KIND, Job.args["work_id"].astext == Work.id)
    last = select(func.max(Job.ended_at)).where(*of_it).scalar_subquery()
    found = session.scalars(
        select(Work.id).where(
            Work.kind == "upload",
            Work.state == "failed",
            exists().where(Chunk.work_id == Work.id),
            ~exists().where(*of_it, Job.state.in_(OPEN)),
            func.coalesce(last, Work.created_at) < now - KEPT,
        )
    ).all()
    return sum(abandon(session, work_id) for work_id in found)
