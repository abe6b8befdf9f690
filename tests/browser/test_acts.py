"""The cutting page in a real browser on a real short show: edges dragged, acts split and named,
cuts looked at, clips made in one go; sound at every width, with and without a script."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect
from sqlalchemy import select

from catalog import acts
from catalog.models import Act, Work
from infra.settings import Settings
from tests.browser.test_pages_looks import Look
from tests.support.acts_stage import LONG, SECOND, ActsStage, acts_site
from tests.support.media import read_pictures
from tests.support.pages_server import chromium, until
from tests.support.soundness import WATCH_CSP, faults
from vod.clips import make_clip

pytestmark = pytest.mark.browser
FRAME = 3_600


@pytest.fixture(scope="module")
def stage(
    postgres_server: Settings,
    redis_server: str,
    ffmpeg: str,
    media_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ActsStage]:
    with acts_site(postgres_server, tmp_path_factory.mktemp("acts"), ffmpeg, media_folder) as made:
        yield made


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


def enter(
    browser: Browser, stage: ActsStage, *, width: int = 1440, elder: bool = False, **more: Any
) -> BrowserContext:
    context = browser.new_context(
        viewport={"width": width, "height": 900 if width > 1000 else 844},
        locale="zh-CN",
        timezone_id="Asia/Shanghai",
        **more,
    )
    cookies = [("xitai_session", stage.session), *([("xitai_elder", "1")] if elder else [])]
    context.add_cookies([{"name": n, "value": v, "url": stage.site} for n, v in cookies])
    return context


def reset(stage: ActsStage) -> list[Act]:
    """The four acts as a person saved them: 0, 10, 20, 31, 40 s."""
    show = stage.shows["full"]
    with show.database.transaction() as session:
        entries = acts.programme(session, show.token)
        wishes = [
            acts.ActWish(a * SECOND, b * SECOND, entry.title, entry_id=entry.id)
            for a, b, entry in zip((0, 10, 20, 31), (10, 20, 31, 40), entries, strict=True)
        ]
        seen = acts.version(session, show.token)
        return acts.save_acts(session, stage.staff, show.token, wishes, expect=seen)


def kept(stage: ActsStage) -> list[tuple[float, float, str]]:
    show = stage.shows["full"]
    with show.database.transaction() as session:
        return [
            (act.start_ticks / SECOND, act.end_ticks / SECOND, act.title)
            for act in acts.acts(session, show.token)
        ]


def opened(context: BrowserContext, stage: ActsStage, name: str = "full") -> Page:
    page = context.new_page()
    page.add_init_script(WATCH_CSP)
    page.goto(stage.url(name))
    until(page, "document.querySelector('[data-wait]').hidden", 20)
    return page


def block(page: Page, number: int) -> Locator:
    return page.locator(".block").nth(number - 1)


def save(page: Page) -> None:
    page.get_by_test_id("acts-save").click()
    expect(page.get_by_test_id("acts-status")).to_have_text("已保存")


@pytest.mark.parametrize(
    ("name", "page_name"),
    [("full", "acts"), ("bare", "acts"), ("before", "acts"), ("full", "list"), ("bare", "list")],
)
def test_page_is_sound(browser: Browser, stage: ActsStage, name: str, page_name: str) -> None:
    if name == "full":
        reset(stage)
    for elder in (False, True):
        context = enter(browser, stage, width=390, elder=elder)
        page = context.new_page()
        page.add_init_script(WATCH_CSP)
        seen = Look(page)
        page.goto(stage.url(name, page_name))
        page.wait_for_load_state("load")
        if (name, page_name) == ("full", "acts"):
            expect(page.get_by_test_id("act-row")).to_have_count(4)
            page.locator("[data-open]").nth(2).click()
            expect(page.get_by_test_id("inspector")).to_be_visible()
        for width in (390, 320, 1440):
            page.set_viewport_size({"width": width, "height": 844})
            page.wait_for_timeout(100)
            assert faults(page, least=60 if elder else 48) == [], (elder, width)
        assert seen.complaints == []
        context.close()


def test_an_edge_is_dragged_with_the_mouse(browser: Browser, stage: ActsStage) -> None:
    reset(stage)
    page = opened(enter(browser, stage), stage)
    wide = page.locator("[data-inner]").bounding_box()
    assert wide is not None
    second = wide["width"] / 40
    handle = block(page, 2).locator("[data-edge=start]")
    box = handle.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 2 * second, y, steps=8)
    # The neighbour that touches it comes along, and the picture shows the frame.
    expect(block(page, 1).locator("[data-edge=end]")).to_have_attribute(
        "aria-valuetext", re.compile("^0 分 1[12]")
    )
    page.mouse.up()
    expect(page.get_by_test_id("acts-status")).to_have_text("有改动还没有保存")
    moved = float(handle.get_attribute("aria-valuenow") or 0)
    assert moved == pytest.approx(12, abs=0.1)
    until(page, f"Math.abs(document.querySelector('video').currentTime - {moved}) < 0.1")
    page.keyboard.press("Control+z")
    expect(handle).to_have_attribute("aria-valuenow", "10.00")
    page.locator("[data-do=redo]").click()
    # By keys: a frame, and a second.
    handle.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowLeft")
    save(page)
    found = kept(stage)
    assert found[0][1] == found[1][0]
    assert found[1][0] == pytest.approx(moved + FRAME / SECOND - 1, abs=0.006)
    # Not together: the one before stays where it is.
    page.locator("[data-joined]").uncheck()
    handle.focus()
    page.keyboard.press("Shift+ArrowRight")
    save(page)
    again = kept(stage)
    assert again[1][0] == pytest.approx(found[1][0] + 1)
    assert again[0] == found[0]
    page.context.close()


def test_split_name_merge_and_drafts(browser: Browser, stage: ActsStage) -> None:
    reset(stage)
    context = enter(browser, stage)
    page = opened(context, stage)
    block(page, 3).click(position={"x": 120, "y": 20})
    now = page.locator("[data-now]")
    expect(now).to_have_text(re.compile(r"^0:2\d"))
    at = float((now.text_content() or "").split(":")[1])
    page.get_by_role("button", name="从这里切开").click()
    expect(page.get_by_test_id("act-row")).to_have_count(5)
    inspector = page.get_by_test_id("inspector")
    expect(inspector.locator("h2")).to_have_text("第 4 段，共 5 段")
    inspector.get_by_label("从节目单选名称").select_option(index=4)
    expect(inspector.get_by_label("名称", exact=True)).to_have_value("孔雀舞")
    # A closed tab loses nothing.
    page.close()
    page = opened(context, stage)
    expect(page.locator("[data-draft-note]")).to_be_visible()
    save(page)
    found = kept(stage)
    assert [title for *_, title in found][2:] == [LONG, "孔雀舞", "孔雀舞"]
    assert found[2][1] == found[3][0] == pytest.approx(at, abs=0.006)
    page.locator("[data-open]").nth(3).click()
    inspector = page.get_by_test_id("inspector")
    inspector.get_by_label("名称", exact=True).fill("孔雀舞（返场）")
    inspector.get_by_role("button", name="并入下一段").click()
    save(page)
    assert kept(stage)[3] == (found[3][0], 40, "孔雀舞（返场）")
    # Typed by hand; nonsense is put back.
    field = inspector.get_by_label("开头", exact=True)
    field.fill("0:29.5")
    field.press("Enter")
    expect(field).to_have_value("0:29.5")
    field.fill("不知道")
    field.blur()
    expect(field).to_have_value("0:29.5")
    page.context.close()


def test_a_draft_of_an_older_list_is_not_lost(browser: Browser, stage: ActsStage) -> None:
    reset(stage)
    context = enter(browser, stage)
    page = opened(context, stage)
    block(page, 1).click(position={"x": 60, "y": 20})
    inspector = page.get_by_test_id("inspector")
    inspector.get_by_label("名称", exact=True).fill("我改的名字")
    inspector.get_by_label("名称", exact=True).blur()
    page.close()
    show = stage.shows["full"]
    with show.database.transaction() as session:
        seen = acts.version(session, show.token)
        wish = acts.ActWish(0, 12 * SECOND, "别人改的")
        acts.save_acts(session, stage.staff, show.token, [wish], expect=seen)
    # What is shown is what stands; the changes are still there, however often it is opened.
    for _ in range(2):
        page = opened(context, stage)
        expect(page.get_by_test_id("draft-older")).to_be_visible()
        expect(page.get_by_test_id("act-row")).to_have_count(1)
        expect(page.get_by_test_id("acts-status")).to_have_text("已保存")
        page.close()
    page = opened(context, stage)
    page.get_by_role("button", name="换成我上次改的").click()
    expect(page.get_by_test_id("draft-older")).to_be_hidden()
    expect(page.get_by_test_id("act-row")).to_have_count(4)
    save(page)
    assert kept(stage)[0][2] == "我改的名字"
    context.close()


def test_two_people_at_once(browser: Browser, stage: ActsStage) -> None:
    reset(stage)
    page = opened(enter(browser, stage), stage)
    show = stage.shows["full"]
    with show.database.transaction() as session:
        seen = acts.version(session, show.token)
        acts.save_acts(
            session, stage.staff, show.token, [acts.ActWish(0, 9 * SECOND, "别人")], expect=seen
        )
    page.get_by_test_id("inspector").get_by_label("名称", exact=True).fill("我的")
    page.get_by_test_id("acts-save").click()
    refused = page.locator("[data-refused]")
    expect(refused).to_contain_text("别人刚刚改过节目段")
    assert kept(stage) == [(0, 9, "别人")]
    refused.get_by_role("button", name="用我的保存").click()
    expect(page.get_by_test_id("acts-status")).to_have_text("已保存")
    assert kept(stage)[0][2] == "我的"
    page.context.close()


def test_a_cut_is_looked_at(browser: Browser, stage: ActsStage) -> None:
    reset(stage)
    page = opened(enter(browser, stage), stage)
    page.locator("[data-open]").nth(1).click()
    # What the picture shows of an act's beginning is the first frame its clip will have.
    first = next(number for tick, number in stage.shows["full"].frames() if tick >= 10 * SECOND)
    at = next(tick for tick, number in stage.shows["full"].frames() if number == first)
    until(
        page,
        "(() => { const t = document.querySelector('video').currentTime; "
        f"return t >= {at / SECOND} && t < {(at + FRAME) / SECOND}; }})()",
    )
    page.get_by_role("button", name="试看开头的切口").click()
    flag = page.locator("[data-flag]")
    expect(flag).to_have_text("切掉的部分")
    expect(flag).to_have_text("从这里开始", timeout=10_000)
    until(page, "document.querySelector('video').paused", 10)
    expect(flag).to_be_hidden()
    expect(page.locator("[data-now]")).to_have_text("0:10")
    page.context.close()


def test_clips_of_the_ticked_acts_in_one_go(browser: Browser, stage: ActsStage) -> None:
    reset(stage)
    page = opened(enter(browser, stage), stage)
    button = page.get_by_test_id("acts-clips")
    expect(button).to_have_text("全部做成微视频")
    for number in (1, 3):
        page.get_by_test_id("act-row").nth(number - 1).locator("label").click()
    expect(button).to_have_text("把 2 段做成微视频")
    # Not saved yet: that is done on the way.
    page.locator("[data-open]").nth(1).click()
    page.get_by_role("button", name="开头晚 0.2 秒").click()
    button.click()
    rows = page.get_by_test_id("act-clip")
    expect(rows).to_have_count(2, timeout=10_000)
    expect(page.get_by_test_id("acts-status")).to_have_text("已保存")
    show = stage.shows["full"]
    with show.database.transaction() as session:
        works = session.scalars(select(Work).where(Work.broadcast_id == show.broadcast_id)).all()
        made = {work.title: (work.id, work.edit_list) for work in works if work.kind == "clip"}
    name = "布朗弹唱《茶山敬酒歌》"
    assert made[name][1] == [[show.broadcast_id, 918_000, 20 * SECOND]]
    make_clip(show.tools, made[name][0])
    expect(rows.first.get_by_role("link", name=name)).to_be_visible(timeout=10_000)
    expect(page.get_by_test_id("act-row").nth(1).locator(".act-line [data-sure]")).to_have_text(
        "已成片"
    )
    with show.database.transaction() as session:
        mp4 = show.storage.local_path(session.get_one(Work, made[name][0]).mp4_key or "")
    assert mp4 is not None
    wanted = [number for tick, number in show.frames() if 918_000 <= tick < 20 * SECOND]
    assert [picture.number for picture in read_pictures(mp4)] == wanted
    # Once more: nothing is made twice.
    button.click()
    page.wait_for_timeout(2_500)
    expect(rows).to_have_count(2)
    page.context.close()


def test_on_a_phone_edges_are_moved_by_buttons(browser: Browser, stage: ActsStage) -> None:
    reset(stage)
    page = opened(enter(browser, stage, width=390, has_touch=True), stage)
    row = page.get_by_test_id("act-row").nth(1)
    row.locator("[data-open]").tap()
    inspector = row.get_by_test_id("inspector")
    expect(inspector).to_be_visible()
    inspector.get_by_role("button", name="开头早 1 秒").tap()
    inspector.get_by_role("button", name="结尾晚 0.2 秒").tap()
    expect(inspector.get_by_label("开头", exact=True)).to_have_value("0:09")
    row.locator("[data-open]").tap()
    expect(inspector).to_be_hidden()
    save(page)
    assert [(a, b) for a, b, _ in kept(stage)] == [(0, 9), (9, 20.2), (20.2, 31), (31, 40)]
    page.context.close()


def test_without_a_script_the_list_is_a_form(browser: Browser, stage: ActsStage) -> None:
    reset(stage)
    context = enter(browser, stage, width=390, java_script_enabled=False)
    page = context.new_page()
    page.goto(stage.url("full"))
    expect(page.locator("video")).to_be_hidden()
    page.get_by_label("第 2 段从哪里开始").fill("0:12")
    page.get_by_label("第 4 段的名称").fill("压轴")
    page.get_by_test_id("acts-save").click()
    expect(page.get_by_test_id("notice")).to_contain_text("保存好了")
    assert kept(stage)[1][0] == 12
    assert kept(stage)[3][2] == "压轴"
    context.close()


def test_marks_are_pressed_at_the_live_desk(browser: Browser, stage: ActsStage) -> None:
    context = enter(browser, stage, width=390)
    page = context.new_page()
    page.route("**/hls/**", lambda route: route.abort())
    page.goto(f"{stage.site}/desk/b/{stage.shows['live'].broadcast_id}")
    page.get_by_test_id("mark").click()
    expect(page.get_by_test_id("mark-row")).to_have_count(1)
    expect(page.locator("#marks [role=status]")).to_contain_text("开场舞《象脚鼓舞》")
    expect(page.locator("#mark-entry option:checked")).to_contain_text("布朗弹唱")
    page.get_by_role("button", name=re.compile("撤回")).click()
    expect(page.get_by_test_id("mark-row")).to_have_count(0)
    context.close()
