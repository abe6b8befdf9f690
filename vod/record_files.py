"""A record's file as somebody sent it with a form: its type told by its bytes, read under
confinement, put in storage under its own checksum.

Pictures are read as photographs that are uploaded are (``vod.photos``); of a sound its length is
read (``transcode.look``). A document is kept as it came, and opened by nobody here.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Final

import transcode.look
from catalog.errors import Refused
from catalog.records.files import HEAD_BYTES, KEPT, picture_key, sniff
from catalog.records.service import Media
from infra.storage import Storage
from transcode.probe import ProbeHung
from transcode.sandbox import GIB, Limits, View, launcher
from vod.encode import silent
from vod.intake_sum import sum_of
from vod.photos import keep_photo, read_photo

_FORMATS: Final = {
    "audio/mpeg": "mp3",
    "audio/mp4": "mov",
    "audio/wav": "wav",
    "audio/flac": "flac",
}
_CODECS: Final = (
    "mp3,mp3float,mp2,mp2float,aac,alac,flac,"
    "pcm_s16le,pcm_s24le,pcm_s32le,pcm_f32le,pcm_u8,pcm_alaw,pcm_mulaw,adpcm_ima_wav,adpcm_ms"
)
_LIMITS: Final = Limits(
    address_bytes=2 * GIB, cpu_seconds=30, file_bytes=0, open_files=64, data_bytes=GIB // 4
)
_SECONDS: Final = 30.0
_READING: Final = threading.BoundedSemaphore(2)
"""So many files are read at once in a process: a picture may take a good part of a small machine's
memory while it is."""


def keep(storage: Storage, kind: str, path: Path) -> Media:
    """Put a file in storage under its own checksum. Raises Refused (``record_file_…``) for what it
    is not.

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
        media_type = sniff(file.read(HEAD_BYTES))
    if media_type not in kept.types:
        raise Refused("record_file_type", words=kept.words)
    digest = sum_of(path, lambda share: None)
    if kind == "image":
        return _picture(storage, path, size, digest)
    ticks = _ticks(path, media_type) if kind == "audio" else 0
    key = picture_key(digest, media_type)
    storage.put_file(key, path)
    return Media(key, media_type, size, digest, ticks)


def _picture(storage: Storage, path: Path, size: int, digest: str) -> Media:
    with tempfile.TemporaryDirectory() as folder:
        try:
            with _READING:
                photo = read_photo(path, Path(folder), silent)
        except (Refused, ProbeHung) as error:
            raise Refused("record_file_broken") from error
        return keep_photo(storage, path, size, digest, photo)


def _ticks(path: Path, media_type: str) -> int:
    """Length of a sound, read as what its first bytes say and as nothing else: behind an ID3 tag
    FFmpeg would find any container it knows."""
    look = Path(transcode.look.__file__)
    options = {"protocol_whitelist": "file", "codec_whitelist": _CODECS}
    limits = json.dumps({"sound": _FORMATS[media_type], "options": options})
    argv = [
        *launcher(_LIMITS, View(reads=(path, look, Path(sys.prefix)), writes=())),
        *(sys.executable, "-I", str(look), str(path), limits, "1"),
    ]
    try:
        with _READING:
            done = subprocess.run(
                argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, timeout=_SECONDS, check=False,
            )  # fmt: skip
        told = json.loads(done.stdout)
        return int(told["duration_ticks"])
    except (subprocess.TimeoutExpired, ValueError, KeyError, TypeError) as error:
        raise Refused("record_file_broken") from error
