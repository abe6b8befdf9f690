"""Reading a ``moof`` with its ``mdat``: one list of samples, or only where they lie."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NamedTuple

from transcode.fmp4.boxes import Box, Fmp4Error, boxes, need
from transcode.fmp4.model import NON_SYNC, Fragment, Sample
from transcode.fmp4.moov import TrackDefaults

MAX_SAMPLES = 20_000
"""Samples in one fragment; FFmpeg cuts far sooner."""


class SampleRange(NamedTuple):
    """A sample without its bytes: ``size`` of them from ``offset`` on, counted from the first byte
    of the ``moof``. The rest as in ``Sample``."""

    track_id: int
    dts: int
    cts: int
    duration: int
    is_sync: bool
    offset: int
    size: int


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
    header.
    """
    start = len(moof) + mdat_header
    sequence, ranges = read_ranges(moof, start, tracks)
    samples: list[Sample] = []
    for track_id, dts, cts, duration, is_sync, offset, size in ranges:
        at = offset - start
        if at < 0 or at + size > len(mdat):
            raise Fmp4Error(f"sample at {at}+{size} outside an mdat of {len(mdat)} bytes")
        samples.append(Sample(track_id, dts, cts, duration, is_sync, mdat[at : at + size]))
    return Fragment(sequence, samples)


def read_ranges(
    moof: bytes, start: int, tracks: dict[int, TrackDefaults]
) -> tuple[int, list[SampleRange]]:
    """The fragment's number and where its samples lie. Raises Fmp4Error.

    Offsets in ``trun`` count from the first byte of the ``moof`` (default-base-is-moof); one that
    says none begins at ``start``, where the payload of the ``mdat`` does.
    """
    try:
        root = need(moof, "moof")
        mfhd = need(moof, "mfhd", root.body, root.end)
        (sequence,) = struct.unpack_from(">I", moof, mfhd.body + 4)
        ranges: list[SampleRange] = []
        for box in boxes(moof, root.body, root.end):
            if box.kind == b"traf":
                _read_traf(moof, box, start, tracks, ranges)
    except struct.error as error:
        raise Fmp4Error(f"moof too short: {error}") from error
    return sequence, ranges


def _read_traf(
    moof: bytes,
    traf: Box,
    start: int,
    tracks: dict[int, TrackDefaults],
    ranges: list[SampleRange],
) -> None:
    run: _TrackRun | None = None
    for box in boxes(moof, traf.body, traf.end):
        if box.kind == b"tfhd":
            run = _read_tfhd(moof, box, tracks)
            run.offset = start
        elif run is None:
            raise Fmp4Error("traf does not begin with tfhd")
        elif box.kind == b"tfdt":
            # Signed: an encoder's priming may lie before zero, and FFmpeg then writes it so.
            form = ">q" if moof[box.body] else ">I"
            (run.dts,) = struct.unpack_from(form, moof, box.body + 4)
        elif box.kind == b"trun":
            _read_trun(moof, box, run, ranges)


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


def _read_trun(moof: bytes, box: Box, run: _TrackRun, ranges: list[SampleRange]) -> None:
    head, count = struct.unpack_from(">II", moof, box.body)
    flags, version = head & 0xFFFFFF, head >> 24
    if count + len(ranges) > MAX_SAMPLES:
        raise Fmp4Error(f"fragment of {count + len(ranges)} samples, limit {MAX_SAMPLES}")
    at = box.body + 8
    if flags & 0x01:
        (run.offset,) = struct.unpack_from(">i", moof, at)
        at += 4
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
        ranges.append(
            SampleRange(
                run.track_id,
                run.dts,
                given.get(0x800, 0),
                duration,
                not sample_flags & NON_SYNC,
                run.offset,
                size,
            )
        )
        run.offset += size
        run.dts += duration
