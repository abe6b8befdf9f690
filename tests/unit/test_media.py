"""The test footage itself: what was put in can be read back."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.media import (
    NUMBERS,
    Footage,
    decode_number,
    encode_number,
    make_footage,
    read_beeps,
    read_pictures,
)


@given(st.integers(0, NUMBERS - 1))
def test_numbers_come_back(number: int) -> None:
    assert decode_number(encode_number(number)) == number


@given(st.integers(0, NUMBERS - 1), st.integers(0, 23))
def test_one_wrong_block_is_noticed(number: int, block: int) -> None:
    blocks = encode_number(number)
    blocks[block] = not blocks[block]
    assert decode_number(blocks) != number


@pytest.mark.parametrize("size", [(1280, 720), (640, 360), (426, 240)])
def test_frames_flashes_and_beeps_are_read_back(
    ffmpeg: str, media_folder: Path, size: tuple[int, int]
) -> None:
    footage = Footage(seconds=2.4, size=size, first=1000, b_frames=2, bitrate="800k")
    path = make_footage(ffmpeg, media_folder / f"media{size[1]}.flv", footage)
    pictures = read_pictures(path)
    assert [p.number for p in pictures] == list(range(1000, 1060))
    assert [p.flash for p in pictures] == [n % 25 < 2.5 for n in range(1000, 1060)]
    assert [p.number for p in pictures if p.keyframe] == [1000, 1050]
    start = pictures[0].seconds
    times = [round((p.seconds - start) * 1000) for p in pictures]
    assert times == [40 * n for n in range(60)]
    assert [b - start for b in read_beeps(path)] == pytest.approx([0.0, 1.0, 2.0], abs=0.06)


def test_sound_alone_and_odd_rates(ffmpeg: str, media_folder: Path) -> None:
    sound = make_footage(ffmpeg, media_folder / "sound.flv", Footage(seconds=2.2, video=False))
    assert len(read_beeps(sound)) == 3
    ntsc = Footage(seconds=1.5, fps=Fraction(30_000, 1001), audio=False)
    pictures = read_pictures(make_footage(ffmpeg, media_folder / "ntsc.mp4", ntsc))
    assert [p.number for p in pictures] == list(range(45))
