"""Storyboards before any picture: how often, which segments, where the tiles are, the WebVTT."""

from __future__ import annotations

import pytest

from vod.storyboard import COLUMNS, ROWS, Slot, chosen, fitted, step_ticks, write_vtt

SECOND = 90_000


@pytest.mark.parametrize(
    ("seconds", "step"),
    [(1, 1), (500, 1), (501, 2), (3600, 10), (7200, 15), (3 * 3600, 30), (400 * 3600, 600)],
)
def test_the_longer_the_rarer(seconds: int, step: int) -> None:
    assert step_ticks(seconds * SECOND) == step * SECOND


def test_one_slot_for_each_moment_and_none_twice() -> None:
    slots = [Slot(n, n * 2 * SECOND, 2 * SECOND) for n in range(10)]
    assert [s.msn for s in chosen(slots, SECOND)] == list(range(10))
    assert [s.msn for s in chosen(slots, 5 * SECOND)] == [0, 2, 5, 7]
    # One of ten seconds, and a hole: the next moment is looked for where there is footage.
    odd = [Slot(0, 0, 10 * SECOND), Slot(1, 10 * SECOND, 1), Slot(2, 31 * SECOND, 2 * SECOND)]
    assert [s.msn for s in chosen(odd, 5 * SECOND)] == [0, 1, 2]


@pytest.mark.parametrize(
    ("size", "tile"),
    [
        ((640, 360), (192, 108)),
        ((360, 640), (80, 144)),
        ((480, 480), (144, 144)),
        ((720, 576), (180, 144)),
        ((96, 54), (96, 54)),
        ((10_000, 3), (192, 2)),
    ],
)
def test_tiles_keep_the_shape(size: tuple[int, int], tile: tuple[int, int]) -> None:
    assert fitted(*size) == tile


def test_webvtt_to_the_letter() -> None:
    assert write_vtt([90, 2 * SECOND + 45], (192, 108), 3 * SECOND) == (
        "WEBVTT\n\n"
        "00:00:00.000 --> 00:00:02.000\nstoryboard-1.jpg#xywh=0,0,192,108\n\n"
        "00:00:02.000 --> 00:00:03.000\nstoryboard-1.jpg#xywh=192,0,192,108\n"
    )


def test_the_second_sheet_begins_anew() -> None:
    at = [n * 3600 * SECOND for n in range(COLUMNS * ROWS + COLUMNS + 2)]
    lines = write_vtt(at, (10, 6), at[-1] + 1).splitlines()
    assert "storyboard-1.jpg#xywh=70,42,10,6" in lines
    first = lines.index("storyboard-2.jpg#xywh=0,0,10,6")
    assert lines[first - 1] == "64:00:00.000 --> 65:00:00.000"
    assert lines[-1] == "storyboard-2.jpg#xywh=10,6,10,6"
