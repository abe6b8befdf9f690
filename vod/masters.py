"""Masters for handing on: each record's media as one file, MP4 where it is moving pictures.

A clip has its MP4 already. A recording or an uploaded work is its best registered footage, copied
frame by frame into one file (by the smart cut where settings changed in the middle: it encodes
only what does not fit the rest); a take is its log in another container. Slates and gaps have no
pictures, so none are in it.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import ffmpeg
from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog.air import air_end
from catalog.models import AirItem, Extra, Take, Work
from catalog.sharing.packages import Packed
from infra.jobs import JobFailed, enqueue
from infra.storage import Storage
from infra.tables import Job
from transcode.fmp4 import model as fmp4
from transcode.fmp4.reader import FragmentReader
from transcode.sandbox import input_limits
from vod import smartcut
from vod.encode import Beat, EncodeError, Patience, run_ffmpeg
from vod.footage import Part, Step, join_part, plan_parts
from vod.shelving import digest_of
from vod.storyboard import keep_extra
from vod.tools import Tools

TAKE_CODECS: Final = "h264,hevc,av1,libdav1d,vp9,libvpx-vp9,aac,opus,libopus,mp3,mp3float"
"""Of takes, as encoders may send them: they are only copied, but FFmpeg looks into them."""
KIND: Final = "master"
KEEP: Final = dt.timedelta(days=7)
"""So long a master made on somebody's wish is kept; after that it is made again."""
_STALL_SECONDS: Final = 120.0
_SHARE_MADE: Final = 0.85


@dataclass(frozen=True, slots=True)
class Master:
    """A record's media as a local file."""

    path: Path
    extension: str
    borrowed: bool
    """Storage's own file, not to be removed."""


# --- a work's MP4, for staff -----------------------------------------------------------------


def master_key(session: Session, work: Work) -> str | None:
    """Where the MP4 of a ready work lies by now; None while there is none."""
    if work.mp4_key is not None:
        return work.mp4_key
    made = session.get(Extra, (work.media_token, KIND))
    return made.storage_key if made is not None else None


def request_master(session: Session, work: Work) -> Job:
    """Promise a work's MP4; asked twice it is made once."""
    return enqueue(
        session,
        kind=KIND,
        queue="vod",
        args={"work_id": work.id},
        unique_key=f"{KIND}:{work.id}",
        broadcast_id=work.broadcast_id,
        centre_id=work.centre_id,
        title=work.title,
    )


def latest_job(session: Session, work: Work) -> Job | None:
    """The job that makes, or made, the MP4."""
    query = select(Job).where(Job.kind == KIND, Job.args["work_id"].astext == work.id)
    return session.scalars(query.order_by(Job.id.desc()).limit(1)).first()


def make_master(tools: Tools, work_id: str, beat: Beat) -> dict[str, Any]:
    """Make a work's MP4 and register it; one that is there stays.

    Raises JobFailed, EncodeError, StorageError, Fmp4Error and what ``beat`` raises.
    """
    with tools.database.transaction() as session:
        work = session.get(Work, work_id)
        if work is None or work.state != "ready":
            raise JobFailed("work_gone", "这件作品不在了，或还没有做好。", retry=False)
        if (known := master_key(session, work)) is not None:
            return {"key": known}
        token = work.media_token
    key = f"extras/{token}/{KIND}.mp4"

    def making(share: float | None, note: str | None) -> None:
        beat(None if share is None else share * _SHARE_MADE, note)

    with tools.work_folder(KIND) as folder:
        beat(0.0, "正在合成 MP4")
        made = footage_master(tools, token, folder, making)
        if made is None:
            raise JobFailed("work_empty", "这件作品没有录到画面或声音。", retry=False)
        beat(_SHARE_MADE, "正在保存")
        digest, size = digest_of(made.path, _step(beat))
        tools.require_room(size)
        tools.storage.put_file(key, made.path)
        with tools.database.transaction() as session:
            tools.fence(session)
            keep_extra(session, token, KIND, key, {"bytes": size, "sha256": digest})
    return {"key": key, "bytes": size}


def drop_masters(session: Session, storage: Storage, now: dt.datetime) -> int:
    """Forget masters that were made a while ago, file and row; how many."""
    # The file first: should this transaction fail, the row leads here again the next time.
    old = session.scalars(
        select(Extra).where(Extra.kind == KIND, Extra.made_at < now - KEEP).with_for_update()
    ).all()
    for extra in old:
        storage.delete(extra.storage_key)
        session.delete(extra)
    session.flush()
    return len(old)


# --- of any record ---------------------------------------------------------------------------


def master_of(tools: Tools, record: Packed, folder: Path, beat: Beat) -> Master | None:
    """The master of a record, in ``folder`` unless storage has it at hand; None: it has no media.

    Raises StorageError, EncodeError, Fmp4Error and what ``beat`` raises.
    """
    if record.file_key is not None:
        return _stored(tools, record.file_key, folder)
    if record.take_id is not None:
        return _take(tools, record.take_id, folder, beat)
    if record.media_token is not None:
        return footage_master(tools, record.media_token, folder, beat)
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


def footage_master(tools: Tools, token: str, folder: Path, beat: Beat) -> Master | None:
    """All registered footage of a programme as one MP4; None when there is none."""
    with tools.database.transaction() as session:
        slots = list(session.scalars(select(AirItem.msn).where(AirItem.token == token)))
        video = plan_parts(session, token, "video", slots)
        audio = plan_parts(session, token, "audio", slots)
        ticks = air_end(session, token).next_ticks
    if not video and not audio:
        return None
    # Joined, as an MP4 before and after its index goes in front, and in the bag.
    tools.require_room(4 * sum(part.size for part in (*video, *audio)))
    if len(video) <= 1 and len(audio) <= 1:
        path = folder / "recording.mp4"
        _join(tools, [*video, *audio], path, folder, ticks, beat)
    else:
        # Several parts: their settings differ, and one file has one set of them.
        whole = smartcut.Piece(video, audio, 0, ticks)
        try:
            path = smartcut.cut(tools, [whole], folder, beat).mp4
        except smartcut.CutError as error:
            raise EncodeError(error.sentence) from error
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
