"""Files of records: known by their bytes, checked before they are kept."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy
import pytest

from catalog.errors import Refused
from catalog.records.files import KEPT, SMALL_EDGE, keep, small_key, sniff
from infra.storage.folder import FolderStorage

HEADS = [
    (b"\xff\xd8\xff\xe0\x00\x10JFIF", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n\x00\x00", "image/png"),
    (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
    (b"RIFF\x00\x00\x00\x00WAVEfmt ", "audio/wav"),
    (b"RIFF\x00\x00\x00\x00AVI LIST", None),
    (b"%PDF-1.7\n", "application/pdf"),
    (b"ID3\x03\x00", "audio/mpeg"),
    (b"\xff\xfb\x90\x00", "audio/mpeg"),
    (b"\xff\xf1\x50\x80", None),  # AAC in ADTS: its layer bits are zero
    (b"\x00\x00\x00\x20ftypM4A ", "audio/mp4"),
    (b"\x00\x00\x00\x20ftypisom", None),
    (b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'>", None),
    (b"<!doctype html>", None),
    (b"", None),
]


@pytest.mark.parametrize(("head", "media_type"), HEADS)
def test_the_bytes_tell_the_type(head: bytes, media_type: str | None) -> None:
    assert sniff(head) == media_type


@pytest.fixture
def storage(tmp_path: Path) -> FolderStorage:
    return FolderStorage(tmp_path / "media")


def _jpeg(path: Path, width: int, height: int) -> Path:
    image = numpy.full((height, width, 3), 120, numpy.uint8)
    path.write_bytes(cv2.imencode(".jpg", image)[1].tobytes())
    return path


def test_a_picture_is_kept_under_its_checksum_with_a_small_one(
    storage: FolderStorage, tmp_path: Path
) -> None:
    path = _jpeg(tmp_path / "p", 3000, 1500)
    kept = keep(storage, "image", path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert (kept.sha256, kept.media_type) == (digest, "image/jpeg")
    assert kept.technical == {"width": 3000, "height": 1500}
    assert storage.get(kept.storage_key) == path.read_bytes()
    small = cv2.imdecode(
        numpy.frombuffer(storage.get(small_key(kept.storage_key)), numpy.uint8), cv2.IMREAD_COLOR
    )
    assert small is not None
    assert small.shape[:2] == (SMALL_EDGE // 2, SMALL_EDGE)
    assert keep(storage, "image", path) == kept, "the same file again is the same object"


@pytest.mark.parametrize(
    ("kind", "content", "code"),
    [
        ("image", b"%PDF-1.7 a document", "record_file_type"),
        ("document", b"\xff\xd8\xff\xe0 a picture", "record_file_type"),
        ("image", b"\xff\xd8\xff\xe0 and then nothing of a picture", "record_file_broken"),
        ("audio", b"ID3\x03 and then nothing of a sound", "record_file_broken"),
        ("news", b"%PDF-1.7", "record_file_kind"),
    ],
)
def test_what_it_is_not_is_not_kept(
    storage: FolderStorage, tmp_path: Path, kind: str, content: bytes, code: str
) -> None:
    path = tmp_path / "f"
    path.write_bytes(content)
    with pytest.raises(Refused) as refused:
        keep(storage, kind, path)
    assert refused.value.code == code
    assert list(storage.list("")) == []


def test_a_picture_of_too_many_points_is_refused_by_its_header(
    storage: FolderStorage, tmp_path: Path
) -> None:
    # A PNG header that promises 60 000 × 60 000 points, and nothing after it.
    head = bytes.fromhex("89504e470d0a1a0a0000000d49484452") + (60_000).to_bytes(4) * 2
    path = tmp_path / "bomb.png"
    path.write_bytes(head + bytes.fromhex("0802000000") + b"\x00" * 64)
    with pytest.raises(Refused) as refused:
        keep(storage, "image", path)
    assert refused.value.code == "record_file_broken"


def test_too_large_says_how_large(storage: FolderStorage, tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.write(b"%PDF-1.7")
        file.truncate(KEPT["document"].most + 1)
    with pytest.raises(Refused) as refused:
        keep(storage, "document", path)
    assert refused.value.facts == {"most": 60, "size": 61}
