"""Writing fragmented MP4: an init section, and one ``moof`` + ``mdat`` per part.

The bytes depend on the arguments alone, so a part made again after a restart is the same part.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from transcode.fmp4.boxes import boxes, make, make_full
from transcode.fmp4.codecs import AUDIO_ENTRY_BYTES, VIDEO_ENTRY_BYTES
from transcode.fmp4.model import NON_SYNC_FLAGS, SYNC_FLAGS, Sample, Track

MOVIE_TIMESCALE = 1000
_MATRIX = struct.pack(">9i", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_UNDETERMINED = 0x55C4
"""ISO 639-2 "und", packed."""


class TrackSamples(NamedTuple):
    """The samples of one track in one part, with ``dts`` in the written timescale."""

    track_id: int
    samples: Sequence[Sample]


class TrackRows(NamedTuple):
    """As ``TrackSamples``, but without the bytes: the first ``dts``, and of each sample duration,
    size, whether it is a sync sample, and cts offset."""

    track_id: int
    dts: int
    rows: Sequence[tuple[int, int, bool, int]]


def write_init(tracks: Iterable[Track]) -> bytes:
    """``ftyp`` + ``moov`` for tracks whose ``timescale`` is the one their fragments will use."""
    listed = list(tracks)
    moov = make(
        b"moov",
        mvhd(max(track.track_id for track in listed) + 1),
        *(trak(track, _EMPTY_TABLES) for track in listed),
        make(b"mvex", *(_trex(track.track_id) for track in listed)),
    )
    return make(b"ftyp", b"iso6", bytes(4), b"iso6cmfcmp41") + moov


def write_fragment(sequence: int, tracks: Sequence[TrackSamples]) -> bytes:
    """One ``moof`` + ``mdat``; tracks without samples are left out (14496-12 8.8.4)."""
    present = [track for track in tracks if track.samples]
    rows = [
        TrackRows(
            track_id,
            samples[0].dts,
            [(s.duration, len(s.data), s.is_sync, s.cts) for s in samples],
        )
        for track_id, samples in present
    ]
    payload = [sample.data for track in present for sample in track.samples]
    return write_fragment_head(sequence, rows) + b"".join(payload)


def write_fragment_head(sequence: int, tracks: Sequence[TrackRows]) -> bytes:
    """A ``moof`` and the header of its ``mdat``; the payload, track after track, follows."""
    if not tracks:
        raise ValueError("a fragment needs a sample")
    mfhd = make_full(b"mfhd", 0, 0, struct.pack(">I", sequence & 0xFFFF_FFFF))
    # All sizes are known beforehand: traf = 8 + tfhd 20 + tfdt 20 + trun (20 + 16 a sample).
    moof_size = 8 + len(mfhd) + sum(68 + 16 * len(track.rows) for track in tracks)
    offset = moof_size + 8
    trafs = []
    for track in tracks:
        trafs.append(_traf(track, offset))
        offset += sum(size for _, size, _, _ in track.rows)
    mdat = struct.pack(">I4s", offset - moof_size, b"mdat")
    return make(b"moof", mfhd, *trafs) + mdat


def _traf(track: TrackRows, data_offset: int) -> bytes:
    pack = struct.Struct(">IIIi").pack
    rows = b"".join(
        pack(duration, size, SYNC_FLAGS if is_sync else NON_SYNC_FLAGS, cts)
        for duration, size, is_sync, cts in track.rows
    )
    return make(
        b"traf",
        # 0x020000: default-base-is-moof. The description index keeps the box at 20 bytes.
        make_full(b"tfhd", 0, 0x020002, struct.pack(">II", track.track_id, 1)),
        make_full(b"tfdt", 1, 0, struct.pack(">Q", track.dts)),
        # 0xF01: data offset, then duration, size, flags and (version 1: signed) cts offset.
        make_full(b"trun", 1, 0xF01, struct.pack(">Ii", len(track.rows), data_offset), rows),
    )


def mvhd(next_track: int, timescale: int = MOVIE_TIMESCALE, duration: int = 0) -> bytes:
    """The movie header; ``duration`` in ``timescale``, 0 for a movie in fragments."""
    times = struct.pack(">4I", 0, 0, timescale, duration)
    rate = struct.pack(">IH10x", 0x10000, 0x0100)
    return make_full(b"mvhd", 0, 0, times, rate, _MATRIX, bytes(24), struct.pack(">I", next_track))


_EMPTY_TABLES = (
    make_full(b"stts", 0, 0, bytes(4)),
    make_full(b"stsc", 0, 0, bytes(4)),
    make_full(b"stsz", 0, 0, bytes(8)),
    make_full(b"stco", 0, 0, bytes(4)),
)


def trak(
    track: Track,
    tables: Sequence[bytes],
    *,
    duration: int = 0,
    media_duration: int = 0,
    edits: bytes = b"",
) -> bytes:
    """A track box: ``tables`` behind its ``stsd``, ``edits`` (an ``edts`` box) before its media.

    ``duration`` is in the movie's timescale, ``media_duration`` in the track's.
    """
    video = track.kind == "video"
    volume = 0 if video else 0x0100
    tkhd = make_full(
        b"tkhd",
        0,
        3,
        struct.pack(">5I8xHHHH", 0, 0, track.track_id, 0, duration, 0, 0, volume, 0),
        _MATRIX,
        struct.pack(">II", track.width << 16, track.height << 16),
    )
    times = struct.pack(">4IHH", 0, 0, track.timescale, media_duration, _UNDETERMINED, 0)
    mdhd = make_full(b"mdhd", 0, 0, times)
    handler, name = (b"vide", b"video\0") if video else (b"soun", b"audio\0")
    hdlr = make_full(b"hdlr", 0, 0, bytes(4), handler, bytes(12), name)
    media = make_full(b"vmhd", 0, 1, bytes(8)) if video else make_full(b"smhd", 0, 0, bytes(4))
    dref = make_full(b"dref", 0, 0, struct.pack(">I", 1), make_full(b"url ", 0, 1))
    stsd = make_full(b"stsd", 0, 0, struct.pack(">I", 1), clean_entry(track))
    minf = make(b"minf", media, make(b"dinf", dref), make(b"stbl", stsd, *tables))
    return make(b"trak", tkhd, edits, make(b"mdia", mdhd, hdlr, minf))


def clean_entry(track: Track) -> bytes:
    """The sample entry without ``btrt``: a guess of the encoder's that may differ from run to
    run, and so would force a new EXT-X-MAP for the same decoder configuration."""
    head = 8 + (VIDEO_ENTRY_BYTES if track.kind == "video" else AUDIO_ENTRY_BYTES)
    raw = track.entry
    kept = [raw[box.start : box.end] for box in boxes(raw, head) if box.kind != b"btrt"]
    return make(raw[4:8], raw[8:head], *kept)


def _trex(track_id: int) -> bytes:
    return make_full(b"trex", 0, 0, struct.pack(">5I", track_id, 1, 0, 0, 0))
