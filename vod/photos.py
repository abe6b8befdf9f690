"""Photographs that came in whole: read under confinement, compared with the centre's other
pictures, kept as they came, and entered in the catalogue.

JPEG (MPO too), PNG and WebP are taken; HEIC is not, for no page could show it. A photograph is
entered unconfirmed: it counts as a 图片 once somebody confirms it, like a still of a programme. The
file is kept byte for byte, for those who look after it. The public gets smaller pictures made from
it, upright, in sRGB, without what the camera wrote: where the children live, for one.
"""

from __future__ import annotations

import datetime as dt
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from catalog import pictures
from catalog.audit import SYSTEM, Actor
from catalog.clock import CHINA, china_date
from catalog.errors import Refused
from catalog.models import Broadcast, Centre, Resource, Upload, User
from catalog.picture_hash import COMPARED_EDGE, HASH_EDGE, phash, same_picture
from catalog.records import kinds
from catalog.records.fields import tidy
from catalog.records.files import (
    LARGE_EDGE,
    PIXELS_MAX,
    SMALL_EDGE,
    large_key,
    picture_key,
    small_key,
)
from catalog.records.service import Media, attach, create
from catalog.resources import event_date
from infra.storage import NotFound, Storage
from transcode.probe import ProbeHung
from transcode.sandbox import GIB, Limits, View, launcher
from vod.encode import Beat
from vod.tools import Tools

DUPLICATE: Final = "upload_duplicate"
"""What intake says of a file that is here already; so is the same picture in another packing."""
_READER: Final = Path(__file__).with_name("photo_reader.py")
_SECONDS: Final = 60.0
_LIMITS: Final = Limits(
    address_bytes=3 * GIB,
    cpu_seconds=60,
    file_bytes=64 << 20,
    open_files=64,
    data_bytes=3 * GIB // 2,
)
_TOLD_MAX: Final = 16 << 10
_LOOK_SECONDS: Final = 0.2
_EARLIEST: Final = 1990
"""A camera whose clock was never set says 1970, or 1980."""

Ours = Callable[[Session], Upload]
"""The upload's row, locked for the transaction that enters the photograph."""


@dataclass(frozen=True, slots=True)
class Photo:
    """A photograph as it was read."""

    media_type: str
    width: int
    """Upright, as the height is."""
    height: int
    taken_at: dt.datetime | None
    """As the camera's clock said."""
    camera: str
    artist: str
    phash: str
    compared: NDArray[np.uint8]
    small: Path
    large: Path


def take_in_photo(
    tools: Tools, upload: Upload, path: Path, sha256: str, beat: Beat, ours: Ours
) -> str:
    """Take a whole, summed photograph in; the id of its record. The upload's row is registered in
    the same transaction.

    Raises Refused (``upload_picture_…``, ``upload_pixels``, ``upload_bomb``, and ``DUPLICATE`` with
    ``kind``, ``id``, ``title`` of the picture it is, unless the upload insists), ProbeHung, and
    what storage, ``ours`` and ``beat`` raise; nothing is listed then.
    """
    tools.require_room(upload.size_bytes + (8 << 20))
    with tools.work_folder("photo") as folder:
        photo = read_photo(path, folder, beat)
        _check_alike(tools, upload, photo)
        media = keep_photo(tools.storage, path, upload.size_bytes, sha256, photo)
        beat(None, None)
        with tools.database.transaction() as session:
            tools.fence(session)
            pictures.lock(session, upload.centre_id)
            row = ours(session)
            if not row.technical.get("insists"):
                _refuse_alike(session, tools.storage, row.centre_id, photo)
            return _enter(session, row, photo, media)


def read_photo(path: Path, folder: Path, beat: Beat) -> Photo:
    """Read a photograph in a process of its own. Raises Refused, ProbeHung."""
    limits = {
        "pixels": PIXELS_MAX,
        "small": SMALL_EDGE,
        "large": LARGE_EDGE,
        "hash": HASH_EDGE,
        "compared": COMPARED_EDGE,
    }
    argv = [
        *launcher(_LIMITS, View((path, folder, _READER, Path(sys.prefix)), (folder,))),
        *(sys.executable, "-I", str(_READER), str(path), str(folder), json.dumps(limits)),
    ]
    code = _run(argv, beat)
    told_path = folder / "told.json"
    if not told_path.exists() or told_path.stat().st_size > _TOLD_MAX:
        # It crashed, or was killed for what it took: on this file it would again.
        raise Refused("upload_bomb" if code < 0 else "upload_picture_broken")
    told = json.loads(told_path.read_text())
    if "refused" in told:
        raise Refused(told.pop("refused"), **told)
    return Photo(
        media_type=told["media_type"],
        width=told["width"],
        height=told["height"],
        taken_at=_taken_at(told.get("taken_at", ""), told.get("offset", "")),
        camera=_camera(told.get("camera_make", ""), told.get("camera", "")),
        artist=tidy(told.get("artist", ""))[: kinds.PERSON_NAME_MAX],
        phash=phash(_grey(folder / "hash.grey", HASH_EDGE)),
        compared=_grey(folder / "compared.grey", COMPARED_EDGE),
        small=folder / "small.jpg",
        large=folder / "large.jpg",
    )


