"""Files of records: what a picture, a sound or a document may be, and where it lies. Pure.

The type is read from the bytes, never believed from a name; what we cannot tell we do not keep
(``vod.record_files`` puts one in storage).
"""

from __future__ import annotations

from typing import Final, NamedTuple

SMALL_EDGE: Final = 960
"""Longest edge of the picture a list shows."""
LARGE_EDGE: Final = 2048
"""Longest edge of the one a page shows alone; of a picture that somebody sent, all that the public
gets: the file itself says where the camera stood."""
PIXELS_MAX: Final = 100_000_000
"""A picture of more would need more memory to look at than a small machine has."""
HEAD_BYTES: Final = 4096
"""Of a file, what its type is told by."""


class Kept(NamedTuple):
    """What files a kind of record takes."""

    types: tuple[str, ...]
    most: int
    words: str


KEPT: Final = {
    "image": Kept(("image/jpeg", "image/png", "image/webp"), 30 << 20, "JPG、PNG 或 WebP 图片"),
    "audio": Kept(("audio/mpeg", "audio/mp4", "audio/wav", "audio/flac"), 60 << 20,
                  "MP3、M4A、WAV 或 FLAC 声音"),
    "document": Kept(("application/pdf",), 60 << 20, "PDF 文件"),
}  # fmt: skip
FILE_MAX: Final = max(kept.most for kept in KEPT.values())

EXTENSIONS: Final = {
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/webp": "webp",
    "audio/mpeg": "mp3",
    "audio/mp4": "m4a",
    "audio/wav": "wav",
    "audio/flac": "flac",
    "application/pdf": "pdf",
}


def sniff(head: bytes) -> str | None:
    """The media type a file's first bytes tell; None for any other. Pure."""
    starts = {
        b"\xff\xd8\xff": "image/jpeg",
        b"\x89PNG\r\n\x1a\n": "image/png",
        b"%PDF-": "application/pdf",
        b"fLaC": "audio/flac",
        b"ID3": "audio/mpeg",
    }
    for start, media_type in starts.items():
        if head.startswith(start):
            return media_type
    if head[:4] == b"RIFF":
        return {b"WEBP": "image/webp", b"WAVE": "audio/wav"}.get(head[8:12])
    if head[4:8] == b"ftyp" and head[8:11] in (b"M4A", b"M4B"):
        return "audio/mp4"
    # An MPEG audio frame: eleven bits of sync, a layer III that is not reserved.
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2:
        return "audio/mpeg"
    return None


def small_key(key: str) -> str:
    """Where the small picture of a picture lies."""
    return f"{key.rpartition('.')[0]}-small.jpg"


def large_key(key: str) -> str:
    """Where the large picture of one that was sent lies; see ``LARGE_EDGE``."""
    return f"{key.rpartition('.')[0]}-large.jpg"


def picture_key(digest: str, media_type: str) -> str:
    """Where a picture lies that has this checksum."""
    return f"files/{digest[:2]}/{digest}.{EXTENSIONS[media_type]}"
