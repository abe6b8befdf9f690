"""Files on their way in, as they lie on the disk: bytes, how many of them count, and a wish.

An upload is ``ID.part`` (the bytes) and ``ID.at`` (how many of them are here for good, written
after they were flushed). Bytes beyond that number are what a crash or a cut left behind. The id is
ours, 32 hexadecimal digits; nothing a sender says becomes part of a name.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

_ID: Final = re.compile(r"[0-9a-f]{32}")
_ENDINGS: Final = ("part", "at", "info", "want")


def is_upload_id(text: str) -> bool:
    return _ID.fullmatch(text) is not None


class UploadFolder:
    """The folder of one machine, or one that several share."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def file(self, upload_id: str, ending: str) -> Path:
        if not is_upload_id(upload_id):
            raise ValueError("not the id of an upload")
        return self.path / f"{upload_id}.{ending}"

    def part(self, upload_id: str) -> Path:
        """Where the bytes of an upload lie."""
        return self.file(upload_id, "part")

    def make(self) -> None:
        if not self.path.is_dir():
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)

    def ids(self) -> list[str]:
        """Every upload of which there is a file."""
        with suppress(FileNotFoundError):
            return sorted(
                filter(is_upload_id, {n.partition(".")[0] for n in os.listdir(self.path)})
            )
        return []

    def offset(self, upload_id: str) -> int:
        """How many bytes of it are here for good."""
        try:
            return int(self.file(upload_id, "at").read_text())
        except (FileNotFoundError, ValueError):
            return 0

    def put_offset(self, upload_id: str, offset: int) -> None:
        # Deleted meanwhile: then there is nothing to count.
        if self.part(upload_id).exists():
            put(self.file(upload_id, "at"), str(offset).encode())

    def forget(self, upload_id: str) -> None:
        """Delete all of it."""
        for ending in _ENDINGS:
            self.file(upload_id, ending).unlink(missing_ok=True)

    def age(self, upload_id: str) -> float:
        """Seconds since its bytes changed; 0 when there are none."""
        with suppress(FileNotFoundError):
            return time.time() - self.part(upload_id).stat().st_mtime
        return 0.0

    def free(self) -> int:
        """Bytes free on its disk."""
        self.make()
        return shutil.disk_usage(self.path).free

    def shares_disk_with(self, place: Path) -> bool:
        """Whether what is put there takes of the same room."""
        self.make()
        there = next(p for p in (place, *place.parents) if p.exists())
        return there.stat().st_dev == self.path.stat().st_dev

    def ask_for(self, upload_id: str) -> None:
        """Somebody else wants to go on with this upload."""
        with suppress(FileNotFoundError):
            self.file(upload_id, "want").touch(mode=0o600)

    def asked_for_since(self, upload_id: str, wall_seconds: float) -> bool:
        try:
            return self.file(upload_id, "want").stat().st_mtime >= wall_seconds
        except FileNotFoundError:
            return False


def put(path: Path, data: bytes) -> None:
    """Replace a small file in one step that a power cut does not undo."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}.{time.monotonic_ns()}.tmp")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            os.write(fd, data)
            os.fdatasync(fd)
        finally:
            os.close(fd)
        fresh.rename(path)
    finally:
        fresh.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
