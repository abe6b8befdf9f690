"""Storage in a folder: temp in the same folder, flush, rename, flush the folder.

What a put costs is its two flushes (file and folder entry), a few milliseconds on a plain SSD.
The file is flushed with fdatasync: it covers the data and the size, which is all a reader
needs, and saves the journal write for the times. New folders are flushed into their parents once,
when made. Deletions are not flushed: a file that comes back is an orphan, never a loss.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from infra.storage.port import (
    AlreadyThere,
    InvalidKey,
    NotFound,
    StorageError,
    StorageFull,
    check_key,
    check_prefix,
    check_range,
)

_CHUNK: Final = 1 << 20
# A long copy is flushed as it goes: one flush of gigabytes at its end would hold up the flushes of
# live segments on the same disk for seconds.
_FLUSH_EVERY: Final = 32 << 20
_FOLDER_ATTEMPTS: Final = 10
_TEMP_SUFFIX: Final = ".tmp"
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_MISSING: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR})
_NO_FAST_COPY: Final = frozenset({errno.EXDEV, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP})


class FolderStorage:
    """See :class:`infra.storage.port.Storage`. ``root`` is made when missing."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        with _translated("the storage folder"):
            self.root.mkdir(parents=True, exist_ok=True)

    # -- writing

    def put_bytes(self, key: str, data: bytes, *, if_absent: bool = False) -> None:
        def write(fd: int) -> None:
            _write_all(fd, data)

        self._put(key, write, if_absent=if_absent)

    def put_file(self, key: str, path: Path, *, if_absent: bool = False) -> int:
        with path.open("rb", buffering=0) as source:
            appenders: list[_Appender] = []

            def write(fd: int) -> None:
                appenders.append(_Appender(fd))
                appenders[0].append(source.fileno())

            self._put(key, write, if_absent=if_absent)
        return appenders[0].total

    def concat(
        self,
        key: str,
        parts: Sequence[str],
        *,
        between: bytes = b"",
        progress: Callable[[int], None] | None = None,
    ) -> list[int]:
        sizes: list[int] = []
        sources = [self._path(part) for part in parts]

        def write(fd: int) -> None:
            appender = _Appender(fd)
            for part, source in zip(parts, sources, strict=True):
                try:
                    reader = source.open("rb", buffering=0)
                except FileNotFoundError as error:
                    raise NotFound(part) from error
                with reader:
                    if sizes:
                        appender.write(between)
                    sizes.append(appender.append(reader.fileno()))
                if progress is not None:
                    progress(appender.total)

        self._put(key, write, if_absent=False)
        return sizes

    def _put(self, key: str, write: Callable[[int], None], *, if_absent: bool) -> None:
        path = self._path(key)
        with _translated(key):
            temp, fd = self._create_temp(path)
            try:
                try:
                    write(fd)
                    os.fdatasync(fd)
                finally:
                    os.close(fd)
                if if_absent:
                    _link_new(temp, path, key)
                else:
                    temp.rename(path)
            finally:
                # Gone after a rename; still there after a link or a failure.
                temp.unlink(missing_ok=True)
            with suppress(FileNotFoundError):  # put, and deleted with its folder since
                _flush_folder(path.parent)

    def _create_temp(self, path: Path) -> tuple[Path, int]:
        temp = path.parent / f".{path.name[:80]}.{secrets.token_hex(6)}{_TEMP_SUFFIX}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        # More than once: delete_prefix may take the new folder away between the two steps.
        for _ in range(_FOLDER_ATTEMPTS):
            try:
                return temp, os.open(temp, flags, 0o644)
            except FileNotFoundError:
                self._make_folder(path.parent)
        return temp, os.open(temp, flags, 0o644)

    def _make_folder(self, folder: Path) -> None:
        if folder.is_dir():
            return
        if folder == self.root:
            folder.mkdir(parents=True, exist_ok=True)
            return
        self._make_folder(folder.parent)
        with suppress(FileNotFoundError):  # a deletion came between: the caller looks again
            folder.mkdir(exist_ok=True)
            _flush_folder(folder.parent)

    # -- reading

    def get(self, key: str) -> bytes:
        with _translated(key):
            return self._path(key).read_bytes()

    def open_range(self, key: str, start: int, end: int) -> bytes:
        check_range(start, end)
        with _translated(key), self._path(key).open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if start > size:
                raise NotFound(f"{key}: {start} is beyond its {size} bytes")
            return os.pread(file.fileno(), min(end, size) - start, start)

    def fetch(self, key: str, path: Path) -> int:
        source = self._path(key)
        with _translated(key), source.open("rb") as reader, path.open("wb") as writer:
            shutil.copyfileobj(reader, writer, _CHUNK)
            return writer.tell()

    def size(self, key: str) -> int | None:
        path = self._path(key)
        with _translated(key):
            try:
                return path.stat().st_size
            except (FileNotFoundError, NotADirectoryError):
                return None

    def list(self, prefix: str) -> Iterator[str]:
        folder = self.root / check_prefix(prefix)
        with _translated(prefix):
            yield from _walk(folder, prefix)

    def local_path(self, key: str) -> Path | None:
        return self._path(key)

    def presign(self, key: str, seconds: int, *, disposition: str = "") -> str | None:
        check_key(key)
        return None

    # -- deleting

    def delete(self, key: str) -> None:
        with _translated(key):
            self._path(key).unlink(missing_ok=True)

    def delete_prefix(self, prefix: str) -> int:
        if not check_prefix(prefix):
            raise InvalidKey("everything cannot be deleted at once")
        deleted = 0
        with _translated(prefix):
            for folder, _, names in os.walk(self.root / prefix, topdown=False):
                for name in names:
                    # Hidden: a put under way, or left by a killed one for sweep().
                    if not name.startswith("."):
                        Path(folder, name).unlink(missing_ok=True)
                        deleted += 1
                try:
                    Path(folder).rmdir()
                except OSError as error:
                    # Somebody put something in meanwhile: then it stays.
                    if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
                        raise
        return deleted

    def sweep(self, older_than_seconds: float) -> int:
        before = time.time() - older_than_seconds
        swept = 0
        with _translated("sweep"):
            for folder, _, names in os.walk(self.root):
                for name in names:
                    path = Path(folder, name)
                    if name.startswith(".") and name.endswith(_TEMP_SUFFIX):
                        try:
                            stale = path.stat().st_mtime < before
                        except FileNotFoundError:
                            continue
                        if stale:
                            path.unlink(missing_ok=True)
                            swept += 1
        return swept

    def _path(self, key: str) -> Path:
        return self.root / check_key(key)


