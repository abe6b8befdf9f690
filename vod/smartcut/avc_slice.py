"""H.264 slice headers: read, and written anew in front of the same slice data.

A picture that we encoded says its frame_num, picture order and parameter sets as another stream's
pictures would, and so continues that stream. ITU-T H.264, 7.3.3 and 7.3.4.
"""

from __future__ import annotations

from dataclasses import dataclass

from vod.smartcut.avc_sets import Pps, Sps
from vod.smartcut.bits import BitReader, BitsError, BitWriter, escape, unescape

NAL_SLICE, NAL_IDR, NAL_SEI, NAL_SPS, NAL_PPS = 1, 5, 6, 7, 8
P, B, I, SP, SI = range(5)  # noqa: E741

HEADER_BYTES = 2048
"""As much of a slice as is looked at for its header: the longest that the tables allow is less."""
_MAX_COMMANDS = 66
"""Reordering or marking commands in one header; 32 references of either parity, and the end."""


@dataclass(frozen=True, slots=True)
class Marking:
    """A memory management command: its number and first operand (7.4.3.3)."""

    command: int
    value: int


@dataclass(frozen=True, slots=True)
class SliceHeader:
    """A slice header. Positions are bits of the RBSP, NAL header included."""

    nal_type: int
    ref_idc: int
    first_mb: int
    kind: int
    """slice_type modulo 5."""
    pps: int
    frame_num: int
    idr_id: int | None
    poc_lsb: int
    type_at: int
    """Behind slice_type's place: where pic_parameter_set_id stands."""
    poc_end: int
    """Behind the picture order fields."""
    marking_at: int
    """Where dec_ref_pic_marking stands (or would)."""
    marking_end: int
    end: int
    """Where slice data (or its alignment) begins."""
    marking: tuple[Marking, ...]

    @property
    def is_idr(self) -> bool:
        return self.nal_type == NAL_IDR


def read_slice(nal: bytes, sets: dict[int, tuple[Sps, Pps]]) -> SliceHeader:
    """Read the header of a slice of progressive frames; ``sets`` by PPS number. Raises BitsError.

    ``nal`` may be cut behind HEADER_BYTES.
    """
    bits = BitReader(unescape(nal[:HEADER_BYTES]))
    bits.u(1)
    ref_idc, nal_type = bits.u(2), bits.u(5)
    first_mb, kind = bits.ue(), bits.ue() % 5
    type_at = bits.at
    pps_number = bits.ue()
    if pps_number not in sets:
        raise BitsError(f"slice of an unknown picture parameter set {pps_number}")
    sps, pps = sets[pps_number]
    if sps.interlaced or sps.poc_type == 1 or pps.groups > 1 or kind in (SP, SI):
        raise BitsError("a kind of slice that is not read")
    frame_num = bits.u(sps.frame_num_bits)
    idr_id = bits.ue() if nal_type == NAL_IDR else None
    poc_lsb = bits.u(sps.poc_bits)
    if sps.poc_type == 0 and pps.bottom_poc:
        bits.se()
    poc_end = bits.at
    if pps.redundant:
        bits.ue()
    refs = _references(bits, kind, pps)
    if kind != I:
        for _ in range(1 + (kind == B)):
            _skip_reordering(bits)
    if (pps.weighted and kind == P) or (pps.bi_weighted == 1 and kind == B):
        _skip_weights(bits, sps, refs[: 1 + (kind == B)])
    marking_at = bits.at
    marking = _read_marking(bits, nal_type == NAL_IDR) if ref_idc else ()
    marking_end = bits.at
    if pps.cabac and kind != I:
        bits.ue()  # cabac_init_idc
    bits.se()  # slice_qp_delta
    if pps.deblocking and bits.ue() != 1:
        bits.se()
        bits.se()
    return SliceHeader(
        nal_type, ref_idc, first_mb, kind, pps_number, frame_num, idr_id, poc_lsb, type_at,
        poc_end, marking_at, marking_end, bits.at, marking,
    )  # fmt: skip


def _references(bits: BitReader, kind: int, pps: Pps) -> tuple[int, int]:
    """num_ref_idx_l0/l1_active."""
    refs = pps.refs
    if kind == B:
        bits.u(1)  # direct_spatial_mv_pred_flag
    if kind != I and bits.flag():
        refs = (bits.ue() + 1, bits.ue() + 1 if kind == B else 0)
    return refs


