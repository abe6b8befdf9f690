"""Files that have come in, as rows and bytes, and the worker's look at them."""

from __future__ import annotations

import datetime as dt
import hashlib
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from catalog.centres import home_centre
from catalog.models import Upload
from infra.database import Database
from infra.jobs import JobFailed
from infra.settings import Settings
from infra.storage import open_storage
from infra.upload_folder import UploadFolder
from vod.intake import take_in
from vod.tools import Tools


@dataclass
class Desk:
    """A worker's tools, and what it is told."""

    tools: Tools
    beats: int = 0

    @classmethod
    def of(cls, settings: Settings, database: Database) -> Desk:
        return cls(Tools(settings, database, open_storage(settings)))

    @property
    def folder(self) -> UploadFolder:
        return UploadFolder(self.tools.settings.uploads_dir)

    def arrive(self, source: Path | bytes, name: str = "晚会.mp4", **columns: Any) -> str:
        """A file that is whole on the disk, its row "received"; its id."""
        upload_id = secrets.token_hex(16)
        self.folder.make()
        part = self.folder.part(upload_id)
        if isinstance(source, bytes):
            part.write_bytes(source)
        else:
            shutil.copyfile(source, part)
        size = part.stat().st_size
        self.folder.put_offset(upload_id, size)
        with self.tools.database.transaction() as session:
            session.add(
                Upload(
                    **{
                        "id": upload_id,
                        "centre_id": home_centre(session, None).id,
                        "purpose": "recording",
                        "state": "received",
                        "file_name": name,
                        "size_bytes": size,
                        "changed_at": dt.datetime.now(dt.UTC),
                        **columns,
                    }
                )
            )
        return upload_id

    def take_in(self, upload_id: str) -> dict[str, Any]:
        def beat(_share: float | None, _note: str | None) -> None:
            self.beats += 1

        return take_in(self.tools, upload_id, beat)

    def refused(self, source: Path | bytes, name: str = "晚会.mp4", **columns: Any) -> str:
        """The code a file is refused with: said once, in its row and by its job, nothing kept."""
        upload_id = self.arrive(source, name, **columns)
        with pytest.raises(JobFailed) as caught:
            self.take_in(upload_id)
        row = self.row(upload_id)
        assert not caught.value.retry
        assert (row.state, row.error_code, row.error) == (
            "refused", caught.value.code, caught.value.sentence,
        )  # fmt: skip
        assert (row.storage_key, row.work_id) == (None, None)
        assert list(self.tools.storage.list(f"originals/{upload_id}/")) == []
        assert not self.folder.part(upload_id).exists()
        return caught.value.code

    def row(self, upload_id: str) -> Upload:
        with self.tools.database.transaction() as session:
            return session.get_one(Upload, upload_id)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
