"""Stills of a programme with everything wrong on air planted in it: which are proposed, at what
size and in which colours; what a second run does, and what a cancelled one leaves."""

from __future__ import annotations

import io
import threading
from bisect import bisect_right
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sqlalchemy import select, update

import vod.stills.jobs  # noqa: F401 (registers the handler)
from catalog.errors import Refused
from catalog.models import Act, AirItem, Still
from catalog.picture_hash import DISTINCT_BITS, distance
from infra.database import Database
from infra.jobs import JobCancelled, JobRunner
from infra.settings import Settings
from infra.tables import Job
from tests.integration.vod.show import Show, air_file, key_of, new_show
from tests.support.media import Footage
from tests.support.scenes import (
    FPS,
    SIZE,
    Piece,
    Reel,
    Rgb,
    Scene,
    bars,
    black,
    blurred,
    dissolve,
    panned,
    slate,
    still_of,
)
from vod.encode import EncodeError
from vod.stills.make import make_stills
from vod.stills.service import request_stills

A, B, C, D, E, F, G = (Scene(seed) for seed in range(1, 8))
NIGHT = Scene(8, light=0.25)
REEL = Reel(
    (
        Piece(75, A, "A"),
        Piece(3, black),
        Piece(72, lambda n: A(n + 78), "A"),
        Piece(100, blurred(B, 3)),
        Piece(60, C, "C"),
        Piece(5, blurred(lambda n: C(n + 60), 4)),
        Piece(60, lambda n: C(n + 65), "C"),
        Piece(1, slate),
        Piece(49, lambda n: C(n + 126), "C"),
        Piece(100, slate),
        Piece(75, bars),
        Piece(50, black),
        Piece(100, D, "D"),
        dissolve(lambda n: D(n + 100), E, 50),
        Piece(100, lambda n: E(n + 50), "E"),
        Piece(75, still_of(F, 12)),
        Piece(75, A, "A"),
        Piece(60, panned(G, 15)),
        Piece(100, NIGHT, "night"),
    )
)
GOOD = {"A", "C", "D", "E", "night"}


@pytest.fixture(scope="module")
def reel(ffmpeg: str, media_folder: Path) -> Path:
    return REEL.write(ffmpeg, media_folder / "reel.flv")


@pytest.fixture
def show(settings: Settings, database: Database, ffmpeg: str, reel: Path, tmp_path: Path) -> Show:
    made = new_show(settings, database, ffmpeg, tmp_path)
    footage = Footage(seconds=REEL.frames / FPS, size=SIZE, audio=False)
    air_file(made, reel, footage, rungs=("v",))
    return made


@pytest.fixture
def short(
    settings: Settings, database: Database, ffmpeg: str, media_folder: Path, tmp_path: Path
) -> Show:
    """Ten seconds."""
    made = new_show(settings, database, ffmpeg, tmp_path)
    reel = Reel((Piece(100, A, "A"), Piece(75, D, "D"), Piece(75, E, "E")))
    path = media_folder / "short.flv"
    if not path.exists():
        reel.write(ffmpeg, path)
    air_file(made, path, Footage(seconds=10, size=SIZE, audio=False), rungs=("v",))
    return made


def stills(show: Show) -> list[Still]:
    with show.database.transaction() as session:
        return list(session.scalars(select(Still).order_by(Still.at_ticks)))


def frame_number(show: Show, still: Still) -> int:
    return dict(show.frames())[still.at_ticks]


def test_of_what_went_wrong_nothing_is_proposed_and_of_every_scene_something(show: Show) -> None:
    made = make_stills(show.tools, show.token, 12)
    found = stills(show)
    assert made["proposed"] == len(found) <= 12
    shown = [REEL.at(frame_number(show, still)) for still in found]
    assert [piece.good for piece, _ in shown if piece.good is None] == []
    assert {piece.good for piece, _ in shown} == GOOD
    assert too_near([still.phash for still in found]) == []
    for still, (_, wanted) in zip(found, shown, strict=True):
        assert (still.width, still.height) == SIZE
        picture = np.asarray(Image.open(io.BytesIO(show.storage.get(still.storage_key))))
        assert picture.shape == wanted.shape
        # Of every 16 × 18 points the mean colour: another matrix or range would shift it, what
        # 4:2:0 and the encoder do to edges does not.
        assert np.abs(squares(picture) - squares(wanted)).max() < 6
        light = np.array([0.2126, 0.7152, 0.0722])
        error = (picture.astype(np.float64) - wanted) @ light
        assert 10 * np.log10(255**2 / (error**2).mean()) > 36, "another frame, or a small one"
        assert Image.open(io.BytesIO(show.storage.get(still.small_key))).size == SIZE
    # Once more: as many wait as were asked for, or nothing new was left to find.
    before = [still.id for still in found]
    assert make_stills(show.tools, show.token, len(found))["proposed"] == 0
    assert [still.id for still in stills(show)] == before
    # What was dismissed is not proposed again, nor what looks like it; the rest stays.
    gone = {
        still.id: still.phash
        for still in found
        if REEL.at(frame_number(show, still))[0].good in ("A", "D")
    }
    with show.database.transaction() as session:
        session.execute(update(Still).where(Still.id.in_(gone)).values(state="dismissed"))
    make_stills(show.tools, show.token, 12)
    later = stills(show)
    fresh = [still for still in later if still.id not in before]
    assert too_near([still.phash for still in later]) == []
    assert {still.state for still in later if still.id in gone} == {"dismissed"}
    assert all(still.state == "proposed" for still in fresh)


