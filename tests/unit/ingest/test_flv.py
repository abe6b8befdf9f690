"""FLV: tags written, found again after a crash, and told apart."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest import flv
from ingest.flv import TagInfo, classify
from ingest.rtmp import amf0

SHOW = [
    (flv.SCRIPT, 0, amf0.encode("onMetaData", {})),
    (flv.VIDEO, 0, b"\x17\x00\x00\x00\x00header"),
    (flv.AUDIO, 0, b"\xaf\x00\x12\x10"),
    (flv.VIDEO, 0, b"\x17\x01\x00\x00\x50" + b"k" * 500),
    (flv.AUDIO, 23, b"\xaf\x01" + b"s" * 100),
    (flv.VIDEO, 40, b"\x27\x01\xff\xff\xd8" + b"p" * 200),
    (flv.VIDEO, 0x1234567, b"\x17\x01\x00\x00\x00" + b"k" * 300),
]


def log() -> bytes:
    return flv.header() + b"".join(flv.encode_tag(*tag) for tag in SHOW)


def test_header() -> None:
    assert flv.header() == bytes.fromhex("464c56 01 05 00000009 00000000")
    assert flv.header(has_video=False)[4] == 4
    assert flv.header(has_audio=False)[4] == 1


def test_tag_bytes() -> None:
    """E.4.1: the high byte of the time comes after its low three."""
    assert flv.encode_tag(8, 0x12345678, b"\xaf\x01") == bytes.fromhex(
        "08 000002 345678 12 000000 af01 0000000d"
    )


def test_scan_finds_what_was_written() -> None:
    data = log()
    found = list(flv.scan(data))
    assert [(t.kind, t.timestamp_ms, t.size) for t in found] == [
        (kind, stamp, len(payload)) for kind, stamp, payload in SHOW
    ]
    assert [t.is_keyframe for t in found] == [False, False, False, True, False, False, True]
    assert [t.is_sequence_header for t in found] == [False, True, True] + [False] * 4
    assert found[-1].end == len(data)
    for tag, (_, _, payload) in zip(found, SHOW, strict=True):
        assert data[tag.offset + 11 : tag.offset + 11 + tag.size] == payload


def test_scan_goes_on_from_an_offset() -> None:
    data = log()
    fourth = list(flv.scan(data))[3]
    assert next(flv.scan(data, fourth.offset)) == fourth


@given(st.integers(0, len(log())))
def test_scan_of_a_cut_log(cut: int) -> None:
    whole = list(flv.scan(log()))
    found = list(flv.scan(memoryview(log())[:cut]))
    assert found == [tag for tag in whole if tag.end <= cut]


@pytest.mark.parametrize(
    "tail", [bytes(4096), b"\xff" * 100, b"\x09", random.Random(1).randbytes(99)]
)
def test_scan_stops_at_pages_never_written(tail: bytes) -> None:
    assert list(flv.scan(log() + tail))[-1].end == len(log())


def test_scan_checks_the_previous_tag_size() -> None:
    data = bytearray(log())
    third = list(flv.scan(bytes(data)))[2]
    data[third.end - 1] ^= 1
    assert len(list(flv.scan(bytes(data)))) == 2


def info(codec: str, **fields: object) -> TagInfo:
    return TagInfo(codec, **fields)  # type: ignore[arg-type]


# The first bytes of tags.
TAGS: list[tuple[str, int, bytes, TagInfo]] = [
    (
        "AVC header",
        9,
        b"\x17\x00\x00\x00\x00\x01",
        info("h264", is_sequence_header=True, data_offset=5),
    ),
    (
        "AVC key",
        9,
        b"\x17\x01\x00\x00\x50x",
        info("h264", is_keyframe=True, is_coded=True, composition_ms=80, data_offset=5),
    ),
    (
        "AVC inter, back in time",
        9,
        b"\x27\x01\xff\xff\xd8x",
        info("h264", is_coded=True, composition_ms=-40, data_offset=5),
    ),
    ("AVC end", 9, b"\x17\x02\x00\x00\x00", info("h264", is_end_of_sequence=True, data_offset=5)),
    ("AVC end, two bytes", 9, b"\x17\x02", info("h264", is_end_of_sequence=True)),
    (
        "HEVC as 12",
        9,
        b"\x1c\x01\x00\x00\x00x",
        info("hevc", is_keyframe=True, is_coded=True, data_offset=5),
    ),
    ("H.263 key", 9, b"\x12x", info("h263", is_keyframe=True, is_coded=True, data_offset=1)),
    (
        "unknown video",
        9,
        b"\x1fx",
        info("unknown-15", is_keyframe=True, is_coded=True, data_offset=1),
    ),
    ("command frame", 9, b"\x57\x00", info("")),
    ("AAC header", 8, b"\xaf\x00\x12\x10", info("aac", is_sequence_header=True, data_offset=2)),
    ("AAC", 8, b"\xaf\x01x", info("aac", is_coded=True, data_offset=2)),
    ("AAC cut short", 8, b"\xaf", info("aac")),
    ("MP3", 8, b"\x2fx", info("mp3", is_coded=True, data_offset=1)),
    ("metadata", 18, amf0.encode("onMetaData", {}), info("", is_metadata=True)),
    ("cue point", 18, amf0.encode("onCuePoint", {}), info("")),
    ("nothing", 9, b"", info("")),
    (
        "hvc1 header",
        9,
        b"\x90hvc1\x01",
        info("hevc", is_sequence_header=True, is_enhanced=True, data_offset=5),
    ),
    (
        "hvc1 frames with time",
        9,
        b"\x91hvc1\x00\x00\x28x",
        info(
            "hevc",
            is_keyframe=True,
            is_coded=True,
            composition_ms=40,
            is_enhanced=True,
            data_offset=8,
        ),
    ),
    ("hvc1 frames", 9, b"\xa3hvc1x", info("hevc", is_coded=True, is_enhanced=True, data_offset=5)),
    (
        "av01 frames",
        9,
        b"\x91av01x",
        info("av1", is_keyframe=True, is_coded=True, is_enhanced=True, data_offset=5),
    ),
    (
        "av01 of MPEG-2 TS",
        9,
        b"\x95av01x",
        info("av1", is_sequence_header=True, is_enhanced=True, data_offset=5),
    ),
    (
        "vp09 end",
        9,
        b"\x92vp09",
        info("vp9", is_end_of_sequence=True, is_enhanced=True, data_offset=5),
    ),
    (
        "HDR metadata",
        9,
        b"\x94hvc1x",
        info("hevc", is_metadata=True, is_enhanced=True, data_offset=5),
    ),
    (
        "unknown FourCC",
        9,
        b"\x91zzzzx",
        info("zzzz", is_keyframe=True, is_coded=True, is_enhanced=True, data_offset=5),
    ),
    ("FourCC cut short", 9, b"\x91av0", info("")),
    ("enhanced command frame", 9, b"\xd1\x00", info("")),
    (
        "Opus header",
        8,
        b"\x90OpusOpusHead",
        info("opus", is_sequence_header=True, is_enhanced=True, data_offset=5),
    ),
    ("AC-3", 8, b"\x91ac-3x", info("ac3", is_coded=True, is_enhanced=True, data_offset=5)),
    ("channel layout", 8, b"\x94mp4a\x01\x02", info("aac", is_enhanced=True, data_offset=5)),
    (
        "one track",
        9,
        b"\x96\x01avc1\x02\x00\x00\x00x",
        info(
            "h264",
            is_keyframe=True,
            is_coded=True,
            is_enhanced=True,
            track_id=2,
            track_ids=(2,),
            data_offset=10,
        ),
    ),
    (
        "one audio track",
        8,
        b"\x95\x01mp4a\x01x",
        info("aac", is_coded=True, is_enhanced=True, track_id=1, track_ids=(1,), data_offset=7),
    ),
    (
        "many tracks",
        9,
        b"\x96\x13vp09\x01\x00\x00\x02xx\x03\x00\x00\x01y",
        info(
            "vp9",
            is_keyframe=True,
            is_coded=True,
            is_enhanced=True,
            track_id=1,
            track_ids=(1, 3),
            data_offset=10,
        ),
    ),
    (
        "many tracks, many codecs",
        9,
        b"\x96\x23vp09\x01\x00\x00\x02xxav01\x04\x00\x00\x01y",
        info(
            "vp9",
            is_keyframe=True,
            is_coded=True,
            is_enhanced=True,
            track_id=1,
            track_ids=(1, 4),
            data_offset=10,
        ),
    ),
    ("no such multitrack type", 9, b"\x96\x31vp09\x01\x00\x00\x02xx", info("")),
    ("multitrack cut short", 9, b"\x96\x01avc1", info("")),
    (
        "ModEx: nanoseconds",
        9,
        b"\x97\x02\x00\x01\x02\x03av01x",
        info("av1", is_keyframe=True, is_coded=True, is_enhanced=True, data_offset=10),
    ),
    (
        "ModEx, long",
        9,
        b"\x97\xff\x00\xff" + bytes(256) + b"\x01av01x",
        info("av1", is_keyframe=True, is_coded=True, is_enhanced=True, data_offset=265),
    ),
    ("ModEx cut short", 9, b"\x97\x05\x00", info("")),
    ("ModEx without end", 9, b"\x97" + b"\x00\x00\x07" * 50, info("")),
]


@pytest.mark.parametrize(
    ("kind", "payload", "expected"), [t[1:] for t in TAGS], ids=[t[0] for t in TAGS]
)
def test_classify(kind: int, payload: bytes, expected: TagInfo) -> None:
    assert classify(kind, payload) == expected


@given(st.sampled_from([8, 9, 18, 0, 255]), st.binary(max_size=40))
def test_classify_any_bytes(kind: int, payload: bytes) -> None:
    found = classify(kind, payload)
    assert found.track_id == found.track_ids[0]
    assert found.is_keyframe <= found.is_coded


@given(st.sampled_from([t[1:3] for t in TAGS]), st.integers(0, 40))
def test_classify_of_a_cut_body(tag: tuple[int, bytes], cut: int) -> None:
    classify(tag[0], tag[1][:cut])
