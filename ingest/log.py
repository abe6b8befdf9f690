"""The feed log: what an encoder sent, appended to a file before anything else is done with it.

A take is four files in the node's feeds folder:

* ``{take}.flv`` the log, a playable FLV: headers, then each tag as received. Only timestamps are
  rewritten, to one monotonic millisecond clock that starts near 0: encoders jump, run backwards
  and wrap, and every later reader (FFmpeg, the air timeline, the count of minutes) would have to
  repair that in its own way, and differently after a resume.
* ``{take}.idx`` one record ``<QQQ`` (ts_ms, offset, arrival_us) per keyframe, in time order.
* ``{take}.pre`` the preamble: the first bytes of the log, up to the first media tag.
* ``{take}.json`` a `LogMeta`, rewritten now and then as a checkpoint, and at the end.

Writes go to the page cache from the event loop (a write does not wait for the disk); fdatasync
waits, so `ingest.keeper` calls `LogWriter.sync` in a thread.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from ingest import flv

INDEX_RECORD: Final = struct.Struct("<QQQ")
PENDING_MAX: Final = 2**20
"""Bytes that may wait for a flush; one more tag may lie on top."""
IOV_MAX: Final = 1024
"""Linux takes no more buffers in one writev."""
INDEX_MIN_STEP_MS: Final = 200
"""An all-keyframe source would otherwise index each frame."""
INDEX_ENTRIES_MAX: Final = 5_000
"""Entries one index answer holds; ask again from the last one for more."""
DISCONTINUITIES_MAX: Final = 200
_TAKE_ID: Final = re.compile(r"[0-9a-z]{6,32}")


class LogFailed(Exception):
    """The file system refused a write or a sync. The take is over; what was flushed is kept."""

    def __init__(self, error: OSError, *, syncing: bool = False) -> None:
        super().__init__(f"{'fdatasync' if syncing else 'write'}: {error.strerror}")
        self.errno = error.errno
        self.syncing = syncing


class Counts(NamedTuple):
    """What a log holds up to ``size`` bytes. Times are milliseconds on the take's timeline."""

    size: int
    video_frames: int
    first_ms: int
    last_video_ms: int
    """-1 before the first frame; so is ``last_audio_ms``."""
    last_audio_ms: int
    video_step_ms: int
    """From the last frame but one to the last: how long the last one is shown."""
    audio_step_ms: int
    last_arrival_us: int

    @property
    def end_ms(self) -> int:
        """End of the last frame."""
        ends = [self.first_ms]
        if self.last_video_ms >= 0:
            ends.append(self.last_video_ms + self.video_step_ms)
        if self.last_audio_ms >= 0:
            ends.append(self.last_audio_ms + self.audio_step_ms)
        return max(ends)


class LogMeta(msgspec.Struct, kw_only=True):
    """The meta file. While ``state`` is open, ``counts`` is the last synced checkpoint."""

    take_id: str
    feed_id: str
    broadcast_id: str
    first_arrival_us: int
    codecs: dict[str, Any]
    state: str = "open"
    ended_by: str | None = None
    drop: bool = False
    """The feed was lost with this take, not merely cut into another one."""
    counts: Counts
    discontinuities: list[int] = []
    """Where (ms) the encoder's clock lastingly jumped and was restamped."""
    booked: str = "no"
    """How far the catalogue has followed: no, open, closed, or refused."""
    seq: int = 0
    """The take's number in its broadcast, once it has one."""

    @classmethod
    def begin(
        cls,
        *,
        take_id: str,
        feed_id: str,
        broadcast_id: str,
        first_arrival_us: int,
        codecs: dict[str, Any],
        preamble_size: int,
    ) -> LogMeta:
        """The meta of a take that has nothing but its preamble."""
        return cls(
            take_id=take_id,
            feed_id=feed_id,
            broadcast_id=broadcast_id,
            first_arrival_us=first_arrival_us,
            codecs=codecs,
            counts=Counts(preamble_size, 0, 0, -1, -1, 0, 0, first_arrival_us),
        )


class IndexEntry(NamedTuple):
    ts_ms: int
    offset: int
    arrival_us: int


