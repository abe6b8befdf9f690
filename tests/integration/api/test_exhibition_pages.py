"""An exhibition's pictures sent to the reviewers together, and approved by them together: the same
rights and the same records as one by one."""

from __future__ import annotations

import re

import pytest
from httpx import AsyncClient, Response
from sqlalchemy import select

from catalog.models import Resource, Review, User
from catalog.records import service
from catalog.records.fields import content_hash
from infra.database import Database
from infra.settings import Settings
from tests.support.library_stage import Stage, seed

OURS = {"sec-fetch-site": "same-origin"}
COUNT = 5


@pytest.fixture
def stage(database: Database, settings: Settings) -> Stage:
    """A wall with five drafts on it, and a picture that hangs elsewhere."""
    made = seed(database, settings, empty=True)
    staff = made.actors["staff"]
    with database.transaction() as session:
        centre = session.get_one(User, staff.user_id).centre

        def make(name: str, kind: str, **fields: object) -> None:
            given = {"title": f"《{name}》", "event_date": "2026-02-03", **fields}
            row = service.create(session, staff, kind=kind, centre=centre, fields=given)
            made.records[name] = row.id

        make("wall", "exhibition")
        make("elsewhere", "image")
        for number in range(COUNT):
            make(f"p{number}", "image", parent_id=made.records["wall"])
    return made


class Visitor:
    """One browser, signed in as one of the stage."""

    def __init__(self, web: AsyncClient, stage: Stage) -> None:
        self.web = web
        self.place = f"/desk/exhibitions/{stage.records['wall']}"
        self.stage = stage

    def become(self, role: str) -> Visitor:
        self.web.cookies.clear()
        self.web.cookies.set("xitai_session", self.stage.people[role])
        return self

    async def boxes(self) -> list[str]:
        """What the ticked boxes of the page say."""
        page = (await self.web.get(self.place)).text
        return re.findall(r'name="seen" value="([^"]+)" form="approve" checked', page)

    async def send(self, deed: str, **data: list[str]) -> Response:
        return await self.web.post(f"{self.place}/{deed}", data=data, headers=OURS)


@pytest.fixture
def visitor(web: AsyncClient, stage: Stage) -> Visitor:
    return Visitor(web, stage)


def states(database: Database, stage: Stage) -> list[str]:
    with database.transaction() as session:
        ids = [stage.records[f"p{number}"] for number in range(COUNT)]
        return [session.get_one(Resource, key).state for key in ids]


async def submitted(visitor: Visitor) -> None:
    ids = [visitor.stage.records[name] for name in visitor.stage.records if name != "wall"]
    answer = await visitor.become("staff").send("submit", id=ids)
    assert answer.headers["location"].endswith("?done=submitted&n=5")


async def test_from_drafts_to_the_public(
    visitor: Visitor, stage: Stage, database: Database
) -> None:
    await submitted(visitor)
    assert states(database, stage) == ["review_1"] * COUNT
    for step in (1, 2, 3):
        queue = await visitor.become(f"reviewer_{step}").web.get("/desk/review")
        assert queue.text.count(f'<a href="{visitor.place}">这个展览的一起审') == COUNT
        boxes = await visitor.boxes()
        assert len(boxes) == COUNT
        answer = await visitor.send("approve", seen=boxes)
        assert answer.headers["location"].endswith(f"?done=approved&n={COUNT}")
        assert "5 幅审核通过了" in (await visitor.web.get(answer.headers["location"])).text
        assert await visitor.boxes() == []
    assert states(database, stage) == ["published"] * COUNT
    with database.transaction() as session:
        # A record for each of them and each step, bound to what was seen; no other picture's.
        found = session.scalars(select(Review)).all()
        assert len(found) == 3 * COUNT
        for review in found:
            resource = session.get_one(Resource, review.resource_id)
            assert review.seen_hash == content_hash(resource)
            assert (review.decision, resource.parent_id) == ("approve", stage.records["wall"])
        assert session.get_one(Resource, stage.records["elsewhere"]).state == "draft"


async def test_a_ticked_part(visitor: Visitor, stage: Stage, database: Database) -> None:
    await submitted(visitor)
    boxes = await visitor.become("reviewer_1").boxes()
    await visitor.send("approve", seen=boxes[:2])
    assert sorted(states(database, stage)) == ["review_1"] * 3 + ["review_2"] * 2
    nothing = await visitor.send("approve")
    assert nothing.headers["location"].endswith("?done=none_picked&n=0")
    assert len(await visitor.boxes()) == 3


async def test_what_was_changed_meanwhile_is_left_out_and_named(
    visitor: Visitor, stage: Stage, database: Database
) -> None:
    await submitted(visitor)
    boxes = await visitor.become("reviewer_1").boxes()
    with database.transaction() as session:
        staff = stage.actors["staff"]
        service.change(session, staff, stage.records["p1"], {"title": "改过的名字"})
        # And one that hangs elsewhere cannot be slipped in.
        strange = session.get_one(Resource, stage.records["elsewhere"])
        boxes.append(f"{strange.id}:1:{content_hash(strange)}")
    answer = await visitor.send("approve", seen=boxes)
    assert answer.status_code == 409
    assert "4 幅审核通过了，2 幅没有。" in answer.text
    assert "“改过的名字”：" in answer.text
    assert states(database, stage) == ["review_2", "draft", *["review_2"] * 3]
    with database.transaction() as session:
        assert len(session.scalars(select(Review)).all()) == 4
    # The same once more changes nothing.
    assert (await visitor.send("approve", seen=boxes)).status_code == 409
    assert states(database, stage) == ["review_2", "draft", *["review_2"] * 3]


async def test_only_who_may_one_by_one(visitor: Visitor, stage: Stage, database: Database) -> None:
    await submitted(visitor)
    boxes = await visitor.become("reviewer_1").boxes()
    for role in ("staff", "supervisor"):
        assert await visitor.become(role).boxes() == []
        answer = await visitor.send("approve", seen=boxes)
        assert answer.status_code == 403, role
    # A reviewer, but not of this step.
    assert await visitor.become("reviewer_2").boxes() == []
    answer = await visitor.send("approve", seen=boxes)
    assert answer.status_code == 409
    assert "0 幅审核通过了，5 幅没有。" in answer.text
    # Not from another site's page, and only the centre's own send drafts.
    visitor.become("reviewer_1")
    foreign = await visitor.web.post(
        f"{visitor.place}/approve", data={"seen": boxes}, headers={"sec-fetch-site": "cross-site"}
    )
    assert foreign.status_code == 403
    assert (await visitor.send("submit", id=boxes)).status_code == 403
    assert states(database, stage) == ["review_1"] * COUNT
