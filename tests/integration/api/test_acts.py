"""Acts over the API and through the plain forms: lists, marks, clips in one go, who may what."""

from __future__ import annotations

import io
from typing import Any

import pytest
from httpx import AsyncClient, Response
from openpyxl import Workbook
from sqlalchemy import func, select

from api.routes import PREFIX
from catalog import acts
from catalog.audit import SYSTEM
from catalog.models import Act, Broadcast, Centre, Mark, Work
from catalog.programmes import LINES_MAX
from infra.database import Database
from infra.tables import Job
from tests.integration.api.conftest import Cast
from tests.support.stage import SECOND, make_stage

PASTED = "1. 舞蹈《象脚鼓舞》 曼蚌村文艺队\n2. 独唱《敬酒歌》 岩罕恩\n3. 小品《过年》\n"


@pytest.fixture
def show(database: Database, cast: Cast) -> str:
    """A broadcast of 60 s that has ended, and its id."""
    with database.transaction() as session:
        stage = make_stage(session, centre=session.get_one(Centre, cast.county))
        take = stage.open()
        stage.slots(take, stage.run(take), [2 * SECOND] * 30)
        stage.close(take, end_ms=60_000)
        stage.broadcast.state = "ended"
        return stage.broadcast.id


def at(show: str, page: str) -> str:
    return f"{PREFIX}/programmes/{show}/{page}"


async def save(web: AsyncClient, cast: Cast, show: str, *items: dict[str, Any]) -> Response:
    seen = (await web.get(at(show, "acts"), headers=cast.bearer("staff"))).json()["version"]
    body = {"version": seen, "items": items}
    return await web.put(at(show, "acts"), headers=cast.bearer("staff"), json=body)


async def test_acts_are_kept_to_the_tick(web: AsyncClient, cast: Cast, show: str) -> None:
    saved = await save(
        web, cast, show,
        {"start": 1 / 90_000, "end": 20.04, "title": "象脚鼓舞"},
        {"start": 20.04, "end": 60},
    )  # fmt: skip
    assert saved.status_code == 200, saved.text
    body = saved.json()
    assert body["length"] == 60
    assert [(round(a["start"] * 90_000), round(a["end"] * 90_000)) for a in body["items"]] == [
        (1, 1_803_600),
        (1_803_600, 5_400_000),
    ]
    assert {a["state"] for a in body["items"]} == {"confirmed"}
    stale = {"version": "0" * 16, "items": []}
    refused = await web.put(at(show, "acts"), headers=cast.bearer("staff"), json=stale)
    assert (refused.status_code, refused.json()["code"]) == (409, "acts_changed")
    over = await save(web, cast, show, {"start": 0, "end": 30}, {"start": 29, "end": 40})
    assert (over.status_code, over.json()["code"]) == (422, "acts_overlap")
    assert "第 2 段" in over.json()["detail"]


async def test_clips_of_acts_in_one_go(
    web: AsyncClient, cast: Cast, show: str, database: Database
) -> None:
    items = (await save(
        web, cast, show,
        {"start": 0, "end": 20, "title": "象脚鼓舞"}, {"start": 20, "end": 40, "title": "敬酒歌"},
        {"start": 40, "end": 60},
    )).json()["items"]  # fmt: skip
    ids = [item["id"] for item in items]

    async def make(*chosen: int) -> dict[int, tuple[str, bool]]:
        answer = await web.post(
            at(show, "acts/clips"), headers=cast.bearer("staff"), json={"acts": chosen}
        )
        assert answer.status_code == 202, answer.text
        return {m["act_id"]: (m["clip"]["id"], m["new"]) for m in answer.json()["items"]}

    first = await make(ids[2], ids[0])
    assert [new for _, new in first.values()] == [True, True]
    with database.transaction() as session:
        works = {w.id: w for w in session.scalars(select(Work))}
        assert works[first[ids[0]][0]].title == "象脚鼓舞"
        assert works[first[ids[0]][0]].edit_list == [[show, 0, 20 * SECOND]]
        assert works[first[ids[2]][0]].title == "元宵晚会（第 3 段）"
        jobs = session.scalars(select(Job.unique_key).where(Job.kind == "clip"))
        assert set(jobs) == {f"clip:{key}" for key in works}
    # Again, with one more: what is being made is not made twice.
    again = await make(*ids)
    assert {key: new for key, (_, new) in again.items()} == {
        ids[0]: False,
        ids[1]: True,
        ids[2]: False,
    }
    assert again[ids[0]][0] == first[ids[0]][0]
    # An act that was changed is another clip.
    kept = [dict(item, start=item["start"]) for item in items]
    changed = await save(
        web, cast, show,
        *({"id": k["id"], "start": k["start"], "end": k["end"] - (k["id"] == ids[0]),
           "title": k["title"]} for k in kept),
    )  # fmt: skip
    assert [a["clip"] is None for a in changed.json()["items"]] == [True, False, False]
    assert (await make(ids[0]))[ids[0]][1] is True
    unknown = await web.post(
        at(show, "acts/clips"), headers=cast.bearer("staff"), json={"acts": [10**9]}
    )
    assert (unknown.status_code, unknown.json()["code"]) == (404, "act_unknown")


