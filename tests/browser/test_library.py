"""The pages of the 资源库 in a real browser: sound at every width, and what people do in them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from infra.database import Database
from infra.settings import Settings
from tests.browser.test_pages_looks import Look
from tests.support.library_stage import LONG, Stage, seed, web
from tests.support.pages_server import chromium
from tests.support.soundness import SMALL_TARGETS, UNSOUND, WATCH_CSP

pytestmark = pytest.mark.browser

STAFF = [
    "/desk/library",
    "/desk/library?show=table",
    "/desk/library?q=象脚鼓&kind=lesson&state=published",
    "/desk/library?q=没有这种东西",
    "/desk/library/new",
    "/desk/library/new?kind=image",
    "/desk/library/new?kind=news",
    "/desk/library/import",
    "/desk/library/genres",
    "/desk/library/{show}",
    "/desk/library/{show}/edit",
    "/desk/library/{long}",
    "/desk/library/{course}",
    "/desk/library/{wall}",
    "/desk/library/{gone}",
    "/desk/review",
    "/desk/sharing",
    "/desk/b/{evening}",
    "/desk/items/{evening}/outside",
]
ADMIN = ["/desk/audit", "/desk/sharing", "/desk/components", "/desk/people", "/desk/account"]
ANYONE = [
    "/search",
    "/search?q=布朗山",
    "/search?q=没有这种东西",
    "/r/{news}",
    "/r/{course}",
    "/r/{picture0}",
    "/e/{wall}",
]
_databases = count(1)


def _site(servers: Settings, folder: Path, *, empty: bool) -> Iterator[Stage]:
    """A catalogue of this module's own, and a web process over it."""
    name = f"library{next(_databases)}"
    with psycopg.connect(
        host=str(servers.run_dir), user="postgres", dbname="postgres", autocommit=True
    ) as connection:
        connection.execute(
            f"CREATE DATABASE {name} OWNER xitai TEMPLATE template STRATEGY wal_log".encode()
        )
    settings = Settings(
        data=folder / "data",
        database_url=f"postgresql+psycopg://xitai@/{name}?host={servers.run_dir}",
        redis_url=servers.resolved_redis_url,
    )
    database = Database(settings.resolved_database_url, name="stage")
    stage = seed(database, settings, empty=empty)
    database.close()
    with web(settings) as address:
        stage.site = address
        yield stage


