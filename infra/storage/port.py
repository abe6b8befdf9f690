"""What storage promises, whichever adapter keeps the bytes: objects under keys, put atomically."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, Protocol

KEY_MAX: Final = 512
SEGMENT_MAX: Final = 128

# A dot never comes first: that shuts out "." and "..", and leaves hidden names to the adapters.
_SEGMENT: Final = rf"[A-Za-z0-9_-][A-Za-z0-9._-]{{0,{SEGMENT_MAX - 1}}}"
_KEY: Final = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*")
_PREFIX: Final = re.compile(rf"(?:{_SEGMENT}/)*")


class StorageError(Exception):
    """Storage could not do it. For a write: nothing is to be believed written."""


class InvalidKey(StorageError, ValueError):
    """Our own mistake: keys come from rows, so a bad one never comes from outside."""


class NotFound(StorageError):
    """No object under this key (or the range starts beyond its end)."""


class AlreadyThere(StorageError):
    """``if_absent`` was asked for, and the key is taken."""


class StorageFull(StorageError):
    """No room left (disk, quota). The object was not written; trying again needs room first."""


class Storage(Protocol):
    """Objects under keys such as ``live/{token}/v720/00000012.m4s``. Every method may be called
    from any thread.

    A put is all or nothing and durable when it returns: a reader sees the old object, or none, or
    the whole new one, and so does a machine that lost power. After an error the object may be put
    again from its source; a failed flush is never itself retried.
    Keys are checked (:func:`check_key`); a *prefix* is ``""`` or whole folders, ending in ``/``.
    Every method raises :class:`StorageError` when storage is away or broken, within a bounded time.
    """

    def put_bytes(self, key: str, data: bytes, *, if_absent: bool = False) -> None:
        """Put ``data``. Raises AlreadyThere (only with ``if_absent``), StorageFull."""

    def put_file(self, key: str, path: Path, *, if_absent: bool = False) -> int:
        """Put a copy of a local file, in bounded memory; its size. Raises as ``put_bytes``."""

    def concat(
        self,
        key: str,
        parts: Sequence[str],
        *,
        between: bytes = b"",
        progress: Callable[[int], None] | None = None,
    ) -> list[int]:
        """Put the objects ``parts`` one after another as one, ``between`` between each two; the
        size of each.

        ``progress`` is told the bytes done so far after each part; what it raises ends the work
        and leaves nothing behind. Raises NotFound when a part is missing.
        """

    def get(self, key: str) -> bytes:
        """The whole object: for small ones. Raises NotFound."""

    def open_range(self, key: str, start: int, end: int) -> bytes:
        """Bytes ``start <= i < end``, cut at the object's end. Raises NotFound."""

    def fetch(self, key: str, path: Path) -> int:
        """Copy an object to a local file, in bounded memory; its size. Raises NotFound."""

    def size(self, key: str) -> int | None:
        """Bytes, or None when there is no such object."""

    def delete(self, key: str) -> None:
        """Delete if there. A deletion may come back after a loss of power."""

    def delete_prefix(self, prefix: str) -> int:
        """Delete everything under a prefix, which must not be empty; how many objects."""

    def list(self, prefix: str) -> Iterator[str]:
        """Keys under a prefix, in the order of their bytes."""

    def local_path(self, key: str) -> Path | None:
        """Where the bytes lie on this machine, whether or not the object exists (folder only)."""

    def presign(self, key: str, seconds: int, *, disposition: str = "") -> str | None:
        """A URL that reads the object without further credentials for a while (S3 only), with
        ``disposition`` as its Content-Disposition."""

    def sweep(self, older_than_seconds: float) -> int:
        """Drop what unfinished puts of killed processes left behind; how many."""


def check_key(key: str) -> str:
    """``key``, or raise InvalidKey."""
    if len(key) > KEY_MAX or _KEY.fullmatch(key) is None:
        raise InvalidKey(f"not a storage key: {key[:80]!r}")
    return key


def check_prefix(prefix: str) -> str:
    """``prefix``, or raise InvalidKey."""
    if len(prefix) > KEY_MAX or _PREFIX.fullmatch(prefix) is None:
        raise InvalidKey(f"not a storage prefix: {prefix[:80]!r}")
    return prefix


def check_range(start: int, end: int) -> None:
    if not 0 <= start <= end:
        raise ValueError(f"not a range: {start}-{end}")


_CONTENT_TYPES: Final = {
    "m4s": "video/iso.segment",
    "mp4": "video/mp4",
    "flv": "video/x-flv",
    "jpg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "vtt": "text/vtt",
    "json": "application/json",
}


def content_type(key: str) -> str:
    """Media type by the key's extension, for stores that answer browsers themselves."""
    return _CONTENT_TYPES.get(key.rpartition(".")[2], "application/octet-stream")
