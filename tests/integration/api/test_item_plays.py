"""Figures over the API: plays with what was left out, outside readings with evidence, quality; and
beacons through proxies, without Redis, without PostgreSQL."""

from __future__ import annotations

import datetime as dt
import time
import uuid

import pytest
import redis
from httpx import ASGITransport, AsyncClient
from sqlalchemy import func, select, update

from api.app import make_application
from api.routes import PREFIX as API
from catalog.accounts import create_user, open_session
from catalog.models import AuditEntry, Broadcast, Centre, OutsideCount, PlayEvent, QosSession
from infra.database import Database
from infra.settings import Settings
from tests.integration.api.conftest import BROWSER, PASSWORD, Cast
from tests.integration.api.test_api import beacon, make

PICTURE = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63f8cfc0"
    "000003010100c9fe92ef0000000049454e44ae426082"
)
"""A PNG of one pixel."""


async def send(web: AsyncClient, *events: dict[str, object], **more: object) -> None:
    answer = await web.post(f"{API}/plays", json={"events": list(events)}, **more)  # type: ignore[arg-type]
    assert answer.status_code == 202, answer.text


async def test_plays_show_what_counts_and_what_does_not(web: AsyncClient, cast: Cast) -> None:
    item = (await make(web, cast))["id"]
    await send(
        web,
        beacon(item, "view", "play-person"),
        beacon(item, "start", "play-person"),
        beacon(item, "heartbeat", "play-person", watched_ms=5_000),
    )
    robot = {"user-agent": "python-httpx/0.28"}
    await send(web, beacon(item, "view", "play-robot", viewer_id="robot-one"), headers=robot)
    answer = await web.get(f"{API}/items/{item}/plays", headers=cast.bearer("supervisor"))
    found = answer.json()
    total = found["total"]
    assert (total["page_views"], total["effective_plays"], total["devices"]) == (1, 1, 1)
    assert total["excluded"]["robot"]["page_views"] == 1
    assert len(found["days"]) == 1
    assert {k: v for k, v in found["days"][0].items() if k != "day"} == total
    assert (found["watching_now"], found["rule_version"]) == (1, "2026-1")
    none = await web.get(f"{API}/items/{item}/plays?until=2020-12-31", headers=cast.bearer("staff"))
    assert none.json()["total"]["page_views"] == 0
    stranger = await web.get(f"{API}/items/{item}/plays", headers=cast.stranger)
    assert (stranger.status_code, stranger.json()["code"]) == (404, "item_unknown")


async def test_outside_figures_need_evidence_and_stand_apart(
    web: AsyncClient, cast: Cast, database: Database
) -> None:
    item = (await make(web, cast))["id"]
    url, staff = f"{API}/items/{item}/outside", cast.bearer("staff")
    told = {"platform": "微信视频号", "clicks": "1200", "seen_at": "2026-02-02T20:00:00+08:00"}

    async def enter(**changes: str) -> tuple[int, str]:
        answer = await web.post(url, data=told | changes, headers=staff)
        return answer.status_code, answer.json().get("code", "")

    assert await enter() == (422, "outside_evidence")
    assert await enter(link="javascript:alert(1)") == (422, "outside_link")
    assert await enter(link="https://weixin.qq.com/x", clicks="-1") == (422, "outside_clicks")
    future = {"link": "https://weixin.qq.com/x", "seen_at": "2199-01-01T00:00:00+08:00"}
    assert await enter(**future) == (422, "outside_future")
    assert await enter(link="https://weixin.qq.com/x", platform=" ") == (422, "outside_platform")
    bad = await web.post(url, data=told, files={"screenshot": b"MZ not a picture"}, headers=staff)
    assert (bad.status_code, bad.json()["code"]) == (422, "outside_picture")
    made = await web.post(url, data=told, files={"screenshot": PICTURE}, headers=staff)
    assert made.status_code == 201, made.text
    picture = await web.get(made.json()["screenshot_url"], headers=cast.bearer("clerk"))
    assert (picture.content, picture.headers["content-type"]) == (PICTURE, "image/png")
    later = {"clicks": "1500", "seen_at": "2026-02-03T20:00:00+08:00", "link": "https://a.cn/1"}
    assert (await enter(**later))[0] == 201
    assert (await enter(**later))[0] == 201
    assert (await enter(**later | {"clicks": "1501"}))[0] == 201
    assert (await enter(platform="抖音", link="https://b.cn/2", clicks="10"))[0] == 201
    shown = (await web.get(f"{API}/items/{item}/plays", headers=staff)).json()
    # The latest reading of each platform; and none of it is ours.
    assert shown["outside_clicks"] == 1511
    assert shown["total"]["page_views"] == 0
    assert [(r["platform"], r["clicks"]) for r in shown["outside"]] == [
        ("微信视频号", 1501), ("微信视频号", 1200), ("抖音", 10),
    ]  # fmt: skip
    stranger = await web.post(url, data=told, headers=cast.stranger)
    assert stranger.status_code == 404
    with database.transaction() as session:
        assert session.scalar(select(func.count()).select_from(OutsideCount)) == 3
        notes = session.scalars(
            select(AuditEntry).where(AuditEntry.action == "outside.enter").order_by(AuditEntry.id)
        ).all()
        assert [note.details["clicks"] for note in notes] == [1200, 1500, 1501, 10]
        assert notes[2].details["before"] == [1500, "https://a.cn/1", None]


