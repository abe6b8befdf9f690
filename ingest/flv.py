"""FLV: the container of an RTMP take (Adobe FLV 10.1, annex E; Enhanced RTMP v2 tag headers).

Writing a tag, finding the last whole tag of a log that was cut off, and saying what is in a tag
without decoding it. Pure: bytes in, bytes and small objects out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from mmap import mmap

from ingest.rtmp import amf0

AUDIO = 8
VIDEO = 9
SCRIPT = 18

TAG_HEADER_SIZE = 11
TAG_OVERHEAD = 15  # header and PreviousTagSize

_ZERO_STREAM = bytes(3)
_ON_METADATA = amf0.encode("onMetaData")
_PEEK = 64  # bytes of a body that `classify` looks at, multitrack lists aside


def header(*, has_audio: bool = True, has_video: bool = True) -> bytes:
    """E.2 and the first PreviousTagSize: 13 bytes. The flags are hints; readers look further."""
    flags = (4 if has_audio else 0) | (1 if has_video else 0)
    return b"FLV\x01" + bytes((flags,)) + b"\x00\x00\x00\x09\x00\x00\x00\x00"


def encode_tag(kind: int, timestamp_ms: int, payload: bytes) -> bytes:
    """E.4.1 and the PreviousTagSize behind it. Timestamps wrap at 2^32 ms."""
    size = len(payload)
    stamp = timestamp_ms & 0xFFFFFFFF
    # Type and size fill one 32-bit word; the timestamp's high byte comes after its low three.
    head = (kind << 24 | size).to_bytes(4, "big")
    time = ((stamp & 0xFFFFFF) << 8 | stamp >> 24).to_bytes(4, "big")
    tail = (size + TAG_HEADER_SIZE).to_bytes(4, "big")
    return b"".join((head, time, _ZERO_STREAM, payload, tail))


def script_tag(timestamp_ms: int, name: str, value: amf0.AmfValue) -> bytes:
    """E.4.4: a script data tag such as onMetaData."""
    return encode_tag(SCRIPT, timestamp_ms, amf0.encode(name, value))


@dataclass(frozen=True, slots=True)
class ScannedTag:
    """Where a tag is in a log, and what a reader needs to start there."""

    offset: int
    """Byte offset of the tag's first byte."""
    kind: int
    timestamp_ms: int
    size: int
    """Bytes of the body."""
    is_keyframe: bool
    is_sequence_header: bool

    @property
    def end(self) -> int:
        """Offset behind the tag's PreviousTagSize: the log is good up to here."""
        return self.offset + TAG_OVERHEAD + self.size


def scan(data: bytes | memoryview | mmap, offset: int = 13) -> Iterator[ScannedTag]:
    """Walk the tags from ``offset`` and stop silently behind the last whole, sound one.

    After a crash the log's tail may hold part of a tag, zeroes, or pages that were never
    written. A tag counts when its type and stream id are possible, it is all there, and the
    PreviousTagSize behind it agrees.
    """
    total = len(data)
    while offset + TAG_OVERHEAD <= total:
        head = bytes(data[offset : offset + TAG_HEADER_SIZE])
        kind = head[0]
        size = int.from_bytes(head[1:4], "big")
        body = offset + TAG_HEADER_SIZE
        end = body + size
        if kind not in (AUDIO, VIDEO, SCRIPT) or head[8:] != _ZERO_STREAM or end + 4 > total:
            return
        if int.from_bytes(data[end : end + 4], "big") != size + TAG_HEADER_SIZE:
            return
        info = classify(kind, bytes(data[body : min(end, body + _PEEK)]))
        stamp = int.from_bytes(head[4:7], "big") | head[7] << 24
        yield ScannedTag(offset, kind, stamp, size, info.is_keyframe, info.is_sequence_header)
        offset = end + 4


