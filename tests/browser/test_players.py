"""The real watch page in a real Chromium, on a whole Xitai with a real encoder."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser

from bench.hls_client import MediaPlaylist
from bench.instance import Instance
from tests.support.media import Footage, make_footage
from tests.support.playlist_watch import PlaylistWatch
from tests.support.show import Show, wait_for
from tests.support.viewer import Viewer, chromium_browser

GAP_SECONDS = 4.0
FPS = 25
# The first frames' numbers tell which of the encoder's three sessions is on the screen.
SECOND, THIRD, BEYOND = 5_000, 10_000, 15_000
BACK_WITHIN = 20.0
"""Seconds from the encoder's return to its picture on the screen."""

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium_browser() as running:
        yield running


@dataclass
class Sessions:
    """What the encoder sends; the third time it is another picture size."""

    first: Path
    second: Path
    third: Path


@pytest.fixture(scope="module")
def sessions(ffmpeg: str, media_folder: Path) -> Sessions:
    def made(name: str, size: tuple[int, int], first: int) -> Path:
        footage = Footage(50, size=size, first=first, bitrate="1000k")
        return make_footage(ffmpeg, media_folder / f"{name}.flv", footage)

    return Sessions(
        made("session1", (854, 480), 0),
        made("session2", (854, 480), SECOND),
        made("session3", (640, 360), THIRD),
    )


def _plays_on(viewer: Viewer, low: int, high: int) -> None:
    """Three seconds of it: time passes, and new frames of this session are on the screen."""
    before, at = viewer.number(), viewer.position()
    viewer.page.wait_for_timeout(3_000)
    after = viewer.number()
    assert before is not None
    assert after is not None
    assert low <= before < after < high
    assert viewer.position() > at + 2


def _live(viewer: Viewer, show: Show) -> None:
    viewer.page.goto(show.made["watch_url"])
    viewer.page.get_by_test_id("play").click()
    took = viewer.wait_number(0, SECOND, 15)
    _plays_on(viewer, 0, SECOND)
    stats = viewer.stats()
    print(f"first picture {took:.1f} s after the press, {stats['latency'] / 1000:.1f} s behind")
    assert stats["kind"] == "live"
    assert 0 < stats["latency"] < 8_000
    assert viewer.page.evaluate("window.xitaiPlayer.hls.playingDate instanceof Date")
    assert viewer.page.evaluate("window.xitaiPlayer.hls.config.lowLatencyMode")
    notes = viewer.notes()
    assert notes["fatal"] == []
    assert notes["players"] == 1
    assert viewer.complaints == []


def _interruption(viewer: Viewer, show: Show, sessions: Sessions) -> None:
    show.drop()
    viewer.page.wait_for_timeout(GAP_SECONDS * 1000)
    show.publish(sessions.second)
    took = viewer.wait_number(SECOND, THIRD, BACK_WITHIN)
    print(f"picture {took:.1f} s after the encoder's return")
    _plays_on(viewer, SECOND, THIRD)


def _other_size(viewer: Viewer, show: Show, sessions: Sessions, watch: PlaylistWatch) -> None:
    show.drop()
    show.publish(sessions.third)
    took = viewer.wait_number(THIRD, BEYOND, BACK_WITHIN)
    print(f"picture of another size {took:.1f} s after the encoder's return")
    _plays_on(viewer, THIRD, BEYOND)
    size = viewer.page.evaluate("[window.xitaiPlayer.video.videoWidth]")
    assert size == [640]
    pictures = [u for u in watch.inits if u.endswith("/live.m3u8") and "/a/" not in u]
    assert len(pictures) == 2
    for url in pictures:
        assert len(watch.inits[url]) >= 2, f"no new EXT-X-MAP in {url}"
        assert watch.playlist(url).discontinuities == 2


