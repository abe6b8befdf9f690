"""What the rows say of a work in the making: its plan, what is made, what stands for viewers.

Whoever finishes a chunk registers all that are ready, in order, under the work's lock: the air
list is a prefix of the work at any moment, and the work can be watched as far as it goes.

Rows are locked in one order everywhere: jobs of chunks, the job of the whole, the work.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final

import msgspec
from sqlalchemy import BigInteger, cast, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from catalog.air import RenditionSpec, air_end, ensure_rendition, set_bandwidth
from catalog.models import TIMESCALE, AirItem, Chunk, InitSection, Rendition, Segment, Work
from infra.jobs import enqueue, report, rows, wake
from infra.jobs.states import OPEN
from infra.tables import Job
from vod.chunked.begin import KIND
from vod.chunked.encode import Recipe
from vod.chunked.pack import MadeRung
from vod.chunked.plan import ChunkPlan, Plan
from vod.originals.table import Table

CHUNK: Final = "chunk"
CLEAN: Final = "chunks_end"
"""The job that takes away what an abandoned work has left in storage."""
LOST_WORKERS_MAX: Final = 8
"""So often a chunk is begun. A worker that is lost says nothing about the chunk; what fails by
itself is given up much sooner."""
AHEAD: Final = 2
"""So many chunks of a work stand in the queue at a time: a film of three hours must not keep
tonight's poster, or somebody else's upload, waiting until the last of it is made. What is taken
by a worker is replaced at once, so any number of workers finds something to do."""
PLANNED_PERMILLE: Final = 10
MADE_PERMILLE: Final = 985
"""Of the whole, what is done when every chunk is; the rest is the poster and the books."""


class Making(msgspec.Struct, kw_only=True):
    """``Work.making`` of an upload. Ticks of the work's timeline."""

    recipe: Recipe
    picture_index: int
    chunks: int
    end: int
    pictures: int
    target_duration: int
    codes: list[str]
    file_bytes: int
    cancelled: bool = False
    since_job: int = 0
    """Chunk jobs up to this one belong to an earlier try."""
    missing: int = 0
    """Pictures that could not be decoded."""


def making_of(work: Work) -> Making | None:
    """How a planned work is made; None before it is planned."""
    return msgspec.convert(work.making, Making) if "recipe" in work.making else None


def write_plan(session: Session, work: Work, table: Table, plan: Plan, file_bytes: int) -> None:
    """Write a work's plan and its chunks' rows, in the caller's transaction."""
    rate = plan.frame_rate
    recipe = Recipe(
        plan.ladder.to_json(),
        None if rate is None else (rate.numerator, rate.denominator),
        table.picture if rate is not None else None,
        table.sound.index if table.sound is not None else -1,
        plan.reorder,
    )
    making = Making(
        recipe=recipe,
        picture_index=table.picture.index if table.picture is not None else -1,
        chunks=len(plan.chunks),
        end=plan.end,
        pictures=plan.pictures,
        target_duration=plan.target_duration,
        codes=plan.codes,
        file_bytes=file_bytes,
        since_job=int(work.making.get("since_job", 0)),
    )
    work.making = msgspec.to_builtins(making)
    session.execute(delete(Chunk).where(Chunk.work_id == work.id))
    session.execute(
        insert(Chunk),
        [
            {
                "work_id": work.id,
                "number": chunk.number,
                "start_ticks": chunk.start,
                "end_ticks": chunk.end,
                "first_msn": chunk.first_msn,
                "plan": msgspec.to_builtins(chunk),
            }
            for chunk in plan.chunks
        ],
    )


# --- jobs of chunks --------------------------------------------------------------------------


def chunk_key(work_id: str, number: int) -> str:
    """The unique key of a chunk's job."""
    return f"{CHUNK}:{work_id}:{number}"


def promise_chunks(session: Session, work: Work) -> int:
    """Jobs for the next chunks that are not made and have none; how many are not made."""
    waiting = session.scalars(
        select(Chunk.number)
        .where(Chunk.work_id == work.id, Chunk.state == "waiting")
        .order_by(Chunk.number)
    ).all()
    held = {key for key, _, _ in _chunk_jobs(session, work.id, open_only=True)}
    room = AHEAD - _standing(session, work.id)
    for number in waiting:
        if room <= 0:
            break
        if chunk_key(work.id, number) in held:
            continue
        room -= 1
        enqueue(
            session,
            kind=CHUNK,
            queue="vod",
            args={"work_id": work.id, "number": number},
            unique_key=chunk_key(work.id, number),
            broadcast_id=work.broadcast_id,
            centre_id=work.centre_id,
            title=work.title,
            max_attempts=LOST_WORKERS_MAX,
        )
    return len(waiting)


