"""A finished MP4 as a rendition: what FFmpeg's readers make of its times."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.support.media import Footage, iter_pictures, make_footage, read_beeps
from vod.encode import Patience, run_ffmpeg
from vod.finished import Finished, fragmented_output, key_pictures, package, read_back

TICKS = 90_000


def packaged(
    ffmpeg: str, source: Path, folder: Path, duration: int, *, video: bool = True
) -> tuple[Path, Finished]:
    fragments, path = folder / "fragments.mp4", folder / "rendition.mp4"
    run_ffmpeg(ffmpeg, fragmented_output(source, fragments, video=video), patience=Patience(60))
    return path, package(fragments, path, duration, lambda: None)


@pytest.mark.parametrize(
    "footage",
    [
        Footage(6, b_frames=3, video_args=("-x264-params", "b-adapt=0:b-pyramid=normal")),
        Footage(6, Fraction(30_000, 1001), b_frames=2),
        Footage(6),
    ],
    ids=["pyramid", "29.97", "no B"],
)
def test_sound_and_picture_are_together_in_ffmpegs_reading(
    footage: Footage, ffmpeg: str, tmp_path: Path
) -> None:
    source = make_footage(ffmpeg, tmp_path / "film.mp4", footage)
    path, made = packaged(ffmpeg, source, tmp_path, 6 * TICKS)
    pictures = list(iter_pictures(path))
    assert [picture.number for picture in pictures] == list(range(footage.frames))
    assert [round(picture.seconds * TICKS) for picture in pictures] == made.pts
    assert made.pts[0] == 0
    assert read_back(path, made, lambda: None) == made.pts
    with av.open(str(path)) as container:
        decoded = [
            (packet.dts, packet.pts)
            for packet in container.demux(container.streams.video[0])
            if packet.size
        ]
    assert decoded[0] == (0, 0)
    assert all(0 <= dts <= pts for dts, pts in decoded)  # type: ignore[operator]
    # Each flash begins with its beep, as in the film; the very first one up to a frame later.
    before, after = read_beeps(source), read_beeps(path)
    assert len(after) == len(before) == 6
    assert 0 <= after[0] - before[0] <= 0.024
    assert max(abs(a - b) for b, a in zip(before[1:], after[1:], strict=True)) <= 0.002
    assert sum(segment.duration for segment in made.segments) == 6 * TICKS


def test_sound_alone_begins_at_zero(ffmpeg: str, tmp_path: Path) -> None:
    source = make_footage(ffmpeg, tmp_path / "sound.m4a", Footage(5, video=False))
    path, made = packaged(ffmpeg, source, tmp_path, 5 * TICKS, video=False)
    assert made.width is None
    assert made.pts[0] == 0
    assert read_back(path, made, lambda: None) == made.pts
    assert len(made.segments) >= 2


def test_key_pictures_are_spread_over_the_whole(ffmpeg: str, tmp_path: Path) -> None:
    source = make_footage(ffmpeg, tmp_path / "long.mp4", Footage(20, b_frames=2))
    path, made = packaged(ffmpeg, source, tmp_path, 20 * TICKS)
    assert len(made.segments) == 10
    few = tmp_path / "few.mp4"
    for most, numbers in ((4, [50, 150, 300, 400]), (12, list(range(0, 500, 50)))):
        key_pictures(path, made, most, few)
        assert [picture.number for picture in iter_pictures(few)] == numbers
