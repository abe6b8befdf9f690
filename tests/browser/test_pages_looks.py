"""How the pages look and behave, measured: width, targets, contrast, names, headings, CSP."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.support.fake_pages import KEY, PASSWORD
from tests.support.pages_server import ROOT, chromium, fake_pages, post, until
from tests.support.soundness import SMALL_TARGETS, UNSOUND, WATCH_CSP

pytestmark = pytest.mark.browser

VIEWER = [
    "/", "/b/b-live", "/b/b-lost", "/b/b-soon", "/b/b-over", "/clips/c1", "/works/w-whole", "/nope",
]  # fmt: skip
DOORS = ["/desk/sign-in", "/setup/once", "/setup/used"]
DESK = [
    "/desk",
    "/desk/new",
    "/desk/b/b-soon",
    "/desk/b/b-live",
    "/desk/b/b-lost",
    "/desk/b/b-over",
    "/desk/jobs",
    "/desk/components",
]
ALL = [*VIEWER, *DOORS, *DESK]


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with fake_pages() as address:
        yield address


@pytest.fixture(scope="module")
def bare_site() -> Iterator[str]:
    with fake_pages(empty=True) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


class Look:
    """One open page and everything it complained of."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda said: self._heard(said.type, said.text))

    def _heard(self, kind: str, text: str) -> None:
        # A page that says 404 is reported by the browser too; media is not served by the fake.
        if kind == "error" and "Failed to load resource" not in text:
            self.complaints.append(text)


def look(
    browser: Browser,
    site: str,
    path: str,
    *,
    width: int = 390,
    height: int = 844,
    elder: bool = False,
    signed_in: bool | None = None,
) -> Look:
    if signed_in is None:
        signed_in = path in DESK
    context = browser.new_context(
        viewport={"width": width, "height": height}, locale="zh-CN", timezone_id="Asia/Shanghai"
    )
    cookies = [("xitai_session", "session")] if signed_in else []
    cookies += [("xitai_elder", "1")] if elder else []
    context.add_cookies([{"name": n, "value": v, "url": site} for n, v in cookies])
    page = context.new_page()
    page.add_init_script(WATCH_CSP)
    found = Look(page)
    page.goto(site + path)
    page.wait_for_load_state("load")
    return found


