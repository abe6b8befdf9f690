"""Masters for handing on: each record's media as one file, MP4 where it is moving pictures.

A clip has its MP4 already. A recording is the best registered footage of its show, copied frame
by frame into one file (encoded anew only where encoder settings changed in the middle); a take is
its log in another container. Slates and gaps have no pictures, so none are in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import ffmpeg
from sqlalchemy import select

from catalog.air import air_end
from catalog.models import TIMESCALE, AirItem, Broadcast, Take
from catalog.sharing.packages import Packed
from transcode.fmp4 import model as fmp4
from transcode.fmp4.reader import FragmentReader
from transcode.sandbox import input_limits
from vod.cutting import cut_output, gather
from vod.encode import Beat, Patience, run_ffmpeg
from vod.footage import Part, Step, join_part, plan_parts
from vod.tools import Tools

TAKE_CODECS: Final = "h264,hevc,av1,libdav1d,vp9,libvpx-vp9,aac,opus,libopus,mp3,mp3float"
"""Of takes, as encoders may send them: they are only copied, but FFmpeg looks into them."""
_STALL_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class Master:
    """A record's media as a local file."""

    path: Path
    extension: str
    borrowed: bool
    """Storage's own file, not to be removed."""


def master_of(tools: Tools, record: Packed, folder: Path, beat: Beat) -> Master | None:
    """The master of a record, in ``folder`` unless storage has it at hand; None: it has no media.

    Raises StorageError, EncodeError, Fmp4Error and what ``beat`` raises.
    """
    if record.file_key is not None:
        return _stored(tools, record.file_key, folder)
    if record.take_id is not None:
        return _take(tools, record.take_id, folder, beat)
    if record.broadcast_id is not None:
        return _recording(tools, record.broadcast_id, folder, beat)
    return None


def _stored(tools: Tools, key: str, folder: Path) -> Master:
    extension = key.rpartition("/")[2].rpartition(".")[2] or "bin"
    local = tools.storage.local_path(key)
    if local is not None and local.exists():
        return Master(local, extension, borrowed=True)
    tools.require_room(2 * (tools.storage.size(key) or 0))
    path = folder / f"stored.{extension}"
    tools.storage.fetch(key, path)
    return Master(path, extension, borrowed=False)


def _take(tools: Tools, take_id: str, folder: Path, beat: Beat) -> Master | None:
    with tools.database.transaction() as session:
        take = session.get(Take, take_id)
        key = take.storage_key if take is not None else None
        length = (take.end_ms or 0) - take.first_ms if take is not None else 0
    if key is None:
        return None
    log = _stored(tools, key, folder)
    tools.require_room(2 * log.path.stat().st_size)
    path = folder / "take.mp4"
    source = ffmpeg.input(f"file:{log.path}", **input_limits(codecs=TAKE_CODECS))
    _copy(tools, [source], path, length * 1000, beat)
    if not log.borrowed:
        log.path.unlink()
    return Master(path, "mp4", borrowed=False)


def _recording(tools: Tools, broadcast_id: str, folder: Path, beat: Beat) -> Master | None:
    with tools.database.transaction() as session:
        token = session.get_one(Broadcast, broadcast_id).media_token
        slots = list(session.scalars(select(AirItem.msn).where(AirItem.token == token)))
        video = plan_parts(session, token, "video", slots)
        audio = plan_parts(session, token, "audio", slots)
        ticks = air_end(session, token).next_ticks
    if not video and not audio:
        return None
    # Joined, as an MP4 before and after its index goes in front, and in the bag.
    tools.require_room(4 * sum(part.size for part in (*video, *audio)))
    path = folder / "recording.mp4"
    if len(video) <= 1 and len(audio) <= 1:
        _join(tools, [*video, *audio], path, folder, ticks, beat)
    else:
        _encode(tools, video, audio, path, folder, ticks, beat)
    return Master(path, "mp4", borrowed=False)


def _join(
    tools: Tools, parts: list[Part], path: Path, folder: Path, ticks: int, beat: Beat
) -> None:
    """One part of each kind: pictures and sound are copied as they are."""
    files = []
    for index, part in enumerate(parts):
        files.append(folder / f"part{index}.mp4")
        join_part(tools.storage, part, files[-1], _step(beat))
    inputs = [ffmpeg.input(f"file:{file}", **input_limits()) for file in files]
    streams = [
        source["v:0" if part.rendition.kind == "video" else "a:0"]
        for part, source in zip(parts, inputs, strict=True)
    ]
    if len(parts) == 1 and parts[0].rendition.kind == "video" and _has_sound(files[0]):
        streams.append(inputs[0]["a:0"])
    _copy(tools, streams, path, ticks * 100 // 9, beat)
    for file in files:
        file.unlink()


def _encode(
    tools: Tools,
    video: list[Part],
    audio: list[Part],
    path: Path,
    folder: Path,
    ticks: int,
    beat: Beat,
) -> None:
    """Several parts: their settings differ, and one file has one set of them."""
    cut = gather(tools.storage, video, audio, 0, ticks, folder, _step(beat))
    if cut is None:
        return
    seconds = cut.duration / TIMESCALE
    patience = Patience(deadline=120 + 30 * seconds, stall=_STALL_SECONDS)
    length_us = cut.duration * 100 // 9
    run_ffmpeg(
        tools.ffmpeg, cut_output(cut, path), patience=patience, length_us=length_us, beat=beat
    )
    for file in {*(source.path for source in cut.video), *cut.audio}:
        file.unlink()


def _copy(tools: Tools, streams: list[Any], path: Path, length_us: int, beat: Beat) -> None:
    # Both files carry the show's clock, so it is kept; only where it begins is moved to zero.
    output = ffmpeg.output(
        *streams, f"file:{path}", f="mp4", c="copy", movflags="+faststart", map_metadata=-1,
        map_chapters=-1, avoid_negative_ts="make_zero",
    ).global_args("-copyts")  # fmt: skip
    patience = Patience(deadline=600 + length_us / 1e6, stall=_STALL_SECONDS)
    run_ffmpeg(tools.ffmpeg, output, patience=patience, length_us=length_us, beat=beat)


def _has_sound(path: Path) -> bool:
    reader = FragmentReader()
    with path.open("rb") as file:
        while data := file.read(1 << 16):
            for item in reader.feed(data):
                if isinstance(item, fmp4.InitSection):
                    return item.track("audio") is not None
    return False


def _step(beat: Beat) -> Step:
    return lambda: beat(None, None)
