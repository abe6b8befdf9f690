"""指标 in a real Chromium on a real web process: three clicks to the footage, the editor, entries,
returns, and how every page of it looks."""

from __future__ import annotations

import datetime as dt
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import openpyxl
import pytest
import redis
from playwright.sync_api import Browser, Page
from sqlalchemy import select

from catalog.audit import SYSTEM
from catalog.clock import china_date
from catalog.models import Broadcast, Centre, PastBroadcast
from catalog.plans.compute import report_of
from catalog.plans.service import get_plan
from infra.database import Database
from infra.jobs.runner import JobRunner
from infra.settings import Settings
from infra.tables import Job
from tests.integration.vod.show import air_take, new_show
from tests.support.figures_year import Year, fill
from tests.support.library_stage import web
from tests.support.media import Footage
from tests.support.pages_server import until
from tests.support.soundness import WATCH_CSP, faults
from tests.support.viewer import Viewer, chromium_browser
from vod.jobs import after_finalize

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
RETURN = Path(__file__).parents[1] / "support" / "xishuangbanna-2020-part.yaml"
FINAL = "cx.bxdwt.final"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium_browser() as running:
        yield running


@pytest.fixture
def year(database: Database) -> Year:
    with database.transaction() as session:
        return fill(session, dt.datetime.now(dt.UTC))


@pytest.fixture
def site(settings: Settings, redis_client: redis.Redis, year: Year) -> Iterator[str]:
    with web(settings) as address:
        yield address


class Desk:
    """A signed-in browser window."""

    def __init__(self, browser: Browser, site: str, secret: str, *, elder: bool = False) -> None:
        self.site = site
        self.context = browser.new_context(
            viewport={"width": 390, "height": 844},
            locale="zh-CN",
            timezone_id="Asia/Shanghai",
            accept_downloads=True,
        )
        cookies = [("xitai_session", secret), *([("xitai_elder", "1")] if elder else [])]
        self.context.add_cookies([{"name": n, "value": v, "url": site} for n, v in cookies])
        self.page: Page = self.context.new_page()
        self.page.add_init_script(WATCH_CSP)
        self.complaints: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def go(self, path: str, status: int = 200) -> Page:
        answer = self.page.goto(self.site + path)
        assert answer is not None
        assert answer.status == status, path
        return self.page

    def close(self) -> None:
        assert self.complaints == []
        self.context.close()


# ---- three clicks -------------------------------------------------------------------------------


def test_three_clicks_from_a_number_to_the_footage(
    browser: Browser,
    site: str,
    year: Year,
    settings: Settings,
    database: Database,
    ffmpeg: str,
    media_folder: Path,
    tmp_path: Path,
) -> None:
    """“成片 300 分钟 86%”: the number, the row, the player; the third click plays its frames."""
    show = new_show(settings, database, ffmpeg, tmp_path)
    air_take(show, Footage(6, first=700), media_folder)
    with database.transaction() as session:
        broadcast = session.get_one(Broadcast, show.broadcast_id)
        broadcast.centre_id = year.prefecture_id
        broadcast.title = "火把节之夜"
        broadcast.started_at = dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)
    show.end()
    with database.transaction() as session:
        broadcast = session.get_one(Broadcast, show.broadcast_id)
        after_finalize(session, broadcast)
        session.flush()
        # What is on air is a part of the 258 minutes, so that the number says 86 %.
        past = session.scalars(select(PastBroadcast).order_by(PastBroadcast.held_on)).first()
        assert past is not None
        past.finished_ticks -= _finished(session.get_one(Broadcast, show.broadcast_id), database)
    page = browser.new_context(viewport={"width": 1440, "height": 900}, locale="zh-CN").new_page()
    page.context.add_cookies(
        [{"name": "xitai_session", "value": year.sessions["supervisor"], "url": site}]
    )
    viewer = Viewer(page)
    page.goto(f"{site}/desk/targets")
    goal = page.get_by_test_id("goal").filter(has=page.get_by_role("link", name="成片"))
    said = goal.inner_text()
    assert "258 / 300分钟" in said
    assert "86%" in said
    goal.get_by_role("link").click()  # 1
    page.wait_for_url(f"**/desk/targets/{year.plan_id}/{year.prefecture_id}/{FINAL}")
    assert "86%" in page.get_by_test_id("number").inner_text()
    page.get_by_test_id("evidence").get_by_role("link", name="火把节之夜").click()  # 2
    page.wait_for_url(f"**/b/{show.broadcast_id}")
    page.get_by_test_id("play").click()  # 3
    viewer.wait_number(700, 700 + 6 * 25, 20)
    page.context.close()


