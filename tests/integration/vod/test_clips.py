"""Clips: which frames are in them, to the frame, and that nothing half-made is listed."""

from __future__ import annotations

import random
from fractions import Fraction
from pathlib import Path

import pytest
from sqlalchemy import func, select

from catalog.air import air_end
from catalog.broadcasts import BroadcastError
from catalog.models import AirItem, Rendition, Resource, Work
from infra.database import Database
from infra.jobs import JobCancelled
from infra.settings import Settings
from infra.storage import NotFound
from tests.integration.vod.show import Show, air_take, key_of, new_show
from tests.support.media import Footage, read_beeps, read_pictures, read_sound
from vod.clips import ClipError, give_up_clip, make_clip, request_clip
from vod.compaction import clean_up, compact

TICKS = 90_000


@pytest.fixture
def show(
    settings: Settings, database: Database, ffmpeg: str, media_folder: Path, tmp_path: Path
) -> Show:
    """Two takes: B-frames in the first, another encoder's settings in the second."""
    made = new_show(settings, database, ffmpeg, tmp_path)
    air_take(made, Footage(seconds=9, b_frames=2, preset="veryfast"), media_folder)
    air_take(made, Footage(seconds=7, first=1000), media_folder)
    return made


def clip(show: Show, start: int, end: int, title: str = "片段") -> Work:
    """Ask for a clip and make it."""
    with show.database.transaction() as session:
        work, job = request_clip(
            session, broadcast_id=show.broadcast_id, in_ticks=start, out_ticks=end, title=title,
            created_by=None,
        )  # fmt: skip
        assert job.args == {"work_id": work.id}
    make_clip(show.tools, work.id)
    with show.database.transaction() as session:
        return session.get_one(Work, work.id)


def wanted(show: Show, start: int, end: int) -> list[int]:
    return [number for tick, number in show.frames() if start <= tick < end]


def numbers(path: Path) -> list[int | None]:
    return [picture.number for picture in read_pictures(path)]


def test_random_cuts_hold_exactly_the_frames_between_in_and_out(show: Show) -> None:
    dice = random.Random(7)
    cases = []
    for _ in range(4):
        start = dice.randrange(0, 14 * TICKS)
        cases.append((start, start + dice.randrange(1, 16 * TICKS - start)))
    # On frame times themselves: in is included, out is not.
    frames = show.frames()
    cases.append((frames[37][0], frames[61][0]))
    cases.append((frames[37][0] + 1, frames[61][0] + 1))
    for start, end in cases:
        work = clip(show, start, end)
        assert work.mp4_key is not None
        path = show.storage.local_path(work.mp4_key)
        assert path is not None
        expected = wanted(show, start, end)
        assert numbers(path) == expected, (start, end)
        assert read_pictures(path)[0].seconds == 0
        shown = [tick for tick, _ in frames if start <= tick < end]
        assert abs(work.duration_ticks - (shown[-1] + 3600 - shown[0])) <= 90


def test_cut_across_takes_keeps_picture_and_sound_together(show: Show) -> None:
    start, end = 6 * TICKS, 13 * TICKS
    work = clip(show, start, end)
    path = show.storage.local_path(work.mp4_key or "")
    assert path is not None
    pictures = read_pictures(path)
    assert [p.number for p in pictures] == wanted(show, start, end)
    flashes = [
        picture.seconds
        for before, picture in zip([None, *pictures], pictures, strict=False)
        if picture.flash and not (before and before.flash)
    ]
    beeps = read_beeps(path)
    for flash in flashes[1:]:
        assert min(abs(beep - flash) for beep in beeps) < 0.06, (flashes, beeps)
    _, sound = read_sound(path)
    assert abs(len(sound) / 48_000 - work.duration_ticks / TICKS) < 0.03


def test_cut_across_other_sizes_and_rates(
    settings: Settings, database: Database, ffmpeg: str, media_folder: Path, tmp_path: Path
) -> None:
    show = new_show(settings, database, ffmpeg, tmp_path)
    air_take(show, Footage(seconds=4, fps=Fraction(30000, 1001), sample_rate=48_000), media_folder)
    air_take(show, Footage(seconds=4, first=500, size=(320, 180)), media_folder)
    air_take(show, Footage(seconds=4, first=900, audio=False), media_folder, rungs=("v",))
    start, end = 1 * TICKS, 11 * TICKS
    work = clip(show, start, end)
    path = show.storage.local_path(work.mp4_key or "")
    assert path is not None
    pictures = read_pictures(path)
    assert [p.number for p in pictures] == wanted(show, start, end)
    assert {p.size for p in pictures} == {(640, 360)}
    _, sound = read_sound(path)
    assert abs(len(sound) / 48_000 - work.duration_ticks / TICKS) < 0.03


def test_clip_of_sound_alone(
    settings: Settings, database: Database, ffmpeg: str, media_folder: Path, tmp_path: Path
) -> None:
    show = new_show(settings, database, ffmpeg, tmp_path)
    air_take(show, Footage(seconds=8, video=False), media_folder)
    work = clip(show, 90_000, 5 * TICKS + 45_000)
    path = show.storage.local_path(work.mp4_key or "")
    assert path is not None
    first, sound = read_sound(path)
    assert first == 0
    assert abs(len(sound) / 48_000 - 4.5) < 0.05
    assert [round(beep, 1) for beep in read_beeps(path)] == [0, 1, 2, 3, 4]
    assert work.poster_key is None
    with show.database.transaction() as session:
        rendition = session.scalars(
            select(Rendition).where(Rendition.token == work.media_token)
        ).one()
    assert (rendition.name, rendition.kind, rendition.codecs) == ("a", "audio", "mp4a.40.2")


