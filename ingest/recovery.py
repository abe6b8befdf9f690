"""What a start does about the takes a crash left open: cut, complete, close."""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Final

import structlog

from ingest import flv
from ingest.log import (
    INDEX_MIN_STEP_MS,
    INDEX_RECORD,
    Counts,
    IndexEntry,
    LogMeta,
    LogShelf,
    TakeFiles,
    read_meta,
    write_meta,
)

ENDED_BY: Final = "ingest_died"
PLAUSIBLE_US: Final = 3_600_000_000
"""Media that came this much later than its timestamps say did not."""

_log = structlog.get_logger(__name__)


def recover(shelf: LogShelf) -> list[LogMeta]:
    """Repair every take that is not closed; return all closed takes not yet booked as such.

    Reads a log from its last checkpoint on, so the time taken does not grow with the show.
    """
    unbooked: list[LogMeta] = []
    for take_id in list(shelf.takes()):
        files = TakeFiles(shelf.folder, take_id)
        meta = read_meta(files.meta)
        if meta is None:
            # The meta file is written before the first media, so this take has none of ours.
            _log.error("log without a meta file, left alone", take_id=take_id)
            continue
        if meta.state == "open":
            meta = recover_take(files, meta)
            _log.warning(
                "take recovered",
                take_id=take_id,
                size_bytes=meta.counts.size,
                end_ms=meta.counts.end_ms,
            )
        if meta.booked not in ("closed", "refused"):
            unbooked.append(meta)
    return unbooked


def recover_take(files: TakeFiles, meta: LogMeta) -> LogMeta:
    """Cut a log behind its last whole tag, complete its index, and close its meta."""
    counts, fresh = _scan(files.flv, meta)
    kept = _sound_entries(files.idx, meta.counts.size)
    old = {entry.offset: entry for entry in _entries(files.idx)}
    last = kept[-1] if kept else IndexEntry(-INDEX_MIN_STEP_MS, 0, meta.first_arrival_us)
    for entry in fresh:
        if entry.ts_ms >= last.ts_ms + INDEX_MIN_STEP_MS:
            # The arrival that was noted, if its record got to the disk whole, else one estimated.
            known = old.get(entry.offset)
            sound = (
                known is not None
                and known.ts_ms == entry.ts_ms
                and last.arrival_us <= known.arrival_us <= entry.arrival_us + PLAUSIBLE_US
            )
            last = known if sound and known is not None else entry
            kept.append(last)
    index = b"".join(INDEX_RECORD.pack(*entry) for entry in kept)
    temporary = files.idx.with_suffix(".idx.tmp")
    with open(temporary, "wb") as file:
        file.write(index)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, files.idx)
    with open(files.flv, "r+b") as file:
        file.truncate(counts.size)
        os.fsync(file.fileno())
    meta.counts = counts
    meta.state = "closed"
    meta.ended_by = ENDED_BY
    meta.drop = True
    write_meta(files.meta, meta)
    return meta


def _entries(path: Path) -> list[IndexEntry]:
    data = path.read_bytes() if path.exists() else b""
    whole = len(data) // INDEX_RECORD.size * INDEX_RECORD.size
    return [IndexEntry(*record) for record in INDEX_RECORD.iter_unpack(data[:whole])]


def _sound_entries(path: Path, size: int) -> list[IndexEntry]:
    """Index entries of the part that was synced: in order, and inside it."""
    sound: list[IndexEntry] = []
    for entry in _entries(path):
        if entry.offset >= size or (sound and entry.offset <= sound[-1].offset):
            break
        sound.append(entry)
    return sound


def _scan(path: Path, meta: LogMeta) -> tuple[Counts, list[IndexEntry]]:
    """Walk the tags behind the checkpoint: the counts then, and where readers may begin."""
    at = meta.counts
    frames, first = at.video_frames, at.first_ms
    video, audio = at.last_video_ms, at.last_audio_ms
    video_step, audio_step = at.video_step_ms, at.audio_step_ms
    size = at.size
    arrival = at.last_arrival_us
    base_ms = max(video, audio, 0)
    by_sound = "video" not in meta.codecs
    fresh: list[IndexEntry] = []
    with open(path, "rb") as file:
        total = os.fstat(file.fileno()).st_size
        if total <= at.size:
            return at._replace(size=min(total, at.size)), []
        # Only the pages behind the checkpoint are ever touched.
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            for tag in flv.scan(data, at.size):
                size = tag.end
                ts_ms = tag.timestamp_ms
                if video < 0 and audio < 0:
                    first = ts_ms
                if tag.kind == flv.VIDEO and not tag.is_sequence_header:
                    frames += 1
                    video_step = ts_ms - video if video >= 0 else 0
                    video = ts_ms
                elif tag.kind == flv.AUDIO and not tag.is_sequence_header:
                    audio_step = ts_ms - audio if audio >= 0 else 0
                    audio = ts_ms
                arrival = at.last_arrival_us + max(0, ts_ms - base_ms) * 1000
                if tag.is_keyframe or (by_sound and tag.kind == flv.AUDIO):
                    fresh.append(IndexEntry(ts_ms, tag.offset, arrival))
    counts = Counts(size, frames, first, video, audio, video_step, audio_step, arrival)
    return counts, fresh
