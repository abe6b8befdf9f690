"""The JSON API over a real database: the life of a broadcast, refusals, beacons, exports, jobs."""

from __future__ import annotations

import io
import json
import uuid

import openpyxl
import pytest
import redis
from httpx import AsyncClient
from sqlalchemy import func, select, text

from api.app import Application
from api.shell import BODY_MAX
from catalog.models import PlayEvent
from infra.database import Database
from infra.jobs import enqueue
from infra.redis import CONTROL_CHANNEL, feed_key, live_key
from tests.integration.api.conftest import Cast
from tests.support.stage import SECOND, Stage

API = "/api/v1"


async def make(web: AsyncClient, cast: Cast, **more: object) -> dict[str, object]:
    answer = await web.post(
        f"{API}/broadcasts", json={"title": "元宵晚会"} | more, headers=cast.bearer("staff")
    )
    assert answer.status_code == 201, answer.text
    found: dict[str, object] = answer.json()
    return found


def on_stage(session: object, broadcast_id: object) -> Stage:
    """A made broadcast, to be filled with rows."""
    from sqlalchemy.orm import Session

    from catalog.models import Broadcast, Feed

    assert isinstance(session, Session)
    broadcast = session.get_one(Broadcast, broadcast_id)
    feed = session.scalars(select(Feed).where(Feed.broadcast_id == broadcast.id)).one()
    return Stage(session, broadcast, feed, "")


# --- broadcasts ------------------------------------------------------------------------------


async def test_the_life_of_a_broadcast(
    web: AsyncClient, cast: Cast, database: Database, redis_client: redis.Redis
) -> None:
    made = await make(web, cast, planned_at="2026-02-02T19:30:00+08:00", mode="recorded")
    publish = made["publish"]
    assert isinstance(publish, dict)
    key = publish["stream_key"]
    # Nothing in the settings says how we are reached, so the host that was asked for stands in.
    assert str(made["watch_url"]) == f"http://stage.test/b/{made['id']}"
    url = f"{API}/broadcasts/{made['id']}"
    staff = cast.bearer("staff")
    shown = await web.get(url, headers=staff)
    assert shown.json()["state"] == "ready"
    assert shown.json()["planned_at"] == "2026-02-02T11:30:00Z"
    with database.transaction() as session:
        stage = on_stage(session, made["id"])
        take = stage.open()
        stage.slots(take, stage.run(take), [2 * SECOND] * 4)
    shown = await web.get(url, headers=staff)
    found = shown.json()
    assert (found["state"], found["finished_seconds"], found["raw_seconds"]) == ("live", 8.0, 8.0)
    assert found["takes"][0]["seconds"] == 8.0
    assert found["replay_hls_url"].endswith("/replay.m3u8")
    heard = redis_client.pubsub()  # type: ignore[no-untyped-call]
    heard.subscribe(CONTROL_CHANNEL)
    ended = await web.post(f"{url}/end", headers=cast.bearer("supervisor"))
    again = await web.post(f"{url}/end", headers=staff)
    assert ended.json()["state"] == again.json()["state"] == "ended"
    assert ended.json()["ended_at"] == again.json()["ended_at"]
    orders = [m["data"] for m in (heard.get_message(timeout=1) for _ in range(3)) if m]
    assert (
        json.dumps({"op": "end", "broadcast_id": made["id"]}).encode().replace(b" ", b"") in orders
    )
    heard.close()
    # The key was told once; no later answer has it, nor the one that replaces it.
    rotated = await web.post(f"{url}/stream-key", headers=staff)
    new_key = rotated.json()["stream_key"]
    assert new_key != key
    for path in (url, f"{API}/broadcasts", f"{url}/public", f"{url}/feed", "/", f"/b/{made['id']}"):
        body = (await web.get(path, headers=staff)).text
        assert str(key) not in body, path
        assert str(new_key) not in body, path


async def test_what_anyone_may_know(web: AsyncClient, cast: Cast) -> None:
    made = await make(web, cast)
    url = f"{API}/broadcasts/{made['id']}/public"
    waiting = await web.get(url)
    assert waiting.json()["state"] == "waiting"
    assert waiting.json()["hls_url"].startswith("/hls/")
    assert waiting.headers["cache-control"] == "public, max-age=1"
    await web.post(f"{API}/broadcasts/{made['id']}/end", headers=cast.bearer("staff"))
    gone = await make(web, cast)
    await web.post(f"{API}/broadcasts/{gone['id']}/end", headers=cast.bearer("staff"))
    missing = await web.get(f"{API}/broadcasts/{gone['id']}/public")
    assert (missing.status_code, missing.json()["code"]) == (404, "broadcast_not_found")


