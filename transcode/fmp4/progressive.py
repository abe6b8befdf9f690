"""The ``moov`` of a progressive MP4: sample tables with an index of where each chunk lies.

ISO/IEC 14496-12, 8.5 to 8.7. Pure; the caller lays the chunks out and says where they are.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from transcode.fmp4.boxes import make, make_full
from transcode.fmp4.model import Track
from transcode.fmp4.writer import mvhd, trak

Column = NDArray[np.int64]
_OFFSET_MAX = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class MovieTrack:
    """A track with its samples in coded order, a column each, in the track's timescale."""

    track: Track
    """``width`` and ``height`` are those it is shown at."""
    durations: Column
    """Until the next sample is decoded; the last one's, how long it is presented."""
    offsets: Column
    """Presentation less decoding time; not negative."""
    sizes: Column
    sync: NDArray[np.bool_]
    chunk_offsets: Column
    """In the file."""
    chunk_counts: Column
    """Samples in each chunk."""
    start: int
    """Media time that presentation begins at; unless it is 0, an edit list says so, and that it
    ends after ``shown``."""
    shown: int
    """How long it is presented, in the movie's timescale."""


def write_movie(tracks: Sequence[MovieTrack], timescale: int) -> bytes:
    """The ``moov`` box. Its size does not depend on the values of chunk offsets of one width, and
    offsets are 64 bits wide as soon as one of them needs it."""
    duration = max(track.shown for track in tracks)
    next_id = max(track.track.track_id for track in tracks) + 1
    traks = (_trak(track, timescale) for track in tracks)
    return make(b"moov", mvhd(next_id, timescale, duration), *traks)


def _trak(movie: MovieTrack, timescale: int) -> bytes:
    tables = [_runs(b"stts", movie.durations)]
    if movie.offsets.any():
        tables.append(_runs(b"ctts", movie.offsets))
    if not movie.sync.all():
        tables.append(_listed(b"stss", np.flatnonzero(movie.sync) + 1, ">u4"))
    tables += [_stsc(movie.chunk_counts), _stsz(movie.sizes), _places(movie.chunk_offsets)]
    edits = b""
    if movie.start:
        entry = struct.pack(">IIiI", 1, movie.shown, movie.start, 0x10000)
        edits = make(b"edts", make_full(b"elst", 0, 0, entry))
    return trak(
        movie.track,
        tables,
        duration=movie.shown,
        media_duration=movie.start + movie.shown * movie.track.timescale // timescale,
        edits=edits,
    )


def _runs(kind: bytes, values: Column) -> bytes:
    """Equal values one after the other as one row (8.6.1.2, 8.6.1.3)."""
    starts = np.flatnonzero(np.append(True, values[1:] != values[:-1]))
    counts = np.diff(np.append(starts, len(values)))
    rows = np.column_stack((counts, values[starts])).astype(">u4")
    return make_full(kind, 0, 0, struct.pack(">I", len(rows)), rows.tobytes())


def _stsc(counts: Column) -> bytes:
    """8.7.4: chunks of equally many samples one after the other as one row."""
    starts = np.flatnonzero(np.append(True, counts[1:] != counts[:-1]))
    ones = np.ones(len(starts), np.int64)
    rows = np.column_stack((starts + 1, counts[starts], ones)).astype(">u4")
    return make_full(b"stsc", 0, 0, struct.pack(">I", len(rows)), rows.tobytes())


def _stsz(sizes: Column) -> bytes:
    head = struct.pack(">II", 0, len(sizes))
    return make_full(b"stsz", 0, 0, head, sizes.astype(">u4").tobytes())


def _places(offsets: Column) -> bytes:
    if len(offsets) and int(offsets.max()) > _OFFSET_MAX:
        return _listed(b"co64", offsets, ">u8")
    return _listed(b"stco", offsets, ">u4")


def _listed(kind: bytes, values: Column, form: str) -> bytes:
    return make_full(kind, 0, 0, struct.pack(">I", len(values)), values.astype(form).tobytes())
