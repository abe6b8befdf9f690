"""Compaction: a finished rendition's thousands of small files become one, and nobody notices.

Three steps, each of which may be killed anywhere and done again:

1. Join: init sections and segments, in air order, into ``replay{v}.mp4``. No row names it yet.
2. Switch: after a check of its bytes, one transaction points every row at its range of that file.
3. Clean-up, some minutes later, as a job of its own: players still hold playlists that name the
   small files. (The addresses of segments go on answering: once a show has ended, the edge asks
   the rows where they lie, and sends their range of the joined file.)

Media is in storage before a row names it, and is deleted only when no row names it any more.
"""

from __future__ import annotations

import datetime as dt
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import BigInteger, column, func, select, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session
from sqlalchemy.sql.expression import bindparam

from catalog.models import Broadcast, InitSection, Rendition, Segment
from infra.jobs import enqueue
from infra.storage import Storage
from transcode.fmp4.boxes import FREE
from vod.encode import Beat, silent
from vod.tools import Tools

CLEANUP_DELAY: Final = dt.timedelta(minutes=10)
SAMPLES: Final = 48
"""Objects compared byte for byte with their range of the joined file: the first, the last, and
others by chance. All of them are compared by size."""

_SMALL: Final = re.compile(r"(?:\d+(?:-\d+)?\.m4s|init\d+\.mp4)")
_JOINED: Final = re.compile(r"replay(\d+)\.mp4")


class CompactionError(Exception):
    """The joined file is not what the rows say; the small files stay in use."""


@dataclass(frozen=True, slots=True)
class Source:
    """One object that goes into the joined file, and the row it belongs to."""

    key: str
    size: int
    init: bool
    number: int
    """Of the init section, or the segment's media sequence number."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be joined for one rendition."""

    rendition_id: int
    name: str
    target: str
    sources: tuple[Source, ...]

    @property
    def size(self) -> int:
        """Of the joined file."""
        gaps = max(0, len(self.sources) - 1)
        return sum(source.size for source in self.sources) + gaps * len(FREE)

    def ranges(self) -> Iterator[tuple[Source, int]]:
        """Each source and its offset in the joined file."""
        at = 0
        for source in self.sources:
            yield source, at
            at += source.size + len(FREE)


def compact(tools: Tools, broadcast_id: str, beat: Beat = silent) -> dict[str, Any]:
    """Compact all renditions of a finalised broadcast. Raises CompactionError, StorageError."""
    with tools.database.transaction() as session:
        broadcast = session.get(Broadcast, broadcast_id)
        if broadcast is None or broadcast.finalized_at is None:
            return {"compacted": []}
        token = broadcast.media_token
        plans = plan(session, token)
    total = sum(p.size for p in plans) or 1
    done = 0
    for rung in plans:
        base = done

        def told(count: int, base: int = base, rung: Plan = rung) -> None:
            beat((base + count) / total, f"正在合并 {rung.name}")

        tools.require_room(rung.size)
        told(0)
        join(tools.storage, rung, told)
        verify(tools.storage, rung)
        beat(None, None)
        with tools.database.transaction() as session:
            tools.fence(session)
            switch(session, rung)
        done += rung.size
    with tools.database.transaction() as session:
        broadcast = session.get_one(Broadcast, broadcast_id)
        promise_cleanup(session, broadcast)
    return {"compacted": [rung.name for rung in plans], "bytes": done}


# --- 1. join ---------------------------------------------------------------------------------


def plan(session: Session, token: str) -> list[Plan]:
    """What is not compacted yet, largest picture first."""
    rungs = session.scalars(
        select(Rendition)
        .where(Rendition.token == token, Rendition.compacted_key.is_(None))
        .order_by(func.coalesce(Rendition.height, 0).desc(), Rendition.name)
    )
    plans = [_plan_rendition(session, token, rung) for rung in rungs]
    return [rung for rung in plans if any(not source.init for source in rung.sources)]


def _plan_rendition(session: Session, token: str, rung: Rendition) -> Plan:
    inits = {
        row.number: Source(row.storage_key, row.size_bytes, True, row.number)
        for row in session.scalars(select(InitSection).where(InitSection.rendition_id == rung.id))
    }
    rows = session.execute(
        select(Segment.msn, Segment.init_number, Segment.storage_key, Segment.size_bytes)
        .where(Segment.rendition_id == rung.id, Segment.size_bytes > 0)
        .order_by(Segment.msn)
    )
    sources: list[Source] = []
    placed: set[int] = set()
    for msn, init, key, size in rows:
        if init not in placed:
            # Before the first segment that needs it, so that the file also plays by itself.
            placed.add(init)
            sources.append(inits[init])
        sources.append(Source(key, size, False, msn))
    # An init section of a run that registered nothing: its row must not outlive its file.
    sources += [inits[number] for number in sorted(inits) if sources and number not in placed]
    return Plan(rung.id, rung.name, f"live/{token}/{rung.name}/replay1.mp4", tuple(sources))


def join(storage: Storage, rung: Plan, told: Callable[[int], None] | None = None) -> None:
    """Write the joined file. It replaces what a killed attempt left; no row names that."""
    keys = [source.key for source in rung.sources]
    sizes = storage.concat(rung.target, keys, between=FREE, progress=told)
    for source, size in zip(rung.sources, sizes, strict=True):
        if source.size != size:
            raise CompactionError(f"{source.key}: {size} bytes, {source.size} are registered")


