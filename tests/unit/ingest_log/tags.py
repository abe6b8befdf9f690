"""Small tags that look like an encoder's, for tests without media."""

from __future__ import annotations

from ingest import flv
from ingest.rtmp.amf0 import EcmaArray, encode
from ingest.rtmp.events import MediaTag

SPS = bytes.fromhex("6742c01eda0280f684000003000400000300ca3c58ba80")
AVC_HEADER = (
    b"\x17\x00\x00\x00\x00\x01\x42\xc0\x1e\xff\xe1"
    + len(SPS).to_bytes(2, "big")
    + SPS
    + b"\x01\x00\x04\x68\xce\x3c\x80"
)
AAC_HEADER = b"\xaf\x00\x12\x10"
AAC_MONO_HEADER = b"\xaf\x00\x12\x08"


def key(ts_ms: int, size: int = 100) -> MediaTag:
    return MediaTag(flv.VIDEO, ts_ms, b"\x17\x01\x00\x00\x00" + bytes(size))


def inter(ts_ms: int, size: int = 50) -> MediaTag:
    return MediaTag(flv.VIDEO, ts_ms, b"\x27\x01\x00\x00\x00" + bytes(size))


def sound(ts_ms: int) -> MediaTag:
    return MediaTag(flv.AUDIO, ts_ms, b"\xaf\x01" + bytes(30))


def headers() -> list[MediaTag]:
    return [MediaTag(flv.VIDEO, 0, AVC_HEADER), MediaTag(flv.AUDIO, 0, AAC_HEADER)]


def metadata(**values: float) -> MediaTag:
    payload = encode("onMetaData", EcmaArray({name: float(v) for name, v in values.items()}))
    return MediaTag(flv.SCRIPT, 0, payload)


def show(
    seconds: int, *, start_ms: int = 0, key_every: int = 1000, picture: bool = True,
    with_sound: bool = True,
) -> list[MediaTag]:  # fmt: skip
    """25 frames and 40 sound frames a second, interleaved."""
    tags: list[MediaTag] = []
    if picture:
        for at in range(start_ms, start_ms + seconds * 1000, 40):
            tags.append(key(at) if (at - start_ms) % key_every == 0 else inter(at))
    if with_sound:
        tags += [sound(at) for at in range(start_ms, start_ms + seconds * 1000, 25)]
    return sorted(tags, key=lambda tag: (tag.timestamp_ms, tag.kind != flv.VIDEO))
