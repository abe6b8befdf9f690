"""A smart cut in Chromium: as a file, frame by frame, and as HLS segments played to their end."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, Route

from tests.support.cuts import TICKS, CutRig
from tests.support.media import COLUMNS, read_picture
from tests.support.viewer import chromium_browser
from vod.smartcut import CutResult

pytestmark = pytest.mark.browser

WIDTH, HEIGHT = COLUMNS * 12, 180
HOST = "http://cut.test/"

_PAGE = f"""<!doctype html><video muted></video><script>
const video = document.querySelector('video');
const pen = new OffscreenCanvas({WIDTH}, {HEIGHT}).getContext('2d', {{willReadFrequently: true}});
const seen = [], errors = [];
video.addEventListener('error', () => errors.push(video.error.message));

function screen() {{
  pen.drawImage(video, 0, 0, {WIDTH}, {HEIGHT});
  const pixels = pen.getImageData(0, 0, {WIDTH}, {HEIGHT}).data;
  let green = '';
  for (let i = 1; i < pixels.length; i += 4) green += String.fromCharCode(pixels[i]);
  return btoa(green);
}}
const event = (name) => new Promise((done) => video.addEventListener(name, done, {{once: true}}));

async function openFile() {{
  const blob = await (await fetch('clip.mp4')).blob();
  const loaded = event('loadeddata');
  video.src = URL.createObjectURL(blob);
  await loaded;
}}
async function frameAt(seconds) {{
  // The event comes before the picture does.
  const shown = new Promise((done) => video.requestVideoFrameCallback(done));
  video.currentTime = seconds;
  await shown;
  return screen();
}}
async function openSegments(ranges, type) {{
  const source = new MediaSource();
  const opened = new Promise((done) => source.addEventListener('sourceopen', done));
  video.src = URL.createObjectURL(source);
  await opened;
  const buffer = source.addSourceBuffer(type);
  const data = await (await fetch('clip.mp4')).arrayBuffer();
  for (const [start, end] of ranges) {{
    const done = new Promise((ok) => buffer.addEventListener('updateend', ok, {{once: true}}));
    buffer.appendBuffer(data.slice(start, end));
    await done;
  }}
  source.endOfStream();
  return [...Array(video.buffered.length).keys()]
    .map((n) => [video.buffered.start(n), video.buffered.end(n)]);
}}
async function playThrough(rate) {{
  const note = (now, meta) => {{
    seen.push([meta.mediaTime, screen()]);
    video.requestVideoFrameCallback(note);
  }};
  video.requestVideoFrameCallback(note);
  const ended = event('ended');
  video.playbackRate = rate;
  await video.play();
  await ended;
  return seen;
}}
</script>"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium_browser() as running:
        yield running


@pytest.fixture(scope="module")
def rig(ffmpeg: str, tmp_path_factory: pytest.TempPathFactory) -> CutRig:
    return CutRig(ffmpeg, tmp_path_factory.mktemp("cuts"))


def _open(browser: Browser, result: CutResult) -> Page:
    page = browser.new_page()
    data = result.mp4.read_bytes()

    def answer(route: Route) -> None:
        if route.request.url.endswith("clip.mp4"):
            route.fulfill(body=data, content_type="video/mp4")
        else:
            route.fulfill(body=_PAGE, content_type="text/html")

    page.route(f"{HOST}**", answer)
    page.goto(HOST)
    return page


def _number(screen: str) -> int | None:
    luma = np.frombuffer(base64.b64decode(screen), np.uint8)
    return read_picture(luma.reshape(HEIGHT, WIDTH))[0]


@pytest.mark.parametrize("kind", ["closed", "open", "29.97"])
def test_cut_plays_in_chromium(browser: Browser, rig: CutRig, kind: str) -> None:
    source = rig.made(kind)
    start, stop = 5 * TICKS + 40_123, 9 * TICKS + 61_200
    result = rig.cut([source.piece(start, stop)])
    expected = source.expected(start, stop)
    times = [(tick - expected[0][0]) / TICKS for tick, _ in expected]
    numbers = [number for _, number in expected]
    assert result.copied_frames > 50

    page = _open(browser, result)
    page.evaluate("openFile()")
    assert abs(page.evaluate("video.duration") - result.duration / TICKS) < 0.03
    group = 60 if kind == "29.97" else 50
    for n in [1, *range(20, len(times), 9)]:
        # Right before a key picture Chromium seeks to that, whose decoding time is earlier, in any
        # file with B pictures. Playing, below, shows those too.
        if numbers[n] % group < group - 3:
            assert _number(page.evaluate(f"frameAt({times[n] + 0.012})")) == numbers[n]
    assert page.evaluate("errors") == []
    page.close()

    page = _open(browser, result)
    init = [result.init_offset, result.init_offset + len(result.finished.init)]
    ranges = [init, *([s.offset, s.offset + s.size] for s in result.finished.segments)]
    kinds = f'video/mp4; codecs="{result.finished.codecs}"'
    buffered = page.evaluate(f"openSegments({json.dumps(ranges)}, {json.dumps(kinds)})")
    assert len(buffered) == 1, "there is no hole in it"
    assert buffered[0][0] < 0.03
    assert abs(buffered[0][1] - result.duration / TICKS) < 0.05
    seen = page.evaluate("playThrough(1)")
    assert page.evaluate("errors") == []
    assert page.evaluate("video.getVideoPlaybackQuality().totalVideoFrames") == len(times)
    # A busy machine shows some frames late or not at all; those shown are right.
    assert len(seen) > len(times) / 5
    for at, screen in seen:
        number = _number(screen)
        nearest = min(range(len(times)), key=lambda n: abs(times[n] - at))
        assert abs(times[nearest] - at) < 0.002
        assert number is not None
        assert 0 <= number - numbers[nearest] <= 2
    page.close()
