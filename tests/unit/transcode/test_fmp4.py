"""The fMP4 reader and writer, against FFmpeg's own output and made-up boxes."""

from __future__ import annotations

import contextlib
import itertools
import struct
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.transcode.media import (
    decode,
    make_flv,
    plays_silently,
    read_items,
    transmux,
    video_init,
)
from transcode.fmp4.boxes import Fmp4Error, boxes, find, make, make_full
from transcode.fmp4.model import Fragment, InitSection, Sample
from transcode.fmp4.reader import MAX_MDAT_BYTES, MAX_MOOF_BYTES, FragmentReader
from transcode.fmp4.writer import TrackSamples, clean_entry, write_fragment, write_init


@pytest.fixture(scope="module")
def flv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_flv(tmp_path_factory.mktemp("fmp4") / "feed.flv", 2, bframes=2)


@pytest.fixture(scope="module")
def piped(flv: Path) -> bytes:
    return transmux(flv)


def test_tracks_are_named_as_players_want_them(piped: bytes) -> None:
    section = read_items(piped)[0]
    assert isinstance(section, InitSection)
    video, audio = section.tracks
    assert (video.kind, video.width, video.height) == ("video", 192, 108)
    assert video.codec.startswith("avc1.4d40")
    assert (audio.kind, audio.sample_rate, audio.channels) == ("audio", 44100, 1)
    assert audio.codec == "mp4a.40.2"


def test_every_frame_comes_out_with_the_feeds_own_time(flv: Path, piped: bytes) -> None:
    section, *rest = read_items(piped)
    assert isinstance(section, InitSection)
    video = section.tracks[0]
    frames = [
        sample
        for fragment in rest
        if isinstance(fragment, Fragment)
        for sample in fragment.samples
        if sample.track_id == video.track_id
    ]
    shown = sorted((sample.dts + sample.cts) * 1000 // video.timescale for sample in frames)
    assert shown == [time * 1000 for time in decode(flv.read_bytes())]
    assert [sample.is_sync for sample in frames] == [True] + [False] * 49
    assert all(one.dts < other.dts for one, other in itertools.pairwise(frames))


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_pieces_of_any_size_give_the_same(piped: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(piped)), max_size=30)))
    reader = FragmentReader()
    out = []
    for start, end in zip([0, *cuts], [*cuts, len(piped)], strict=True):
        out += reader.feed(piped[start:end])
    assert out == read_items(piped)
    assert reader.buffered == 0


def test_what_we_write_plays_and_reads_back(piped: bytes) -> None:
    section, *rest = read_items(piped)
    assert isinstance(section, InitSection)
    written = [write_init(section.tracks)]
    for number, fragment in enumerate(rest):
        assert isinstance(fragment, Fragment)
        by_track = [
            TrackSamples(
                track.track_id, [s for s in fragment.samples if s.track_id == track.track_id]
            )
            for track in section.tracks
        ]
        written.append(write_fragment(number, by_track))
    again = read_items(b"".join(written))
    assert isinstance(again[0], InitSection)
    assert [track.codec for track in again[0].tracks] == [t.codec for t in section.tracks]
    assert [f.samples for f in again[1:] if isinstance(f, Fragment)] == [
        sorted(f.samples, key=lambda s: s.track_id) for f in rest if isinstance(f, Fragment)
    ]
    plays_silently(b"".join(written))
    assert len(decode(b"".join(written))) == 50


def test_signed_composition_and_long_times_survive() -> None:
    samples = [
        Sample(1, 2**40, -3000, 3600, True, b"one"),
        Sample(1, 2**40 + 3600, 7200, 3600, False, b"two2"),
    ]
    out = read_items(
        write_init(video_init().tracks) + write_fragment(7, [TrackSamples(1, samples)])
    )
    assert out[1] == Fragment(7, samples)


def test_defaults_fill_what_trun_leaves_out() -> None:
    """8.8.3, 8.8.7, 8.8.8: trex, then tfhd, then trun; the first sample has flags of its own."""
    trex = make_full(b"trex", 0, 0, struct.pack(">5I", 1, 1, 40, 5, 0x0101_0000))
    init = write_init(video_init().tracks)
    moov = find(init, "moov")
    assert moov is not None
    inner = b"".join(
        init[box.start : box.end] for box in boxes(init, moov.body, moov.end) if box.kind != b"mvex"
    )
    init = make(b"moov", inner, make(b"mvex", trex))

    def moof(offset: int) -> bytes:
        return make(
            b"moof",
            make_full(b"mfhd", 0, 0, struct.pack(">I", 3)),
            make(
                b"traf",
                make_full(b"tfhd", 0, 0x020008, struct.pack(">II", 1, 20)),
                make_full(b"tfdt", 0, 0, struct.pack(">I", 100)),
                make_full(b"trun", 0, 0x05, struct.pack(">IiI", 2, offset, 0x0200_0000)),
            ),
        )

    head = moof(len(moof(0)) + 8)
    out = read_items(init + head + make(b"mdat", b"aaaaabbbbb"))
    assert out[1] == Fragment(
        3,
        [Sample(1, 100, 0, 20, True, b"aaaaa"), Sample(1, 120, 0, 20, False, b"bbbbb")],
    )


def test_btrt_is_left_out_of_sample_entries(piped: bytes) -> None:
    section = read_items(piped)[0]
    assert isinstance(section, InitSection)
    video = section.tracks[0]
    guessed = video.entry[4:] + make(b"btrt", bytes(12))
    entry = struct.pack(">I", len(guessed) + 4) + guessed
    other = msgspec.structs.replace(video, entry=entry)
    assert clean_entry(other) == clean_entry(video) == video.entry
    assert write_init([other]) == write_init([video])


@pytest.mark.parametrize(
    ("wire", "words"),
    [
        (struct.pack(">I4s", 4, b"moof"), "less than its header"),
        (struct.pack(">I4s", 0, b"mdat"), "less than its header"),
        (struct.pack(">I4s", MAX_MOOF_BYTES + 1, b"moof"), f"limit {MAX_MOOF_BYTES}"),
        (struct.pack(">I4sQ", 1, b"mdat", MAX_MDAT_BYTES + 1), f"limit {MAX_MDAT_BYTES}"),
        (make(b"moov", b""), "no audio or video track"),
        (make(b"moof", b"") + make(b"mdat", b""), "moof before moov"),
        (make(b"moof", b"") * 2, "two moof boxes"),
        (make(b"moov", make(b"trak", b"")), "no tkhd box"),
        (make(b"moov", b"\0\0\0\x20trak"), "runs over"),
    ],
)
def test_what_is_not_a_fragmented_mp4_is_refused(wire: bytes, words: str) -> None:
    with pytest.raises(Fmp4Error, match=words):
        FragmentReader().feed(wire)


@settings(max_examples=200, deadline=None)
@given(at=st.integers(0, 8000), value=st.binary(min_size=1, max_size=4))
def test_damage_is_refused_or_survived(piped: bytes, at: int, value: bytes) -> None:
    damaged = piped[:at] + value + piped[at + len(value) :]
    with contextlib.suppress(Fmp4Error):
        FragmentReader().feed(damaged)
