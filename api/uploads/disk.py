"""Bytes of uploads on the disk: what was promised to a sender survives a crash and a power cut.

See ``infra.upload_folder`` for the files. What lies beyond the number of bytes that count is
written over by the next piece. ``ID.info`` is the library's own note.

Pieces of one upload wait for nobody: whoever comes second is told so (423), and asks the first to
make room (``ID.want``), which it does when its connection has gone silent.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import hashlib
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from typing import Any, Final

from anyio import to_thread
from fastapi import HTTPException
from tuspyserver.storage import TusStorage

from api.sentences import SENTENCES
from api.uploads.headers import Piece
from infra.upload_folder import UploadFolder, put

BUFFER_BYTES: Final = 1 << 20
FLUSH_BYTES: Final = 32 << 20
"""A long piece is flushed as it comes: no more than this is sent again after a crash, and the
flushes of live segments on the same disk never wait for gigabytes."""

asked: ContextVar[Piece] = ContextVar("asked_piece")
"""The piece that the present request brings."""


class Halt(HTTPException):
    """An answer from inside the library's loop, which takes any other exception for its own."""

    def __init__(self, code: str) -> None:
        super().__init__(SENTENCES[code].status, detail=code)
        self.code = code


class UploadDisk(TusStorage):
    """The library's storage in a folder. ``keep_free``: bytes that are the feed log's alone."""

    def __init__(self, folder: UploadFolder, keep_free: int) -> None:
        self.folder = folder
        self._keep_free = keep_free
        self._writing: dict[str, _Writing] = {}

    def room(self) -> int:
        """Bytes that uploads may still take."""
        return self.folder.free() - self._keep_free

    def require_room(self, size: int) -> None:
        if self.room() < size:
            raise Halt("upload_disk_full")

    # --- the library's side: data ------------------------------------------------------------

    async def create(self, uid: str) -> None:
        def work() -> None:
            self.folder.make()
            os.close(os.open(self.folder.part(uid), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))

        await to_thread.run_sync(work)

    async def exists(self, uid: str) -> bool:
        return await to_thread.run_sync(self.folder.part(uid).exists)

    async def size(self, uid: str) -> int:
        return await to_thread.run_sync(self.folder.offset, uid)

    async def append(self, uid: str, chunk: bytes) -> None:
        await self._writing[uid].append(chunk)

    async def flush(self, uid: str) -> None:
        await to_thread.run_sync(self._writing[uid].finish)

    async def finalize(self, uid: str) -> None:
        """Nothing to seal: the file is whole when its number says so."""

    async def read(self, uid: str) -> bytes | None:
        raise NotImplementedError("uploads are not read back whole")

    async def delete(self, uid: str) -> None:
        await to_thread.run_sync(self.folder.forget, uid)

    # --- the library's side: its note ----------------------------------------------------------

    async def read_info(self, uid: str) -> dict[str, Any] | None:
        def work() -> dict[str, Any] | None:
            try:
                told: dict[str, Any] = json.loads(self.folder.file(uid, "info").read_bytes())
            except (FileNotFoundError, ValueError):
                return None
            return told | {"offset": self.folder.offset(uid)}

        return await to_thread.run_sync(work)

    async def write_info(self, uid: str, data: dict[str, Any]) -> None:
        # The library also saves when it no longer holds the lock: its offset may be an old one.
        # When an upload expires the rows say.
        kept = {**data, "offset": 0, "expires": None}

        def work() -> None:
            if self.folder.part(uid).exists():
                put(self.folder.file(uid, "info"), json.dumps(kept).encode())

        await to_thread.run_sync(work)

    async def list_uids(self) -> list[str]:
        return await to_thread.run_sync(self.folder.ids)

    def location(self, uid: str) -> str:
        return uid

    def lock(self, uid: str) -> Any:
        return self._locked(uid)

    @asynccontextmanager
    async def _locked(self, uid: str) -> AsyncIterator[None]:
        writing = await to_thread.run_sync(self._begin, uid, asked.get())
        self._writing[uid] = writing
        try:
            yield
        finally:
            del self._writing[uid]
            # Also when the request is cancelled: what came is kept, and the lock let go.
            await asyncio.shield(asyncio.ensure_future(to_thread.run_sync(writing.close)))

    def _begin(self, uid: str, piece: Piece) -> _Writing:
        try:
            fd = os.open(self.folder.part(uid), os.O_WRONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise Halt("upload_unknown") from None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            self.folder.ask_for(uid)
            raise Halt("upload_locked") from None
        try:
            self.folder.file(uid, "want").unlink(missing_ok=True)
            return _Writing(self, uid, fd, piece)
        except OSError as error:
            # Left open, it would keep the lock for as long as this process lives.
            os.close(fd)
            raise Halt("upload_disk") from error


class _Writing:
    """One piece being written; the upload is locked meanwhile."""

    def __init__(self, disk: UploadDisk, uid: str, fd: int, piece: Piece) -> None:
        self._disk = disk
        self._uid = uid
        self._fd = fd
        self._piece = piece
        self._sum = hashlib.sha256()
        self._buffer = bytearray()
        self._sure = disk.folder.offset(uid)
        """Bytes that count already."""
        self._at = self._sure
        self._flushed = self._sure
        os.ftruncate(fd, self._sure)

    async def append(self, chunk: bytes) -> None:
        self._buffer += chunk
        if len(self._buffer) >= BUFFER_BYTES:
            await to_thread.run_sync(self._write)

    def _write(self) -> None:
        """Put what is buffered into the file; every so often, for good."""
        data, self._buffer = bytes(self._buffer), bytearray()
        if not data:
            return
        self._disk.require_room(len(data))
        if self._piece.sha256 is not None:
            self._sum.update(data)
        try:
            view = memoryview(data)
            while view:
                written = os.pwrite(self._fd, view, self._at)
                self._at += written
                view = view[written:]
            if self._at - self._flushed >= FLUSH_BYTES:
                os.fdatasync(self._fd)
                self._flushed = self._at
                if self._piece.sha256 is None:
                    self._count()
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
            raise Halt("upload_disk_full" if full else "upload_disk") from error

    def _count(self) -> None:
        """What has been flushed counts from now on."""
        self._disk.folder.put_offset(self._uid, self._at)
        self._sure = self._at

    def finish(self) -> None:
        """The piece has ended, whole or cut. With a checksum it counts whole or not at all."""
        self._write()
        if self._at == self._sure:
            return
        if self._piece.sha256 is not None:
            whole = self._at - self._piece.offset == self._piece.length
            if not whole:
                self._at = self._sure
                return
            if self._sum.digest() != self._piece.sha256:
                self._at = self._sure
                raise Halt("tus_checksum")
        try:
            os.fdatasync(self._fd)
            self._count()
        except OSError as error:
            raise Halt("upload_disk") from error

    def close(self) -> None:
        """Let go of the lock; what came of a cut piece is kept."""
        try:
            with suppress(Halt):
                self.finish()
        finally:
            os.close(self._fd)