async def test_quality_comes_from_the_players(
    web: AsyncClient, cast: Cast, database: Database
) -> None:
    item = (await make(web, cast))["id"]
    for number, (startup, stood) in enumerate([(800, 0), (1200, 0), (900, 9_000), (7_000, 0)]):
        play = f"the-play-{number}"
        first = f'cid="{item}",msd={startup},sf=h,sid="{play}",st=ll,v=2'
        counts = f"bsa=({stood // 3000}),bsda=({stood})"
        last = f"{counts},cn.xitai-mbr=1800,mtp=(8000),st=ll,tb=(2500;v),v=2"
        events = [
            beacon(item, "start", play, cmcd=first),
            beacon(item, "heartbeat", play, watched_ms=60_000, cmcd=last),
        ]
        await send(web, *events)
        # The same again, and a nonsense from somebody else: nothing changes.
        await send(web, *events)
        await send(web, beacon(item, "heartbeat", play, cmcd='bsa=(((,;=,"' + "x" * 300))
    await send(web, beacon(item, "heartbeat", "the-play-9", cmcd="x" * 5_000))
    answer = await web.get(f"{API}/quality?broadcast={item}", headers=cast.bearer("supervisor"))
    assert answer.json() == {
        "broadcast_id": item,
        "sessions": 4,
        "startup_p50_ms": 900,
        "startup_p95_ms": 7_000,
        "rebuffer_ratio_permille": 36,
        "bitrate_kbps": 1800,
        "troubled": 2,
    }
    with database.transaction() as session:
        row = session.get_one(QosSession, "the-play-2")
        assert (row.rebuffers, row.rebuffer_ms, row.live) == (3, 9_000, True)
        assert (row.top_bitrate_kbps, row.throughput_kbps) == (2500, 8000)
    assert (
        await web.get(f"{API}/quality?broadcast={item}", headers=cast.stranger)
    ).status_code == 404


async def test_an_empty_show_has_no_quality(web: AsyncClient, cast: Cast) -> None:
    item = (await make(web, cast))["id"]
    found = (await web.get(f"{API}/quality?broadcast={item}", headers=cast.bearer("staff"))).json()
    assert (found["sessions"], found["startup_p50_ms"], found["bitrate_kbps"]) == (0, None, None)


# --- where beacons come from, and when a part is away ------------------------------------------