def squares(picture: Rgb) -> NDArray[np.float64]:
    high, wide = SIZE[1] // 18, SIZE[0] // 16
    cut = picture.astype(np.float64).reshape(high, 18, wide, 16, 3)
    return np.asarray(cut.mean(axis=(1, 3)), dtype=np.float64)


def too_near(hashes: list[str]) -> list[tuple[str, str]]:
    return [(a, b) for a, b in combinations(hashes, 2) if distance(a, b) < DISTINCT_BITS]


def test_stills_are_spread_over_the_acts_and_a_slate_has_none(show: Show) -> None:
    starts = [0, 150, 250, 700, 1110, REEL.frames]
    with show.database.transaction() as session:
        for start, end in pairwise(starts):
            session.add(Act(token=show.token, start_ticks=start * 3600, end_ticks=end * 3600))
        # As if the director had put a slate there.
        session.execute(
            update(AirItem)
            .where(AirItem.token == show.token, AirItem.start_ticks >= 1110 * 3600)
            .values(source="slate")
        )
    make_stills(show.tools, show.token, 4)
    numbers = [frame_number(show, still) for still in stills(show)]
    # The second act is blurred throughout, the last is a slate; each of the others has its share.
    assert {bisect_right(starts, number) for number in numbers} == {1, 3, 4}


def test_a_cancelled_search_leaves_nothing_and_is_done_at_another_time(
    short: Show, database: Database, settings: Settings
) -> None:
    show = short
    with database.transaction() as session:
        job = request_stills(session, show.token, count=3, by=None)
        assert request_stills(session, show.token, count=3, by=None).id == job.id
    putting = []

    def beat(share: float | None, note: str | None) -> None:
        if list(show.storage.list(f"works/{show.token}/stills/")):
            putting.append(share)
            raise JobCancelled

    with pytest.raises(JobCancelled):
        make_stills(show.tools, show.token, 3, beat)
    assert putting
    assert stills(show) == []
    assert list(show.storage.list(f"works/{show.token}/")) == []
    assert not list((settings.data / "tmp").iterdir())
    runner = JobRunner(database, settings, threading.Event())
    assert runner.look(job.id) == "done"
    assert len(stills(show)) == 3
    with database.transaction() as session:
        assert session.get_one(Job, job.id).result["proposed"] == 3


def test_a_show_without_pictures_has_no_stills(
    settings: Settings, database: Database, ffmpeg: str, tmp_path: Path
) -> None:
    empty = new_show(settings, database, ffmpeg, tmp_path)
    assert make_stills(empty.tools, empty.token, 5) == {"proposed": 0, "looked_at": 0}
    with database.transaction() as session, pytest.raises(Refused) as refused:
        request_stills(session, empty.token, by=None)
    assert refused.value.code == "stills_no_footage"


def test_a_damaged_stretch_has_no_stills_and_the_rest_has(short: Show) -> None:
    def spoil(msn: int, *, whole: bool) -> None:
        """Its pictures, or its boxes too."""
        key = key_of(short, "v360", msn)
        data = bytearray(short.storage.get(key))
        first = data.index(b"mdat") + 40
        end = len(data) if whole else data.index(b"moof", first) - 40
        noise = np.random.default_rng(msn).integers(0, 255, end - first, dtype=np.uint8)
        data[first:end] = noise.tobytes()
        short.storage.put_bytes(key, bytes(data))

    spoil(1, whole=False)
    assert make_stills(short.tools, short.token, 3)["proposed"] >= 2
    numbers = [frame_number(short, still) for still in stills(short)]
    assert not [number for number in numbers if 50 <= number < 62]
    for msn in range(5):
        spoil(msn, whole=True)
    with pytest.raises(EncodeError):
        make_stills(short.tools, short.token, 9)
