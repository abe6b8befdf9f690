"""What a start does about the takes a crash left open: cut, complete, close."""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Any, Final

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
    sync_file,
    sync_folder,
    write_meta,
)

ENDED_BY: Final = "ingest_died"
PLAUSIBLE_US: Final = 3_600_000_000
"""Media that came this much later than its timestamps say did not."""
HEAD_MOST: Final = 2**20
"""Decoder configurations and metadata are smaller than this."""
ENTRY_LATE_MS: Final = 60_000
"""A first keyframe later than this is no first keyframe."""

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
            meta = _rebuilt(files, take_id)
            if meta is None:
                # The ledger is told that this node cannot read it.
                _log.error("log that is not ours or cannot be read, left alone", take_id=take_id)
                continue
            _log.warning("meta file made anew from the log", take_id=take_id)
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
    _mend_preamble(files)
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
    sync_folder(files.meta.parent)
    return meta


def _rebuilt(files: TakeFiles, take_id: str) -> LogMeta | None:
    """The meta of a log whose own was lost with the power, as far as the log knows it.

    Only its row knows the feed; without a row the catalogue refuses the take.
    """
    if not any(path.exists() for path in (files.meta, files.idx, files.pre)):
        return None  # somebody else's file
    head = _leading_headers(files.flv)
    if head is None:
        return None
    codecs: dict[str, Any] = {}
    for tag in flv.scan(head):
        if tag.is_sequence_header:
            body = head[tag.offset + flv.TAG_HEADER_SIZE :][: tag.size]
            name = "video" if tag.kind == flv.VIDEO else "audio"
            codecs.setdefault(name, flv.classify(tag.kind, body).codec)
    # For a codec without a header the file's flags say at least that it is there.
    if head[4] & 1:
        codecs.setdefault("video", "unknown")
    if head[4] & 4:
        codecs.setdefault("audio", "unknown")
    entries = _entries(files.idx)
    if entries and entries[0].arrival_us and entries[0].ts_ms < ENTRY_LATE_MS:
        arrival_us = entries[0].arrival_us - entries[0].ts_ms * 1000
    else:
        arrival_us = files.flv.stat().st_mtime_ns // 1000
    return LogMeta.begin(
        take_id=take_id,
        feed_id="",
        broadcast_id="",
        first_arrival_us=arrival_us,
        codecs=codecs,
        preamble_size=len(head),
    )


def _leading_headers(path: Path) -> bytes | None:
    """What stands before a log's first frame; None when the file is no log."""
    with open(path, "rb") as file:
        start = file.read(HEAD_MOST)
    if not start.startswith(b"FLV\x01"):
        return None
    end = len(flv.header())
    for tag in flv.scan(start):
        body = start[tag.offset + flv.TAG_HEADER_SIZE :][: tag.size]
        info = flv.classify(tag.kind, body)
        if tag.timestamp_ms or info.is_coded:
            break
        end = tag.end
    return start[:end] if len(start) >= end else None


def _mend_preamble(files: TakeFiles) -> None:
    """Make the preamble anew when it is not what the log begins with."""
    kept = files.pre.read_bytes() if files.pre.exists() else b""
    with open(files.flv, "rb") as file:
        if kept and file.read(len(kept)) == kept:
            return
    head = _leading_headers(files.flv)
    if head is not None:
        files.pre.write_bytes(head)
        sync_file(files.pre)


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
