"""The states of a broadcast: every state with every event, and the diagram in the docs."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import pytest

from catalog.broadcasts import TRANSITIONS, BroadcastError, clean_title, gaps, next_state
from catalog.models import BROADCAST_STATES, Take

EVENTS = ("feed_arrives", "feed_lost", "staff_ends", "staff_cancels")
DOCUMENT = Path(__file__).parents[3] / "docs" / "air-list.md"

# Rows: states. Columns: EVENTS. A code is a refusal.
TABLE = {
    "ready": ("live", "ready", "cancelled", "cancelled"),
    "live": ("live", "interrupted", "ended", "broadcast_running"),
    "interrupted": ("live", "interrupted", "ended", "broadcast_running"),
    "ended": ("broadcast_ended", "ended", "ended", "broadcast_ended"),
    "cancelled": ("broadcast_cancelled", "cancelled", "cancelled", "cancelled"),
}


@pytest.mark.parametrize(("state", "event"), list(product(BROADCAST_STATES, EVENTS)))
def test_each_event_in_each_state(state: str, event: str) -> None:
    wanted = TABLE[state][EVENTS.index(event)]
    if wanted in BROADCAST_STATES:
        assert next_state(state, event) == wanted
        return
    with pytest.raises(BroadcastError) as caught:
        next_state(state, event)
    assert caught.value.code == wanted
    assert "请" in caught.value.message or "不能" in caught.value.message


def test_the_table_names_known_states_and_events_only() -> None:
    assert {state for state, _ in TRANSITIONS} | set(TRANSITIONS.values()) == set(BROADCAST_STATES)
    assert {event for _, event in TRANSITIONS} == set(EVENTS)


def test_what_is_over_stays_over() -> None:
    for (state, _), after in TRANSITIONS.items():
        if state in ("ended", "cancelled"):
            assert after == state


def test_the_diagram_in_the_docs_is_the_table() -> None:
    lines = re.findall(r"^  (\w+) --> (\w+): (.+)$", DOCUMENT.read_text(), re.MULTILINE)
    drawn = {(before, event.replace(" ", "_")): after for before, after, event in lines}
    words = {"staff_end_it": "staff_ends"}
    drawn = {(state, words.get(event, event)): after for (state, event), after in drawn.items()}
    # Staff have one button; that it "cancels" what never began is told by its target.
    steps = {key: after for key, after in TRANSITIONS.items() if key[0] != after}
    del steps["ready", "staff_cancels"]
    assert drawn == steps


@pytest.mark.parametrize(
    ("title", "kept"),
    [("元宵晚会", "元宵晚会"), ("  元宵\t晚会\n 2026 ", "元宵 晚会 2026"), ("a\x00b", "a b"),
     ("字" * 200, "字" * 200)],
)  # fmt: skip
def test_titles_are_one_line(title: str, kept: str) -> None:
    assert clean_title(title) == kept


@pytest.mark.parametrize(
    ("title", "code"),
    [("", "title_empty"), (" \n\x07", "title_empty"), ("字" * 201, "title_too_long")],
)
def test_titles_that_are_none(title: str, code: str) -> None:
    with pytest.raises(BroadcastError) as caught:
        clean_title(title)
    assert caught.value.code == code


def take(name: str, first: int, last: int | None) -> Take:
    state = "open" if last is None else "closed"
    return Take(id=name, state=state, first_arrival_us=first, last_arrival_us=last)


def test_gaps_lie_between_takes() -> None:
    takes = [
        take("a", 0, 10_000_000),
        take("b", 15_500_000, 20_000_000),
        take("c", 19_000_000, None),
    ]
    found = gaps(takes, open_ended=True)
    assert [(g.after_take, g.before_take, g.seconds) for g in found] == [
        ("a", "b", 5.5), ("b", "c", 0.0),
    ]  # fmt: skip


def test_a_gap_that_still_lasts_has_no_end() -> None:
    takes = [take("a", 0, 10_000_000)]
    assert gaps(takes, open_ended=False) == []
    (lasting,) = gaps(takes, open_ended=True)
    assert (lasting.before_take, lasting.end_us, lasting.seconds) == (None, None, None)
    assert gaps([], open_ended=True) == []
