"""What a record may say, its states, its hash, and who may review it: pure."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.audit import Actor
from catalog.errors import Refused
from catalog.models import RESOURCE_KINDS, RESOURCE_STATES, REVIEWERS, Resource
from catalog.records import kinds
from catalog.records.fields import FIELDS, clean, content_hash
from catalog.records.review import refusal
from catalog.records.states import TRANSITIONS, next_state

TODAY = dt.date(2026, 2, 2)


def test_the_words_cover_what_the_tables_hold() -> None:
    assert set(kinds.KINDS) == set(RESOURCE_KINDS)
    assert set(kinds.STATES) == set(RESOURCE_STATES)
    assert {state for state, _ in TRANSITIONS} == set(RESOURCE_STATES) == {*TRANSITIONS.values()}
    columns = set(Resource.__table__.columns.keys()) | {"confirmed", "lessons_planned"}
    assert set(FIELDS) <= columns


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("title", "  象脚鼓\n舞\u3000\x00 ", "象脚鼓 舞"),
        ("description", " 一\r\n二\x07 ", "一\n二"),
        ("languages", ["khb", "zh", "khb"], ["khb", "zh"]),
        ("keywords", [" 傣族 ", "", "傣族", "泼水节"], ["傣族", "泼水节"]),
        ("people", [{"name": " 岩温罕 ", "role": "performer"}, {"name": " "}],
         [{"name": "岩温罕", "role": "performer"}]),
        ("event_date", dt.date(2020, 1, 31), "2020-01-31"),
        ("event_date", "2026-02-02", "2026-02-02"),
        ("licence_until", "", None),
        ("genre_id", None, None),
        ("position", 0, 0),
        ("confirmed", True, True),
    ],
)  # fmt: skip
def test_what_is_kept(name: str, value: Any, kept: Any) -> None:
    assert clean({name: value}, today=TODAY) == {name: kept}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("title", " \u200b "),
        ("title", "长" * 201),
        ("title", 7),
        ("languages", ["klingon"]),
        ("languages", "zh"),
        ("keywords", ["词" * 41]),
        ("keywords", [str(n) for n in range(51)]),
        ("people", [{"name": "甲", "role": "king"}]),
        ("people", ["甲"]),
        ("licence", ""),
        ("licence", "world"),
        ("event_date", "2026-02-03"),
        ("event_date", "31.01.2020"),
        ("event_date", "0020-01-31"),
        ("event_date", None),
        ("position", -1),
        ("position", True),
        ("position", "1"),
        ("confirmed", "yes"),
        ("parent_id", "../../etc"),
        ("lineage", ["a b"]),
        ("state", "published"),
        ("storage_key", "x"),
    ],
)
def test_what_is_refused(name: str, value: Any) -> None:
    with pytest.raises(Refused) as refused:
        clean({name: value}, today=TODAY)
    assert refused.value.code == "resource_field"
    assert refused.value.facts["field"] == name
    assert refused.value.facts["reason"]


def test_only_what_the_table_has_happens() -> None:
    state = "draft"
    for event in ("submit", "approve", "approve", "approve", "change", "withdraw", "restore"):
        state = next_state(state, event)
    assert state == "draft"
    for state, event in (("draft", "approve"), ("published", "submit"), ("withdrawn", "withdraw")):
        with pytest.raises(Refused) as refused:
            next_state(state, event)
        assert refused.value.facts["state"] == kinds.STATES[state]


def record(**values: Any) -> Resource:
    return Resource(
        **{
            "id": "r1", "centre_id": "c1", "kind": "image", "title": "泼水节", "description": "",
            "languages": [], "keywords": [], "place": "", "people": [], "rights_holder": "",
            "licence": "centre", "source": "", "position": 0, "lineage": [], "body": "",
            "event_date": TODAY, "duration_ticks": 0, "intervals": [], "sha256": "0" * 64,
        } | values
    )  # fmt: skip


def test_the_hash_is_of_what_is_seen() -> None:
    seen = content_hash(record())
    assert seen == content_hash(record())
    for name, value in (
        ("title", "泼水节 "), ("people", [{"name": "甲", "role": "other"}]), ("sha256", "1" * 64),
        ("event_date", dt.date(2026, 2, 1)), ("licence", "open"), ("body", "x"),
    ):  # fmt: skip
        assert content_hash(record(**{name: value})) != seen, name
    # Where it stands in a list, and whether it counts, reviewers do not judge.
    assert content_hash(record(position=3, confirmed_at=dt.datetime.now(dt.UTC))) == seen
    # A recording is its footage: its master's checksum comes later and changes nothing.
    aired = {"intervals": [["take:a", 0, 900]], "duration_ticks": 900}
    whole = content_hash(record(**aired, sha256=None))
    assert whole == content_hash(record(**aired))
    assert whole != content_hash(record(**aired | {"intervals": [["take:a", 0, 800]]}))


def reviewer(name: str, role: str) -> Actor:
    return Actor(name, name, role)


def test_three_steps_want_three_roles_and_three_people() -> None:
    def why(who: Actor, step: int, approved: tuple[str, ...] = (), people: int = 3) -> str | None:
        return refusal(who, step=step, people=people, approved=approved, makers=("maker", None))

    assert why(reviewer("a", "reviewer_1"), 1) is None
    assert why(reviewer("a", "reviewer_1"), 2, ("b",)) == "review_not_your_step"
    assert why(reviewer("a", "staff"), 1) == "review_not_your_step"
    assert why(Actor(None, "token", "reviewer_1"), 1) == "review_needs_person"
    assert why(reviewer("maker", "admin"), 1) == "review_own_work"
    assert why(reviewer("boss", "admin"), 1) is None
    assert why(reviewer("boss", "admin"), 2, ("boss",)) == "review_same_person"
    # Two people: one may take two steps, in any order, and not all three.
    assert why(reviewer("a", "reviewer_1"), 2, ("a",), people=2) is None
    assert why(reviewer("a", "reviewer_1"), 3, ("a", "a"), people=2) == "review_same_person"
    assert why(reviewer("a", "reviewer_1"), 3, ("a", "b"), people=2) is None
    assert why(reviewer("maker", "reviewer_1"), 1, people=2) == "review_own_work"
    # One person does it all, of necessity.
    assert why(reviewer("maker", "reviewer_2"), 3, ("maker", "maker"), people=1) is None


@given(st.integers(1, 3), st.lists(st.sampled_from("abcd"), min_size=3, max_size=3))
def test_what_is_published_was_seen_by_enough_people(people: int, tried: list[str]) -> None:
    approved: list[str] = []
    for step, name in enumerate(tried, 1):
        role = REVIEWERS[step - 1]
        if refusal(reviewer(name, role), step=step, people=people, approved=approved, makers=()):
            # Somebody new is always able to go on: no record is ever stuck.
            name = "efg"[step - 1]
            assert not refusal(
                reviewer(name, role), step=step, people=people, approved=approved, makers=()
            )
        approved.append(name)
    assert len(set(approved)) >= people
