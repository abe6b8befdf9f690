"""What both ends of an upload call things: its place, the protocol's version and types. Pure."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Final

PATH: Final = "/api/v1/uploads/files"
VERSION: Final = "1.0.0"
PATCH_TYPE: Final = "application/offset+octet-stream"


def written_metadata(pairs: Mapping[str, str]) -> str:
    """Upload-Metadata for these pairs."""
    return ",".join(
        f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in pairs.items()
    )
