"""The main job, once, on real footage: from encoder to replay, clip and minutes (`make demo`)."""

from __future__ import annotations

import io
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import av.error
import httpx
import openpyxl

from bench.footage import Encoder, shipped
from bench.hls_client import HlsClient, Media, PlaylistError
from bench.instance import Instance, throwaway

FIRST_SHOW_SECONDS = 16.0
GAP_SECONDS = 4.0
SECOND_SHOW_SECONDS = 12.0
CLIP = (3.0, 9.0)
FRAME = 0.04


@dataclass(slots=True)
class Measure:
    """One line of the table at the end."""

    name: str
    value: str
    bound: str
    held: bool


@dataclass(slots=True)
class Viewer:
    """Follows the broadcast in a thread, as one phone would."""

    hls_url: str
    client: HlsClient = field(default_factory=HlsClient)
    first_picture: float | None = None
    """Monotonic time of the first part that was decoded."""
    delays: list[float] = field(default_factory=list)
    """Arrival at ingest to bytes in hand, of each part's last frame, seconds."""
    after_gap: float | None = None
    parts: int = 0
    error: str | None = None
    rung: str = ""

    def watch(self, until: float) -> None:
        try:
            variant = self._tallest(until)
            for part in self.client.follow(variant, until):
                self._take(part)
        except (PlaylistError, httpx.HTTPError, av.error.FFmpegError, TimeoutError) as error:
            self.error = f"{type(error).__name__}: {error}"

    def _tallest(self, until: float) -> str:
        while time.monotonic() < until:
            try:
                variants = self.client.variants(self.hls_url)
            except (PlaylistError, httpx.HTTPError):
                variants = []  # not on air yet
            tall = [v for v in variants if "RESOLUTION" in v[0]]
            if tall:
                attributes, url = max(tall, key=lambda v: int(v[0]["BANDWIDTH"]))
                self.rung = attributes["RESOLUTION"]
                return url
            time.sleep(0.1)
        raise TimeoutError("the broadcast never came on air")

    def _take(self, part: Media) -> None:
        data = self.client.fetch(part)
        now = time.time()
        self.parts += 1
        if self.first_picture is None:
            frames = decoded(self.client.init(part.init) + data)
            if not frames:
                return
            self.first_picture = time.monotonic()
        self.delays.append(now - (part.pdt + part.seconds))
        if part.discontinuity and self.after_gap is None:
            self.after_gap = time.monotonic()


def decoded(data: bytes) -> int:
    """How many pictures come out of some MP4."""
    with av.open(io.BytesIO(data)) as container:
        return sum(1 for _ in container.decode(video=0))


def say(text: str) -> None:
    print(f"  {text}", flush=True)


def main() -> int:
    print("Xitai: one broadcast, from encoder to replay", flush=True)
    with throwaway() as instance:
        measures = perform(instance)
    print()
    width = max(len(m.name) for m in measures)
    for m in measures:
        print(f"  {'ok ' if m.held else 'NOT'}  {m.name:<{width}}  {m.value:>12}   {m.bound}")
    held = all(m.held for m in measures)
    print(f"\n{'All of it held.' if held else 'Something did not hold.'}", flush=True)
    return 0 if held else 1


def perform(instance: Instance) -> list[Measure]:
    measures = [_below("start-up", instance.start_seconds, 30.0)]
    say(f"ready at {instance.url} after {instance.start_seconds:.1f} s")
    made = instance.run("broadcast", "create", "--title", "乡村春晚（演示）")
    target = f"{made['publish']['rtmp_url']}/{made['publish']['stream_key']}"
    viewer = Viewer(made["hls_url"])
    published = time.monotonic()
    encoder = Encoder(target, shipped())
    show_seconds = FIRST_SHOW_SECONDS + GAP_SECONDS + SECOND_SHOW_SECONDS
    watching = threading.Thread(
        target=viewer.watch, args=(published + show_seconds + 15.0,), daemon=True
    )
    watching.start()
    say("an encoder publishes; a viewer watches through the HLS edge")
    time.sleep(FIRST_SHOW_SECONDS)
    encoder.drop()
    say(f"the encoder's network is gone for {GAP_SECONDS:.0f} s")
    time.sleep(GAP_SECONDS)
    encoder = Encoder(target, shipped())
    say("it is back under the same key")
    time.sleep(SECOND_SHOW_SECONDS)
    say("staff end the broadcast")
    instance.run("broadcast", "end", made["id"])
    replay_seconds = replay_delay(made["hls_url"])
    encoder.drop()
    watching.join(20.0)
    measures += live_measures(viewer, published)
    measures.append(_below("replay after the end", replay_seconds, 1.0))
    shown = wait_final(instance, made["id"])
    measures += minute_measures(shown)
    measures += replay_measures(shown)
    measures += clip_measures(instance, made["id"])
    measures.append(report_measure(instance, made["id"], shown))
    return measures