class TakeFiles:
    """Names of a take's files. Take ids come from rows; what is no id never becomes a path."""

    __slots__ = ("flv", "idx", "meta", "pre")

    def __init__(self, folder: Path, take_id: str) -> None:
        if not _TAKE_ID.fullmatch(take_id):
            raise ValueError("not a take id")
        self.flv = folder / f"{take_id}.flv"
        self.idx = folder / f"{take_id}.idx"
        self.pre = folder / f"{take_id}.pre"
        self.meta = folder / f"{take_id}.json"

    def remove(self) -> None:
        # The log first: without it there is no take, while a log without a meta file is a puzzle.
        for path in (self.flv, self.idx, self.pre, self.meta.with_suffix(".json.tmp"), self.meta):
            path.unlink(missing_ok=True)


def write_meta(path: Path, meta: LogMeta, *, sync: bool = True) -> None:
    """Replace the meta file as a whole: temporary file, fsync, rename."""
    temporary = path.with_suffix(".json.tmp")
    with open(temporary, "wb") as file:
        file.write(msgspec.json.encode(meta))
        if sync:
            file.flush()
            os.fsync(file.fileno())
    os.replace(temporary, path)


def read_meta(path: Path) -> LogMeta | None:
    """The meta file, or None when there is none to be trusted."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=LogMeta)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None


def preamble(headers: list[tuple[int, bytes]], *, audio: bool, video: bool) -> bytes:
    """FLV header and ``headers`` (kind, payload) as tags of time 0."""
    return flv.header(has_audio=audio, has_video=video) + b"".join(
        flv.encode_tag(kind, 0, payload) for kind, payload in headers
    )


class LogWriter:
    """The open log of one take. Not thread-safe but for `sync`."""

    def __init__(self, folder: Path, meta: LogMeta, head: bytes) -> None:
        self.files = TakeFiles(folder, meta.take_id)
        self.meta = meta
        self.closed = False
        self.watchers: set[Callable[[], None]] = set()
        """Called after each flush and at the end; a log with watchers is flushed at once."""
        self._fd, self._index_fd = _create(self.files, meta, head)
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._pending_index = b""
        self._indexed_ms = -INDEX_MIN_STEP_MS
        self._first_ms = -1
        self._video_frames = 0
        self._last_video_ms = self._last_audio_ms = -1
        self._video_step = self._audio_step = 0
        self._arrival_us = meta.first_arrival_us
        self.preamble_size = len(head)
        self._written_index = 0
        self._synced_size = 0
        self._names_synced = False
        self.flushed = meta.counts
        """What readers may read: everything up to ``flushed.size``."""

    @property
    def take_id(self) -> str:
        return self.meta.take_id

    @property
    def dirty(self) -> bool:
        return bool(self._pending)

    def append(
        self, kind: int, ts_ms: int, payload: bytes, arrival_us: int, *, key: bool = False
    ) -> None:
        """Add a frame. ``key``: a reader may begin here."""
        if self._first_ms < 0:
            self._first_ms = ts_ms
        if key and ts_ms >= self._indexed_ms + INDEX_MIN_STEP_MS:
            self._indexed_ms = ts_ms
            offset = self.flushed.size + self._pending_bytes
            self._pending_index += INDEX_RECORD.pack(ts_ms, offset, arrival_us)
        if kind == flv.VIDEO:
            self._video_frames += 1
            if self._last_video_ms >= 0:
                self._video_step = ts_ms - self._last_video_ms
            self._last_video_ms = ts_ms
        elif kind == flv.AUDIO:
            if self._last_audio_ms >= 0:
                self._audio_step = ts_ms - self._last_audio_ms
            self._last_audio_ms = ts_ms
        self._arrival_us = arrival_us
        tag = flv.encode_tag(kind, ts_ms, payload)  # as below; a call for each frame would show
        self._pending.append(tag)
        self._pending_bytes += len(tag)
        if self._pending_bytes > PENDING_MAX:
            self.flush()

    def append_aside(self, kind: int, ts_ms: int, payload: bytes) -> None:
        """Add a tag that is no frame: script data, a header, an end of sequence."""
        tag = flv.encode_tag(kind, ts_ms, payload)
        self._pending.append(tag)
        self._pending_bytes += len(tag)
        if self._pending_bytes > PENDING_MAX:
            self.flush()

    def flush(self) -> None:
        """Hand everything to the file system and wake the readers. Raises `LogFailed`.

        After a failure the log ends at the flush before: half a tag would be worse than none.
        """
        if not self._pending:
            return
        pending, size = self._pending, self._pending_bytes
        self._pending = []
        self._pending_bytes = 0
        index, self._pending_index = self._pending_index, b""
        try:
            _write_tags(self._fd, pending)
            if index:
                _write_all(self._index_fd, index)
        except OSError as error:
            self._cut_back()
            raise LogFailed(error) from error
        self._written_index += len(index)
        self.flushed = Counts(
            self.flushed.size + size,
            self._video_frames,
            max(self._first_ms, 0),
            self._last_video_ms,
            self._last_audio_ms,
            self._video_step,
            self._audio_step,
            self._arrival_us,
        )
        for wake in tuple(self.watchers):
            wake()

    def _cut_back(self) -> None:
        # Shrinking needs no free block. If even that fails, readers still stop at `flushed`,
        # and the scan at the next start cuts the rest.
        for fd, size in ((self._fd, self.flushed.size), (self._index_fd, self._written_index)):
            try:
                os.ftruncate(fd, size)
            except OSError:
                continue

    def discontinuity(self, ts_ms: int) -> None:
        """Note that the encoder's clock jumped for good just before ``ts_ms``."""
        if len(self.meta.discontinuities) < DISCONTINUITIES_MAX:
            self.meta.discontinuities.append(ts_ms)

    def finish(self, ended_by: str, *, drop: bool) -> LogFailed | None:
        """No more tags: flush and let readers end. `release` then closes the files."""
        failed: LogFailed | None = None
        try:
            self.flush()
        except LogFailed as error:
            failed = error
        self.closed = True
        self.meta.state = "closed"
        self.meta.ended_by = ended_by
        self.meta.drop = drop
        self.meta.counts = self.flushed
        for wake in tuple(self.watchers):
            wake()
        return failed

    def sync(self, *, checkpoint: bool) -> None:
        """Wait until the disk has what was flushed. For a thread. Raises `LogFailed`.

        Never called again after a failure: the kernel may have dropped the dirty pages and
        call the next fsync a success (PostgreSQL learnt this the hard way).
        """
        counts = self.flushed
        if counts.size == self._synced_size:
            return
        try:
            os.fdatasync(self._fd)
            if checkpoint:
                os.fdatasync(self._index_fd)
                meta = msgspec.structs.replace(
                    self.meta,
                    state="open",
                    counts=counts,
                    discontinuities=list(self.meta.discontinuities),
                )
                write_meta(self.files.meta, meta)
            self._sync_names()
        except OSError as error:
            raise LogFailed(error, syncing=True) from error
        self._synced_size = counts.size

    def _sync_names(self) -> None:
        """Once: synced bytes are lost all the same while the folder does not name them."""
        if self._names_synced:
            return
        sync_file(self.files.pre)
        sync_folder(self.files.flv.parent)
        self._names_synced = True

    def release(self, *, sync: bool) -> None:
        """After `finish`: sync once more, write the last meta, close. For a thread."""
        try:
            if sync:
                os.fdatasync(self._fd)
                os.fdatasync(self._index_fd)
                write_meta(self.files.meta, self.meta)
                self._names_synced = False  # the rename just now
                self._sync_names()
        except OSError as error:
            raise LogFailed(error, syncing=True) from error
        finally:
            os.close(self._fd)
            os.close(self._index_fd)