def _run(argv: list[str], beat: Beat) -> int:
    # One thread each: what draws a picture needs no more, and memory is reserved for each.
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    began = time.monotonic()
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env=env, process_group=0,
    ) as process:  # fmt: skip
        try:
            while True:
                try:
                    return process.wait(_LOOK_SECONDS)
                except subprocess.TimeoutExpired:
                    beat(None, None)
                if time.monotonic() - began > _SECONDS:
                    raise ProbeHung(f"reading a picture took longer than {_SECONDS:.0f} s")
        finally:
            # Its whole group: nothing it may have started goes on.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _grey(path: Path, edge: int) -> NDArray[np.uint8]:
    data = path.read_bytes()
    if len(data) != edge * edge:
        raise Refused("upload_picture_broken")
    return np.frombuffer(data, dtype=np.uint8).reshape(edge, edge)


def _taken_at(when: str, offset: str) -> dt.datetime | None:
    """EXIF's ``2026:02:03 19:30:05``, in China where it does not say."""
    for form, text in (("%Y:%m:%d %H:%M:%S%z", when + offset), ("%Y:%m:%d %H:%M:%S", when)):
        try:
            found = dt.datetime.strptime(text, form)  # noqa: DTZ007 (the zone follows)
        except ValueError:
            continue
        at = found if found.tzinfo else found.replace(tzinfo=CHINA)
        return at if at.year >= _EARLIEST and at <= dt.datetime.now(dt.UTC) else None
    return None


def _camera(make: str, model: str) -> str:
    """“Canon EOS R6”, once: many makers stand in the model's name already."""
    first = make.partition(" ")[0]
    whole = model if not first or model.lower().startswith(first.lower()) else f"{first} {model}"
    return tidy(whole)[:100]


# --- the same picture ------------------------------------------------------------------------


def _check_alike(tools: Tools, upload: Upload, photo: Photo) -> None:
    """Before anything is put in storage; once more when it is entered."""
    if upload.technical.get("insists"):
        return
    with tools.database.transaction() as session:
        _refuse_alike(session, tools.storage, upload.centre_id, photo)


def _refuse_alike(session: Session, storage: Storage, centre_id: str, photo: Photo) -> None:
    for other in pictures.alike(session, centre_id, photo.phash):
        if other.storage_key is None:
            continue
        square = _square(storage, small_key(other.storage_key))
        if square is not None and same_picture(photo.compared, square):
            raise Refused(DUPLICATE, kind="resource", id=other.id, title=other.title)


def _square(storage: Storage, key: str) -> NDArray[np.uint8] | None:
    """A picture of ours as it is compared; None: there is none."""
    try:
        data = storage.get(key)
    except NotFound:
        return None
    with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
        grey = image.convert("L").resize((COMPARED_EDGE, COMPARED_EDGE), Image.Resampling.BOX)
    return np.asarray(grey, dtype=np.uint8)


# --- entering it -----------------------------------------------------------------------------


def keep_photo(storage: Storage, path: Path, size: int, sha256: str, photo: Photo) -> Media:
    """Its files in storage: one that no row comes to want does no harm."""
    key = picture_key(sha256, photo.media_type)
    storage.put_file(small_key(key), photo.small)
    storage.put_file(large_key(key), photo.large)
    storage.put_file(key, path)
    technical: dict[str, Any] = {"width": photo.width, "height": photo.height, "large": True}
    if photo.taken_at is not None:
        technical["taken_at"] = photo.taken_at.isoformat()
    if photo.camera:
        technical["camera"] = photo.camera
    return Media(key, photo.media_type, size, sha256, technical=technical, phash=photo.phash)


def _enter(session: Session, row: Upload, photo: Photo, media: Media) -> str:
    now = dt.datetime.now(dt.UTC)
    centre = session.get_one(Centre, row.centre_id)
    show = session.get(Broadcast, row.broadcast_id) if row.broadcast_id else None
    wall = session.get(Resource, row.parent_id) if row.parent_id else None
    actor = _sender(session, row)
    fields: dict[str, Any] = {
        "title": _title(row),
        "ledger": "exhibition" if wall else "broadcast" if show else None,
        "event_date": _day(show, wall, photo, now),
        "people": [{"name": photo.artist, "role": "photographer"}] if photo.artist else [],
        "parent_id": wall.id if wall else None,
        "broadcast_id": show.id if show else None,
    }
    if wall is not None:
        fields["position"] = _last_position(session, wall.id) + 1
    made = create(session, actor, kind="image", centre=centre, fields=fields, now=now)
    made.contract = row.contract or (show.contract if show else "") or made.contract
    attach(session, SYSTEM, made.id, media, now=now)
    row.storage_key, row.resource_id, row.state = media.storage_key, made.id, "registered"
    row.changed_at = now
    session.flush()
    return made.id


def _sender(session: Session, row: Upload) -> Actor:
    """Whoever sent it is who made the record; a token that belongs to nobody is the system."""
    user = session.get(User, row.created_by) if row.created_by else None
    if user is None:
        return SYSTEM
    reach = None if user.role == "admin" else user.centre.path
    return Actor(user.id, user.display_name, user.role, reach, row.contract)


def _title(row: Upload) -> str:
    stem = row.file_name.rpartition(".")[0] or row.file_name
    return (tidy(row.title) or tidy(stem) or "照片")[: kinds.TITLE_MAX]


def _day(show: Broadcast | None, wall: Resource | None, photo: Photo, now: dt.datetime) -> dt.date:
    """The day it counts on: its show's, its exhibition's, else the one it was taken on."""
    if show is not None:
        return min(event_date(show), china_date(now))
    if wall is not None:
        return wall.event_date
    return china_date(photo.taken_at or now)


def _last_position(session: Session, parent_id: str) -> int:
    query = select(func.max(Resource.position)).where(Resource.parent_id == parent_id)
    return min(session.scalar(query) or 0, kinds.POSITION_MAX - 1)
