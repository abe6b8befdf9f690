"""Opens an original for the sandboxed reader: a file, or a distant object asked for in pieces."""

from __future__ import annotations

import io
import struct
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import IO, Any, Final

import av
import msgspec
from av.container import InputContainer
from av.stream import Discard

from vod.originals.table import NO_TIME
from vod.originals.wanted import PictureJob, SoundJob

BLOCK: Final = 1 << 20
BLOCKS_KEPT: Final = 24
ASK: Final = struct.Struct("<qq")
"""First byte wanted, and the one after the last; a length and as many bytes come back."""
LENGTH: Final = struct.Struct("<q")


class Order(msgspec.Struct):
    """What the job asks of the reader."""

    options: dict[str, str]
    """FFmpeg's limits of the input."""
    result: str
    path: str | None = None
    ask_fd: int = -1
    answer_fd: int = -1
    size: int = 0
    video: PictureJob | None = None
    audio: SoundJob | None = None
    video_index: int = -1
    audio_index: int = -1
    pictures: str = ""
    """Where the coded pictures go; the extension names the container."""
    copied: str = ""
    """Where those of ``keep`` go as fragments, for a rung that is a copy."""
    keep: tuple[int, int] = (0, 0)
    """Ticks."""
    samples: str = ""


class _Remote(io.RawIOBase):
    """The original, asked for over pipes."""

    def __init__(self, ask: IO[bytes], answer: IO[bytes], size: int) -> None:
        self._ask, self._answer, self._size = ask, answer, size
        self._at = 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = max(0, (0, self._at, self._size)[whence] + offset)
        return self._at

    def read(self, size: int = -1) -> bytes:
        number, inside = divmod(self._at, BLOCK)
        if self._at >= self._size:
            return b""
        block = self._blocks.get(number)
        if block is None:
            start = number * BLOCK
            self._ask.write(ASK.pack(start, min(start + BLOCK, self._size)))
            self._ask.flush()
            (length,) = LENGTH.unpack(self._exactly(LENGTH.size))
            if length < 0:
                raise OSError("the original could not be read")
            block = self._exactly(length)
            self._blocks[number] = block
            if len(self._blocks) > BLOCKS_KEPT:
                self._blocks.popitem(last=False)
        data = block[inside : inside + size] if size >= 0 else block[inside:]
        self._at += len(data)
        return data

    def _exactly(self, size: int) -> bytes:
        data = self._answer.read(size)
        if len(data) != size:
            raise OSError("the original is gone")
        return data


class Original:
    """Opens the original as often as it is needed."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._remote: _Remote | None = None
        if order.path is None:
            ask = open(order.ask_fd, "wb", closefd=False)  # noqa: SIM115 - kept to the end
            answer = open(order.answer_fd, "rb", closefd=False)  # noqa: SIM115
            self._remote = _Remote(ask, answer, order.size)

    def open(self, begin: int = 0) -> InputContainer:
        """The original, or what of it lies behind byte ``begin``."""
        place: Any = f"file:{self._order.path}"
        options = {"fflags": "+genpts", **self._order.options}
        if self._remote is not None or begin:
            place = _From(self._remote or self._local(), begin)
            options.pop("protocol_whitelist", None)
        container: InputContainer = av.open(place, mode="r", options=options, buffer_size=1 << 18)
        return container

    def _local(self) -> io.RawIOBase:
        assert self._order.path is not None
        return open(self._order.path, "rb", buffering=0)


class _From(io.RawIOBase):
    """A file as if it began further on."""

    def __init__(self, whole: io.RawIOBase, begin: int) -> None:
        self._whole, self._begin = whole, begin
        whole.seek(begin)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._whole.tell() - self._begin

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._whole.seek(offset + (self._begin if whence == 0 else 0), whence) - self._begin

    def read(self, size: int = -1) -> bytes:
        return self._whole.read(size) or b""


def packets(container: InputContainer, wanted: Iterable[int]) -> Iterator[av.Packet[Any]]:
    """The packets of these streams, in reading order; the rest of the file is skipped."""
    listed = list(wanted)
    for stream in container.streams:
        if stream.index not in listed:
            stream.discard = Discard.all
    for packet in container.demux([container.streams[index] for index in listed]):
        if packet.size:
            yield packet


def time_of(value: int | None) -> int:
    """A timestamp as tables keep it."""
    return NO_TIME if value is None else value
