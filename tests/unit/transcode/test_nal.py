"""NAL units: which key pictures are beginnings for every player."""

from __future__ import annotations

import pytest

from transcode.fmp4.nal import is_idr, nals

AVCC = bytes([1, 100, 0, 31, 0xFC | 3, 0xE0])
SHORT_AVCC = bytes([1, 100, 0, 31, 0xFC | 1, 0xE0])
HVCC = bytes(21) + bytes([3]) + bytes(1)


def sample(*units: bytes, length_size: int = 4) -> bytes:
    return b"".join(len(unit).to_bytes(length_size, "big") + unit for unit in units)


AUD, SEI, SPS = b"\x09\xf0", b"\x06\x06\x01\xc4", b"\x67" + bytes(20)


@pytest.mark.parametrize(
    ("codec", "config", "data", "idr"),
    [
        pytest.param("h264", AVCC, sample(AUD, SPS, b"\x65\x88"), True, id="IDR"),
        pytest.param("h264", AVCC, sample(AUD, SEI, b"\x41\x9a"), False, id="recovery point"),
        pytest.param("h264", AVCC, sample(b"\x22\x9a"), False, id="data partition"),
        pytest.param("h264", SHORT_AVCC, sample(b"\x65\x88", length_size=2), True, id="2 bytes"),
        pytest.param("h264", AVCC, sample(AUD, b"\x65" + bytes(99))[:12], True, id="cut short"),
        pytest.param("h264", AVCC, sample(AUD, SPS), False, id="no slice"),
        pytest.param("h264", AVCC, b"", False, id="nothing"),
        pytest.param("h264", b"\0\0\0\1\x67", sample(b"\x65\x88"), False, id="no record"),
        pytest.param("hevc", HVCC, sample(b"\x40\x01", b"\x26\x01\xaf"), True, id="IDR_W_RADL"),
        pytest.param("hevc", HVCC, sample(b"\x28\x01\xaf"), True, id="IDR_N_LP"),
        pytest.param("hevc", HVCC, sample(b"\x42\x01", b"\x2a\x01\xaf"), False, id="CRA"),
        pytest.param("hevc", HVCC, sample(b"\x20\x01\xaf"), False, id="BLA"),
        pytest.param("vp9", b"", b"\x82\x49", True, id="VP9"),
    ],
)
def test_which_key_pictures_are_idr(codec: str, config: bytes, data: bytes, idr: bool) -> None:
    assert is_idr(codec, config, data) is idr


def test_units_of_a_sample_cut_short() -> None:
    assert list(nals(sample(b"\x09\xf0", b"", b"\x65abc")[:-2], 4)) == [b"\x09\xf0", b"\x65a"]