@dataclass(frozen=True, slots=True)
class TagInfo:
    """What a tag holds, from its first bytes."""

    codec: str
    """A name from `VIDEO_CODECS`, `AUDIO_CODECS` or `FOURCC`; an unknown FourCC as it is,
    ``unknown-N`` for an unknown number; empty when the tag is cut short or is no media."""
    is_sequence_header: bool = False
    """The body is a decoder configuration."""
    is_keyframe: bool = False
    """Video that can be decoded from here on. Always False for audio."""
    is_end_of_sequence: bool = False
    is_metadata: bool = False
    """Script data ``onMetaData``, or video metadata (HDR) of Enhanced RTMP."""
    is_coded: bool = False
    """The body holds coded frames."""
    track_id: int = 0
    """Track of a one-track tag, else the first; 0 without multitrack."""
    track_ids: tuple[int, ...] = (0,)
    """All tracks in the tag."""
    composition_ms: int = 0
    """Presentation minus decoding time, signed milliseconds."""
    is_enhanced: bool = False
    """Has an Enhanced RTMP header."""
    data_offset: int = 0
    """Where the codec's own bytes begin; for several tracks, those of the first."""


# E.4.3.1. 12 and 13 are no Adobe numbers but what Chinese encoders and CDNs use for HEVC and AV1.
VIDEO_CODECS = {
    2: "h263",
    3: "screen",
    4: "vp6",
    5: "vp6a",
    6: "screen2",
    7: "h264",
    12: "hevc",
    13: "av1",
}
# E.4.2.1
AUDIO_CODECS = {
    0: "pcm",
    1: "adpcm",
    2: "mp3",
    3: "pcm",
    4: "nellymoser",
    5: "nellymoser",
    6: "nellymoser",
    7: "pcma",
    8: "pcmu",
    10: "aac",
    11: "speex",
    13: "opus",
    14: "mp3",
}
# Enhanced RTMP v2, VideoFourCc and AudioFourCc.
FOURCC = {
    b"avc1": "h264",
    b"hvc1": "hevc",
    b"vvc1": "vvc",
    b"av01": "av1",
    b"vp09": "vp9",
    b"vp08": "vp8",
    b"mp4a": "aac",
    b"Opus": "opus",
    b"ac-3": "ac3",
    b"ec-3": "eac3",
    b"fLaC": "flac",
    b".mp3": "mp3",
}

_LEGACY_WITH_HEADER = ("h264", "hevc", "av1")
_FRAME_KEY = 1
_FRAME_COMMAND = 5
_AUDIO_EX = 9

# Packet types of Enhanced RTMP v2; audio and video share the numbers where both have them.
_SEQUENCE_START = 0
_CODED = 1
_SEQUENCE_END = 2
_CODED_X = 3  # video: coded frames without composition time
_METADATA = 4  # video: HDR metadata; audio: channel layout
_MPEG2TS_START = 5
_MULTITRACK_AUDIO = 5
_MULTITRACK_VIDEO = 6
_MODEX = 7

_ONE_TRACK = 0
_MANY_TRACKS_MANY_CODECS = 2

_EMPTY = TagInfo("")
_AAC_HEADER = TagInfo("aac", is_sequence_header=True, data_offset=2)
_AAC_FRAME = TagInfo("aac", is_coded=True, data_offset=2)


def classify(kind: int, payload: bytes) -> TagInfo:
    """Say what a tag's body is. Never raises: a body cut short gives an empty `TagInfo`."""
    if not payload:
        return _EMPTY
    first = payload[0]
    if kind == VIDEO:
        return _enhanced(payload, video=True) if first & 0x80 else _legacy_video(payload)
    if kind == AUDIO:
        return _enhanced(payload, video=False) if first >> 4 == _AUDIO_EX else _audio(payload)
    if kind == SCRIPT:
        return TagInfo("", is_metadata=payload.startswith(_ON_METADATA))
    return _EMPTY


def _legacy_video(payload: bytes) -> TagInfo:
    """E.4.3.1: frame type and codec in one byte; AVC has a packet type and a time behind it."""
    first = payload[0]
    key = first >> 4 == _FRAME_KEY
    if first >> 4 == _FRAME_COMMAND:
        return _EMPTY
    codec = VIDEO_CODECS.get(first & 0x0F) or f"unknown-{first & 0x0F}"
    if codec not in _LEGACY_WITH_HEADER:
        return TagInfo(codec, is_keyframe=key, is_coded=True, data_offset=1)
    if len(payload) < 5:
        # A bare end of sequence is two bytes in the wild; anything else is cut short.
        return TagInfo(codec, is_end_of_sequence=payload[1:2] == b"\x02")
    packet = payload[1]
    if packet == _CODED:
        shift = _signed24(payload[2:5])
        return TagInfo(codec, is_keyframe=key, is_coded=True, composition_ms=shift, data_offset=5)
    return TagInfo(
        codec,
        is_sequence_header=packet == _SEQUENCE_START,
        is_end_of_sequence=packet == _SEQUENCE_END,
        data_offset=5,
    )


