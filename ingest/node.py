"""Who an ingest node is: an id kept beside its logs, since names and addresses are often shared."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from pathlib import Path
from typing import Final

from infra.ids import public_id
from ingest.log import sync_folder

FILE: Final = "node"
_ID: Final = re.compile(r"[0-9a-z]{16}")


def node_id(folder: Path) -> str:
    """The id of the node whose logs are in ``folder``, made at its first start."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    known = _read(path)
    if known is not None:
        return known
    # Complete and on disk before it has its name.
    fresh = folder / f".{FILE}.{secrets.token_hex(4)}"
    try:
        with open(fresh, "w", encoding="ascii") as file:
            file.write(public_id(16))
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            os.replace(fresh, path)  # what is there is no id
        else:
            with contextlib.suppress(FileExistsError):
                os.link(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)
    sync_folder(folder)
    made = _read(path)
    if made is None:
        raise OSError(f"{path} holds no node id")
    return made


def _read(path: Path) -> str | None:
    try:
        text = path.read_text("ascii").strip()
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    return text if _ID.fullmatch(text) else None
