"""Records on PostgreSQL: versions, review, reach, take-down, and registration through one door."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from catalog.audit import Actor, entries
from catalog.errors import Missing, Refused
from catalog.models import Resource, Work
from catalog.records import review, service, sight, takedown
from catalog.records.fields import content_hash
from catalog.resources import register_clip, register_recording, register_take
from catalog.search.query import Query, search
from infra.database import Database
from tests.support.catalogue import Town, make_actor, make_town
from tests.support.stage import SECOND, Stage, make_stage


@dataclass
class Desk:
    """Open transaction, a town, and its people by role."""

    session: Session
    town: Town
    staff: Actor
    one: Actor
    two: Actor
    three: Actor

    def image(self, **fields: object) -> Resource:
        return service.create(
            self.session,
            self.staff,
            kind="image",
            centre=self.town.county,
            fields={"title": "泼水节", **fields},
        )

    def publish(self, resource: Resource) -> None:
        review.submit(self.session, self.staff, resource.id)
        for step, who in enumerate((self.one, self.two, self.three), 1):
            seen = content_hash(resource)
            review.decide(self.session, who, resource.id, step, "approve", seen)


@pytest.fixture
def desk(database: Database) -> Iterator[Desk]:
    with database.transaction() as session:
        town = make_town(session)
        people = [
            make_actor(session, name, role, town.county)
            for name, role in (
                ("yan", "staff"), ("one", "reviewer_1"), ("two", "reviewer_2"),
                ("three", "reviewer_3"),
            )
        ]  # fmt: skip
        yield Desk(session, town, *people)


def refused(code: str) -> pytest.RaisesExc[Refused]:
    return pytest.raises(Refused, check=lambda error: error.code == code)


def events(desk: Desk, resource: Resource) -> list[str]:
    found = entries(desk.session, None, object_kind="resource", object_id=resource.id)
    return [entry.action for entry in reversed(found)]


# --- writing ---------------------------------------------------------------------------------


def test_every_change_is_a_version_and_no_change_is_none(desk: Desk) -> None:
    made = desk.image(keywords=["傣族"])
    service.change(desk.session, desk.staff, made.id, {"title": "泼水节", "keywords": ["傣族"]})
    assert made.version == 1
    service.change(desk.session, desk.staff, made.id, {"title": "泼水节开幕", "place": "景洪"})
    service.change(desk.session, desk.staff, made.id, {"confirmed": True, "ledger": "exhibition"})
    found = service.history(desk.session, made.id)
    assert [row.version for row in found] == [3, 2, 1]
    assert found[1].changes == {"title": ["泼水节", "泼水节开幕"], "place": ["", "景洪"]}
    assert found[0].changes["confirmed"] == [False, True]
    assert found[2].changes["keywords"] == [None, ["傣族"]]
    assert {row.by_name for row in found} == {"yan"}
    assert made.confirmed_at is not None
    assert events(desk, made) == ["resource.create", "resource.change", "resource.change"]
    assert search(desk.session, Query(words="开幕")).ids == [made.id]


def test_who_comes_second_is_told(desk: Desk) -> None:
    made = desk.image()
    service.change(desk.session, desk.staff, made.id, {"place": "景洪"}, expect_version=1)
    with refused("record_changed"):
        service.change(desk.session, desk.staff, made.id, {"place": "勐海"}, expect_version=1)
    assert made.place == "景洪"


def test_a_refused_change_leaves_nothing(desk: Desk) -> None:
    made = desk.image()
    for changes in (
        {"place": "景洪", "genre_id": "nothing"},
        {"place": "景洪", "event_date": "2999-01-01"},
        {"place": "景洪", "parent_id": made.id},
        {"place": "景洪", "broadcast_id": "nothing"},
        {"place": "景洪", "lineage": ["nothing"]},
    ):
        with refused("resource_field"):
            service.change(desk.session, desk.staff, made.id, changes)
    desk.session.flush()
    assert (made.place, made.version) == ("", 1)


def test_others_records_are_not_there(desk: Desk) -> None:
    made = desk.image()
    stranger = make_actor(desk.session, "la", "staff", desk.town.other)
    boss = make_actor(desk.session, "zhou", "supervisor", desk.town.prefecture)
    assert service.get(desk.session, boss, made.id) is made
    for work in (
        lambda: service.get(desk.session, stranger, made.id),
        lambda: service.change(desk.session, stranger, made.id, {"title": "偷"}),
        lambda: service.withdraw(desk.session, stranger, made.id, "偷"),
        lambda: review.submit(desk.session, stranger, made.id),
        lambda: takedown.take_down(desk.session, stranger, resource_id=made.id, why="偷"),
        lambda: service.create(
            desk.session, stranger, kind="news", centre=desk.town.county, fields={"title": "偷"}
        ),
    ):
        with pytest.raises(Missing):
            work()
    assert service.bulk_change(desk.session, stranger, [made.id], {"title": "偷"}).refused == [
        (made.id, "resource_unknown")
    ]


def test_a_studio_sees_its_contract_and_nothing_else(desk: Desk) -> None:
    session, county = desk.session, desk.town.county
    studio = make_actor(session, "film", "studio", county, contract="HT-2026-01")
    unsigned = make_actor(session, "free", "studio", county)
    own = service.create(session, studio, kind="image", centre=county, fields={"title": "甲"})
    stage = make_stage(session, centre=county)
    stage.broadcast.contract = "HT-2026-01"
    filmed = aired(stage)
    centres_own = desk.image()
    for found in (own, filmed):
        assert service.get(session, studio, found.id) is found
    for who, hidden in ((studio, centres_own), (unsigned, own), (unsigned, centres_own)):
        with pytest.raises(Missing):
            service.get(session, who, hidden.id)
    with refused("contract_needed"):
        service.create(session, unsigned, kind="image", centre=county, fields={"title": "乙"})


def test_bulk_changes_what_it_may(desk: Desk) -> None:
    images = [desk.image(keywords=["旧"]) for _ in range(3)]
    full = desk.image(keywords=[str(n) for n in range(50)])
    done = service.bulk_change(
        desk.session, desk.staff, [*[i.id for i in images], full.id, "nothing", images[0].id],
        {"place": "景洪"}, add_keywords=["新"], remove_keywords=["旧"],
    )  # fmt: skip
    assert done.changed == 3
    assert done.refused == [("nothing", "resource_unknown"), (full.id, "resource_field")]
    assert [i.keywords for i in images] == [["新"]] * 3
    assert (full.place, full.version) == ("", 1)


def test_genres_are_extended_and_retired(desk: Desk) -> None:
    made = service.add_genre(desk.session, desk.staff, " 贝叶经 ")
    record = desk.image(genre_id=made.id)
    with refused("genre_taken"):
        service.add_genre(desk.session, desk.staff, "贝叶经")
    service.retire_genre(desk.session, desk.staff, made.id)
    assert made not in service.genres(desk.session)
    # Who has it keeps it; nobody new gets it.
    service.change(desk.session, desk.staff, record.id, {"genre_id": made.id, "place": "景洪"})
    with refused("resource_field"):
        desk.image(genre_id=made.id)
    assert service.add_genre(desk.session, desk.staff, "贝叶经") is made


def test_lessons_stand_in_their_course(desk: Desk) -> None:
    def make(kind: str, **fields: object) -> Resource:
        return service.create(
            desk.session, desk.staff, kind=kind, centre=desk.town.county, fields=fields
        )

    course = make("course", title="象脚鼓入门")
    second = make("lesson", title="二", parent_id=course.id, position=2)
    first = make("lesson", title="一", parent_id=course.id, position=1)
    with refused("resource_field"):
        make("image", title="图", parent_id=course.id)
    assert service.children(desk.session, desk.staff, course.id) == [first, second]
    with refused("resource_field"):
        make("lesson", title="三", lessons_planned=8)
    service.change(desk.session, desk.staff, course.id, {"lessons_planned": 8})
    assert course.technical == {"lessons_planned": 8}
    assert service.history(desk.session, course.id)[0].changes == {"lessons_planned": [0, 8]}
    service.change(desk.session, desk.staff, course.id, {"lessons_planned": 0})
    assert course.technical == {}
    service.withdraw(desk.session, desk.staff, second.id, "重录")
    assert service.children(desk.session, desk.staff, course.id) == [first]


def test_what_is_named_in_a_record_is_in_reach_or_public(desk: Desk) -> None:
    session, town = desk.session, desk.town
    stranger = make_actor(session, "la", "staff", town.other)
    secret = desk.image(title="还没公开")

    def make() -> Resource:
        fields = {"title": "借用", "lineage": [secret.id]}
        return service.create(session, stranger, kind="news", centre=town.other, fields=fields)

    with refused("resource_field"):
        make()
    desk.publish(secret)
    made = make()
    # What stands there already is no obstacle to changing the rest.
    service.withdraw(session, desk.staff, secret.id, "版权")
    service.change(session, stranger, made.id, {"lineage": [secret.id], "place": "勐腊"})
    assert made.place == "勐腊"


def test_a_studio_sees_its_own_part_of_an_exhibition(desk: Desk) -> None:
    session, county = desk.session, desk.town.county
    studio = make_actor(session, "film", "studio", county, contract="HT-2026-01")
    hall = service.create(
        session, studio, kind="exhibition", centre=county, fields={"title": "非遗展"}
    )
    own = service.create(
        session, studio, kind="image", centre=county, fields={"title": "甲", "parent_id": hall.id}
    )
    theirs = desk.image(parent_id=hall.id)
    assert service.children(session, studio, hall.id) == [own]
    assert set(service.children(session, desk.staff, hall.id)) == {own, theirs}
    assert service.children(session, None, hall.id) == []
    desk.publish(theirs)
    assert service.children(session, None, hall.id) == [theirs]


# --- review ----------------------------------------------------------------------------------


def test_three_people_publish_what_they_saw(desk: Desk) -> None:
    made = desk.image()
    review.submit(desk.session, desk.staff, made.id)
    seen = content_hash(made)
    with refused("review_not_your_step"):
        review.decide(desk.session, desk.two, made.id, 1, "approve", seen)
    for step, who in enumerate((desk.one, desk.two, desk.three), 1):
        review.decide(desk.session, who, made.id, step, "approve", seen)
    assert (made.state, made.published_at) == ("published", made.first_published_at)
    assert made.published_at is not None
    assert [(r.step, r.seen_hash) for r in review.reviews_of(desk.session, made.id)] == [
        (3, seen), (2, seen), (1, seen)
    ]  # fmt: skip
    assert events(desk, made)[2:] == ["review.approve"] * 3
    assert search(desk.session, Query(public_only=True)).ids == [made.id]


def test_a_change_reopens_it(desk: Desk) -> None:
    made = desk.image()
    desk.publish(made)
    first = made.first_published_at
    service.change(desk.session, desk.staff, made.id, {"position": 7})
    assert made.state == "published"
    service.change(desk.session, desk.staff, made.id, {"title": "别的"})
    assert (made.state, made.published_at, made.first_published_at) == ("draft", None, first)
    assert search(desk.session, Query(public_only=True)).ids == []
    # A decision on what was there before the change is none.
    review.submit(desk.session, desk.staff, made.id)
    stale = content_hash(made)
    service.change(desk.session, desk.staff, made.id, {"title": "再别的"})
    assert made.state == "draft"
    review.submit(desk.session, desk.staff, made.id)
    with refused("record_changed"):
        review.decide(desk.session, desk.one, made.id, 1, "approve", stale)
    with refused("record_changed"):
        review.decide(desk.session, desk.one, made.id, 2, "approve", content_hash(made))


def test_a_change_nobody_reviews_does_not_make_its_writer_a_stranger(desk: Desk) -> None:
    chief = make_actor(desk.session, "chief", "admin", desk.town.county)
    made = desk.image()
    service.change(desk.session, chief, made.id, {"title": "泼水节开幕"})
    service.change(desk.session, desk.staff, made.id, {"position": 3, "confirmed": True})
    review.submit(desk.session, desk.staff, made.id)
    assert review.may_decide(desk.session, chief, made) == "review_own_work"


def test_what_is_returned_says_why_and_begins_anew(desk: Desk) -> None:
    made = desk.image()
    review.submit(desk.session, desk.staff, made.id)
    seen = content_hash(made)
    review.decide(desk.session, desk.one, made.id, 1, "approve", seen)
    with refused("why_needed"):
        review.decide(desk.session, desk.two, made.id, 2, "return", seen)
    review.decide(desk.session, desk.two, made.id, 2, "return", seen, "题名太短")
    assert made.state == "draft"
    with refused("record_state"):
        review.decide(desk.session, desk.two, made.id, 2, "approve", seen)
    review.submit(desk.session, desk.staff, made.id)
    assert (made.state, made.round) == ("review_1", 2)
    # The first reviewer's approval of the last round counts for nothing in this one.
    assert review.may_decide(desk.session, desk.one, made) is None


def test_a_small_centre_switches_to_fewer_people(desk: Desk) -> None:
    desk.town.county.reviewers = 1
    desk.session.flush()
    only = make_actor(desk.session, "only", "admin", desk.town.county)
    made = service.create(
        desk.session, only, kind="news", centre=desk.town.county, fields={"title": "通知"}
    )
    review.submit(desk.session, only, made.id)
    for step in (1, 2, 3):
        review.decide(desk.session, only, made.id, step, "approve", content_hash(made))
    assert made.state == "published"
    desk.town.county.reviewers = 3
    service.change(desk.session, only, made.id, {"title": "通知二"})
    review.submit(desk.session, only, made.id)
    with refused("review_own_work"):
        review.decide(desk.session, only, made.id, 1, "approve", content_hash(made))


def test_the_audit_log_is_for_ever(database: Database) -> None:
    with database.transaction() as session:
        town = make_town(session)
        staff = make_actor(session, "yan", "staff", town.county)
        service.create(session, staff, kind="news", centre=town.county, fields={"title": "通知"})
    for statement in ("UPDATE audit_entries SET by_name = 'x'", "DELETE FROM audit_entries"):
        with pytest.raises(DBAPIError), database.transaction() as session:
            session.execute(sa.text(statement))


# --- footage ---------------------------------------------------------------------------------


def aired(stage: Stage, seconds: int = 10) -> Resource:
    """A show that was on the air, its recording registered."""
    take = stage.open()
    stage.slots(take, stage.run(take), [2 * SECOND] * (seconds // 2))
    stage.close(take, end_ms=seconds * 1000)
    register_take(stage.session, take)
    made = register_recording(stage.session, stage.broadcast)
    assert made is not None
    return made


def clip_of(stage: Stage, key: str = "clip1") -> tuple[Work, Resource]:
    work = Work(
        id=key, centre_id=stage.broadcast.centre_id, broadcast_id=stage.broadcast.id, kind="clip",
        state="ready", title="精彩一分钟", media_token=key.ljust(22, "k"),
        edit_list=[[stage.broadcast.id, 0, 4 * SECOND]], duration_ticks=4 * SECOND,
    )  # fmt: skip
    stage.session.add(work)
    stage.session.flush()
    made = register_clip(stage.session, work)
    assert made is not None
    return work, made


def test_registering_again_keeps_what_people_wrote(desk: Desk) -> None:
    stage = make_stage(desk.session, centre=desk.town.county)
    made = aired(stage)
    assert [row.version for row in service.history(desk.session, made.id)] == [1]
    service.change(desk.session, desk.staff, made.id, {"title": "元宵晚会（修复版）"})
    stage.broadcast.title = "改名了"
    assert register_recording(desk.session, stage.broadcast) is made
    assert (made.title, made.version) == ("元宵晚会（修复版）", 2)
    desk.publish(made)
    # The master's checksum is no news to reviewers; more footage is.
    work = desk.session.get_one(Work, made.work_id)
    work.sha256 = "a" * 64
    register_recording(desk.session, stage.broadcast)
    assert (made.state, made.version, made.sha256) == ("published", 3, "a" * 64)
    take = stage.open()
    stage.slots(take, stage.run(take), [2 * SECOND])
    register_recording(desk.session, stage.broadcast)
    assert (made.state, made.version, made.duration_ticks) == ("draft", 4, 12 * SECOND)
    assert service.history(desk.session, made.id)[0].via == "system"


def test_a_clip_knows_where_it_comes_from(desk: Desk) -> None:
    stage = make_stage(desk.session, centre=desk.town.county)
    recording = aired(stage)
    _, micro = clip_of(stage)
    assert (micro.lineage, micro.origin) == ([recording.id], "optimised")


def test_two_registrations_at_once_make_one(database: Database) -> None:
    with database.transaction() as session:
        stage = make_stage(session)
        take = stage.open()
        stage.close(take, end_ms=4000)
    barrier = threading.Barrier(2)

    def register() -> None:
        with database.transaction() as session:
            mine = session.get_one(type(take), take.id)
            barrier.wait(5)
            register_take(session, mine)

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(register) for _ in range(2)]:
            done.result(10)
    with database.transaction() as session:
        made = session.scalars(sa.select(Resource)).one()
        assert len(service.history(session, made.id)) == 1


# --- out of sight ----------------------------------------------------------------------------


def hidden(session: Session, *tokens: str) -> list[bool]:
    return [token in sight.off_air(session, tokens) for token in tokens]


def test_a_take_down_takes_all_of_it_and_puts_back_no_more(desk: Desk) -> None:
    session = desk.session
    stage = make_stage(session, centre=desk.town.county)
    recording = aired(stage)
    work, micro = clip_of(stage)
    old_work, old = clip_of(stage, "clip2")
    still = desk.image(broadcast_id=stage.broadcast.id)
    raw = session.scalars(sa.select(Resource).where(Resource.kind == "raw")).one()
    desk.publish(still)
    service.withdraw(session, desk.staff, old.id, "重复")
    sight.changed(session)
    tokens = (stage.broadcast.media_token, work.media_token, old_work.media_token)
    assert hidden(session, *tokens) == [False, False, True]

    takedown.take_down(session, desk.staff, broadcast_id=stage.broadcast.id, why="字幕有误")
    assert hidden(session, *tokens) == [True, True, True]
    assert sight.changed(session) == dict.fromkeys(tokens, True)
    assert [r.state for r in (recording, micro, still, raw)] == ["withdrawn"] * 3 + ["draft"]
    off_air_at = stage.broadcast.off_air_at
    takedown.take_down(session, desk.staff, broadcast_id=stage.broadcast.id, why="再按一次")
    assert stage.broadcast.off_air_at == off_air_at

    takedown.put_back(session, desk.staff, broadcast_id=stage.broadcast.id)
    assert hidden(session, *tokens) == [False, False, True]
    assert [r.state for r in (recording, micro, still, old)] == ["draft"] * 3 + ["withdrawn"]
    with refused("not_taken_down"):
        takedown.put_back(session, desk.staff, broadcast_id=stage.broadcast.id)


def test_undoing_a_take_down_is_no_way_round_the_review(desk: Desk) -> None:
    session = desk.session
    stage = make_stage(session, centre=desk.town.county)
    aired(stage)
    work, micro = clip_of(stage)
    service.withdraw(session, desk.staff, micro.id, "版权")
    boss = make_actor(session, "zhou", "supervisor", desk.town.prefecture)
    # Nor is it by taking down first what is withdrawn already.
    takedown.take_down(session, boss, resource_id=micro.id, why="也要下架")
    with refused("not_taken_down"):
        takedown.put_back(session, boss, resource_id=micro.id)
    with refused("not_taken_down"):
        takedown.put_back(session, boss, work_id=work.id)
    assert hidden(session, work.media_token) == [True]
    service.restore(session, desk.staff, micro.id)
    takedown.take_down(session, boss, work_id=work.id, why="字幕有误")
    takedown.put_back(session, boss, resource_id=micro.id)
    assert (micro.state, hidden(session, work.media_token)) == ("draft", [False])


def test_what_is_told_is_what_holds(desk: Desk) -> None:
    """One reason to hide a medium may go while another stays: no edge is told to show it."""
    session = desk.session
    stage = make_stage(session, centre=desk.town.county)
    recording = aired(stage)
    token = stage.broadcast.media_token
    takedown.take_down(session, desk.staff, broadcast_id=stage.broadcast.id, why="字幕有误")
    assert sight.changed(session) == {token: True}
    service.restore(session, desk.staff, recording.id)
    desk.publish(recording)
    assert sight.changed(session) == {token: True}
    assert sight.changed(session) == {}


def test_published_raw_footage_goes_with_its_broadcast(desk: Desk) -> None:
    session = desk.session
    stage = make_stage(session, centre=desk.town.county)
    aired(stage)
    raw = session.scalars(sa.select(Resource).where(Resource.kind == "raw")).one()
    desk.publish(raw)
    takedown.take_down(session, desk.staff, broadcast_id=stage.broadcast.id, why="字幕有误")
    assert raw.state == "withdrawn"
    assert search(session, Query(words=raw.title, public_only=True)).ids == []


def test_whoever_relays_it_is_taken_down_with_it(desk: Desk) -> None:
    stage = make_stage(desk.session, centre=desk.town.county)
    relay = make_stage(desk.session, centre=desk.town.other).broadcast
    relay.standing, relay.origin_id = "linked", stage.broadcast.id
    desk.session.flush()
    takedown.take_down(desk.session, desk.staff, broadcast_id=stage.broadcast.id, why="有误")
    assert hidden(desk.session, relay.media_token) == [True]
    found = entries(desk.session, desk.town.other.path, action="takedown")
    assert [entry.object_id for entry in found] == [relay.id]
    takedown.put_back(desk.session, desk.staff, broadcast_id=stage.broadcast.id)
    assert hidden(desk.session, relay.media_token) == [False]


def test_a_clip_in_the_making_does_not_slip_through(desk: Desk) -> None:
    stage = make_stage(desk.session, centre=desk.town.county)
    aired(stage)
    work, _ = clip_of(stage)
    making = Work(
        id="clip3", centre_id=work.centre_id, broadcast_id=stage.broadcast.id, kind="clip",
        title="还在做", media_token="m" * 22,
    )  # fmt: skip
    desk.session.add(making)
    takedown.take_down(desk.session, desk.staff, broadcast_id=stage.broadcast.id, why="有误")
    making.state = "ready"  # its job ends only now
    desk.session.flush()
    assert hidden(desk.session, making.media_token) == [True]
    takedown.put_back(desk.session, desk.staff, broadcast_id=stage.broadcast.id)
    making.state = "making"
    takedown.take_down(desk.session, desk.staff, work_id=making.id, why="有误")
    assert making.state == "withdrawn"


def test_withdrawn_footage_comes_back_with_its_review(desk: Desk) -> None:
    stage = make_stage(desk.session, centre=desk.town.county)
    recording = aired(stage)
    token = stage.broadcast.media_token
    service.withdraw(desk.session, desk.staff, recording.id, "版权")
    assert hidden(desk.session, token) == [True]
    assert (recording.withdrawn_why, recording.withdrawn_at is None) == ("版权", False)
    service.restore(desk.session, desk.staff, recording.id)
    assert hidden(desk.session, token) == [True]
    desk.publish(recording)
    assert hidden(desk.session, token) == [False]
