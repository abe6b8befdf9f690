"""Storyboards: each tile is the very frame its cue begins with, read from the lowest rung."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from api.edge.library import MediaFile
from api.library import CatalogueLibrary
from catalog.air import air_end
from catalog.models import Broadcast, Extra, Work
from infra.database import Database
from infra.jobs import JobCancelled
from infra.settings import Settings
from infra.tables import Job
from tests.integration.vod.show import Show, air_take, new_show
from tests.support.media import Footage, read_picture
from vod.clips import make_clip, request_clip
from vod.jobs import after_finalize
from vod.storyboard import KIND, make_storyboard, promise_missing

SECOND = 90_000
_CUE = re.compile(r"(\S+) --> (\S+)\n(storyboard-\d+\.jpg)#xywh=(\d+),(\d+),(\d+),(\d+)\n")


@pytest.fixture
def show(
    settings: Settings, database: Database, ffmpeg: str, media_folder: Path, tmp_path: Path
) -> Show:
    """Three segments of one encoder with B-frames, then another one's; a low rung beside them."""
    made = new_show(settings, database, ffmpeg, tmp_path)
    rungs = ("v", "s", "a")
    first = Footage(seconds=7, b_frames=2, preset="veryfast")
    air_take(made, first, media_folder, rungs=rungs)
    air_take(made, Footage(seconds=5, first=1000), media_folder, rungs=rungs)
    return made


def seconds(clock: str) -> float:
    hours, minutes, rest = clock.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(rest)


def test_each_tile_is_the_frame_its_cue_begins_with(show: Show) -> None:
    told = make_storyboard(show.tools, show.token)
    with show.database.transaction() as session:
        extra = session.get_one(Extra, (show.token, KIND))
        facts, base = extra.facts, extra.storage_key
    text = show.storage.get(f"{base}/storyboard.vtt").decode()
    cues = _CUE.findall(text)
    # A key frame every two seconds: seven seconds have four, five have three.
    assert told == {"tiles": 7, "sheets": 1, "step_seconds": 1}
    assert len(cues) == len(facts["at"]) == 7
    numbers = dict(show.frames())
    assert [numbers[pts] for pts in facts["at"]] == [0, 50, 100, 150, 1000, 1050, 1100]
    sheet = cv2.imdecode(
        np.frombuffer(show.storage.get(f"{base}/storyboard-1.jpg"), np.uint8), cv2.IMREAD_GRAYSCALE
    )
    assert sheet is not None
    for pts, (start, _, _, *place) in zip(facts["at"], cues, strict=True):
        x, y, width, height = map(int, place)
        tile: NDArray[np.uint8] = np.asarray(sheet[y : y + height, x : x + width], np.uint8)
        assert tile.shape == (108, 192)
        assert read_picture(tile)[0] == numbers[pts]
        assert seconds(start) == pytest.approx(pts // 90 / 1000 if pts > facts["at"][0] else 0)
    # End to end, over the whole programme.
    assert [cue[1] for cue in cues[:-1]] == [cue[0] for cue in cues[1:]]
    with show.database.transaction() as session:
        end = air_end(session, show.token).next_ticks
    assert seconds(cues[-1][1]) == pytest.approx(end // 90 / 1000)


def test_of_a_clip_whose_pictures_were_reordered(show: Show) -> None:
    with show.database.transaction() as session:
        work, _ = request_clip(
            session, pieces=[(show.broadcast_id, 30_000, 7 * SECOND)], title="段", created_by=None
        )
    make_clip(show.tools, work.id)
    told = make_storyboard(show.tools, work.media_token)
    with show.database.transaction() as session:
        extra = session.get_one(Extra, (work.media_token, KIND))
    assert told["tiles"] == len(extra.facts["at"]) >= 3
    shown = [number for tick, number in show.frames() if 30_000 <= tick < 7 * SECOND]
    data = np.frombuffer(show.storage.get(f"{extra.storage_key}/storyboard-1.jpg"), np.uint8)
    sheet = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
    assert sheet is not None
    for place, pts in enumerate(extra.facts["at"]):
        tile = np.asarray(sheet[:108, place * 192 : (place + 1) * 192], np.uint8)
        assert read_picture(tile)[0] == shown[pts // 3600]


def test_it_is_served_by_its_names_only(show: Show, database: Database) -> None:
    library = CatalogueLibrary(database)
    assert library.media(show.token, "", "storyboard.vtt") is None
    make_storyboard(show.tools, show.token)
    base = f"extras/{show.token}/storyboard"
    vtt = library.media(show.token, "", "storyboard.vtt")
    size = show.storage.size(f"{base}/storyboard.vtt")
    assert vtt == MediaFile(f"{base}/storyboard.vtt", 0, size)
    assert library.media(show.token, "", "storyboard-1.jpg") == MediaFile(
        f"{base}/storyboard-1.jpg"
    )
    assert library.media(show.token, "", "storyboard-2.jpg") is None
    assert library.media(show.token, "", "storyboard-0.jpg") is None


def test_the_end_promises_it_and_what_never_had_one_gets_it(show: Show) -> None:
    show.end()
    with show.database.transaction() as session:
        broadcast = session.get_one(Broadcast, show.broadcast_id)
        after_finalize(session, broadcast)
        (job,) = session.query(Job).where(Job.kind == KIND)
        assert job.args == {"token": show.token}
        assert promise_missing(session) == 0, "it is on its way"
        session.delete(job)
        session.flush()
        assert promise_missing(session) == 1
        assert promise_missing(session) == 0
        short = Work(
            id="short", centre_id=broadcast.centre_id, kind="clip", state="ready", title="短",
            media_token="s" * 22, duration_ticks=90_000,
        )  # fmt: skip
        session.add(short)
        session.flush()
        assert promise_missing(session) == 0


def test_a_cancelled_one_lists_nothing(show: Show) -> None:
    def beat(share: float | None, note: str | None) -> None:
        if note == "正在保存":
            raise JobCancelled

    with pytest.raises(JobCancelled):
        make_storyboard(show.tools, show.token, beat)
    with show.database.transaction() as session:
        assert session.get(Extra, (show.token, KIND)) is None
    assert list((show.settings.data / "tmp").iterdir()) == []
