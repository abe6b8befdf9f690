"""Codec names of RFC 6381, read from the configuration inside a sample entry."""

from __future__ import annotations

import struct

from transcode.fmp4.boxes import Box, Fmp4Error, boxes

VIDEO_ENTRY_BYTES = 78
"""VisualSampleEntry before its child boxes (14496-12 12.1.3)."""
AUDIO_ENTRY_BYTES = 28
"""AudioSampleEntry version 0 before its child boxes (12.2.3)."""

MAX_DESCRIPTOR_DEPTH = 4


def codec_string(entry: bytes, kind: bytes, is_video: bool) -> str:
    """The codec name of a whole sample entry box, as CODECS of EXT-X-STREAM-INF wants it."""
    head = 8 + (VIDEO_ENTRY_BYTES if is_video else AUDIO_ENTRY_BYTES)
    config = {box.kind: box for box in boxes(entry, head)}
    name = kind.decode("ascii", "replace")
    if kind in (b"avc1", b"avc3") and b"avcC" in config:
        return f"{name}.{_body(entry, config[b'avcC'], 4)[1:4].hex()}"
    if kind in (b"hvc1", b"hev1") and b"hvcC" in config:
        return f"{name}.{_hevc(_body(entry, config[b'hvcC'], 13))}"
    if kind == b"av01" and b"av1C" in config:
        return f"av01.{_av1(_body(entry, config[b'av1C'], 4))}"
    if kind == b"mp4a" and b"esds" in config:
        return _mp4a(_body(entry, config[b"esds"], 4)[4:])
    return {"Opus": "opus", "fLaC": "fLaC"}.get(name, name)


def _body(data: bytes, box: Box, least: int) -> bytes:
    body = data[box.body : box.end]
    if len(body) < least:
        raise Fmp4Error(f"{box.kind!r} holds {len(body)} bytes, {least} needed")
    return body


def _hevc(config: bytes) -> str:
    """ISO/IEC 14496-15 annex E.3: profile, compatibility (bits reversed), tier+level, flags."""
    space = ("", "A", "B", "C")[config[1] >> 6]
    tier = "H" if config[1] & 0x20 else "L"
    (compatible,) = struct.unpack_from(">I", config, 2)
    flipped = int(f"{compatible:032b}"[::-1], 2)
    constraints = config[6:12].rstrip(b"\0")
    parts = [f"{space}{config[1] & 0x1F}", f"{flipped:X}", f"{tier}{config[12]}"]
    return ".".join(parts + [f"{byte:X}" for byte in constraints])


def _av1(config: bytes) -> str:
    """AV1-ISOBMFF section 5: profile.levelTier.bitDepth."""
    profile, level = config[1] >> 5, config[1] & 0x1F
    tier = "H" if config[2] & 0x80 else "M"
    deep, twelve = config[2] & 0x40, config[2] & 0x20
    depth = (12 if twelve else 10) if deep else 8
    return f"{profile}.{level:02d}{tier}.{depth:02d}"


def _mp4a(descriptors: bytes) -> str:
    """mp4a.<object type>.<audio object type> from an ES descriptor (14496-1 7.2.6)."""
    found = _descriptors(descriptors, 0)
    config = found.get(0x04)
    if not config:
        return "mp4a.40.2"
    object_type = config[0]
    if object_type != 0x40:
        return f"mp4a.{object_type:x}"
    specific = found.get(0x05, b"")
    if len(specific) < 2:
        return "mp4a.40.2"
    kind = specific[0] >> 3
    if kind == 31:
        kind = 32 + (((specific[0] & 7) << 3) | (specific[1] >> 5))
    return f"mp4a.40.{kind}"


def _descriptors(data: bytes, depth: int) -> dict[int, bytes]:
    """Tag → payload of the descriptors that matter, nested ones included."""
    found: dict[int, bytes] = {}
    at = 0
    while at + 2 <= len(data) and depth < MAX_DESCRIPTOR_DEPTH:
        tag, at, size = data[at], at + 1, 0
        for _ in range(4):
            if at >= len(data):
                return found
            byte, at = data[at], at + 1
            size = (size << 7) | (byte & 0x7F)
            if not byte & 0x80:
                break
        payload = data[at : at + size]
        found.setdefault(tag, payload)
        if tag == 0x03 and len(payload) >= 3:
            found.update(_descriptors(payload[3:], depth + 1))
        elif tag == 0x04 and len(payload) >= 13:
            found.update(_descriptors(payload[13:], depth + 1))
        at += size
    return found
