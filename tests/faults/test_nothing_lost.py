"""Nothing is lost: one show during which every part of the instance is killed in its turn.

Every frame carries its number. What the encoder sent is compared with the feed log, the log with
the replay of every rung, every playlist revision with the rules, and a browser watches all along.
`SOAK_SECONDS=600` in the environment makes it the long run of `make bench`.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from playwright.async_api import Error as BrowserError
from playwright.async_api import Page, async_playwright

from bench.hls_client import HlsClient, PlaylistError, parse_media
from bench.instance import Instance, throwaway
from tests.support.media import Footage, make_footage, read_numbers
from tests.support.pages_server import chromium_path
from tests.support.playlist_rules import PlaylistHistory
from tests.support.publisher import (
    PublishRefused,
    Pusher,
    Tag,
    is_header,
    is_key,
    read_tags,
)

SOAK_SECONDS = float(os.environ.get("SOAK_SECONDS", "110"))
VICTIMS = ("ffmpeg", "worker-live", "web", "redis", "postgres", "ingest")
LOST_AT_INGEST_KILL = 25
"""Frames: one second."""
PAUSE_ALLOWED = 15.0
"""How long the browser's picture may stand still after a kill, seconds."""

CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--mute-audio",
]

pytestmark = [pytest.mark.timeout(SOAK_SECONDS * 2 + 240)]


@dataclass
class Sender:
    """An encoder that never gives up: pushes the tags in real time, reconnecting by itself."""

    port: int
    key: str
    tags: list[Tag]
    sent: list[int] = field(default_factory=list)
    """Numbers of the frames written to a socket, in order."""
    connections: int = 0

    def __post_init__(self) -> None:
        # Type 1 is a picture; FFmpeg ends with an "end of sequence" of type 2.
        pictures = (tag for tag in self.tags if tag.kind == 9 and tag.payload[1] == 1)
        self._numbers = {id(tag): number for number, tag in enumerate(pictures)}

    async def run(self) -> None:
        headers = [tag for tag in self.tags if is_header(tag)]
        frames = [tag for tag in self.tags if not is_header(tag)]
        begun = time.monotonic()
        at = 0
        while at < len(frames):
            at = await self._connection(headers, frames, at, begun)

    async def _connection(
        self, headers: list[Tag], frames: list[Tag], at: int, begun: float
    ) -> int:
        try:
            pusher = await Pusher.connect(self.port, self.key)
        except OSError:
            await asyncio.sleep(0.2)
            return at
        try:
            await pusher.publish(5)
            self.connections += 1
            now_ms = (time.monotonic() - begun) * 1000
            # What was due while nobody listened is gone, as with a real encoder; and pictures
            # begin with a key frame.
            while at < len(frames) and not (is_key(frames[at]) and frames[at].ts_ms >= now_ms):
                at += 1
            for tag in headers:
                pusher.session.send_tag(*tag)
            return await self._push(pusher, frames, at, begun)
        except (PublishRefused, OSError):
            await asyncio.sleep(0.2)
            return at
        finally:
            await pusher.close()

    async def _push(self, pusher: Pusher, frames: list[Tag], at: int, begun: float) -> int:
        while at < len(frames):
            tag = frames[at]
            ahead = begun + tag.ts_ms / 1000 - time.monotonic()
            if ahead > 0:
                await asyncio.sleep(ahead)
            if pusher.closed.is_set():
                return at
            pusher.session.send_tag(*tag)
            pusher.writer.write(pusher.session.bytes_to_send())
            await pusher.writer.drain()
            if id(tag) in self._numbers:
                self.sent.append(self._numbers[id(tag)])
            at += 1
        await pusher.finish()
        return at


