"""Bits, parameter sets and slice headers of the smart cut: read back as written, and only what
must change changes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vod.smartcut import avc_sets, hevc
from vod.smartcut.avc_sets import Pps, Sps, read_pps, read_sps
from vod.smartcut.avc_slice import NAL_IDR, I, P, Place, read_slice, rewrite_slice
from vod.smartcut.bits import BitReader, BitsError, BitWriter, escape, unescape

# x264, High 4.0, 1920×1080, B-frames, VUI with reordering; and its PPS.
SPS = bytes.fromhex("67640028acd940780227e5c044000003000400000300c83c60c658")
PPS = bytes.fromhex("68e938f2c8b0")
ALL_SETS = dict.fromkeys(range(256), (read_sps(SPS), read_pps(PPS)))


@given(st.binary(min_size=1, max_size=200), st.lists(st.integers(0, 3), max_size=60))
def test_escaping_is_undone(data: bytes, zeros: list[int]) -> None:
    rbsp = data + bytes(zeros) + b"\x80"
    nal = escape(rbsp)
    assert unescape(nal) == rbsp
    assert not any(bytes([0, 0, n]) in nal for n in (0, 1, 2))


def test_no_nal_unit_ends_with_zero() -> None:
    assert escape(b"\x01\x00") == b"\x01\x00\x03"


@given(st.lists(st.tuples(st.integers(0, 2**20), st.booleans()), max_size=30))
def test_codes_are_read_as_written(values: list[tuple[int, bool]]) -> None:
    out = BitWriter()
    for value, plain in values:
        out.u(value, 21) if plain else out.ue(value)
    bits = BitReader(out.finish())
    assert [bits.u(21) if plain else bits.ue() for _, plain in values] == [v for v, _ in values]
    assert bits.at == bits.payload_end()


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=40))
def test_nothing_but_bits_errors_comes_of_noise(noise: bytes) -> None:
    def read_slices(data: bytes) -> None:
        read_slice(data, ALL_SETS)

    def renumber(data: bytes) -> None:
        hevc.renumber_slice(data, 15)
        hevc.renumber_sps(data, 3, 3)

    readers: list[Callable[[bytes], object]] = [
        read_sps, read_pps, avc_sets.read_config, hevc.read_config, hevc.read_sps, read_slices,
        renumber,
    ]  # fmt: skip
    for read in readers:
        with suppress(BitsError):
            read(noise)


def test_sps_is_read() -> None:
    sps = read_sps(SPS)
    assert (sps.profile, sps.level, sps.width, sps.height) == (100, 40, 1920, 1080)
    assert (sps.max_refs, sps.reorder, sps.poc_type, sps.interlaced) == (4, 2, 0, False)


def test_sps_allows_gaps_and_says_nothing_else() -> None:
    sps = read_sps(SPS)
    changed = sps.with_gaps()
    assert read_sps(changed.nal) == changed
    assert replace(changed, nal=SPS, gaps_allowed=False) == sps
    assert changed.with_gaps() is changed


def test_sps_says_how_far_pictures_are_reordered() -> None:
    sps = read_sps(SPS)
    assert sps.with_reorder(2).nal == SPS
    assert sps.restriction_at is not None
    for end in (sps.vui_at, sps.restriction_at):  # Without a VUI, and with one that is silent.
        out = BitWriter()
        out.bits(BitReader(unescape(SPS)).copy(0, end))
        out.u(0, 1)
        silent = read_sps(escape(out.finish()))
        assert silent.reorder is None
        changed = silent.with_reorder(3)
        assert changed.reorder == 3
        assert changed.gaps_at == silent.gaps_at
        assert (changed.width, changed.height) == (1920, 1080)


def test_pps_under_another_number() -> None:
    pps = read_pps(PPS)
    moved = pps.renumbered(7, 1)
    assert read_pps(moved.nal) == moved
    assert (moved.number, moved.sps) == (7, 1)
    assert moved.renumbered(pps.number, pps.sps).nal == PPS


# --- slices ----------------------------------------------------------------------------------


def _slice(sps: Sps, pps: Pps, place: Place, kind: int, data: bytes) -> bytes:
    """A slice as an encoder of one reference and no B pictures writes it."""
    out = BitWriter()
    out.u(3 << 5 | (NAL_IDR if place.is_idr else 1), 8)
    for value in (0, kind + 5, pps.number):
        out.ue(value)
    out.u(place.frame_num, sps.frame_num_bits)
    if place.idr_id is not None:
        out.ue(place.idr_id)
    if sps.poc_type == 0:
        out.u(place.poc, sps.poc_bits)
    if kind == P:
        out.u(1, 1)  # One reference,
        out.ue(0)
        out.u(0, 1)  # in the usual order.
    out.u(0, 2 if place.is_idr else 1)
    if pps.cabac and kind == P:
        out.ue(0)
    out.ue(6)  # slice_qp_delta -3
    if pps.deblocking:
        out.ue(1)
    if pps.cabac:
        out.align(1)
        return escape(out.data() + data)
    for byte in data:
        out.u(byte, 8)
    return escape(out.finish())


_PLAIN = replace(read_pps(PPS), weighted=False)
SETS = {"CABAC": _PLAIN, "CAVLC": replace(_PLAIN, cabac=False)}


@pytest.mark.parametrize("coding", SETS)
@settings(deadline=None)
@given(
    place=st.builds(Place, st.integers(0, 15), st.integers(0, 60), st.none() | st.integers(0, 9)),
    bits=st.tuples(st.integers(4, 16), st.integers(4, 16), st.sampled_from([0, 2])),
    intra=st.booleans(),
    unmark=st.lists(st.integers(0, 15), max_size=4),
    data=st.binary(min_size=1, max_size=60).map(lambda data: data + b"\x80"),
)
def test_slice_goes_to_another_stream(
    coding: str,
    place: Place,
    bits: tuple[int, int, int],
    intra: bool,
    unmark: list[int],
    data: bytes,
) -> None:
    pps = SETS[coding]
    ours = replace(read_sps(SPS), frame_num_bits=4, poc_type=2, poc_bits=0)
    frame_bits, poc_bits, poc_type = bits
    theirs = replace(
        read_sps(SPS), frame_num_bits=frame_bits, poc_type=poc_type,
        poc_bits=poc_bits if poc_type == 0 else 0,
    )  # fmt: skip
    intra = intra and not place.is_idr
    if not place.is_idr:
        place = replace(place, intra=intra, unmark=tuple(unmark))
    source = Place(3, 0, 1 if place.is_idr or intra else None)
    nal = _slice(ours, pps, source, I if source.is_idr else P, data)
    there = replace(pps, number=9)
    moved = rewrite_slice(nal, {pps.number: (ours, pps)}, theirs, there, place)
    header = read_slice(moved, {9: (theirs, there)})
    assert header.is_idr == place.is_idr
    assert header.frame_num == place.frame_num
    assert header.idr_id == place.idr_id
    assert header.poc_lsb == (place.poc % theirs.poc_range if poc_type == 0 else 0)
    nums = 1 << frame_bits
    unmarked = [(place.frame_num - mark.value - 1) % nums for mark in header.marking]
    assert unmarked == [number % nums for number in place.unmark]
    # The slice data is the same, wherever it begins now.
    reader, rbsp = BitReader(unescape(moved)), unescape(moved)
    if pps.cabac:
        assert rbsp.endswith(data)
        assert -(-header.end // 8) == len(rbsp) - len(data)
    else:
        value, count = reader.copy(header.end, header.end + 8 * len(data))
        assert value.to_bytes(count // 8, "big") == data


def test_key_pictures_stay_what_they_are() -> None:
    pps, sps = SETS["CABAC"], read_sps(SPS)
    nal = _slice(sps, pps, Place(0, 0, 0), I, b"\x55\x80")
    with pytest.raises(BitsError):
        rewrite_slice(nal, {0: (sps, pps)}, sps, pps, Place(1, 2, None))


# --- H.265 -----------------------------------------------------------------------------------

HEVC_VPS = bytes.fromhex("40010c01ffff01600000030090000003000003003c959809")
HEVC_SPS = bytes.fromhex(
    "42010101600000030090000003000003003ca00a080b9f796566924caf016808000003000800000300c840"
)
HEVC_PPS = bytes.fromhex("4401c172b46240")


def test_hevc_sets_under_other_numbers() -> None:
    sps = hevc.read_sps(HEVC_SPS)
    assert (sps.width, sps.height, sps.depth, sps.profile) == (320, 180, 8, 1)
    moved = hevc.renumber_sps(HEVC_SPS, 5, 2)
    assert replace(hevc.read_sps(moved), number=0) == sps
    assert hevc.read_sps(moved).number == 5
    assert hevc.renumber_sps(moved, 0, 0) == HEVC_SPS
    pps = hevc.renumber_pps(HEVC_PPS, 17, 5)
    assert hevc.pps_number(pps) == 17
    assert hevc.renumber_pps(pps, 0, 0) == HEVC_PPS
    vps = hevc.renumber_vps(HEVC_VPS, 9)
    assert hevc.renumber_vps(vps, 0) == HEVC_VPS


@given(st.binary(max_size=60), st.sampled_from([1, 19, 20, 21]), st.sampled_from(hevc.OUR_PPS))
def test_hevc_slice_grows_by_a_byte(data: bytes, kind: int, number: int) -> None:
    out = BitWriter()
    out.u(kind << 9 | 1, 16)
    out.u(1, 1)
    if kind >= 16:
        out.u(0, 1)
    out.ue(0)
    out.u(5, 4)
    out.align(1)
    nal = escape(out.data() + data + b"\x80")
    moved = unescape(hevc.renumber_slice(nal, number))
    assert len(moved) == len(unescape(nal)) + 1
    assert moved.endswith(data + b"\x80")
    bits = BitReader(moved)
    bits.u(17 + (kind >= 16))
    assert bits.ue() == number
    assert bits.u(4) == 5
