"""Screenshots that prove another platform's figures: taken in and kept, from the API or a page."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Final

from fastapi import UploadFile

from catalog.errors import Refused
from infra.storage import Storage
from vod import record_files

SCREENSHOT_MAX: Final = 10 << 20


def keep_screenshot(storage: Storage, upload: UploadFile | None) -> str | None:
    """Where the picture lies in storage; None where none was sent. Raises Refused."""
    if upload is None or not upload.size:
        return None
    if upload.size > SCREENSHOT_MAX:
        raise Refused("outside_picture", most=SCREENSHOT_MAX >> 20)
    with tempfile.NamedTemporaryFile() as copy:
        shutil.copyfileobj(upload.file, copy)
        copy.flush()
        try:
            return record_files.keep(storage, "image", Path(copy.name)).storage_key
        except Refused:
            raise Refused("outside_picture", most=SCREENSHOT_MAX >> 20) from None