def verify(storage: Storage, rung: Plan) -> None:
    """Compare the joined file with its sources. Raises CompactionError."""
    size = storage.size(rung.target)
    if size != rung.size:
        raise CompactionError(f"{rung.target}: {size} bytes, {rung.size} expected")
    ranges = list(rung.ranges())
    chosen = {0, len(ranges) - 1, *(i for i, (source, _) in enumerate(ranges) if source.init)}
    chosen |= set(random.sample(range(len(ranges)), min(SAMPLES, len(ranges))))
    for index in sorted(chosen):
        source, offset = ranges[index]
        if storage.open_range(rung.target, offset, offset + source.size) != storage.get(source.key):
            raise CompactionError(f"{rung.target}: differs from {source.key} at byte {offset}")


# --- 2. switch -------------------------------------------------------------------------------


def switch(session: Session, rung: Plan) -> bool:
    """Point the rows at the joined file; False when another worker has done it already.

    Raises CompactionError when rows are not those that were joined.
    """
    rendition = session.get_one(
        Rendition, rung.rendition_id, with_for_update=True, populate_existing=True
    )
    if rendition.compacted_key is not None:
        return False
    ranges = list(rung.ranges())
    segments = [(source.number, at) for source, at in ranges if not source.init]
    places = (
        func.unnest(
            bindparam("numbers", [n for n, _ in segments], type_=ARRAY(BigInteger)),
            bindparam("offsets", [at for _, at in segments], type_=ARRAY(BigInteger)),
        )
        .table_valued(column("number", BigInteger), column("at", BigInteger))
        .render_derived(name="places")
    )
    moved = session.scalars(
        update(Segment)
        .where(
            Segment.rendition_id == rung.rendition_id,
            Segment.msn == places.c.number,
            Segment.storage_key != rung.target,
        )
        .values(storage_key=rung.target, byte_offset=places.c.at)
        .returning(Segment.msn)
        .execution_options(synchronize_session=False)
    ).all()
    left = session.scalar(
        select(func.count()).where(
            Segment.rendition_id == rung.rendition_id,
            Segment.size_bytes > 0,
            Segment.storage_key != rung.target,
        )
    )
    if len(moved) != len(segments) or left:
        raise CompactionError(
            f"{rung.name}: {len(moved)} of {len(segments)} segments moved, {left} left"
        )
    for source, at in ranges:
        if source.init:
            init = session.get_one(InitSection, (rung.rendition_id, source.number))
            init.storage_key, init.byte_offset = rung.target, at
    rendition.compacted_key = rung.target
    session.flush()
    return True


# --- 3. clean-up -----------------------------------------------------------------------------


def promise_cleanup(session: Session, broadcast: Broadcast) -> None:
    """The small files will go, once no player can still be reading a playlist that names them."""
    enqueue(
        session,
        kind="compact_cleanup",
        queue="vod",
        args={"broadcast_id": broadcast.id},
        unique_key=f"compact_cleanup:{broadcast.id}",
        broadcast_id=broadcast.id,
        centre_id=broadcast.centre_id,
        title=broadcast.title,
        not_before=dt.datetime.now(dt.UTC) + CLEANUP_DELAY,
    )


def clean_up(tools: Tools, broadcast_id: str, beat: Beat = silent) -> dict[str, Any]:
    """Delete small files that no row names any more; how many.

    What to delete is found by looking, so nothing is forgotten when it is killed half-way, and
    asking the rows last means that a file in use cannot go.
    """
    with tools.database.transaction() as session:
        broadcast = session.get(Broadcast, broadcast_id)
        if broadcast is None or broadcast.finalized_at is None:
            return {"deleted": 0}
        token = broadcast.media_token
        rungs = list(
            session.execute(
                select(Rendition.id, Rendition.name).where(
                    Rendition.token == token, Rendition.compacted_key.is_not(None)
                )
            )
        )
    deleted = 0
    for rendition_id, name in rungs:
        prefix = f"live/{token}/{name}/"
        there = list(tools.storage.list(prefix))
        with tools.database.transaction() as session:
            named = _named_keys(session, rendition_id)
        if not _joined_is_there(tools.storage, named, prefix):
            # Never the last copy: should the joined file be gone, the small ones are evidence.
            raise CompactionError(f"{prefix}: the joined file is not in storage")
        for key in there:
            if key not in named and _SMALL.fullmatch(key.removeprefix(prefix)):
                tools.storage.delete(key)
                deleted += 1
                if deleted % 50 == 0:
                    beat(None, f"已清理 {deleted} 个小文件")
    return {"deleted": deleted}


def _joined_is_there(storage: Storage, named: set[str], prefix: str) -> bool:
    joined = [key for key in named if _JOINED.fullmatch(key.removeprefix(prefix))]
    return bool(joined) and all(storage.size(key) for key in joined)


def _named_keys(session: Session, rendition_id: int) -> set[str]:
    segments = session.scalars(
        select(Segment.storage_key).where(Segment.rendition_id == rendition_id).distinct()
    )
    inits = session.scalars(
        select(InitSection.storage_key).where(InitSection.rendition_id == rendition_id)
    )
    return {*segments, *inits}
