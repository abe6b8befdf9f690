"""The player's inside: small pictures on the scrubber, the programme to jump in; the page of an
uploaded recording, whole and while it is being made; clips of several stretches at the desk."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.support.pages_server import chromium, fake_pages, until
from tests.support.soundness import WATCH_CSP, faults
from vod.storyboard import COLUMNS, write_vtt

pytestmark = pytest.mark.browser

SECOND = 90_000
TILE = 192, 108
SIZES = ((390, 844), (1440, 900))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The fake pages over a replay of twelve seconds, with a tile a second."""
    folder = tmp_path_factory.mktemp("media")
    (folder / "replay").mkdir()
    argv = [
        imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-f", "lavfi", "-i",
        "testsrc2=s=320x180:r=15", "-f", "lavfi", "-i", "sine=440", "-t", "12", "-c:v", "libx264",
        "-preset", "ultrafast", "-g", "15", "-pix_fmt", "yuv420p", "-c:a", "aac", "-f", "hls",
        "-hls_time", "1", "-hls_segment_type", "fmp4", "-hls_playlist_type", "vod",
        "-master_pl_name", "main.m3u8", "v.m3u8",
    ]  # fmt: skip
    subprocess.run(argv, cwd=folder / "replay", check=True)
    _storyboard(folder / "replay")
    with fake_pages(media=folder) as address:
        yield address


def _storyboard(folder: Path) -> None:
    vtt = write_vtt([n * SECOND for n in range(12)], TILE, 12 * SECOND)
    (folder / "storyboard.vtt").write_text(vtt, "utf-8")
    sheet = np.zeros((2 * TILE[1], COLUMNS * TILE[0], 3), np.uint8)
    for number in range(12):
        row, column = divmod(number, COLUMNS)
        y, x = row * TILE[1], column * TILE[0]
        sheet[y : y + TILE[1], x : x + TILE[0]] = (20 * number, 90, 255 - 20 * number)
    cv2.imwrite(str(folder / "storyboard-1.jpg"), sheet)


def open_page(
    browser: Browser, site: str, path: str, size: tuple[int, int] = SIZES[0], *, staff: bool = False
) -> Page:
    context: BrowserContext = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, locale="zh-CN"
    )
    if staff:
        context.add_cookies([{"name": "xitai_session", "value": "session", "url": site}])
    page = context.new_page()
    page.add_init_script(WATCH_CSP)
    page.goto(site + path)
    page.wait_for_load_state("load")
    return page


def position(page: Page) -> float:
    found: float = page.evaluate("window.xitaiPlayer.stats().position")
    return found


def test_the_scrubber_shows_what_a_jump_would_show(browser: Browser, site: str) -> None:
    page = open_page(browser, site, "/b/b-over")
    fetched: list[str] = []
    page.on("request", lambda request: fetched.append(request.url))
    page.wait_for_timeout(300)
    assert not [url for url in fetched if "storyboard" in url], "nobody watches yet"
    page.get_by_test_id("play").click()
    until(page, "window.xitaiPlayer.stats().position > 0.3")
    known = "[...window.xitaiPlayer.video.textTracks].find((t) => t.label === 'thumbnails')"
    until(page, f"{known}?.cues?.length === 12")
    scrubber = page.locator("media-time-range")
    box = scrubber.bounding_box()
    assert box is not None
    for share in (0.25, 0.8):
        page.mouse.move(box["x"] + box["width"] * share, box["y"] + box["height"] / 2)
        page.wait_for_timeout(200)
        at = float(scrubber.get_attribute("mediapreviewtime") or "nan")
        assert at == pytest.approx(12 * share, abs=1)
        image = scrubber.get_attribute("mediapreviewimage") or ""
        row, column = divmod(int(at), COLUMNS)
        place = f"{column * TILE[0]},{row * TILE[1]},{TILE[0]},{TILE[1]}"
        assert image == f"{site}/hls/replay/storyboard-1.jpg#xywh={place}"
        acts = ((4, "主持人开场"), (7.5, "象脚鼓舞"), (12, "布朗弹唱"))
        act = next(title for end, title in acts if at < end)
        assert (scrubber.get_attribute("mediapreviewchapter") or "").startswith(act)
    loaded = """document.querySelector('media-time-range').shadowRoot
      .querySelector('media-preview-thumbnail').shadowRoot.querySelector('img').naturalWidth"""
    until(page, f"{loaded} === {COLUMNS * TILE[0]}")
    assert page.evaluate("window.violations") == []
    page.context.close()


