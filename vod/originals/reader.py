"""The sandboxed reader of originals: a program of its own that never sees more than one file.

    python -m vod.originals.reader ORDER

Two things it can do. Scanning, it reads every packet's times and writes the table; nothing but the
first few pictures is decoded. Cutting out (``excerpt``), it copies a chunk's pictures, coded as
they are, into a small file with the work's own timestamps, and decodes its sound into samples.
"""

from __future__ import annotations

import contextlib
import struct
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
import av.error
import msgspec
import numpy as np
from av.container import InputContainer
from av.stream import Disposition

from transcode.fmp4.nal import KEY_PEEK_BYTES, is_idr
from vod.originals.excerpt import Differs, cut
from vod.originals.original import Order, Original, packets, time_of
from vod.originals.table import MAX_PACKETS, Picture, Sound, WirePackets, WireTable

EXIT_UNREADABLE: Final = 3
EXIT_DIFFERS: Final = 4

_PROBE_FRAMES: Final = 4
_PROBE_PACKETS: Final = 400
_SAY_PACKETS: Final = 2_000
_COLUMNS: Final = 6


class _Columns:
    """One stream's packets as they are read."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, ...]] = []
        self.keys: list[int] = []
        self.hidden: list[int] = []
        self._packed: list[bytes] = []
        self.count = 0
        self.open_gop = False

    def add(self, packet: av.Packet[Any], order: int) -> None:
        if packet.is_keyframe:
            self.keys.append(self.count)
            self.open_gop = self.open_gop or _is_open(packet)
        if packet.is_discard:
            self.hidden.append(self.count)
        self.rows.append(
            (
                time_of(packet.pts), time_of(packet.dts), packet.duration or 0, packet.size, order,
                -1 if packet.pos is None else packet.pos,
            )
        )  # fmt: skip
        self.count += 1
        if len(self.rows) >= 1 << 16:
            self._pack()
        if self.count > MAX_PACKETS:
            raise ValueError(f"more than {MAX_PACKETS} packets")

    def _pack(self) -> None:
        self._packed.append(np.array(self.rows, "<i8").reshape(-1, _COLUMNS).tobytes())
        self.rows.clear()

    def wire(self, base: Fraction | None) -> WirePackets | None:
        self._pack()
        if not self.count or base is None:
            return None
        table = np.frombuffer(b"".join(self._packed), "<i8").reshape(-1, _COLUMNS)
        columns = [table[:, n].tobytes() for n in range(_COLUMNS)]
        columns += [np.array(self.keys, "<i8").tobytes(), np.array(self.hidden, "<i8").tobytes()]
        return WirePackets((base.numerator, base.denominator), columns)


def scan(order: Order) -> bytes:
    """The table of an original. Raises FFmpegError when it cannot be opened."""
    source = Original(order)
    with source.open() as container:
        video, audio = _chosen(container, set(order.options["codec_whitelist"].split(",")))
        if video is not None and video.width * video.height > int(order.options["max_pixels"]):
            raise ValueError(f"a picture of {video.width}x{video.height}")
        picture = None if video is None else _describe(container, video)
        sound = None if audio is None else _describe_sound(audio)
    columns = {part.index: _Columns() for part in (picture, sound) if part is not None}
    broken = False
    with source.open() as container:
        try:
            for number, packet in enumerate(packets(container, columns)):
                columns[packet.stream.index].add(packet, number)
                if number % _SAY_PACKETS == 0 and packet.pos is not None and packet.pos > 0:
                    _say(packet.pos)
        except av.error.FFmpegError:
            # A truncated or damaged end: what was read until there is good.
            broken = True
        wire = WireTable(container.format.name, broken=broken)
        if picture is not None and (found := _wire(container, columns, picture.index)):
            entered = msgspec.structs.replace(picture, open_gop=columns[picture.index].open_gop)
            wire.picture, wire.video = entered, found
        if sound is not None and (found := _wire(container, columns, sound.index)):
            wire.sound, wire.audio = sound, found
    return msgspec.msgpack.encode(wire)


def _wire(
    container: InputContainer, columns: dict[int, _Columns], index: int
) -> WirePackets | None:
    return columns[index].wire(container.streams[index].time_base)


def _chosen(container: InputContainer, allowed: set[str]) -> tuple[Any, Any]:
    """The default of each kind, else the first; a cover picture is no film. Decoders that are not
    ``allowed`` are never opened: FFmpeg's own list guards only what FFmpeg itself opens."""

    def best(streams: Any) -> Any:
        found = [s for s in streams if not s.disposition & Disposition.attached_pic]
        taken = [s for s in found if s.codec_context and s.codec_context.codec.name in allowed]
        if found and not taken:
            # A film without its picture would be worse than none.
            raise ValueError(f"{found[0].type} in a codec that is not taken")
        default = [s for s in taken if s.disposition & Disposition.default]
        return (default or taken or [None])[0]

    return best(container.streams.video), best(container.streams.audio)


