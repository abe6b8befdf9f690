"""Clips of several sources, uploaded works and their MP4, over the API, the pages and a shell."""

from __future__ import annotations

import asyncio
import datetime as dt
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest
from httpx import AsyncClient
from sqlalchemy import update

from api.routes import PREFIX as API
from catalog.models import Act, AirItem, AuditEntry, Broadcast, Centre, Extra, Work
from catalog.plays import counts
from catalog.resources import register_recording
from infra.database import Database
from infra.settings import Settings
from infra.storage import open_storage
from infra.tables import Job
from tests.integration.api.conftest import Cast
from tests.integration.api.test_api import beacon
from tests.integration.api.test_cli import Cli
from tests.integration.api.test_desk_backend import OURS
from tests.support.stage import SECOND, make_stage

NOW = dt.datetime(2026, 3, 1, 2, 0, tzinfo=dt.UTC)


@dataclass
class Shelf:
    """An ended show with its recording, and an uploaded work, ten seconds each."""

    broadcast: str
    recording: str
    upload: str
    token: str
    upload_token: str


@pytest.fixture
def shelf(database: Database, cast: Cast) -> Shelf:
    with database.transaction() as session:
        county = session.get_one(Centre, cast.county)
        stage = make_stage(session, title="元宵晚会", centre=county)
        take = stage.open()
        stage.slots(take, stage.run(take), [2 * SECOND] * 5)
        stage.close(take, end_ms=10_000)
        stage.broadcast.state = "ended"
        stage.broadcast.ended_at = stage.broadcast.finalized_at = NOW
        resource = register_recording(session, stage.broadcast)
        assert resource is not None
        upload = Work(
            id="upload1", centre_id=county.id, kind="upload", state="ready", title="老录像带",
            media_token="u" * 22, duration_ticks=10 * SECOND, published_at=NOW,
        )  # fmt: skip
        session.add(upload)
        for msn in range(5):
            session.add(
                AirItem(
                    token=upload.media_token, msn=msn, source="feed", take_start_ms=0,
                    start_ticks=msn * 2 * SECOND, duration_ticks=2 * SECOND, pdt_us=0,
                )
            )  # fmt: skip
        return Shelf(
            stage.broadcast.id, resource.work_id or "", upload.id, stage.broadcast.media_token,
            upload.media_token,
        )  # fmt: skip


def pieces(shelf: Shelf) -> list[dict[str, Any]]:
    return [
        {"source": shelf.upload, "in": 1, "out": 3.5},
        {"source": shelf.recording, "in": 0, "out": 2},
    ]


async def test_a_clip_of_several_sources(web: AsyncClient, cast: Cast, shelf: Shelf) -> None:
    body = {"title": "两处各一段", "pieces": pieces(shelf)}
    answer = await web.post(f"{API}/clips", json=body, headers=cast.bearer("staff"))
    assert answer.status_code == 202, answer.text
    made = answer.json()
    assert (made["state"], made["broadcast_id"], made["seconds"]) == ("making", None, None)
    # A recording is called by its show, whoever asks for it by which name.
    assert made["pieces"] == [
        {"source": shelf.upload, "in": 1.0, "out": 3.5},
        {"source": shelf.broadcast, "in": 0.0, "out": 2.0},
    ]
    shown = (await web.get(f"{API}/clips/{made['id']}", headers=cast.bearer("clerk"))).json()
    assert (shown["job_id"], shown["progress"], shown["error"]) == (made["job_id"], None, None)
    stranger = await web.get(f"{API}/clips/{made['id']}", headers=cast.stranger)
    assert (stranger.status_code, stranger.json()["code"]) == (404, "clip_not_found")