@pytest.fixture(scope="module")
def stage(
    postgres_server: Settings, redis_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    yield from _site(postgres_server, tmp_path_factory.mktemp("full"), empty=False)


@pytest.fixture(scope="module")
def bare(
    postgres_server: Settings, redis_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    yield from _site(postgres_server, tmp_path_factory.mktemp("bare"), empty=True)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


def enter(
    browser: Browser,
    stage: Stage,
    role: str | None,
    *,
    width: int = 390,
    elder: bool = False,
    script: bool = True,
) -> BrowserContext:
    context = browser.new_context(
        viewport={"width": width, "height": 844},
        locale="zh-CN",
        timezone_id="Asia/Shanghai",
        java_script_enabled=script,
    )
    cookies = [("xitai_session", stage.people[role])] if role else []
    cookies += [("xitai_elder", "1")] if elder else []
    if cookies:
        context.add_cookies([{"name": n, "value": v, "url": stage.site} for n, v in cookies])
    return context


def at(stage: Stage, path: str) -> str:
    return stage.site + path.format(**stage.records)


WAYS = [
    *(("staff", path) for path in STAFF),
    *(("admin", path) for path in ADMIN),
    *((None, path) for path in ANYONE),
    ("reviewer_2", "/desk/library/{long}"),
    ("reviewer_2", "/desk/review"),
]


@pytest.mark.parametrize(("role", "path"), WAYS)
def test_page_is_sound(browser: Browser, stage: Stage, role: str | None, path: str) -> None:
    context = enter(browser, stage, role)
    page = context.new_page()
    page.add_init_script(WATCH_CSP)
    seen = Look(page)
    answer = page.goto(at(stage, path))
    assert answer is not None
    assert answer.status == 200
    page.wait_for_load_state("load")
    assert page.evaluate(UNSOUND) == []
    assert page.evaluate("window.violations") == []
    assert page.evaluate(SMALL_TARGETS, 48) == []
    for width in (390, 320, 1440):
        page.set_viewport_size({"width": width, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert seen.complaints == []
    context.close()


@pytest.mark.parametrize("path", [*ANYONE, "/desk/library", "/desk/library/{show}"])
def test_larger_type(browser: Browser, stage: Stage, path: str) -> None:
    role = "staff" if path.startswith("/desk") else None
    context = enter(browser, stage, role, elder=True)
    page = context.new_page()
    page.goto(at(stage, path))
    assert page.evaluate("getComputedStyle(document.body).fontSize") == "22px"
    assert page.evaluate(SMALL_TARGETS, 60) == []
    for width in (390, 320):
        page.set_viewport_size({"width": width, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()


@pytest.mark.parametrize(
    ("role", "path"), [("staff", "/desk/library"), ("staff", "/desk/review"), (None, "/search")]
)
def test_nothing_in_it_is_still_a_page(
    browser: Browser, bare: Stage, role: str | None, path: str
) -> None:
    context = enter(browser, bare, role)
    page = context.new_page()
    page.goto(bare.site + path)
    expect(page.locator(".empty")).to_have_count(1)
    assert page.evaluate(UNSOUND) == []
    context.close()


def test_searching_and_narrowing_without_any_script(browser: Browser, stage: Stage) -> None:
    context = enter(browser, stage, "staff", width=1440, script=False)
    page = context.new_page()
    page.goto(f"{stage.site}/desk/library")
    page.get_by_label("在资源库里找").fill("象腳鼓")  # 繁体 finds 简体
    page.get_by_role("button", name="搜索").click()
    before = page.get_by_test_id("record").count()
    assert before > 2
    page.get_by_role("link", name="文献").click()
    expect(page.get_by_test_id("record")).to_have_count(1)
    expect(page.get_by_test_id("picked")).to_contain_text("文献")
    page.get_by_test_id("picked").get_by_role("link", name="文献").click()
    expect(page.get_by_test_id("record")).to_have_count(before)
    # Choosing several needs no script either: the dialog opens by its address.
    page.goto(f"{stage.site}/desk/library?q=布朗弹唱")
    page.locator(".pick").first.click()
    page.get_by_test_id("bulk-open").click()
    page.locator("#bulk-dialog [name=place]").fill("布朗山乡")
    page.get_by_test_id("bulk-save").click()
    expect(page.get_by_test_id("notice")).to_contain_text("改好了 1 件")
    context.close()


def test_suggestions_by_pinyin_initials_and_keys(browser: Browser, stage: Stage) -> None:
    context = enter(browser, stage, "staff", width=1440)
    page = context.new_page()
    page.goto(f"{stage.site}/desk/library")
    box = page.get_by_role("combobox", name="在资源库里找")
    box.press_sequentially("xjg", delay=20)
    first = page.get_by_role("option").first
    expect(first).to_contain_text("象脚鼓")
    said = first.inner_text()
    box.press("ArrowDown")
    assert first.get_attribute("aria-selected") == "true"
    box.press("Escape")
    expect(page.get_by_role("listbox")).to_be_hidden()
    box.press_sequentially("g", delay=20)
    box.press("Backspace")
    expect(first).to_be_visible()
    first.click()
    page.wait_for_url("**q=**")
    assert page.locator("input[type=search]").input_value() == said
    assert page.get_by_test_id("record").count() > 0
    context.close()


def test_three_reviewers_publish_and_viewers_find_it(browser: Browser, stage: Stage) -> None:
    context = enter(browser, stage, "staff")
    page = context.new_page()
    page.goto(f"{stage.site}/desk/library/new?kind=news")
    page.get_by_label("题名").fill("曼蚌村的打歌夜")
    page.get_by_role("button", name="再加一个人").click()
    page.get_by_label("姓名").last.fill("玉旺")
    page.get_by_test_id("save").click()
    expect(page.get_by_test_id("notice")).to_contain_text("登记好了")
    expect(page.get_by_text("玉旺").first).to_be_visible()
    page.get_by_test_id("submit").click()
    page.wait_for_selector("[data-testid=record-page][data-state=review_1]")
    where = page.url.partition("?")[0]
    context.close()
    for number in (1, 2, 3):
        context = enter(browser, stage, f"reviewer_{number}")
        page = context.new_page()
        page.goto(f"{stage.site}/desk/review")
        mine = page.get_by_test_id("waiting").filter(has_text="曼蚌村的打歌夜")
        assert mine.get_attribute("data-mine") == "yes"
        mine.get_by_role("link").click()
        page.get_by_test_id("approve").click()
        expect(page.get_by_test_id("notice")).to_be_visible()
        context.close()
    context = enter(browser, stage, None)
    page = context.new_page()
    page.goto(f"{stage.site}/")
    page.get_by_role("combobox", name="找节目").fill("打歌")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="曼蚌村的打歌夜").click()
    expect(page.get_by_test_id("public-record")).to_contain_text("玉旺")
    context.close()
    assert "/desk/library/" in where


def test_what_was_changed_stands_before_and_after(browser: Browser, stage: Stage) -> None:
    context = enter(browser, stage, "staff", width=1440)
    page = context.new_page()
    page.goto(at(stage, "/desk/library/{paper}/edit"))
    page.get_by_label("地点").fill("勐海镇曼尾村")
    page.get_by_test_id("save").click()
    history = page.get_by_test_id("history")
    expect(history.locator("del").first).to_have_text("勐混镇曼蚌村")
    expect(history.locator("ins").first).to_have_text("勐海镇曼尾村")
    expect(page.get_by_test_id("record-page")).to_have_attribute("data-state", "draft")
    context.close()


def test_taking_down_asks_twice_and_acts_at_once(browser: Browser, stage: Stage) -> None:
    context = enter(browser, stage, "staff", width=1440)
    page = context.new_page()
    page.goto(at(stage, "/desk/library/{picture1}"))
    page.get_by_test_id("takedown").click()
    page.get_by_role("link", name="先不下架").click()
    expect(page.locator("#takedown-dialog")).to_be_hidden()
    page.get_by_test_id("takedown").click()
    page.get_by_label("原因（会写进操作记录）").fill("肖像权有争议")
    page.get_by_test_id("takedown-confirm").click()
    expect(page.get_by_text("观众现在看不到它")).to_be_visible()
    answer = page.goto(at(stage, "/r/{picture1}"))
    assert answer is not None
    assert answer.status == 410
    context.close()


def test_an_exhibition_shows_its_pictures(browser: Browser, stage: Stage) -> None:
    context = enter(browser, stage, None)
    page = context.new_page()
    page.goto(at(stage, "/e/{wall}"))
    pictures = page.locator(".exhibit img")
    assert pictures.count() >= 3
    for picture in pictures.all():
        picture.scroll_into_view_if_needed()
        expect(picture).to_have_js_property("complete", True)
        assert picture.evaluate("e => e.naturalWidth") > 0
    context.close()


def test_a_long_title_pushes_nothing_off_the_page(browser: Browser, stage: Stage) -> None:
    context = enter(browser, stage, "staff", width=320)
    page: Page = context.new_page()
    page.goto(at(stage, "/desk/library/{long}"))
    assert LONG in page.get_by_role("heading", level=1).inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    context.close()
