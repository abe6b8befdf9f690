"""Stills over the API and the desk's page: who may, what is served, and the round from the
proposals to the pictures."""

from __future__ import annotations

import datetime as dt

import pytest
from httpx import AsyncClient
from sqlalchemy import select

from api.app import Application
from api.routes import PREFIX
from catalog.models import AirItem, Broadcast, Still
from infra.database import Database
from infra.settings import Settings
from infra.storage import open_storage
from tests.integration.api.conftest import Cast
from tests.support.scenes import Scene
from vod.stills.frames import jpeg, small_jpeg

TICKS = 90_000


@pytest.fixture
def show(database: Database, settings: Settings, cast: Cast) -> str:
    storage = open_storage(settings)
    token = "s" * 22
    with database.transaction() as session:
        session.add(
            Broadcast(
                id="show", centre_id=cast.county, title="村晚", media_token=token, state="ended",
                started_at=dt.datetime(2026, 2, 3, 12, tzinfo=dt.UTC),
            )
        )  # fmt: skip
        session.add(
            AirItem(
                token=token, msn=0, source="feed", take_start_ms=0, start_ticks=0,
                duration_ticks=600 * TICKS, pdt_us=1_770_120_000_000_000,
            )
        )  # fmt: skip
        for number in range(3):
            rgb = Scene(number + 1)(0)
            base = f"works/{token}/stills/{number}"
            storage.put_bytes(f"{base}.jpg", jpeg(rgb))
            storage.put_bytes(f"{base}-small.jpg", small_jpeg(rgb, 320))
            session.add(
                Still(
                    token=token, at_ticks=(number + 1) * 60 * TICKS, phash=f"{number:016x}",
                    width=640, height=360, storage_key=f"{base}.jpg",
                    small_key=f"{base}-small.jpg",
                )
            )  # fmt: skip
    return f"{PREFIX}/programmes/show/stills"


async def test_from_the_proposals_to_the_pictures(
    web: AsyncClient, cast: Cast, show: str, application: Application
) -> None:
    staff = cast.bearer("staff")
    listed = (await web.get(show, headers=staff)).json()
    assert (listed["waiting"], listed["job"]) == (3, None)
    first = listed["items"][0]
    assert (first["seconds"], first["at"]) == (60.0, "2026-02-03T20:01:00+08:00")
    keys = [item["key"] for item in listed["items"]]
    for url, size in ((first["url"], 640), (first["small_url"], 320)):
        served = await web.get(url, headers=staff)
        assert served.headers["content-type"] == "image/jpeg"
        assert served.headers["cache-control"].startswith("private, max-age=")
        assert "sandbox" in served.headers["content-security-policy"]
        assert len(served.content) > size
    made = await web.post(f"{show}/confirm", json={"keys": keys[:2]}, headers=staff)
    assert made.status_code == 200
    ids = made.json()["resource_ids"]
    record = (await web.get(f"{PREFIX}/resources/{ids[0]}", headers=staff)).json()
    assert (record["kind"], record["fields"]["confirmed"]) == ("image", True)
    assert record["fields"]["source"].endswith("/b/show")
    done = await web.post(f"{show}/dismiss", json={"keys": keys}, headers=staff)
    assert done.json() == {"changed": 1}
    listed = (await web.get(show, headers=staff)).json()
    assert [item["state"] for item in listed["items"]] == ["confirmed", "confirmed", "dismissed"]
    assert listed["waiting"] == 0
    back = await web.post(f"{show}/undo", json={"keys": keys[:1]}, headers=staff)
    assert back.json() == {"changed": 1}
    # The search for more: one job, however often it is asked for.
    jobs = [await web.post(show, headers=staff, json={"count": 6}) for _ in range(2)]
    assert {job.status_code for job in jobs} == {202}
    assert len({job.json()["id"] for job in jobs}) == 1
    assert (await web.get(show, headers=staff)).json()["job"]["kind"] == "stills"