async def test_marks_over_the_api(web: AsyncClient, cast: Cast, show: str) -> None:
    staff = cast.bearer("staff")
    now = await web.post(at(show, "marks"), headers=staff, json={"label": "谢幕"})
    # It is over: "now" is its end.
    assert now.status_code == 201
    assert now.json()["at"] == 60
    earlier = await web.post(at(show, "marks"), headers=staff, json={"at": 12.5})
    listed = (await web.get(at(show, "marks"), headers=staff)).json()["items"]
    assert [(m["at"], m["label"]) for m in listed] == [(12.5, ""), (60, "谢幕")]
    url = at(show, f"marks/{earlier.json()['id']}")
    assert (await web.delete(url, headers=staff)).status_code == 204
    assert (await web.delete(url, headers=staff)).json()["code"] == "mark_unknown"


async def test_out_of_reach_is_not_there(web: AsyncClient, cast: Cast, show: str) -> None:
    body = {"version": "", "items": []}
    for method, page, sent in (
        ("GET", "list", None), ("PUT", "list", {"items": []}), ("GET", "marks", None),
        ("POST", "marks", {}), ("DELETE", "marks/1", None), ("GET", "acts", None),
        ("PUT", "acts", body), ("POST", "acts/analysis", None),
        ("POST", "acts/clips", {"acts": [1]}),
    ):  # fmt: skip
        answer = await web.request(method, at(show, page), headers=cast.stranger, json=sent)
        assert (answer.status_code, answer.json()["code"]) == (404, "programme_unknown"), page


async def test_analysis_is_promised_once(
    web: AsyncClient, cast: Cast, show: str, database: Database
) -> None:
    staff = cast.bearer("staff")
    jobs = [
        (await web.post(at(show, "acts/analysis"), headers=staff)).json()["job"]["id"]
        for _ in range(2)
    ]
    assert jobs[0] == jobs[1]
    with database.transaction() as session:
        assert session.get_one(Job, jobs[0]).kind == "acts"


# --- the plain forms -------------------------------------------------------------------------


async def test_an_analysis_is_stopped_on_its_page(
    desk: AsyncClient, show: str, database: Database
) -> None:
    url = f"/desk/programmes/{show}/acts"
    assert (await desk.post(f"{url}/analysis")).status_code == 303
    assert "不分析了" in (await desk.get(url)).text
    assert (await desk.post(f"{url}/analysis/stop")).status_code == 303
    with database.transaction() as session:
        assert session.scalars(select(Job.state).where(Job.kind == "acts")).one() == "cancelled"
    page = await desk.get(url)
    assert "不分析了" not in page.text
    assert "请系统分段" in page.text
    # Pressed again, or on a page that was open too long: nothing happens.
    assert (await desk.post(f"{url}/analysis/stop")).status_code == 303


@pytest.fixture
def desk(web: AsyncClient, cast: Cast) -> AsyncClient:
    web.cookies.set("xitai_session", cast.admin_session)
    web.headers["sec-fetch-site"] = "same-origin"
    return web


