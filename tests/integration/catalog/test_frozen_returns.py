"""Frozen returns: what was handed in stays, corrections are seen, roll-ups count linked once."""

from __future__ import annotations

import datetime as dt

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from catalog.audit import Actor
from catalog.centres import add_centre
from catalog.errors import Missing, Refused
from catalog.models import Centre, PastBroadcast, Plan, Return
from catalog.plans.entries import set_entry
from catalog.plans.report import to_json
from catalog.plans.service import load_template
from catalog.returns.bring_in import bring_in
from catalog.returns.freeze import (
    built_on,
    corrections,
    digest,
    freeze,
    intact,
    latest,
    listed,
    load,
    report_in,
)
from infra.database import Database
from infra.ids import public_id
from tests.integration.catalog.test_returns import ADMIN, FILE, NOW, bring, stand

NOTE = [{"kind": "note", "text": "签到表"}]
LATER = NOW + dt.timedelta(days=3)


def correct(session: Session, plan: Plan, centre: Centre, value: int) -> None:
    set_entry(session, ADMIN, plan, centre, "cx.z.users", value, year=2020, evidence=NOTE, now=NOW)


def show(session: Session, centre: Centre, title: str, *, standing: str, minutes: int) -> None:
    session.add(
        PastBroadcast(
            id=public_id(), centre_id=centre.id, held_on=dt.date(2020, 9, 1), title=title,
            mode="live", standing=standing, finished_ticks=minutes * 5_400_000,
            raw_ticks=minutes * 5_400_000, images=1, clicks=10,
        )
    )  # fmt: skip


def test_a_return_stays_what_was_handed_in(database: Database) -> None:
    with database.transaction() as session:
        plan, prefecture, _ = stand(session)
        bring(session, plan)
        first = freeze(session, ADMIN, plan, prefecture, 2020, NOW, now=NOW)
        assert (first.revision, first.why) == (1, "")
        with pytest.raises(Refused, match="return_why"):
            freeze(session, ADMIN, plan, prefecture, 2020, NOW, "  ", now=NOW)
        with pytest.raises(Refused, match="return_same"):
            freeze(session, ADMIN, plan, prefecture, 2020, NOW, "再报一次", now=NOW)
        correct(session, plan, prefecture, 420)
        second = freeze(session, ADMIN, plan, prefecture, 2020, LATER, "漏报6人", now=LATER)
        first_id, second_id = first.id, second.id
    with database.transaction() as session:
        kept = load(session, ADMIN, first_id)
        assert intact(kept)
        assert digest(kept.numbers) == kept.sha256  # through the database and back
        assert digest(to_json(report_in(kept))) == digest(kept.numbers["report"])
        assert "注册用户414人，完成138%" in kept.numbers["sentences"]["units"][0]
        newest = latest(session, plan.id, prefecture.id, 2020)
        assert newest is not None
        assert (newest.id, newest.revision, newest.why) == (second_id, 2, "漏报6人")
        changed = [(d.centre_name, d.name, d.old, d.new) for d in corrections(session, newest)]
        assert changed == [("西双版纳州文化馆", "年新增注册用户数", "414人", "420人")]
        assert corrections(session, kept) == []
        assert [row[0].revision for row in listed(session, prefecture.path)] == [2, 1]


@pytest.mark.parametrize("statement", ["UPDATE returns SET why = 'x'", "DELETE FROM returns"])
def test_the_database_lets_nobody_change_one(database: Database, statement: str) -> None:
    with database.transaction() as session:
        plan, prefecture, _ = stand(session)
        freeze(session, ADMIN, plan, prefecture, 2020, NOW, now=NOW)
    with pytest.raises(DBAPIError, match="frozen return"), database.transaction() as session:
        session.execute(text(statement))


def test_what_may_not_be_frozen(database: Database) -> None:
    with database.transaction() as session:
        plan, prefecture, county = stand(session)
        stranger = add_centre(session, "别处文化馆")
        with pytest.raises(Refused, match="return_cut_off"):
            freeze(session, ADMIN, plan, prefecture, 2020, LATER, now=NOW)
        with pytest.raises(Refused, match="return_empty"):
            freeze(session, ADMIN, plan, stranger, 2020, NOW, now=NOW)
        own = Actor(None, "王", "clerk", county.path)
        with pytest.raises(Missing, match="centre_unknown"):
            freeze(session, own, plan, prefecture, 2020, NOW, now=NOW)
        kept = freeze(session, ADMIN, plan, prefecture, 2020, NOW, now=NOW)
        with pytest.raises(Missing, match="return_unknown"):
            load(session, own, kept.id)


def test_a_roll_up_counts_a_linked_show_once_and_names_what_it_was_built_on(
    database: Database,
) -> None:
    with database.transaction() as session:
        province = add_centre(session, "云南省文化馆", level="province")
        plan = load_template(session, ADMIN, "chuxiong-2020", province)
        bring_in(session, ADMIN, FILE.read_bytes(), plan, 2020, create_centres=True, now=NOW)
        centres = {c.name: c for c in session.query(Centre)}
        county, prefecture = centres["景洪市文化馆"], centres["西双版纳州文化馆"]
        show(session, prefecture, "联动晚会", standing="own", minutes=60)
        show(session, county, "联动晚会", standing="linked", minutes=0)
        session.flush()
        handed_in = freeze(session, ADMIN, plan, county, 2020, NOW, now=NOW)
        middle = freeze(session, ADMIN, plan, prefecture, 2020, NOW, now=NOW)
        assert [row["id"] for row in middle.numbers["built_on"]] == [handed_in.id]
        assert middle.numbers["built_on"][0]["differs"] == []
        # Afterwards the county finds a mistake: what it handed in is named, and where it is off.
        set_entry(
            session, ADMIN, plan, county, "cx.x.users", 350, year=2020, evidence=NOTE, now=NOW
        )
        top = freeze(session, ADMIN, plan, province, 2020, LATER, now=LATER)
        [below] = built_on(session, report_in(top))
        assert (below["id"], below["sha256"]) == (middle.id, middle.sha256)
        assert below["differs"] == [
            {
                "centre_name": "景洪市文化馆", "what": "actual", "code": "cx.x.users",
                "name": "年新增注册用户数", "theirs": "344人", "ours": "350人",
            }
        ]  # fmt: skip
        whole = report_in(top).total
        own = [line for line in whole.broadcasts if line.standing == "own"]
        assert len(own) == 6
        assert sum(line.finished_ticks for line in own) == (4037 * 540_000) + 60 * 5_400_000
        assert isinstance(session.get(Return, top.id), Return)
