"""A clip's page at the desk in a real browser: sound at every width, with and without scripts, what
is being made, what is done, and what is asked for there."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from catalog import accounts
from catalog.centres import add_centre
from catalog.models import Work
from infra.database import Database
from infra.settings import Settings
from infra.storage import open_storage
from infra.tables import Job
from tests.browser.test_pages_looks import Look
from tests.support.clip_shelf import shelve
from tests.support.dancer import Dance, film
from tests.support.library_stage import LONG, web
from tests.support.pages_server import chromium, until
from tests.support.soundness import WATCH_CSP, faults
from vod.forms.asking import job_of_form, request_form
from vod.forms.making import make_form
from vod.forms.wishes import Third
from vod.tools import Tools

pytestmark = pytest.mark.browser
T = 90_000


@dataclass
class Desk:
    """A site with a clip that has forms of every state, and one that has none."""

    site: str
    session: str
    database: Database
    full: str
    done: str
    square: str
    bare: str


@pytest.fixture(scope="module")
def desk(
    postgres_server: Settings, redis_server: str, tmp_path_factory: pytest.TempPathFactory,
    ffmpeg: str,
) -> Iterator[Desk]:  # fmt: skip
    folder = tmp_path_factory.mktemp("forms")
    with psycopg.connect(
        host=str(postgres_server.run_dir), user="postgres", dbname="postgres", autocommit=True
    ) as connection:
        connection.execute(b"CREATE DATABASE forms OWNER xitai TEMPLATE template STRATEGY wal_log")
    settings = Settings(
        data=folder / "data",
        database_url=f"postgresql+psycopg://xitai@/forms?host={postgres_server.run_dir}",
        redis_url=postgres_server.resolved_redis_url,
    )
    database = Database(settings.resolved_database_url, name="forms")
    with _seeded(settings, database, ffmpeg, folder) as seeded, web(settings) as site:
        seeded.site = site
        yield seeded
    database.close()


@contextmanager
def _seeded(settings: Settings, database: Database, ffmpeg: str, folder: Path) -> Iterator[Desk]:
    tools = Tools(settings, database, open_storage(settings))
    with database.transaction() as session:
        centre = add_centre(session, "勐海县文化馆")
        person = accounts.create_user(
            session, login="staff", name="岩温罕", role="staff", centre=centre,
            password="correct-horse-9",
        )  # fmt: skip
        key = accounts.open_session(session, person, dt.datetime.now(dt.UTC))
        centre_id = centre.id
    danced = film(ffmpeg, folder / "danced.mp4", Dance(seconds=2)).path
    full = shelve(tools, danced, seconds=2, centre_id=centre_id)
    bare = shelve(tools, danced, seconds=2, title=LONG, centre_id=centre_id)
    thirds = [Third("岩温罕", "象脚鼓舞领舞", T, 2 * T)]

    def ask(form: str, **wishes: Any) -> Work:
        with database.transaction() as session:
            work, _ = request_form(
                session, work_id=full.id, form=form, created_by=None, lower_thirds=thirds, **wishes
            )
            return work

    done = ask("vertical", title="象脚鼓舞😀")
    make_form(tools, done.id)
    square = ask("square", title_card=False)
    make_form(tools, square.id)
    failed = ask("square")
    running = ask("vertical")
    with database.transaction() as session:
        for work, state in ((done, "done"), (square, "done"), (failed, "failed")):
            _job(job_of_form(session, work.id), state)
        session.get_one(Work, failed.id).state = "failed"
        job = _job(job_of_form(session, running.id), "running")
        job.progress_permille, job.note = 420, "正在重新取景"
        job.started_at = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=30)
    yield Desk("", key, database, full.id, done.id, square.id, bare.id)


def _job(job: Job | None, state: str) -> Job:
    assert job is not None
    job.state = state
    if state == "failed":
        job.error_code, job.error = "storage_full", "存储空间已满，请先腾出空间再重试。"
    return job


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@contextmanager
def enter(
    browser: Browser, desk: Desk, *, width: int = 390, elder: bool = False, script: bool = True
) -> Iterator[Page]:
    context: BrowserContext = browser.new_context(
        viewport={"width": width, "height": 844 if width < 1000 else 900},
        locale="zh-CN", timezone_id="Asia/Shanghai", java_script_enabled=script,
    )  # fmt: skip
    cookies = [("xitai_session", desk.session)] + ([("xitai_elder", "1")] if elder else [])
    context.add_cookies([{"name": n, "value": v, "url": desk.site} for n, v in cookies])
    page = context.new_page()
    page.add_init_script(WATCH_CSP)
    yield page
    context.close()


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("which", ["full", "bare"])
def test_page_is_sound(browser: Browser, desk: Desk, which: str, width: int) -> None:
    with enter(browser, desk, width=width) as page:
        seen = Look(page)
        page.goto(f"{desk.site}/desk/clips/{getattr(desk, which)}")
        page.wait_for_load_state("load")
        assert faults(page) == []
        assert seen.complaints == []


def test_larger_type(browser: Browser, desk: Desk) -> None:
    with enter(browser, desk, elder=True) as page:
        page.goto(f"{desk.site}/desk/clips/{desk.full}")
        assert faults(page, least=60) == []


def test_forms_stand_beside_the_original(browser: Browser, desk: Desk) -> None:
    with enter(browser, desk, width=1440) as page:
        page.goto(f"{desk.site}/desk/clips/{desk.full}")
        cards = page.get_by_test_id("form-card")
        states = [card.get_attribute("data-state") for card in cards.all()]
        assert states == ["making", "failed", "ready", "ready"]
        making, failed, square, vertical = cards.all()
        expect(making).to_contain_text("正在重新取景")
        assert making.locator("progress").get_attribute("value") == "0.420"
        expect(failed).to_contain_text("存储空间已满")
        expect(square).to_contain_text("720×720")
        expect(square).to_contain_text("没有片头")
        expect(vertical).to_contain_text("720×1280")
        expect(vertical).to_contain_text("画面上没有：😀")
        cover = vertical.locator("img")
        cover.scroll_into_view_if_needed()
        expect(cover).to_have_js_property("naturalWidth", 720)
        shown = cover.evaluate("e => e.getBoundingClientRect().height / e.clientWidth")
        assert shown == pytest.approx(16 / 9, abs=0.02)
        # A form's own page at the desk is its original's.
        page.goto(f"{desk.site}/desk/clips/{desk.done}")
        assert page.url.endswith(f"/desk/clips/{desk.full}")


@pytest.mark.parametrize(("width", "height"), [(390, 844), (1440, 900)])
def test_an_upright_one_is_watched_upright(
    browser: Browser, desk: Desk, width: int, height: int
) -> None:
    with enter(browser, desk, width=width) as page:
        page.goto(f"{desk.site}/clips/{desk.done}")
        box = page.get_by_test_id("player").bounding_box()
        assert box is not None
        # All of it on the screen, as large as that allows.
        assert box["height"] <= height
        assert box["height"] >= 0.6 * height
        assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(("which", "shape"), [("done", (720, 1280)), ("square", (720, 720))])
def test_a_form_plays_on_a_phone(
    browser: Browser, desk: Desk, which: str, shape: tuple[int, int]
) -> None:
    with enter(browser, desk) as page:
        page.goto(f"{desk.site}/clips/{getattr(desk, which)}")
        page.get_by_test_id("play").click()
        video = "window.xitaiPlayer.video"
        until(page, f"{video}.currentTime > 0.5 && {video}.readyState >= 2", 20)
        began = page.evaluate(f"{video}.currentTime")
        until(page, f"{video}.currentTime > {began} + 0.5 || {video}.ended", 10)
        assert page.evaluate(f"[{video}.videoWidth, {video}.videoHeight]") == list(shape)
        assert page.evaluate(f"{video}.getVideoPlaybackQuality().totalVideoFrames") > 10
        assert page.evaluate(f"{video}.error") is None
        # All of it is seen, in its own shape.
        box = page.locator("video").bounding_box()
        assert box is not None
        assert box["width"] / box["height"] == pytest.approx(shape[0] / shape[1], abs=0.01)
        assert box["width"] <= 390
        assert box["height"] <= 844


@pytest.mark.parametrize("script", [True, False])
def test_asking_for_one(browser: Browser, desk: Desk, script: bool) -> None:
    form, name = ("vertical", "竖版") if script else ("square", "方版")
    with enter(browser, desk, script=script) as page:
        page.goto(f"{desk.site}/desk/clips/{desk.bare}")
        wish = page.get_by_test_id("form-wish")
        # A long name is cut to what a card holds, and can be changed.
        assert len(wish.get_by_label("片头文字").input_value()) <= 60
        wish.locator(f"input[value={form}]").check()
        wish.get_by_label("片头文字").fill("春晚 <b>第一场</b>")
        wish.locator("[name=name]").first.fill("岩温罕")
        wish.locator("[name=start]").first.fill("零秒")
        wish.locator("[name=stop]").first.fill("0:02")
        page.get_by_role("button", name="再加一条字幕").click()
        # What was typed is there still, and the time that cannot be read is told beside it.
        expect(page.locator("[name=name]").first).to_have_value("岩温罕")
        expect(page.locator(".third").first).to_contain_text("分:秒")
        expect(page.locator(f"input[value={form}]")).to_be_checked()
        page.locator("[name=start]").first.fill("0:05")
        page.locator("[name=stop]").first.fill("0:09")
        page.get_by_test_id("make-form").click()
        expect(page.get_by_test_id("notice")).to_contain_text("第 1 条字幕的时间不对")
        page.locator("[name=start]").first.fill("0:00.5")
        page.locator("[name=stop]").first.fill("0:02")
        page.get_by_test_id("make-form").click()
        expect(page.get_by_test_id("notice")).to_contain_text("开始做了")
        card = page.get_by_test_id("form-card").first
        expect(card).to_contain_text(name)
        expect(card).to_contain_text("排队中")
        with desk.database.transaction() as session:
            made = session.query(Work).filter(Work.form_of_id == desk.bare, Work.form == form).one()
            assert made.making["title"] == "春晚 <b>第一场</b>"
            assert made.making["thirds"] == [["岩温罕", "", T // 2, 2 * T]]
        card.get_by_role("button", name="不做了").click()
        expect(page.get_by_test_id("forms")).to_contain_text("还没有手机版")


def test_it_follows_what_is_being_made(browser: Browser, desk: Desk) -> None:
    with enter(browser, desk, width=1440) as page:
        page.goto(f"{desk.site}/desk/clips/{desk.full}")
        card = page.get_by_test_id("form-card").first
        expect(card).to_have_attribute("data-state", "making")
        with desk.database.transaction() as session:
            running = session.query(Job).filter(Job.kind == "form", Job.state == "running").one()
            running.progress_permille, running.note = 900, "正在保存"
        expect(card).to_contain_text("正在保存", timeout=6000)
        with desk.database.transaction() as session:
            running = session.query(Job).filter(Job.kind == "form", Job.state == "running").one()
            running.state = "failed"
            running.error = "编码失败。"
            session.get_one(Work, running.args["work_id"]).state = "failed"
        expect(card).to_have_attribute("data-state", "failed", timeout=6000)
        # Nothing is being made any more: it stops asking.
        expect(page.get_by_test_id("forms")).not_to_have_attribute("hx-get", "/desk/clips/x")
        assert page.get_by_test_id("forms").get_attribute("hx-get") is None