async def test_the_list_is_read_looked_over_and_saved(
    desk: AsyncClient, show: str, database: Database
) -> None:
    url = f"/desk/programmes/{show}/list"
    read = await desk.post(f"{url}/read", data={"pasted": PASTED})
    assert read.status_code == 200
    assert "读出了 3 个节目" in read.text
    assert 'value="岩罕恩"' in read.text
    assert "没有当作节目" not in read.text
    talk = await desk.post(f"{url}/read", data={"pasted": f"{PASTED}\n主持人：请大家入座"})
    assert "有 1 行没有当作节目" in talk.text
    assert "主持人:请大家入座" in talk.text
    book, file = Workbook(), io.BytesIO()
    for row in (("序号", "节目名称", "演出者"), (1, "象脚鼓舞", "曼蚌村"), (2, "敬酒歌", "岩罕恩")):
        book.active.append(row)  # type: ignore[union-attr]
    book.save(file)
    sheet = await desk.post(f"{url}/read", files={"file": ("节目单.xlsx", file.getvalue())})
    assert "读出了 2 个节目" in sheet.text
    wrong = await desk.post(f"{url}/read", files={"file": ("节目单.docx", b"PK")})
    assert wrong.status_code == 422
    assert "XLSX 表格、PDF 文件" in wrong.text
    assert (await desk.post(f"{url}/read", data={"pasted": " "})).status_code == 422
    # Larger than other bodies may be, and no list: said on the page.
    scan = {"file": ("扫描.pdf", b"%PDF-1.7\n" + bytes(2 << 20))}
    broken = await desk.post(f"{url}/read", files=scan)
    assert broken.status_code == 422
    assert "field-error" in broken.text
    with database.transaction() as session:
        token = session.get_one(Broadcast, show).media_token
        # Looking it over keeps nothing.
        assert acts.programme(session, token) == []
        version = acts.programme_version(session, token)
    rows = {
        "version": version,
        "title": ["象脚鼓舞", "", "敬酒歌"], "genre": ["舞蹈", "", ""],
        "performers": ["曼蚌村", "", ""], "about": ["", "", "12:05"], "length": ["4:30", "", ""],
    }  # fmt: skip
    bad = await desk.post(url, data={**rows, "about": ["一会儿", "", ""]})
    assert bad.status_code == 422
    assert 'value="一会儿"' in bad.text
    assert (await desk.post(url, data=rows)).status_code == 303
    with database.transaction() as session:
        kept = acts.programme(session, token)
        assert [(e.title, e.about_ticks, e.length_ticks) for e in kept] == [
            ("象脚鼓舞", None, 270 * SECOND),
            ("敬酒歌", 725 * SECOND, None),
        ]
    late = await desk.post(url, data=rows)
    assert late.status_code == 409
    assert "别人刚刚改过节目单" in late.text
    page = await desk.get(f"/b/{show}")
    assert "敬酒歌" in page.text


async def test_the_longest_list_is_saved_and_too_long_a_paste_is_told(
    desk: AsyncClient, show: str, database: Database
) -> None:
    url = f"/desk/programmes/{show}/list"
    with database.transaction() as session:
        token = session.get_one(Broadcast, show).media_token
        version = acts.programme_version(session, token)
    rows = {"title": "节目", "genre": "舞蹈", "performers": "曼蚌村", "about": "", "length": "4:30"}
    many = {name: [value] * LINES_MAX for name, value in rows.items()}
    assert (await desk.post(url, data={"version": version, **many})).status_code == 303
    with database.transaction() as session:
        assert len(acts.programme(session, token)) == LINES_MAX
    long = "1、舞蹈《春》\n" * 300_000
    told = await desk.post(f"{url}/read", data={"pasted": long}, files={"other": b""})
    assert told.status_code == 422
    assert f"节目单有 {len(long)} 个字" in told.text


