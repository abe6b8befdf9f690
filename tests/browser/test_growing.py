"""A recording handed in from a shell, watched in a real browser while the rest of it is made."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, expect
from sqlalchemy import select

from bench.instance import Instance, throwaway
from catalog.models import Work
from infra.settings import Settings
from tests.support.figures_year import database_of
from tests.support.media import Footage, make_footage
from tests.support.pages_server import chromium, until
from tests.support.soundness import WATCH_CSP

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

CHUNK = {"XITAI_CHUNK_SECONDS": "4"}
SECONDS = 24
FOOTAGE = Footage(SECONDS, size=(1920, 1080), gop_seconds=5, preset="ultrafast", bitrate="6M")


@pytest.fixture(scope="module")
def studio() -> Iterator[Instance]:
    with throwaway(CHUNK) as instance:
        yield instance


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


def made_of_it(instance: Instance) -> Work:
    """The work the upload becomes, as soon as it is promised."""
    deadline = time.monotonic() + 60
    with database_of(Settings(data=instance.data)) as database:
        while time.monotonic() < deadline:
            with database.transaction() as session:
                work = session.scalars(select(Work).where(Work.kind == "upload")).one_or_none()
            if work is not None:
                return work
            time.sleep(0.1)
    raise AssertionError("no work was promised")


def test_it_is_watched_from_its_first_chunk_on(
    studio: Instance, browser: Browser, ffmpeg: str, media_folder: Path
) -> None:
    original = make_footage(ffmpeg, media_folder / "growing.mp4", FOOTAGE)
    argv = [sys.executable, "-m", "api.cli", "upload", "--data", str(studio.data)]
    argv += [str(original), "--title", "老带子", "--wait", "--json"]
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as sending:
        try:
            watch_it_grow(studio, browser, sending)
        finally:
            sending.kill()


def watch_it_grow(studio: Instance, browser: Browser, sending: subprocess.Popen[str]) -> None:
    work = made_of_it(studio)
    page = browser.new_page(viewport={"width": 390, "height": 844}, locale="zh-CN")
    page.add_init_script(WATCH_CSP)
    page.goto(f"{studio.url}/works/{work.id}")
    # Opened before anything can be seen, it becomes the player by itself.
    expect(page.get_by_test_id("play")).to_be_visible(timeout=60_000)
    expect(page.get_by_test_id("making")).to_contain_text("已经可以看")
    page.get_by_test_id("play").click()
    until(page, "window.xitaiPlayer.stats().position > 1", 30)
    early = page.evaluate("window.xitaiPlayer.video.duration")
    assert page.evaluate("window.xitaiPlayer.stats().position") < 10, "it begins at its start"
    assert sending.poll() is None, "it was all made before one could look"
    assert early < SECONDS - 1
    # Nothing lists it meanwhile.
    assert work.id not in httpx.get(studio.url, trust_env=False).text
    told, said = sending.communicate(timeout=240)
    assert sending.returncode == 0, said
    answer = json.loads(told)
    assert (answer["stage"], answer["error"], answer["title"]) == ("ready", None, "老带子")
    assert answer["watch_url"] == f"{studio.url}/works/{work.id}"
    assert "转码中" in said
    # The same page and player: the rest came to it.
    until(page, f"window.xitaiPlayer.video.duration > {SECONDS - 0.5}", 30)
    until(page, "!document.querySelector('[data-testid=making]').textContent.trim()", 30)
    page.evaluate(f"window.xitaiPlayer.video.currentTime = {SECONDS - 2}")
    until(page, "window.xitaiPlayer.video.ended", 30)
    assert page.evaluate("window.xitaiPlayer.stats().kind") == "replay"
    assert page.evaluate("window.violations") == []
    assert work.id in httpx.get(studio.url, trust_env=False).text
