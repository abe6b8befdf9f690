"""Files of records: known by their bytes."""

from __future__ import annotations

import pytest

from catalog.records.files import sniff

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
