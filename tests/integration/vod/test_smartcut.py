"""Smart cuts of real footage: which frames, which bytes, how they decode, and what is heard."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from tests.support.cuts import (
    KINDS,
    PSNR_LEAST,
    SYNC_SECONDS,
    TICKS,
    VFR,
    CutRig,
    judge,
    random_cuts,
)
from tests.support.media import Footage, make_footage, read_beeps, read_pictures, read_sound
from transcode.fmp4.model import Fragment
from transcode.fmp4.nal import nals
from transcode.fmp4.reader import FragmentReader
from vod.smartcut import CutError, Piece
from vod.smartcut.avc_slice import NAL_IDR

CUTS = 4
"""Of each kind; bench/smartcut.py makes more."""


@pytest.fixture(scope="module")
def rig(ffmpeg: str, tmp_path_factory: pytest.TempPathFactory) -> CutRig:
    return CutRig(ffmpeg, tmp_path_factory.mktemp("cuts"))


@pytest.mark.parametrize("kind", [*KINDS, VFR])
def test_random_cuts(rig: CutRig, kind: str) -> None:
    source = rig.made(kind)
    copied = 0
    for start, stop in random_cuts(source, CUTS, seed=11):
        result = rig.cut([source.piece(start, stop)])
        verdict = judge(rig, source, start, stop, result)
        assert verdict.faults == [], (start, stop)
        assert verdict.psnr >= PSNR_LEAST, (start, stop)
        assert verdict.sync <= SYNC_SECONDS, (start, stop)
        copied += result.copied_frames
    assert copied > 100


def test_open_groups_are_entered_every_few_seconds(rig: CutRig) -> None:
    source = rig.made("open")
    start, stop = TICKS // 3, 19 * TICKS
    result = rig.cut([source.piece(start, stop)])
    verdict = judge(rig, source, start, stop, result)
    assert verdict.faults == []
    assert verdict.psnr >= PSNR_LEAST
    assert result.reasons == ("open_gop_entrances",)
    assert result.encoded_frames < 60
    segments = [segment.duration for segment in result.finished.segments]
    assert len(segments) > 1
    assert max(segments) < 15 * TICKS
    reader = FragmentReader()
    for item in reader.feed(rig.rendition(result).read_bytes()):
        for sample in item.samples if isinstance(item, Fragment) else ():
            if sample.track_id == 1:
                idr = any(nal[0] & 31 == NAL_IDR for nal in nals(sample.data, 4))
                assert sample.is_sync == idr


def test_what_cannot_be_copied_is_encoded_and_said(rig: CutRig) -> None:
    made = make_footage(
        rig.ffmpeg,
        rig.folder / "interlaced.mp4",
        Footage(6, size=(320, 180), video_args=("-x264-params", "interlaced=1")),
    )
    result = rig.cut([rig.registered(made).piece(TICKS, 5 * TICKS)])
    assert _numbers(result.mp4) == list(range(25, 125))
    assert (result.copied_frames, result.encoded_frames) == (0, 100)
    assert result.reasons == ("interlaced",)
    assert len(result.finished.segments) == 2
    assert rig.warnings(result.mp4) == ""
    _in_sync(result.mp4)


def test_footage_elsewhere_is_fetched(rig: CutRig, monkeypatch: pytest.MonkeyPatch) -> None:
    source = rig.made("no B")
    here = rig.cut([source.piece(3 * TICKS, 8 * TICKS)]).mp4.read_bytes()
    monkeypatch.setattr(rig.storage, "local_path", lambda key: None)
    assert rig.cut([source.piece(3 * TICKS, 8 * TICKS)]).mp4.read_bytes() == here


def _flashes(path: Path) -> list[float]:
    pictures = read_pictures(path)
    return [
        after.seconds
        for before, after in pairwise(pictures)
        if after.flash and not before.flash and after.number == (before.number or 0) + 1
    ]


def _in_sync(path: Path, but: float = -1.0) -> None:
    beeps = read_beeps(path)
    flashes = [flash for flash in _flashes(path) if flash != but]
    assert len(flashes) > 2
    for flash in flashes:
        assert min(abs(beep - flash) for beep in beeps) <= SYNC_SECONDS, (flash, beeps)


def _numbers(path: Path) -> list[int | None]:
    return [picture.number for picture in read_pictures(path)]


def test_pieces_follow_one_another(rig: CutRig) -> None:
    source = rig.made("open")
    ends = [
        (9 * TICKS + 77, 15 * TICKS),
        (2 * TICKS + 1, 7 * TICKS + 1),
        (3 * TICKS, 3 * TICKS + 1),
    ]
    result = rig.cut([source.piece(*pair) for pair in ends])
    expected = [source.expected(*pair) for pair in ends]
    assert _numbers(result.mp4) == [number for part in expected for _, number in part]
    at = 0
    times = []
    for part, piece in zip(expected, result.pieces, strict=True):
        assert (piece.first, piece.at) == (part[0][0], at)
        times += [at + tick - part[0][0] for tick, _ in part]
        at += piece.end - piece.first
    assert result.frames == times
    assert result.duration == at
    assert result.copied_frames > 150
    for path in (result.mp4, rig.rendition(result)):
        assert rig.warnings(path) == ""
        _in_sync(path)


def test_other_formats_are_made_the_longest_ones(rig: CutRig) -> None:
    source = rig.made("closed")
    other = rig.registered(
        make_footage(
            rig.ffmpeg,
            rig.folder / "other.mp4",
            Footage(6, size=(480, 270), first=500, channels=1, sample_rate=44_100),
        )
    )
    pieces = [other.piece(TICKS, 4 * TICKS), source.piece(TICKS, 9 * TICKS)]
    result = rig.cut([*pieces, rig.made("HEVC").piece(0, TICKS)])
    expected = [*range(525, 600), *range(25, 225), *range(25)]
    assert _numbers(result.mp4) == expected
    assert result.reasons == ("other_format",)
    assert (result.width, result.height) == (320, 180)
    assert result.copied_frames > 140
    assert rig.warnings(result.mp4) == ""
    _in_sync(result.mp4)


def test_hole_is_kept_and_silent(rig: CutRig) -> None:
    source = rig.made("no B")
    (part,) = source.parts(0, 20 * TICKS)
    del part.segments[3:5]  # 6 s to 10 s
    result = rig.cut([Piece([part], [], 4 * TICKS, 14 * TICKS)])
    numbers = [number for _, number in source.expected(4 * TICKS, 14 * TICKS)]
    assert _numbers(result.mp4) == [n for n in numbers if not 150 <= n < 250]
    assert result.duration == 10 * TICKS
    assert rig.warnings(result.mp4) == ""
    _in_sync(result.mp4)
    start, sound = read_sound(result.mp4)
    assert start == 0
    assert abs(len(sound) - 480_000) <= 1024
    assert np.abs(sound[round(2.1 * 48_000) : round(5.95 * 48_000)]).max() < 0.01


def test_parts_with_other_settings_become_one_stream(rig: CutRig) -> None:
    """A reconnect: another init section, and the clock goes on."""
    first, then = rig.made("closed"), rig.made("no B")
    parts = first.parts(0, 4 * TICKS - 1)[:1] + then.parts(10 * TICKS, 14 * TICKS)
    parts[0].segments = parts[0].segments[:2]
    parts[1].segments = [blob for tick, blob in then.segments if tick >= 4 * TICKS][:4]
    result = rig.cut([Piece(parts, [], TICKS, 10 * TICKS)])
    assert _numbers(result.mp4) == list(range(25, 250))
    assert result.reasons == ("other_format",)
    assert rig.warnings(result.mp4) == ""
    _in_sync(result.mp4, but=3.0)  # There they meet, and one has no sound yet.


@pytest.mark.parametrize(("channels", "layout"), [(1, "mono"), (6, "5.1")])
def test_layouts_are_kept(rig: CutRig, channels: int, layout: str) -> None:
    made = make_footage(
        rig.ffmpeg,
        rig.folder / f"sound{channels}.mp4",
        Footage(8, size=(320, 180), channels=channels),
    )
    result = rig.cut([rig.registered(made).piece(TICKS // 2, 7 * TICKS)])
    with av.open(str(result.mp4)) as container:
        sound = container.streams.audio[0]
        assert (sound.layout.name, sound.rate) == (layout, 44_100)
    _in_sync(result.mp4)
    assert rig.warnings(result.mp4) == ""


def test_picture_alone_and_sound_alone(rig: CutRig) -> None:
    mute = rig.registered(
        make_footage(rig.ffmpeg, rig.folder / "mute.mp4", Footage(6, size=(320, 180), audio=False))
    )
    result = rig.cut([mute.piece(TICKS, 5 * TICKS)])
    assert _numbers(result.mp4) == list(range(25, 125))
    with av.open(str(result.mp4)) as container:
        assert not container.streams.audio
    sound = rig.registered(
        make_footage(rig.ffmpeg, rig.folder / "sound.m4a", Footage(30, video=False)), pictures=False
    )
    result = rig.cut([sound.piece(TICKS + 45, 25 * TICKS)])
    assert result.width is None
    assert result.duration == 24 * TICKS - 45
    assert result.frames[0] == 0
    start, samples = read_sound(result.mp4)
    assert start == 0
    assert abs(len(samples) / 48_000 - 24) < 0.03
    beeps = read_beeps(result.mp4)
    assert [round(beep) for beep in beeps] == list(range(24))
    assert max(abs(beep - round(beep)) for beep in beeps) <= SYNC_SECONDS
    assert sum(segment.duration for segment in result.finished.segments) == result.duration


def test_copied_sound_joins_ours_without_a_click(rig: CutRig) -> None:
    """Beside a cut of the same source where another place is joined: what both copied is the
    same to the bit, and around the joins nothing is louder than the coding is inexact."""
    source = rig.registered(_music(rig), pictures=False)
    result = rig.cut([source.piece(3 * TICKS, 15 * TICKS)])
    begin, there = read_sound(source.path)
    _, here = read_sound(result.mp4)
    at = round((3 - begin) * 48_000)
    length = 12 * 48_000
    error = here[:length] - there[at : at + length]
    inner = error[480:-480]
    loud = float(np.sqrt(np.mean(there[at : at + length] ** 2)))
    windows = np.abs(inner[: len(inner) // 480 * 480]).reshape(-1, 480).max(axis=1)
    assert windows.max() < loud * 0.1
    assert np.count_nonzero(windows == 0) > 0.8 * len(windows), "the middle is copied"
    # The fades: the very first and last samples are silent.
    assert abs(here[0]) < loud * 0.02
    assert np.abs(here[length - 8 : length]).max() < loud * 0.1


def _music(rig: CutRig) -> Path:
    path = rig.folder / "music.mp4"
    chord = "0.2*sin(2*PI*220*t)+0.2*sin(2*PI*277.2*t+sin(2*PI*3*t))+0.1*sin(2*PI*880*t)"
    rig.run(
        "-f", "lavfi", "-i", "testsrc2=s=160x90:r=25", "-f", "lavfi", "-i",
        f"aevalsrc='{chord}|{chord}':s=48000", "-t", "18", "-c:v", "libx264", "-preset",
        "ultrafast", "-c:a", "aac", "-b:a", "160k", str(path),
    )  # fmt: skip
    return path


def test_wish_to_end_it_ends_it(rig: CutRig) -> None:
    def beat(share: float | None, note: str | None) -> None:
        if share:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        rig.cut([rig.made("no B").piece(0, 9 * TICKS)], beat=beat)
    assert not (rig.folder / "work" / "clip.mp4").exists()


def test_no_footage_is_said(rig: CutRig) -> None:
    source = rig.made("no B")
    with pytest.raises(CutError) as caught:
        rig.cut([source.piece(30 * TICKS, 31 * TICKS)])
    assert caught.value.code == "clip_no_footage"


def test_a_feed_that_lost_sound_every_second_is_cut_in_sync(rig: CutRig) -> None:
    whole = make_footage(
        rig.ffmpeg, rig.folder / "whole.mp4", Footage(50, size=(320, 180), sample_rate=48_000)
    )
    lossy = rig.folder / "lossy.mp4"
    drop = r"noise=drop='not(mod(n\,40))':amount=0"
    rig.run("-i", str(whole), "-c", "copy", "-bsf:a", drop, str(lossy))
    source = rig.registered(lossy)
    start, stop = 2 * TICKS, 49 * TICKS
    result = rig.cut([source.piece(start, stop)])
    assert judge(rig, source, start, stop, result).faults == []
    # One frame of 40 is missing; a beep that begins in one of those begins when it is over.
    zero = source.expected(start, stop)[0][0] / TICKS
    beeps = [beep + zero for beep in read_beeps(result.mp4)]
    off = [min(abs(beep - second) for beep in beeps) for second in range(3, 49)]
    assert sum(each <= SYNC_SECONDS for each in off) >= 42
    assert max(off) <= 1024 / 48_000 + SYNC_SECONDS