def _standing(session: Session, work_id: str) -> int:
    """Jobs of its chunks that a worker could take now."""
    query = select(func.count()).where(
        Job.kind == CHUNK,
        Job.unique_key.startswith(f"{CHUNK}:{work_id}:", autoescape=True),
        Job.state == "queued",
        Job.not_before.is_(None) | (Job.not_before <= func.now()),
    )
    return session.scalar(query) or 0


def failed_chunk(session: Session, work: Work, since_job: int) -> tuple[int, str] | None:
    """(number, why) of a chunk that is given up since the last try of the whole began."""
    row = session.execute(
        select(cast(Job.args["number"].astext, BigInteger), Job.error)
        .where(
            Job.kind == CHUNK,
            Job.args["work_id"].astext == work.id,
            Job.state.in_(("failed", "cancelled")),
            Job.id > since_job,
        )
        .order_by(Job.id.desc())
        .limit(1)
    ).one_or_none()
    return None if row is None else (int(row[0]), row[1] or "")


def newest_job(session: Session) -> int:
    """Id of the newest job of all."""
    return session.scalar(select(func.coalesce(func.max(Job.id), 0))) or 0


def stop_chunks(session: Session, work_id: str) -> None:
    """End the waiting jobs of a work's chunks, ask the running ones to stop."""
    for _, job_id, _ in _chunk_jobs(session, work_id, open_only=True):
        rows.cancel(session, job_id)


def open_chunk_jobs(session: Session, work_id: str) -> int:
    return len(_chunk_jobs(session, work_id, open_only=True))


def _chunk_jobs(
    session: Session, work_id: str, *, open_only: bool
) -> list[tuple[str, int, int | None]]:
    """(unique key, id, permille of a running one)."""
    query = select(Job.unique_key, Job.id, Job.state, Job.progress_permille).where(
        Job.kind == CHUNK, Job.unique_key.startswith(f"{CHUNK}:{work_id}:", autoescape=True)
    )
    if open_only:
        query = query.where(Job.state.in_(OPEN))
    return [
        (key or "", job_id, permille if state == "running" else None)
        for key, job_id, state, permille in session.execute(query.order_by(Job.id))
    ]


# --- progress --------------------------------------------------------------------------------


def tell(session: Session, work_id: str) -> bool:
    """Bring the progress of the whole up to date. False: nobody wants it any more."""
    job_id = session.scalar(
        select(Job.id).where(Job.unique_key == f"{KIND}:{work_id}", Job.state.in_(OPEN))
    )
    if job_id is None:
        return False
    permille, done, count = overall(session, work_id)
    note = f"已完成 {done}/{count} 段"
    now = time.time()
    # Reading the original's structure says nothing about how fast it is transcoded.
    return report(session, job_id, at=now, permille=permille, note=note, since=PLANNED_PERMILLE)


def go_on(session: Session, work_id: str) -> bool:
    """``tell``, and jobs for the next chunks. False: nobody wants it any more.

    The job of the whole is locked by then, so that workers do this one after another.
    """
    if not tell(session, work_id):
        return False
    work = session.get(Work, work_id)
    making = None if work is None or work.state != "making" else making_of(work)
    # Of a chunk that is given up the whole has to hear first.
    if (
        work is not None
        and making is not None
        and not failed_chunk(session, work, making.since_job)
    ):
        promise_chunks(session, work)
    return True


def overall(session: Session, work_id: str) -> tuple[int, int, int]:
    """(permille of the whole, chunks made, chunks): each chunk weighs what it is long."""
    chunks = session.execute(
        select(Chunk.number, Chunk.state, Chunk.end_ticks - Chunk.start_ticks).where(
            Chunk.work_id == work_id
        )
    ).all()
    going = {key: p for key, _, p in _chunk_jobs(session, work_id, open_only=True) if p}
    total = sum(weight for _, _, weight in chunks) or 1
    done = sum(
        weight * (1000 if state == "done" else going.get(chunk_key(work_id, number), 0))
        for number, state, weight in chunks
    )
    span = MADE_PERMILLE - PLANNED_PERMILLE
    made = sum(state == "done" for _, state, _ in chunks)
    return PLANNED_PERMILLE + span * done // (total * 1000), made, len(chunks)


# --- joining ---------------------------------------------------------------------------------


