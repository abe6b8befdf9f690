"""The samples of registered footage as tables: when each is due and where its bytes lie.

Only the ``moof`` boxes are read. Footage in a local folder is read where it is; other footage is
fetched first.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from catalog.models import TIMESCALE
from infra.storage import NotFound, Storage
from transcode.fmp4.boxes import Fmp4Error, box_header
from transcode.fmp4.model import Track
from transcode.fmp4.moof import SampleRange, read_ranges
from transcode.fmp4.moov import TrackDefaults, read_moov
from transcode.fmp4.reader import MAX_MOOF_BYTES, MAX_MOOV_BYTES
from vod.footage import Part, Step, join_part
from vod.reordering import Ints

_OPEN_FILES: Final = 32
_BOX_HEAD: Final = 16
_SEND: Final = 8 << 20


class Files:
    """The files that samples lie in, by number; a bounded number of them is open."""

    def __init__(self) -> None:
        self._paths: list[Path] = []
        self._numbers: dict[Path, int] = {}
        self._open: OrderedDict[int, int] = OrderedDict()

    def number(self, path: Path) -> int:
        if path not in self._numbers:
            self._numbers[path] = len(self._paths)
            self._paths.append(path)
        return self._numbers[path]

    def _fd(self, number: int) -> int:
        if number in self._open:
            self._open.move_to_end(number)
            return self._open[number]
        if len(self._open) >= _OPEN_FILES:
            os.close(self._open.popitem(last=False)[1])
        try:
            self._open[number] = os.open(self._paths[number], os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise NotFound(f"{self._paths[number].name}: gone") from error
        return self._open[number]

    def read(self, number: int, offset: int, size: int) -> bytes:
        """Up to ``size`` bytes. Raises NotFound, OSError."""
        return os.pread(self._fd(number), size, offset)

    def read_all(self, number: int, offset: int, size: int) -> bytes:
        """Exactly ``size`` bytes. Raises NotFound, OSError."""
        data = self.read(number, offset, size)
        if len(data) != size:
            raise NotFound(f"{self._paths[number].name}: ends before byte {offset + size}")
        return data

    def send(self, number: int, offset: int, size: int, out: int, step: Step) -> None:
        """Bytes to the end of another file, without passing through Python."""
        end = offset + size
        while offset < end:
            sent = os.sendfile(out, self._fd(number), offset, min(_SEND, end - offset))
            if not sent:
                raise NotFound(f"{self._paths[number].name}: ends at byte {offset}")
            offset += sent
            step()

    def close(self) -> None:
        for fd in self._open.values():
            os.close(fd)
        self._open.clear()


@contextmanager
def opened() -> Iterator[Files]:
    """Files that are closed afterwards."""
    files = Files()
    try:
        yield files
    finally:
        files.close()


@dataclass(frozen=True, slots=True)
class Table:
    """Samples of one track in coded order, a column each. ``dts`` and ``pts`` are in the track's
    timescale, on the source's timeline."""

    track: Track
    dts: Ints
    pts: Ints
    duration: Ints
    key: NDArray[np.bool_]
    file: Ints
    offset: Ints
    size: Ints

    def __len__(self) -> int:
        return len(self.dts)

    @property
    def ticks(self) -> Ints:
        """``pts`` in ticks."""
        if self.track.timescale == TIMESCALE:
            return self.pts
        return self.pts * TIMESCALE // self.track.timescale

    def peek(self, files: Files, index: int, size: int) -> bytes:
        """The first bytes of a sample."""
        least = min(size, int(self.size[index]))
        return files.read_all(int(self.file[index]), int(self.offset[index]), least)

    def data(self, files: Files, index: int) -> bytes:
        """A sample."""
        return self.peek(files, index, int(self.size[index]))


@dataclass(frozen=True, slots=True)
class Tables:
    """What a part holds."""

    video: Table | None
    audio: Table | None


