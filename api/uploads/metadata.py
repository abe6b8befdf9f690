"""Upload-Metadata (tus 1.0.0, creation): names and base64 values, read strictly. Pure."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

from catalog.errors import Refused

HEADER_MAX: Final = 8 << 10
PAIRS_MAX: Final = 20
VALUE_MAX: Final = 2 << 10
_KEY: Final = re.compile(r"[A-Za-z0-9_.-]{1,40}")


def read_metadata(header: str) -> dict[str, str]:
    """The pairs of the header. Raises Refused for what is none: nothing is guessed or skipped."""
    if len(header) > HEADER_MAX:
        raise Refused("tus_metadata")
    found: dict[str, str] = {}
    for pair in header.split(",") if header.strip() else ():
        key, _, value = pair.strip().partition(" ")
        if _KEY.fullmatch(key) is None or key in found or len(found) >= PAIRS_MAX:
            raise Refused("tus_metadata")
        found[key] = _decoded(value.strip())
    return found


def _decoded(value: str) -> str:
    try:
        text = base64.b64decode(value, validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        raise Refused("tus_metadata") from None
    if len(text) > VALUE_MAX or "\0" in text:
        raise Refused("tus_metadata")
    return text