async def test_the_feed_as_redis_tells_it(
    web: AsyncClient, cast: Cast, database: Database, redis_client: redis.Redis
) -> None:
    made = await make(web, cast)
    url, staff = f"{API}/broadcasts/{made['id']}/feed", cast.bearer("staff")
    assert (await web.get(url, headers=staff)).json()["connected"] is False
    with database.transaction() as session:
        stage = on_stage(session, made["id"])
        stage.open()
        feed_id = stage.feed.id
    health = {"state": "live", "bitrate_bps": 4_000_000, "fps": 25.0, "rtt_ms": None,
              "history": [[n, 1, 25.0] for n in range(200)], "unknown": 1}  # fmt: skip
    redis_client.set(feed_key(feed_id), json.dumps(health))
    live = {"state": "live", "lag_ms": 300, "waiting_for": "storage"}
    redis_client.set(live_key(str(made["id"])), json.dumps(live))
    found = (await web.get(url, headers=staff)).json()
    assert (found["connected"], found["bitrate_bps"], found["live"]["lag_ms"]) == (
        True,
        4_000_000,
        300,
    )
    assert len(found["history"]) == 120
    assert found["live"]["waiting_for"] == "storage"
    redis_client.set(feed_key(feed_id), b"not json")
    assert (await web.get(url, headers=staff)).json()["connected"] is True


