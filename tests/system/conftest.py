"""One show on the running instance, for all that reads it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.instance import Instance
from tests.support.media import Footage, make_footage
from tests.support.show import Show


@pytest.fixture(scope="session")
def first_half(ffmpeg: str, media_folder: Path) -> Path:
    return make_footage(
        ffmpeg, media_folder / "first.flv", Footage(60, size=(854, 480), bitrate="1200k")
    )


@pytest.fixture(scope="session")
def second_half(ffmpeg: str, media_folder: Path) -> Path:
    footage = Footage(60, size=(854, 480), first=5_000, bitrate="1200k")
    return make_footage(ffmpeg, media_folder / "second.flv", footage)


@pytest.fixture
def show(xitai: Instance, request: pytest.FixtureRequest) -> Iterator[Show]:
    with Show(xitai, request.node.name) as made:
        yield made