class _Appender:
    """Appends files to one descriptor, inside the kernel where it can, flushing as it goes."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._unflushed = 0
        self.total = 0

    def append(self, reader: int) -> int:
        """Append what is left to read; how many bytes."""
        before = self.total
        while count := self._copy(reader):
            self.total += count
            self._unflushed += count
            if self._unflushed >= _FLUSH_EVERY:
                os.fdatasync(self._fd)
                self._unflushed = 0
        return self.total - before

    def write(self, data: bytes) -> None:
        """Append a few bytes."""
        _write_all(self._fd, data)
        self.total += len(data)

    def _copy(self, reader: int) -> int:
        try:
            return os.copy_file_range(reader, self._fd, 8 * _CHUNK)
        except OSError as error:
            if error.errno not in _NO_FAST_COPY:
                raise
        data = os.read(reader, _CHUNK)
        _write_all(self._fd, data)
        return len(data)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _link_new(temp: Path, path: Path, key: str) -> None:
    # link(2), unlike rename(2), fails when the name is taken: the check and the act are one.
    try:
        path.hardlink_to(temp)
    except FileExistsError as error:
        raise AlreadyThere(key) from error


def _flush_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _walk(folder: Path, prefix: str) -> Iterator[str]:
    try:
        entries = [
            (entry.name + "/" if entry.is_dir(follow_symlinks=False) else entry.name)
            for entry in os.scandir(folder)
            if not entry.name.startswith(".")
        ]
    except FileNotFoundError:
        return
    # Sorted with the slash on, "a-b" comes before "a/b" as it does in S3.
    for name in sorted(entries):
        if name.endswith("/"):
            yield from _walk(folder / name, prefix + name)
        else:
            yield prefix + name


@contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull(f"{what}: no room left in the storage folder") from error
        if error.errno in _MISSING:
            raise NotFound(what) from error
        raise StorageError(f"{what}: {error.strerror or error}") from error
