"""Retakes the screenshots of the documentation: a real show on a throw-away instance.

`python -m docs.screenshots [NAME…]` writes docs/images/NAME.png or .webp, all of them without a
name (phone 390 x 844, desk 1440 x 900).
"""

from __future__ import annotations

import datetime as dt
import io
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, FilePayload, Page, sync_playwright
from sqlalchemy import select
from sqlalchemy.orm import Session

from api.acts import make_clips
from bench.footage import Encoder, shipped
from bench.instance import Instance, throwaway
from catalog import acts
from catalog.audit import SYSTEM
from catalog.models import Broadcast, Extra, Still, Work
from infra.database import Database
from infra.settings import Settings
from tests.support.figures_year import database_of, fill
from tests.support.library_stage import picture, seed
from tests.support.pages_server import chromium_path
from vod.forms.asking import request_form
from vod.forms.wishes import Third
from vod.stills.service import request_stills

IMAGES = Path(__file__).parent / "images"
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1440, "height": 900}
LOGIN, PASSWORD = "liguanyuan", "xitai-screenshots-2026"
WAIT_SECONDS = 300.0
T = acts.ACT_MIN_TICKS
LISTED = (
    acts.Line("象脚鼓舞《丰收》", "舞蹈", "曼听村文艺队"),
    acts.Line("赞哈演唱《茶山敬酒歌》", "演唱", "岩罕恩、玉儿甩"),
    acts.Line("小品《村口的大榕树》", "小品", "勐罕镇文化站"),
    acts.Line("孔雀舞", "舞蹈", "小卜少舞蹈队"),
)


def _account(instance: Instance) -> None:
    subprocess.run(
        [sys.executable, "-m", "api.cli", "admin", "create-user", "--data", str(instance.data),
         "--login", LOGIN, "--name", "李馆员", "--role", "staff", "--centre", "景洪市文化馆",
         "--password-stdin"],
        input=PASSWORD, text=True, check=True, capture_output=True,
    )  # fmt: skip


def _page(browser: Browser, size: dict[str, int]) -> Page:
    context = browser.new_context(viewport=size, locale="zh-CN", device_scale_factor=1)  # type: ignore[arg-type]
    return context.new_page()


def _sign_in(page: Page, url: str) -> None:
    page.goto(f"{url}/desk/sign-in")
    page.fill("input[name=login]", LOGIN)
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


def _take(page: Page, name: str, kind: str = "png") -> None:
    """A picture of the window; ``kind``: webp where much of it is film."""
    if sys.argv[1:] and name not in sys.argv[1:]:
        return
    page.wait_for_timeout(800)
    path = IMAGES / f"{name}.{kind}"
    taken = page.screenshot()
    if kind == "png":
        path.write_bytes(taken)
    else:
        Image.open(io.BytesIO(taken)).convert("RGB").save(path, quality=80, method=6)
    print(f"docs/images/{path.name}", flush=True)


# --- after the show --------------------------------------------------------------------------


