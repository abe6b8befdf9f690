"""The pages on the real backend: the first account, signing in, the brake, and the desk."""

from __future__ import annotations

import datetime as dt
import re

import pytest
import redis
from httpx import AsyncClient
from sqlalchemy import update

from api.app import Application
from api.jobs import HOUSEKEEPING
from catalog.accounts import ensure_setup_link
from catalog.models import Broadcast
from infra.database import Database
from infra.jobs import enqueue
from infra.tables import Job
from tests.integration.api.conftest import PASSWORD, Cast

OURS = {"sec-fetch-site": "same-origin"}


async def sign_in(web: AsyncClient, login: str, password: str) -> int:
    answer = await web.post(
        "/desk/sign-in", data={"login": login, "password": password}, headers=OURS
    )
    return answer.status_code


async def test_the_first_account_and_the_first_broadcast(
    web: AsyncClient, database: Database
) -> None:
    with database.transaction() as session:
        link = ensure_setup_link(session, "http://stage.test", dt.datetime.now(dt.UTC))
    assert link is not None
    assert (await web.get(link)).status_code == 200
    form = {"login": "li.na", "password": "short", "name": "李娜", "centre": "勐海县文化馆"}
    assert (await web.post(link, data=form, headers=OURS)).status_code == 422
    plain = form | {"password": "aaaaaaaaaaaa"}
    refused = await web.post(link, data=plain, headers=OURS)
    assert "密码太简单" in refused.text
    made = await web.post(link, data=form | {"password": PASSWORD}, headers=OURS)
    assert made.status_code == 303
    assert (await web.get(link)).status_code == 410
    assert (await web.get("/desk")).status_code == 200
    created = await web.post(
        "/desk/new", data={"title": "元宵晚会", "starts_at": "2026-02-02T19:30"}, headers=OURS
    )
    assert created.status_code == 201, created.text
    address = re.search(r"rtmp://[^\s\"<]+", created.text)
    # Encoders are told the host the staff member came to, not an address of this machine only.
    assert address is not None
    desk = await web.get("/desk")
    page = re.search(r"/desk/b/([a-z0-9]+)", desk.text)
    assert page is not None
    broadcast = page[1]
    assert (await web.get(f"/desk/b/{broadcast}")).status_code == 200
    assert (await web.get(f"/desk/b/{broadcast}/health")).status_code == 200
    clip = await web.post(
        f"/desk/b/{broadcast}/clips",
        data={"title": "开场", "start": "0:00", "stop": "0:10"},
        headers=OURS,
    )
    assert clip.status_code == 422
    assert (await web.post(f"/desk/b/{broadcast}/key", headers=OURS)).status_code == 200
    assert (await web.post(f"/desk/b/{broadcast}/end", headers=OURS)).status_code == 303
    assert (await web.get("/desk/jobs")).status_code == 200
    assert (await web.post("/desk/sign-out", headers=OURS)).status_code == 303
    assert (await web.get("/desk")).status_code == 303


async def test_signing_in_and_the_brake_on_guessing(
    web: AsyncClient, cast: Cast, redis_client: redis.Redis
) -> None:
    assert await sign_in(web, "admin", PASSWORD) == 303
    for _ in range(5):
        assert await sign_in(web, "admin", "wrong") == 401
    # From here on not even the right password opens, from this address, for a while …
    assert await sign_in(web, "admin", PASSWORD) == 429
    # … while another account may still be tried from it.
    assert await sign_in(web, "nobody", "wrong") == 401
    for key in redis_client.scan_iter("x:brake:*"):
        assert b"admin" not in key
        assert 0 < redis_client.ttl(key) <= 300
        redis_client.delete(key)
    assert await sign_in(web, "admin", PASSWORD) == 303


