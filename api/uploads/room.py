"""How much more may be sent in: the disk's room, less what was promised to others already."""

from __future__ import annotations

from sqlalchemy.orm import Session

from api.parts import Parts
from api.uploads.disk import UploadDisk
from catalog.intakes import receiving
from catalog.uploads import Bounds


def bounds(session: Session, parts: Parts, disk: UploadDisk) -> Bounds:
    """What may be announced now."""
    settings = parts.settings
    promised = sum(
        max(0, upload.size_bytes - disk.folder.offset(upload.id)) for upload in receiving(session)
    )
    room = disk.room() - promised
    return Bounds(settings.upload_max_bytes, settings.upload_open_max, room // _copies(parts, disk))


def _copies(parts: Parts, disk: UploadDisk) -> int:
    """Where storage is a folder on the same disk, a file that has come in lies there twice for a
    while, and what is made of it takes about as much again."""
    stored = parts.storage.local_path("originals")
    return 2 if stored is not None and disk.folder.shares_disk_with(stored) else 1