def join(session: Session, work: Work) -> bool:
    """Register every chunk that is made and whose turn it is; whether all stand now.

    The caller holds the work's row. Doing it again changes nothing.
    """
    chunks = session.scalars(
        select(Chunk).where(Chunk.work_id == work.id).order_by(Chunk.number)
    ).all()
    next_msn = air_end(session, work.media_token).next_msn
    all_stand = bool(chunks)
    for chunk in chunks:
        plan = msgspec.convert(chunk.plan, ChunkPlan)
        after = plan.first_msn + len(plan.cuts) - 1
        if after <= next_msn:
            continue
        if chunk.state != "done":
            all_stand = False
            break
        _register(session, work, plan, made_of(chunk))
        next_msn = after
    session.flush()
    return all_stand


def made_of(chunk: Chunk) -> list[MadeRung]:
    """What a chunk's worker wrote."""
    return msgspec.convert(chunk.made.get("rungs", []), list[MadeRung])


def _register(session: Session, work: Work, plan: ChunkPlan, made: Iterable[MadeRung]) -> None:
    pdt_us = int(work.created_at.timestamp() * 1_000_000)
    session.execute(
        insert(AirItem).on_conflict_do_nothing(),
        [
            {
                "token": work.media_token,
                "msn": plan.first_msn + index,
                "source": "feed",
                "take_start_ms": 0,
                "start_ticks": start,
                "duration_ticks": end - start,
                "pdt_us": pdt_us + start * 100 // 9,
            }
            for index, (start, end) in enumerate(zip(plan.cuts[:-1], plan.cuts[1:], strict=True))
        ],
    )
    for rung in made:
        rendition_id, init = _rendition(session, work, rung)
        session.execute(
            insert(Segment).on_conflict_do_nothing(),
            [
                {
                    "rendition_id": rendition_id,
                    "msn": segment.msn,
                    "init_number": init,
                    "storage_key": rung.key,
                    "byte_offset": segment.offset,
                    "size_bytes": segment.size,
                    "duration_ticks": segment.duration,
                }
                for segment in rung.segments
            ],
        )
        _say_bandwidth(session, rendition_id)


def _rendition(session: Session, work: Work, rung: MadeRung) -> tuple[int, int]:
    """The rung's row and its init section's number: the same bytes keep the same number."""
    making = msgspec.convert(work.making, Making)
    made = {r.name: r for r in making.recipe.rungs}
    rate = making.recipe.frame_rate
    rendition_id = ensure_rendition(
        session,
        work.media_token,
        RenditionSpec(
            rung.name, rung.kind, made[rung.name].copied and rung.kind == "video", rung.codecs,
            rung.width, rung.height,
            rate[0] / rate[1] if rate and rung.kind == "video" else None,
        ),
    )  # fmt: skip
    known = session.execute(
        select(InitSection.number, InitSection.sha256)
        .where(InitSection.rendition_id == rendition_id)
        .order_by(InitSection.number)
    ).all()
    for number, digest in known:
        if digest == rung.init_sha256:
            return rendition_id, number
    session.add(
        InitSection(
            rendition_id=rendition_id,
            number=len(known),
            sha256=rung.init_sha256,
            storage_key=rung.key,
            byte_offset=0,
            size_bytes=rung.init_size,
        )
    )
    session.flush()
    return rendition_id, len(known)


def _say_bandwidth(session: Session, rendition_id: int) -> None:
    """Peak and mean over what stands, in bits per second."""
    bits = Segment.size_bytes * 8 * TIMESCALE
    peak, size, ticks = session.execute(
        select(
            func.max(bits / func.greatest(Segment.duration_ticks, 1)),
            func.sum(Segment.size_bytes),
            func.sum(Segment.duration_ticks),
        ).where(Segment.rendition_id == rendition_id)
    ).one()
    average = int(size or 0) * 8 * TIMESCALE // max(1, int(ticks or 0))
    set_bandwidth(session, rendition_id, peak=int(peak or 0), average=average)


def wipe(session: Session, work: Work) -> None:
    """Take back every row of a work's media, and its chunks."""
    session.execute(delete(AirItem).where(AirItem.token == work.media_token))
    session.execute(delete(Rendition).where(Rendition.token == work.media_token))
    session.execute(delete(Chunk).where(Chunk.work_id == work.id))


def wake_whole(session: Session, work_id: str) -> None:
    """The job of the whole may look again."""
    job_id = session.scalar(
        select(Job.id).where(Job.unique_key == f"{KIND}:{work_id}", Job.state.in_(OPEN))
    )
    if job_id is not None:
        wake(session, job_id)