async def test_signed_in_elsewhere_sees_its_own_county_only(
    web: AsyncClient, cast: Cast, database: Database
) -> None:
    from catalog.accounts import create_user
    from catalog.centres import get_centre

    made = await web.post(
        "/api/v1/broadcasts", json={"title": "元宵晚会"}, headers=cast.bearer("staff")
    )
    with database.transaction() as session:
        for login, role, centre in (
            ("far", "staff", cast.other),
            ("eye", "reviewer_1", cast.county),
        ):
            create_user(
                session,
                login=login,
                name=login,
                role=role,
                centre=get_centre(session, centre),
                password=PASSWORD,
            )
    page = f"/desk/b/{made.json()['id']}"
    assert await sign_in(web, "far", PASSWORD) == 303
    assert (await web.get(page)).status_code == 404
    assert made.json()["id"] not in (await web.get("/desk")).text
    assert await sign_in(web, "eye", PASSWORD) == 303
    assert (await web.get(page)).status_code == 200
    # A reviewer looks, and changes nothing.
    assert (await web.post(f"{page}/end", headers=OURS)).status_code == 403
    assert (await web.post(f"{page}/key", headers=OURS)).status_code == 403
    assert (await web.post("/desk/new", data={"title": "x"}, headers=OURS)).status_code == 403


async def test_a_poster_is_shown_by_its_row_alone(
    web: AsyncClient,
    application: Application,
    cast: Cast,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def asked(key: str) -> None:
        raise AssertionError(f"storage was asked for {key} inside a request")

    monkeypatch.setattr(application.parts.storage, "size", asked)
    staff = cast.bearer("staff")
    addresses: list[str] = []
    for title in ("元宵晚会", "端午歌会"):
        made = await web.post("/api/v1/broadcasts", json={"title": title}, headers=staff)
        with database.transaction() as session:
            broadcast = session.get_one(Broadcast, made.json()["id"])
            broadcast.state = "live"
            if not addresses:
                broadcast.poster_at = dt.datetime.now(dt.UTC)
            addresses.append(f"/hls/{broadcast.media_token}/poster.jpg")
            public = f"/api/v1/broadcasts/{broadcast.id}/public"
        told = (await web.get(public)).json()["poster_url"]
        assert told == (addresses[0] if len(addresses) == 1 else None)
    home = (await web.get("/")).text
    assert [address in home for address in addresses] == [True, False]


async def test_public_pages_show_what_there_is(web: AsyncClient, cast: Cast) -> None:
    made = await web.post(
        "/api/v1/broadcasts",
        json={
            "title": "<script>alert(1)</script>",
            "planned_at": (dt.datetime.now(dt.UTC) + dt.timedelta(hours=2)).isoformat(),
        },
        headers=cast.bearer("staff"),
    )
    home = await web.get("/")
    assert "&lt;script&gt;alert(1)" in home.text
    assert "<script>alert" not in home.text
    watch = await web.get(f"/b/{made.json()['id']}")
    assert watch.status_code == 200
    assert (await web.get("/b/nothing")).status_code == 404
    assert (await web.get("/clips/nothing")).status_code == 404


async def test_housekeeping_is_not_on_the_desk_until_it_fails(
    web: AsyncClient, cast: Cast, database: Database
) -> None:
    assert await sign_in(web, "admin", PASSWORD) == 303
    with database.transaction() as session:
        for kind in (*HOUSEKEEPING, "poster"):
            enqueue(session, kind=kind, queue="vod", args={}, title=f"《{kind}》")
    desk = (await web.get("/desk/jobs")).text
    assert [kind for kind in (*HOUSEKEEPING, "poster") if f"《{kind}》" in desk] == ["poster"]
    listed = await web.get("/api/v1/jobs", headers=cast.bearer("admin"))
    assert {job["kind"] for job in listed.json()["items"]} == {*HOUSEKEEPING, "poster"}
    with database.transaction() as session:
        session.execute(update(Job).where(Job.kind == "compact_cleanup").values(state="failed"))
    assert "《compact_cleanup》" in (await web.get("/desk/jobs")).text
