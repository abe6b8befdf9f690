"""An incremental reader of FFmpeg's fragmented MP4 out of a pipe.

Expects ``OUTPUT_FLAGS`` (with ``-copyts`` on the input): one ``moov`` first, then pairs of
``moof`` and ``mdat`` whose ``tfdt`` carries the feed's own timeline.
"""

from __future__ import annotations

from transcode.fmp4.boxes import Fmp4Error, box_header
from transcode.fmp4.model import Fragment, InitSection
from transcode.fmp4.moof import read_moof
from transcode.fmp4.moov import TrackDefaults, read_moov

OUTPUT_FLAGS = (
    "-avoid_negative_ts",
    "disabled",
    "-use_editlist",
    "0",
    "-movflags",
    "empty_moov+default_base_moof+frag_discont",
    "-f",
    "mp4",
)
"""What FFmpeg must be told. Measured with FFmpeg 9: without the first option every run starts at
zero, ``-copyts`` or not; without the second, ``tfdt`` of a feed with B-frames is late by the
reordering delay of its first frame, and with ``empty_moov`` no edit list says so."""

MAX_MOOV_BYTES = 1 << 20
MAX_MOOF_BYTES = 2 << 20
MAX_MDAT_BYTES = 64 << 20
"""One fragment of media: half a second at far more than any bitrate we take."""
MAX_OTHER_BYTES = 1 << 20
"""Boxes that are skipped: ``sidx``, ``free``, ``mfra``…"""

_LIMITS = {b"moov": MAX_MOOV_BYTES, b"moof": MAX_MOOF_BYTES, b"mdat": MAX_MDAT_BYTES}


class FragmentReader:
    """Bytes in, init section and fragments out. Holds at most one fragment.

    After an Fmp4Error the reader is of no more use: the producer must be started anew.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._ftyp = b""
        self._moof = b""
        self._defaults: dict[int, TrackDefaults] | None = None

    @property
    def buffered(self) -> int:
        """Bytes held that have not come out yet."""
        return len(self._buffer) + len(self._moof)

    def feed(self, data: bytes) -> list[InitSection | Fragment]:
        """Take bytes in pieces of any size. Raises Fmp4Error."""
        buffer = self._buffer
        buffer += data
        out: list[InitSection | Fragment] = []
        at = 0
        while (header := box_header(buffer, at, len(buffer))) is not None:
            kind, head, size = header
            limit = _LIMITS.get(kind, MAX_OTHER_BYTES)
            if size > limit:
                raise Fmp4Error(f"{kind!r} of {size} bytes, limit {limit}")
            if len(buffer) - at < size:
                break
            event = self._box(kind, head, bytes(memoryview(buffer)[at : at + size]))
            if event is not None:
                out.append(event)
            at += size
        if at:
            del buffer[:at]
        return out

    def _box(self, kind: bytes, head: int, raw: bytes) -> InitSection | Fragment | None:
        if kind == b"ftyp":
            self._ftyp = raw
        elif kind == b"moov":
            tracks, self._defaults = read_moov(raw)
            return InitSection(self._ftyp + raw, tracks)
        elif kind == b"moof":
            if self._moof:
                raise Fmp4Error("two moof boxes without an mdat between them")
            self._moof = raw
        elif kind == b"mdat" and self._moof:
            if self._defaults is None:
                raise Fmp4Error("moof before moov")
            fragment = read_moof(self._moof, raw[head:], head, self._defaults)
            self._moof = b""
            return fragment
        return None
