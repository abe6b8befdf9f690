"""A live worker that stands still for a while, as on a machine that swaps: no frame is lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from bench.instance import Instance, throwaway
from tests.faults.test_nothing_lost import victim
from tests.support.media import Footage, make_footage, read_numbers
from tests.support.show import Show

FROZEN_SECONDS = 4.0
"""Shorter than the job's lease, or another worker would take over."""

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture
def instance() -> Iterator[Instance]:
    with throwaway({"XITAI_RUNGS": "v360,a"}) as running:
        yield running


def test_what_piled_up_meanwhile_is_all_aired(
    instance: Instance, ffmpeg: str, media_folder: Path, tmp_path: Path
) -> None:
    """At 6 Mbit/s the picture fills its pipe long before the sound does: afterwards the sound of
    four seconds is read at once, which must not be taken for a hole in the picture."""
    source = make_footage(
        ffmpeg, media_folder / "frozen.flv", Footage(24, size=(1280, 720), bitrate="6000k")
    )
    with Show(instance, "慢机器") as show:
        show.publish(source)
        show.on_air(3)
        worker = victim(instance, "worker-live")
        assert worker is not None
        freeze(worker)
        time.sleep(6)
        show.drop()
        show.end()
        replay = show.final_replay()
        (aired,) = show.numbers(replay, tmp_path)
        (take,) = show.shown()["takes"]
    logged = read_numbers(instance.data / "feeds" / f"{take['id']}.flv")
    assert len(logged) > 300
    assert aired == logged


def freeze(worker: psutil.Process) -> None:
    worker.suspend()
    time.sleep(FROZEN_SECONDS)
    worker.resume()