# --- refusals --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 422, "bad_input"),
        ({"title": ""}, 422, "bad_input"),
        ({"title": " \u200b\n"}, 422, "title_empty"),
        ({"title": "长" * 201}, 422, "title_too_long"),
        ({"title": "x", "mode": "film"}, 422, "bad_input"),
        ({"title": "x", "planned_at": "2026-02-02T19:30:00"}, 422, "bad_input"),
        ({"title": "x", "stream_key": "mine"}, 422, "bad_input"),
        ({"title": "x", "centre": "没有的馆"}, 404, "centre_unknown"),
    ],
)
async def test_refusals_have_a_code_and_a_sentence(
    web: AsyncClient, cast: Cast, body: dict[str, object], status: int, code: str
) -> None:
    answer = await web.post(f"{API}/broadcasts", json=body, headers=cast.bearer("staff"))
    found = answer.json()
    assert (answer.status_code, found["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert found["status"] == status
    assert found["detail"].endswith("。")


async def test_what_was_typed_is_not_sent_back(web: AsyncClient, cast: Cast) -> None:
    body = {"login": "x", "role": "staff", "password": "hunter2-secret", "odd": "hunter2-secret"}
    answer = await web.post(f"{API}/users", json=body, headers=cast.bearer("admin"))
    assert answer.status_code == 422
    assert "hunter2" not in answer.text


async def test_bodies_have_a_limit(web: AsyncClient, cast: Cast) -> None:
    big = await web.post(
        f"{API}/broadcasts", content=b"x" * (BODY_MAX + 1), headers=cast.bearer("staff")
    )
    assert (big.status_code, big.json()["code"]) == (413, "too_large")

    async def endless() -> object:
        for _ in range(40):
            yield b"x" * (64 << 10)

    streamed = await web.post(
        f"{API}/broadcasts",
        content=endless(),  # type: ignore[arg-type]
        headers=cast.bearer("staff"),
    )
    assert (streamed.status_code, streamed.json()["code"]) == (413, "too_large")


async def test_every_answer_is_sealed(web: AsyncClient) -> None:
    for path in ("/", "/healthz", f"{API}/me", "/nothing", f"{API}/nothing", "/desk/sign-in"):
        answer = await web.get(path)
        policy = answer.headers["content-security-policy"]
        assert "unsafe" not in policy, path
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert len(answer.headers["x-request-id"]) == 12
    assert (await web.get(f"{API}/nothing")).json()["code"] == "not_found"
    assert (await web.put(f"{API}/plays")).json()["code"] == "method_unknown"


async def test_a_database_that_is_away_is_said_plainly(
    application: Application, web: AsyncClient, cast: Cast
) -> None:
    made = await make(web, cast)
    application.parts.database.close()
    # Unreachable altogether: a socket folder that is not there.
    away = Database("postgresql+psycopg://xitai@/xitai?host=/nonexistent", name="away")
    object.__setattr__(application.parts, "database", away)
    answer = await web.get(f"{API}/broadcasts/{made['id']}", headers=cast.bearer("staff"))
    assert (answer.status_code, answer.json()["code"]) == (503, "database_away")
    assert answer.headers["retry-after"] == "2"
    page = await web.get("/")
    assert page.status_code == 503
    assert "text/html" in page.headers["content-type"]
    health = await web.get("/healthz")
    assert health.status_code == 503
    assert health.json()["parts"]["postgres"] == "away"
    away.close()


# --- plays -----------------------------------------------------------------------------------


def beacon(item: object, kind: str, play: str, **more: object) -> dict[str, object]:
    """An event as our player writes it."""
    return {
        "event_id": str(uuid.uuid4()),
        "play_id": play,
        "viewer_id": "1b4e28ba-2fa1-11d2-883f-0016d3cca427",
        "item": item,
        "kind": kind,
        "at_ms": 1_770_000_000_000,
        "position_ms": 0,
        "watched_ms": 0,
        "rate": 1,
        "live": False,
        "rendition": "v720",
        "buffered_ms": 4_200,
        "visible": True,
    } | more


async def test_beacons_are_kept_once_and_counted(
    web: AsyncClient, cast: Cast, database: Database
) -> None:
    made = await make(web, cast)
    play = str(uuid.uuid4())
    events = [
        beacon(made["id"], "view", play),
        beacon(made["id"], "start", play, startup_ms=812),
        beacon(made["id"], "heartbeat", play, watched_ms=9_900.4, rate=1.05),
        beacon(made["id"], "bite", play),
        beacon("nothing", "start", play),
        {"event_id": "alone"},
        "nonsense",
    ]
    body = json.dumps({"events": events})
    first = await web.post(f"{API}/plays", content=body, headers={"content-type": "text/plain"})
    assert first.status_code == 202
    assert first.json() == {"kept": 3, "known": 0, "ignored": 4}
    again = await web.post(f"{API}/plays", content=body)
    assert again.json() == {"kept": 0, "known": 3, "ignored": 4}
    shown = await web.get(f"{API}/broadcasts/{made['id']}", headers=cast.bearer("staff"))
    plays = shown.json()["plays"]
    assert (plays["page_views"], plays["play_starts"], plays["effective_plays"]) == (1, 1, 1)
    assert (plays["devices"], plays["watched_seconds"]) == (1, 9.9)
    with database.transaction() as session:
        row = session.scalars(select(PlayEvent).where(PlayEvent.kind == "start")).one()
        assert row.details == {
            "buffered_ms": 4_200, "visible": True, "startup_ms": 812, "late_ms": 0
        }  # fmt: skip
        # The address is nowhere, in no form that can be turned back.
        dump = session.execute(text("SELECT jsonb_agg(p)::text FROM play_events p")).scalar_one()
        assert "203.0.113.9" not in dump


async def test_an_audience_at_once_loses_nothing(
    web: AsyncClient, cast: Cast, database: Database
) -> None:
    import asyncio

    made = await make(web, cast)
    bodies = [
        {"events": [beacon(made["id"], "start", str(uuid.uuid4())) for _ in range(3)]}
        for _ in range(100)
    ]
    answers = await asyncio.gather(
        *(web.post(f"{API}/plays", json=body) for body in [*bodies, *bodies[:50]])
    )
    assert {answer.status_code for answer in answers} == {202}
    assert sum(answer.json()["kept"] for answer in answers) == 300
    assert sum(answer.json()["known"] for answer in answers) == 150
    with database.transaction() as session:
        assert session.scalar(select(func.count()).select_from(PlayEvent)) == 300


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"events": 3}', b"\xff\xfe", b'"x"'])
async def test_what_is_no_batch_is_refused(web: AsyncClient, body: bytes) -> None:
    answer = await web.post(f"{API}/plays", content=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")
    many = json.dumps({"events": [{}] * 101})
    answer = await web.post(f"{API}/plays", content=many)
    assert (answer.status_code, answer.json()["code"]) == (422, "beacon_batch")


# --- exports and jobs ------------------------------------------------------------------------


async def test_the_workbook_holds_what_the_caller_may_see(
    web: AsyncClient, cast: Cast, database: Database
) -> None:
    made = await make(web, cast, title="=HYPERLINK(元宵)")
    with database.transaction() as session:
        stage = on_stage(session, made["id"])
        take = stage.open()
        stage.slots(take, stage.run(take), [60 * SECOND])
        stage.close(take, end_ms=61_000)
    url = f"{API}/exports/minutes.xlsx?year=2026"
    mine = await web.get(url, headers=cast.bearer("clerk"))
    assert mine.headers["content-disposition"] == 'attachment; filename="minutes-2026.xlsx"'
    sheet = openpyxl.load_workbook(io.BytesIO(mine.content))["明细"]
    assert [cell.value for cell in sheet[5]][1] == "=HYPERLINK(元宵)"
    assert sheet["B5"].data_type == "s"
    theirs = await web.get(url, headers=cast.stranger)
    assert openpyxl.load_workbook(io.BytesIO(theirs.content))["明细"]["A5"].value is None


async def test_jobs_are_listed_cancelled_and_tried_again(
    web: AsyncClient, cast: Cast, database: Database
) -> None:
    staff = cast.bearer("staff")
    with database.transaction() as session:
        ids = [
            enqueue(session, kind=kind, queue="vod", args={}, centre_id=cast.county, title=kind).id
            for kind in ("compact", "live")
        ]
        hidden = enqueue(session, kind="compact", queue="vod", args={}, centre_id=cast.other).id
    listed = (await web.get(f"{API}/jobs", headers=staff)).json()["items"]
    assert [job["id"] for job in listed] == sorted(ids, reverse=True)
    url = f"{API}/jobs/{ids[0]}"
    assert (await web.post(f"{url}/retry", headers=staff)).json()["code"] == "job_not_over"
    assert (await web.post(f"{url}/cancel", headers=staff)).json()["state"] == "cancelled"
    assert (await web.post(f"{url}/cancel", headers=staff)).json()["code"] == "job_not_open"
    assert (await web.post(f"{url}/retry", headers=staff)).json()["state"] == "queued"
    live = await web.post(f"{API}/jobs/{ids[1]}/cancel", headers=staff)
    assert live.json()["code"] == "job_live"
    log = (await web.get(f"{url}/log", headers=staff)).json()["items"]
    assert [line["text"] for line in log] == ["重新排队"]
    for job_id in (hidden, 0, 2**70, -1):
        for path in ("", "/log"):
            missing = await web.get(f"{API}/jobs/{job_id}{path}", headers=staff)
            assert missing.status_code == 404


async def test_accounts_over_the_api(web: AsyncClient, cast: Cast) -> None:
    admin = cast.bearer("admin")
    made = await web.post(
        f"{API}/users",
        json={"login": "wang", "role": "staff", "password": "correct-horse-9"},
        headers=admin,
    )
    assert made.status_code == 201, made.text
    user = made.json()["id"]
    assert (await web.post(f"{API}/users/{user}/disable", headers=admin)).json()["disabled"] is True
    assert (await web.post(f"{API}/users/{user}/enable", headers=admin)).json()["disabled"] is False
    changed = await web.post(
        f"{API}/users/{user}/password", json={"password": "another-pass-7"}, headers=admin
    )
    assert changed.status_code == 204
    token = await web.post(f"{API}/tokens", json={"role": "clerk", "label": "年报"}, headers=admin)
    bearer = {"authorization": f"Bearer {token.json()['token']}"}
    assert (await web.get(f"{API}/me", headers=bearer)).json()["role"] == "clerk"
    listed = (await web.get(f"{API}/tokens", headers=admin)).json()["items"]
    assert token.json()["token"] not in json.dumps(listed)
    bounded = {"role": "admin", "centre": cast.county}
    refused = await web.post(f"{API}/tokens", json=bounded, headers=admin)
    assert (refused.status_code, refused.json()["code"]) == (422, "token_admin_centre")
    handle = next(item["handle"] for item in listed if item["label"] == "年报")
    assert (await web.delete(f"{API}/tokens/{handle}", headers=admin)).status_code == 204
    assert (await web.get(f"{API}/me", headers=bearer)).status_code == 401
