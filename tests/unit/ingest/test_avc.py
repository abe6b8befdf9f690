"""AVCDecoderConfigurationRecords as x264 wrote them in FFmpeg 9."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest import avc
from ingest.avc import AvcConfig

RECORDS = [
    (  # 4:4:4, 362 lines: cropped in luma samples
        bytes.fromhex(
            "01f4001effe1001a67f4001e919680a02ff9f011000003000100000300320f162ea001000568ce0f1920"
            "fff8f800"
        ),
        AvcConfig(244, 0, 30, 4, 640, 362),
    ),
    (  # 1088 lines cropped to 1080
        bytes.fromhex(
            "0142c028ffe1001d6742c028da01e0089f97ff00b400b51000000300100000030320f1832a01000468ce0fc8"
        ),
        AvcConfig(66, 0xC0, 40, 4, 1920, 1080),
    ),
    (  # 4:2:2, interlaced
        bytes.fromhex(
            "017a001effe1001c677a001ebcd940b424dff8080005a88000000300800000190f8a14cb01000468fe8f"
            "cbfef8f800"
        ),
        AvcConfig(122, 0, 30, 4, 720, 576),
    ),
]


@pytest.mark.parametrize(("record", "expected"), RECORDS)
def test_parse(record: bytes, expected: AvcConfig) -> None:
    assert avc.parse_config(record) == expected


def test_codec_string() -> None:
    assert AvcConfig(100, 0, 31, 4, 0, 0).codec_string == "avc1.64001f"


@pytest.mark.parametrize("record", [b"", b"\x01\x64", b"\x00\x00\x00\x01\x67\x64\x00\x1f"])
def test_no_record(record: bytes) -> None:
    assert avc.parse_config(record) is None


def test_record_without_sps_or_with_a_broken_one() -> None:
    assert avc.parse_config(bytes.fromhex("0164001fffe000")) == AvcConfig(100, 0, 31, 4, 0, 0)
    broken = bytes.fromhex("0164001fffe10006 676400 000000")
    assert avc.parse_config(broken) == AvcConfig(100, 0, 31, 4, 0, 0)


@given(st.sampled_from(RECORDS), st.data())
def test_any_bytes(case: tuple[bytes, AvcConfig], data: st.DataObject) -> None:
    record = bytearray(case[0])
    for _ in range(data.draw(st.integers(0, 4))):
        record[data.draw(st.integers(0, len(record) - 1))] = data.draw(st.integers(0, 255))
    found = avc.parse_config(bytes(record[: data.draw(st.integers(0, len(record)))]))
    assert found is None or 0 <= found.width <= 16384
