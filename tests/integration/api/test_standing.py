"""How a broadcast counts is for staff to say: over the API, and in the desk."""

from __future__ import annotations

import datetime as dt

import pytest
from httpx import AsyncClient
from sqlalchemy.orm import Session

from catalog.ledger import totals, year_rows
from catalog.models import Broadcast
from infra.database import Database
from tests.integration.api.conftest import Cast

OURS = {"sec-fetch-site": "same-origin"}
AIRED = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


async def make(web: AsyncClient, headers: dict[str, str], title: str) -> str:
    made = await web.post("/api/v1/broadcasts", json={"title": title}, headers=headers)
    assert made.status_code == 201
    return str(made.json()["id"])


def shows_of(session: Session, ids: list[str]) -> int:
    for key in ids:
        broadcast = session.get_one(Broadcast, key)
        broadcast.state, broadcast.started_at = "ended", AIRED
    session.flush()
    return totals(year_rows(session, 2026)).live


@pytest.mark.parametrize("standing", ["linked", "reshown", "test"])
async def test_only_ones_own_is_a_show(
    web: AsyncClient, cast: Cast, database: Database, standing: str
) -> None:
    origin = await make(web, cast.stranger, "邻县的晚会")
    ours = await make(web, cast.bearer("staff"), "我们的这一场")
    with database.transaction() as session:
        assert shows_of(session, [origin, ours]) == 2
    body = {"standing": standing, "origin": f"http://stage.test/b/{origin}/"}
    path = f"/api/v1/broadcasts/{ours}/standing"
    told = await web.put(path, json=body, headers=cast.bearer("staff"))
    assert told.status_code == 200
    assert told.json()["standing"] == standing
    assert told.json()["origin_id"] == (None if standing == "test" else origin)
    with database.transaction() as session:
        assert shows_of(session, [origin, ours]) == 1
    back = await web.put(path, json={"standing": "own"}, headers=cast.bearer("staff"))
    assert back.json()["origin_id"] is None


async def test_a_relay_says_what_it_relays(
    web: AsyncClient, cast: Cast, database: Database
) -> None:
    first = await make(web, cast.stranger, "邻县的晚会")
    relay = await make(web, cast.bearer("staff"), "转播")
    again = await make(web, cast.bearer("staff"), "转播的转播")
    headers = cast.bearer("staff")
    for origin, code in (
        ("", "standing_origin_needed"),
        ("nothing", "standing_origin_unknown"),
        (relay, "standing_origin_unknown"),
    ):
        answer = await web.put(
            f"/api/v1/broadcasts/{relay}/standing",
            json={"standing": "linked", "origin": origin},
            headers=headers,
        )
        assert (answer.status_code, answer.json()["code"]) == (422, code)
    for key, origin in ((relay, first), (again, relay)):
        await web.put(
            f"/api/v1/broadcasts/{key}/standing",
            json={"standing": "linked", "origin": origin},
            headers=headers,
        )
    with database.transaction() as session:
        assert session.get_one(Broadcast, again).origin_id == first, "not a relay of a relay"


async def test_the_desk_says_it_too(web: AsyncClient, cast: Cast, database: Database) -> None:
    origin = await make(web, cast.stranger, "邻县的晚会")
    ours = await make(web, cast.bearer("staff"), "我们的这一场")
    web.cookies.set("xitai_session", cast.admin_session)
    path = f"/desk/b/{ours}/standing"
    refused = await web.post(path, data={"standing": "linked"}, headers=OURS)
    assert refused.status_code == 422
    assert "请填所转播" in refused.text
    done = await web.post(path, data={"standing": "linked", "origin": origin}, headers=OURS)
    assert done.status_code == 303
    page = await web.get(f"/desk/b/{ours}")
    assert "怎么计数：联动转播" in page.text
    assert "邻县的晚会" in page.text


async def test_a_show_that_fell_short_is_asked_about_once(
    web: AsyncClient, cast: Cast, database: Database
) -> None:
    headers = cast.bearer("staff")
    plan = {
        "title": "停电的晚会",
        "planned_at": AIRED.isoformat(),
        "planned_end_at": (AIRED + dt.timedelta(hours=2)).isoformat(),
    }
    made = await web.post("/api/v1/broadcasts", json=plan, headers=headers)
    ours = str(made.json()["id"])
    web.cookies.set("xitai_session", cast.admin_session)
    path = f"/desk/b/{ours}"
    assert "不到计划" not in (await web.get(path)).text, "not before it is over"
    with database.transaction() as session:
        shows_of(session, [ours])
        session.get_one(Broadcast, ours).finalized_at = AIRED
    assert "播出 0 分钟，不到计划 120 分钟的一半" in (await web.get(path)).text
    said = await web.put(f"/api/v1/broadcasts/{ours}/standing", json={"standing": "own"},
                         headers=headers)  # fmt: skip
    assert said.status_code == 200
    assert "不到计划" not in (await web.get(path)).text


@pytest.mark.parametrize(
    ("starts", "ends", "words"),
    [
        ("", "2026-03-01T21:00", "也请填上开演时间"),
        ("2026-03-01T20:00", "2026-03-01T20:00", "结束时间要晚于开演时间"),
        ("2026-03-01T20:00", "2027-03-01T21:00", "一场最长 7 天"),
    ],
)
async def test_an_end_that_cannot_be_is_said_at_its_field(
    web: AsyncClient, cast: Cast, starts: str, ends: str, words: str
) -> None:
    web.cookies.set("xitai_session", cast.admin_session)
    form = {"title": "晚会", "starts_at": starts, "ends_at": ends}
    answer = await web.post("/desk/new", data=form, headers=OURS)
    assert answer.status_code == 422
    assert words in answer.text
    assert f'value="{ends}"' in answer.text, "what was typed is kept"
