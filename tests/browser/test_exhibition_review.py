"""A reviewer and an exhibition's photographs in a real browser: all of them, or the ticked ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from catalog.models import User
from catalog.records import service
from infra.database import Database
from infra.settings import Settings
from infra.storage import open_storage
from tests.browser.test_pages_looks import Look
from tests.browser.test_uploads import stage
from tests.support.library_stage import Stage, picture
from tests.support.pages_server import chromium
from tests.support.soundness import WATCH_CSP, faults
from vod import record_files

__all__ = ["stage"]

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

TITLES = ("春分", "清明", "雨水过后的古茶园与上山采茶的布朗族老人")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def wall(stage: Stage, database: Database, settings: Settings, tmp_path: Path) -> str:
    staff, storage = stage.actors["staff"], open_storage(settings)
    with database.transaction() as session:
        centre = session.get_one(User, staff.user_id).centre
        made = service.create(
            session, staff, kind="exhibition", centre=centre, fields={"title": "茶山四季"}
        )
        for number, title in enumerate(TITLES):
            fields = {"title": title, "parent_id": made.id, "position": number + 1}
            row = service.create(session, staff, kind="image", centre=centre, fields=fields)
            path = tmp_path / "picture"
            path.write_bytes(picture(30 + 40 * number))
            service.attach(session, staff, row.id, record_files.keep(storage, "image", path))
        return f"{stage.site}/desk/exhibitions/{made.id}"


def test_the_ticked_ones_at_once(browser: Browser, stage: Stage, wall: str, tmp_path: Path) -> None:
    for role, edges in (("staff", (1280, 900)), ("reviewer_1", (390, 844))):
        context = browser.new_context(
            viewport={"width": edges[0], "height": edges[1]}, locale="zh-CN"
        )  # fmt: skip
        context.add_cookies(
            [{"name": "xitai_session", "value": stage.people[role], "url": stage.site}]
        )
        page = context.new_page()
        page.add_init_script(WATCH_CSP)
        look = Look(page)
        page.goto(wall)
        assert faults(page) == []
        page.screenshot(path=tmp_path / f"{role}.png", full_page=True)
        if role == "staff":
            expect(page.get_by_test_id("approve-all")).to_have_count(0)
            page.get_by_test_id("submit-all").click()
            expect(page.get_by_test_id("notice")).to_contain_text("3 幅已经送去初审")
        else:
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= edges[0]
            page.get_by_test_id("approve-one").nth(1).uncheck()
            page.get_by_test_id("approve-all").click()
            expect(page.get_by_test_id("notice")).to_contain_text("2 幅审核通过了")
            expect(page.get_by_test_id("approve-one")).to_have_count(1)
        assert look.complaints == []
        context.close()