async def test_its_job_tells_how_far_it_is(
    web: AsyncClient, cast: Cast, shelf: Shelf, database: Database
) -> None:
    body = {"title": "一段", "pieces": pieces(shelf)[:1]}
    made = (await web.post(f"{API}/clips", json=body, headers=cast.bearer("staff"))).json()
    with database.transaction() as session:
        session.execute(
            update(Job).where(Job.id == made["job_id"])
            .values(state="running", progress_permille=420, note="正在编码剪接处")
        )  # fmt: skip
    shown = (await web.get(f"{API}/clips/{made['id']}", headers=cast.bearer("staff"))).json()
    assert (shown["progress"], shown["note"]) == (0.42, "正在编码剪接处")


async def test_a_clip_that_cannot_be_is_one_sentence(
    web: AsyncClient, cast: Cast, shelf: Shelf
) -> None:
    async def refused(
        given: list[dict[str, Any]], headers: dict[str, str] | None = None
    ) -> tuple[int, str, str]:
        answer = await web.post(
            f"{API}/clips", json={"title": "段", "pieces": given},
            headers=headers or cast.bearer("staff"),
        )  # fmt: skip
        return answer.status_code, answer.json()["code"], answer.json()["detail"]

    one, two = pieces(shelf)
    assert (await refused([]))[:2] == (422, "bad_input")
    assert (await refused([one, two], cast.stranger))[:2] == (404, "programme_unknown")
    assert await refused([one, two | {"out": 12}]) == (
        422, "clip_past_end", "第 2 段：出点（0:00:12.00）超出了节目长度（0:00:10.00）。",
    )  # fmt: skip
    assert await refused([one | {"in": 4}]) == (
        422, "clip_empty", "出点（0:00:03.50）要晚于入点（0:00:04.00）。",
    )  # fmt: skip


async def test_the_mp4_of_a_work_is_for_those_who_may_see_it(
    web: AsyncClient, cast: Cast, shelf: Shelf, database: Database, settings: Settings
) -> None:
    staff, path = cast.bearer("staff"), f"{API}/works/{shelf.recording}"
    assert (await web.get(f"{path}/download", headers=staff)).json()["code"] == "master_not_ready"
    made = (await web.post(f"{path}/master", headers=staff)).json()
    again = (await web.post(f"{API}/works/{shelf.broadcast}/master", headers=staff)).json()
    assert (made["ready"], made["download_url"]) == (False, None)
    assert again == made, "a recording goes by its show's id, too; asked twice it is made once"
    for headers, status in ((cast.stranger, 404), ({}, 401)):
        for method, name in (("POST", "master"), ("GET", "download")):
            answer = await web.request(method, f"{path}/{name}", headers=headers)
            assert answer.status_code == status
    key = f"extras/{shelf.token}/master.mp4"
    open_storage(settings).put_bytes(key, bytes(range(256)) * 40)
    with database.transaction() as session:
        session.add(
            Extra(token=shelf.token, kind="master", storage_key=key, facts={"bytes": 10_240})
        )
    ready = (await web.post(f"{path}/master", headers=staff)).json()
    assert (ready["ready"], ready["job_id"]) == (True, None)
    whole = await web.get(ready["download_url"], headers=staff)
    assert (whole.status_code, len(whole.content)) == (200, 10_240)
    assert whole.headers["content-type"] == "video/mp4"
    assert f"filename*=UTF-8''{quote('元宵晚会.mp4')}" in whole.headers["content-disposition"]
    part = await web.get(ready["download_url"], headers=staff | {"range": "bytes=256-257"})
    assert (part.status_code, part.content) == (206, b"\x00\x01")
    # Never by the address that plays it.
    for name in ("master.mp4", "download.mp4"):
        assert (await web.get(f"/hls/{shelf.token}/{name}")).status_code == 404


