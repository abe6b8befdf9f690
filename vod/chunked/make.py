"""Makes one chunk: read out of the original, encoded, packed, put, registered when it is due."""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
from sqlalchemy.orm import Session

from catalog.models import Chunk, Work
from infra.ids import secret_token
from infra.jobs import JobCancelled
from vod.chunked.encode import Recipe, chunk_output
from vod.chunked.pack import MadeRung, pack_pictures, pack_sound
from vod.chunked.plan import ChunkPlan
from vod.chunked.rows import Making, go_on, join, making_of, wake_whole
from vod.encode import Beat, Patience, run_ffmpeg
from vod.originals.clock import TICKS
from vod.originals.confined import Excerpt, excerpt
from vod.originals.excerpt import SAMPLE_BYTES
from vod.originals.wanted import SOUND_FRAME
from vod.tools import Tools

_SHARE_READ: Final = 0.05
_SHARE_ENCODED: Final = 0.95
_TELL_SECONDS: Final = 3.0
_STALL_SECONDS: Final = 120.0
_SLOWEST: Final = 60
"""Encoding slower than this many times the footage's length is given up."""
_EXTRA_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class _Order:
    """A chunk as the rows describe it."""

    work_id: str
    token: str
    original: str
    making: Making
    chunk: ChunkPlan

    @property
    def recipe(self) -> Recipe:
        return self.making.recipe


def make_chunk(tools: Tools, work_id: str, number: int, beat: Beat) -> dict[str, Any]:
    """Make a chunk and register what is due; doing it again changes nothing.

    Raises ReadError, EncodeError, PackError, Fmp4Error, StorageError, JobCancelled when nobody
    wants the work any more, and what ``beat`` raises. Nothing of the chunk stands then.
    """
    order = _read_order(tools, work_id, number)
    if order is None:
        return {"work_id": work_id, "chunk": number, "state": "done before"}
    tools.require_room(_room(order))
    with tools.work_folder("chunk") as folder:
        beat = _telling(tools, work_id, beat)
        beat(0.0, "正在读取原片")
        made = _make(tools, order, folder, beat)
        beat(_SHARE_ENCODED, "正在保存")
        missing = max(rung.missing for rung, _ in made)
        rungs = _put(tools, order, made, lambda: beat(None, None))
    # Apart from the rows above: whoever locks a work holds the job of the whole before it.
    with tools.database.transaction() as session:
        go_on(session, work_id)
        wake_whole(session, work_id)
    pictures = max((rung.samples for rung in rungs if rung.kind == "video"), default=0)
    return {"work_id": work_id, "chunk": number, "pictures": pictures, "missing": missing}


def _read_order(tools: Tools, work_id: str, number: int) -> _Order | None:
    with tools.database.transaction() as session:
        work = session.get(Work, work_id)
        chunk = session.get(Chunk, (work_id, number))
        making = None if work is None else making_of(work)
        if work is None or chunk is None or making is None or work.state != "making":
            raise JobCancelled
        if chunk.state == "done":
            return None
        return _Order(
            work.id, work.media_token, work.master_key or "", making,
            msgspec.convert(chunk.plan, ChunkPlan),
        )  # fmt: skip


def _room(order: _Order) -> int:
    """Bytes the work folder and storage will take at most, roughly."""
    share = (order.chunk.end - order.chunk.start) / max(1, order.making.end)
    bits = sum(rung.bit_rate for rung in order.recipe.rungs)
    seconds = (order.chunk.end - order.chunk.start) // TICKS + 2
    sound = order.chunk.audio
    frames = 0 if sound is None else sound.after_frame - sound.first_frame
    samples = frames * SOUND_FRAME * SAMPLE_BYTES
    return int(2 * order.making.file_bytes * share) + bits * seconds // 2 + samples + _EXTRA_BYTES


def _telling(tools: Tools, work_id: str, beat: Beat) -> Beat:
    """A beat that also brings the whole's progress up to date, keeps the queue filled, and hears
    that it is over."""
    told = time.monotonic()

    def beating(share: float | None, note: str | None) -> None:
        nonlocal told
        beat(share, note)
        if time.monotonic() - told >= _TELL_SECONDS:
            told = time.monotonic()
            with tools.database.transaction() as session:
                wanted = go_on(session, work_id)
            if not wanted:
                raise JobCancelled

    return beating


