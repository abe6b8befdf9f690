"""H.264 parameter sets: read as far as a splice depends on them, written with small changes.

ITU-T H.264, 7.3.2.1.1 (SPS), 7.3.2.2 (PPS), E.1.1 (VUI); ISO/IEC 14496-15, 5.3.3.1 (avcC).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace

from vod.smartcut.bits import BitReader, BitsError, BitWriter, escape, unescape

_HIGH = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
_EXTENDED_SAR = 255
_LONGEST_VECTOR = 16
"""log2_max_mv_length, as it is inferred when not said."""


@dataclass(frozen=True, slots=True)
class Sps:
    """A sequence parameter set. Positions are bits of its RBSP, NAL header included."""

    nal: bytes
    number: int
    profile: int
    level: int
    """Ten times the level."""
    chroma: int
    """chroma_format_idc: 1 is 4:2:0."""
    depth: int
    """Bits a sample, the larger of luma's and chroma's."""
    special: bool
    """Scaling matrices, lossless bypass or separate colour planes."""
    frame_num_bits: int
    poc_type: int
    poc_bits: int
    """Of pic_order_cnt_lsb; 0 unless the type is 0."""
    max_refs: int
    gaps_allowed: bool
    gaps_at: int
    """Where gaps_in_frame_num_value_allowed_flag stands."""
    interlaced: bool
    width: int
    """Cropped, as shown."""
    height: int
    vui_at: int
    """Where vui_parameters_present_flag stands."""
    restriction_at: int | None
    """Where bitstream_restriction_flag stands; None without a VUI."""
    reorder: int | None
    """max_num_reorder_frames; None: not said."""

    @property
    def frame_nums(self) -> int:
        """MaxFrameNum."""
        return 1 << self.frame_num_bits

    @property
    def poc_range(self) -> int:
        """MaxPicOrderCntLsb."""
        return 1 << self.poc_bits

    def with_gaps(self) -> Sps:
        """The same, but that frame_num may skip values (7.4.2.1.1)."""
        if self.gaps_allowed:
            return self
        rbsp = bytearray(unescape(self.nal))
        rbsp[self.gaps_at // 8] |= 0x80 >> self.gaps_at % 8
        return replace(self, nal=escape(bytes(rbsp)), gaps_allowed=True)

    def with_reorder(self, frames: int) -> Sps:
        """The same, but that it says how far pictures are reordered (E.2.1), if it does not:
        a decoder that begins with a stretch without B pictures would guess wrongly."""
        if self.reorder is not None:
            return self
        bits, out = BitReader(unescape(self.nal)), BitWriter()
        if self.restriction_at is None:
            out.bits(bits.copy(0, self.vui_at))
            out.u(1, 1)
            out.u(0, 8)  # Aspect, overscan, signal, chroma place, timing, HRD twice, pic_struct.
        else:
            out.bits(bits.copy(0, self.restriction_at))
        out.u(0b11, 2)  # bitstream_restriction_flag, motion_vectors_over_pic_boundaries_flag
        buffering = max(frames, self.max_refs)
        for value in (0, 0, _LONGEST_VECTOR, _LONGEST_VECTOR, frames, buffering):
            out.ue(value)
        return read_sps(escape(out.finish()))


def read_sps(nal: bytes) -> Sps:
    """Read a sequence parameter set. Raises BitsError."""
    bits = BitReader(unescape(nal))
    bits.u(8)
    profile = bits.u(8)
    bits.u(8)
    level = bits.u(8)
    number = bits.ue()
    chroma, depth, special = _chroma(bits) if profile in _HIGH else (1, 8, False)
    frame_num_bits = bits.ue() + 4
    poc_type = bits.ue()
    poc_bits = bits.ue() + 4 if poc_type == 0 else 0
    if poc_type == 1:
        bits.u(1)
        bits.se()
        bits.se()
        for _ in range(min(bits.ue(), 255)):
            bits.se()
    max_refs = bits.ue()
    gaps_at = bits.at
    gaps = bits.flag()
    columns, rows = bits.ue() + 1, bits.ue() + 1
    frames_only = bits.flag()
    if not frames_only:
        bits.u(1)
    bits.u(1)  # direct_8x8_inference_flag
    width, height = columns * 16, rows * 16 * (2 - frames_only)
    if bits.u(1):
        left, right, top, bottom = bits.ue(), bits.ue(), bits.ue(), bits.ue()
        width -= (left + right) * (2 if chroma in (1, 2) else 1)
        height -= (top + bottom) * (2 if chroma == 1 else 1) * (2 - frames_only)
    vui_at = bits.at
    restriction_at = _to_restriction(bits) if bits.flag() else None
    return Sps(
        nal, number, profile, level, chroma, depth, special, frame_num_bits, poc_type, poc_bits,
        max_refs, gaps, gaps_at, not frames_only, width, height, vui_at, restriction_at,
        _reorder(bits) if restriction_at is not None else None,
    )  # fmt: skip


def _chroma(bits: BitReader) -> tuple[int, int, bool]:
    """(chroma_format_idc, bit depth, whether there is anything unusual)."""
    chroma = bits.ue()
    special = chroma == 3 and bits.flag()
    depth = 8 + max(bits.ue(), bits.ue())
    special |= bits.flag()
    if bits.flag():
        special = True
        for index in range(8 if chroma != 3 else 12):
            if bits.flag():
                _skip_scaling_list(bits, 16 if index < 6 else 64)
    return chroma, depth, special


def _skip_scaling_list(bits: BitReader, size: int) -> None:
    """7.3.2.1.1.1."""
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.se()) % 256
        last = following or last


def _to_restriction(bits: BitReader) -> int:
    """Read a VUI up to bitstream_restriction_flag; where that stands."""
    if bits.flag() and bits.u(8) == _EXTENDED_SAR:
        bits.u(32)
    if bits.flag():
        bits.u(1)
    if bits.flag():
        bits.u(4)
        if bits.flag():
            bits.u(24)
    if bits.flag():
        bits.ue()
        bits.ue()
    if bits.flag():
        bits.u(65)
    hrds = 0
    for _ in range(2):
        if bits.flag():
            hrds += 1
            _skip_hrd(bits)
    if hrds:
        bits.u(1)
    bits.u(1)  # pic_struct_present_flag
    return bits.at


def _skip_hrd(bits: BitReader) -> None:
    """E.1.2."""
    count = bits.ue() + 1
    if count > 32:
        raise BitsError(f"HRD of {count} schedules, at most 32")
    bits.u(8)
    for _ in range(count):
        bits.ue()
        bits.ue()
        bits.u(1)
    bits.u(20)


def _reorder(bits: BitReader) -> int | None:
    if not bits.flag():
        return None
    bits.u(1)
    for _ in range(4):
        bits.ue()
    return bits.ue()


@dataclass(frozen=True, slots=True)
class Pps:
    """A picture parameter set, as far as slice headers depend on it."""

    nal: bytes
    number: int
    sps: int
    cabac: bool
    bottom_poc: bool
    """bottom_field_pic_order_in_frame_present_flag."""
    groups: int
    """Slice groups; more than one is for nobody."""
    refs: tuple[int, int]
    """num_ref_idx_l0/l1_default_active."""
    weighted: bool
    bi_weighted: int
    deblocking: bool
    """deblocking_filter_control_present_flag."""
    redundant: bool

    def renumbered(self, number: int, sps: int) -> Pps:
        """The same under another number, for another SPS."""
        bits, out = BitReader(unescape(self.nal)), BitWriter()
        out.u(bits.u(8), 8)
        bits.ue()
        bits.ue()
        out.ue(number)
        out.ue(sps)
        out.bits(bits.copy(bits.at, bits.payload_end()))
        return replace(self, nal=escape(out.finish()), number=number, sps=sps)


def read_pps(nal: bytes) -> Pps:
    """Read a picture parameter set. Raises BitsError."""
    bits = BitReader(unescape(nal))
    bits.u(8)
    number, sps = bits.ue(), bits.ue()
    cabac, bottom_poc = bits.flag(), bits.flag()
    groups = bits.ue() + 1
    if groups > 1:
        return Pps(nal, number, sps, cabac, bottom_poc, groups, (1, 1), False, 0, False, False)
    refs = (bits.ue() + 1, bits.ue() + 1)
    weighted, bi_weighted = bits.flag(), bits.u(2)
    for _ in range(3):
        bits.se()
    deblocking = bits.flag()
    bits.u(1)
    return Pps(
        nal, number, sps, cabac, bottom_poc, groups, refs, weighted, bi_weighted, deblocking,
        bits.flag(),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class AvcConfig:
    """An AVCDecoderConfigurationRecord."""

    head: bytes
    """Version, profile, compatibility, level."""
    length_size: int
    """Bytes of the length before each NAL unit."""
    sps: tuple[bytes, ...]
    pps: tuple[bytes, ...]
    tail: bytes
    """Chroma format and depths, of the high profiles."""

    def write(self) -> bytes:
        """The record's bytes."""
        parts = [self.head, bytes([0xFC | self.length_size - 1, 0xE0 | len(self.sps)])]
        parts += [struct.pack(">H", len(nal)) + nal for nal in self.sps]
        parts.append(bytes([len(self.pps)]))
        parts += [struct.pack(">H", len(nal)) + nal for nal in self.pps]
        return b"".join(parts) + self.tail


def read_config(record: bytes) -> AvcConfig:
    """Read the payload of an ``avcC`` box. Raises BitsError."""
    if len(record) < 7 or record[0] != 1:
        raise BitsError("no AVCDecoderConfigurationRecord")
    sps, at = _nals(record, 6, record[5] & 0x1F)
    if at >= len(record):
        raise BitsError("avcC ends before its picture parameter sets")
    pps, at = _nals(record, at + 1, record[at])
    return AvcConfig(record[:4], (record[4] & 3) + 1, sps, pps, record[at:])


def _nals(record: bytes, at: int, count: int) -> tuple[tuple[bytes, ...], int]:
    found = []
    for _ in range(count):
        size = int.from_bytes(record[at : at + 2], "big")
        at += 2 + size
        if not size or at > len(record):
            raise BitsError("avcC ends within a parameter set")
        found.append(record[at - size : at])
    return tuple(found), at
