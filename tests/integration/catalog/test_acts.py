"""Programme lists, marks and acts: kept rows, refusals, two people at once, reach."""

from __future__ import annotations

import datetime as dt

import pytest
from sqlalchemy import select

from catalog import acts
from catalog.acts import ActWish, Line, Proposal
from catalog.audit import Actor
from catalog.centres import add_centre
from catalog.errors import Missing, Refused
from catalog.models import Act, AuditEntry, ProgrammeEntry, Work
from infra.database import Database
from tests.support.stage import NOON_US, SECOND, Stage, make_stage

STAFF = Actor(None, "岩温罕", "staff")


@pytest.fixture
def token(database: Database) -> str:
    """Of a show of 60 s."""
    with database.transaction() as session:
        stage = make_stage(session)
        take = stage.open()
        stage.slots(take, stage.run(take), [2 * SECOND] * 30)
        return stage.broadcast.media_token


def wish(start: float, end: float, title: str = "", **more: int) -> ActWish:
    return ActWish(round(start * SECOND), round(end * SECOND), title, **more)


def save(database: Database, token: str, *wishes: ActWish, expect: str | None = None) -> list[Act]:
    with database.transaction() as session:
        seen = acts.version(session, token) if expect is None else expect
        return acts.save_acts(session, STAFF, token, wishes, expect=seen)


def refusal(database: Database, token: str, *wishes: ActWish, expect: str | None = None) -> Refused:
    with pytest.raises(Refused) as refused:
        save(database, token, *wishes, expect=expect)
    return refused.value


def test_a_line_that_stays_keeps_its_row(database: Database, token: str) -> None:
    with database.transaction() as session:
        first = acts.set_programme(
            session, STAFF, token,
            [Line("象脚鼓舞", "舞蹈", "曼蚌村"), Line("布朗弹唱"), Line("合唱"), Line("武术")],
        )  # fmt: skip
        ids = [entry.id for entry in first]
    with database.transaction() as session:
        acts.set_programme(
            session, STAFF, token,
            # Moved to the front; one written better in its place; one gone; one new.
            [Line(" 合唱\n"), Line("布朗弹唱《敬酒歌》"), Line("象脚鼓舞", "舞蹈", "曼蚌村"),
             Line("压轴", about_ticks=50 * SECOND), Line("谢幕")],
        )  # fmt: skip
        now = acts.programme(session, token)
        assert [e.position for e in now] == [0, 1, 2, 3, 4]
        assert [e.title for e in now][:3] == ["合唱", "布朗弹唱《敬酒歌》", "象脚鼓舞"]
        assert [e.id for e in now][:4] == [ids[2], ids[1], ids[0], ids[3]]
        assert now[4].id not in ids
        deeds = session.scalars(select(AuditEntry).where(AuditEntry.action == "programme.set"))
        assert [deed.details["lines"] for deed in deeds] == [4, 5]
    with database.transaction() as session:
        acts.set_programme(session, STAFF, token, [])
        assert session.scalars(select(ProgrammeEntry)).all() == []


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ([Line("甲"), Line(" \u200b ")], "programme_line_empty"),
        ([Line("长" * 201)], "programme_line_long"),
        ([Line("甲", performers="人" * 201)], "programme_line_long"),
        ([Line("甲", about_ticks=49 * 3600 * SECOND)], "programme_line_time"),
        ([Line("甲")] * 301, "programme_too_long"),
    ],
)
def test_lists_that_are_refused(
    database: Database, token: str, lines: list[Line], code: str
) -> None:
    with database.transaction() as session:
        with pytest.raises(Refused) as refused:
            acts.set_programme(session, STAFF, token, lines)
        assert refused.value.code == code
        assert acts.programme(session, token) == []


def test_a_list_changed_meanwhile(database: Database, token: str) -> None:
    with database.transaction() as session:
        seen = acts.programme_version(session, token)
        acts.set_programme(session, STAFF, token, [Line("甲")], expect=seen)
        with pytest.raises(Refused, match="programme_changed"):
            acts.set_programme(session, STAFF, token, [Line("乙")], expect=seen)


