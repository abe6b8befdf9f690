"""Reading a ``moov``: tracks, their sample entries, and the ``trex`` defaults."""

from __future__ import annotations

import struct
from typing import NamedTuple

from transcode.fmp4.boxes import Box, Fmp4Error, boxes, find, need
from transcode.fmp4.codecs import AUDIO_ENTRY_BYTES, VIDEO_ENTRY_BYTES, codec_string
from transcode.fmp4.model import Track, TrackKind

_KINDS: dict[bytes, TrackKind] = {b"vide": "video", b"soun": "audio"}


class TrackDefaults(NamedTuple):
    """``trex``: what a sample has when neither ``tfhd`` nor ``trun`` says otherwise."""

    duration: int
    size: int
    flags: int


def read_moov(data: bytes) -> tuple[list[Track], dict[int, TrackDefaults]]:
    """Tracks and defaults of a whole ``moov`` box (header included). Raises Fmp4Error."""
    try:
        moov = need(data, "moov")
        tracks = [
            track
            for box in boxes(data, moov.body, moov.end)
            if box.kind == b"trak" and (track := _read_trak(data, box)) is not None
        ]
        defaults: dict[int, TrackDefaults] = {}
        mvex = find(data, "mvex", moov.body, moov.end)
        for box in boxes(data, mvex.body, mvex.end) if mvex else ():
            if box.kind == b"trex":
                track_id, _, duration, size, flags = struct.unpack_from(">5I", data, box.body + 4)
                defaults[track_id] = TrackDefaults(duration, size, flags)
    except (struct.error, IndexError) as error:
        raise Fmp4Error(f"moov too short: {error}") from error
    if not tracks:
        raise Fmp4Error("moov has no audio or video track")
    return tracks, defaults


def _read_trak(data: bytes, trak: Box) -> Track | None:
    tkhd = need(data, "tkhd", trak.body, trak.end)
    mdia = need(data, "mdia", trak.body, trak.end)
    mdhd = need(data, "mdhd", mdia.body, mdia.end)
    hdlr = need(data, "hdlr", mdia.body, mdia.end)
    kind = _KINDS.get(data[hdlr.body + 8 : hdlr.body + 12])
    if kind is None:
        return None
    stsd = need(data, "minf/stbl/stsd", mdia.body, mdia.end)
    entry = next(boxes(data, stsd.body + 8, stsd.end), None)
    if entry is None:
        raise Fmp4Error("stsd has no entry")
    (track_id,) = struct.unpack_from(">I", data, tkhd.body + (20 if data[tkhd.body] else 12))
    (timescale,) = struct.unpack_from(">I", data, mdhd.body + (20 if data[mdhd.body] else 12))
    if timescale <= 0:
        raise Fmp4Error(f"track {track_id} has timescale {timescale}")
    raw = data[entry.start : entry.end]
    least = 8 + (VIDEO_ENTRY_BYTES if kind == "video" else AUDIO_ENTRY_BYTES)
    if len(raw) < least:
        raise Fmp4Error(f"sample entry of {len(raw)} bytes, {least} needed")
    codec = codec_string(raw, entry.kind, kind == "video")
    if kind == "video":
        width, height = struct.unpack_from(">HH", raw, 32)
        return Track(
            track_id,
            kind,
            timescale,
            codec,
            raw,
            width=width,
            height=height,
        )
    channels, _, _, _, rate = struct.unpack_from(">HHHHI", raw, 24)
    # A 16.16 field: rates over 65 535 Hz don't fit, and there the timescale is the rate.
    sample_rate = rate >> 16 or timescale
    return Track(
        track_id,
        kind,
        timescale,
        codec,
        raw,
        sample_rate=sample_rate,
        channels=channels,
    )
