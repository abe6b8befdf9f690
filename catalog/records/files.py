"""Files of records: what a picture, a sound or a document may be, and putting one in storage.

The type is read from the bytes, never believed from a name; what we cannot tell we do not keep.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final, NamedTuple

from catalog.errors import Refused
from catalog.minutes import TICKS_A_MS
from catalog.picture_hash import HASH_EDGE, phash
from catalog.records.service import Media
from infra.storage import Storage

SMALL_EDGE: Final = 960
"""Longest edge of the picture a list shows."""
LARGE_EDGE: Final = 2048
"""Longest edge of the one a page shows alone, where the whole picture is larger than that."""
PIXELS_MAX: Final = 100_000_000
"""A picture of more would need more memory to look at than a small machine has."""
_HEAD: Final = 4096
_PIECE: Final = 1 << 20


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
    """Where the large picture of a photograph lies; see ``LARGE_EDGE``."""
    return f"{key.rpartition('.')[0]}-large.jpg"


def picture_key(digest: str, media_type: str) -> str:
    """Where a picture lies that has this checksum."""
    return f"files/{digest[:2]}/{digest}.{EXTENSIONS[media_type]}"


def keep(storage: Storage, kind: str, path: Path) -> Media:
    """Put a file in storage under its own checksum. Raises Refused for what it is not.

    Before any row speaks of it: the same file again is the same object, and one that no row came
    to want does no harm.
    """
    kept = KEPT.get(kind)
    if kept is None:
        raise Refused("record_file_kind")
    size = path.stat().st_size
    if size > kept.most:
        raise Refused("record_file_large", most=kept.most >> 20, size=-(-size >> 20))
    with path.open("rb") as file:
        media_type = sniff(file.read(_HEAD))
    if media_type not in kept.types:
        raise Refused("record_file_type", words=kept.words)
    digest = _sha256(path)
    key = picture_key(digest, media_type)
    technical: dict[str, int] = {}
    ticks = 0
    seen = ""
    if kind == "image":
        small, technical, seen = _small(path)
        storage.put_bytes(small_key(key), small)
    elif kind == "audio":
        ticks = _ticks(path)
    storage.put_file(key, path)
    return Media(key, media_type, size, digest, ticks, dict(technical), seen)


def _sha256(path: Path) -> str:
    total = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            total.update(piece)
    return total.hexdigest()


def _small(path: Path) -> tuple[bytes, dict[str, int], str]:
    """A small JPEG of a picture, upright as cameras mean it, the whole one's size, and its
    perceptual hash."""
    # Not at the top: OpenCV takes a third of a second to load, and few requests need it.
    import cv2
    import numpy

    width, height = _edges(path)
    if not 0 < width * height <= PIXELS_MAX:
        raise Refused("record_file_broken")
    data = numpy.fromfile(path, dtype=numpy.uint8)
    try:
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
    except cv2.error:
        picture = None
    if picture is None:
        raise Refused("record_file_broken")
    height, width = picture.shape[:2]
    scale = min(1.0, SMALL_EDGE / max(height, width))
    wanted = (max(1, round(width * scale)), max(1, round(height * scale)))
    made = cv2.resize(picture, wanted, interpolation=cv2.INTER_AREA) if scale < 1 else picture
    good, small = cv2.imencode(".jpg", made, [cv2.IMWRITE_JPEG_QUALITY, 82])
    if not good:
        raise Refused("record_file_broken")
    grey = cv2.cvtColor(made, cv2.COLOR_BGR2GRAY)
    square = cv2.resize(grey, (HASH_EDGE, HASH_EDGE), interpolation=cv2.INTER_AREA)
    seen = phash(numpy.asarray(square, dtype=numpy.uint8))
    return small.tobytes(), {"width": width, "height": height}, seen


def _edges(path: Path) -> tuple[int, int]:
    """Width and height as the file's header says, before anything of that size is made."""
    import av

    try:
        with av.open(str(path)) as found:
            return (found.streams.video[0].width, found.streams.video[0].height)
    except (av.FFmpegError, IndexError):
        raise Refused("record_file_broken") from None


def _ticks(path: Path) -> int:
    """Length of a sound."""
    import av

    try:
        with av.open(str(path)) as found:
            if not found.streams.audio:
                raise Refused("record_file_broken")
            return (found.duration or 0) // 1000 * TICKS_A_MS
    except av.FFmpegError:
        raise Refused("record_file_broken") from None
