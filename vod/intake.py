"""A file that has come in whole: summed, compared, looked at under confinement, kept, handed over.

    whole? ─ sum ─ the sender's sum? ─ here already? ─ look ─ decode a little ─ keep ─ hand over

What is wrong with the file is found once and said (``Refused`` → the row, the job failed without
another try); what is wrong with us (no room, a disk away, a decoder that hung) is tried three
times. Until the last transaction nothing of it is anywhere in the catalogue.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import ffmpeg
from sqlalchemy.orm import Session

from catalog.errors import Refused
from catalog.intakes import refuse
from catalog.models import Upload
from catalog.uploads import DUPLICATE, Twin, lock_sum, twin_of
from infra.jobs import JobFailed
from infra.upload_folder import UploadFolder
from transcode.probe import ProbeHung, probe_file
from transcode.sandbox import Limits, upload_limits
from transcode.source import FileInfo
from vod import chunked
from vod.encode import Beat, EncodeError, EncodeHung, Patience, run_ffmpeg
from vod.intake_sum import sum_of
from vod.intake_words import sentence
from vod.photos import take_in_photo
from vod.tools import Tools

_DECODED_SECONDS: Final = 2
_DECODING: Final = Patience(deadline=90.0, stall=30.0)
_DECODING_LIMITS: Final = Limits(cpu_seconds=120, file_bytes=0, data_bytes=1 << 30)
_SUMMED: Final = 0.6
"""Share of the work that reading the whole file is; looking and keeping are the rest."""

_ENDINGS: Final = {
    "mov": "mp4",
    "matroska": "mkv",
    "mpegts": "ts",
    "mpeg": "mpg",
    "mpegvideo": "mpg",
    "avi": "avi",
    "flv": "flv",
    "mxf": "mxf",
    "asf": "wmv",
    "dv": "dv",
}


class Gone(Exception):
    """The upload is no longer one to be looked at: removed, or done by another attempt."""


@dataclass(slots=True)
class Found:
    """An upload as the work begins, and what has been found out about it."""

    upload: Upload
    path: Path
    sha256: str = ""
    """Once it has been summed."""


def take_in(tools: Tools, upload_id: str, beat: Beat) -> dict[str, Any]:
    """Take an upload in. Raises JobFailed (``retry`` says whether another try may help), and what
    storage and ``beat`` raise."""
    folder = UploadFolder(tools.settings.uploads_dir)
    try:
        found = _found(tools, folder, upload_id)
        try:
            made = _taken(tools, found, beat)
        except Refused as why:
            _refuse(tools, upload_id, why, found.sha256)
            if why.code != DUPLICATE:
                folder.forget(upload_id)
            raise JobFailed(why.code, sentence(why.code, why.facts), retry=False) from why
    except Gone:
        drop(tools, upload_id)
        return {"taken": False}
    folder.forget(upload_id)
    return made


def drop(tools: Tools, upload_id: str) -> None:
    """Delete what is left of an upload that was removed."""
    with tools.database.transaction() as session:
        upload = session.get(Upload, upload_id)
        if upload is not None and upload.state != "removed":
            return
    UploadFolder(tools.settings.uploads_dir).forget(upload_id)
    tools.storage.delete_prefix(_prefix(upload_id))


def give_up(tools: Tools, upload_id: str, code: str, words: str) -> None:
    """Every try failed: say so; the file stays for another."""
    with tools.database.transaction() as session:
        upload = session.get(Upload, upload_id, with_for_update=True)
        if upload is not None and upload.state == "received":
            upload.error_code, upload.error = code, words


def _found(tools: Tools, folder: UploadFolder, upload_id: str) -> Found:
    with tools.database.transaction() as session:
        upload = session.get(Upload, upload_id)
        if upload is None or upload.state != "received":
            raise Gone
    path = folder.part(upload_id)
    if not path.exists():
        raise JobFailed("upload_file_missing", sentence("upload_file_missing"))
    return Found(upload, path)


def _taken(tools: Tools, found: Found, beat: Beat) -> dict[str, Any]:
    upload, path = found.upload, found.path
    if path.stat().st_size != upload.size_bytes:
        raise Refused("upload_size")
    found.sha256 = sum_of(path, lambda share: beat(share * _SUMMED, "正在核对"))
    if upload.claimed_sha256 not in (None, found.sha256):
        raise Refused("upload_changed")
    _check_twin(tools, found)
    beat(_SUMMED, "正在检查")
    try:
        if upload.purpose == "photo":
            return _photo(tools, found, beat)
        return _recording(tools, found, beat)
    except (ProbeHung, EncodeHung) as error:
        raise JobFailed("upload_hung", sentence("upload_hung")) from error


def _check_twin(tools: Tools, found: Found) -> None:
    upload = found.upload
    if upload.technical.get("insists"):
        return
    with tools.database.transaction() as session:
        twin = twin_of(session, upload.centre_id, found.sha256, besides=upload.id)
    if twin is not None:
        raise _duplicate(twin)


def _duplicate(twin: Twin) -> Refused:
    return Refused(DUPLICATE, kind=twin.kind, id=twin.id, title=twin.title)


# --- recordings --------------------------------------------------------------------------------


def _recording(tools: Tools, found: Found, beat: Beat) -> dict[str, Any]:
    upload = found.upload
    info = probe_file(
        found.path, hours_max=tools.settings.upload_hours_max, beat=lambda: beat(None, None)
    )
    _decode_a_little(tools, found.path, info, beat)
    beat(0.7, "正在存放")
    key = f"{_prefix(upload.id)}original.{_ENDINGS.get(info.container.partition(',')[0], 'bin')}"
    tools.require_room(upload.size_bytes)
    tools.storage.put_file(key, found.path)
    beat(0.99, None)
    with tools.database.transaction() as session:
        tools.fence(session)
        row = _still_ours(session, found)
        row.storage_key = key
        row.technical = {**row.technical, "probe": _told(info)}
        work = chunked.begin(session, row)
        row.state, row.work_id = "registered", work.id
        return {"taken": True, "work_id": work.id}


def _prefix(upload_id: str) -> str:
    return f"originals/{upload_id}/"


def _still_ours(session: Session, found: Found) -> Upload:
    """The row, locked, with its sum. Raises Gone, Refused when the same came in meanwhile."""
    lock_sum(session, found.upload.centre_id, found.sha256)
    row = session.get(Upload, found.upload.id, with_for_update=True)
    if row is None or row.state != "received":
        raise Gone
    twin = twin_of(session, row.centre_id, found.sha256, besides=row.id)
    if twin is not None and not row.technical.get("insists"):
        raise _duplicate(twin)
    row.sha256 = found.sha256
    row.changed_at = dt.datetime.now(dt.UTC)
    row.error_code = row.error = None
    return row


def _decode_a_little(tools: Tools, path: Path, info: FileInfo, beat: Beat) -> None:
    """The very FFmpeg that will transcode it gets a picture out of it."""
    opened = ffmpeg.input(f"file:{path}", t=_DECODED_SECONDS, threads=1, **upload_limits())
    streams = [opened[str(info.video_index)]]
    if info.audio_index is not None:
        streams.append(opened[str(info.audio_index)])
    output = ffmpeg.output(*streams, "-", f="null", abort_on="empty_output")
    try:
        run_ffmpeg(
            tools.ffmpeg, output, patience=_DECODING, beat=lambda _s, _n: beat(None, None),
            limits=_DECODING_LIMITS, reads=(),
        )  # fmt: skip
    except EncodeHung:
        raise
    except EncodeError as error:
        raise Refused("upload_undecodable") from error


def _told(info: FileInfo) -> dict[str, Any]:
    video, audio = info.source.video, info.source.audio
    assert video is not None
    return {
        "container": info.container,
        "start_ticks": info.start_ticks,
        "duration_ticks": info.duration_ticks,
        "rotation": info.rotation,
        "bit_rate": info.source.bit_rate,
        "video": {"codec": video.codec, "width": video.width, "height": video.height,
                  "frame_rate": str(video.frame_rate), "interlaced": video.interlaced},
        "audio": audio and {"codec": audio.codec, "channels": audio.channels,
                            "sample_rate": audio.sample_rate},
    }  # fmt: skip


# --- photographs -------------------------------------------------------------------------------


def _photo(tools: Tools, found: Found, beat: Beat) -> dict[str, Any]:
    resource_id = take_in_photo(
        tools, found.upload, found.path, found.sha256, beat,
        lambda session: _still_ours(session, found),
    )  # fmt: skip
    return {"taken": True, "resource_id": resource_id}


def _refuse(tools: Tools, upload_id: str, why: Refused, sha256: str) -> None:
    facts: dict[str, Any] = {}
    if why.code == DUPLICATE:
        facts["same"] = {name: why.facts[name] for name in ("kind", "id", "title")}
    with tools.database.transaction() as session:
        tools.fence(session)
        upload = session.get(Upload, upload_id, with_for_update=True)
        if upload is None or upload.state != "received":
            return
        upload.sha256 = sha256 or None
        words = sentence(why.code, why.facts)
        refuse(session, upload, why.code, words, dt.datetime.now(dt.UTC), **facts)
