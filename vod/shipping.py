"""Shipping: the log of a closed take goes to storage as it is, and becomes raw material (素材).

The log stays where it is; only retention may delete it, and only once ``takes.storage_key`` says
that storage has it. In a folder on the same disk both are one file under two names.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
from sqlalchemy.orm import Session

from catalog.models import Take
from catalog.resources import register_take
from infra.storage import Storage
from vod.encode import Beat, silent
from vod.tools import Tools

_CHUNK: Final = 1 << 20
_TIMEOUT: Final = httpx.Timeout(30.0, connect=5.0)


class ShipError(Exception):
    """The log could not be had whole; nothing was registered, a later attempt may succeed."""


@dataclass(frozen=True, slots=True)
class _Log:
    """What is to be shipped, as the row says."""

    take_id: str
    container: str
    node_url: str
    size: int

    @property
    def key(self) -> str:
        return f"takes/{self.take_id}.{self.container}"


def ship_take(tools: Tools, take_id: str, token: str = "", beat: Beat = silent) -> dict[str, Any]:
    """Put a closed take's log into storage and register it; again it changes nothing.

    ``token`` opens the feed server of another node. Raises ShipError, StorageError.
    """
    with tools.database.transaction() as session:
        take = session.get(Take, take_id)
        if take is None:
            return {"take": None}
        if take.state != "closed":
            raise ShipError(f"take {take_id} is still open")
        if take.storage_key is not None:
            register_take(session, take)
            return {"take": take_id, "key": take.storage_key}
        log = _Log(take.id, take.container, take.node_url, take.size_bytes)
    with _local_log(tools, log, token, beat) as path:
        digest = _digest(path, log, beat)
        _put(tools.storage, log.key, path)
    with tools.database.transaction() as session:
        tools.fence(session)
        _register(session, log, digest)
    return {"take": take_id, "key": log.key, "bytes": log.size, "sha256": digest}


@contextmanager
def _local_log(tools: Tools, log: _Log, token: str, beat: Beat) -> Iterator[Path]:
    """The log as a file of this machine: the one ingest wrote, else a copy of it."""
    own = tools.settings.feeds_dir / f"{log.take_id}.{log.container}"
    if own.exists():
        yield own
        return
    tools.require_room(2 * log.size)
    with tools.work_folder("take") as folder:
        copy = folder / f"log.{log.container}"
        _download(log, token, copy, beat)
        yield copy


def _download(log: _Log, token: str, path: Path, beat: Beat) -> None:
    url = f"{log.node_url.rstrip('/')}/takes/{log.take_id}.{log.container}"
    headers = {"Authorization": f"Bearer {token}"}
    try:
        with (
            httpx.stream(
                "GET", url, params={"whole": "1"}, headers=headers, timeout=_TIMEOUT
            ) as answer,
            path.open("wb") as out,
        ):
            if answer.status_code != httpx.codes.OK:
                raise ShipError(f"take {log.take_id}: feed server answers {answer.status_code}")
            for data in answer.iter_bytes(_CHUNK):
                out.write(data)
                beat(out.tell() / max(1, log.size), "正在取回原始录像")
    except httpx.HTTPError as error:
        raise ShipError(f"take {log.take_id}: {error}") from error


def _digest(path: Path, log: _Log, beat: Beat) -> str:
    digest = hashlib.sha256()
    size = 0
    with path.open("rb") as file:
        while data := file.read(_CHUNK):
            digest.update(data)
            size += len(data)
            beat(None, "正在校验原始录像")
    if size != log.size:
        raise ShipError(f"take {log.take_id}: {size} bytes, {log.size} are registered")
    return digest.hexdigest()


def _put(storage: Storage, key: str, path: Path) -> None:
    """By a second name where storage is a folder of the same disk, else as a copy."""
    local = storage.local_path(key)
    if local is not None and _link(path, local):
        return
    storage.put_file(key, path)


def _link(path: Path, target: Path) -> bool:
    """Hard-link ``path`` to ``target``, replacing it as a whole; False where that cannot be."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.hardlink_to(path)
    except OSError:
        return False  # Another disk, or a file system without links: then it is copied.
    try:
        if target.exists() and target.samefile(path):
            # rename(2) of two names of one file does nothing and leaves both.
            return True
        temporary.rename(target)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return True


def _register(session: Session, log: _Log, digest: str) -> None:
    take = session.get_one(Take, log.take_id, with_for_update=True)
    if take.storage_key is None:
        take.storage_key, take.sha256 = log.key, digest
        session.flush()
    register_take(session, take)
