"""Figures of other platforms, entered in the desk: kept with their evidence, apart from ours."""

from __future__ import annotations

import datetime as dt

import cv2
import numpy as np
import pytest
from httpx import AsyncClient
from sqlalchemy import select

from catalog.accounts import create_user, open_session
from catalog.models import Centre, Work
from catalog.outside import outside_clicks, readings
from infra.database import Database
from tests.integration.api.conftest import PASSWORD, Cast

OURS = {"sec-fetch-site": "same-origin"}


async def make(web: AsyncClient, cast: Cast) -> str:
    made = await web.post(
        "/api/v1/broadcasts", json={"title": "晚会"}, headers=cast.bearer("staff")
    )
    return str(made.json()["id"])


def picture() -> bytes:
    done, data = cv2.imencode(".png", np.full((90, 160, 3), 200, np.uint8))
    assert done
    return data.tobytes()


async def test_a_reading_is_kept_with_its_evidence(
    web: AsyncClient, cast: Cast, database: Database
) -> None:
    item = await make(web, cast)
    web.cookies.set("xitai_session", cast.admin_session)
    path = f"/desk/items/{item}/outside"
    assert "还没有登记过" in (await web.get(path)).text
    form = {"platform": "抖音", "clicks": "12,840", "seen_at": "2026-03-01T09:30"}
    bare = await web.post(path, data=form, headers=OURS)
    assert bare.status_code == 422
    assert "请附上截图或链接" in bare.text
    assert 'value="12,840"' in bare.text, "what was typed is kept"
    shot = {"screenshot": ("x.png", picture(), "image/png")}
    done = await web.post(path, data=form, files=shot, headers=OURS)
    assert done.status_code == 303
    later = form | {"clicks": "20000", "seen_at": "2026-03-02T09:30", "link": "https://example.com"}
    assert (await web.post(path, data=later, headers=OURS)).status_code == 303
    with database.transaction() as session:
        assert [row.clicks for row in readings(session, item)] == [20000, 12840]
        assert outside_clicks(session, [item]) == {item: 20000}, "a counter: the latest counts"
        assert readings(session, item)[1].seen_at.hour == 1, "wall time of the centre"
        number = readings(session, item)[1].id
    seen = await web.get(f"/api/v1/items/{item}/outside/{number}/screenshot")
    assert seen.headers["content-type"] == "image/png"


@pytest.mark.parametrize(("kind", "back"), [("upload", "/works/w1"), ("clip", "/clips/w1")])
async def test_the_page_of_a_work_leads_back_to_it(
    web: AsyncClient, cast: Cast, database: Database, kind: str, back: str
) -> None:
    with database.transaction() as session:
        session.add(
            Work(
                id="w1",
                kind=kind,
                state="ready",
                title="老录像",
                media_token="t" * 22,
                centre_id=cast.county,
                edit_list=[],
                making={},
            )
        )
    web.cookies.set("xitai_session", cast.admin_session)
    page = (await web.get("/desk/items/w1/outside")).text
    assert f'href="{back}"' in page
    assert 'href="/desk/items/w1/outside"' in (await web.get(back)).text


async def test_bad_readings_say_which_field(web: AsyncClient, cast: Cast) -> None:
    item = await make(web, cast)
    web.cookies.set("xitai_session", cast.admin_session)
    good = {
        "platform": "抖音",
        "clicks": "1",
        "seen_at": "2026-03-01T09:30",
        "link": "https://x.cn",
    }
    for field, value, words in (
        ("platform", " ", "请填写平台名称"),
        ("clicks", "-3", "次数要是 0 或更大的整数"),
        ("clicks", "很多", "次数要是 0 或更大的整数"),
        ("seen_at", "昨天", "看不懂这个时间"),
        ("seen_at", "2126-03-01T09:30", "读数的时间还没到"),
        ("link", "javascript:alert(1)", "链接要以"),
    ):
        answer = await web.post(
            f"/desk/items/{item}/outside", data=good | {field: value}, headers=OURS
        )
        assert answer.status_code == 422
        assert words in answer.text
        assert f'id="e-{field}"' in answer.text


async def test_it_is_nobody_elses(web: AsyncClient, cast: Cast, database: Database) -> None:
    made = await web.post("/api/v1/broadcasts", json={"title": "邻县的"}, headers=cast.stranger)
    with database.transaction() as session:
        county = session.scalars(select(Centre).where(Centre.name == "勐海县文化馆")).one()
        staff = create_user(
            session, login="li", name="小李", role="staff", centre=county, password=PASSWORD
        )
        web.cookies.set("xitai_session", open_session(session, staff, dt.datetime.now(dt.UTC)))
    good = {
        "platform": "抖音",
        "clicks": "1",
        "seen_at": "2026-03-01T09:30",
        "link": "https://x.cn",
    }
    for item in (made.json()["id"], "nothing"):
        path = f"/desk/items/{item}/outside"
        assert (await web.get(path)).status_code == 404
        assert (await web.post(path, data=good, headers=OURS)).status_code == 404
