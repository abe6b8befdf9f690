"""Who may see and change what on the pages of 指标, and what refusals look like there."""

from __future__ import annotations

import datetime as dt

import pytest
from httpx import AsyncClient, Response
from sqlalchemy import select

from catalog.models import Entry, Plan, Return
from infra.database import Database
from tests.support.figures_year import Year, fill

OURS = {"sec-fetch-site": "same-origin"}
FINAL = "cx.bxdwt.final"


@pytest.fixture
def year(database: Database) -> Year:
    with database.transaction() as session:
        return fill(session, dt.datetime.now(dt.UTC))


class Person:
    """One account's browser."""

    def __init__(self, web: AsyncClient, secret: str) -> None:
        self._web = web
        self._cookie = {"cookie": f"xitai_session={secret}"}

    async def get(self, path: str) -> Response:
        return await self._web.get(path, headers=self._cookie)

    async def post(self, path: str, *, ours: bool = True, **form: str) -> Response:
        headers = self._cookie | (OURS if ours else {"sec-fetch-site": "cross-site"})
        return await self._web.post(path, data=form, headers=headers)


def pages(year: Year) -> list[str]:
    mine = f"/desk/targets/{year.plan_id}/{year.counties[1]}"
    return [
        "/desk/targets", f"/desk/targets/trend?plan={year.plan_id}", mine, f"{mine}/cx.x.users",
        "/desk/owed", "/desk/minutes", "/desk/returns", "/desk/returns/new", "/desk/plans",
        f"/desk/plans/{year.plan_id}",
    ]  # fmt: skip


async def test_who_sees_the_figures(web: AsyncClient, year: Year) -> None:
    for role, status in (("staff", 200), ("supervisor", 200), ("clerk", 200), ("studio", 403)):
        person = Person(web, year.sessions[role])
        for path in pages(year):
            assert (await person.get(path)).status_code == status, (role, path)
    for path in pages(year):
        assert (await web.get(path)).status_code == 303
    # A studio sees no figures on its first page either.
    assert "今年还欠" in (await Person(web, year.sessions["staff"]).get("/desk")).text
    assert "今年还欠" not in (await Person(web, year.sessions["studio"]).get("/desk")).text


async def test_a_county_sees_its_own_part_alone(web: AsyncClient, year: Year) -> None:
    staff = Person(web, year.sessions["staff"])
    table = (await staff.get("/desk/targets")).text
    assert "双柏县文化馆" in table
    assert "牟定县文化馆" not in table
    for other in (year.counties[2], year.prefecture_id, "nothing"):
        path = f"/desk/targets/{year.plan_id}/{other}"
        assert (await staff.get(path)).status_code == 404
        assert (await staff.get(f"{path}/cx.x.users")).status_code == 404
        answer = await staff.post(f"{path}/cx.x.users/entries", value="1", note="x")
        assert answer.status_code == 404
        assert (await staff.get(f"/desk/minutes?centre={other}")).status_code == 404
        asked = f"/desk/returns/new?plan={year.plan_id}&centre={other}"
        assert (await staff.get(asked)).status_code == 404
        frozen = await staff.post(
            "/desk/returns/freeze", plan=year.plan_id, centre=other, year="", cut_off="", why=""
        )
        assert frozen.status_code == 404
    # The plan comes from above: read, never written.
    plan = f"/desk/plans/{year.plan_id}"
    assert (await staff.get(plan)).status_code == 200
    for page in ("edit", "units", "targets/new", f"targets/{FINAL}"):
        assert (await staff.get(f"{plan}/{page}")).status_code == 403, page
    for act in ("edit", "units", f"targets/{FINAL}", "do/withdraw", "do/assign"):
        answer = await staff.post(f"{plan}/{act}", title="我的", who="州文化馆")
        assert answer.status_code in (403, 422), act


async def test_forms_of_other_sites_and_roles_change_nothing(
    web: AsyncClient, year: Year, database: Database
) -> None:
    def kept() -> tuple[int, int, int]:
        with database.transaction() as session:
            versions = sum(session.scalars(select(Plan.version)))
            return (
                versions,
                len(session.scalars(select(Entry.id)).all()),
                len(session.scalars(select(Return.id)).all()),
            )

    before = kept()
    number = f"/desk/targets/{year.plan_id}/{year.counties[1]}/cx.x.users/entries"
    admin = Person(web, year.sessions["admin"])
    posts = [
        number, "/desk/returns/freeze", "/desk/returns/export", "/desk/returns/import",
        "/desk/plans/load", "/desk/plans/new", f"/desk/plans/{year.plan_id}/edit",
        f"/desk/plans/{year.plan_id}/units", f"/desk/plans/{year.plan_id}/do/withdraw",
        f"/desk/plans/{year.plan_id}/targets/{FINAL}",
    ]  # fmt: skip
    for path in posts:
        assert (await admin.post(path, ours=False, value="1")).status_code == 403, path
    supervisor = Person(web, year.sessions["supervisor"])
    assert (await supervisor.post(number, value="1", note="x")).status_code == 403
    studio = Person(web, year.sessions["studio"])
    for path in posts:
        assert (await studio.post(path, value="1")).status_code == 403, path
    assert kept() == before


async def test_refusals_are_sentences_and_lose_nothing(web: AsyncClient, year: Year) -> None:
    staff = Person(web, year.sessions["staff"])
    number = f"/desk/targets/{year.plan_id}/{year.counties[1]}/cx.x.users/entries"
    for value, words in (("", "数值"), ("abc", "数值"), ("-1", "不能小于 0"), ("9" * 30, "")):
        answer = await staff.post(number, value=value, note="留着的说明")
        assert answer.status_code == 422, value
        assert "留着的说明" in answer.text
        assert words in answer.text
    assert (await staff.post(number, value="1")).status_code == 422  # no evidence
    clerk = Person(web, year.sessions["clerk"])
    tomorrow = (dt.datetime.now(dt.UTC) + dt.timedelta(days=3)).date().isoformat()
    answer = await clerk.post(
        "/desk/returns/freeze", plan=year.plan_id, centre=year.prefecture_id, year="", why="",
        cut_off=tomorrow,
    )  # fmt: skip
    assert answer.status_code == 422
    assert "field-error" in answer.text
    supervisor = Person(web, year.sessions["supervisor"])
    again = await supervisor.post("/desk/plans/load", template="chuxiong-2020", owner="")
    assert again.status_code == 422
    assert "field-error" in again.text
    bad = await supervisor.post("/desk/plans/new", code="X Y", title="", year="20", owner="")
    assert bad.status_code == 422
    for nonsense in ("year=abc", "by=2026-13-40", "show=<script>", "plan="):
        assert (await staff.get(f"/desk/targets?{nonsense}")).status_code == 200


async def test_nothing_of_people_reaches_the_page_unescaped(web: AsyncClient, year: Year) -> None:
    staff = Person(web, year.sessions["staff"])
    number = f"/desk/targets/{year.plan_id}/{year.counties[1]}/cx.x.users"
    evil = "</script><img src=x onerror=alert(1)>"
    answer = await staff.post(f"{number}/entries", value="7", note=evil, link="javascript:alert(1)")
    text = (await staff.get(number)).text if answer.status_code == 303 else answer.text
    assert evil not in text
    assert 'href="javascript:' not in text
