"""Hundreds of photographs chosen at once: the page stays usable, its progress true, all arrive."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy
import pytest
from playwright.sync_api import Browser, expect
from sqlalchemy import func, select

from catalog.models import Upload, User
from catalog.records import service
from infra.database import Database
from tests.browser.test_uploads import enter, opened, stage
from tests.support.library_stage import Stage
from tests.support.pages_server import chromium
from tests.support.soundness import faults

__all__ = ["stage"]

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(900)]

COUNT = int(os.environ.get("MANY_PHOTOS", "24"))
"""MANY_PHOTOS=200 for a photographer's whole evening."""
EDGES = (1200, 800) if COUNT < 100 else (2400, 1600)
QUICK_MS = 300
"""So long a page that is asked something may take to answer."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Distinct JPEGs of some hundred KB (1–3 MB of them where there are many)."""
    folder = tmp_path_factory.mktemp("card")
    width, height = EDGES
    rng = numpy.random.default_rng(4)
    found = []
    for number in range(COUNT):
        coarse = rng.integers(0, 255, (12, 16, 3), numpy.uint8)
        image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        grain = rng.integers(0, 24, (height, width, 1), numpy.uint8)
        path = folder / f"DSC_{number:04d}.JPG"
        cv2.imwrite(str(path), cv2.add(image, grain.repeat(3, 2)), [cv2.IMWRITE_JPEG_QUALITY, 88])
        found.append(str(path))
    return found


def test_all_of_them_arrive(
    browser: Browser, stage: Stage, photos: list[str], database: Database, tmp_path: Path
) -> None:
    staff = stage.actors["staff"]
    with database.transaction() as session:
        centre = session.get_one(User, staff.user_id).centre
        fields = {"title": "茶山四季"}
        wall = service.create(session, staff, kind="exhibition", centre=centre, fields=fields).id
    context = enter(browser, stage)
    page, look = opened(context, stage, f"?exhibition={wall}")
    page.evaluate(
        """() => { window.longest = 0; let last = performance.now();
        setInterval(() => { const now = performance.now();
          window.longest = Math.max(window.longest, now - last - 50); last = now; }, 50); }"""
    )
    began = time.monotonic()
    page.get_by_test_id("pick").set_input_files(photos)
    chosen = time.monotonic() - began
    total = page.locator("[data-total]")
    seen: list[tuple[int, int]] = []
    answers: list[float] = []
    middle = False
    while True:
        asked = time.monotonic()
        words = total.inner_text() if total.is_visible() else ""
        answers.append(time.monotonic() - asked)
        if words:
            done, whole = words.partition(" · ")[0].split(" / ")
            seen.append((int(done), int(whole)))
            if not middle and int(done) > COUNT // 3:
                middle = True
                assert faults(page) == []
                page.screenshot(path=tmp_path / "middle.png")
        with database.transaction() as session:
            left = COUNT - (
                session.scalar(select(func.count()).where(Upload.state == "received")) or 0
            )
        if left == 0:
            break
        page.wait_for_timeout(200)
    took = time.monotonic() - began
    size = sum(os.path.getsize(path) for path in photos)
    print(
        f"{COUNT} photographs, {size / 1e6:.0f} MB: chosen {chosen:.1f} s, sent {took:.1f} s, "
        f"slowest answer {max(answers) * 1000:.0f} ms, "
        f"longest stop {page.evaluate('window.longest'):.0f} ms, {tmp_path / 'middle.png'}"
    )
    # Of how many it is does not change under way, and what is done only grows.
    assert {whole for _, whole in seen} == {COUNT}
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert sorted(answers)[len(answers) // 2] * 1000 < QUICK_MS
    with database.transaction() as session:
        rows = session.scalars(select(Upload)).all()
        assert {row.file_name for row in rows} == {os.path.basename(path) for path in photos}
        assert {row.parent_id for row in rows} == {wall}
        assert all(row.claimed_sha256 for row in rows)
    expect(page.locator("[data-sending]")).to_be_hidden(timeout=20_000)
    assert look.complaints == []
    context.close()
