"""The table of job states: complete, and the one the docs show."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.jobs.states import ENDED, OPEN, TRANSITIONS, diagram, sources, target
from infra.tables import JOB_STATES

ADR = Path(__file__).parents[3] / "docs" / "adr" / "0003-jobs-are-rows.md"


def test_the_table_knows_the_states_of_the_rows() -> None:
    assert set(OPEN) | set(ENDED) == set(JOB_STATES)
    assert {state for state, _ in TRANSITIONS} | set(TRANSITIONS.values()) == set(JOB_STATES)


def test_every_state_can_be_reached_and_every_open_one_left() -> None:
    reached = {"queued"}
    while more := {after for (before, _), after in TRANSITIONS.items() if before in reached} - (
        reached
    ):
        reached |= more
    assert reached == set(JOB_STATES)
    for state in OPEN:
        assert any(before == state and after in ENDED for (before, _), after in TRANSITIONS.items())


def test_what_is_done_stays_done() -> None:
    assert [event for (state, event) in TRANSITIONS if state == "done"] == []


def test_sources_and_targets() -> None:
    assert sources("claim") == ("queued",)
    assert target("hand over") == "queued"
    with pytest.raises(ValueError, match="unknown event"):
        sources("vanish")


def test_the_docs_show_the_table() -> None:
    assert diagram() in ADR.read_text()