def _skip_reordering(bits: BitReader) -> None:
    """One list's ref_pic_list_modification (7.3.3.1)."""
    if not bits.flag():
        return
    for _ in range(_MAX_COMMANDS):
        if bits.ue() == 3:
            return
        bits.ue()
    raise BitsError(f"more than {_MAX_COMMANDS} reordering commands")


def _skip_weights(bits: BitReader, sps: Sps, refs: tuple[int, ...]) -> None:
    """pred_weight_table (7.3.3.2)."""
    bits.ue()
    if sps.chroma:
        bits.ue()
    for count in refs:
        if count > 32:
            raise BitsError(f"{count} references in a list, at most 32")
        for _ in range(count):
            if bits.flag():
                bits.se()
                bits.se()
            if sps.chroma and bits.flag():
                for _ in range(4):
                    bits.se()


def _read_marking(bits: BitReader, idr: bool) -> tuple[Marking, ...]:
    """dec_ref_pic_marking (7.3.3.3)."""
    if idr:
        bits.u(2)
        return ()
    if not bits.flag():
        return ()
    commands: list[Marking] = []
    while command := bits.ue():
        if len(commands) >= _MAX_COMMANDS:
            raise BitsError(f"more than {_MAX_COMMANDS} marking commands")
        value = 0 if command == 5 else bits.ue()
        if command == 3:
            bits.ue()
        commands.append(Marking(command, value))
    return tuple(commands)


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the other stream a picture of ours stands."""

    frame_num: int
    poc: int
    """PicOrderCnt; only its low bits are written, and none when the stream's type is 2."""
    idr_id: int | None
    """None: it is no IDR picture there."""
    reference: bool = True
    intra: bool = False
    """It is an IDR picture of ours, and not one there."""
    unmark: tuple[int, ...] = ()
    """frame_nums of the pictures that are no references any more after it."""

    @property
    def is_idr(self) -> bool:
        return self.idr_id is not None


def rewrite_slice(
    nal: bytes, ours: dict[int, tuple[Sps, Pps]], sps: Sps, pps: Pps, place: Place
) -> bytes:
    """A slice of ours as one of ``sps`` and ``pps`` (our own PPS, renumbered). Raises BitsError.

    Only the header changes; slice data is moved to where the new header ends.
    """
    header = read_slice(nal, ours)
    if header.is_idr != (place.is_idr or place.intra):
        raise BitsError("a key picture where none belongs, or none where one does")
    rbsp = unescape(nal)
    bits, out = BitReader(rbsp[:HEADER_BYTES]), BitWriter()
    ref_idc = header.ref_idc if place.reference else 0
    out.u(ref_idc << 5 | (NAL_IDR if place.is_idr else NAL_SLICE), 8)
    out.bits(bits.copy(8, header.type_at))
    out.ue(pps.number)
    out.u(place.frame_num % sps.frame_nums, sps.frame_num_bits)
    if place.idr_id is not None:
        out.ue(place.idr_id)
    if sps.poc_type == 0:
        out.u(place.poc % sps.poc_range, sps.poc_bits)
    out.bits(bits.copy(header.poc_end, header.marking_at))
    if place.reference:
        _write_marking(out, bits, header, place, sps)
    out.bits(bits.copy(header.marking_end, header.end))
    if pps.cabac:
        out.align(1)  # cabac_alignment_one_bit, 7.3.4
        return escape(out.data() + rbsp[-(-header.end // 8) :])
    data = BitReader(rbsp)
    out.bits(data.copy(header.end, data.payload_end()))
    return escape(out.finish())


def _write_marking(
    out: BitWriter, bits: BitReader, header: SliceHeader, place: Place, sps: Sps
) -> None:
    """dec_ref_pic_marking (7.3.3.3)."""
    if place.unmark:
        out.u(1, 1)
        for number in place.unmark:
            out.ue(1)
            out.ue((place.frame_num - number - 1) % sps.frame_nums)
        out.ue(0)
    elif place.intra:
        out.u(0, 1)
    else:
        out.bits(bits.copy(header.marking_at, header.marking_end))
