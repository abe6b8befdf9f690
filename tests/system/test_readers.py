"""FFmpeg and GStreamer's hlsdemux read what we send: live with parts, live without, the replay."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.playlist_watch import PlaylistWatch
from tests.support.readers import need_gstreamer, with_ffmpeg, with_gstreamer
from tests.support.show import Show

LIVE_SECONDS = 6.0
GAP_SECONDS = 3.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def _in_order(numbers: list[int | None], *, at_least: int) -> None:
    """Frames of a live reader: none unreadable, none left out, none twice."""
    assert None not in numbers
    steps = {(after or 0) - (before or 0) for before, after in pairwise(numbers)}
    assert steps == {1}
    assert len(numbers) >= at_least


@pytest.mark.parametrize("reader", ["ffmpeg", "gstreamer"])
def test_live_and_replay(
    show: Show, reader: str, ffmpeg: str, first_half: Path, second_half: Path, tmp_path: Path
) -> None:
    if reader == "gstreamer":
        need_gstreamer()

    def read(name: str, seconds: float | None = None) -> list[int | None]:
        url = show.url(name)
        if reader == "ffmpeg":
            return with_ffmpeg(ffmpeg, url, seconds)
        return with_gstreamer(url, None if seconds is None else seconds + 2)

    with PlaylistWatch(show.url("main")) as watch, ThreadPoolExecutor(2) as pool:
        show.publish(first_half)
        show.on_air(segments=2)
        live: dict[str, Future[list[int | None]]] = {
            name: pool.submit(read, name, LIVE_SECONDS) for name in ("main", "plain")
        }
        for name, numbers in live.items():
            got = numbers.result()
            print(f"{reader} read {len(got)} frames of {name}.m3u8, live")
            _in_order(got, at_least=int(LIVE_SECONDS * 25 * 0.8))

        show.drop()
        time.sleep(GAP_SECONDS)
        show.publish(second_half)
        time.sleep(6)
        show.end()
        show.drop()
        playlist = show.final_replay()
        assert watch.wait_ended(10)

    aired = show.numbers(playlist, tmp_path)
    assert [stretch[0] for stretch in aired] == [0, 5_000]
    for stretch in aired:
        _in_order(stretch, at_least=50)
    whole = [number for stretch in aired for number in stretch]
    for name in ("replay", "main"):
        assert read(name) == whole, name
    assert watch.violations == []
