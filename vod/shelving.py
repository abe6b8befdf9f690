"""Puts a finished work on the shelf: its files into storage, then all its rows in one transaction.

Before that transaction nothing of the work is listed anywhere; a work that will not be made says
so, and what was put for it goes.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import delete, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from catalog.air import RenditionSpec, ensure_rendition
from catalog.models import AirItem, InitSection, Rendition, Segment, Work
from catalog.resources import register_clip
from infra.storage import Storage
from vod.finished import Finished
from vod.footage import Step
from vod.tools import Tools


@dataclass(frozen=True, slots=True)
class Made:
    """A finished work as it lies in a work folder, ready to be put."""

    work_id: str
    token: str
    pdt_us: int
    """Wall clock of its first picture."""
    mp4: Path
    rendition: Path | None
    """None: the MP4 itself holds it, as byte ranges."""
    poster: bytes | None
    finished: Finished
    frame_rate: float | None
    init_offset: int = 0
    """Where the init section begins in the rendition's file."""
    making: Mapping[str, Any] = field(default_factory=dict)
    """What ``Work.making`` says besides from now on."""


def publish(tools: Tools, made: Made, step: Step) -> bool:
    """Files first, then all rows in one transaction; False when somebody was there before.

    Raises StorageError, LeaseLost and what ``step`` raises; nothing is listed then.
    """
    storage = tools.storage
    finished = made.finished
    name = f"v{finished.height}" if finished.height else "a"
    base = f"works/{made.token}"
    digest, size = digest_of(made.mp4, step)
    # Named by what is in them: an attempt that lost its lease while it wrote, and goes on writing,
    # never does so over the files of the one that came after it.
    rendition_key = f"{base}/{name}/replay{int(digest[:8], 16) % 1_000_000}.mp4"
    mp4_key = rendition_key if made.rendition is None else f"{base}/download-{digest[:8]}.mp4"
    storage.put_file(mp4_key, made.mp4)
    step()
    if made.rendition is not None:
        storage.put_file(rendition_key, made.rendition)
    poster_key = None
    if made.poster is not None:
        poster_key = f"{base}/poster.jpg"
        storage.put_bytes(poster_key, made.poster)
    step()
    with tools.database.transaction() as session:
        tools.fence(session)
        work = session.get_one(Work, made.work_id, with_for_update=True)
        if work.state != "making":
            return False
        _write_air(session, made, name, rendition_key)
        work.state = "ready"
        work.duration_ticks = finished.duration
        work.mp4_key, work.poster_key = mp4_key, poster_key
        work.size_bytes, work.sha256 = size, digest
        work.making = {**work.making, **made.making}
        work.published_at = work.published_at or dt.datetime.now(dt.UTC)
        session.flush()
        register_clip(session, work)
        return True


def give_up(tools: Tools, work_id: str) -> None:
    """A work that will not be made: its row says so, and what was put for it goes.

    Raises LeaseLost (then it is for others to say), StorageError.
    """
    with tools.database.transaction() as session:
        tools.fence(session)
        work = session.get(Work, work_id, with_for_update=True)
        if work is not None and work.state == "making":
            fail(tools.storage, work)


def fail(storage: Storage, work: Work) -> None:
    """The same of a row that is locked: until its transaction ends nobody begins it anew, so that
    no file of another attempt goes. Raises StorageError."""
    storage.delete_prefix(f"works/{work.media_token}/")
    work.state = "failed"


def digest_of(path: Path, step: Step) -> tuple[str, int]:
    """SHA-256 in hexadecimal, and bytes, of a local file."""
    digest = hashlib.sha256()
    size = 0
    with path.open("rb") as file:
        while data := file.read(1 << 20):
            digest.update(data)
            size += len(data)
            step()
    return digest.hexdigest(), size


def _write_air(session: Session, made: Made, name: str, key: str) -> None:
    finished = made.finished
    # Rows of an attempt that lost its lease after this point cannot be: they come with "ready".
    session.execute(delete(AirItem).where(AirItem.token == made.token))
    session.execute(delete(Rendition).where(Rendition.token == made.token))
    rendition_id = ensure_rendition(
        session,
        made.token,
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
            byte_offset=made.init_offset,
            size_bytes=len(finished.init),
        )
    )
    session.flush()
    items, segments = [], []
    at = 0
    for msn, segment in enumerate(finished.segments):
        items.append(
            {
                "token": made.token,
                "msn": msn,
                "source": "feed",
                "take_start_ms": 0,
                "start_ticks": at,
                "duration_ticks": segment.duration,
                "pdt_us": made.pdt_us + at * 100 // 9,
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
