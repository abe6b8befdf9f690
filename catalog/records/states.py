"""The life of a record: one table of (state, event) → state. Pure."""

from __future__ import annotations

from typing import Final

from catalog.errors import Refused
from catalog.records.kinds import STATES

TRANSITIONS: Final[dict[tuple[str, str], str]] = {
    ("draft", "submit"): "review_1",
    ("review_1", "approve"): "review_2",
    ("review_2", "approve"): "review_3",
    ("review_3", "approve"): "published",
    ("review_1", "return"): "draft",
    ("review_2", "return"): "draft",
    ("review_3", "return"): "draft",
    # A change of what reviewers see reopens it; one of a draft or a withdrawn record does not.
    ("draft", "change"): "draft",
    ("review_1", "change"): "draft",
    ("review_2", "change"): "draft",
    ("review_3", "change"): "draft",
    ("published", "change"): "draft",
    ("withdrawn", "change"): "withdrawn",
    ("draft", "withdraw"): "withdrawn",
    ("review_1", "withdraw"): "withdrawn",
    ("review_2", "withdraw"): "withdrawn",
    ("review_3", "withdraw"): "withdrawn",
    ("published", "withdraw"): "withdrawn",
    ("withdrawn", "restore"): "draft",
}

REVIEW_STATES: Final = ("review_1", "review_2", "review_3")


def next_state(state: str, event: str) -> str:
    """The state after an event; Refused when the table has no such step."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise Refused("record_state", state=STATES[state]) from None


def step_of(state: str) -> int:
    """Which of the three reviews a record waits for; 0: none."""
    return REVIEW_STATES.index(state) + 1 if state in REVIEW_STATES else 0
