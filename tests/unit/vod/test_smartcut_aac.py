"""Where AAC frames may be joined, and what a sample entry says."""

from __future__ import annotations

import pytest

from transcode.fmp4.boxes import Fmp4Error, make
from transcode.fmp4.nal import nals
from vod.smartcut import entry
from vod.smartcut.aac import AacConfig, Shape, Window, joins, read_config, shape
from vod.smartcut.bits import BitWriter

LONG, SINE = Shape(Window.LONG, kaiser=True), Shape(Window.LONG, kaiser=False)
START, SHORT, STOP = (Shape(w, kaiser=False) for w in (Window.START, Window.SHORT, Window.STOP))


def _frame(element: int, *, common: bool, sequence: int, kaiser: int) -> bytes:
    out = BitWriter()
    out.u(element, 3)
    out.u(0, 4)
    out.u(99, 8) if element == 0 else out.u(int(common), 1)
    out.u(0, 1)
    out.u(sequence, 2)
    out.u(kaiser, 1)
    return out.finish()


def test_windows_are_read() -> None:
    assert shape(_frame(0, common=False, sequence=0, kaiser=1)) == LONG
    assert shape(_frame(1, common=True, sequence=2, kaiser=0)) == SHORT
    # Two channels each with a window of its own, or no sound element in front: unknown.
    assert shape(_frame(1, common=False, sequence=0, kaiser=1)) is None
    assert shape(_frame(6, common=True, sequence=0, kaiser=1)) is None
    assert shape(b"") is None


@pytest.mark.parametrize(
    ("ours", "left_out", "theirs", "fit"),
    [
        (LONG, LONG, LONG, True),
        (LONG, LONG, START, True),
        (LONG, LONG, SHORT, False),
        (LONG, SINE, SINE, False),
        (SINE, SINE, LONG, True),
        (LONG, START, SHORT, False),
        (START, LONG, LONG, False),
        (STOP, SINE, LONG, True),
        (None, LONG, LONG, False),
    ],
)
def test_frames_join_where_overlapping_halves_are_alike(
    ours: Shape | None, left_out: Shape, theirs: Shape, fit: bool
) -> None:
    assert joins(ours, left_out, theirs) == fit


def _audio_entry(specific: bytes) -> bytes:
    def tagged(tag: int, payload: bytes) -> bytes:
        return bytes([tag, 0x80, 0x80, 0x80, len(payload)]) + payload

    config = tagged(4, b"\x40\x15" + bytes(11) + tagged(5, specific))
    esds = make(b"esds", bytes(4), tagged(3, bytes(3) + config + tagged(6, b"\x02")))
    return make(b"mp4a", bytes(28), esds)


def test_only_low_complexity_is_read() -> None:
    assert read_config(_audio_entry(b"\x11\x90\x56\xe5\x00")) == AacConfig(48_000, 2)
    assert read_config(_audio_entry(b"\x12\x08")) == AacConfig(44_100, 1)
    assert read_config(_audio_entry(b"\x2b\x92\x08\x00")) is None  # HE-AAC
    assert read_config(_audio_entry(b"\x11\x94")) is None  # frames of 960
    assert read_config(_audio_entry(b"\x11")) is None
    assert read_config(_audio_entry(b"\x17\x80\x00\x00\x10")) is None  # a rate of 0
    assert read_config(make(b"Opus", bytes(28))) is None


def test_sample_entry_gets_another_record() -> None:
    pasp = make(b"pasp", (4).to_bytes(4, "big") + (3).to_bytes(4, "big"))
    whole = make(b"avc1", bytes(78), make(b"avcC", b"old"), make(b"btrt", bytes(12)), pasp)
    changed = entry.with_record(whole, b"avcC", b"new and longer")
    assert entry.record(changed, b"avcC") == b"new and longer"
    assert entry.pixel_shape(changed) == (4, 3)
    assert b"btrt" not in changed
    with pytest.raises(Fmp4Error):
        entry.record(changed, b"hvcC")


def test_samples_are_nal_units() -> None:
    units = [b"\x67abc", b"\x65" + bytes(300)]
    for size in (2, 4):
        data = entry.sample(units, size)
        assert list(nals(data, size)) == units
        # Cut short, the last one as far as it goes.
        assert list(nals(data[:20], size))[1] == units[1][: 20 - 4 - 2 * size]
