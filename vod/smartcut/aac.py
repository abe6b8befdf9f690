"""AAC as far as a splice depends on it: what the configuration says, and each frame's window.

ISO/IEC 14496-3, 1.6.2.1 (AudioSpecificConfig), 4.4.2.1 (raw_data_block), 4.4.2.7 (ics_info).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from transcode.fmp4.boxes import boxes
from transcode.fmp4.codecs import AUDIO_ENTRY_BYTES
from vod.smartcut.bits import BitReader, BitsError

FRAME = 1024
"""Samples a frame of AAC-LC; a frame's window covers two."""

_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
_LOW_COMPLEXITY, _ESCAPE = 2, 31
_EXPLICIT_RATE = 15
_SCE, _CPE = 0, 1
_ES, _DECODER_CONFIG, _SPECIFIC = 3, 4, 5


class Window(IntEnum):
    """window_sequence."""

    LONG = 0
    START = 1
    SHORT = 2
    STOP = 3


@dataclass(frozen=True, slots=True)
class Shape:
    """How a frame is windowed."""

    sequence: Window
    kaiser: bool
    """window_shape: the second half is Kaiser-Bessel derived, else a sine."""

    @property
    def begins_long(self) -> bool:
        return self.sequence in (Window.LONG, Window.START)

    @property
    def ends_long(self) -> bool:
        return self.sequence in (Window.LONG, Window.STOP)


@dataclass(frozen=True, slots=True)
class AacConfig:
    """An AudioSpecificConfig of AAC-LC with frames of 1024 samples."""

    rate: int
    channels: int


def read_config(entry: bytes) -> AacConfig | None:
    """Read the ``esds`` of an audio sample entry; None when it is another kind of sound, or one
    whose frames depend on each other (SBR, prediction)."""
    for box in boxes(entry, 8 + AUDIO_ENTRY_BYTES):
        if box.kind == b"esds":
            specific = _specific(entry[box.body + 4 : box.end])
            try:
                return _read_specific(BitReader(specific)) if specific else None
            except (BitsError, IndexError):
                return None
    return None


def _read_specific(bits: BitReader) -> AacConfig | None:
    if bits.u(5) != _LOW_COMPLEXITY:
        return None
    index = bits.u(4)
    rate = bits.u(24) if index == _EXPLICIT_RATE else _RATES[index]
    channels = bits.u(4)
    short_frames = bits.flag()
    usual = rate > 0 and not short_frames and channels in range(1, 7)
    return AacConfig(rate, channels) if usual else None


def _specific(descriptors: bytes) -> bytes:
    """The DecoderSpecificInfo in an ES descriptor (14496-1 7.2.6)."""
    at = 0
    while at + 2 <= len(descriptors):
        tag, at, size = descriptors[at], at + 1, 0
        for _ in range(4):
            byte, at = descriptors[at], at + 1
            size = size << 7 | byte & 0x7F
            if not byte & 0x80 or at >= len(descriptors):
                break
        if tag == _SPECIFIC:
            return descriptors[at : at + size]
        if tag == _ES:
            at += 3
        elif tag == _DECODER_CONFIG:
            at += 13
        else:
            at += size
    return b""


def shape(frame: bytes) -> Shape | None:
    """The window of a frame of one or two channels; None when it can't be told for all."""
    bits = BitReader(frame[:16])
    try:
        element = bits.u(3)
        bits.u(4)
        if element == _SCE:
            bits.u(8)  # global_gain
        elif element != _CPE or not bits.flag():  # common_window
            return None
        bits.u(1)
        return Shape(Window(bits.u(2)), bits.flag())
    except BitsError:
        return None


def joins(ours: Shape | None, left_out: Shape | None, theirs: Shape | None) -> bool:
    """Whether a frame windowed as ``ours`` can go before ``theirs`` in the place of ``left_out``:
    the halves that overlap must be long and of one form, or their aliases don't cancel
    (4.6.11.3.3)."""
    return (
        ours is not None
        and left_out is not None
        and theirs is not None
        and ours.ends_long
        and left_out.ends_long
        and theirs.begins_long
        and ours.kaiser == left_out.kaiser
    )
