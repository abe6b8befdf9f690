"""A show on the running instance: an encoder drops out and comes back, staff end it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.hls_client import MediaPlaylist
from bench.instance import Instance
from bench.replay import Measured, end_and_measure
from tests.support.media import Footage, make_footage
from tests.support.playlist_watch import PlaylistWatch
from tests.support.show import Show

SECOND_HALF = 5_000
"""Number of its first frame."""
GAP_SECONDS = 3.0


@dataclass
class Over:
    """A show that has ended. ``numbers``: its frames, for each stretch of one encoding."""

    show: Show
    measured: Measured
    playlist: MediaPlaylist
    numbers: list[list[int | None]]


@pytest.fixture(scope="module")
def halves(ffmpeg: str, media_folder: Path) -> tuple[Path, Path]:
    """What the encoder sends before and after."""
    size = (854, 480)
    return (
        make_footage(ffmpeg, media_folder / "first480.flv", Footage(60, size=size)),
        make_footage(
            ffmpeg, media_folder / "second480.flv", Footage(30, size=size, first=SECOND_HALF)
        ),
    )


@pytest.fixture(scope="module")
def on_air(xitai: Instance, halves: tuple[Path, Path]) -> Iterator[Show]:
    with Show(xitai, "乡村春晚") as show:
        show.publish(halves[0])
        yield show


@pytest.fixture(scope="module")
def watch(on_air: Show) -> Iterator[PlaylistWatch]:
    """Every playlist of the show, read from its beginning to its end."""
    with PlaylistWatch(on_air.url("main")) as watching:
        yield watching


@pytest.fixture(scope="module")
def live(on_air: Show, watch: PlaylistWatch) -> Show:
    on_air.on_air(segments=2)
    return on_air


@pytest.fixture(scope="module")
def over(
    live: Show,
    watch: PlaylistWatch,
    halves: tuple[Path, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Over:
    live.drop()
    time.sleep(GAP_SECONDS)
    live.publish(halves[1])
    time.sleep(6)
    measured = end_and_measure(live.instance, live.made)
    live.drop()
    playlist = live.final_replay()
    assert watch.wait_ended(15), "no ENDLIST"
    return Over(live, measured, playlist, live.numbers(playlist, tmp_path_factory.mktemp("replay")))