@pytest.mark.parametrize("path", ALL)
def test_page_is_sound_on_a_phone(browser: Browser, site: str, path: str) -> None:
    seen = look(browser, site, path)
    page = seen.page
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate(SMALL_TARGETS, 48) == []
    assert page.evaluate(UNSOUND) == []
    assert page.evaluate("window.violations") == []
    assert seen.complaints == []
    page.set_viewport_size({"width": 320, "height": 640})
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    page.set_viewport_size({"width": 1440, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= 1440
    page.context.close()


@pytest.mark.parametrize("path", [*VIEWER, "/desk/b/b-live", "/desk/b/b-over"])
def test_larger_type_is_larger_everywhere(browser: Browser, site: str, path: str) -> None:
    page = look(browser, site, path, elder=True).page
    assert page.evaluate("getComputedStyle(document.body).fontSize") == "22px"
    assert page.evaluate(SMALL_TARGETS, 60) == []
    for width in (390, 320):
        page.set_viewport_size({"width": width, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.context.close()


@pytest.mark.parametrize("path", ["/", "/desk", "/desk/jobs"])
def test_nothing_in_it_is_still_a_page(browser: Browser, bare_site: str, path: str) -> None:
    seen = look(browser, bare_site, path)
    assert seen.page.locator(".empty").count() == 1
    assert seen.page.evaluate(UNSOUND) == []
    seen.page.context.close()


def test_larger_type_without_script_and_with(browser: Browser, site: str) -> None:
    page = look(browser, site, "/").page
    page.get_by_test_id("elder").click()
    page.wait_for_selector("html.elder")
    assert page.url == f"{site}/"
    page.context.close()
    # Where something may be playing, the page stays.
    page = look(browser, site, "/b/b-live").page
    page.evaluate("window.same = true")
    page.get_by_test_id("elder").click()
    page.wait_for_selector("html.elder")
    assert page.evaluate("window.same") is True
    page.context.close()


def test_languages(browser: Browser, site: str) -> None:
    page = look(browser, site, "/").page
    page.get_by_role("button", name="English").click()
    page.wait_for_selector("html[lang=en]")
    assert page.get_by_role("link", name="Watch live").count() == 1
    page.get_by_role("button", name="繁體中文").click()
    page.wait_for_selector("html[lang=zh-Hant]")
    assert page.get_by_role("link", name="觀看直播").count() == 1
    page.context.close()


def test_signing_in_creating_and_the_key_shown_once(browser: Browser, site: str) -> None:
    page = look(browser, site, "/desk/new", signed_in=False).page
    page.wait_for_url(re.compile(r"/desk/sign-in\?next="))
    page.get_by_label("用户名").fill("yan")
    page.get_by_label("密码").fill("wrong")
    page.get_by_role("button", name="登录").click()
    assert "不对" in page.get_by_role("alert").inner_text()
    assert page.get_by_label("用户名").input_value() == "yan"
    page.get_by_label("密码").fill(PASSWORD)
    page.get_by_role("button", name="登录").click()
    page.wait_for_url("**/desk/new")
    page.get_by_label("演出名称").fill("打歌场上的除夕夜")
    # A draft outlives a closed page.
    page.reload()
    assert page.get_by_label("演出名称").input_value() == "打歌场上的除夕夜"
    page.get_by_role("button", name="建好，去拿推流地址").click()
    page.get_by_test_id("stream-key").wait_for()
    assert page.get_by_test_id("stream-key").inner_text() == KEY
    until(page, "location.pathname.startsWith('/desk/b/')")
    page.reload()
    assert KEY not in page.content()
    page.get_by_text("换推流码").first.click()
    page.get_by_test_id("rotate-key").click()
    page.get_by_test_id("stream-key").wait_for()
    page.context.close()


def test_the_desk_follows_the_feed_and_ends_only_when_asked_twice(browser: Browser) -> None:
    with fake_pages() as site:
        page = look(browser, site, "/desk/b/b-live", signed_in=True).page
        assert page.get_by_test_id("check-light").get_attribute("data-level") == "good"
        page.evaluate("document.querySelector('.fold').open = true")
        page.get_by_test_id("end").click()
        page.get_by_role("link", name="继续直播").click()
        # Two polls later an opened fold is still open.
        page.wait_for_timeout(4_500)
        assert page.locator(".fold").first.get_attribute("open") is not None
        page.get_by_test_id("end").click()
        page.get_by_test_id("end-confirm").click()
        page.get_by_test_id("tonight").wait_for()
        assert "成片102.2分钟" in page.locator("#sentence").inner_text()
        page.context.close()


def test_a_state_that_turns_redraws_the_desk(browser: Browser) -> None:
    with fake_pages() as site:
        page = look(browser, site, "/desk/b/b-soon", signed_in=True).page
        post(f"{site}/fake/state/b-soon/live")
        page.wait_for_selector("[data-testid=desk][data-state=live]", timeout=8_000)
        page.context.close()


def test_clip_form_says_what_is_wrong_and_keeps_what_was_typed(browser: Browser, site: str) -> None:
    page = look(browser, site, "/desk/b/b-over", signed_in=True).page
    form = page.get_by_test_id("clip-form")
    form.get_by_label("名字").fill("象脚鼓")
    form.get_by_label("从哪里开始").fill("15:30")
    form.get_by_label("到哪里结束").fill("12:05")
    form.get_by_role("button", name="剪出来").click()
    page.get_by_text("结束要晚于开始。").wait_for()
    assert page.get_by_label("从哪里开始").input_value() == "15:30"
    page.get_by_label("到哪里结束").fill("16:00.5")
    page.get_by_role("button", name="剪出来").click()
    page.get_by_test_id("clip-row").filter(has_text="象脚鼓").first.wait_for()
    page.context.close()


def test_a_form_from_elsewhere_is_refused(browser: Browser, site: str) -> None:
    context = browser.new_context()
    for headers in ({"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}, {}):
        answer = context.request.post(
            f"{site}/desk/sign-in", form={"login": "a", "password": PASSWORD}, headers=headers
        )
        assert answer.status == 403
        assert "set-cookie" not in answer.headers
    context.close()


# ---- tokens -------------------------------------------------------------------------------------

_TOKENS = ROOT / "api/pages/frontend/css/tokens.css"
_PAIRS = [
    ("ink", "paper"),
    ("ink", "sheet"),
    ("ink", "sunk"),
    ("ink", "gold-wash"),
    ("ink", "gold-line"),
    ("ink-soft", "paper"),
    ("ink-soft", "sheet"),
    ("ink-soft", "sunk"),
    ("paper", "ink"),
    ("on-red", "red"),
    ("on-red", "red-deep"),
    ("red-deep", "sheet"),
    ("red-deep", "red-wash"),
    ("gold", "gold-wash"),
    ("pine", "pine-wash"),
    ("night-ink", "night"),
    ("night-soft", "night"),
    ("night-soft", "night-sheet"),
    ("night-gold", "night"),
]


def _tokens(path: Path, selector: str) -> dict[str, str]:
    css = re.sub(r"/\*.*?\*/", "", path.read_text("utf-8"), flags=re.S)
    blocks = re.findall(rf"(?m)^{re.escape(selector)} \{{(.*?)\}}", css, flags=re.S)
    return dict(re.findall(r"--([\w-]+):\s*(#[0-9a-f]{6})", " ".join(blocks)))


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(one: str, other: str) -> float:
    """WCAG 2.2 contrast ratio of two #rrggbb colours."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize(("text", "ground"), _PAIRS)
def test_contrast_of_tokens(text: str, ground: str) -> None:
    plain = _tokens(_TOKENS, ":root")
    assert contrast(plain[text], plain[ground]) >= 4.5
    elder = plain | _tokens(_TOKENS, ".elder")
    assert contrast(elder[text], elder[ground]) >= 7.0


def test_edges_of_fields_can_be_seen() -> None:
    plain = _tokens(_TOKENS, ":root")
    assert contrast(plain["edge"], plain["sheet"]) >= 3.0