async def test_what_is_out_of_reach_is_not_there(web: AsyncClient, cast: Cast, show: str) -> None:
    body = {"keys": ["s1"]}
    for method, path in (
        ("GET", ""), ("POST", ""), ("POST", "/confirm"), ("POST", "/dismiss"), ("POST", "/undo"),
        ("GET", "/s1/full"), ("GET", "/s1/small.jpg"),
    ):  # fmt: skip
        sent = body if path in ("/confirm", "/dismiss", "/undo") else None
        answer = await web.request(method, show + path, headers=cast.stranger, json=sent)
        assert (answer.status_code, answer.json()["code"]) == (404, "programme_unknown"), path
    for key in ("s999999", "p999", "x1", "s1'--", "s" + "9" * 30):
        answer = await web.get(f"{show}/{key}/full", headers=cast.bearer("staff"))
        assert (answer.status_code, answer.json()["code"]) == (404, "still_unknown"), key
    answer = await web.get(f"{show}/s1/..%2f..%2fsecret", headers=cast.bearer("staff"))
    assert answer.status_code in (404, 422)


async def test_only_the_centres_own_people_say_what_counts(
    web: AsyncClient, cast: Cast, show: str
) -> None:
    for role in ("studio", "reviewer_1", "supervisor", "clerk"):
        answer = await web.post(f"{show}/confirm", json={"keys": ["s1"]}, headers=cast.bearer(role))
        assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed")
    assert (await web.get(show, headers=cast.bearer("supervisor"))).status_code == 200


async def test_the_pages_ask_who_it_is(web: AsyncClient, cast: Cast, show: str) -> None:
    page = "/desk/programmes/show/stills"
    assert (await web.get(page)).headers["location"].startswith("/desk/sign-in")
    web.cookies.set("xitai_session", cast.admin_session)
    assert (await web.get(page)).status_code == 200
    assert (await web.get("/desk/programmes/nothing/stills")).status_code == 404
    assert (await web.get("/desk/exhibitions/nothing")).status_code == 404
    foreign = await web.post(page, data={"key": "s1", "do": "confirm"})
    assert foreign.status_code == 403, "a form of another site"
    ours = {"sec-fetch-site": "same-origin"}
    answer = await web.post(page, data={"do": "confirm"}, headers=ours)
    assert answer.headers["location"].endswith("?done=nothing&n=0")
    answer = await web.post(page, data={"key": ["s999"], "do": "confirm"}, headers=ours)
    assert answer.status_code == 404
    told = await web.get(f"{page}?done=<script>&n=<script>")
    assert "<script>&" not in told.text


async def test_hundreds_are_answered_in_one_press(
    web: AsyncClient, cast: Cast, show: str, database: Database
) -> None:
    with database.transaction() as session:
        for number in range(700):
            session.add(
                Still(
                    token="s" * 22, at_ticks=number * 7, phash=f"{number:016x}", width=640,
                    height=360, storage_key="none.jpg", small_key="none-small.jpg",
                )
            )  # fmt: skip
    with database.transaction() as session:
        keys = [f"s{number}" for number in session.scalars(select(Still.id))]
    assert len(keys) == 703
    web.cookies.set("xitai_session", cast.admin_session)
    page, ours = "/desk/programmes/show/stills", {"sec-fetch-site": "same-origin"}
    for sent in ({"do": "dismiss", "key": keys, "shown": keys}, {"do": "undo", "key": keys},
                 {"do": "rest", "shown": keys}):  # fmt: skip
        answer = await web.post(page, data=sent, headers=ours)
        assert answer.status_code == 303, answer.text
        assert answer.headers["location"].endswith("&n=703")
    # One that is not there: none of them is answered.
    answer = await web.post(page, data={"do": "undo", "key": [*keys, "s999999"]}, headers=ours)
    assert answer.status_code == 404
    with database.transaction() as session:
        assert set(session.scalars(select(Still.state))) == {"dismissed"}