@pytest.mark.parametrize("begun", [False, True])
def test_a_line_of_the_programme_is_a_jump(browser: Browser, site: str, begun: bool) -> None:
    page = open_page(browser, site, "/b/b-over")
    lines = page.locator("[data-chapters] button")
    expect(lines).to_have_count(3)
    assert page.locator("[data-chapters] [aria-current]").count() == 0
    if begun:
        page.get_by_test_id("play").click()
        until(page, "window.xitaiPlayer.stats().position > 0.3")
        expect(lines.nth(0)).to_have_attribute("aria-current", "true")
    lines.nth(1).click()
    until(page, "window.xitaiPlayer.stats().position > 4.1")
    assert position(page) < 7
    expect(lines.nth(1)).to_have_attribute("aria-current", "true")
    expect(lines.nth(1)).to_contain_text("正在放")
    assert page.locator("[data-chapters] [aria-current]").count() == 1
    # It moves along by itself.
    expect(lines.nth(2)).to_have_attribute("aria-current", "true", timeout=8_000)
    expect(lines.nth(1)).not_to_contain_text("正在放")
    page.context.close()


def test_on_air_there_is_no_programme_to_jump_in(browser: Browser, site: str) -> None:
    page = open_page(browser, site, "/b/b-live")
    assert page.locator("[data-chapters]").count() == 0
    assert page.locator("[data-storyboard]").count() == 0
    page.context.close()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("path", ["/works/w-whole", "/works/w-making", "/clips/c2"])
def test_pages_of_works_are_sound(
    browser: Browser, site: str, path: str, size: tuple[int, int]
) -> None:
    for staff in (False, True):
        page = open_page(browser, site, path, size, staff=staff)
        assert faults(page) == []
        assert page.get_by_test_id("work-desk").count() == staff
        page.context.close()


def test_an_upload_is_watched_while_it_is_made(browser: Browser, site: str) -> None:
    page = open_page(browser, site, "/works/w-making")
    expect(page.get_by_test_id("making")).to_contain_text("前 21 分钟 已经可以看")
    expect(page.get_by_test_id("making")).to_contain_text("已完成 37%")
    page.get_by_test_id("play").click()
    until(page, "window.xitaiPlayer.stats().position > 0.5")
    assert page.evaluate("window.xitaiPlayer.stats().kind") == "replay"
    page.context.close()
    page = open_page(browser, site, "/works/c1")
    assert page.url == f"{site}/clips/c1"
    page.context.close()


def test_staff_ask_for_an_mp4_and_see_it_coming(browser: Browser, site: str) -> None:
    page = open_page(browser, site, "/works/w-whole", staff=True)
    page.get_by_test_id("make-mp4").click()
    page.wait_for_url(f"{site}/works/w-whole")
    expect(page.get_by_test_id("mp4-making")).to_contain_text("42%")
    page.context.close()
    page = open_page(browser, site, "/clips/c1", staff=True)
    expect(page.get_by_test_id("made")).to_contain_text("大部分画面原样复制")
    link = page.get_by_test_id("mp4")
    assert link.get_attribute("href") == "/desk/works/c1/download"
    page.context.close()


def test_a_clip_of_several_stretches(browser: Browser, site: str) -> None:
    page = open_page(browser, site, "/desk/b/b-over", SIZES[1], staff=True)
    form = page.get_by_test_id("clip-form")
    form.get_by_label("名字").fill("两段接起来")
    form.get_by_label("从哪里开始").fill("0:10")
    form.get_by_label("到哪里结束").fill("0:20")
    for _ in range(2):
        form.get_by_role("button", name="再接一段").click()
    expect(form.locator("[data-piece]")).to_have_count(3)
    form.get_by_label("从哪里开始（第 2 段）").fill("1:00")
    form.get_by_label("到哪里结束（第 2 段）").fill("0:50")
    assert faults(page) == []
    form.get_by_role("button", name="剪出来").click()
    page.get_by_text("结束要晚于开始。").wait_for()
    # The row nobody filled in is no stretch; what was typed is kept.
    expect(page.locator("[data-piece]")).to_have_count(2)
    assert page.get_by_label("到哪里结束（第 2 段）").input_value() == "0:50"
    page.get_by_label("到哪里结束（第 2 段）").fill("1:50")
    page.get_by_role("button", name="剪出来").click()
    row = page.get_by_test_id("clip-row").filter(has_text="两段接起来")
    expect(row.first).to_contain_text("1:00")
    page.context.close()
