"""Registered footage as local files that FFmpeg can read: chosen, fetched, joined, measured.

Segments of one rendition and one init section, joined behind that init section, are a whole
fragmented MP4 whose timestamps are on the air timeline. A new init section (a reconnect with
other settings, another rung where the best one is missing) begins another file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import IO, Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from catalog.air import renditions
from catalog.models import TIMESCALE, AirItem, InitSection, Rendition, Segment
from infra.storage import NotFound, Storage
from transcode.fmp4 import model as fmp4
from transcode.fmp4.reader import FragmentReader

_CHUNK: Final = 8 << 20

HOLE_FRAMES: Final = 8
"""Time without a picture, in usual frame lengths, from which a frame is not just a long one."""

Step = Callable[[], None]
"""Called between chunks; what it raises (cancelled) ends the work."""


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes in storage: an object, or a range of one."""

    key: str
    offset: int
    size: int


@dataclass(slots=True)
class Part:
    """Segments that make one file: in order, of one rendition, behind one init section."""

    rendition: Rendition
    init: Blob
    segments: list[Blob] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes of the joined file."""
        return self.init.size + sum(blob.size for blob in self.segments)


def slots_around(session: Session, token: str, start: int, end: int) -> tuple[int, int] | None:
    """First and last msn that may hold frames of [start, end) ticks; None when there are none.

    One slot more on either side: a frame may be shown a little after the time its segment ends
    at, and an open GOP needs the one before to be decoded.
    """
    first = session.scalar(
        select(func.min(AirItem.msn)).where(
            AirItem.token == token,
            AirItem.start_ticks < end,
            AirItem.start_ticks + AirItem.duration_ticks > start,
        )
    )
    last = session.scalar(
        select(func.max(AirItem.msn)).where(AirItem.token == token, AirItem.start_ticks < end)
    )
    return None if first is None or last is None else (max(0, first - 1), last + 1)


def plan_parts(
    session: Session, token: str, kind: str, msns: Sequence[int], *, smallest: bool = False
) -> list[Part]:
    """The best footage of ``kind`` ("video": tallest rung first, slot by slot) for these slots;
    ``smallest``: the lowest rung first, for looking at rather than for keeping."""
    rungs = [r for r in renditions(session, token) if r.kind == kind]
    if smallest:
        rungs.reverse()
    if not rungs or not msns:
        return []
    rank = {rung.id: index for index, rung in enumerate(rungs)}
    inits = {
        (row.rendition_id, row.number): Blob(row.storage_key, row.byte_offset or 0, row.size_bytes)
        for row in session.scalars(select(InitSection).where(InitSection.rendition_id.in_(rank)))
    }
    rows = session.execute(
        select(
            Segment.msn,
            Segment.rendition_id,
            Segment.init_number,
            Segment.storage_key,
            Segment.byte_offset,
            Segment.size_bytes,
        )
        .join(AirItem, (AirItem.msn == Segment.msn) & (AirItem.token == token))
        .where(
            Segment.rendition_id.in_(rank),
            Segment.msn.in_(list(msns)),
            Segment.size_bytes > 0,
            AirItem.source == "feed",
            AirItem.gap.is_(False),
        )
    ).all()
    best: dict[int, tuple[int, int, Blob]] = {}
    for msn, rendition_id, init, key, offset, size in rows:
        if msn not in best or rank[rendition_id] < rank[best[msn][0]]:
            best[msn] = (rendition_id, init, Blob(key, offset, size))
    parts: list[Part] = []
    open_key: tuple[int, int] | None = None
    for msn in sorted(best):
        rendition_id, init, blob = best[msn]
        if (rendition_id, init) != open_key:
            open_key = (rendition_id, init)
            parts.append(Part(rungs[rank[rendition_id]], inits[open_key]))
        parts[-1].segments.append(blob)
    return parts


def join_part(storage: Storage, part: Part, path: Path, step: Step) -> int:
    """Write a part to a local file, in bounded memory; its size. Raises StorageError, OSError."""
    with path.open("wb") as out:
        for blob in (part.init, *part.segments):
            _append(storage, blob, out, step)
        return out.tell()


def _append(storage: Storage, blob: Blob, out: IO[bytes], step: Step) -> None:
    local = storage.local_path(blob.key)
    if local is not None and local.exists():
        _append_local(local, blob, out, step)
        return
    at, end = blob.offset, blob.offset + blob.size
    while at < end:
        data = storage.open_range(blob.key, at, min(end, at + _CHUNK))
        if not data:
            raise NotFound(f"{blob.key}: ends at byte {at}, {end} are registered")
        out.write(data)
        at += len(data)
        step()


def _append_local(local: Path, blob: Blob, out: IO[bytes], step: Step) -> None:
    out.flush()
    with local.open("rb", buffering=0) as source:
        at, end = blob.offset, blob.offset + blob.size
        while at < end:
            sent = os.sendfile(out.fileno(), source.fileno(), at, min(_CHUNK, end - at))
            if not sent:
                raise NotFound(f"{blob.key}: ends at byte {at}, {end} are registered")
            at += sent
            step()
    out.seek(0, os.SEEK_END)


@dataclass(frozen=True, slots=True)
class Frame:
    """When a coded frame is shown, in ticks of the air timeline."""

    pts: int
    duration: int

    @property
    def end(self) -> int:
        return self.pts + self.duration


@dataclass(slots=True)
class Measured:
    """What a joined file holds."""

    video: fmp4.Track | None = None
    audio: fmp4.Track | None = None
    frames: list[Frame] = field(default_factory=list)
    """Pictures; of a file without any, its audio frames. In presentation order."""


def measure(path: Path, step: Step) -> Measured:
    """Read the tables of a joined file (no decoding). Raises Fmp4Error."""
    found = Measured()
    reader = FragmentReader()
    main: fmp4.Track | None = None
    shown: list[int] = []
    with path.open("rb") as source:
        while data := source.read(1 << 20):
            for item in reader.feed(data):
                if isinstance(item, fmp4.InitSection):
                    found.video, found.audio = item.track("video"), item.track("audio")
                    main = found.video or found.audio
                elif main is not None:
                    shown += [
                        (sample.dts + sample.cts) * TIMESCALE // main.timescale
                        for sample in item.samples
                        if sample.track_id == main.track_id
                    ]
            step()
    found.frames = _frames(sorted(shown))
    return found


def _frames(shown: list[int]) -> list[Frame]:
    """Each frame lasts until the next one. The durations in the file are of another order, that
    of decoding. Before a hole, and at the end, a frame lasts as long as most do."""
    steps = [after - before for before, after in pairwise(shown)]
    usual = sorted(steps)[len(steps) // 2] if steps else TIMESCALE // 25
    frames = [
        Frame(pts, step if step <= HOLE_FRAMES * usual else usual)
        for pts, step in zip(shown, steps, strict=False)
    ]
    return [*frames, *(Frame(pts, usual) for pts in shown[-1:])]