def test_what_a_person_saves_replaces_the_list(database: Database, token: str) -> None:
    with database.transaction() as session:
        (entry,) = acts.set_programme(session, STAFF, token, [Line("象脚鼓舞")])
        entry_id = entry.id
        assert acts.propose(
            session, token,
            [Proposal(0, 20 * SECOND, "开场", 900, [("black", 700)]),
             Proposal(20 * SECOND, 40 * SECOND, "", 400, [("applause", 500), ("silence", 300)])],
        ) == 2  # fmt: skip
        assert acts.chapters(session, token) == []
        one, two = acts.acts(session, token)
        first, second = one.id, two.id
    save(
        database, token,
        wish(0, 18, "开场", id=first), wish(20, 40, "象脚鼓舞", id=second, entry_id=entry_id),
        wish(40, 60.05),
    )  # fmt: skip
    with database.transaction() as session:
        one, two, three = acts.acts(session, token)
        assert (one.id, two.id) == (first, second)
        # Its beginning is where it was: why it is there still holds.
        assert two.reasons == [["applause", 500], ["silence", 300]]
        assert two.entry_id == entry_id
        assert {act.state for act in (one, two, three)} == {"confirmed"}
        assert {act.confidence for act in (one, two, three)} == {1000}
        assert acts.chapters(session, token) == [
            (0, 18 * SECOND, "开场"),
            (20 * SECOND, 40 * SECOND, "象脚鼓舞"),
            (40 * SECOND, 60 * SECOND, "第 3 段"),
        ]
    save(database, token, wish(21, 40, "象脚鼓舞", id=second, entry_id=999))
    with database.transaction() as session:
        (only,) = acts.acts(session, token)
        assert (only.id, only.reasons, only.entry_id) == (second, [], None)
        deeds = session.scalars(select(AuditEntry).where(AuditEntry.action == "act.save")).all()
        assert [(deed.by_name, deed.details["acts"]) for deed in deeds] == [
            ("岩温罕", 3),
            ("岩温罕", 1),
        ]


def test_acts_that_are_refused(database: Database, token: str) -> None:
    cases = {
        "acts_overlap": (wish(0, 20), wish(19.9, 30)),
        "act_outside": (wish(50, 60.2),),
        "act_too_short": (wish(10, 10.9),),
        "act_title": (wish(0, 20, "长" * 201),),
        "acts_too_many": tuple(wish(0, 1) for _ in range(501)),
    }
    for code, wishes in cases.items():
        assert refusal(database, token, *wishes).code == code
    assert refusal(database, token, wish(30, 40), wish(0, 20)).code == "acts_overlap"
    assert refusal(database, token, wish(0, 5), wish(9, 9)).facts == {"number": 2}
    with database.transaction() as session:
        assert acts.acts(session, token) == []
        assert session.scalars(select(AuditEntry)).all() == []


def test_two_people_do_not_write_over_each_other(database: Database, token: str) -> None:
    with database.transaction() as session:
        seen = acts.version(session, token)
    save(database, token, wish(0, 30, "甲"), expect=seen)
    assert refusal(database, token, wish(0, 20, "乙"), expect=seen).code == "acts_changed"
    with database.transaction() as session:
        (act,) = acts.acts(session, token)
        assert act.title == "甲"
        # A clip made of an act is no change of the list.
        seen = acts.version(session, token)
        act.work_id = None
        session.flush()
        assert acts.version(session, token) == seen


def test_the_analysis_leaves_what_was_confirmed(database: Database, token: str) -> None:
    save(database, token, wish(10, 20, "定了"))
    with database.transaction() as session:
        made = acts.propose(
            session, token,
            [Proposal(0, 10 * SECOND, "前"), Proposal(9 * SECOND, 15 * SECOND, "压着"),
             Proposal(20 * SECOND, 30 * SECOND, "后", 5_000)],
        )  # fmt: skip
        assert made == 2
        assert [a.title for a in acts.acts(session, token)] == ["前", "定了", "后"]
        assert acts.acts(session, token)[2].confidence == 1000
        # Proposed anew: the old proposals go, and only those.
        assert acts.propose(session, token, []) == 0
        assert [a.title for a in acts.acts(session, token)] == ["定了"]