async def test_staff_ask_for_it_on_the_pages(
    web: AsyncClient, cast: Cast, shelf: Shelf, database: Database
) -> None:
    public = await web.get(f"/works/{shelf.upload}")
    assert public.status_code == 200
    assert "准备 MP4" not in public.text
    asked = await web.post(f"/desk/works/{shelf.upload}/mp4", headers=OURS)
    assert asked.headers["location"].startswith("/desk/sign-in")
    web.cookies.set("xitai_session", cast.admin_session)
    page = (await web.get(f"/works/{shelf.upload}")).text
    assert "准备 MP4 下载" in page
    back = {"back": f"/works/{shelf.upload}"}
    asked = await web.post(f"/desk/works/{shelf.upload}/mp4", data=back, headers=OURS)
    assert (asked.status_code, asked.headers["location"]) == (303, back["back"])
    assert "正在准备 MP4" in (await web.get(f"/works/{shelf.upload}")).text
    assert "准备 MP4 下载" in (await web.get(f"/desk/b/{shelf.broadcast}")).text
    with database.transaction() as session:
        (job,) = session.query(Job).where(Job.kind == "master")
        assert job.args == {"work_id": shelf.upload}
    assert (await web.get("/desk/works/nothing/mp4")).status_code == 404
    assert (await web.get(f"/desk/works/{shelf.upload}/download")).status_code == 303


async def test_the_page_of_an_upload(
    web: AsyncClient, cast: Cast, shelf: Shelf, database: Database
) -> None:
    with database.transaction() as session:
        for start, end, title in ((0, 4, "象脚鼓舞"), (4, 10, "布朗弹唱《敬酒歌》")):
            session.add(
                Act(
                    token=shelf.upload_token, start_ticks=start * SECOND, end_ticks=end * SECOND,
                    title=title, state="confirmed",
                )
            )  # fmt: skip
        clip = Work(
            id="clip1", centre_id=cast.county, kind="clip", state="ready", title="选段",
            media_token="c" * 22, duration_ticks=7 * SECOND,
            edit_list=[["upload1", 2 * SECOND, 8 * SECOND], [shelf.broadcast, 0, SECOND]],
        )  # fmt: skip
        session.add(clip)
    assert (await web.get(f"/works/{shelf.recording}")).headers["location"] == (
        f"/b/{shelf.broadcast}"
    )
    assert f'href="/works/{shelf.upload}"' in (await web.get("/")).text
    page = (await web.get(f"/works/{shelf.upload}")).text
    assert "布朗弹唱《敬酒歌》" in page
    assert 'data-at="4.000"' in page
    assert 'href="/clips/clip1"' in page
    cut = (await web.get("/clips/clip1")).text
    # What it shows of the acts of its sources, and a source without any by its name.
    assert [cut.count(f'data-at="{at}"') for at in ("0.000", "2.000", "6.000")] == [1, 1, 1]
    assert "元宵晚会" in cut
    assert f'href="/works/{shelf.upload}"' in cut
    sent = await web.post(
        f"{API}/plays",
        json={"events": [beacon(shelf.upload, k, "play-upload") for k in ("view", "start")]},
    )
    assert sent.status_code == 202
    with database.transaction() as session:
        assert counts(session, [shelf.upload])[shelf.upload].play_starts == 1

    # A clip goes with any show it is of, though it is of others, too.
    async def taken_down(kind: str, key: str) -> None:
        body = {"kind": kind, "id": key, "why": "字幕有误"}
        answer = await web.post(f"{API}/takedowns", json=body, headers=cast.bearer("admin"))
        assert answer.status_code == 204, answer.text

    await taken_down("broadcast", shelf.broadcast)
    assert await gone(web, "/clips/clip1")
    assert (await web.get(f"/works/{shelf.upload}")).status_code == 200
    await taken_down("work", shelf.upload)
    assert await gone(web, f"/works/{shelf.upload}")
    assert f'href="/works/{shelf.upload}"' not in (await web.get("/")).text


