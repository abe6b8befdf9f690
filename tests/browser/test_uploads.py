"""Uploads in a real browser: cut in the middle, gone on with, the same to the byte."""

from __future__ import annotations

import hashlib
import random
import struct
import threading
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect
from sqlalchemy import select, text

from catalog.models import Upload
from infra.database import Database
from infra.jobs import JobRunner
from infra.settings import Settings
from infra.tables import Job
from tests.browser.test_pages_looks import Look
from tests.support.library_stage import Stage, picture, seed, web
from tests.support.media import Footage, make_footage
from tests.support.pages_server import chromium
from tests.support.soundness import WATCH_CSP, faults

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

import_module("vod.intake_jobs")  # the handlers, as a worker has them
SLOW = 1_500_000
"""Bytes a second of a slow network."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def stage(settings: Settings, database: Database, redis_client: object) -> Iterator[Stage]:
    roomy = settings.model_copy(update={"disk_log_only_bytes": 0})
    made = seed(database, roomy, empty=True)
    with web(roomy) as address:
        made.site = address
        yield made


@pytest.fixture
def film(ffmpeg: str, media_folder: Path, tmp_path: Path) -> Path:
    """A film of 12 MB: most of it is a box that players pass over."""
    whole = tmp_path / "勐混镇乡村春晚 卡录.mp4"
    made = make_footage(ffmpeg, media_folder / "upload.mp4", Footage(2, size=(320, 180)))
    noise = random.Random(3).randbytes(12 << 20)
    whole.write_bytes(made.read_bytes() + struct.pack(">I4s", len(noise) + 8, b"free") + noise)
    return whole


def enter(browser: Browser, stage: Stage, width: int = 390, height: int = 844) -> BrowserContext:
    context = browser.new_context(viewport={"width": width, "height": height}, locale="zh-CN")
    context.add_cookies(
        [{"name": "xitai_session", "value": stage.people["staff"], "url": stage.site}]
    )
    return context


def opened(context: BrowserContext, stage: Stage, query: str = "") -> tuple[Page, Look]:
    page = context.new_page()
    page.add_init_script(WATCH_CSP)
    look = Look(page)
    page.goto(f"{stage.site}/desk/uploads{query}")
    return page, look


def slow_down(page: Page, rate: int) -> None:
    session = page.context.new_cdp_session(page)
    session.send(
        "Network.emulateNetworkConditions",
        {"offline": False, "latency": 5, "downloadThroughput": -1, "uploadThroughput": rate},
    )


def work(database: Database, settings: Settings) -> str | None:
    """What the worker does with the file that came."""
    with database.transaction() as session:
        job = session.scalars(select(Job.id).where(Job.kind == "intake").order_by(-Job.id)).first()
    assert job is not None
    return JobRunner(database, settings, threading.Event()).look(job)


@pytest.mark.slow
def test_a_closed_tab_costs_nothing(
    browser: Browser, stage: Stage, film: Path, settings: Settings, database: Database
) -> None:
    context = enter(browser, stage)
    page, _ = opened(context, stage)
    slow_down(page, SLOW)
    page.get_by_test_id("pick").set_input_files(str(film))
    far = "Number(document.querySelector('[data-bar]')?.value ?? 0)"
    page.wait_for_timeout(300)
    while page.evaluate(far) < 0.3:
        page.wait_for_timeout(100)
    page.close()

    with database.transaction() as session:
        upload = session.scalars(select(Upload)).one()
    came = int((settings.uploads_dir / f"{upload.id}.at").read_text())
    assert 0 < came < film.stat().st_size

    page, look = opened(context, stage)
    expect(page.get_by_test_id("unfinished")).to_contain_text("上次还有 1 个文件没传完")
    assert faults(page) == []
    first: list[int] = []
    page.on(
        "request",
        lambda r: first.append(int(r.headers["upload-offset"])) if r.method == "PATCH" else None,
    )
    page.get_by_test_id("pick").set_input_files(str(film))
    row = page.get_by_test_id("came-file")
    expect(row).to_have_attribute("data-stage", "checking", timeout=30_000)
    # It went on from where it was, in the same row.
    assert first[0] >= came
    part = settings.uploads_dir / f"{upload.id}.part"
    digest = hashlib.sha256(film.read_bytes()).hexdigest()
    assert hashlib.sha256(part.read_bytes()).hexdigest() == digest
    with database.transaction() as session:
        assert session.scalars(select(Upload.claimed_sha256)).one() == digest
    # The card above is gone, the row below tells the rest.
    expect(page.get_by_test_id("file")).to_have_count(0)
    assert work(database, settings) == "done"
    expect(row).to_have_attribute("data-stage", "making", timeout=10_000)
    expect(row.get_by_role("link", name="去看")).to_be_visible()
    with database.transaction() as session:
        upload = session.scalars(select(Upload)).one()
        assert (upload.state, upload.sha256) == ("registered", digest)
    assert look.complaints == []
    assert page.evaluate("window.violations") == []
    context.close()


def test_another_browser_goes_on_too(
    browser: Browser, stage: Stage, film: Path, settings: Settings, database: Database
) -> None:
    """Nothing is remembered there: the server knows what it still waits for."""
    with enter(browser, stage) as context:
        page, _ = opened(context, stage)
        slow_down(page, SLOW)
        page.get_by_test_id("pick").set_input_files(str(film))
        far = "Number(document.querySelector('[data-bar]')?.value ?? 0)"
        while page.evaluate(far) < 0.3:
            page.wait_for_timeout(100)
        # Paused, it stays; the button goes on.
        page.get_by_test_id("pause").click()
        expect(page.get_by_test_id("file-state")).to_have_text("已暂停")
        page.get_by_test_id("go").click()
        expect(page.get_by_test_id("pause")).to_be_visible()
    with enter(browser, stage, 1440, 900) as context:
        page, _ = opened(context, stage)
        page.get_by_test_id("pick").set_input_files(str(film))
        row = page.get_by_test_id("came-file")
        expect(row).to_have_attribute("data-stage", "checking", timeout=30_000)
        expect(row).to_have_count(1)
    with database.transaction() as session:
        upload = session.scalars(select(Upload)).one()
    part = settings.uploads_dir / f"{upload.id}.part"
    assert part.read_bytes() == film.read_bytes()


def test_refusals_are_said_and_duplicates_lead_on(
    browser: Browser, stage: Stage, settings: Settings, database: Database, tmp_path: Path
) -> None:
    photo, note, empty = tmp_path / "围火.jpg", tmp_path / "说明.mp4", tmp_path / "空.mp4"
    photo.write_bytes(picture(15, 640, 480))
    note.write_text("这不是录像")
    empty.touch()
    with enter(browser, stage) as context:
        page, look = opened(context, stage)
        pick = page.get_by_test_id("pick")
        pick.set_input_files([str(photo), str(empty)])
        cards = page.get_by_test_id("file")
        expect(cards.filter(has_text="空.mp4")).to_contain_text("这是个空文件")
        rows = page.get_by_test_id("came-file")
        expect(rows).to_have_count(1, timeout=10_000)
        assert work(database, settings) == "done"
        expect(rows.first).to_have_attribute("data-stage", "ready", timeout=10_000)
        # The same picture once more is refused before a byte of it is sent.
        pick.set_input_files(str(photo))
        again = cards.filter(has_text="围火.jpg")
        expect(again).to_contain_text("以前传过", timeout=10_000)
        again.get_by_role("button", name="还是要传").click()
        expect(rows).to_have_count(2, timeout=10_000)
        pick.set_input_files(str(note))
        expect(rows).to_have_count(3, timeout=10_000)
        assert work(database, settings) == "failed"
        bad = rows.filter(has_text="说明.mp4")
        expect(bad).to_contain_text("认不出这是什么录像", timeout=10_000)
        assert faults(page) == []
        bad.get_by_role("button", name="知道了").click()
        expect(rows.filter(has_text="说明.mp4")).to_have_count(0)
        assert [c for c in look.complaints if "409" not in c] == []


def test_the_page_stands_at_every_width(browser: Browser, stage: Stage, database: Database) -> None:
    show_all(database)
    for width, height in ((390, 844), (1440, 900)):
        with enter(browser, stage, width, height) as context:
            page, look = opened(context, stage)
            assert faults(page) == []
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width
            assert look.complaints == []
    context = browser.new_context(java_script_enabled=False)
    context.add_cookies(
        [{"name": "xitai_session", "value": stage.people["staff"], "url": stage.site}]
    )
    page = context.new_page()
    page.goto(f"{stage.site}/desk/uploads")
    assert "xitai upload" in page.inner_text("main")
    context.close()


def show_all(database: Database) -> None:
    """A row in each stage, with a long name."""
    name = "二〇二六年勐海县勐混镇曼蚌村傣族泼水节暨乡村春节联欢晚会与非遗展演现场直播第一场.mp4"
    states = {
        "receiving": (None, None),
        "received": (None, None),
        "received ": ("upload_hung", "检查这个文件时卡住了。"),
        "refused": ("upload_duplicate", "这个文件以前传过，就是“春晚”，没有重复收下。"),
        "refused ": ("upload_codec", "录像用的编码（magicyuv）收不了。请用 H.264 重新导出。"),
    }
    with database.transaction() as session:
        row = session.execute(text("SELECT id, centre_id FROM users WHERE login = 'staff'")).one()
        for number, (state, (code, why)) in enumerate(states.items()):
            upload = Upload(
                id=f"{number:032x}", centre_id=row.centre_id, created_by=row.id,
                purpose="recording", state=state.strip(), file_name=name, size_bytes=3 << 30,
                error_code=code, error=why,
            )  # fmt: skip
            if code == "upload_duplicate":
                upload.technical = {"same": {"kind": "work", "id": "abc", "title": "春晚"}}
            session.add(upload)
