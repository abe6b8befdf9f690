"""The pages of the 资源库 on the real catalogue: who sees what, who may do what, nothing lost."""

from __future__ import annotations

import datetime as dt
import io
import re

import pytest
from httpx import AsyncClient, Response
from openpyxl import load_workbook

from catalog import accounts
from catalog.audit import SYSTEM, Actor
from catalog.models import Centre, Resource, User
from catalog.records import service
from infra.database import Database
from infra.settings import Settings
from tests.support.library_stage import Stage, picture, seed

OURS = {"sec-fetch-site": "same-origin"}


@pytest.fixture
def stage(database: Database, settings: Settings) -> Stage:
    return seed(database, settings)


class Visitor:
    """One browser signed in as one of the stage."""

    def __init__(self, web: AsyncClient, stage: Stage) -> None:
        self.web = web
        self.stage = stage

    def become(self, role: str | None) -> Visitor:
        self.web.cookies.clear()
        if role:
            self.web.cookies.set("xitai_session", self.stage.people[role])
        return self

    async def get(self, path: str) -> Response:
        return await self.web.get(path)

    async def post(self, path: str, **data: str | list[str]) -> Response:
        return await self.web.post(path, data=data, headers=OURS)

    def path(self, name: str) -> str:
        return f"/desk/library/{self.stage.records[name]}"


@pytest.fixture
def visitor(web: AsyncClient, stage: Stage) -> Visitor:
    return Visitor(web, stage)


def state_of(database: Database, record: str) -> str:
    with database.transaction() as session:
        return session.get_one(Resource, record).state


