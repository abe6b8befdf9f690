"""Times of acts as they are shown and typed, and why an act begins where it does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.pages.acts.words import because, exact, sureness, ticks_of

SECOND = 90_000


@pytest.mark.parametrize(
    ("ticks", "shown"),
    [
        (0, "0:00"),
        (725 * SECOND + 21_600, "12:05.24"),
        (725 * SECOND + 45_000, "12:05.5"),
        (3729 * SECOND, "1:02:09"),
        # Rounded up into the next minute, not to sixty seconds.
        (60 * SECOND - 1, "1:00"),
        (3600 * SECOND - 1, "1:00:00"),
    ],
)
def test_exact(ticks: int, shown: str) -> None:
    assert exact(ticks) == shown
    typed = ticks_of(shown)
    assert typed is not None
    assert abs(typed - ticks) <= SECOND // 200


@given(st.integers(0, 48 * 3600 * SECOND))
def test_a_time_left_as_it_is_shown_does_not_move(ticks: int) -> None:
    assert ticks_of(f" {exact(ticks)} ", ticks) == ticks
    other = ticks_of(exact(ticks), ticks + 10 * SECOND)
    assert other is not None
    assert abs(other - ticks) <= SECOND // 200


def test_nonsense_is_no_time() -> None:
    assert [ticks_of(text) for text in ("", "一会儿", "1:75", "1:2:3:4", "-5")] == [None] * 5
    assert ticks_of("１２：０５") is None
    assert ticks_of("12：05.2") == 725 * SECOND + 18_000


def test_because() -> None:
    assert because([], str) == ""
    assert because([["unheard_of", 900]], str) == ""
    cues = [["shot", 100], ["applause", 300], ["mark", 900], ["silence", 200]]
    # The three weightiest, the weightiest first.
    assert because(cues, str) == "这里现场打过点、有掌声、安静了一下。"


def test_sureness() -> None:
    assert [sureness("proposed", n) for n in (1000, 800, 799, 550, 549, 0)] == [
        "sure", "sure", "likely", "likely", "unsure", "unsure",
    ]  # fmt: skip
    assert sureness("confirmed", 0) == "confirmed"
