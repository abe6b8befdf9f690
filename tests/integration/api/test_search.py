"""Search over the API: the public finds what is published, people what is theirs to see."""

from __future__ import annotations

import datetime as dt

import pytest
from httpx import AsyncClient

from api.routes import PREFIX
from catalog.models import Resource
from catalog.search import index
from infra.database import Database
from tests.integration.api.conftest import Cast


@pytest.fixture
def records(database: Database, cast: Cast) -> None:
    rows = (
        ("shown", cast.county, "published", "勐海泼水节晚会", ""),
        ("draft", cast.county, "draft", "勐海泼水节草稿", "甲合同"),
        ("far", cast.other, "published", "勐腊泼水节晚会", ""),
    )
    with database.transaction() as session:
        for key, centre, state, title, contract in rows:
            session.add(
                Resource(
                    id=key, centre_id=centre, kind="finished", state=state, title=title,
                    contract=contract, genre_id="folk", event_date=dt.date(2020, 4, 13),
                )
            )  # fmt: skip
        index.refresh(session, [key for key, *_ in rows])


@pytest.mark.usefixtures("records")
async def test_everybody_finds_what_they_may_see(web: AsyncClient, cast: Cast) -> None:
    async def ids(headers: dict[str, str] | None = None, **wish: str) -> set[str]:
        answer = await web.get(
            f"{PREFIX}/search", params={"q": "潑水節", **wish}, headers=headers or {}
        )
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert found["total"] == len(found["items"])
        assert found["total_exact"] is True
        return {item["id"] for item in found["items"]}

    assert await ids() == {"shown", "far"}
    assert await ids(state="draft") == set()
    assert await ids(cast.bearer("staff")) == {"shown", "draft"}
    assert await ids(cast.bearer("staff"), state="draft") == {"draft"}
    assert await ids(cast.bearer("admin")) == {"shown", "draft", "far"}
    assert await ids(cast.stranger) == {"far"}
    # A viewer's token is the public's; a studio's without a contract finds nothing.
    assert await ids(cast.bearer("viewer")) == {"shown", "far"}
    assert await ids(cast.bearer("studio")) == set()
    wrong = await web.get(f"{PREFIX}/search", headers={"authorization": "Bearer nonsense"})
    assert wrong.status_code == 401
    web.cookies.set("xitai_session", "long gone")
    assert await ids() == {"shown", "far"}
    web.cookies.set("xitai_session", cast.admin_session)
    assert await ids() == {"shown", "draft", "far"}


@pytest.mark.usefixtures("records")
async def test_facets_have_names(web: AsyncClient, cast: Cast) -> None:
    facets = (await web.get(f"{PREFIX}/search", params={"q": "psj"})).json()["facets"]
    assert {value["name"] for value in facets["centre"]} == {"勐海县文化馆", "勐腊县文化馆"}
    assert facets["genre"] == [{"value": "folk", "name": "民俗", "count": 2}]
    assert facets["year"] == [{"value": 2020, "name": "2020", "count": 2}]


@pytest.mark.usefixtures("records")
async def test_suggestions_tell_nobody_of_drafts(web: AsyncClient, cast: Cast) -> None:
    url = f"{PREFIX}/search/suggest"
    assert (await web.get(url, params={"q": "草稿"})).json() == {"items": []}
    mine = await web.get(url, params={"q": "草稿"}, headers=cast.bearer("staff"))
    assert mine.json() == {"items": ["勐海泼水节草稿"]}


async def test_too_much_is_refused(web: AsyncClient) -> None:
    for wish in ({"limit": "201"}, {"offset": "10001"}, {"q": "文" * 201}, {"order": "worst"}):
        answer = await web.get(f"{PREFIX}/search", params=wish)
        assert answer.status_code == 422, wish
        assert answer.json()["code"] == "bad_input"