def test_marks(database: Database, token: str) -> None:
    with database.transaction() as session:
        later = acts.add_mark(session, STAFF, token, 40 * SECOND, "合唱")
        mark = acts.add_mark(session, STAFF, token, 20 * SECOND, " 象脚鼓舞 ")
        again = acts.add_mark(session, STAFF, token, 20 * SECOND + SECOND // 2, "又按了一下")
        assert again.id == mark.id
        assert [m.label for m in acts.marks(session, token)] == ["象脚鼓舞", "合唱"]
        with pytest.raises(Missing):
            acts.remove_mark(session, STAFF, "another", mark.id)
        acts.remove_mark(session, STAFF, token, mark.id)
        assert acts.marks(session, token) == [later]
        for at, label, code in ((-1, "", "mark_outside"), (0, "长" * 201, "mark_label")):
            with pytest.raises(Refused, match=code):
                acts.add_mark(session, STAFF, token, at, label)
        deeds = session.scalars(select(AuditEntry).order_by(AuditEntry.id))
        assert [deed.action for deed in deeds] == ["mark.add", "mark.add", "mark.remove"]


def test_the_tick_of_a_press(database: Database) -> None:
    """A reconnect after 30 s: the air timeline has no hole, the wall clock has one."""
    with database.transaction() as session:
        stage = make_stage(session)
        token = stage.broadcast.media_token
        assert acts.tick_now(session, token, NOON_US, on_air=True) == 0
        take = stage.open()
        stage.slots(take, stage.run(take), [2 * SECOND] * 5)
        stage.close(take, end_ms=10_000)
        assert acts.tick_now(session, token, NOON_US + 42_000_000, on_air=True) == 10 * SECOND
        take = stage.open(at_us=NOON_US + 40_000_000)
        stage.slots(take, stage.run(take), [2 * SECOND] * 2)

        def at(seconds: float, *, on_air: bool = True) -> float:
            now = NOON_US + round(seconds * 1e6)
            return acts.tick_now(session, token, now, on_air=on_air) / SECOND

        # 47.5 s after the beginning, 7.5 s of the second take have come in.
        assert at(47.5) == 17.5
        # Clocks a little apart never put the press before what is there.
        assert at(41) == 14
        assert at(47.5, on_air=False) == 14
        assert at(4_000) == 74


def test_reach(database: Database) -> None:
    with database.transaction() as session:
        home, other = add_centre(session, "勐海县文化馆"), add_centre(session, "勐腊县文化馆")
        stage: Stage = make_stage(session, centre=home)
        show = stage.broadcast
        show.contract = "HT-1"
        recording = _work(show.media_token, home.id, "recording", broadcast_id=show.id)
        upload = _work("t-upload", home.id, "upload", contract="HT-2")
        session.add_all([recording, upload])
        session.flush()
        inside = Actor(None, "甲", "staff", home.path)
        for key in (show.id, recording.id):
            found = acts.find_programme(session, inside, key)
            assert (found.kind, found.id, found.token) == ("broadcast", show.id, show.media_token)
        assert acts.find_programme(session, inside, upload.id).kind == "work"
        studio = Actor(None, "乙", "studio", home.path, "HT-2")
        assert acts.find_programme(session, studio, upload.id).id == upload.id
        unseen = [
            (Actor(None, "丙", "staff", other.path), (show.id, recording.id, upload.id)),
            (studio, (show.id, recording.id)),
            (Actor(None, "丁", "studio", home.path), (show.id, upload.id)),
        ]
        for actor, keys in unseen:
            for key in keys:
                with pytest.raises(Missing):
                    acts.find_programme(session, actor, key)


def test_a_clip_is_of_an_act_only_while_it_shows_just_that(database: Database, token: str) -> None:
    act_id = save(database, token, wish(0, 20, "甲"))[0].id
    with database.transaction() as session:
        found = acts.programme_of(session, token)
        work = _work("t-clip", found.centre_id, "clip", broadcast_id=found.id)
        work.edit_list = [[found.id, 0, 20 * SECOND]]
        session.add(work)
        session.flush()
        acts.acts(session, token)[0].work_id = work.id
        session.flush()
        assert acts.clips_of(session, found) == {act_id: work}
        work.state = "failed"
        session.flush()
        assert acts.clips_of(session, found) == {}
        work.state = "making"
    save(database, token, wish(0, 21, "甲", id=act_id))
    with database.transaction() as session:
        assert acts.acts(session, token)[0].work_id == "w-t-clip"
        assert acts.clips_of(session, acts.programme_of(session, token)) == {}


def _work(token: str, centre_id: str, kind: str, **more: str) -> Work:
    return Work(
        id=f"w-{token}"[:32], centre_id=centre_id, kind=kind, state="ready", title="片",
        media_token=token, published_at=dt.datetime.now(dt.UTC), **more,
    )  # fmt: skip