def victim(instance: Instance, name: str) -> psutil.Process | None:
    """The process to kill."""
    for process in instance.processes()[1:]:
        try:
            words = process.cmdline()
        except psutil.Error:
            continue
        line = " ".join(words)
        if name == "ffmpeg" and "-copyts" in words:
            return process
        if name == "redis" and "redis-server" in line and "launch" not in line:
            return process
        if name == "postgres" and words[:1] and words[0].endswith("/postgres") and "-D" in words:
            return process
        if name == "worker-live" and words[-4:-2] == ["worker", "--queues"] and "live" in line:
            return process
        if name == "worker-live" and "worker" in words and words[-1] == "live":
            return process
        if name in ("web", "ingest") and words[-1:] == [name]:
            return process
    return None


class Collector:
    """Reads every playlist again and again and holds each revision against the rules."""

    def __init__(self, hls_url: str) -> None:
        self.history = PlaylistHistory()
        self.revisions = 0
        self._hls_url = hls_url
        self._client = httpx.AsyncClient(timeout=15, trust_env=False)

    async def run(self, until: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            for name in ("main", "plain"):
                group.create_task(self._variants(name, until, group))

    async def _variants(self, name: str, until: asyncio.Event, group: asyncio.TaskGroup) -> None:
        url = self._hls_url.replace("main.m3u8", f"{name}.m3u8")
        while not until.is_set():
            text = await self._get(url)
            if text is not None and "STREAM-INF" in text:
                for line in text.splitlines():
                    if line and not line.startswith("#"):
                        group.create_task(
                            self._follow(str(httpx.URL(url).join(line)), name == "main", until)
                        )
                return
            await asyncio.sleep(0.3)

    async def _follow(self, url: str, blocking: bool, until: asyncio.Event) -> None:
        query = ""
        while not until.is_set():
            text = await self._get(url + query)
            if text is None:
                query = ""
                await asyncio.sleep(0.3)
                continue
            self.history.add(url, text, time.monotonic())
            self.revisions += 1
            playlist = parse_media(url, text)
            if playlist.ended:
                return
            if blocking:
                query = f"?_HLS_msn={playlist.open_msn}&_HLS_part={playlist.open_parts}"
            else:
                await asyncio.sleep(1.0)

    async def _get(self, url: str) -> str | None:
        try:
            answer = await self._client.get(url)
        except httpx.HTTPError:
            return None
        return answer.text if answer.status_code == 200 else None

    async def close(self) -> None:
        await self._client.aclose()


class Watcher:
    """A browser on the watch page; notes when its picture moves."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self.longest_pause = 0.0
        self.positions = 0

    async def run(self, until: asyncio.Event) -> None:
        place, moved = -1.0, time.monotonic()
        while not until.is_set():
            await asyncio.sleep(0.5)
            try:
                now = await self._page.evaluate(
                    "() => { const v = document.querySelector('video');"
                    " return v ? v.currentTime : -1 }"
                )
            except BrowserError:
                continue
            if now != place:
                place, moved = now, time.monotonic()
                self.positions += 1
            elif self.positions > 5:
                self.longest_pause = max(self.longest_pause, time.monotonic() - moved)


@pytest.fixture
def instance() -> Iterator[Instance]:
    with throwaway({"XITAI_RUNGS": "v480,v360,a"}) as running:
        yield running


async def kill_in_turn(instance: Instance, begun: float, seconds: float) -> list[str]:
    killed: list[str] = []
    # The first ten seconds bring the show on air; the last ones let it settle.
    step = (seconds - 20) / len(VICTIMS)
    for index, name in enumerate(VICTIMS):
        await asyncio.sleep(max(0, begun + 12 + index * step - time.monotonic()))
        found = victim(instance, name)
        if found is not None:
            found.kill()
            killed.append(name)
            print(f"killed {name} ({found.pid})", flush=True)
    return killed


async def show(instance: Instance, source: Path, made: dict[str, Any]) -> dict[str, Any]:
    port = int(made["publish"]["rtmp_url"].rsplit(":", 1)[1].split("/")[0])
    sender = Sender(port, made["publish"]["stream_key"], read_tags(source))
    collector = Collector(made["hls_url"])
    over = asyncio.Event()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium_path(), args=CHROMIUM_ARGUMENTS
        )
        page = await browser.new_page(viewport={"width": 390, "height": 844})
        watcher = Watcher(page)
        begun = time.monotonic()
        sending = asyncio.create_task(sender.run())
        collecting = asyncio.create_task(collector.run(over))
        killing = asyncio.create_task(kill_in_turn(instance, begun, SOAK_SECONDS))
        await asyncio.sleep(6)
        await page.goto(made["watch_url"])
        await page.locator("[data-testid=play]").click(timeout=15_000)
        watching = asyncio.create_task(watcher.run(over))
        await sending
        killed = await killing
        await asyncio.to_thread(instance.run, "broadcast", "end", made["id"])
        await asyncio.sleep(5)
        over.set()
        await asyncio.gather(collecting, watching)
        await browser.close()
    await collector.close()
    return {
        "sender": sender, "collector": collector, "watcher": watcher, "killed": killed,
    }  # fmt: skip


def final(instance: Instance, broadcast_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while True:
        shown: dict[str, Any] = instance.run("broadcast", "show", broadcast_id)
        try:
            with HlsClient() as client:
                url = client.variants(shown["replay_hls_url"])[0][1]
                if client.media(url).ended:
                    return shown
        except (PlaylistError, IndexError, httpx.HTTPError):
            pass
        assert time.monotonic() < deadline, "the replay was never completed"
        time.sleep(0.5)


def replay_numbers(url: str, folder: Path) -> list[int | None]:
    """Frame numbers of a replay rung, segment runs joined at their init sections."""
    runs: list[tuple[str, bytearray]] = []
    with HlsClient() as client:
        for segment in client.media(url).segments:
            if not runs or runs[-1][0] != segment.init or segment.discontinuity:
                runs.append((segment.init, bytearray(client.init(segment.init))))
            runs[-1][1].extend(client.fetch(segment))
    numbers: list[int | None] = []
    for index, (_, data) in enumerate(runs):
        path = folder / f"replay{index}.mp4"
        path.write_bytes(data)
        numbers += read_numbers(path)
    return numbers


def test_every_part_is_killed_and_nothing_is_lost(
    instance: Instance, ffmpeg: str, media_folder: Path, tmp_path: Path
) -> None:
    source = make_footage(
        ffmpeg,
        media_folder / f"soak{SOAK_SECONDS:.0f}.flv",
        Footage(SOAK_SECONDS, size=(854, 480), bitrate="1200k"),
    )
    made = instance.run("broadcast", "create", "--title", "一帧不丢")
    seen = asyncio.run(show(instance, source, made))
    sender: Sender = seen["sender"]
    assert seen["killed"] == list(VICTIMS)
    assert sender.connections == 2, "only the kill of ingest may cost the connection"

    shown = final(instance, made["id"])
    logged: list[int | None] = []
    for take in shown["takes"]:
        logged += read_numbers(instance.data / "feeds" / f"{take['id']}.flv")
    assert None not in logged
    missing = sorted(set(sender.sent) - set(logged))
    assert len(missing) <= LOST_AT_INGEST_KILL, missing
    if missing:
        assert missing[-1] - missing[0] < LOST_AT_INGEST_KILL, "in one place only"

    with HlsClient() as client:
        variants = client.variants(shown["replay_hls_url"])
    rungs = [v for v in variants if "RESOLUTION" in v[0]]
    assert len(rungs) == 2
    for attributes, url in rungs:
        replayed = replay_numbers(url, tmp_path)
        assert replayed == logged, attributes["RESOLUTION"]

    collector: Collector = seen["collector"]
    print(f"{collector.revisions} playlist revisions, {len(sender.sent)} frames sent")
    assert collector.revisions > SOAK_SECONDS
    assert collector.history.violations == []

    watcher: Watcher = seen["watcher"]
    print(f"longest pause in the browser {watcher.longest_pause:.1f} s")
    assert watcher.positions > SOAK_SECONDS * 0.8
    assert watcher.longest_pause < PAUSE_ALLOWED