def _finished(broadcast: Broadcast, database: Database) -> int:
    from catalog.ledger import broadcast_minutes

    with database.transaction() as session:
        return broadcast_minutes(session, [broadcast])[broadcast.id].finished_ticks


# ---- looks --------------------------------------------------------------------------------------


def _pages(year: Year) -> list[str]:
    number = f"/desk/targets/{year.plan_id}/{year.counties[1]}"
    plan = f"/desk/plans/{year.plan_id}"
    return [
        "/desk",
        "/desk/targets",
        "/desk/targets?show=late",
        "/desk/targets/trend?plan=" + year.plan_id,
        f"{number}/cx.x.info_month",
        f"{number}/cx.x.users",
        number,
        "/desk/owed",
        "/desk/minutes",
        "/desk/minutes?by=month",
        "/desk/minutes?what=exhibits",
        "/desk/returns",
        "/desk/returns/new",
        "/desk/returns/import",
        "/desk/plans",
        "/desk/plans/new",
        plan,
        f"{plan}/edit",
        f"{plan}/units",
        f"{plan}/targets/{FINAL}",
        f"{plan}/targets/new",
    ]


def test_every_page_is_sound_small_and_large(browser: Browser, site: str, year: Year) -> None:
    desk = Desk(browser, site, year.sessions["admin"])
    for path in _pages(year):
        page = desk.go(path)
        until(page, "document.querySelectorAll('[data-chart]:not([data-drawn])').length === 0")
        for width, height in ((390, 844), (320, 640), (1440, 900)):
            page.set_viewport_size({"width": width, "height": height})
            assert faults(page) == [], (path, width)
        page.set_viewport_size({"width": 390, "height": 844})
    desk.close()
    desk = Desk(browser, site, year.sessions["admin"], elder=True)
    for path in _pages(year):
        page = desk.go(path)
        assert page.evaluate("getComputedStyle(document.body).fontSize") == "22px"
        assert faults(page, least=60) == [], path
    desk.close()


def test_nothing_yet_is_still_a_page(
    browser: Browser, settings: Settings, redis_client: redis.Redis, database: Database
) -> None:
    from catalog.accounts import create_user, open_session
    from catalog.centres import add_centre

    now = dt.datetime.now(dt.UTC)
    with database.transaction() as session:
        centre = add_centre(session, "勐海县文化馆")
        user = create_user(
            session, login="one", name="岩温罕", role="staff", centre=centre,
            password="correct-horse-9",
        )  # fmt: skip
        secret = open_session(session, user, now)
    with web(settings) as site:
        desk = Desk(browser, site, secret)
        for path in ("targets", "owed", "minutes", "returns", "returns/new", "plans"):
            page = desk.go(f"/desk/{path}")
            assert page.locator(".empty").count() == 1, path
            assert faults(page) == [], path
        assert desk.go("/desk").get_by_test_id("owed").count() == 0
        desk.close()


def test_the_table_is_red_first_and_says_it_in_words(
    browser: Browser, site: str, year: Year
) -> None:
    desk = Desk(browser, site, year.sessions["supervisor"])
    page = desk.go("/desk/targets")
    counties = page.get_by_test_id("group").filter(has_text="县（市）文化馆").first
    late = [
        row.locator("[data-status=late]").count()
        for row in counties.get_by_test_id("matrix-row").all()
    ]
    assert late == sorted(late, reverse=True)
    assert late[0] > 0
    for cell in counties.get_by_test_id("cell").all()[:40]:
        word = {"late": "滞后", "none": "未填报", "behind": "进行中", "met": "已完成"}
        assert word[cell.get_attribute("data-status") or ""] in cell.inner_text()
    progress = page.get_by_test_id("progress").inner_text()
    assert "最慢的一项" in progress
    assert "÷项数" in progress
    count = int(page.get_by_test_id("tally-late").locator("strong").inner_text())
    page.get_by_test_id("tally-late").click()
    assert page.locator("[data-status=late][data-testid=goal]").count() == count
    assert page.get_by_test_id("goal").count() == count
    # Measured against the end of May, fewer are late than against the end of September.
    desk.go(f"/desk/targets?by={china_date(dt.datetime.now(dt.UTC)).year}-05-31")
    assert int(page.get_by_test_id("tally-late").locator("strong").inner_text()) < count
    desk.close()


# ---- entering, editing, freezing ----------------------------------------------------------------