def _create(files: TakeFiles, meta: LogMeta, head: bytes) -> tuple[int, int]:
    """Make a take's files with the preamble in the log; all of them or none."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
    fds: list[int] = []
    try:
        for path in (files.flv, files.idx):
            fds.append(os.open(path, flags, 0o640))
        files.pre.write_bytes(head)
        _write_all(fds[0], head)
        # Not synced: this runs on the event loop. The first checkpoint is, a second later.
        write_meta(files.meta, meta, sync=False)
    except OSError:
        for fd in fds:
            os.close(fd)
        files.remove()
        raise
    return fds[0], fds[1]


def _write_tags(fd: int, tags: list[bytes]) -> None:
    """Gathered by the kernel: joining them first would cost more than writing them."""
    for start in range(0, len(tags), IOV_MAX):
        batch = tags[start : start + IOV_MAX]
        size = sum(map(len, batch))
        written = os.writev(fd, batch)
        if written < size:
            _write_all(fd, b"".join(batch)[written:])


def _write_all(fd: int, data: bytes) -> None:
    written = os.write(fd, data)
    while written < len(data):
        written += os.write(fd, memoryview(data)[written:])


def sync_folder(folder: Path) -> None:
    """Make new names in ``folder`` outlive a power loss."""
    sync_file(folder, os.O_DIRECTORY)


def sync_file(path: Path, flags: int = 0) -> None:
    """Make what is in ``path`` outlive a power loss."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class LogView:
    """One reader's sight of a log, open or closed, through its own file descriptor."""

    def __init__(self, files: TakeFiles, meta: LogMeta, writer: LogWriter | None) -> None:
        self.files = files
        self.writer = writer
        self.meta = meta
        self.fd = os.open(files.flv, os.O_RDONLY | os.O_CLOEXEC)

    @property
    def counts(self) -> Counts:
        return self.meta.counts if self.writer is None else self.writer.flushed

    @property
    def closed(self) -> bool:
        return self.writer is None or self.writer.closed

    def close(self) -> None:
        os.close(self.fd)

    def preamble(self) -> bytes:
        return self.files.pre.read_bytes()

    def index(self, from_ms: int) -> list[IndexEntry]:
        """Entries from the last at or before ``from_ms`` on, at most `INDEX_ENTRIES_MAX`."""
        return read_index(self.files.idx, from_ms)

    def offset(self, from_ms: int) -> int:
        """Where the last keyframe at or before ``from_ms`` begins, else the first one."""
        entries = read_index(self.files.idx, from_ms, most=1)
        return entries[0].offset if entries else self.files.pre.stat().st_size