def _describe(container: InputContainer, stream: Any) -> Picture:
    """The picture, from its header and its first few frames."""
    context = stream.codec_context
    interlaced, rotation, mirrored, transfer = False, 0, False, 0
    frames = 0
    with contextlib.suppress(av.error.FFmpegError):
        for count, packet in enumerate(container.demux(stream)):
            try:
                for frame in packet.decode():
                    interlaced = interlaced or bool(frame.interlaced_frame)
                    rotation = int(frame.rotation) if frames == 0 else rotation
                    mirrored = _mirrored(frame) if frames == 0 else mirrored
                    transfer = int(frame.color_trc or 0) if frames == 0 else transfer
                    frames += 1
            except av.error.FFmpegError:
                continue
            if frames >= _PROBE_FRAMES or count > _PROBE_PACKETS:
                break
    aspect = stream.sample_aspect_ratio or context.sample_aspect_ratio
    pair = (aspect.numerator, aspect.denominator) if aspect else (1, 1)
    extra = context.extradata or b""
    return Picture(
        stream.index, _codec(context), str(context.profile or ""), int(context.level or 0),
        context.width, context.height, str(context.pix_fmt or ""), pair,
        # PyAV counts against the clock.
        -rotation % 360, mirrored, interlaced, transfer or int(context.color_trc or 0),
        _codec(context) == "h264" and extra[:1] == b"\x01",
    )  # fmt: skip


def _is_open(packet: av.Packet[Any]) -> bool:
    """Of a key frame, whether it is no IDR picture."""
    context = packet.stream.codec_context
    if _codec(context) not in ("h264", "hevc"):
        return False
    sample = bytes(memoryview(packet)[:KEY_PEEK_BYTES])
    return not is_idr(_codec(context), context.extradata or b"", sample)


def _mirrored(frame: Any) -> bool:
    """Whether its display matrix ({a, b, u, c, d, v, x, y, w} of 32 bits) turns it over, too."""
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return False
    a, b, _, c, d = struct.unpack_from("=5i", bytes(matrix))
    return bool(a * d < b * c)


def _codec(context: Any) -> str:
    return str(context.codec.canonical_name)


def _describe_sound(stream: Any) -> Sound:
    context = stream.codec_context
    return Sound(
        stream.index, _codec(context), str(context.profile or ""), int(context.sample_rate or 0),
        int(context.channels or 0), int(context.bit_rate or 0), int(context.frame_size or 0),
    )  # fmt: skip


def _say(position: int) -> None:
    """How far reading is, for whoever waits."""
    sys.stdout.write(f"{position}\n")
    sys.stdout.flush()


# --- the program -----------------------------------------------------------------------------


def main(argv: list[str]) -> int:
    """Do what the order says; 0, or an EXIT_ code with a line of why on stderr."""
    av.logging.set_level(av.logging.PANIC)
    order = msgspec.msgpack.decode(Path(argv[0]).read_bytes(), type=Order)
    try:
        result = cut(order) if order.pictures or order.samples else scan(order)
    except Differs:
        sys.stderr.write("the original is not what was scanned\n")
        return EXIT_DIFFERS
    except (av.error.FFmpegError, ValueError, OverflowError) as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return EXIT_UNREADABLE
    Path(order.result).write_bytes(result)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