def _make(tools: Tools, order: _Order, folder: Path, beat: Beat) -> list[tuple[MadeRung, Path]]:
    """Every rung's file in ``folder``."""
    recipe, chunk = order.recipe, order.chunk
    pictures = folder / recipe.pictures_name if chunk.video is not None else None
    copied = folder / "copied.mp4" if recipe.copied is not None else None
    samples = folder / "samples.f32" if chunk.audio is not None and recipe.has_sound else None

    def read(share: float | None, note: str | None) -> None:
        beat(None if share is None else share * _SHARE_READ, note)

    wanted = Excerpt(
        chunk.video, chunk.audio, order.making.picture_index, recipe.sound_index,
        (chunk.start, chunk.end), pictures, copied, samples,
    )  # fmt: skip
    excerpt(tools, order.original, wanted, folder, read)
    _encode(tools, order, pictures, samples, folder, beat)

    def step() -> None:
        beat(None, None)

    made = []
    for rung in recipe.rungs:
        target = folder / f"{rung.name}.packed"
        if rung.kind == "audio":
            made.append((pack_sound(folder / "a.mp4", target, chunk, step), target))
        else:
            source = copied if rung.copied and copied is not None else folder / f"{rung.name}.mp4"
            delay = recipe.delay(rung)
            made.append((pack_pictures(source, target, chunk, rung.name, delay, step), target))
            source.unlink()
    return made


def _encode(
    tools: Tools, order: _Order, pictures: Path | None, samples: Path | None, folder: Path,
    beat: Beat,
) -> None:  # fmt: skip
    output = chunk_output(order.recipe, order.chunk, pictures, samples, folder)
    if output is not None:
        lasts = order.chunk.end - order.chunk.start
        # What is decoded before the chunk's own pictures is in FFmpeg's clock, not in its output.
        lead = order.chunk.start - order.chunk.video.zero if order.chunk.video else 0
        length_us = (lead + lasts) * 100 // 9

        def encoded(share: float | None, note: str | None) -> None:
            if share is not None:
                began = lead / (lead + lasts)
                share = max(0.0, (share - began) / (1 - began))
                share = _SHARE_READ + share * (_SHARE_ENCODED - _SHARE_READ)
            beat(share, note)

        beat(_SHARE_READ, "正在转码")
        patience = Patience(
            deadline=_STALL_SECONDS + _SLOWEST * lasts / TICKS, stall=_STALL_SECONDS
        )
        run_ffmpeg(
            tools.ffmpeg, output, patience=patience, length_us=length_us, beat=encoded, reads=()
        )
    for file in (pictures, samples):
        if file is not None:
            file.unlink()


def _put(
    tools: Tools, order: _Order, made: list[tuple[MadeRung, Path]], step: Any
) -> list[MadeRung]:
    """Files first, under names that no other attempt uses; then the rows, in one transaction."""
    mark = secret_token()[:8]
    number = order.chunk.number
    rungs = [
        msgspec.structs.replace(rung, key=chunk_file(order.token, rung.name, number, mark))
        for rung, _ in made
    ]
    done = False
    try:
        for rung, (_, path) in zip(rungs, made, strict=True):
            tools.storage.put_file(rung.key, path)
            step()
        with tools.database.transaction() as session:
            tools.fence(session)
            done = _register(session, order, rungs)
    finally:
        if not done:
            for rung in rungs:
                tools.storage.delete(rung.key)
    return rungs


def _register(session: Session, order: _Order, rungs: list[MadeRung]) -> bool:
    work = session.get_one(Work, order.work_id, with_for_update=True)
    if work.state != "making":
        raise JobCancelled
    chunk = session.get(Chunk, (order.work_id, order.chunk.number), with_for_update=True)
    if chunk is None or msgspec.convert(chunk.plan, ChunkPlan) != order.chunk:
        # Cancelled and begun anew meanwhile, with other chunks than these.
        raise JobCancelled
    if chunk.state == "done":
        return False
    chunk.state, chunk.done_at = "done", dt.datetime.now(dt.UTC)
    chunk.made = {"rungs": msgspec.to_builtins(rungs)}
    session.flush()
    join(session, work)
    return True


def chunk_file(token: str, rung: str, number: int, mark: str) -> str:
    """Storage key of a chunk's file of one rung."""
    return f"works/{token}/{rung}/c{number:05d}-{mark}.mp4"
