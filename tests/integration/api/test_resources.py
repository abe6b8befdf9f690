"""Records over the API: reach, review, history; a take-down seen from every side at once."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections.abc import Awaitable, Callable

import cv2
import numpy
import pytest
import redis
from httpx import AsyncClient

from api.app import Application
from api.edge.state import OFF_AIR_SECONDS
from api.pages.backend import Backend
from api.routes import PREFIX
from api.sight import say
from catalog.accounts import create_user, issue_token
from catalog.audit import SYSTEM
from catalog.centres import get_centre
from catalog.models import Broadcast, Work
from catalog.records import takedown
from catalog.resources import register_recording
from infra.database import Database
from infra.redis import air_key
from tests.integration.api.conftest import PASSWORD, Cast
from tests.support.heads import FakeBroadcast
from tests.support.stage import SECOND, make_stage
from transcode.hls.head import encode_head

Headers = dict[str, str]


async def make(web: AsyncClient, headers: Headers, **fields: object) -> dict[str, object]:
    body = {"kind": "image", "fields": {"title": "泼水节", **fields}}
    answer = await web.post(f"{PREFIX}/resources", json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    made: dict[str, object] = answer.json()
    return made


def token_of(database: Database, role: str, centre: str) -> Headers:
    """Headers of a person of their own, since reviews are for people."""
    with database.transaction() as session:
        home = get_centre(session, centre)
        user = create_user(
            session, login=f"{role}.one", name=role, role=role, centre=home, password=PASSWORD
        )
        secret = issue_token(
            session, role=role, centre=home, now=dt.datetime.now(dt.UTC), user=user
        )
    return {"authorization": f"Bearer {secret}"}


# --- records ---------------------------------------------------------------------------------


async def test_a_record_from_draft_to_published(
    web: AsyncClient, cast: Cast, database: Database
) -> None:
    staff = cast.bearer("staff")
    made = await make(web, staff, keywords=["傣族"])
    url = f"{PREFIX}/resources/{made['id']}"
    change = {"changes": {"place": "景洪"}, "expect_version": 1}
    assert (await web.patch(url, json=change, headers=staff)).json()["version"] == 2
    again = await web.patch(url, json=change, headers=staff)
    assert (again.status_code, again.json()["code"]) == (409, "record_changed")
    bad = await web.patch(url, json={"changes": {"event_date": "2199-01-01"}}, headers=staff)
    assert bad.status_code == 422
    assert bad.json()["detail"] == "“日期”填得不对：2199-01-01 还没有到。"
    assert (await web.post(f"{url}/submit", headers=staff)).json()["state"] == "review_1"
    token = await web.post(
        f"{url}/decisions",
        json={"step": 1, "decision": "approve", "seen_hash": "0" * 64},
        headers=cast.bearer("reviewer_1"),
    )
    assert token.json()["code"] == "record_changed"
    for step in (1, 2, 3):
        who = token_of(database, f"reviewer_{step}", cast.county)
        shown = (await web.get(url, headers=who)).json()
        assert shown["may_decide"] is True
        decision = {"step": step, "decision": "approve", "seen_hash": shown["seen_hash"]}
        answer = await web.post(f"{url}/decisions", json=decision, headers=who)
        assert answer.status_code == 200, answer.text
    assert answer.json()["state"] == "published"
    assert [review["step"] for review in answer.json()["reviews"]] == [3, 2, 1]
    versions = (await web.get(f"{url}/history", headers=staff)).json()["items"]
    assert versions[0]["changes"] == {"place": ["", "景洪"]}
    listed = await web.get(
        f"{PREFIX}/resources", params={"q": "泼水", "state": "published"}, headers=staff
    )
    assert [item["id"] for item in listed.json()["items"]] == [made["id"]]
    log = (await web.get(f"{PREFIX}/audit", headers=cast.bearer("supervisor"))).json()["items"]
    assert [entry["action"] for entry in log] == [
        *["review.approve"] * 3, "resource.submit", "resource.change", "resource.create",
    ]  # fmt: skip
    assert log[0]["details"]["seen"] == shown["seen_hash"]


async def test_a_token_of_nobody_decides_nothing(web: AsyncClient, cast: Cast) -> None:
    made = await make(web, cast.bearer("staff"))
    url = f"{PREFIX}/resources/{made['id']}"
    await web.post(f"{url}/submit", headers=cast.bearer("staff"))
    decision = {"step": 1, "decision": "approve", "seen_hash": made["seen_hash"]}
    answer = await web.post(f"{url}/decisions", json=decision, headers=cast.bearer("admin"))
    assert (answer.status_code, answer.json()["code"]) == (403, "review_needs_person")


async def test_another_countys_records_are_not_there(web: AsyncClient, cast: Cast) -> None:
    made = await make(web, cast.bearer("staff"))
    url = f"{PREFIX}/resources/{made['id']}"
    for method, path, body in (
        ("GET", url, None), ("GET", f"{url}/history", None), ("GET", f"{url}/children", None),
        ("PATCH", url, {"changes": {"title": "偷"}}), ("POST", f"{url}/submit", None),
        ("POST", f"{url}/withdraw", {"why": "偷"}), ("POST", f"{url}/restore", None),
        ("POST", f"{PREFIX}/takedowns", {"kind": "resource", "id": made["id"], "why": "偷"}),
        ("DELETE", f"{PREFIX}/takedowns/resource/{made['id']}", None),
    ):  # fmt: skip
        answer = await web.request(method, path, json=body, headers=cast.stranger)
        assert (answer.status_code, answer.json()["code"]) == (404, "resource_unknown"), path
    many = {"ids": [made["id"]], "changes": {"title": "偷"}}
    bulk = await web.post(f"{PREFIX}/resources/bulk", json=many, headers=cast.stranger)
    assert bulk.json() == {"changed": 0, "refused": [[made["id"], "resource_unknown"]]}
    assert (await web.get(f"{PREFIX}/resources", headers=cast.stranger)).json()["total"] == 0


async def test_what_no_text_of_ours_has_is_not_found(web: AsyncClient, cast: Cast) -> None:
    staff = cast.bearer("staff")
    for path in ("/r/a%00b", "/b/a%00b", "/files/a%00b/x"):
        assert (await web.get(path)).status_code == 404, path
    shown = await web.get(f"{PREFIX}/resources/a%00b", headers=staff)
    body = {"kind": "work", "id": "a\0b", "why": "有误"}
    down = await web.post(f"{PREFIX}/takedowns", json=body, headers=staff)
    assert [(a.status_code, a.json()["code"]) for a in (shown, down)] == [(400, "bad_request")] * 2


async def test_a_picture_is_handed_in(web: AsyncClient, cast: Cast) -> None:
    staff = cast.bearer("staff")
    made = await make(web, staff)
    url = f"{PREFIX}/resources/{made['id']}"
    good, picture = cv2.imencode(".png", numpy.zeros((90, 160, 3), numpy.uint8))
    assert good
    answer = await web.post(f"{url}/file", files={"file": picture.tobytes()}, headers=staff)
    assert answer.status_code == 200, answer.text
    assert (answer.json()["media_type"], answer.json()["version"]) == ("image/png", 2)
    assert answer.json()["seen_hash"] != made["seen_hash"]
    again = await web.post(f"{url}/file", files={"file": picture.tobytes()}, headers=staff)
    assert again.json()["version"] == 2
    text = await web.post(f"{url}/file", files={"file": b"not a picture"}, headers=staff)
    assert text.status_code == 422
    theirs = await web.post(f"{url}/file", files={"file": b"x"}, headers=cast.stranger)
    assert theirs.status_code == 404


# --- a studio --------------------------------------------------------------------------------


async def test_a_studio_has_one_contract(web: AsyncClient, cast: Cast) -> None:
    staff = cast.bearer("staff")
    asked = {"role": "studio", "centre": cast.county, "contract": "HT-2026-01"}
    token = (await web.post(f"{PREFIX}/tokens", json=asked, headers=cast.bearer("admin"))).json()
    studio = {"authorization": f"Bearer {token['token']}"}
    ids = []
    for contract in ("HT-2026-01", "HT-2026-02", ""):
        body = {"title": "元宵", "contract": contract}
        made = await web.post(f"{PREFIX}/broadcasts", json=body, headers=staff)
        assert made.json()["contract"] == contract
        ids.append(made.json()["id"])
    own = await make(web, studio)
    theirs = await make(web, staff)
    listed = (await web.get(f"{PREFIX}/broadcasts", headers=studio)).json()["items"]
    assert [item["id"] for item in listed] == ids[:1]
    statuses = [
        (await web.get(f"{PREFIX}/broadcasts/{key}", headers=studio)).status_code for key in ids
    ]
    assert statuses == [200, 404, 404]
    found = (await web.get(f"{PREFIX}/resources", headers=studio)).json()["items"]
    assert [item["id"] for item in found] == [own["id"]]
    hidden = await web.get(f"{PREFIX}/resources/{theirs['id']}", headers=studio)
    assert hidden.status_code == 404
    # One that has no contract yet sees nothing at all.
    for path in ("broadcasts", "resources", "jobs"):
        answer = await web.get(f"{PREFIX}/{path}", headers=cast.bearer("studio"))
        assert answer.json()["items"] == [], path


# --- taking down -----------------------------------------------------------------------------


class Show:
    """A broadcast on the air, as the live job would have it in Redis and the rows."""

    def __init__(self, database: Database, client: redis.Redis, cast: Cast) -> None:
        self.database, self.client = database, client
        with database.transaction() as session:
            stage = make_stage(session, centre=get_centre(session, cast.county))
            take = stage.open()
            stage.slots(take, stage.run(take), [2 * SECOND] * 4)
            self.id, self.token = stage.broadcast.id, stage.broadcast.media_token
            session.add(
                Work(
                    id="clip1", centre_id=stage.broadcast.centre_id, broadcast_id=self.id,
                    kind="clip", state="ready", title="精彩", media_token="k" * 22,
                    duration_ticks=SECOND, mp4_key="works/k/download.mp4",
                )
            )  # fmt: skip
        self.head = FakeBroadcast(self.token)
        for _ in range(10):
            self.tick()

    def tick(self) -> None:
        data = encode_head(self.head.add_part())
        self.client.set(air_key(self.token), data, ex=60)
        self.client.publish(air_key(self.token), data)

    @property
    def media(self) -> tuple[str, ...]:
        base = f"/hls/{self.token}"
        return (
            f"{base}/main.m3u8", f"{base}/v480/live.m3u8", f"{base}/plain.m3u8",
            f"{base}/replay.m3u8", f"{base}/v480/replay.m3u8", f"{base}/v480/s1.m4s",
            f"{base}/v480/init0.mp4", f"{base}/poster.jpg", f"{base}/download.mp4",
            f"/hls/{'k' * 22}/main.m3u8", f"/hls/{'k' * 22}/download.mp4",
        )  # fmt: skip

    @property
    def pages(self) -> tuple[str, ...]:
        return f"/b/{self.id}", "/clips/clip1", f"{PREFIX}/broadcasts/{self.id}/public"


@pytest.fixture
def show(database: Database, redis_client: redis.Redis, cast: Cast) -> Show:
    return Show(database, redis_client, cast)


async def until(what: Callable[[], Awaitable[bool]], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not await what():
        assert time.monotonic() < deadline, "nothing happened"
        await asyncio.sleep(0.02)


async def test_an_emergency_take_down_acts_at_once(
    web: AsyncClient, cast: Cast, show: Show
) -> None:
    live = f"/hls/{show.token}/v480/live.m3u8"
    assert (await web.get(live)).status_code == 200
    for path in show.pages:
        assert (await web.get(path)).status_code == 200, path
    assert show.id in (await web.get("/")).text
    held = asyncio.create_task(web.get(live, params={"_HLS_msn": 3}))
    await asyncio.sleep(0.1)
    assert not held.done()

    body = {"kind": "broadcast", "id": show.id, "why": "画面有误"}
    answer = await web.post(f"{PREFIX}/takedowns", json=body, headers=cast.bearer("supervisor"))
    assert answer.status_code == 204, answer.text
    assert (await asyncio.wait_for(held, OFF_AIR_SECONDS / 2)).status_code == 410
    for path in (*show.media, *show.pages):
        assert (await web.get(path)).status_code == 410, path
    assert "已下架" in (await web.get(f"/b/{show.id}")).text
    home = (await web.get("/")).text
    assert show.id not in home
    assert "clip1" not in home
    # The encoder goes on pushing, and staff still see how it does.
    show.tick()
    await asyncio.sleep(0.05)
    assert (await web.get(live)).status_code == 410
    shown = await web.get(f"{PREFIX}/broadcasts/{show.id}", headers=cast.bearer("staff"))
    assert shown.json()["off_air_at"] is not None
    log = await web.get(
        f"{PREFIX}/audit", params={"action": "takedown"}, headers=cast.bearer("supervisor")
    )
    assert log.json()["items"][0]["details"] == {"why": "画面有误"}

    back = await web.delete(
        f"{PREFIX}/takedowns/broadcast/{show.id}", headers=cast.bearer("supervisor")
    )
    assert back.status_code == 204

    async def shown_again() -> bool:
        return (await web.get(live)).status_code == 200

    await until(shown_again, 1)
    for path in show.pages:
        assert (await web.get(path)).status_code == 200, path


async def test_without_redis_it_acts_within_seconds(web: AsyncClient, show: Show) -> None:
    live = f"/hls/{show.token}/v480/live.m3u8"
    assert (await web.get(live)).status_code == 200
    # The rows say so, and nobody tells the edge.
    with show.database.transaction() as session:
        broadcast = session.get_one(Broadcast, show.id)
        broadcast.off_air_at = broadcast.created_at

    async def gone() -> bool:
        return (await web.get(live)).status_code == 410

    await until(gone, OFF_AIR_SECONDS + 2)


async def test_an_edge_that_starts_later_knows(
    web: AsyncClient, show: Show, redis_client: redis.Redis
) -> None:
    say(redis_client, {show.token: True})
    with show.database.transaction() as session:
        broadcast = session.get_one(Broadcast, show.id)
        broadcast.off_air_at = broadcast.created_at
    assert (await web.get(f"/hls/{show.token}/v480/live.m3u8")).status_code == 410


async def test_a_withdrawn_recording_is_out_of_sight_too(
    web: AsyncClient, cast: Cast, show: Show
) -> None:
    staff = cast.bearer("staff")
    with show.database.transaction() as session:
        recording = register_recording(session, session.get_one(Broadcast, show.id))
        assert recording is not None
    url = f"{PREFIX}/resources/{recording.id}"
    nothing = await web.post(f"{url}/withdraw", json={"why": " "}, headers=staff)
    assert nothing.json()["code"] == "why_needed"
    assert (await web.get(show.media[0])).status_code == 200
    await web.post(f"{url}/withdraw", json={"why": "版权到期"}, headers=staff)

    async def gone() -> bool:
        return (await web.get(show.media[0])).status_code == 410

    await until(gone, 1)
    assert (await web.get(f"/b/{show.id}")).status_code == 410


async def test_the_desk_tells_edges_as_well(
    web: AsyncClient, application: Application, show: Show
) -> None:
    """What pages do inside `Backend.run` reaches the edges like what the API does."""
    assert (await web.get(show.media[0])).status_code == 200
    await Backend(application.parts).run(
        lambda session: takedown.take_down(session, SYSTEM, work_id="clip1", why="有误")
    )

    async def gone() -> bool:
        return (await web.get(f"/hls/{'k' * 22}/main.m3u8")).status_code == 410

    await until(gone, 1)
    assert (await web.get("/clips/clip1")).status_code == 410
    assert (await web.get(show.media[0])).status_code == 200
