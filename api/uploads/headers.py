"""What a tus request says in its headers, checked before anything is done. Pure.

Sections are those of tus 1.0.0. Not offered, and refused rather than ignored: concatenation
(tuspyserver#93), deferred lengths, bytes in the creating request, another method in a header.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from api.uploads.metadata import read_metadata
from api.uploads.names import PATCH_TYPE, VERSION
from catalog.errors import Refused

EXTENSIONS: Final = "creation,termination,checksum"
CHECKSUMS: Final = "sha256"
_DIGITS_MAX: Final = 18
_SHA256_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Creation:
    """A wish to send a file."""

    size: int
    metadata: dict[str, str]


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a file: ``length`` bytes from ``offset``; ``sha256`` of just these bytes."""

    offset: int
    length: int
    sha256: bytes | None


def check_version(headers: Mapping[str, str]) -> None:
    """Tus-Resumable. Raises Refused (412)."""
    if headers.get("tus-resumable") != VERSION:
        raise Refused("tus_version")
    if "x-http-method-override" in headers:
        raise Refused("tus_method")


def creation(headers: Mapping[str, str]) -> Creation:
    """A POST. Raises Refused."""
    if "upload-concat" in headers:
        raise Refused("tus_concat")
    if "upload-defer-length" in headers or "upload-length" not in headers:
        raise Refused("tus_length")
    if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
        raise Refused("tus_creation_body")
    size = _number(headers["upload-length"], "tus_length")
    return Creation(size, read_metadata(headers.get("upload-metadata", "")))


def piece(headers: Mapping[str, str]) -> Piece:
    """A PATCH. Raises Refused."""
    if headers.get("content-type") != PATCH_TYPE:
        raise Refused("tus_type")
    if "upload-length" in headers or "upload-concat" in headers:
        raise Refused("tus_length" if "upload-length" in headers else "tus_concat")
    # A length that is known before allows the refusal of what is too long before it is sent.
    if "content-length" not in headers:
        raise Refused("tus_body_length")
    return Piece(
        _number(headers.get("upload-offset", ""), "tus_offset"),
        _number(headers["content-length"], "tus_body_length"),
        _checksum(headers.get("upload-checksum")),
    )


def _number(text: str, code: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= _DIGITS_MAX):
        raise Refused(code)
    return int(text)


def _checksum(header: str | None) -> bytes | None:
    if header is None:
        return None
    name, _, value = header.partition(" ")
    try:
        digest = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise Refused("tus_checksum_kind") from None
    if name != CHECKSUMS or len(digest) != _SHA256_BYTES:
        raise Refused("tus_checksum_kind")
    return digest
