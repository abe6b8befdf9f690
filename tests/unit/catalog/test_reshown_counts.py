"""What a re-showing drew stands at the original, with what was left out of it."""

from __future__ import annotations

from catalog.plays import Counts
from catalog.year.shows import added


def test_every_figure_is_added_and_the_peak_is_the_higher() -> None:
    first = Counts(10, 8, 6, 5, 7_000, 4, 3, {"robot": {"page_views": 2}})
    again = Counts(
        1, 1, 1, 1, 1_000, 9, 1, {"robot": {"page_views": 1}, "rate": {"play_starts": 5}}
    )
    assert added(first, again) == Counts(
        11, 9, 7, 6, 8_000, 9, 4, {"robot": {"page_views": 3}, "rate": {"play_starts": 5}}
    )
