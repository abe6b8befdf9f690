"""What a scan of an original finds: its streams, and one row a packet in the order of decoding.

Pure. It crosses from the sandboxed reader to the job as msgpack.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

Column = NDArray[np.int64]

MAX_PACKETS: Final = 6_000_000
"""Of one stream: 24 hours at 60 pictures a second, and a little more of sound."""
MAX_STREAMS: Final = 32

NO_TIME: Final = -(1 << 63)
"""A timestamp the container does not give."""


@dataclass(frozen=True, slots=True)
class Packets:
    """Columns of one stream's packets. Times in the stream's own time base."""

    base: Fraction
    """Seconds of one unit of ``pts``, ``dts``, ``duration``."""
    pts: Column
    dts: Column
    duration: Column
    """0 where the container says nothing."""
    size: Column
    order: Column
    """Place in the file's reading order, over both streams."""
    at: Column
    """Its first byte in the file, -1 where that is not known."""
    keys: Column
    """Rows that are key frames."""
    hidden: Column
    """Rows the container says are not to be shown (outside its edit list)."""

    def __len__(self) -> int:
        return len(self.pts)


class Picture(msgspec.Struct, frozen=True):
    """The picture stream. Sizes as coded; ``rotation`` in degrees clockwise, to stand upright, and
    ``mirrored`` as the display matrix of ISO/IEC 14496-12 has it."""

    index: int
    codec: str
    profile: str
    level: int
    width: int
    height: int
    pixel_format: str
    sample_aspect: tuple[int, int]
    rotation: int = 0
    mirrored: bool = False
    interlaced: bool = False
    transfer: int = 0
    """Transfer characteristics (ITU-T H.273)."""
    global_header: bool = False
    """Parameter sets stand in the container's header (avcC) and nowhere else."""
    open_gop: bool = False
    """A key frame is no IDR picture, or cannot be told to be one: not every player can begin
    there."""


class Sound(msgspec.Struct, frozen=True):
    """The sound stream chosen of those there are."""

    index: int
    codec: str
    profile: str
    sample_rate: int
    channels: int
    bit_rate: int
    frame_size: int
    """Samples a packet where the codec says so, else 0."""


@dataclass(frozen=True, slots=True)
class Table:
    """An original, scanned."""

    container: str
    """FFmpeg's names of its format."""
    picture: Picture | None
    sound: Sound | None
    video: Packets | None
    audio: Packets | None
    broken: bool
    """Reading ended with an error: what would come after is lost."""


# --- over the wire ---------------------------------------------------------------------------


class WirePackets(msgspec.Struct):
    """``Packets`` as bytes of 64-bit little-endian integers."""

    base: tuple[int, int]
    columns: list[bytes] = []


class WireTable(msgspec.Struct):
    """What the reader writes to its result file."""

    container: str
    picture: Picture | None = None
    sound: Sound | None = None
    video: WirePackets | None = None
    audio: WirePackets | None = None
    broken: bool = False


def read_table(data: bytes) -> Table:
    """The table a reader wrote. Raises msgspec.ValidationError, ValueError."""
    wire = msgspec.msgpack.decode(data, type=WireTable)
    return Table(
        wire.container, wire.picture, wire.sound, _packets(wire.video), _packets(wire.audio),
        wire.broken,
    )  # fmt: skip


def _packets(wire: WirePackets | None) -> Packets | None:
    if wire is None:
        return None
    columns = [np.frombuffer(column, dtype="<i8") for column in wire.columns]
    pts, dts, duration, size, order, at, keys, hidden = columns
    rows = len(pts)
    if not rows or rows > MAX_PACKETS or any(len(c) != rows for c in columns[:6]):
        raise ValueError(f"a table of {rows} packets")
    if any(len(c) and (c[0] < 0 or c[-1] >= rows) for c in (keys, hidden)):
        raise ValueError("a row that is none")
    return Packets(Fraction(*wire.base), pts, dts, duration, size, order, at, keys, hidden)


class Digest:
    """Tells whether the same packets, as (pts, size), are read again."""

    def __init__(self) -> None:
        self._state = hashlib.blake2b(digest_size=12)

    def add(self, pts: int, size: int) -> None:
        self._state.update(b"%d,%d;" % (pts, size))

    def text(self) -> str:
        return self._state.hexdigest()


def digest_of(packets: Packets, first: int, after: int) -> str:
    """The digest of the rows from ``first`` to before ``after``."""
    found = Digest()
    for pts, size in zip(packets.pts[first:after], packets.size[first:after], strict=True):
        found.add(int(pts), int(size))
    return found.text()