def test_a_value_by_hand_with_its_evidence(
    browser: Browser, site: str, year: Year, tmp_path: Path
) -> None:
    desk = Desk(browser, site, year.sessions["staff"])
    path = f"/desk/targets/{year.plan_id}/{year.counties[1]}/cx.x.acts_deliv"
    page = desk.go(path)
    form = page.get_by_test_id("entry-form")
    form.get_by_label("数值").fill("-3")
    form.get_by_label("说明").fill("送戏下乡，签到 64 人")
    form.get_by_role("button", name="存下这个数").click()
    page.get_by_text("不能小于 0").wait_for()
    assert page.get_by_label("说明").input_value() == "送戏下乡，签到 64 人"
    proof = tmp_path / "签到表.pdf"
    proof.write_bytes(b"%PDF-1.4 signed by 64")
    page.get_by_label("数值").fill("1")
    page.get_by_label("证据文件").set_input_files(proof)
    page.get_by_role("button", name="存下这个数").click()
    page.get_by_test_id("notice").wait_for()
    assert "50%" in page.get_by_test_id("number").inner_text()
    opened = page.get_by_test_id("entries").get_by_role("link", name="签到表.pdf")
    kept = desk.context.request.get(site + (opened.get_attribute("href") or ""))
    assert kept.body() == b"%PDF-1.4 signed by 64"
    assert kept.headers["x-content-type-options"] == "nosniff"
    # A correction: the old value stays to be seen.
    page.get_by_label("数值").fill("２")
    page.get_by_label("说明").fill("又办了一场")
    page.get_by_role("button", name="存下这个数").click()
    page.get_by_text("已更正").wait_for()
    assert "100%" in page.get_by_test_id("number").inner_text()
    assert page.get_by_test_id("entries").locator("li").count() == 2
    # Another county's evidence is not there for this one.
    other = Desk(browser, site, year.sessions["studio"])
    assert other.context.request.get(f"{site}/desk/evidence/1/0").status == 403
    assert other.context.request.get(f"{site}{path}").status == 403
    stranger = f"/desk/targets/{year.plan_id}/{year.counties[2]}/cx.x.acts_deliv"
    assert desk.context.request.get(f"{site}{stranger}").status == 404
    other.close()
    desk.close()


def test_a_plan_by_one_click_and_its_editor(browser: Browser, site: str, year: Year) -> None:
    desk = Desk(browser, site, year.sessions["supervisor"])
    page = desk.go("/desk/plans/new")
    page.get_by_test_id("load-shanxi-2023").click()
    page.wait_for_url(re.compile(r"/desk/plans/\w+\?done=loaded"))
    assert page.get_by_test_id("target").count() == 33
    # One that was loaded is not offered again.
    page = desk.go("/desk/plans/new")
    assert page.get_by_role("link", name="已经装入，去看看").count() == 2
    page = desk.go(f"/desk/plans/{year.plan_id}/targets/{FINAL}")
    page.get_by_label("目标值").fill("abc")
    page.get_by_role("button", name="存成新的一版").click()
    assert "不是数字" in page.get_by_role("alert").inner_text()
    page.get_by_label("目标值").fill("250")
    page.get_by_role("button", name="存成新的一版").click()
    page.get_by_test_id("notice").wait_for()
    page = desk.go("/desk/targets?plan=" + year.plan_id)
    goal = page.get_by_test_id("goal").filter(has=page.get_by_role("link", name="成片"))
    assert "258 / 250分钟" in goal.inner_text()
    assert "已完成" in goal.inner_text()
    # Two who edit at once: the second is told, and nothing is overwritten.
    first = desk.go(f"/desk/plans/{year.plan_id}/edit")
    second = Desk(browser, site, year.sessions["supervisor"])
    other = second.go(f"/desk/plans/{year.plan_id}/edit")
    first.get_by_label("方案名称").fill("第一个人改的")
    first.get_by_role("button", name="存成新的一版").click()
    first.get_by_test_id("notice").wait_for()
    other.get_by_label("方案名称").fill("第二个人改的")
    other.get_by_role("button", name="存成新的一版").click()
    other.get_by_role("alert").wait_for()
    assert desk.go(f"/desk/plans/{year.plan_id}").get_by_role("heading", level=1).inner_text() == (
        "第一个人改的"
    )
    second.close()
    desk.close()


