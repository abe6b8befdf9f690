"""Minutes: unions of intervals against a model that counts every tick by hand."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.minutes import (
    TICKS_A_MINUTE,
    by_timeline,
    difference,
    footage_ticks,
    minutes_text,
    minutes_value,
    rows_of,
    seconds,
    together,
    total,
    union,
    without,
)

intervals = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 60)).map(lambda pair: (pair[0], pair[1])),
    max_size=12,
)
footage = st.dictionaries(st.sampled_from(["take:a", "take:b", "take:c"]), intervals).map(
    lambda loose: by_timeline((t, a, b) for t, found in loose.items() for a, b in found)
)


def ticks(found: object) -> set[int]:
    """Every tick the intervals cover, one by one."""
    assert isinstance(found, list | tuple)
    return {tick for start, end in found for tick in range(start, end)}


@given(intervals)
def test_union_covers_the_same_ticks_once(given_intervals: list[tuple[int, int]]) -> None:
    merged = union(given_intervals)
    assert ticks(merged) == ticks(given_intervals)
    assert total(given_intervals) == len(ticks(given_intervals))
    # Sorted, none empty, none touching the next: there is one way to write a set of ticks.
    assert all(start < end for start, end in merged)
    assert all(a[1] < b[0] for a, b in pairwise(merged))
    assert union(merged) == merged


@given(intervals, intervals)
def test_set_algebra(left: list[tuple[int, int]], right: list[tuple[int, int]]) -> None:
    assert ticks(difference(left, right)) == ticks(left) - ticks(right)
    assert union([*left, *right]) == union([*right, *left])
    assert total([*left, *right]) == total(difference(left, right)) + total(right)


@given(footage, footage)
def test_footage_of_two_rows_is_never_counted_twice(
    first: dict[str, tuple[tuple[int, int], ...]], second: dict[str, tuple[tuple[int, int], ...]]
) -> None:
    own = without(second, first)
    assert footage_ticks(first) + footage_ticks(own) == footage_ticks(together(first, second))
    assert by_timeline((t, a, b) for t, a, b in rows_of(first)) == first  # type: ignore[misc]


@given(footage)
def test_rows_come_back_in_any_order(kept: dict[str, tuple[tuple[int, int], ...]]) -> None:
    rows = [(str(t), int(a), int(b)) for t, a, b in rows_of(kept)]
    assert by_timeline(reversed(rows)) == kept


def test_different_timelines_never_overlap() -> None:
    assert footage_ticks(by_timeline([("take:a", 0, 100), ("take:b", 0, 100)])) == 200
    assert footage_ticks(by_timeline([("take:a", 0, 100), ("take:a", 50, 120)])) == 120


@pytest.mark.parametrize(
    ("length", "shown"),
    [
        (0, "0"),
        (TICKS_A_MINUTE, "1"),
        (90 * TICKS_A_MINUTE, "90"),
        (TICKS_A_MINUTE // 2, "0.5"),
        (TICKS_A_MINUTE // 20, "0.1"),  # 0.05 goes up
        (TICKS_A_MINUTE // 20 - 1, "0"),
        (TICKS_A_MINUTE * 25 // 100, "0.3"),  # half up, where banker's rounding gives 0.2
        (TICKS_A_MINUTE * 35 // 100, "0.4"),
        (TICKS_A_MINUTE - 1, "1"),
        (100 * TICKS_A_MINUTE, "100"),  # the zeros of a whole number stay
        (12_345 * TICKS_A_MINUTE + TICKS_A_MINUTE * 7 // 10, "12345.7"),
    ],
)
def test_minutes_are_shown_as_reports_print_them(length: int, shown: str) -> None:
    assert minutes_text(length) == shown


@given(st.integers(0, 10**12))
def test_display_is_within_half_a_tenth(length: int) -> None:
    exact = Decimal(length) / TICKS_A_MINUTE
    assert abs(minutes_value(length) - exact) <= Decimal("0.05")
    assert not minutes_text(length).endswith(".0")


def test_seconds_keep_milliseconds() -> None:
    assert seconds(90_000) == 1.0
    assert seconds(90_000 * 3 + 90) == 3.001