def read_tables(files: Files, storage: Storage, part: Part, fetched: Path, step: Step) -> Tables:
    """Read a part's tables; where its storage is not local, into the file ``fetched`` first.

    Raises Fmp4Error, StorageError, OSError.
    """
    stretches = _local(files, storage, part)
    if stretches is None:
        size = join_part(storage, part, fetched, step)
        number = files.number(fetched)
        init = files.read_all(number, 0, part.init.size)
        stretches = [(number, part.init.size, size - part.init.size)]
    else:
        (number, offset, size), *stretches = stretches
        if size > MAX_MOOV_BYTES:
            raise Fmp4Error(f"init section of {size} bytes, limit {MAX_MOOV_BYTES}")
        init = files.read_all(number, offset, size)
    return _tables(files, init, stretches, step)


def read_file(files: Files, path: Path, step: Step) -> Tables:
    """Read the tables of one fragmented file. Raises Fmp4Error, OSError."""
    number, size = files.number(path), path.stat().st_size
    at = 0
    while (header := box_header(head := files.read(number, at, _BOX_HEAD), 0, len(head))) and (
        header[0] != b"moov"
    ):
        at += header[2]
    if header is None or header[2] > MAX_MOOV_BYTES:
        raise Fmp4Error("no moov box, or a huge one")
    end = at + header[2]
    return _tables(files, files.read_all(number, 0, end), [(number, end, size - end)], step)


def _tables(
    files: Files, init: bytes, stretches: Sequence[tuple[int, int, int]], step: Step
) -> Tables:
    tracks, defaults = read_moov(_moov(init))
    rows: dict[int, list[tuple[int, int, SampleRange]]] = {t.track_id: [] for t in tracks}
    for number, offset, size in stretches:
        _read_stretch(files, number, offset, size, defaults, rows)
        step()
    found: dict[str, Table] = {}
    for track in tracks:
        if track.kind not in found and rows[track.track_id]:
            found[track.kind] = _table(track, rows[track.track_id])
    return Tables(found.get("video"), found.get("audio"))


def _local(files: Files, storage: Storage, part: Part) -> list[tuple[int, int, int]] | None:
    """(file, offset, size) of the init section and each segment; None when one is not here."""
    found = []
    for blob in (part.init, *part.segments):
        path = storage.local_path(blob.key)
        if path is None or not path.exists():
            return None
        found.append((files.number(path), blob.offset, blob.size))
    return found


def _moov(init: bytes) -> bytes:
    at = 0
    while (header := box_header(init, at, len(init))) is not None:
        kind, _, size = header
        if kind == b"moov":
            return init[at : at + size]
        at += size
    raise Fmp4Error("no moov box")


def _read_stretch(
    files: Files,
    number: int,
    offset: int,
    size: int,
    defaults: dict[int, TrackDefaults],
    rows: dict[int, list[tuple[int, int, SampleRange]]],
) -> None:
    """The samples of a segment. ``rows`` get (file, offset of the moof, range)."""
    at, end = offset, offset + size
    while at < end:
        head = files.read(number, at, _BOX_HEAD)
        header = box_header(head, 0, len(head))
        if header is None or at + header[2] > end:
            raise NotFound(f"a segment ends within a box, at byte {at} of {offset}+{size}")
        kind, _, length = header
        if kind == b"moof":
            if length > MAX_MOOF_BYTES:
                raise Fmp4Error(f"moof of {length} bytes, limit {MAX_MOOF_BYTES}")
            moof = files.read_all(number, at, length)
            for found in read_ranges(moof, length + 8, defaults)[1]:
                if at + found.offset + found.size > end:
                    raise Fmp4Error("a sample lies behind its segment")
                if found.track_id in rows:
                    rows[found.track_id].append((number, at, found))
        at += length


def _table(track: Track, rows: Sequence[tuple[int, int, SampleRange]]) -> Table:
    columns = np.array(
        [
            (r.dts, r.dts + r.cts, r.duration, r.is_sync, number, at + r.offset, r.size)
            for number, at, r in rows
        ],
        np.int64,
    ).T
    dts, pts, duration, key, file, offset, size = columns
    return Table(track, dts, pts, duration, key.astype(np.bool_), file, offset, size)
