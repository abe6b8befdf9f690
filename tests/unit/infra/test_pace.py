"""Time left: from the last minutes, silent at first, and never from work that was lost."""

from __future__ import annotations

from infra.jobs.pace import POINTS, noted, seconds_left


def run(points: list[tuple[float, int]]) -> list[list[float]]:
    pace: list[list[float]] = []
    for at, permille in points:
        pace = noted(pace, at, permille)
    return pace


def test_it_is_too_early_to_say_at_first() -> None:
    assert seconds_left([], 0.0) is None
    assert seconds_left(run([(100.0, 10)]), 101.0) is None
    assert seconds_left(run([(100.0, 10), (104.0, 40)]), 104.0) is None
    assert seconds_left(run([(100.0, 10), (120.0, 12)]), 120.0) is None


def test_steady_work_ends_when_it_will() -> None:
    pace = run([(float(second), second) for second in range(0, 400, 3)])
    assert len(pace) <= POINTS
    left = seconds_left(pace, 399.0)
    assert left is not None
    assert abs(left - 601) <= 6


def test_the_last_minutes_count_and_not_how_it_began() -> None:
    slow = [(float(second), second // 10) for second in range(0, 600, 5)]
    fast = [(600.0 + second, 60 + 2 * second) for second in range(0, 240, 5)]
    left = seconds_left(run(slow + fast), 835.0)
    assert left is not None
    assert abs(left - (1000 - 530) / 2) < 10


def test_time_passes_between_two_reports() -> None:
    pace = run([(0.0, 0), (50.0, 500)])
    assert seconds_left(pace, 50.0) == 50
    assert seconds_left(pace, 80.0) == 20
    assert seconds_left(pace, 500.0) == 1


def test_lost_work_begins_the_estimate_anew() -> None:
    pace = run([(0.0, 0), (50.0, 500), (60.0, 20)])
    assert pace == [[60.0, 20.0]]
    assert seconds_left(pace, 60.0) is None