def _audio(payload: bytes) -> TagInfo:
    """E.4.2.1. Only AAC has a packet type."""
    number = payload[0] >> 4
    if number == 10:
        if len(payload) < 2:
            return TagInfo("aac")
        return _AAC_HEADER if payload[1] == 0 else _AAC_FRAME
    codec = AUDIO_CODECS.get(number) or f"unknown-{number}"
    return TagInfo(codec, is_coded=True, data_offset=1)


def _enhanced(payload: bytes, *, video: bool) -> TagInfo:
    """Enhanced RTMP v2, ExVideoTagHeader and ExAudioTagHeader."""
    packet = payload[0] & 0x0F
    frame = payload[0] >> 4 & 0x07
    at = 1
    while packet == _MODEX:
        # "ModEx": size, data, then the modifier's type and the real packet type in one byte.
        size = payload[at] + 1 if at < len(payload) else 0
        at += 1
        if size == 256:
            size = int.from_bytes(payload[at : at + 2], "big") + 1
            at += 2
        at += size
        if not size or at >= len(payload):
            return _EMPTY
        packet = payload[at] & 0x0F
        at += 1
    if video and frame == _FRAME_COMMAND and packet != _METADATA:
        return _EMPTY
    multitrack: int | None = None
    if packet == (_MULTITRACK_VIDEO if video else _MULTITRACK_AUDIO):
        if at >= len(payload):
            return _EMPTY
        multitrack = payload[at] >> 4
        packet = payload[at] & 0x0F
        at += 1
    fourcc = payload[at : at + 4]
    at += 4
    if len(fourcc) < 4:
        return _EMPTY
    tracks: tuple[int, ...] = (0,)
    if multitrack is not None:
        tracks = _track_ids(payload, at, multitrack)
        at += 1 if multitrack == _ONE_TRACK else 4
        if not tracks:
            return _EMPTY
    codec = FOURCC.get(fourcc) or fourcc.decode("ascii", "backslashreplace")
    coded = packet == _CODED or (video and packet == _CODED_X)
    shift = 0
    if video and packet == _CODED and codec in ("h264", "hevc", "vvc"):
        shift = _signed24(payload[at : at + 3])
        at += 3
    return TagInfo(
        codec,
        is_sequence_header=packet == _SEQUENCE_START or (video and packet == _MPEG2TS_START),
        is_keyframe=video and coded and frame == _FRAME_KEY,
        is_end_of_sequence=packet == _SEQUENCE_END,
        is_metadata=video and packet == _METADATA,
        is_coded=coded,
        track_id=tracks[0],
        track_ids=tracks,
        composition_ms=shift,
        is_enhanced=True,
        data_offset=at,
    )


def _track_ids(payload: bytes, at: int, multitrack: int) -> tuple[int, ...]:
    """Track ids of a multitrack body. The id is in every message; it is never remembered.

    ``at`` is the first track id: ManyTracksManyCodecs has a FourCC before each, whose first one
    the caller has read. With a truncated body the ids that are there are returned.
    """
    if multitrack > _MANY_TRACKS_MANY_CODECS:
        return ()
    if multitrack == _ONE_TRACK:
        return (payload[at],) if at < len(payload) else ()
    ids: list[int] = []
    while at + 4 <= len(payload):
        ids.append(payload[at])
        at += 4 + int.from_bytes(payload[at + 1 : at + 4], "big")
        if multitrack == _MANY_TRACKS_MANY_CODECS:
            at += 4
    return tuple(ids)


def _signed24(raw: bytes) -> int:
    value = int.from_bytes(raw, "big")
    return value - (1 << 24) if value >= 1 << 23 else value