async def test_a_storyboard_is_served_like_media(
    web: AsyncClient, cast: Cast, shelf: Shelf, database: Database, settings: Settings
) -> None:
    base, board = f"extras/{shelf.upload_token}/storyboard", f"/hls/{shelf.upload_token}/storyboard"
    storage = open_storage(settings)
    storage.put_bytes(f"{base}/storyboard.vtt", b"WEBVTT\n")
    storage.put_bytes(f"{base}/storyboard-1.jpg", b"\xff\xd8")
    storage.put_bytes(f"{base}/storyboard-2.jpg", b"of another try")
    assert f'data-storyboard="{board}.vtt"' not in (await web.get(f"/works/{shelf.upload}")).text
    with database.transaction() as session:
        facts = {"vtt_bytes": 7, "sheets": 1}
        session.add(
            Extra(token=shelf.upload_token, kind="storyboard", storage_key=base, facts=facts)
        )
    for name, kind, body in (
        (".vtt", "text/vtt; charset=utf-8", b"WEBVTT\n"), ("-1.jpg", "image/jpeg", b"\xff\xd8"),
    ):  # fmt: skip
        answer = await web.get(board + name)
        assert (answer.status_code, answer.content) == (200, body)
        assert answer.headers["content-type"] == kind
        assert "immutable" in answer.headers["cache-control"]
    for name in ("-2.jpg", "-0.jpg", "-1.vtt", ".jpg"):
        assert (await web.get(board + name)).status_code == 404, name
    body_ = {"kind": "work", "id": shelf.upload, "why": "字幕有误"}
    await web.post(f"{API}/takedowns", json=body_, headers=cast.bearer("admin"))
    assert await gone(web, f"{board}.vtt")
    assert await gone(web, f"{board}-1.jpg")


async def gone(web: AsyncClient, path: str) -> bool:
    """Whether a page says within some seconds that it was taken down: the news comes by Redis."""
    for _ in range(100):
        if (await web.get(path)).status_code == 410:
            return True
        await asyncio.sleep(0.1)
    return False


async def test_an_upload_is_there_as_far_as_it_goes(
    web: AsyncClient, shelf: Shelf, database: Database
) -> None:
    with database.transaction() as session:
        work = session.get_one(Work, shelf.upload)
        work.state = "making"
        job = Job(
            kind="chunks", queue="vod", args={"work_id": work.id}, state="running",
            progress_permille=370, started_at=dt.datetime.now(dt.UTC),
        )  # fmt: skip
        session.add(job)
    page = (await web.get(f"/works/{shelf.upload}")).text
    assert "已完成 37%" in page
    assert "data-player" in page
    assert f'href="/works/{shelf.upload}"' not in (await web.get("/")).text, "not whole: not listed"


def test_clips_from_a_shell(settings: Settings, database: Database, shelf: Shelf) -> None:
    cli = Cli(settings)
    made = cli.json(
        "clip", "create", "--work", shelf.upload, "--in", "1", "--out", "2.5", "--in", "4",
        "--out", "5", "--broadcast", shelf.broadcast, "--in", "0", "--out", "1", "--no-wait",
    )  # fmt: skip
    assert (made["state"], made["title"]) == ("making", "老录像带 选段")
    assert [(p["source"], p["in"], p["out"]) for p in made["pieces"]] == [
        (shelf.upload, 1, 2.5), (shelf.upload, 4, 5), (shelf.broadcast, 0, 1),
    ]  # fmt: skip
    assert cli.json("clip", "show", made["id"]) == made
    for argv, code in (
        (("--work", shelf.upload, "--in", "1", "--out", "99", "--no-wait"), "clip_past_end"),
        (("--work", "nosuch", "--in", "1", "--out", "2"), "programme_unknown"),
        (("--broadcast", shelf.upload, "--in", "1", "--out", "2"), "broadcast_not_found"),
        (("--work", shelf.upload, "--in", "1"), "clip_pairs"),
    ):
        exit_code, error = cli.refused("clip", "create", *argv)
        assert (exit_code, error["code"]) == (1, code)
        assert error["message"].endswith("。")
    assert cli.refused("clip", "show", shelf.upload)[1]["code"] == "clip_not_found"
    assert cli.run("clip", "create", "--in", "1", "--out", "2").returncode == 2
    with database.transaction() as session:
        assert session.query(AuditEntry).where(AuditEntry.action == "clip.make").count() == 1
        assert session.get_one(Broadcast, shelf.broadcast).state == "ended"