def read_index(path: Path, from_ms: int, *, most: int = INDEX_ENTRIES_MAX) -> list[IndexEntry]:
    """Binary search in the file: no open log keeps its index in memory."""
    with open(path, "rb") as file:
        count = os.fstat(file.fileno()).st_size // INDEX_RECORD.size
        low, high = 0, count
        while low < high:
            middle = (low + high) // 2
            file.seek(middle * INDEX_RECORD.size)
            if INDEX_RECORD.unpack(file.read(INDEX_RECORD.size))[0] <= from_ms:
                low = middle + 1
            else:
                high = middle
        first = max(low - 1, 0)
        file.seek(first * INDEX_RECORD.size)
        data = file.read(min(most, count - first) * INDEX_RECORD.size)
    whole = len(data) // INDEX_RECORD.size * INDEX_RECORD.size
    return [IndexEntry(*record) for record in INDEX_RECORD.iter_unpack(data[:whole])]


class LogShelf:
    """All logs of this node: the open ones in hand, the closed ones on disk."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.open: dict[str, LogWriter] = {}

    def create(self, meta: LogMeta, head: bytes) -> LogWriter:
        """A new log with its preamble on it. Raises `LogFailed`."""
        try:
            writer = LogWriter(self.folder, meta, head)
        except OSError as error:
            raise LogFailed(error) from error
        self.open[meta.take_id] = writer
        return writer

    def view(self, take_id: str) -> LogView | None:
        """The log of a take, or None when this node does not hold it."""
        try:
            files = TakeFiles(self.folder, take_id)
        except ValueError:
            return None
        writer = self.open.get(take_id)
        meta = writer.meta if writer is not None else read_meta(files.meta)
        if meta is None:
            return None
        try:
            return LogView(files, meta, writer)
        except FileNotFoundError:
            return None

    def takes(self) -> Iterator[str]:
        """Ids of the takes that have a log here."""
        for path in sorted(self.folder.glob("*.flv")):
            if _TAKE_ID.fullmatch(path.stem):
                yield path.stem

    def readable(self) -> Iterator[str]:
        """Those of them that can be read, and so be recovered and served."""
        for take_id in self.takes():
            if read_meta(TakeFiles(self.folder, take_id).meta) is not None:
                yield take_id