@pytest.mark.parametrize(
    ("trusted", "surrogates"),
    [
        # Nobody is believed: all come from the one peer, whatever they write.
        ((), 1),
        # Our proxy is: each client is who it saw, and what clients wrote before that is nothing.
        (("203.0.113.9",), 2),
    ],
)
async def test_forwarded_addresses_are_believed_of_trusted_hops_only(
    settings: Settings,
    redis_client: redis.Redis,
    database: Database,
    cast: Cast,
    web: AsyncClient,
    trusted: tuple[str, ...],
    surrogates: int,
) -> None:
    item = (await make(web, cast))["id"]
    made = make_application(settings.model_copy(update={"trusted_proxies": trusted}))
    transport = ASGITransport(app=made.asgi, client=("203.0.113.9", 1))
    async with AsyncClient(
        transport=transport, base_url="http://s.test", headers=BROWSER
    ) as client:
        for written in ("1.1.1.1, 198.51.100.1", "2.2.2.2, 198.51.100.1", "198.51.100.2"):
            event = beacon(item, "view", str(uuid.uuid4()), viewer_id=None)
            await send(client, event, headers={"x-forwarded-for": written})
    made.parts.database.close()
    with database.transaction() as session:
        found = session.scalar(select(func.count(PlayEvent.surrogate.distinct())))
    assert found == surrogates


async def test_beacons_do_without_redis(
    settings: Settings, redis_client: redis.Redis, database: Database, cast: Cast, web: AsyncClient
) -> None:
    item = (await make(web, cast))["id"]
    away = settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    made = make_application(away)
    transport = ASGITransport(app=made.asgi, client=("203.0.113.9", 1))
    async with AsyncClient(
        transport=transport, base_url="http://s.test", headers=BROWSER
    ) as client:
        began = time.monotonic()
        for _ in range(50):
            await send(client, beacon(item, "view", str(uuid.uuid4()), viewer_id=None))
        # Redis is asked once in a while, and not by everybody.
        assert time.monotonic() - began < 10
    made.parts.database.close()
    with database.transaction() as session:
        assert session.scalar(select(func.count()).select_from(PlayEvent)) == 50
        # And all that while a viewer without an id is one viewer.
        assert session.scalar(select(func.count(PlayEvent.surrogate.distinct()))) == 1


async def test_without_postgresql_the_player_is_told_to_come_again(
    settings: Settings, redis_client: redis.Redis, database: Database, cast: Cast, web: AsyncClient
) -> None:
    item = (await make(web, cast))["id"]
    body = {"events": [beacon(item, "view", str(uuid.uuid4()))]}
    lost = settings.model_copy(update={"database_url": "postgresql://nobody@127.0.0.1:1/none"})
    made = make_application(lost)
    transport = ASGITransport(app=made.asgi, client=("203.0.113.9", 1))
    async with AsyncClient(
        transport=transport, base_url="http://s.test", headers=BROWSER
    ) as client:
        answer = await client.post(f"{API}/plays", json=body)
        assert (answer.status_code, answer.json()["code"]) == (503, "database_away")
        assert int(answer.headers["retry-after"]) > 0
    made.parts.database.close()
    assert (await web.post(f"{API}/plays", json=body)).json()["kept"] == 1
    assert (await web.post(f"{API}/plays", json=body)).json() == {
        "kept": 0, "known": 1, "ignored": 0,
    }  # fmt: skip


async def test_the_desk_shows_how_it_plays_and_studios_see_no_figures(
    web: AsyncClient, cast: Cast, database: Database
) -> None:
    item = (await make(web, cast))["id"]
    with database.transaction() as session:
        session.execute(update(Broadcast).values(state="live"))
    web.cookies.set("xitai_session", cast.admin_session)
    empty = await web.get(f"/desk/b/{item}")
    assert 'data-testid="quality" data-level="idle"' in empty.text
    await send(web, beacon(item, "start", "the-play-1", cmcd="msd=9000,st=ll,v=2"))
    part = await web.get(f"/desk/b/{item}/quality")
    assert 'data-level="idle"' in part.text  # kept for a moment
    assert (await web.get("/desk/b/nothing/quality")).status_code == 404
    with database.transaction() as session:
        centre = session.get_one(Centre, cast.county)
        studio = create_user(
            session, login="studio", name="摄影队", role="studio", centre=centre,
            password=PASSWORD, contract="合同一",
        )  # fmt: skip
        session.execute(update(Broadcast).values(contract="合同一"))
        secret = open_session(session, studio, dt.datetime.now(dt.UTC))
    web.cookies.set("xitai_session", secret)
    assert (await web.get(f"/desk/b/{item}/quality")).status_code == 403
    page = await web.get(f"/desk/b/{item}")
    assert page.status_code == 200
    assert 'data-testid="quality"' not in page.text