def _below(name: str, seconds: float, bound: float) -> Measure:
    return Measure(name, f"{seconds:.2f} s", f"at most {bound:g} s", seconds <= bound)


def live_measures(viewer: Viewer, published: float) -> list[Measure]:
    if viewer.error or viewer.first_picture is None or not viewer.delays:
        return [Measure("live", viewer.error or "no picture", "a viewer sees it", False)]
    say(f"the viewer got {viewer.parts} parts of {viewer.rung}")
    delays = sorted(viewer.delays)
    median = delays[len(delays) // 2]
    # A player stays three parts behind what it can have (PART-HOLD-BACK).
    return [
        _below("time to first picture", viewer.first_picture - published, 8.0),
        _below("live latency (median, with hold-back)", median + 1.5, 3.0),
        Measure(
            "viewer goes on after the drop",
            "yes" if viewer.after_gap else "no",
            "by itself",
            viewer.after_gap is not None,
        ),
    ]


def replay_delay(hls_url: str) -> float:
    """Seconds until first and newest segment of the replay can be decoded."""
    began = time.monotonic()
    client = HlsClient()
    url = hls_url.replace("main.m3u8", "replay.m3u8")
    while True:
        variants = client.variants(url)
        playlist = client.media(variants[0][1])
        if playlist.segments:
            ends = (playlist.segments[0], playlist.segments[-1])
            if all(decoded(client.init(s.init) + client.fetch(s)) for s in ends):
                return time.monotonic() - began
        if time.monotonic() - began > 15:
            raise TimeoutError("no replay")


def wait_final(instance: Instance, broadcast_id: str) -> dict[str, Any]:
    """The broadcast once its last segment is registered and its last take closed."""
    client = HlsClient()
    deadline = time.monotonic() + 20
    while True:
        shown: dict[str, Any] = instance.run("broadcast", "show", broadcast_id)
        url = shown["replay_hls_url"]
        if url and client.media(client.variants(url)[0][1]).ended:
            return shown
        if time.monotonic() > deadline:
            raise TimeoutError("the replay was never completed")
        time.sleep(0.3)


def minute_measures(shown: dict[str, Any]) -> list[Measure]:
    finished, raw = shown["finished_seconds"], shown["raw_seconds"]
    gaps = [g["seconds"] for g in shown["gaps"] if g["seconds"] is not None]
    return [
        Measure("minutes finished", f"{finished / 60:.2f} min", "what viewers got", finished > 20),
        Measure(
            "minutes raw",
            f"{raw / 60:.2f} min",
            "equal within 0.2 s",
            abs(finished - raw) < 0.2,
        ),
        Measure(
            "gap",
            f"{gaps[0]:.1f} s" if gaps else "none",
            f"one of about {GAP_SECONDS:.0f} s",
            len(gaps) == 1 and GAP_SECONDS - 0.5 < gaps[0] < GAP_SECONDS + 3,
        ),
    ]


def replay_measures(shown: dict[str, Any]) -> list[Measure]:
    say("the replay is played through")
    client = HlsClient()
    url = client.variants(shown["replay_hls_url"])[0][1]
    playlist = client.media(url)
    frames = 0
    run: list[Media] = []
    for segment in [*playlist.segments, None]:
        if run and (segment is None or segment.init != run[-1].init or segment.discontinuity):
            frames += decoded(b"".join([client.init(run[0].init), *(client.fetch(s) for s in run)]))
            run = []
        if segment is not None:
            run.append(segment)
    expected = shown["finished_seconds"] / FRAME
    return [
        Measure(
            "frames in the replay",
            str(frames),
            f"{expected:.0f} were aired",
            abs(frames - expected) <= 5,
        )
    ]


def clip_measures(instance: Instance, broadcast_id: str) -> list[Measure]:
    say("a clip is cut")
    start, stop = CLIP
    began = time.monotonic()
    clip = instance.run(
        "clip", "create", "--broadcast", broadcast_id, "--in", str(start), "--out", str(stop),
        "--title", "片段",
    )  # fmt: skip
    took = time.monotonic() - began
    frames = decoded(HlsClient(60).fetch(Media(0, None, clip["mp4_url"], 0, 0, "", False)))
    wanted = round((stop - start) / FRAME)
    return [
        Measure("clip", f"{frames} frames", f"exactly {wanted} ({took:.1f} s)", frames == wanted)
    ]


def report_measure(instance: Instance, broadcast_id: str, shown: dict[str, Any]) -> Measure:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "minutes.xlsx"
        year = shown["started_at"][:4]
        instance.run_plain("export", "minutes", "--year", year, "--out", str(path))
        book = openpyxl.load_workbook(path)
        cells = [c.value for sheet in book for row in sheet.iter_rows() for c in row]
        say(f"minutes written: {path.stat().st_size} bytes, {len(book.sheetnames)} sheets")
    return Measure("minutes as XLSX", "written", "names the broadcast", broadcast_id in cells)


if __name__ == "__main__":
    sys.exit(main())
