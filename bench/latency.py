"""Live latency as viewers have it: arrival at ingest to the screen, in a real Chromium.

A 720p25 feed is pushed in real time, once at x264's defaults (a key frame every ten seconds, as
OBS sends it) and once with a key frame every two. Each is watched on the watch page, with hls.js
as it comes out of its package, and with hls.js on the plain playlists. What is measured is
``Date.now() - hls.playingDate``: PROGRAM-DATE-TIME is the arrival at ingest.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page

from bench.footage import Encoder, shipped
from bench.hls_client import HlsClient, PlaylistError
from bench.instance import Instance, throwaway
from infra.ffmpeg import ffmpeg_path
from infra.settings import Settings
from tests.support.viewer import chromium_browser

SETTLE_SECONDS = 12.0
MEASURE_SECONDS = 20.0
STEP_MS = 250
LOW_LATENCY, PLAIN = 3.0, 9.0
FOOTAGE_SECONDS = 40
HLS_JS = Path(__file__).parents[1] / "api/pages/frontend/node_modules/hls.js/dist/hls.min.js"

# x264 as it is when nobody sets anything, and with the one setting that the desk asks for.
SOURCES = {
    "key frame every 10 s": (),
    "key frame every 2 s": ("-g", "50", "-keyint_min", "50", "-sc_threshold", "0"),
}

_PAGE = """<!doctype html><meta charset="utf-8"><title>hls.js</title>
<video muted playsinline width="640" height="360"></video><script src="/bench/hls.js"></script>"""

_PLAY = """([url, low]) => {
  const video = document.querySelector('video');
  const hls = new Hls({ lowLatencyMode: low });
  window.bench = { hls, video, fatal: [] };
  hls.on('hlsError', (_, data) => data.fatal && window.bench.fatal.push(data.details));
  hls.on('hlsManifestParsed', () => void video.play());
  hls.loadSource(url);
  hls.attachMedia(video);
}"""

_READ = """() => {
  const { hls, video } = window.bench ?? window.xitaiPlayer;
  const date = hls?.playingDate;
  return { seconds: date ? (Date.now() - date.getTime()) / 1000 : null, at: video.currentTime,
    level: hls ? hls.levels[hls.currentLevel]?.height ?? 0 : 0, target: hls?.targetLatency ?? 0,
    edge: hls?.latency ?? 0  };
}"""


@dataclass(frozen=True, slots=True)
class Line:
    """One measured player. Seconds."""

    name: str
    median: float
    ninetieth: float
    bound: float
    note: str

    @property
    def held(self) -> bool:
        return self.median <= self.bound


def make_source(folder: Path, name: str, options: tuple[str, ...]) -> Path:
    """720p25 of real pictures, encoded beforehand: the encoder is not what is measured."""
    path = folder / f"{name.replace(' ', '-')}.flv"
    if path.exists():
        return path
    subprocess.run(
        [ffmpeg_path(Settings()), "-v", "error", "-nostdin", "-stream_loop", "-1", "-i",
         str(shipped()), "-t", str(FOOTAGE_SECONDS), "-vf", "scale=1280:720,fps=25",
         "-c:v", "libx264", *options, "-c:a", "aac", "-b:a", "128k", str(path)],
        check=True,
    )  # fmt: skip
    return path


def wait_on_air(url: str) -> None:
    client = HlsClient()
    deadline = time.monotonic() + 40
    while True:
        try:
            if client.variants(url):
                return
        except PlaylistError:
            pass
        if time.monotonic() > deadline:
            raise TimeoutError("never on air")
        time.sleep(0.2)


def watch_page(browser: Browser, made: dict[str, Any]) -> Page:
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(made["watch_url"])
    page.get_by_test_id("play").click()
    return page


def bare_player(browser: Browser, url: str, *, low_latency: bool) -> Page:
    """hls.js as it comes, on a page of the same host."""
    page = browser.new_page(viewport={"width": 390, "height": 844})
    host = url.partition("/hls/")[0]
    page.route("**/bench/", lambda route: route.fulfill(body=_PAGE, content_type="text/html"))
    page.route("**/bench/hls.js", lambda route: route.fulfill(path=HLS_JS))
    page.goto(f"{host}/bench/")
    page.evaluate(_PLAY, [url, low_latency])
    return page


def measure(name: str, page: Page, bound: float) -> Line:
    page.wait_for_timeout(SETTLE_SECONDS * 1000)
    readings: list[dict[str, Any]] = []
    until = time.monotonic() + MEASURE_SECONDS
    while time.monotonic() < until:
        readings.append(page.evaluate(_READ))
        page.wait_for_timeout(STEP_MS)
    page.close()
    seconds = sorted(r["seconds"] for r in readings if r["seconds"] is not None)
    played = readings[-1]["at"] - readings[0]["at"]
    if len(seconds) < len(readings) / 2 or played < MEASURE_SECONDS / 2:
        return Line(name, float("inf"), float("inf"), bound, f"played {played:.0f} s only")
    last = readings[-1]
    note = (
        f"{last['level']}p, {last['edge']:.1f} s behind the edge (target {last['target']:.1f} s), "
        f"played {played:.0f} s of {MEASURE_SECONDS:.0f}, load {os.getloadavg()[0]:.1f}"
    )
    ninetieth = seconds[len(seconds) * 9 // 10]
    return Line(name, statistics.median(seconds), ninetieth, bound, note)


def measure_source(instance: Instance, browser: Browser, name: str, source: Path) -> list[Line]:
    made = instance.run("broadcast", "create", "--title", name)
    url = str(made["hls_url"])
    encoder = Encoder(f"{made['publish']['rtmp_url']}/{made['publish']['stream_key']}", source)
    try:
        wait_on_air(url)
        lines = [measure(f"{name}: watch page", watch_page(browser, made), LOW_LATENCY)]
        bare = bare_player(browser, url, low_latency=True)
        lines.append(measure(f"{name}: hls.js, low latency", bare, LOW_LATENCY))
        plain_url = url.replace("main.m3u8", "plain.m3u8")
        plain = bare_player(browser, plain_url, low_latency=False)
        lines.append(measure(f"{name}: hls.js, plain", plain, PLAIN))
    finally:
        encoder.drop()
        instance.run("broadcast", "end", made["id"])
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=Path, help="folder of encoded footage, used again")
    arguments = parser.parse_args()
    lines: list[Line] = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        sources = {name: make_source(folder, name, options) for name, options in SOURCES.items()}
        with throwaway() as instance, chromium_browser() as browser:
            for name, source in sources.items():
                lines += measure_source(instance, browser, name, source)
    width = max(len(line.name) for line in lines)
    for line in lines:
        verdict = "ok " if line.held else "NOT"
        print(
            f"  {verdict}  {line.name:<{width}}  median {line.median:5.2f} s  "
            f"90 % {line.ninetieth:5.2f} s  (at most {line.bound:g} s)  {line.note}"
        )
    return 0 if all(line.held for line in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
