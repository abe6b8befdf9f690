"""H.265 parameter sets and slices under other numbers, and the record that lists them.

ITU-T H.265, 7.3.1.2 to 7.3.3, 7.3.6.1; ISO/IEC 14496-15, 8.3.3.1 (hvcC). Our pictures keep their
own parameter sets beside the copied ones; a new sequence may begin at each of our IDR pictures, and
at a CRA picture that an end-of-sequence NAL unit goes before.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from vod.smartcut.bits import BitReader, BitsError, BitWriter, escape, unescape

VPS, SPS, PPS, SEI_PREFIX = 32, 33, 34, 39
BLA_FIRST, BLA_LAST, IDR_W_RADL, IDR_N_LP, CRA = 16, 18, 19, 20, 21
FIRST_NOT_SLICE = 32
END_OF_SEQUENCE = bytes([36 << 1, 1])

OUR_PPS = range(15, 31)
"""Numbers whose Exp-Golomb code is nine bits long, eight more than that of 0: a slice header of
an encoder that numbers its PPS 0 grows by a whole byte, and all behind it stays aligned."""

_LAYERS_MAX = 7


def nal_type(nal: bytes) -> int:
    return nal[0] >> 1 & 63


def renumber_vps(nal: bytes, number: int) -> bytes:
    """A VPS under another number (0 to 15)."""
    return nal[:2] + bytes([nal[2] & 0x0F | number << 4]) + nal[3:]


def renumber_sps(nal: bytes, number: int, vps: int) -> bytes:
    """An SPS under another number, for another VPS. Raises BitsError."""
    bits, out = BitReader(unescape(nal)), BitWriter()
    out.u(bits.u(16), 16)
    bits.u(4)
    out.u(vps, 4)
    _skip_profile(bits)
    out.bits(bits.copy(20, bits.at))
    bits.ue()
    out.ue(number)
    out.bits(bits.copy(bits.at, bits.payload_end()))
    return escape(out.finish())


def renumber_pps(nal: bytes, number: int, sps: int) -> bytes:
    """A PPS under another number, for another SPS. Raises BitsError."""
    bits, out = BitReader(unescape(nal)), BitWriter()
    out.u(bits.u(16), 16)
    bits.ue()
    bits.ue()
    out.ue(number)
    out.ue(sps)
    out.bits(bits.copy(bits.at, bits.payload_end()))
    return escape(out.finish())


def renumber_slice(nal: bytes, number: int) -> bytes:
    """A slice of PPS 0 as one of PPS ``number``, which is in OUR_PPS. Raises BitsError."""
    rbsp = unescape(nal)
    bits, out = BitReader(rbsp[:8]), BitWriter()
    # first_slice_segment_in_pic_flag; of an IRAP picture, no_output_of_prior_pics_flag.
    start = 16 + 1 + (BLA_FIRST <= nal_type(nal) <= 23)
    bits.u(start)
    if bits.ue() != 0:
        raise BitsError("the encoder's PPS is not number 0")
    out.bits(bits.copy(0, start))
    out.ue(number)
    rest = -bits.at % 8
    out.bits(bits.copy(bits.at, bits.at + rest))
    return escape(out.data() + rbsp[(bits.at + rest) // 8 :])


def _skip_profile(bits: BitReader) -> int:
    """sps_max_sub_layers_minus1 to profile_tier_level; the number of sub-layers."""
    layers = bits.u(3)
    if layers > _LAYERS_MAX - 1:
        raise BitsError(f"{layers + 1} sub-layers, at most {_LAYERS_MAX}")
    bits.u(1 + 88 + 8)
    present = [(bits.flag(), bits.flag()) for _ in range(layers)]
    if layers:
        bits.u(2 * (8 - layers))
    for profile, level in present:
        bits.u(88 * profile + 8 * level)
    return layers + 1


@dataclass(frozen=True, slots=True)
class Sps:
    """A sequence parameter set's picture format."""

    number: int
    profile: int
    tier: int
    level: int
    """Thirty times the level."""
    chroma: int
    width: int
    """Cropped, as shown."""
    height: int
    depth: int
    chroma_depth: int


def read_sps(nal: bytes) -> Sps:
    """Read an SPS as far as its bit depth. Raises BitsError."""
    bits = BitReader(unescape(nal))
    bits.u(20)
    general = BitReader(unescape(nal))
    general.u(24 + 2)
    tier, profile = general.u(1), general.u(5)
    general.u(80)
    level = general.u(8)
    _skip_profile(bits)
    number = bits.ue()
    chroma = bits.ue()
    if chroma == 3:
        bits.u(1)
    width, height = bits.ue(), bits.ue()
    if bits.flag():
        left, right, top, bottom = bits.ue(), bits.ue(), bits.ue(), bits.ue()
        width -= (left + right) * (2 if chroma in (1, 2) else 1)
        height -= (top + bottom) * (2 if chroma == 1 else 1)
    depth, chroma_depth = bits.ue() + 8, bits.ue() + 8
    return Sps(number, profile, tier, level, chroma, width, height, depth, chroma_depth)


def pps_number(nal: bytes) -> int:
    """Raises BitsError."""
    bits = BitReader(unescape(nal[:16]))
    bits.u(16)
    return bits.ue()


@dataclass(frozen=True, slots=True)
class HevcConfig:
    """An HEVCDecoderConfigurationRecord; ``sets`` are its NAL units by type, in order."""

    head: bytes
    """Up to the number of arrays."""
    sets: tuple[tuple[int, tuple[bytes, ...]], ...]

    @property
    def length_size(self) -> int:
        """Bytes of the length before each NAL unit."""
        return (self.head[21] & 3) + 1

    def of(self, kind: int) -> tuple[bytes, ...]:
        return tuple(nal for found, nals in self.sets if found == kind for nal in nals)

    def with_sets(self, more: dict[int, list[bytes]]) -> HevcConfig:
        """With further parameter sets."""
        kinds = [kind for kind, _ in self.sets]
        order = [*kinds, *(kind for kind in more if kind not in kinds)]
        return HevcConfig(
            self.head, tuple((kind, (*self.of(kind), *more.get(kind, ()))) for kind in order)
        )

    def write(self) -> bytes:
        """The record's bytes; every array is complete (no sets in the samples are needed)."""
        parts = [self.head, bytes([len(self.sets)])]
        for kind, nals in self.sets:
            parts.append(struct.pack(">BH", 0x80 | kind, len(nals)))
            parts += [struct.pack(">H", len(nal)) + nal for nal in nals]
        return b"".join(parts)


def read_config(record: bytes) -> HevcConfig:
    """Read the payload of an ``hvcC`` box. Raises BitsError."""
    if len(record) < 23 or record[0] != 1:
        raise BitsError("no HEVCDecoderConfigurationRecord")
    at = 23
    sets = []
    for _ in range(record[22]):
        if at + 3 > len(record):
            raise BitsError("hvcC ends within an array")
        kind, count = struct.unpack_from(">BH", record, at)
        at += 3
        nals = []
        for _ in range(count):
            size = int.from_bytes(record[at : at + 2], "big")
            at += 2 + size
            if not size or at > len(record):
                raise BitsError("hvcC ends within a parameter set")
            nals.append(record[at - size : at])
        sets.append((kind & 63, tuple(nals)))
    return HevcConfig(record[:22], tuple(sets))
