"""What the jobs of this package work with: handed down, never looked up."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy.orm import Session

from infra.database import Database
from infra.ffmpeg import ffmpeg_path
from infra.jobs.owner import is_gone, this_process
from infra.settings import Settings
from infra.storage import Storage, StorageFull

_MARK: Final = "~"
_OWNER_PARTS: Final = 3
_FORGOTTEN_SECONDS: Final = 3 * 86_400.0


def unfenced(session: Session) -> None:
    """The fence of work that no other worker can be doing at the same time."""


@dataclass(frozen=True, slots=True)
class Tools:
    """A worker's database, storage and programs."""

    settings: Settings
    database: Database
    storage: Storage
    fence: Callable[[Session], None] = unfenced
    """Called first in a transaction that publishes; raises when the job is not ours any more."""

    @property
    def ffmpeg(self) -> str:
        return ffmpeg_path(self.settings)

    def require_room(self, size: int) -> None:
        """Raise StorageFull unless ``size`` more bytes leave the disks above the mark below which
        only the feed log is still written: what comes in goes before what is made of it."""
        places = [self.settings.data, self.storage.local_path("live")]
        for place in places:
            if place is None:
                continue
            there = next(p for p in (place, *place.parents) if p.exists())
            free = shutil.disk_usage(there).free
            if free - size < self.settings.disk_log_only_bytes:
                raise StorageFull(
                    f"{size} bytes needed, {free} free, {self.settings.disk_log_only_bytes} kept"
                )

    @contextmanager
    def work_folder(self, purpose: str) -> Iterator[Path]:
        """A folder on the data disk that is gone afterwards, whatever happens in between.

        On the data disk, because a clip of hours does not fit a small /tmp in memory. It names its
        process: what a killed one leaves behind, the next to make a folder takes away.
        """
        base = self.settings.data / "tmp"
        base.mkdir(parents=True, exist_ok=True)
        _bury(base)
        owner = this_process().replace(":", _MARK)
        prefix = f"{purpose}{_MARK}{owner}{_MARK}"
        with tempfile.TemporaryDirectory(prefix=prefix, dir=base) as folder:
            yield Path(folder)


def _bury(base: Path) -> None:
    """Remove the work folders of processes that are gone."""
    for folder in base.iterdir():
        parts = folder.name.split(_MARK)
        if len(parts) < _OWNER_PARTS + 2:
            continue
        try:
            old = time.time() - folder.stat().st_mtime > _FORGOTTEN_SECONDS
        except FileNotFoundError:
            continue
        # Of another boot of this machine nobody can say whether its process is gone.
        if is_gone(":".join(parts[1 : 1 + _OWNER_PARTS])) or old:
            shutil.rmtree(folder, ignore_errors=True)
