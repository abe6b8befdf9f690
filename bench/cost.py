"""What a live minute costs: CPU-seconds of all of Xitai beside one plain FFmpeg command.

The same 1080p25 feed, the same rungs (copied 1080p, 720p and 480p veryfast, the sound), the same
bit rates, one after the other in one run. The publisher is not counted on either side.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from bench.footage import Encoder, shipped
from bench.hls_client import HlsClient
from bench.instance import Instance, throwaway
from infra.ffmpeg import ffmpeg_path
from infra.settings import Settings

BOUND = 1.15
# What Xitai tells x264 beyond the preset, for its latency: cheaper, so it is compared as well.
LOW_LATENCY = " ".join(
    f"-bf:v:{n} 0 -x264-params:v:{n} rc-lookahead=0:sync-lookahead=0:mbtree=0:scenecut=0"
    for n in (1, 2)
)
PLAIN_GRAPH = (
    "[0:v]split=2[a][b];[a]scale=1280:720:flags=bicubic[v720];[b]scale=854:480:flags=bicubic[v480]"
)
PLAIN_OUTPUT = """
-map 0:v -map [v720] -map [v480] -map 0:a -map 0:a -map 0:a -map 0:a -c:a copy -c:v:0 copy
-c:v:1 libx264 -preset:v:1 veryfast -crf:v:1 23 -maxrate:v:1 2400k -bufsize:v:1 3600k
-c:v:2 libx264 -preset:v:2 veryfast -crf:v:2 23 -maxrate:v:2 1000k -bufsize:v:2 1500k
-force_key_frames:v:1 source -force_key_frames:v:2 source
-f hls -hls_time 2 -hls_segment_type fmp4 -hls_list_size 30
"""
SETTLE_SECONDS = 12.0


def make_source(folder: Path, seconds: float) -> Path:
    """1080p25 with a key frame every 2 s at 4.5 Mbit/s: what a field encoder sends."""
    path = folder / "feed.flv"
    subprocess.run(
        [ffmpeg_path(Settings()), "-loglevel", "error", "-nostdin", "-y", "-stream_loop", "-1",
         "-i", str(shipped()), "-t", str(seconds), "-vf", "scale=1920:1080:flags=bicubic",
         "-c:v", "libx264", "-preset", "veryfast", "-b:v", "4500k", "-maxrate", "4500k",
         "-bufsize", "9000k", "-g", "50", "-sc_threshold", "0", "-c:a", "aac", "-b:a", "128k",
         "-ac", "2", "-f", "flv", str(path)],
        check=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return path


def plain_seconds(source: Path, folder: Path, seconds: float, extra: str = "") -> float:
    """CPU-seconds of plain FFmpeg for the feed, in real time, to HLS on disk."""
    argv = [
        *(ffmpeg_path(Settings()), "-loglevel", "error", "-nostdin", "-re"),
        *("-t", str(seconds), "-i", str(source), "-filter_complex", PLAIN_GRAPH),
        *PLAIN_OUTPUT.split(),
        *extra.split(),
        *("-var_stream_map", "v:0,a:0 v:1,a:1 v:2,a:2 a:3"),
        *("-hls_segment_filename", str(folder / "%v_%d.m4s"), str(folder / "%v.m3u8")),
    ]
    process = psutil.Popen(argv, stdin=subprocess.DEVNULL)
    spent = 0.0
    while process.poll() is None:
        try:
            times = process.cpu_times()
            spent = times.user + times.system
        except psutil.Error:
            break
        time.sleep(0.2)
    if process.wait() != 0:
        raise RuntimeError("plain FFmpeg failed")
    return spent


def _spent(instance: Instance) -> dict[str, float]:
    """CPU-seconds so far by kind of process; reaped children are in their parents' numbers."""
    spent: dict[str, float] = {}
    for process in instance.processes():
        try:
            times = process.cpu_times()
            name = _kind(process.cmdline())
        except psutil.Error:
            continue
        spent[name] = spent.get(name, 0.0) + times.user + times.system
    return spent


def _kind(words: list[str]) -> str:
    line = " ".join(words)
    for mark, kind in (("-copyts", "ffmpeg"), ("postgres", "postgres"), ("redis", "redis"),
                       ("worker", "worker"), ("beat", "beat"), ("ingest", "ingest"),
                       ("web", "web"), (" up", "up")):  # fmt: skip
        if mark in line:
            return kind
    return "other"


def xitai_seconds(instance: Instance, source: Path, seconds: float) -> dict[str, float]:
    """CPU-seconds of every part over ``seconds`` of a running show with one viewer."""
    made = instance.run("broadcast", "create", "--title", "cost")
    encoder = Encoder(f"{made['publish']['rtmp_url']}/{made['publish']['stream_key']}", source)
    time.sleep(SETTLE_SECONDS)
    before, began = _spent(instance), time.monotonic()
    with HlsClient() as viewer:
        url = viewer.variants(made["hls_url"])[0][1]
        for part in viewer.follow(url, began + seconds):
            viewer.fetch(part)
    after, took = _spent(instance), time.monotonic() - began
    encoder.drop()
    instance.run("broadcast", "end", made["id"])
    scale = seconds / took
    return {kind: (after[kind] - before.get(kind, 0.0)) * scale for kind in after}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    seconds = parser.parse_args(argv).seconds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = make_source(folder, seconds + 30)
        plain = plain_seconds(source, folder, seconds)
        twin = plain_seconds(source, folder, seconds, LOW_LATENCY)
        with throwaway({"XITAI_RUNGS": "v1080,v720,v480,a"}) as instance:
            ours = xitai_seconds(instance, source, seconds)
    minute = 60 / seconds
    total = sum(ours.values())
    print("CPU-seconds for a live minute (1080p25 copied + 720p + 480p + sound)")
    print(f"  plain FFmpeg to HLS  {plain * minute:6.1f}")
    print(f"  the same, low latency {twin * minute:5.1f}   (x264 told what Xitai tells it)")
    print(f"  Xitai, all parts     {total * minute:6.1f}   {total / plain:.2f} × (bound {BOUND} ×)")
    for kind, spent in sorted(ours.items(), key=lambda item: -item[1]):
        print(f"    {kind:<10} {spent * minute:6.2f}")
    return 0 if total <= BOUND * plain else 1


if __name__ == "__main__":
    sys.exit(main())
