"""The clock viewers see: arrivals, without the leaps of encoders and networks."""

from __future__ import annotations

import pytest

from transcode.live.arrivals import Arrivals, steady

SEGMENT = 2_000_000


def test_between_key_frames_time_is_real() -> None:
    arrivals = Arrivals(1000, 50_000_000)
    arrivals.add([(1000, 0), (3000, 52_100_000)])
    assert arrivals.at(1000) == 50_000_000
    assert arrivals.at(2000) == 51_000_000
    assert arrivals.at(3500) == 52_600_000


@pytest.mark.parametrize(
    ("off", "told"),
    [
        pytest.param(0, 0, id="as due"),
        pytest.param(150_000, 150_000, id="a little late"),
        pytest.param(-465_000, -200_000, id="after a burst, step by step"),
        pytest.param(1_900_000, 200_000, id="late, step by step"),
        pytest.param(5_000_000, 5_000_000, id="the uplink stood still: told at once"),
        pytest.param(-5_000_000, -1_999_000, id="and never back"),
    ],
)
def test_dates_follow_arrivals_without_leaps(off: int, told: int) -> None:
    due = 1_000_000_000
    assert steady(due, due + off, SEGMENT) - due == told