def _replay(viewer: Viewer, playlist: MediaPlaylist, numbers: list[list[int | None]]) -> None:
    """Seek in the page that was live: at each place the frame that was aired there."""
    frames = [number for stretch in numbers for number in stretch]
    second, third = len(numbers[0]), len(numbers[0]) + len(numbers[1])
    length = len(frames) / FPS
    assert length == pytest.approx(sum(s.seconds for s in playlist.segments), abs=0.1)

    viewer.page.get_by_test_id("ended").wait_for(timeout=25_000)
    viewer.page.get_by_test_id("watch-replay").click()
    viewer.wait_number(0, 100, 15)
    assert viewer.stats()["kind"] == "replay"
    viewer.page.evaluate("window.xitaiPlayer.video.pause()")
    # The end first, then back and forth: what is fetched next to what is there must fit it.
    for index in (len(frames) - 10, 0, len(frames) // 2, second + 10, third, third - 10, second):
        viewer.seek((index + 0.5) / FPS)
        seen = viewer.number()
        assert seen == frames[index], f"{seen} on the screen where {frames[index]} was aired"
    viewer.seek(length - 2)
    viewer.page.evaluate("void window.xitaiPlayer.video.play()")
    viewer.until("window.xitaiPlayer.video.ended", 15)


def _counted(show: Show) -> dict[str, Any]:
    """Plays once the last beacons have come in."""
    wait_for(lambda: show.shown()["plays"]["watched_seconds"] > 10, 20, "the beacons counted")
    plays: dict[str, Any] = show.shown()["plays"]
    print(plays)
    return plays


def test_one_page_from_live_to_replay(
    xitai: Instance, browser: Browser, sessions: Sessions, tmp_path: Path
) -> None:
    with Show(xitai, "元宵晚会") as show, PlaylistWatch(show.url("main")) as watch:
        show.publish(sessions.first)
        show.on_air()
        viewer = Viewer(browser.new_page(viewport={"width": 390, "height": 844}))
        began = time.monotonic()
        _live(viewer, show)
        _interruption(viewer, show, sessions)
        _other_size(viewer, show, sessions, watch)
        show.end()
        show.drop()
        playlist = show.final_replay()
        watched = time.monotonic() - began
        _replay(viewer, playlist, show.numbers(playlist, tmp_path))
        assert watch.wait_ended(10)
        notes = viewer.notes()
        print(notes, viewer.complaints, dict(watch.revisions), dict(watch.refusals))
        assert notes["csp"] == []
        assert notes["fatal"] == []
        assert viewer.grave_complaints() == []
        viewer.page.close()
        plays = _counted(show)
    # The replay is a start of its own unless it began within 30 s of the live one's.
    assert plays["play_starts"] in (1, 2)
    assert plays["page_views"] == 1
    assert plays["devices"] == 1
    assert plays["effective_plays"] >= 1
    assert plays["watched_seconds"] < watched + 30
    assert watch.violations == []


def test_phones_without_media_source_are_given_plain_hls(
    xitai: Instance, browser: Browser, sessions: Sessions
) -> None:
    with Show(xitai, "老手机") as show:
        show.publish(sessions.first)
        show.on_air()
        # Without scripts: a plain video element with addresses of its own.
        html = httpx.get(show.made["watch_url"], trust_env=False).text
        sources = re.findall(r'<source src="([^"]+)" type="([^"]+)"', html)
        assert sources
        assert {kind for _, kind in sources} == {"application/vnd.apple.mpegurl"}
        # With scripts but without MSE: the browser's own player is given an address.
        page = browser.new_page(
            viewport={"width": 390, "height": 844},
            user_agent="Mozilla/5.0 (Linux; Android 8.1; old) MicroMessenger/8.0",
        )
        page.add_init_script(
            "delete window.MediaSource; delete window.ManagedMediaSource;"
            " delete window.WebKitMediaSource;"
            " HTMLMediaElement.prototype.canPlayType = () => 'maybe';"
        )
        page.goto(show.made["watch_url"])
        page.get_by_test_id("play").click()
        page.wait_for_timeout(500)
        assert page.evaluate("window.xitaiPlayer.hls") is None
        given = page.evaluate("window.xitaiPlayer.video.src")
        assert given == show.url("plain")
        page.close()