async def test_acts_without_a_script(desk: AsyncClient, show: str, database: Database) -> None:
    url = f"/desk/programmes/{show}/acts"
    with database.transaction() as session:
        token = session.get_one(Broadcast, show).media_token
        acts.propose(
            session, token,
            [acts.Proposal(7, 20 * SECOND + 7, "开场", 700, [("applause", 900), ("light", 100)]),
             acts.Proposal(20 * SECOND + 7, 40 * SECOND, "第二个", 200)],
        )  # fmt: skip
        ids = [act.id for act in acts.acts(session, token)]
        version = acts.version(session, token)
        for at_s in (30, 90):
            acts.add_mark(session, SYSTEM, token, at_s * SECOND)
    page = await desk.get(url)
    assert "这里有掌声、灯光变了。" in page.text
    # Nothing is drawn past the programme's end.
    assert f'"at": {30 * SECOND}' in page.text
    assert f'"at": {90 * SECOND}' not in page.text
    assert 'name="start" value="0:20"' in page.text
    rows: dict[str, Any] = {
        "version": version, "id": [str(ids[0]), str(ids[1]), ""], "entry": ["", "", ""],
        "title": ["开场舞", "第二个", "新的"], "start": ["0:00", "0:20", "0:40"],
        "end": ["0:20", "0:39.5", "0:50"],
    }  # fmt: skip
    bad = await desk.post(url, data={**rows, "end": ["0:20", "很久", "0:50"]})
    assert bad.status_code == 422
    assert 'value="很久"' in bad.text
    overlap = await desk.post(url, data={**rows, "end": ["0:21", "0:39.5", "0:50"]})
    assert overlap.status_code == 422
    assert "两段重叠了" in overlap.text
    assert (await desk.post(url, data={**rows, "gone": str(ids[1])})).status_code == 303
    with database.transaction() as session:
        first, third = acts.acts(session, token)
        # Shown rounded and left as it was: not moved by the rounding.
        assert (first.start_ticks, first.end_ticks) == (7, 20 * SECOND + 7)
        assert (first.id, first.title, first.state) == (ids[0], "开场舞", "confirmed")
        assert (third.start_ticks, third.end_ticks) == (40 * SECOND, 50 * SECOND)
    stale = await desk.post(url, data=rows)
    assert stale.status_code == 409
    assert "别人刚刚改过节目段" in stale.text
    made = await desk.post(f"{url}/clips", data={"pick": [str(first.id), str(third.id)]})
    assert made.status_code == 303
    with database.transaction() as session:
        assert session.scalar(select(func.count()).select_from(Work)) == 2
        assert all(act.work_id for act in session.scalars(select(Act)))
    rows_now = await desk.get(f"{url}/clips")
    assert rows_now.text.count("排队中") == 2
    assert (await desk.post(f"{url}/clips", data={})).status_code == 409
    assert (await desk.get(f"/desk/programmes/{show}/drawn/waveform")).status_code == 404
    assert (await desk.get("/desk/programmes/nothing/acts")).status_code == 404


async def test_marks_at_the_live_desk(desk: AsyncClient, show: str, database: Database) -> None:
    url = f"/desk/programmes/{show}/marks"
    with database.transaction() as session:
        broadcast = session.get_one(Broadcast, show)
        broadcast.state = "live"
        lines = [acts.Line("象脚鼓舞"), acts.Line("敬酒歌")]
        entries = acts.set_programme(session, SYSTEM, broadcast.media_token, lines)
        first, second = (str(entry.id) for entry in entries)
    page = await desk.get(f"/desk/b/{show}")
    assert f'<option value="{first}" selected>' in page.text
    pressed = await desk.post(url, data={"entry": first}, headers={"hx-request": "true"})
    assert "记下了：1:00 象脚鼓舞" in pressed.text
    # Whose turn it is now.
    assert f'<option value="{second}" selected>' in pressed.text
    with database.transaction() as session:
        mark = session.scalars(select(Mark)).one()
        assert (mark.at_ticks, mark.label) == (60 * SECOND, "象脚鼓舞")
    back = await desk.post(f"{url}/{mark.id}/remove")
    assert back.status_code == 303
    assert back.headers["location"] == f"/desk/b/{show}#marks"
    assert f'<option value="{first}" selected>' in (await desk.get(f"/desk/b/{show}")).text