def hidden(page: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found is not None, name
    return found[1]


async def test_from_a_new_record_to_the_public_by_three_people(
    visitor: Visitor, database: Database
) -> None:
    visitor.become("staff")
    form = {"kind": "news", "title": "送戏下乡", "event_date": "2026-03-01", "body": "正文"}
    made = await visitor.post("/desk/library/new", **form)
    assert made.status_code == 303
    page = made.headers["location"].partition("?")[0]
    record = page.rpartition("/")[2]
    assert (await visitor.get(f"/r/{record}")).status_code == 404, "a draft is nobody's else"
    assert (await visitor.post(f"{page}/submit")).status_code == 303
    # The author of it may not judge it, nor may a reviewer of another step.
    assert (await visitor.post(f"{page}/decision", step="1")).status_code == 403
    seen = hidden((await visitor.become("reviewer_1").get(page)).text, "seen")
    wrong = await visitor.become("reviewer_2").post(
        f"{page}/decision", step="1", seen=seen, decision="approve"
    )
    assert wrong.status_code == 409
    assert "请由负责初审的人员审核" in wrong.text
    for step in (1, 2, 3):
        visitor.become(f"reviewer_{step}")
        queue = (await visitor.get("/desk/review")).text
        assert 'data-mine="yes"' in queue
        done = await visitor.post(f"{page}/decision", step=str(step), seen=seen, decision="approve")
        assert done.status_code == 303, done.text
    assert done.headers["location"].endswith("done=published")
    public = await visitor.become(None).get(f"/r/{record}")
    assert public.status_code == 200
    assert "送戏下乡" in (await visitor.get("/search?q=送戏")).text


async def test_a_decision_on_what_was_changed_meanwhile_is_refused(
    visitor: Visitor, database: Database
) -> None:
    path = visitor.path("long")
    seen = hidden((await visitor.become("reviewer_2").get(path)).text, "seen")
    with database.transaction() as session:
        staff = visitor.stage.actors["staff"]
        service.change(session, staff, visitor.stage.records["long"], {"title": "换了题名"})
    answer = await visitor.post(f"{path}/decision", step="2", seen=seen, decision="approve")
    assert answer.status_code == 409
    assert state_of(database, visitor.stage.records["long"]) == "draft"


async def test_returning_needs_a_word(visitor: Visitor, database: Database) -> None:
    path, record = visitor.path("long"), visitor.stage.records["long"]
    seen = hidden((await visitor.become("reviewer_2").get(path)).text, "seen")
    silent = await visitor.post(f"{path}/decision", step="2", seen=seen, decision="return")
    assert silent.status_code == 409
    assert "请写明原因" in silent.text
    told = await visitor.post(
        f"{path}/decision", step="2", seen=seen, decision="return", note="题名太长"
    )
    assert told.status_code == 303
    assert state_of(database, record) == "draft"
    assert "题名太长" in (await visitor.become("staff").get(path)).text


async def test_a_form_that_fails_keeps_every_word(visitor: Visitor) -> None:
    visitor.become("staff")
    form: dict[str, str | list[str]] = {
        "kind": "news",
        "title": "明年的事",
        "event_date": "2099-01-01",
        "description": "写了很久的简介",
        "person_name": ["玉香", ""],
        "person_role": ["director", "performer"],
        "languages": ["khb"],
    }
    answer = await visitor.post("/desk/library/new", **form)
    assert answer.status_code == 422
    for kept in ("明年的事", "写了很久的简介", 'value="玉香"', "还没有到"):
        assert kept in answer.text
    assert re.search(r'value="khb" checked', answer.text)


async def test_two_people_editing_at_once_lose_nothing(
    visitor: Visitor, database: Database
) -> None:
    path, record = visitor.path("song"), visitor.stage.records["song"]
    opened = (await visitor.become("staff").get(f"{path}/edit")).text
    with database.transaction() as session:
        service.change(session, visitor.stage.actors["admin"], record, {"place": "布朗山"})
    form: dict[str, str | list[str]] = {
        "version": hidden(opened, "version"),
        "title": "我改的题名",
        "licence": "centre",
    }
    form["event_date"] = "2026-02-03"
    late = await visitor.post(f"{path}/edit", **form)
    assert late.status_code == 422
    assert "别人刚刚改过" in late.text
    assert "我改的题名" in late.text
    form["version"] = hidden(late.text, "version")
    assert (await visitor.post(f"{path}/edit", **form)).status_code == 303
    page = (await visitor.get(path)).text
    assert "我改的题名" in page
    assert "<ins>布朗山</ins>" in page, "what the other wrote stands in the history"


async def test_many_at_once_and_what_could_not_be_changed(
    visitor: Visitor, database: Database
) -> None:
    ids = [visitor.stage.records[name] for name in ("song", "show", "far")]
    answer = await visitor.become("staff").post(
        "/desk/library/bulk", do="change", id=ids, place="勐遮", add_keywords="茶马、古道"
    )
    assert answer.status_code == 200
    assert "改好了 2 件" in answer.text
    assert "这几件没有改" in answer.text, "another county's record is not there for them"
    with database.transaction() as session:
        song = session.get_one(Resource, ids[0])
        assert (song.place, song.keywords) == ("勐遮", ["布朗弹唱", "茶马", "古道"])
        assert session.get_one(Resource, ids[1]).state == "draft", "changed, so reviewed anew"
        assert session.get_one(Resource, ids[2]).place != "勐遮"
    none = await visitor.post("/desk/library/bulk", do="change")
    assert none.headers["location"].endswith("done=nothing")


async def test_export_changed_and_brought_in_again(visitor: Visitor) -> None:
    visitor.become("staff")
    out = await visitor.get("/desk/library/export.xlsx?kind=audio")
    assert out.status_code == 200
    book = load_workbook(io.BytesIO(out.content))
    sheet = book.worksheets[0]
    head = next(n for n, row in enumerate(sheet.values, start=1) if "题名" in row)
    column = [cell.value for cell in sheet[head]].index("题名") + 1
    assert sheet.cell(head + 1, column).value == "布朗弹唱《茶山敬酒歌》"
    sheet.cell(head + 1, column).value = "布朗弹唱（修订）"
    changed = io.BytesIO()
    book.save(changed)
    for done, told in ((1, "导入好了"), (0, "没有新的内容")):
        answer = await visitor.web.post(
            "/desk/library/import",
            files={"file": ("a.xlsx", changed.getvalue())},
            headers=OURS,
        )
        assert answer.status_code == 200, done
        assert told in answer.text
    assert "布朗弹唱（修订）" in (await visitor.get(visitor.path("song"))).text
    wrong = await visitor.web.post(
        "/desk/library/import", files={"file": ("a.xlsx", b"not a workbook")}, headers=OURS
    )
    assert wrong.status_code == 422


async def test_files_are_the_publics_only_when_published(
    visitor: Visitor, database: Database
) -> None:
    visitor.become("staff")
    made = await visitor.web.post(
        "/desk/library/new",
        data={"kind": "image", "title": "新照片", "licence": "centre"},
        files=[("files", (f"{n}.jpg", picture(n * 30, 300, 200))) for n in range(2)],
        headers=OURS,
    )
    assert made.status_code == 303
    record = made.headers["location"].partition("?")[0].rpartition("/")[2]
    page = (await visitor.get(f"/desk/library/{record}")).text
    assert "新照片（1）" in page
    whole = re.search(rf"/files/{record}/\w+", page)
    assert whole is not None
    got = await visitor.get(whole[0])
    assert (got.status_code, got.headers["content-type"]) == (200, "image/jpeg")
    assert "sandbox" in got.headers["content-security-policy"]
    assert (await visitor.get(f"{whole[0]}-small")).status_code == 200
    assert (await visitor.get(f"/files/{record}/0123456789ab")).status_code == 404
    assert (await visitor.become(None).get(whole[0])).status_code == 404
    # Published, it is shown to all; the file itself, in which a camera wrote where it stood, is
    # for those who look after it.
    with database.transaction() as session:
        session.get_one(Resource, record).state = "published"
    for name in (whole[0], f"{whole[0]}-large"):
        seen = await visitor.get(name)
        assert seen.status_code == 200
        assert seen.content != got.content
    assert (await visitor.become("staff").get(whole[0])).content == got.content
    visitor.become(None)
    published = visitor.stage.records["picture0"]
    page = (await visitor.get(f"/r/{published}")).text
    shown = re.search(rf"/files/{published}/\w+", page)
    assert shown is not None
    assert (await visitor.get(shown[0])).status_code == 200


async def test_only_what_is_published_stands_for_a_whole(
    visitor: Visitor, database: Database
) -> None:
    first, second = (visitor.stage.records[f"picture{n}"] for n in (0, 1))
    with database.transaction() as session:
        session.get_one(Resource, first).state = "review_2"
    everybody = (await visitor.become(None).get("/search?kind=exhibition")).text
    assert f"/files/{second}/" in everybody
    assert f"/files/{first}/" not in everybody
    assert "3 章" in (await visitor.get("/search?kind=course")).text
    assert "4 章" in (await visitor.become("staff").get("/desk/library?kind=course")).text


async def test_a_file_that_is_no_picture_is_refused_in_words(visitor: Visitor) -> None:
    answer = await visitor.become("staff").web.post(
        "/desk/library/new",
        data={"kind": "image", "title": "不是照片"},
        files={"files": ("a.jpg", b"<script>alert(1)</script>")},
        headers=OURS,
    )
    assert answer.status_code == 422
    assert "认不出来" in answer.text
    assert "不是照片" in answer.text


async def test_taken_down_at_once_and_put_back(visitor: Visitor) -> None:
    path = visitor.path("show")
    record = visitor.stage.records["show"]
    where = (await visitor.become(None).get(f"/r/{record}")).headers["location"]
    assert (await visitor.get(where)).status_code == 200
    bare = await visitor.become("staff").post(f"{path}/takedown", why=" ")
    assert bare.status_code == 409
    assert (await visitor.post(f"{path}/takedown", why="画面有误")).status_code == 303
    page = (await visitor.get(path)).text
    assert "已紧急下架" in page
    assert "画面有误" in page
    visitor.become(None)
    assert (await visitor.get(where)).status_code == 410
    assert (await visitor.get(f"/r/{record}")).status_code == 410
    assert record not in (await visitor.get("/search")).text
    assert (await visitor.become("staff").post(f"{path}/put-back")).status_code == 303
    assert (await visitor.become(None).get(where)).status_code == 200


async def test_a_whole_broadcast_from_its_own_screen(visitor: Visitor, database: Database) -> None:
    with database.transaction() as session:
        show = session.get_one(Resource, visitor.stage.records["show"]).broadcast_id
    assert (await visitor.become("reviewer_1").post(f"/desk/b/{show}/takedown")).status_code == 403
    visitor.become("supervisor")
    await visitor.post(f"/desk/b/{show}/takedown", why="  ")
    assert (await visitor.get(f"/b/{show}")).status_code == 200, "not without a reason"
    assert (await visitor.post(f"/desk/b/{show}/takedown", why="口播有误")).status_code == 303
    assert (await visitor.get(f"/b/{show}")).status_code == 410
    assert "已经紧急下架" in (await visitor.get(f"/desk/b/{show}")).text
    await visitor.post(f"/desk/b/{show}/put-back")
    assert (await visitor.get(f"/b/{show}")).status_code == 200


async def test_an_address_is_told_and_a_package_is_promised(
    visitor: Visitor, database: Database
) -> None:
    visitor.become("admin")
    bad = await visitor.post("/desk/sharing/webhooks", url="ftp://example.cn/", events=[])
    assert bad.status_code == 422
    made = await visitor.post(
        "/desk/sharing/webhooks", url="https://example.cn/hook", events=["resource.published"]
    )
    assert made.status_code == 201
    assert "whsec_" in made.text
    page = (await visitor.get("/desk/sharing")).text
    assert "https://example.cn/hook" in page
    assert "whsec_" not in page, "shown once"
    hook = re.search(r"/desk/sharing/webhooks/(\w+)/ping", page)
    assert hook is not None
    for act in ("ping", "off", "on", "remove"):
        done = await visitor.post(f"/desk/sharing/webhooks/{hook[1]}/{act}")
        assert done.status_code == 303, act
    assert "https://example.cn/hook" not in (await visitor.get("/desk/sharing")).text
    visitor.become("staff")
    packed = await visitor.post(
        "/desk/sharing/packages", id=[visitor.stage.records["show"]], year="2026"
    )
    assert packed.status_code == 303
    assert 'data-testid="job"' in (await visitor.get("/desk/sharing/packages/list")).text
    empty = await visitor.post("/desk/sharing/packages", year="1999")
    assert empty.status_code == 422


async def test_lessons_change_places(visitor: Visitor, database: Database) -> None:
    records = visitor.stage.records
    done = await visitor.become("staff").post(
        f"{visitor.path('course')}/order", child=records["lesson3"], move="up"
    )
    assert done.status_code == 303
    with database.transaction() as session:
        order = [kid.title for kid in service.children(session, SYSTEM, records["course"])]
        assert order == ["认识象脚鼓", "基本鼓点", "站姿与持鼓", "边走边打"]
        # A place in the order is nothing reviewers judge: what is public stays so.
        assert session.get_one(Resource, records["lesson3"]).state == "published"


@pytest.mark.parametrize(
    ("role", "path", "status"),
    [
        (None, "/desk/library", 303),
        ("reviewer_1", "/desk/library", 200),
        ("reviewer_1", "/desk/library/new", 403),
        ("reviewer_1", "/desk/library/import", 403),
        ("reviewer_1", "/desk/library/genres", 403),
        ("supervisor", "/desk/audit", 200),
        ("staff", "/desk/audit", 403),
        ("staff", "/desk/sharing", 200),
        ("supervisor", "/desk/sharing", 403),
        ("admin", "/desk/sharing", 200),
    ],
)
async def test_pages_by_role(visitor: Visitor, role: str | None, path: str, status: int) -> None:
    assert (await visitor.become(role).get(path)).status_code == status


async def test_another_countys_record_is_not_there(visitor: Visitor) -> None:
    path = visitor.path("far")
    visitor.become("staff")
    for answer in (
        await visitor.get(path),
        await visitor.get(f"{path}/edit"),
        await visitor.post(f"{path}/submit"),
        await visitor.post(f"{path}/withdraw", why="x"),
        await visitor.post(f"{path}/takedown", why="x"),
        await visitor.post(f"{path}/order", child="x"),
    ):
        assert answer.status_code == 404
    assert "勐腊县的消息" not in (await visitor.get("/desk/library")).text
    assert "勐腊县的消息" in (await visitor.become("admin").get("/desk/library")).text


async def test_a_studio_sees_its_contract_and_no_more(visitor: Visitor, database: Database) -> None:
    with database.transaction() as session:
        county = session.get_one(
            Centre, session.get_one(Resource, visitor.stage.records["song"]).centre_id
        )
        user: User = accounts.create_user(
            session,
            login="studio",
            name="影像工作室",
            role="studio",
            centre=county,
            password="correct-horse-9",
            contract="HT-7",
        )
        visitor.stage.people["studio"] = accounts.open_session(
            session, user, dt.datetime.now(dt.UTC)
        )
        actor = Actor(user.id, user.display_name, "studio", county.path, "HT-7")
        fields = {"title": "合同里的片子"}
        own = service.create(session, actor, kind="micro", centre=county, fields=fields).id
    page = (await visitor.become("studio").get("/desk/library")).text
    assert "合同里的片子" in page
    assert "布朗弹唱" not in page
    assert (await visitor.get(f"/desk/library/{own}/edit")).status_code == 200
    assert (await visitor.get(visitor.path("song"))).status_code == 404
    assert (await visitor.get("/desk/library/suggest?q=布朗")).json() == []


async def test_a_post_from_elsewhere_does_nothing(visitor: Visitor, database: Database) -> None:
    record = visitor.stage.records["song"]
    visitor.become("staff")
    for headers in ({}, {"sec-fetch-site": "cross-site"}, {"origin": "http://evil.example"}):
        answer = await visitor.web.post(
            f"/desk/library/{record}/withdraw", data={"why": "x"}, headers=headers
        )
        assert answer.status_code == 403
    assert state_of(database, record) == "draft"


async def test_what_was_done_is_in_the_log(visitor: Visitor) -> None:
    await visitor.become("staff").post(f"{visitor.path('song')}/withdraw", why="版权到期")
    page = (await visitor.become("supervisor").get("/desk/audit?action=resource.withdraw")).text
    assert "岩温罕" in page
    assert "版权到期" in page
    assert "布朗弹唱" in page
