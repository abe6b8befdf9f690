"""The player on the watch page: live, lost, back, over, replayed; and the beacons it sends."""

from __future__ import annotations

import json
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import pytest
from playwright.sync_api import Browser, Page, Route

from catalog.cmcd import play_quality
from tests.support.pages_server import chromium, fake_pages, post, until

pytestmark = pytest.mark.browser

_SOURCE = ["-f", "lavfi", "-i", "testsrc2=s=320x180:r=15", "-f", "lavfi", "-i", "sine=440"]
_CODING = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "15", "-pix_fmt", "yuv420p"]
_HLS = ["-c:a", "aac", "-f", "hls", "-hls_time", "1", "-hls_segment_type", "fmp4"]
_NAMES = ["-master_pl_name", "main.m3u8", "v.m3u8"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def media(tmp_path: Path) -> Path:
    """A replay of twelve seconds; live/ is there to be filled."""
    for name in ("live", "replay"):
        (tmp_path / name).mkdir()
    argv = [*_ffmpeg(), *_SOURCE, "-t", "12", *_CODING, *_HLS, "-hls_playlist_type", "vod"]
    subprocess.run([*argv, *_NAMES], cwd=tmp_path / "replay", check=True)
    return tmp_path


def _ffmpeg() -> list[str]:
    return [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin"]


@pytest.fixture
def show(media: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A live show; SIGSTOP is a lost signal, SIGINT its end."""
    flags = ["-hls_list_size", "8", "-hls_flags", "delete_segments+program_date_time+temp_file"]
    argv = [*_ffmpeg(), "-re", *_SOURCE, *_CODING, *_HLS, *flags, *_NAMES]
    running = subprocess.Popen(argv, cwd=media / "live")
    deadline = time.monotonic() + 20
    while not (media / "live/v3.m4s").exists():
        assert time.monotonic() < deadline
        time.sleep(0.2)
    yield running
    running.send_signal(signal.SIGCONT)
    running.kill()
    running.wait()


def _stats(page: Page) -> dict[str, Any]:
    found: dict[str, Any] = page.evaluate("window.xitaiPlayer.stats()")
    return found


def _moves(page: Page) -> bool:
    before = _stats(page)["position"]
    page.wait_for_timeout(1_500)
    return bool(_stats(page)["position"] > before + 0.5)


def _events(site: str) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{site}/fake/plays", timeout=5) as answer:
        found: list[dict[str, Any]] = json.load(answer)
        return found


def test_one_page_from_live_to_replay(
    browser: Browser, media: Path, show: subprocess.Popen[bytes]
) -> None:
    with fake_pages(media=media) as site:
        page = browser.new_page(viewport={"width": 390, "height": 844})
        page.goto(f"{site}/b/b-live")
        page.get_by_test_id("play").click()
        until(page, "window.xitaiPlayer.stats().position > 0.5", 10)
        assert _moves(page)
        stats = _stats(page)
        assert stats["kind"] == "live"
        assert 0 < stats["latency"] < 9_000

        # The signal is lost: a slate says so, and leaves by itself.
        show.send_signal(signal.SIGSTOP)
        post(f"{site}/fake/state/b-live/interrupted")
        page.get_by_test_id("slate").wait_for(timeout=15_000)
        show.send_signal(signal.SIGCONT)
        post(f"{site}/fake/state/b-live/live")
        page.get_by_test_id("slate").wait_for(state="hidden", timeout=15_000)
        assert _moves(page)

        # From the start, and back.
        page.get_by_test_id("from-start").click()
        until(page, "window.xitaiPlayer.stats().position > 0.5")
        assert _stats(page)["kind"] == "dvr"
        page.get_by_test_id("to-live").click()
        until(page, "window.xitaiPlayer.stats().latency > 0")
        assert _moves(page)

        # The end: the same page offers the replay.
        post(f"{site}/fake/state/b-live/ended")
        show.send_signal(signal.SIGINT)
        page.get_by_test_id("ended").wait_for(timeout=20_000)
        page.get_by_test_id("watch-replay").click()
        until(page, "window.xitaiPlayer.stats().position > 0.5")
        assert _stats(page)["kind"] == "replay"
        assert page.url == f"{site}/b/b-live"
        page.wait_for_timeout(500)
        kinds = [event["kind"] for event in _events(site)]
        assert kinds.count("view") == 1
        assert kinds.count("start") == 4
        assert "end" in kinds
        page.close()


def test_waiting_viewers_are_let_in(
    browser: Browser, media: Path, show: subprocess.Popen[bytes]
) -> None:
    with fake_pages(media=media) as site:
        page = browser.new_page()
        page.goto(f"{site}/b/b-soon")
        page.get_by_test_id("waiting").wait_for()
        post(f"{site}/fake/state/b-soon/live")
        page.get_by_test_id("play").wait_for(timeout=10_000)
        page.get_by_test_id("play").click()
        until(page, "window.xitaiPlayer.stats().position > 0.5", 10)
        page.close()


def test_beacons_outlive_a_server_that_is_away(browser: Browser, media: Path) -> None:
    with fake_pages(media=media) as site:
        page = browser.new_page()
        away = True
        page.route("**/api/v1/plays", lambda route: route.abort() if away else route.continue_())
        page.goto(f"{site}/b/b-over")
        page.get_by_test_id("play").click()
        until(page, "window.xitaiPlayer.stats().position > 1")
        page.evaluate("window.xitaiPlayer.video.currentTime = 6")
        page.wait_for_timeout(1_000)
        assert _events(site) == []
        away = False
        page.evaluate("window.dispatchEvent(new Event('online'))")
        until(page, "!Object.keys(localStorage).some((k) => k.startsWith('xitai.play.'))", 15)
        events = _events(site)
        assert [event["kind"] for event in events][:3] == ["view", "start", "seek"]
        assert len({event["event_id"] for event in events}) == len(events)
        assert len({event["viewer_id"] for event in events}) == 1
        start = events[1]
        assert start["startup_ms"] > 0
        # How it plays goes along, as CMCD: nothing of it on the addresses of segments.
        assert f'sid="{start["play_id"]}"' in start["cmcd"]
        found = play_quality(start["cmcd"])
        assert found is not None
        assert found.startup_ms == start["startup_ms"]
        assert (found.rebuffers, found.rebuffer_ms, found.live) == (0, 0, False)
        assert found.top_bitrate_kbps
        assert found.throughput_kbps
        assert start["live"] is False
        assert start["item"] == "b-over"
        page.close()


def test_beacons_are_kept_by_nobody_but_our_server(browser: Browser, media: Path) -> None:
    """A hotel's sign-in page answers 200 to everything; a server in trouble names its time."""
    with fake_pages(media=media) as site:
        page = browser.new_page()
        answers: list[dict[str, Any]] = [
            {"status": 200, "content_type": "text/html", "body": "<h1>Sign in</h1>"},
            {"status": 503, "headers": {"retry-after": "1"}},
            {"status": 413},
        ]
        sizes = []

        def answer(route: Route) -> None:
            sizes.append(len(json.loads(route.request.post_data or "{}")["events"]))
            if answers:
                route.fulfill(**answers.pop(0))
            else:
                route.continue_()

        page.route("**/api/v1/plays", answer)
        page.goto(f"{site}/b/b-over")
        page.get_by_test_id("play").click()
        until(page, "window.xitaiPlayer.stats().position > 1")
        page.evaluate("window.xitaiPlayer.video.pause()")
        for _ in range(4):
            page.evaluate("window.dispatchEvent(new Event('online'))")
            page.wait_for_timeout(2_500)
        until(page, "!Object.keys(localStorage).some((k) => k.startsWith('xitai.play.'))", 30)
        assert answers == []
        kinds = [event["kind"] for event in _events(site)]
        assert kinds == ["view", "start", "pause"]
        page.close()


def test_media_that_is_away_for_a_while_is_no_dead_end(browser: Browser, media: Path) -> None:
    with fake_pages(media=media) as site:
        page = browser.new_page()
        away = True
        page.route(
            "**/hls/**", lambda route: route.fulfill(status=503) if away else route.continue_()
        )
        page.goto(f"{site}/b/b-over")
        page.get_by_test_id("play").click()
        page.wait_for_timeout(4_000)
        away = False
        until(page, "window.xitaiPlayer.stats().position > 1", 20)
        page.close()