def _until(database: Database, done: Callable[[Session], object]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        with database.transaction() as session:
            if done(session):
                return
        assert time.monotonic() < deadline, "the workers did not do it in time"
        time.sleep(1)


def _after(instance: Instance, browser: Browser, desk: Page, show: str) -> None:
    """Acts, stills, phone forms, uploads and an exhibition."""
    settings = Settings(data=instance.data)
    with database_of(settings) as database:
        with database.transaction() as session:
            token = session.get_one(Broadcast, show).media_token
            acts.set_programme(session, SYSTEM, token, LISTED)
            # It is promised already, for when the files lie still: now, please.
            request_stills(session, token, by=SYSTEM)
        place = f"{instance.url}/desk/programmes/{show}"
        desk.goto(f"{place}/acts")
        desk.get_by_test_id("analyse").click()
        drawn = select(Extra.kind).where(Extra.token == token)
        _until(database, lambda s: {"storyboard", "waveform"} <= set(s.scalars(drawn)))
        _acts(database, desk, place, token)
        _forms(database, browser, desk, instance.url, show)
        _until(database, lambda s: s.scalar(select(Still.id).where(Still.token == token)))
        desk.goto(f"{place}/stills")
        for pick in desk.locator(".tile-pick").all()[:2]:
            pick.click()
        _take(desk, "stills", "webp")
        _uploads(desk, instance.url)
        wall = seed(database, settings).records["wall"]
        phone = _page(browser, PHONE)
        phone.goto(f"{instance.url}/e/{wall}")
        _take(phone, "exhibition-phone", "webp")
        phone.goto(f"{instance.url}/b/{show}")
        _take(phone, "programme-phone", "webp")
        phone.context.close()


def _acts(database: Database, desk: Page, place: str, token: str) -> None:
    """The timeline, with what a gala's analysis would propose of so short a film."""
    with database.transaction() as session:
        end = acts.programme_of(session, token).length_ticks
        entries = acts.programme(session, token)
        edges = [end * share // 100 for share in (2, 27, 30, 52, 55, 76, 79, 98)]
        sure = (960, 720, 340, 910)
        why = [("applause", 600), ("listed", 300), ("host", 200)]
        acts.propose(
            session, token,
            [acts.Proposal(edges[2 * n], edges[2 * n + 1], entry.title, sure[n], why, entry.id)
             for n, entry in enumerate(entries)],
        )  # fmt: skip
    desk.goto(f"{place}/acts")
    desk.wait_for_timeout(3000)
    _take(desk, "acts", "webp")
    phone = desk.context.new_page()
    phone.set_viewport_size(PHONE)  # type: ignore[arg-type]
    phone.goto(f"{place}/acts")
    phone.wait_for_timeout(3000)
    _take(phone, "acts-phone", "webp")
    phone.close()


def _forms(database: Database, browser: Browser, desk: Page, url: str, show: str) -> None:
    """A clip of an act, its vertical and its square form."""
    with database.transaction() as session:
        found = acts.find_programme(session, SYSTEM, show)
        first = acts.acts(session, found.token)[0]
        clip = make_clips(session, SYSTEM, found, [first.id])[0].work.id
        third = Third("岩温罕", "象脚鼓舞领舞", 3 * T, 6 * T)
        wanted = [
            request_form(
                session, work_id=clip, form=form, title="象脚鼓舞《丰收》", lower_thirds=[third],
                created_by=None, actor=SYSTEM,
            )[0].id
            for form in ("square", "vertical")
        ]  # fmt: skip
    _until(database, lambda s: all(s.get_one(Work, one).state == "ready" for one in wanted))
    desk.set_viewport_size({"width": 1440, "height": 1240})  # the clip and what was made of it
    desk.goto(f"{url}/desk/clips/{clip}")
    _take(desk, "forms", "webp")
    desk.set_viewport_size(DESK)  # type: ignore[arg-type]
    phone = _page(browser, PHONE)
    phone.goto(f"{url}/clips/{wanted[1]}")
    _take(phone, "form-phone", "webp")
    phone.context.close()


def _uploads(desk: Page, url: str) -> None:
    desk.goto(f"{url}/desk/uploads")
    photos: list[FilePayload] = [
        {"name": f"泼水节 {n}.jpg", "mimeType": "image/jpeg", "buffer": picture(30 * n)}
        for n in range(1, 3)
    ]
    film: FilePayload = {
        "name": "象脚鼓舞.mp4", "mimeType": "video/mp4", "buffer": shipped().read_bytes()
    }  # fmt: skip
    desk.get_by_test_id("pick").set_input_files([*photos, film])
    desk.wait_for_timeout(6000)
    _take(desk, "uploads", "webp")


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
        _after(instance, browser, desk, made["id"])
        _figures(instance, browser)
        browser.close()


if __name__ == "__main__":
    main()
