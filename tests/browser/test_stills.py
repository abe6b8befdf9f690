"""The grid of a programme's pictures and an exhibition, in a real browser: sound at every width,
and what people do in them, with and without a script."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from infra.database import Database
from infra.settings import Settings
from tests.browser.test_pages_looks import Look
from tests.support.library_stage import LONG, Stage, seed, web
from tests.support.pages_server import chromium, until
from tests.support.soundness import WATCH_CSP, faults
from tests.support.stills_stage import COUNT, seed_stills

pytestmark = pytest.mark.browser

DESK = [
    "/desk/programmes/{many}/stills",
    "/desk/programmes/{titled}/stills",
    "/desk/programmes/{none}/stills",
    "/desk/programmes/{silent}/stills",
    "/desk/programmes/{searching}/stills",
    "/desk/programmes/{failed}/stills",
    "/desk/exhibitions/{wall}",
    "/desk/exhibitions/{bare}",
    "/desk/b/{many}",
]
OPEN = "#big-"


@pytest.fixture(scope="module")
def stage(
    postgres_server: Settings, redis_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    with psycopg.connect(
        host=str(postgres_server.run_dir), user="postgres", dbname="postgres", autocommit=True
    ) as connection:
        connection.execute(b"CREATE DATABASE stills OWNER xitai TEMPLATE template")
    settings = Settings(
        data=tmp_path_factory.mktemp("stills") / "data",
        database_url=f"postgresql+psycopg://xitai@/stills?host={postgres_server.run_dir}",
        redis_url=redis_server,
    )
    database = Database(settings.resolved_database_url, name="stage")
    made = seed(database, settings)
    seed_stills(database, settings, made)
    database.close()
    with web(settings) as address:
        made.site = address
        yield made


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
        viewport={"width": width, "height": 844 if width < 600 else 900},
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


@pytest.mark.parametrize(
    ("role", "path"),
    [*(("staff", path) for path in DESK), (None, "/e/{wall}"), (None, "/e/{wall}#p2"),
     ("supervisor", "/desk/programmes/{many}/stills")],
)  # fmt: skip
def test_page_is_sound(browser: Browser, stage: Stage, role: str | None, path: str) -> None:
    for width, elder in ((390, False), (1440, False), (390, True)):
        context = enter(browser, stage, role, width=width, elder=elder)
        page = context.new_page()
        page.add_init_script(WATCH_CSP)
        seen = Look(page)
        answer = page.goto(at(stage, path))
        assert answer is not None
        assert answer.status == 200
        page.wait_for_load_state("load")
        assert faults(page, least=60 if elder else 48) == []
        assert seen.complaints == []
        if width == 390:
            page.set_viewport_size({"width": 320, "height": 640})
            assert page.evaluate("document.documentElement.scrollWidth") <= 320
        context.close()


def pictures_drawn(page: Page, selector: str) -> None:
    """Every such picture is there, none of them a broken one."""
    for picture in page.locator(selector).all():
        picture.scroll_into_view_if_needed()
        expect(picture).to_have_js_property("complete", True)
        assert picture.evaluate("e => e.naturalWidth") > 0


def test_choosing_looking_closely_and_using_them(browser: Browser, stage: Stage) -> None:
    context = enter(browser, stage, "staff")
    page = context.new_page()
    page.goto(at(stage, "/desk/programmes/{many}/stills"))
    tiles = page.get_by_test_id("tile")
    assert tiles.count() == COUNT + 2
    pictures_drawn(page, ".tile img")
    use = page.get_by_test_id("confirm")
    expect(use).to_have_attribute("aria-disabled", "true")
    tiles.nth(0).locator(".tile-pick").click()
    expect(use).to_contain_text("用这些图片（1 张）")
    # Large, from the second on; the keyboard turns; what is chosen there is chosen in the grid.
    tiles.nth(1).locator(".tile-big").click()
    big = page.locator(".lightbox:target")
    expect(big).to_be_visible()
    page.keyboard.press("ArrowRight")
    until(page, f"location.hash === '{OPEN}' + document.querySelectorAll('.tile')[2].dataset.key")
    assert big.locator("img").evaluate("e => e.decode().then(() => e.naturalWidth)") == 960
    big.locator(".lightbox-pick").click()
    page.keyboard.press("Escape")
    expect(page.locator(".lightbox:target")).to_have_count(0)
    expect(use).to_contain_text("用这些图片（2 张）")
    assert tiles.nth(2).locator("input").is_checked()
    assert not tiles.nth(1).locator("input").is_checked()
    # A photograph among them; and one that is not wanted.
    tiles.nth(COUNT).locator(".tile-pick").click()
    use.click()
    expect(page.get_by_test_id("notice")).to_contain_text("3 张已经是图片了")
    expect(page.get_by_test_id("confirmed")).to_have_text("3")
    expect(page.get_by_test_id("waiting")).to_have_text(str(COUNT - 1))
    page.get_by_test_id("tile").nth(0).locator(".tile-pick").click()
    page.get_by_test_id("dismiss").click()
    expect(page.get_by_test_id("waiting")).to_have_text(str(COUNT - 2))
    expect(page.locator("details summary")).to_contain_text("不要的 1 张")
    # On the evening's screen the rest is still to be done.
    page.goto(at(stage, "/desk/b/{many}"))
    expect(page.get_by_test_id("stills")).to_contain_text(f"有 {COUNT - 2} 张等您来选")
    expect(page.locator("#sentence")).to_contain_text("图片3幅")
    page.get_by_test_id("to-stills").click()
    page.wait_for_url("**/stills")
    context.close()


def test_all_of_it_without_any_script(browser: Browser, stage: Stage) -> None:
    context = enter(browser, stage, "staff", width=1440, script=False)
    page = context.new_page()
    page.goto(at(stage, "/desk/programmes/{titled}/stills"))
    assert LONG in page.locator(".back").inner_text()
    page.get_by_test_id("confirm").click()
    expect(page.get_by_test_id("notice")).to_contain_text("还没有选中图片")
    first, second = page.get_by_test_id("tile").nth(0), page.get_by_test_id("tile").nth(1)
    first.locator(".tile-big").click()
    expect(page.locator(".lightbox:target")).to_be_visible()
    page.locator(".lightbox:target .lightbox-pick").click()
    page.locator(".lightbox:target [data-close]").click()
    second.locator(".tile-pick").click()
    page.get_by_test_id("confirm").click()
    expect(page.get_by_test_id("confirmed")).to_have_text("2")
    page.get_by_test_id("rest").click()
    expect(page.get_by_text("这一批都看过了")).to_be_visible()
    page.get_by_text("不要的 1 张").click()
    page.locator("details .tile-pick").first.click()
    page.get_by_test_id("undo-dismissed").click()
    expect(page.get_by_test_id("waiting")).to_have_text("1")
    page.locator(".tiles-small .tile-pick").first.click()
    page.get_by_test_id("undo-confirmed").click()
    expect(page.get_by_test_id("notice")).to_contain_text("1 张放回去了")
    expect(page.get_by_test_id("waiting")).to_have_text("2")
    context.close()


def test_a_search_is_asked_for_watched_and_stopped(browser: Browser, stage: Stage) -> None:
    context = enter(browser, stage, "staff")
    page = context.new_page()
    page.goto(at(stage, "/desk/programmes/{none}/stills"))
    page.get_by_test_id("ask").click()
    expect(page.get_by_test_id("searching")).to_contain_text("正在挑图片")
    page.get_by_test_id("stop").click()
    expect(page.get_by_test_id("notice")).to_contain_text("已经停下")
    expect(page.get_by_test_id("ask")).to_be_visible()
    page.goto(at(stage, "/desk/programmes/{searching}/stills"))
    expect(page.get_by_test_id("searching")).to_contain_text("已挑出 7 张")
    assert page.locator("progress").get_attribute("value") == "0.400"
    page.goto(at(stage, "/desk/programmes/{failed}/stills"))
    expect(page.get_by_test_id("search-failed")).to_contain_text("存储空间已满")
    expect(page.get_by_test_id("search-failed")).to_contain_text("录像和已经确认的图片都在")
    page.goto(at(stage, "/desk/programmes/{silent}/stills"))
    expect(page.locator(".empty")).to_contain_text("还没有录到画面")
    context.close()


def test_a_supervisor_looks_and_chooses_nothing(browser: Browser, stage: Stage) -> None:
    context = enter(browser, stage, "supervisor")
    page = context.new_page()
    page.goto(at(stage, "/desk/programmes/{many}/stills"))
    pictures_drawn(page, ".tiles:not(.tiles-small) .tile img")
    assert (
        page.locator("input[type=checkbox], [data-testid=confirm], [data-testid=more]").count() == 0
    )
    context.close()


def test_an_exhibition_is_looked_at_picture_by_picture(browser: Browser, stage: Stage) -> None:
    for script in (True, False):
        context = enter(browser, stage, None, script=script)
        page = context.new_page()
        page.goto(at(stage, "/e/{wall}"))
        assert page.locator(".exhibit").count() == 4
        page.locator(".exhibit a").nth(1).click()
        big = page.locator(".lightbox:target")
        expect(big).to_contain_text("采茶")
        expect(big).to_contain_text("摄影：岩香")
        expect(big).to_contain_text("2 / 4")
        big.locator("[data-after]").click()
        expect(page.locator(".lightbox:target")).to_contain_text("雨季")
        if script:
            page.keyboard.press("ArrowLeft")
            expect(page.locator(".lightbox:target")).to_contain_text("采茶")
            page.go_back()  # however many were turned over
            expect(page.locator(".lightbox:target")).to_have_count(0)
        else:
            page.locator(".lightbox:target [data-close]").click()
            expect(page.locator(".lightbox:target")).to_have_count(0)
        context.close()


def test_hanging_an_exhibition(browser: Browser, stage: Stage) -> None:
    context = enter(browser, stage, "staff", width=1440, script=False)
    page = context.new_page()
    page.goto(at(stage, "/desk/library/{wall}"))
    page.get_by_test_id("hang").click()
    hung = page.get_by_test_id("hung")
    before = [one.get_attribute("data-id") for one in hung.all()]
    assert page.get_by_test_id("bulk-upload").get_attribute("href") == (
        f"/desk/uploads?exhibition={stage.records['wall']}"
    )
    hung.nth(3).locator("input").fill("2")
    page.get_by_test_id("order").click()
    expect(page.get_by_test_id("notice")).to_contain_text("顺序排好了")
    now = [one.get_attribute("data-id") for one in hung.all()]
    assert now == [before[0], before[3], before[1], before[2]]
    hung.nth(1).get_by_role("button", name="作封面").click()
    expect(hung.nth(0)).to_contain_text("封面")
    assert hung.nth(0).get_attribute("data-id") == before[3]
    page.get_by_test_id("confirm-all").click()
    expect(page.get_by_test_id("notice")).to_contain_text("1 幅已经确认")
    expect(page.get_by_test_id("confirm-all")).to_have_count(0)
    page.goto(at(stage, "/e/{wall}"))
    assert page.locator(".exhibit strong").first.inner_text() == "围火"
    context.close()
