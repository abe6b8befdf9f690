"""Retakes the screenshots of the documentation: a real show on a throw-away instance.

`python -m docs.screenshots` writes docs/images/*.png (phone 390 x 844, desk 1440 x 900).
"""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
import time
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from bench.footage import Encoder, shipped
from bench.instance import Instance, throwaway
from infra.settings import Settings
from tests.support.figures_year import database_of, fill
from tests.support.pages_server import chromium_path

IMAGES = Path(__file__).parent / "images"
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1440, "height": 900}
PASSWORD = "xitai-screenshots-2026"


def _account(instance: Instance) -> None:
    subprocess.run(
        [sys.executable, "-m", "api.cli", "admin", "create-user", "--data", str(instance.data),
         "--login", "staff", "--name", "李馆员", "--role", "staff", "--centre", "景洪市文化馆",
         "--password-stdin"],
        input=PASSWORD, text=True, check=True, capture_output=True,
    )  # fmt: skip


def _page(browser: Browser, size: dict[str, int]) -> Page:
    context = browser.new_context(viewport=size, locale="zh-CN", device_scale_factor=1)  # type: ignore[arg-type]
    return context.new_page()


def _sign_in(page: Page, url: str) -> None:
    page.goto(f"{url}/desk/sign-in")
    page.fill("input[name=login]", "staff")
    page.fill("input[name=password]", PASSWORD)
    page.press("input[name=password]", "Enter")
    page.wait_for_url(f"{url}/desk")


def _figures(instance: Instance, browser: Browser) -> None:
    """指标: the table at a desk and on a phone, the rows behind a number, a return."""
    with database_of(Settings(data=instance.data)) as database, database.transaction() as session:
        year = fill(session, dt.datetime.now(dt.UTC))
    number = f"/desk/targets/{year.plan_id}/{year.prefecture_id}/cx.bxdwt.final"
    cookie = {"name": "xitai_session", "value": year.sessions["supervisor"], "url": instance.url}
    for name, path, size in (
        ("targets", "/desk/targets", DESK),
        ("targets-phone", "/desk/targets", PHONE),
        ("targets-number", number, DESK),
        ("return", "/desk/returns/new", DESK),
    ):
        page = _page(browser, size)
        page.context.add_cookies([cookie])  # type: ignore[list-item]
        page.goto(instance.url + path)
        _take(page, name)
        page.context.close()


def _take(page: Page, name: str) -> None:
    page.wait_for_timeout(800)
    page.screenshot(path=str(IMAGES / f"{name}.png"))
    print(f"docs/images/{name}.png", flush=True)


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    with throwaway() as instance, sync_playwright() as playwright:
        _account(instance)
        browser = playwright.chromium.launch(
            executable_path=chromium_path(),
            args=["--no-sandbox", "--disable-background-networking", "--mute-audio"],
        )
        made = instance.run(
            "broadcast", "create", "--title", "曼听村“村晚”：傣历新年歌舞联欢", "--centre",
            "景洪市文化馆", "--description", "象脚鼓舞、赞哈演唱、孔雀舞，还有村里的老乐队。",
        )  # fmt: skip
        instance.run(
            "broadcast", "create", "--title", "非遗进校园：傣族剪纸公开课", "--centre",
            "景洪市文化馆", "--planned", "2030-05-01T19:30",
        )  # fmt: skip
        encoder = Encoder(
            f"{made['publish']['rtmp_url']}/{made['publish']['stream_key']}", shipped()
        )
        time.sleep(14)
        phone = _page(browser, PHONE)
        phone.goto(made["watch_url"])
        phone.get_by_test_id("play").click()
        time.sleep(6)
        _take(phone, "watch-phone")
        phone.goto(instance.url)
        _take(phone, "home-phone")
        desk = _page(browser, DESK)
        _sign_in(desk, instance.url)
        desk.goto(f"{instance.url}/desk/b/{made['id']}")
        time.sleep(12)
        _take(desk, "desk-live")
        encoder.drop()
        instance.run("broadcast", "end", made["id"])
        time.sleep(6)
        desk.reload()
        _take(desk, "desk-tonight")
        desk.goto(f"{instance.url}/b/{made['id']}")
        _take(desk, "watch-replay")
        _figures(instance, browser)
        browser.close()


if __name__ == "__main__":
    main()
