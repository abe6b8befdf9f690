"""What needs neither files nor rows: frame lengths, names, scores."""

from __future__ import annotations

import numpy as np
import pytest

from vod.clips import _clock, check_frames
from vod.compaction import Plan, Source
from vod.cutting import Cut
from vod.finished import Finished, FinishedSegment
from vod.footage import Frame, _frames
from vod.posters import score


@pytest.mark.parametrize(
    ("shown", "ends"),
    [
        ([], []),
        ([0], [3600]),
        ([0, 3600, 7200], [3600, 7200, 10800]),
        # One frame late: it is a long frame.
        ([0, 3600, 14400, 18000], [3600, 14400, 18000, 21600]),
        # A hole: the frame before it is as long as the others.
        ([0, 3600, 90_000, 93_600], [3600, 7200, 93_600, 97_200]),
    ],
)
def test_a_frame_lasts_until_the_next(shown: list[int], ends: list[int]) -> None:
    frames = _frames(shown)
    assert [frame.pts for frame in frames] == shown
    assert [frame.end for frame in frames] == ends


@pytest.mark.parametrize(
    ("ticks", "text"),
    [(0, "0:00:00.00"), (90_000 * 3_661 + 45_000, "1:01:01.50"), (-5, "0:00:00.00")],
)
def test_clock_of_the_messages(ticks: int, text: str) -> None:
    assert _clock(ticks) == text


def test_scores_of_pictures() -> None:
    dice = np.random.default_rng(1)
    busy = dice.integers(0, 255, (90, 160, 3), dtype=np.uint8)
    plain = np.full((90, 160, 3), 120, dtype=np.uint8)
    black = dice.integers(0, 12, (90, 160, 3), dtype=np.uint8)
    white = dice.integers(243, 255, (90, 160, 3), dtype=np.uint8)
    assert score(busy) > score(plain)
    assert score(busy) > score(black)
    assert score(busy) > score(white)


def test_ranges_of_a_joined_file() -> None:
    sources = (
        Source("i0", 10, True, 0),
        Source("s0", 100, False, 0),
        Source("i1", 20, True, 1),
        Source("s1", 5, False, 1),
    )
    plan = Plan(1, "v720", "replay1.mp4", sources)
    # Eight bytes, a box of nothing, between each two.
    assert [at for _, at in plan.ranges()] == [0, 18, 126, 154]
    assert plan.size == 159


def test_bandwidths_of_a_finished_file() -> None:
    made = Finished(
        segments=[FinishedSegment(0, 1000, 90_000), FinishedSegment(1000, 3000, 180_000)]
    )
    assert made.peak_bandwidth == 12_000
    assert made.average_bandwidth == 10_666


def test_sound_alone_has_no_pictures_to_check() -> None:
    frames = (Frame(0, 1920),)
    assert check_frames(Cut((), (), 0, 1920, frames), Finished(pts=[5])) == 0
