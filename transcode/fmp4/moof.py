"""Reading a ``moof`` with its ``mdat``: one list of samples."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from transcode.fmp4.boxes import Box, Fmp4Error, boxes, need
from transcode.fmp4.model import NON_SYNC, Fragment, Sample
from transcode.fmp4.moov import TrackDefaults

MAX_SAMPLES = 20_000
"""Samples in one fragment; FFmpeg cuts far sooner."""


@dataclass(slots=True)
class _TrackRun:
    """State of one ``traf`` while its ``trun`` boxes are read."""

    track_id: int
    defaults: TrackDefaults
    dts: int
    offset: int


def read_moof(
    moof: bytes,
    mdat: bytes,
    mdat_header: int,
    tracks: dict[int, TrackDefaults],
) -> Fragment:
    """Samples of one fragment. Raises Fmp4Error.

    ``moof`` is the whole box, ``mdat`` the payload that follows after ``mdat_header`` bytes of
    header; offsets in ``trun`` count from the first byte of the ``moof`` (default-base-is-moof).
    """
    try:
        root = need(moof, "moof")
        mfhd = need(moof, "mfhd", root.body, root.end)
        (sequence,) = struct.unpack_from(">I", moof, mfhd.body + 4)
        samples: list[Sample] = []
        start = len(moof) + mdat_header
        for box in boxes(moof, root.body, root.end):
            if box.kind == b"traf":
                _read_traf(moof, box, mdat, start, tracks, samples)
    except struct.error as error:
        raise Fmp4Error(f"moof too short: {error}") from error
    return Fragment(sequence, samples)


def _read_traf(
    moof: bytes,
    traf: Box,
    mdat: bytes,
    mdat_start: int,
    tracks: dict[int, TrackDefaults],
    samples: list[Sample],
) -> None:
    run: _TrackRun | None = None
    for box in boxes(moof, traf.body, traf.end):
        if box.kind == b"tfhd":
            run = _read_tfhd(moof, box, tracks)
        elif run is None:
            raise Fmp4Error("traf does not begin with tfhd")
        elif box.kind == b"tfdt":
            # Signed: an encoder's priming may lie before zero, and FFmpeg then writes it so.
            form = ">q" if moof[box.body] else ">I"
            (run.dts,) = struct.unpack_from(form, moof, box.body + 4)
        elif box.kind == b"trun":
            _read_trun(moof, box, mdat, mdat_start, run, samples)


def _read_tfhd(moof: bytes, box: Box, tracks: dict[int, TrackDefaults]) -> _TrackRun:
    """8.8.7: optional fields stand in the order of their flags."""
    flags, track_id = struct.unpack_from(">II", moof, box.body)
    flags &= 0xFFFFFF
    base = tracks.get(track_id, TrackDefaults(0, 0, 0))
    at = box.body + 8
    if flags & 0x01:
        raise Fmp4Error("tfhd with an absolute base offset; default-base-is-moof is required")
    if flags & 0x02:
        at += 4
    values = list(base)
    for index, flag in enumerate((0x08, 0x10, 0x20)):
        if flags & flag:
            (values[index],) = struct.unpack_from(">I", moof, at)
            at += 4
    return _TrackRun(track_id, TrackDefaults(*values), 0, 0)


def _read_trun(
    moof: bytes,
    box: Box,
    mdat: bytes,
    mdat_start: int,
    run: _TrackRun,
    samples: list[Sample],
) -> None:
    head, count = struct.unpack_from(">II", moof, box.body)
    flags, version = head & 0xFFFFFF, head >> 24
    if count + len(samples) > MAX_SAMPLES:
        raise Fmp4Error(f"fragment of {count + len(samples)} samples, limit {MAX_SAMPLES}")
    at = box.body + 8
    if flags & 0x01:
        (data_offset,) = struct.unpack_from(">i", moof, at)
        at += 4
        run.offset = data_offset - mdat_start
    first_flags: int | None = None
    if flags & 0x04:
        (first_flags,) = struct.unpack_from(">I", moof, at)
        at += 4
    fields = [bit for bit in (0x100, 0x200, 0x400, 0x800) if flags & bit]
    entry = struct.Struct(">" + "".join("i" if bit == 0x800 and version else "I" for bit in fields))
    if at + entry.size * count > box.end:
        raise Fmp4Error(f"trun declares {count} samples, more than it holds")
    default = run.defaults
    for index in range(count):
        given = dict(zip(fields, entry.unpack_from(moof, at), strict=True))
        at += entry.size
        size = given.get(0x200, default.size)
        duration = given.get(0x100, default.duration)
        fallback = first_flags if index == 0 and first_flags is not None else default.flags
        sample_flags = given.get(0x400, fallback)
        end = run.offset + size
        if run.offset < 0 or end > len(mdat):
            raise Fmp4Error(f"sample at {run.offset}+{size} outside an mdat of {len(mdat)} bytes")
        samples.append(
            Sample(
                run.track_id,
                run.dts,
                given.get(0x800, 0),
                duration,
                not sample_flags & NON_SYNC,
                mdat[run.offset : end],
            )
        )
        run.offset = end
        run.dts += duration
