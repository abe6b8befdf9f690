"""The page of long work in a browser: sound at every size, logs unfold and stay, it cancels."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.support.pages_server import chromium, fake_pages, until
from tests.support.soundness import WATCH_CSP, faults

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


def opened(browser: Browser, site: str, path: str, *, width: int = 390) -> Page:
    context = browser.new_context(
        viewport={"width": width, "height": 844}, locale="zh-CN", timezone_id="Asia/Shanghai"
    )
    context.add_cookies([{"name": "xitai_session", "value": "session", "url": site}])
    page = context.new_page()
    page.add_init_script(WATCH_CSP)
    page.goto(site + path)
    page.wait_for_load_state("load")
    return page


@pytest.mark.parametrize("width", [390, 1440])
def test_a_log_unfolds_and_stays_open_while_the_list_goes_on(browser: Browser, width: int) -> None:
    with fake_pages() as site:
        page = opened(browser, site, "/desk/jobs", width=width)
        assert faults(page) == []
        row = page.locator("#job-j7")
        assert "正在估计还要多久" in (row.text_content() or "")
        assert (
            row.get_by_role("link", name="勐混镇乡村春晚").get_attribute("href") == "/works/w-whole"
        )
        row.locator("summary").click()
        until(page, "document.querySelectorAll('#job-j7 .job-log li').length === 6")
        assert faults(page) == []
        top = page.evaluate("document.querySelector('#job-j5').getBoundingClientRect().top")
        # Two refreshes later it is still open, still filled, and nothing has moved.
        with page.expect_response("**/desk/jobs/list*"):
            pass
        with page.expect_response("**/desk/jobs/list*"):
            pass
        page.wait_for_timeout(200)
        assert row.locator(".job-log li").count() == 6
        assert row.locator("details").get_attribute("open") is not None
        now = page.evaluate("document.querySelector('#job-j5').getBoundingClientRect().top")
        assert now == top
        page.context.close()


def test_cancelling_asks_first(browser: Browser) -> None:
    with fake_pages() as site:
        page = opened(browser, site, "/desk/jobs")
        row = page.locator("#job-j7")
        row.locator("[data-opens]").click()
        dialog = page.locator("#cancel-j7")
        assert dialog.is_visible()
        dialog.get_by_text("接着做").click()
        assert not dialog.is_visible()
        assert row.get_attribute("data-state") == "running"
        row.locator("[data-opens]").click()
        dialog.get_by_role("button", name="取消这一件").click()
        page.wait_for_url("**/desk/jobs*")
        until(page, "document.querySelector('#job-j7').dataset.state === 'cancelled'")
        page.locator("#job-j7").get_by_role("button", name="再试一次").click()
        until(page, "document.querySelector('#job-j7').dataset.state === 'queued'")
        page.context.close()


def test_the_list_narrows_down_and_stays_so(browser: Browser) -> None:
    with fake_pages() as site:
        page = opened(browser, site, "/desk/jobs")
        page.get_by_role("link", name="没做成").click()
        page.wait_for_url("**/desk/jobs?show=failed")
        states = "[...document.querySelectorAll('[data-testid=job]')].map(e => e.dataset.state)"
        assert page.evaluate(states) == ["failed"]
        with page.expect_response("**/desk/jobs/list?show=failed"):
            pass
        page.wait_for_timeout(200)
        assert page.evaluate(states) == ["failed"]
        assert faults(page) == []
        # Without a script, the log is a page of its own.
        page.goto(f"{site}/desk/jobs/j4/log")
        assert page.locator(".job-log li").count() == 6
        assert faults(page) == []
        page.context.close()


def test_nothing_to_do_is_said(browser: Browser) -> None:
    with fake_pages(empty=True) as site:
        for path in ("/desk/jobs", "/desk/jobs?show=failed", "/desk/jobs?show=done"):
            page = opened(browser, site, path)
            assert page.locator(".empty").count() == 1
            assert faults(page) == []
            page.context.close()