def test_units_of_a_group(browser: Browser, site: str, year: Year, database: Database) -> None:
    desk = Desk(browser, site, year.sessions["supervisor"])
    page = desk.go(f"/desk/plans/{year.plan_id}/units")
    group = page.get_by_test_id("unit-group").filter(has_text="州图书馆").first
    group.get_by_label("楚雄彝族自治州文化馆").check()
    group.get_by_role("button", name="存下这一组").click()
    page.get_by_test_id("notice").wait_for()
    with database.transaction() as session:
        plan = get_plan(session, SYSTEM, year.plan_id)
        centre = session.get_one(Centre, year.prefecture_id)
        report = report_of(session, plan, centre, plan.year, cut_off=dt.datetime.now(dt.UTC))
    whos = {line.who for unit in report.units for line in unit.lines if unit.centre_id == centre.id}
    assert "州图书馆" in whos
    desk.close()


def test_a_return_its_revisions_and_its_files(
    browser: Browser, site: str, year: Year, settings: Settings, database: Database, tmp_path: Path
) -> None:
    desk = Desk(browser, site, year.sessions["clerk"])
    page = desk.go("/desk/returns/new")
    sentence = page.get_by_test_id("sentences").locator("p").first.inner_text()
    assert sentence.startswith("楚雄彝族自治州文化馆注册用户414人，完成138%；")
    page.get_by_role("button", name="封存").click()
    page.wait_for_url(re.compile(r"/desk/returns/\w+\?done=frozen"))
    assert sentence in page.get_by_test_id("sentences").inner_text()
    assert "和封存时一字不差" in page.inner_text("main")
    # A correction says why, and what it changed can be seen.
    desk.go(f"/desk/targets/{year.plan_id}/{year.prefecture_id}/cx.z.users")
    page.get_by_label("数值").fill("420")
    page.get_by_label("说明").fill("平台重新导出")
    page.get_by_role("button", name="存下这个数").click()
    page.get_by_test_id("notice").wait_for()
    desk.go("/desk/returns/new")
    page.get_by_label("为什么要更正").fill("注册用户数漏了六人")
    page.get_by_role("button", name="封存").click()
    page.wait_for_url(re.compile(r"/desk/returns/\w+\?done=frozen"))
    changes = page.get_by_test_id("changes").first.inner_text()
    assert "414人" in changes
    assert "420人" in changes
    with page.expect_download() as told:
        page.get_by_test_id("download-xlsx").click()
    told.value.save_as(tmp_path / "return.xlsx")
    book = openpyxl.load_workbook(tmp_path / "return.xlsx", read_only=True)
    assert len(book.sheetnames) > 10
    book.close()
    # A long file: promised, written by a worker, fetched here.
    desk.go("/desk/returns/new")
    page.get_by_test_id("export-docx").click()
    page.wait_for_url(re.compile(r"/desk/returns/jobs/\d+"))
    assert page.get_by_test_id("job").get_attribute("data-state") == "queued"
    _work(settings, database)
    page.get_by_test_id("fetch").wait_for(timeout=8_000)
    with page.expect_download() as told:
        page.get_by_test_id("fetch").click()
    assert told.value.suggested_filename.endswith("自查报告（草稿）.docx")
    desk.close()


def _work(settings: Settings, database: Database) -> None:
    """What a worker would do now."""
    import catalog.returns.jobs  # noqa: F401 (registers its handler)

    with database.transaction() as session:
        job = session.scalars(select(Job).where(Job.kind == "report")).one()
    assert JobRunner(database, settings, threading.Event()).look(job.id) == "done"


def test_an_old_year_is_brought_in_and_opens_to_its_minutes(
    browser: Browser, site: str, year: Year
) -> None:
    desk = Desk(browser, site, year.sessions["admin"])
    page = desk.go("/desk/plans/new")
    page.get_by_test_id("load-national-centre-2019").click()
    page.wait_for_url(re.compile("done=loaded"))
    page = desk.go("/desk/returns/import")
    page.get_by_label("归到哪份方案").select_option(year.plan_id)
    page.get_by_label("哪一年的数").fill("2020")
    page.get_by_label("文件（YAML）").set_input_files(RETURN)
    page.get_by_label("顺便建好").check()
    page.get_by_role("button", name="带进来").click()
    result = page.get_by_test_id("result").inner_text()
    assert "14" in result
    assert "印的完成率和目标，都和系统算的一样。" in result
    assert page.get_by_test_id("bad-row").count() == 0
    page = desk.go("/desk/minutes?year=2020")
    sums = page.get_by_test_id("sums").inner_text()
    assert "403.7" in sums  # 103 + 39 + 68 + 81 + 112.7
    assert "402" in sums
    page.get_by_test_id("sums").get_by_role("link").first.click()
    rows = page.get_by_test_id("evidence")
    assert rows.count() == 5
    assert rows.first.locator(".row-amount").inner_text() == "112.7 分钟"
    desk.close()
