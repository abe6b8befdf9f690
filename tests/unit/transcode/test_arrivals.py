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


def test_what_is_known_is_passed_over() -> None:
    arrivals = Arrivals(0, 10_000_000)
    arrivals.add([(0, 99), (1000, 11_000_000)])
    arrivals.add([(500, 99), (1000, 99), (2000, 12_500_000)])
    assert arrivals.last_ms == 2000
    assert [arrivals.at(ms) for ms in (0, 999, 1000, 1999.5, 2000)] == [
        10_000_000, 10_999_000, 11_000_000, 11_999_500, 12_500_000,
    ]  # fmt: skip


def test_before_the_first_entry_time_is_counted_back() -> None:
    assert Arrivals(3000, 10_000_000).at(1000) == 8_000_000


def test_the_longest_group_of_pictures_counts() -> None:
    arrivals = Arrivals(0, 0)
    assert arrivals.gop_ms() is None
    arrivals.add([(2000, 0), (2400, 0), (6400, 0)])
    assert arrivals.gop_ms() == 4000


def test_a_day_of_key_frames_takes_a_bounded_place() -> None:
    arrivals = Arrivals(0, 0)
    for at in range(0, 86_400_000, 100_000):
        arrivals.add([(ms, ms * 1000) for ms in range(at, at + 100_000, 1000)])
    assert len(arrivals._at_ms) <= 8_100
    assert arrivals.last_ms == 86_399_000
    assert arrivals.at(86_399_500) == 86_399_500_000


def test_a_steady_clock_comes_back_to_the_arrivals() -> None:
    """After a burst of half a second the dates meet the arrivals again within a few segments."""
    due = arrival = 1_000_000_000
    arrival += 500_000
    told = []
    for _ in range(4):
        due = steady(due, arrival, SEGMENT)
        told.append(arrival - due)
        due, arrival = due + SEGMENT, arrival + SEGMENT
    assert told == [300_000, 100_000, 0, 0]
