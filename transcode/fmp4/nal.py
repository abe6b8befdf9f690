"""NAL units in a sample, and whether its picture begins the stream anew. Pure.

ISO/IEC 14496-15: a sample is NAL units, each behind its length. ITU-T H.264 table 7-1, H.265
table 7-1: the kinds of them.
"""

from __future__ import annotations

from collections.abc import Iterator

KEY_PEEK_BYTES = 1 << 16
"""As much of a key picture's sample as ``is_idr`` wants: what stands before its first slice."""

_AVC_IDR = 5
_AVC_SLICES = range(1, 6)
_HEVC_IDR = (19, 20)  # IDR_W_RADL, IDR_N_LP
_HEVC_SLICES = range(32)


def nals(sample: bytes, length_size: int) -> Iterator[bytes]:
    """The NAL units of a sample; of one that is cut short, the last one as far as it goes."""
    at = 0
    while at + length_size < len(sample):
        size = int.from_bytes(sample[at : at + length_size], "big")
        at += length_size
        if size:
            yield sample[at : at + size]
        at += size


def is_idr(codec: str, config: bytes, sample: bytes) -> bool:
    """Whether a key picture is one at which any player can begin: an IDR picture.

    A key frame of an open group (a recovery point; H.265: a CRA picture) is none: Chromium does
    not begin there. ``codec`` is FFmpeg's name, ``config`` the avcC or hvcC record, ``sample`` the
    picture's first bytes. Of other codecs, and without such a record, nothing is known: True for
    the former, whose key pictures are all beginnings, False for the latter.
    """
    if codec == "h264":
        if len(config) < 5 or config[0] != 1:
            return False
        kinds = (nal[0] & 31 for nal in nals(sample, (config[4] & 3) + 1))
        return next((kind for kind in kinds if kind in _AVC_SLICES), 0) == _AVC_IDR
    if codec == "hevc":
        if len(config) < 22:
            return False
        kinds = (nal[0] >> 1 & 63 for nal in nals(sample, (config[21] & 3) + 1))
        return next((kind for kind in kinds if kind in _HEVC_SLICES), 0) in _HEVC_IDR
    return True
