"""ISO/IEC 14496-12 boxes: finding them in bytes, and building them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple


class Fmp4Error(ValueError):
    """The bytes are not the fragmented MP4 we read (the producer's fault, not ours)."""


class Box(NamedTuple):
    """One box in a buffer: ``start`` of its header, ``body`` of its payload, ``end`` of both."""

    kind: bytes
    start: int
    body: int
    end: int


FREE: Final = b"\x00\x00\x00\x08free"
"""A box of nothing (ISO/IEC 14496-12 8.1.2), which every reader steps over.

It stands between the segments of one file: FFmpeg 9's HLS demuxer asks for ranges that touch as
for one, and then reads no further than the first of them.
"""


def box_header(data: bytes | bytearray, at: int, limit: int) -> tuple[bytes, int, int] | None:
    """(type, header length, whole length) of the box at ``at``; None when more bytes are needed.

    A size of 0 ("to the end of the file") has no meaning in a pipe and is refused.
    """
    if limit - at < 8:
        return None
    size, kind = struct.unpack_from(">I4s", data, at)
    head = 8
    if size == 1:
        if limit - at < 16:
            return None
        (size,) = struct.unpack_from(">Q", data, at + 8)
        head = 16
    if size < head:
        raise Fmp4Error(f"box {kind!r} declares {size} bytes, less than its header")
    return kind, head, size


def boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[Box]:
    """The boxes of ``data[start:end]``, which must be whole."""
    at = start
    stop = len(data) if end is None else end
    while at < stop:
        header = box_header(data, at, stop)
        if header is None or at + header[2] > stop:
            raise Fmp4Error(f"box at {at} runs over its parent's end at {stop}")
        kind, head, size = header
        yield Box(kind, at, at + head, at + size)
        at += size


def find(data: bytes, path: str, start: int = 0, end: int | None = None) -> Box | None:
    """The first box at ``path`` ("mdia/minf/stbl")."""
    name, _, rest = path.partition("/")
    wanted = name.encode()
    for box in boxes(data, start, end):
        if box.kind == wanted:
            return find(data, rest, box.body, box.end) if rest else box
    return None


def need(data: bytes, path: str, start: int = 0, end: int | None = None) -> Box:
    """As ``find``, but its absence is an error."""
    box = find(data, path, start, end)
    if box is None:
        raise Fmp4Error(f"no {path} box")
    return box


def make(kind: bytes, *payload: bytes) -> bytes:
    """A box."""
    body = b"".join(payload)
    return struct.pack(">I4s", len(body) + 8, kind) + body


def make_full(kind: bytes, version: int, flags: int, *payload: bytes) -> bytes:
    """A full box: one with version and flags."""
    return make(kind, struct.pack(">I", (version << 24) | flags), *payload)
