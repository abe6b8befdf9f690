"""Sample entries and samples: the decoder's record inside one, NAL units put into the other.

ISO/IEC 14496-15: a sample is NAL units, each behind its length.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from transcode.fmp4.boxes import Fmp4Error, boxes, make
from transcode.fmp4.codecs import VIDEO_ENTRY_BYTES

_HEAD: Final = 8 + VIDEO_ENTRY_BYTES
_GUESSES: Final = (b"btrt",)
"""What the encoder guessed about the bit rate is no longer so."""


def record(entry: bytes, kind: bytes) -> bytes:
    """The payload of the box ``kind`` in a visual sample entry. Raises Fmp4Error."""
    for box in boxes(entry, _HEAD):
        if box.kind == kind:
            return entry[box.body : box.end]
    raise Fmp4Error(f"no {kind!r} in the sample entry")


def with_record(entry: bytes, kind: bytes, payload: bytes) -> bytes:
    """The sample entry with another record in it."""
    kept = []
    for box in boxes(entry, _HEAD):
        if box.kind == kind:
            kept.append(make(kind, payload))
        elif box.kind not in _GUESSES:
            kept.append(entry[box.start : box.end])
    return make(entry[4:8], entry[8:_HEAD], *kept)


def pixel_shape(entry: bytes) -> tuple[int, int]:
    """Width and height of a pixel (``pasp``, 14496-12 12.1.4); 1:1 when nothing is said."""
    for box in boxes(entry, _HEAD):
        if box.kind == b"pasp" and box.end - box.body >= 8:
            shape = entry[box.body : box.end]
            across, down = int.from_bytes(shape[:4], "big"), int.from_bytes(shape[4:8], "big")
            return (across, down) if across and down else (1, 1)
    return 1, 1


def sample(units: Iterable[bytes], length_size: int) -> bytes:
    """A sample of NAL units."""
    return b"".join(len(nal).to_bytes(length_size, "big") + nal for nal in units)
