"""The supervisor's decisions, with a clock of our own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.processes.plan import (
    BACKOFF_SECONDS,
    HOPELESS_FAILURES,
    Action,
    Do,
    Event,
    PartSpec,
    Plan,
    PlanError,
    State,
)

DB = PartSpec("db", stop_stage=1, stop_seconds=20)
WEB = PartSpec("web", needs=("db",), start_seconds=5, stop_seconds=3, stall_seconds=30)


def spawn(*names: str) -> list[Action]:
    return [Action(name, Do.SPAWN) for name in names]


def started() -> Plan:
    plan = Plan([DB, WEB], 0.0)
    plan.tick(0.0)
    plan.observe("db", Event.ANSWERED, 1.0)
    plan.observe("web", Event.ANSWERED, 2.0)
    return plan


def test_parts_start_when_what_they_need_is_ready() -> None:
    plan = Plan([DB, WEB], 0.0)
    assert plan.tick(0.0) == spawn("db")
    assert plan.tick(0.5) == []
    assert plan.observe("db", Event.ANSWERED, 1.0) == spawn("web")
    assert not plan.all_up
    assert plan.observe("web", Event.ANSWERED, 2.0) == []
    assert plan.all_up


def test_a_part_with_one_thing_to_do_counts_as_up_when_done() -> None:
    plan = Plan([PartSpec("migrate"), PartSpec("web", needs=("migrate",))], 0.0)
    assert plan.tick(0.0) == spawn("migrate")
    assert plan.observe("migrate", Event.FINISHED, 1.0) == spawn("web")
    plan.observe("web", Event.ANSWERED, 2.0)
    assert plan.all_up
    assert plan.stop(3.0) == [Action("web", Do.ASK)]
    plan.observe("web", Event.EXITED, 3.1)
    assert plan.all_stopped


def test_the_dead_are_started_again_after_a_growing_pause() -> None:
    plan = started()
    now = 3.0
    for pause in (*BACKOFF_SECONDS, BACKOFF_SECONDS[-1]):
        assert plan.observe("web", Event.EXITED, now) == []
        assert plan.next_deadline() == pytest.approx(now + pause)
        assert plan.tick(now + pause - 0.01) == []
        now += pause
        assert plan.tick(now) == spawn("web")


def test_a_long_good_life_forgets_failures() -> None:
    plan = started()
    plan.observe("web", Event.EXITED, 3.0)
    plan.tick(3.1)
    plan.observe("web", Event.ANSWERED, 4.0)
    plan.observe("web", Event.EXITED, 50.0)
    assert plan.failures("web") == 1


def test_a_dead_database_leaves_the_others_running_but_not_restarting() -> None:
    plan = started()
    plan.observe("db", Event.EXITED, 3.0)
    assert plan.state("web") is State.READY
    plan.observe("web", Event.EXITED, 3.0)
    assert plan.tick(3.1) == spawn("db")
    assert plan.tick(60.0 - 0.1) == []  # web waits for db, which is still starting
    assert plan.observe("db", Event.ANSWERED, 59.95) == spawn("web")


def test_a_start_that_takes_too_long_is_killed_once() -> None:
    plan = Plan([DB, WEB], 0.0)
    plan.tick(0.0)
    plan.observe("db", Event.ANSWERED, 1.0)
    assert plan.tick(6.0) == [Action("web", Do.KILL)]
    assert plan.tick(7.0) == []
    plan.observe("web", Event.EXITED, 7.0)
    assert plan.state("web") is State.BACKOFF


def test_a_silent_part_is_killed_but_not_for_the_silence_of_another() -> None:
    plan = started()
    plan.observe("web", Event.ANSWERED, 20.0)
    assert plan.next_deadline() == 50.0
    plan.observe("db", Event.EXITED, 40.0)
    assert Action("web", Do.KILL) not in plan.tick(55.0)
    plan.observe("db", Event.ANSWERED, 60.0)
    assert plan.next_deadline() == 90.0
    assert plan.tick(90.0) == [Action("web", Do.KILL)]
    assert plan.tick(91.0) == []


def test_stop_goes_by_stages_and_insists() -> None:
    plan = started()
    assert plan.stop(10.0) == [Action("web", Do.ASK)]
    assert plan.tick(13.0) == [Action("web", Do.KILL)]
    assert plan.observe("web", Event.EXITED, 13.1) == [Action("db", Do.ASK)]
    plan.observe("db", Event.EXITED, 14.0)
    assert plan.all_stopped


def test_what_does_not_run_is_stopped_at_once() -> None:
    plan = Plan([DB, WEB], 0.0)
    plan.tick(0.0)
    assert plan.stop(1.0) == [Action("db", Do.ASK)]
    plan.observe("db", Event.EXITED, 1.5)
    assert plan.all_stopped


def test_a_first_start_is_given_up_in_the_end() -> None:
    plan = Plan([DB, WEB], 0.0)
    plan.tick(0.0)
    now = 0.0
    for _ in range(HOPELESS_FAILURES):
        assert plan.hopeless is None
        plan.observe("db", Event.EXITED, now)
        now += 100
        plan.tick(now)
    assert plan.hopeless == "db"


def test_impossible_events_are_our_bug() -> None:
    plan = Plan([DB], 0.0)
    with pytest.raises(PlanError):
        plan.observe("db", Event.EXITED, 0.0)
    with pytest.raises(PlanError):
        Plan([WEB], 0.0)


@given(st.lists(st.tuples(st.sampled_from(["db", "web"]), st.integers(0, 2)), max_size=40))
def test_whatever_happens_it_can_always_be_stopped(events: list[tuple[str, int]]) -> None:
    """Processes that come, answer and go in any order; then stop, and all go."""
    plan = Plan([DB, WEB], 0.0)
    running: set[str] = set()
    now = 0.0

    def follow(actions: list[Action]) -> None:
        for action in actions:
            if action.do is Do.SPAWN:
                assert action.part not in running
                running.add(action.part)
            else:
                assert action.part in running

    follow(plan.tick(now))
    for name, what in events:
        now += 7.0
        if what == 0 and name in running:
            follow(plan.observe(name, Event.ANSWERED, now))
        elif what == 1 and name in running:
            running.remove(name)
            follow(plan.observe(name, Event.EXITED, now))
        follow(plan.tick(now))
    follow(plan.stop(now))
    while running:
        now += 1.0
        follow(plan.tick(now))
        for name in sorted(running):
            if plan.state(name) is State.STOPPING:
                running.remove(name)
                follow(plan.observe(name, Event.EXITED, now))
    assert plan.all_stopped