def test_clip_of_a_compacted_show(show: Show) -> None:
    show.end()
    compact(show.tools, show.broadcast_id)
    clean_up(show.tools, show.broadcast_id)
    start, end = 5 * TICKS + 1, 12 * TICKS
    work = clip(show, start, end)
    path = show.storage.local_path(work.mp4_key or "")
    assert path is not None
    assert numbers(path) == wanted(show, start, end)


def test_clip_is_served_from_rows_like_a_broadcast(show: Show) -> None:
    work = clip(show, 1 * TICKS, 8 * TICKS)
    with show.database.transaction() as session:
        rendition = session.scalars(
            select(Rendition).where(Rendition.token == work.media_token)
        ).one()
        items = session.scalars(
            select(AirItem).where(AirItem.token == work.media_token).order_by(AirItem.msn)
        ).all()
        resource = session.scalars(select(Resource).where(Resource.work_id == work.id)).one()
    assert rendition.compacted_key is not None
    assert rendition.codecs.startswith("avc1.64")
    assert rendition.codecs.endswith(",mp4a.40.2")
    assert (rendition.width, rendition.height) == (640, 360)
    assert [item.start_ticks for item in items] == [0, 180_000, 360_000, 540_000]
    assert sum(item.duration_ticks for item in items) == work.duration_ticks
    path = show.storage.local_path(rendition.compacted_key)
    assert path is not None
    assert numbers(path) == wanted(show, 1 * TICKS, 8 * TICKS)
    assert work.state == "ready"
    assert work.poster_key is not None
    assert show.storage.get(work.poster_key)[:2] == b"\xff\xd8"
    assert resource.kind == "micro"
    assert resource.intervals == [[f"take:{show.takes[0].take_id}", 90_000, 720_000]]


def test_cancelled_clip_leaves_nothing(show: Show) -> None:
    with show.database.transaction() as session:
        work, _ = request_clip(
            session, broadcast_id=show.broadcast_id, in_ticks=0, out_ticks=15 * TICKS,
            title="取消", created_by=None,
        )  # fmt: skip

    def beat(share: float | None, note: str | None) -> None:
        if share is not None and share > 0:
            raise JobCancelled

    with pytest.raises(JobCancelled):
        make_clip(show.tools, work.id, beat)
    give_up_clip(show.tools, work.id)
    with show.database.transaction() as session:
        assert session.get_one(Work, work.id).state == "failed"
        listed = session.scalar(
            select(func.count()).select_from(AirItem).where(AirItem.token == work.media_token)
        )
    assert listed == 0
    assert list(show.storage.list(f"works/{work.media_token}/")) == []
    assert list((show.settings.data / "tmp").iterdir()) == []


def test_missing_segment_fails_and_lists_nothing(show: Show) -> None:
    show.storage.delete(key_of(show, "v360", 2))
    with show.database.transaction() as session:
        work, _ = request_clip(
            session, broadcast_id=show.broadcast_id, in_ticks=0, out_ticks=8 * TICKS,
            title="缺", created_by=None,
        )  # fmt: skip
    with pytest.raises(NotFound):
        make_clip(show.tools, work.id)
    with show.database.transaction() as session:
        assert session.get_one(Work, work.id).state == "making"


@pytest.mark.parametrize(
    ("start", "end", "code"),
    [
        (-1, 90_000, "clip_in_negative"),
        (90_000, 90_000, "clip_empty"),
        (180_000, 90_000, "clip_empty"),
        (0, 17 * TICKS, "clip_past_end"),
    ],
)
def test_impossible_clips_are_refused(show: Show, start: int, end: int, code: str) -> None:
    with show.database.transaction() as session, pytest.raises(ClipError) as caught:
        request_clip(
            session, broadcast_id=show.broadcast_id, in_ticks=start, out_ticks=end, title="x",
            created_by=None,
        )  # fmt: skip
    assert caught.value.code == code


def test_out_point_just_past_the_end_is_the_end(show: Show) -> None:
    with show.database.transaction() as session:
        end = air_end(session, show.token).next_ticks
        work, _ = request_clip(
            session, broadcast_id=show.broadcast_id, in_ticks=end - 9000, out_ticks=end + 4500,
            title="尾", created_by=None,
        )  # fmt: skip
        assert work.edit_list == [[show.broadcast_id, end - 9000, end]]
        with pytest.raises(ClipError) as caught:
            request_clip(
                session, broadcast_id=show.broadcast_id, in_ticks=end, out_ticks=end + 4500,
                title="尾", created_by=None,
            )  # fmt: skip
    assert caught.value.code == "clip_past_end"


def test_unknown_broadcast_is_refused(show: Show) -> None:
    with show.database.transaction() as session, pytest.raises(BroadcastError) as caught:
        request_clip(
            session, broadcast_id="nosuch", in_ticks=0, out_ticks=1, title="x", created_by=None
        )
    assert caught.value.code == "broadcast_not_found"
