"""What needs neither files nor rows: frame lengths, names, scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from infra.jobs import JobFailed
from vod.clips import _clock, check_frames
from vod.compaction import Plan, Source
from vod.finished import Finished, FinishedSegment
from vod.footage import _frames
from vod.posters import score
from vod.smartcut import CutResult


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


def cut(frames: list[int], *, width: int | None = 640) -> CutResult:
    return CutResult(
        mp4=Path("clip.mp4"), finished=Finished(pts=frames), init_offset=0, duration=10_800,
        width=width, height=width, frame_rate=25.0, frames=frames, copied_frames=1,
        encoded_frames=1, missing_frames=0, reasons=(), pieces=(),
    )  # fmt: skip


def test_what_is_not_frame_for_frame_the_plan_is_not_published() -> None:
    check_frames(cut([0, 3600]), [0, 3600])
    for frames, written in (
        ([0, 3600], [0]),
        ([0, 3600], [0, 3601]),
        ([0, 3600], [0, 3600, 7200]),
        ([0, 0], [0, 0]),
        ([3600], [3600]),
        ([], []),
    ):
        with pytest.raises(JobFailed) as caught:
            check_frames(cut(frames), written)
        assert (caught.value.code, caught.value.retry) == ("clip_not_exact", False)


def test_sound_alone_has_no_pictures_to_check() -> None:
    check_frames(cut([0], width=None), [5])
