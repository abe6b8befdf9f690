"""How soon after `broadcast end` a show can be watched again: one of a minute and one of an hour.

The hour is pushed faster than real time: low-rate footage, its rung copied, so that everything
keeps up. Playable means: the replay's lists are there, and the first and the last segment they
name decode. Complete means: the list has its ENDLIST.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av

from bench.footage import Encoder, shipped
from bench.hls_client import HlsClient, MediaPlaylist, PlaylistError
from bench.instance import Instance, throwaway
from infra.ffmpeg import ffmpeg_path
from infra.settings import Settings

PLAYABLE_SECONDS = 1.0
MINUTE, HOUR = 60, 3600
FOOTAGE_SECONDS = 60
HOUR_DEADLINE = 900.0


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds; all but ``command`` from the moment the command has returned."""

    minutes: float
    command: float
    playable: float
    complete: float
    list_bytes: int
    load: float


def make_source(path: Path) -> Path:
    """A minute of 360p25 that the ladder copies: a key frame every two seconds."""
    subprocess.run(
        [ffmpeg_path(Settings()), "-v", "error", "-nostdin", "-stream_loop", "-1", "-i",
         str(shipped()), "-t", str(FOOTAGE_SECONDS), "-vf", "scale=640:360,fps=25",
         "-c:v", "libx264", "-preset", "veryfast", "-b:v", "250k", "-maxrate", "300k",
         "-bufsize", "300k", "-g", "50", "-keyint_min", "50", "-sc_threshold", "0",
         "-c:a", "aac", "-b:a", "48k", "-ac", "2", str(path)],
        check=True,
    )  # fmt: skip
    return path


def replay_list(client: HlsClient, hls_url: str) -> MediaPlaylist:
    """The first variant's list; an empty one while there is none."""
    url = hls_url.replace("main.m3u8", "replay.m3u8")
    try:
        return client.media(client.variants(url)[0][1])
    except (PlaylistError, IndexError):
        return MediaPlaylist(url)


def length(playlist: MediaPlaylist) -> float:
    return sum(segment.seconds for segment in playlist.segments)


def decodes(client: HlsClient, playlist: MediaPlaylist) -> bool:
    """Whether both ends of the list give pictures."""
    for segment in (playlist.segments[0], playlist.segments[-1]):
        data = client.init(segment.init) + client.fetch(segment)
        with av.open(io.BytesIO(data), "r") as container:
            if next(container.decode(video=0), None) is None:
                return False
    return True


def wait(there: Callable[[], bool], seconds: float, what: str, step: float = 0.05) -> float:
    began = time.monotonic()
    while not there():
        if time.monotonic() - began > seconds:
            raise TimeoutError(f"not within {seconds:.0f} s: {what}")
        time.sleep(step)
    return time.monotonic() - began


def end_and_measure(instance: Instance, made: dict[str, Any]) -> Measured:
    client = HlsClient()
    began = time.monotonic()
    instance.run("broadcast", "end", made["id"])
    ended = time.monotonic()

    def playable() -> bool:
        playlist = replay_list(client, made["hls_url"])
        return bool(playlist.segments) and decodes(client, playlist)

    wait(playable, 30, "a playable replay")
    could_play = time.monotonic()
    wait(lambda: replay_list(client, made["hls_url"]).ended, 60, "a complete replay")
    complete = time.monotonic()
    playlist = replay_list(client, made["hls_url"])
    size = len(client.text(playlist.url))
    client.close()
    return Measured(
        minutes=length(playlist) / 60,
        command=ended - began,
        playable=could_play - ended,
        complete=complete - ended,
        list_bytes=size,
        load=os.getloadavg()[0],
    )


def minute(instance: Instance, source: Path) -> Measured:
    """In real time, and still on air when it is ended."""
    made = instance.run("broadcast", "create", "--title", "一分钟")
    encoder = Encoder(_target(made), source)
    try:
        time.sleep(MINUTE)
        return end_and_measure(instance, made)
    finally:
        encoder.drop()


def hour(instance: Instance, source: Path) -> Measured:
    """As fast as it is taken; ended when all of it has been aired."""
    made = instance.run("broadcast", "create", "--title", "一小时")
    began = time.monotonic()
    subprocess.run(
        [ffmpeg_path(Settings()), "-v", "error", "-nostdin", "-stream_loop",
         str(HOUR // FOOTAGE_SECONDS - 1), "-i", str(source), "-c", "copy", "-f", "flv",
         _target(made)],
        check=True,
    )  # fmt: skip
    pushed = time.monotonic() - began
    client = HlsClient()
    wait(
        lambda: length(replay_list(client, made["hls_url"])) >= HOUR - 5,
        HOUR_DEADLINE,
        "an hour aired",
        step=2.0,
    )
    client.close()
    aired = time.monotonic() - began
    print(f"  an hour pushed in {pushed:.0f} s, aired after {aired:.0f} s", flush=True)
    return end_and_measure(instance, made)


def _target(made: dict[str, Any]) -> str:
    return f"{made['publish']['rtmp_url']}/{made['publish']['stream_key']}"


def main() -> int:
    with tempfile.TemporaryDirectory() as folder, throwaway() as instance:
        source = make_source(Path(folder) / "low.flv")
        shows = [minute(instance, source), hour(instance, source)]
    for show in shows:
        verdict = "ok " if show.playable <= PLAYABLE_SECONDS else "NOT"
        print(
            f"  {verdict}  {show.minutes:5.1f} min: playable {show.playable:.2f} s after "
            f"`broadcast end` (at most {PLAYABLE_SECONDS:g} s), complete {show.complete:.2f} s; "
            f"the command took {show.command:.2f} s; {show.list_bytes / 1000:.0f} kB a list, "
            f"load {show.load:.1f}"
        )
    return 0 if all(show.playable <= PLAYABLE_SECONDS for show in shows) else 1


if __name__ == "__main__":
    sys.exit(main())
