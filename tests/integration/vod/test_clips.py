"""Clips: which frames are in them, to the frame, and that nothing half-made is listed."""

from __future__ import annotations

import hashlib
import random
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from catalog.air import air_end
from catalog.audit import Actor
from catalog.broadcasts import BroadcastError
from catalog.errors import Refused
from catalog.models import AirItem, Rendition, Resource, Work
from infra.database import Database
from infra.jobs import JobCancelled, JobFailed, LeaseLost
from infra.settings import Settings
from infra.storage import NotFound
from infra.tables import Job
from tests.integration.vod.show import Show, air_take, key_of, new_show
from tests.support.media import Footage, read_beeps, read_pictures, read_sound
from vod.clips import MAX_CLIP_TICKS, PIECES_MAX, make_clip, request_clip
from vod.compaction import clean_up, compact
from vod.finished import Finished, FinishedSegment
from vod.jobs import settle_clips
from vod.shelving import Made, give_up, publish

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
    return clip_of(show, [(show.broadcast_id, start, end)], title)


def clip_of(show: Show, pieces: list[tuple[str, int, int]], title: str = "片段") -> Work:
    with show.database.transaction() as session:
        work, job = request_clip(session, pieces=pieces, title=title, created_by=None)
        assert job.args == {"work_id": work.id}
    make_clip(show.tools, work.id)
    with show.database.transaction() as session:
        return session.get_one(Work, work.id)


def path_of(show: Show, work: Work) -> Path:
    path = show.storage.local_path(work.mp4_key or "")
    assert path is not None
    return path


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
    # As the source has it: one decoder plays through.
    assert rendition.codecs.startswith("avc1.4d")
    assert rendition.codecs.endswith(",mp4a.40.2")
    assert (rendition.width, rendition.height) == (640, 360)
    starts = [item.start_ticks for item in items]
    assert starts[0] == 0
    assert all(TICKS <= after - before <= 3 * TICKS for before, after in pairwise(starts))
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
            session, pieces=[(show.broadcast_id, 0, 15 * TICKS)],
            title="取消", created_by=None,
        )  # fmt: skip

    def beat(share: float | None, note: str | None) -> None:
        if share is not None and share > 0:
            raise JobCancelled

    with pytest.raises(JobCancelled):
        make_clip(show.tools, work.id, beat)
    give_up(show.tools, work.id)
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
            session, pieces=[(show.broadcast_id, 0, 8 * TICKS)],
            title="缺", created_by=None,
        )  # fmt: skip
    with pytest.raises(NotFound):
        make_clip(show.tools, work.id)
    with show.database.transaction() as session:
        assert session.get_one(Work, work.id).state == "making"


def test_an_attempt_that_lost_its_lease_harms_no_other(show: Show) -> None:
    work = clip(show, 0, 4 * TICKS)
    assert work.mp4_key is not None
    before = show.storage.get(work.mp4_key)
    assert hashlib.sha256(before).hexdigest() == work.sha256

    # It comes to write its files when another has published.
    late = show.folder / "late.mp4"
    late.write_bytes(before[:-1] + b"?")
    finished = Finished(height=360, segments=[FinishedSegment(0, 1, 1)])
    made = Made(work.id, work.media_token, 0, late, None, None, finished, 25.0)
    assert not publish(show.tools, made, lambda: None)
    assert show.storage.get(work.mp4_key) == before

    # It fails while another is at work.
    def lost(session: Session) -> None:
        raise LeaseLost

    with show.database.transaction() as session:
        other, _ = request_clip(
            session, pieces=[(show.broadcast_id, 0, TICKS)], title="另一个", created_by=None
        )
    key = f"works/{other.media_token}/v360/replay1.mp4"
    show.storage.put_bytes(key, b"of the one that has it")
    with pytest.raises(LeaseLost):
        give_up(replace(show.tools, fence=lost), other.id)
    assert show.storage.get(key) == b"of the one that has it"
    with show.database.transaction() as session:
        assert session.get_one(Work, other.id).state == "making"
        # Every worker that tried was lost: what they put goes with it.
        assert settle_clips(session, show.storage) == 0
        session.scalars(
            select(Job).where(Job.unique_key == f"clip:{other.id}")
        ).one().state = "failed"
        session.flush()
        assert settle_clips(session, show.storage) == 1
    assert list(show.storage.list(f"works/{other.media_token}/")) == []
    with show.database.transaction() as session:
        assert session.get_one(Work, other.id).state == "failed"


def test_a_source_that_is_gone_is_said_in_a_sentence(show: Show) -> None:
    with show.database.transaction() as session:
        work, _ = request_clip(
            session, pieces=[(show.broadcast_id, 0, TICKS)], title="没有了", created_by=None
        )
        work.edit_list = [["nowhere", 0, TICKS]]
    with pytest.raises(JobFailed) as failed:
        make_clip(show.tools, work.id)
    assert failed.value.code == "clip_source_gone"
    assert not failed.value.retry


@pytest.mark.parametrize(
    ("start", "end", "code"),
    [
        (-1, 90_000, "clip_in_negative"),
        (90_000, 90_000, "clip_empty"),
        (180_000, 90_000, "clip_empty"),
        (0, 17 * TICKS, "clip_past_end"),
        (20 * TICKS, 21 * TICKS, "clip_past_end"),
    ],
)
def test_impossible_clips_are_refused(show: Show, start: int, end: int, code: str) -> None:
    with show.database.transaction() as session, pytest.raises(Refused) as caught:
        request_clip(
            session, pieces=[(show.broadcast_id, start, end)], title="x",
            created_by=None,
        )  # fmt: skip
    assert caught.value.code == code


def test_out_point_just_past_the_end_is_the_end(show: Show) -> None:
    with show.database.transaction() as session:
        end = air_end(session, show.token).next_ticks
        work, _ = request_clip(
            session, pieces=[(show.broadcast_id, end - 9000, end + 4500)],
            title="尾", created_by=None,
        )  # fmt: skip
        assert work.edit_list == [[show.broadcast_id, end - 9000, end]]
        with pytest.raises(Refused) as caught:
            request_clip(
                session, pieces=[(show.broadcast_id, end, end + 4500)],
                title="尾", created_by=None,
            )  # fmt: skip
    assert caught.value.code == "clip_past_end"


def test_lists_that_cannot_be_cut_are_refused(show: Show) -> None:
    key = show.broadcast_id
    second = (key, 0, TICKS)
    outsider = Actor(user_id=None, name="", role="staff", centre_path="elsewhere/")
    with show.database.transaction() as session:
        making = Work(
            id="making", centre_id="c1", kind="upload", state="making", title="处理中",
            media_token="m" * 22,
        )  # fmt: skip
        session.add(making)
        session.flush()

        def refusal(
            pieces: list[tuple[str, int, int]], title: str = "片段", actor: Actor | None = None
        ) -> str:
            with pytest.raises((Refused, BroadcastError)) as caught:
                request_clip(session, pieces=pieces, title=title, created_by=None, actor=actor)
            error = caught.value
            assert isinstance(error, Refused | BroadcastError)
            return error.code

        assert refusal([]) == "clip_empty_list"
        assert refusal([second] * (PIECES_MAX + 1)) == "clip_too_many"
        assert refusal([second, ("nosuch", 0, 1)]) == "programme_unknown"
        assert refusal([second], actor=outsider) == "programme_unknown"
        assert refusal([second], title=" ") == "title_empty"
        assert refusal([second, (key, 5 * TICKS, 5 * TICKS)]) == "clip_empty"
        with pytest.raises(Refused) as caught:
            request_clip(
                session, pieces=[second, (key, -1, TICKS)], title="x", created_by=None
            )  # fmt: skip
        assert (caught.value.code, caught.value.facts["which"]) == ("clip_in_negative", "第 2 段：")
        assert refusal([second, ("making", 0, TICKS)]) == "clip_source_making"
        making.state = "withdrawn"
        session.flush()
        assert refusal([second, ("making", 0, TICKS)]) == "clip_source_gone"
        whole = (key, 0, 16 * TICKS)
        assert PIECES_MAX * 16 * TICKS < MAX_CLIP_TICKS, "a hundred of these are within bounds"
        assert (
            session.scalar(select(func.count()).select_from(Work).where(Work.kind == "clip")) == 0
        )
        work, job = request_clip(
            session, pieces=[second, whole], title="两段", created_by=None, actor=None
        )
        assert work.edit_list == [[key, 0, TICKS], [key, 0, 16 * TICKS]]
        assert (work.broadcast_id, work.centre_id, job.broadcast_id) == (key, "c1", key)


def test_pieces_of_two_shows_one_after_the_other(
    show: Show, settings: Settings, database: Database, ffmpeg: str, media_folder: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    other = new_show(settings, database, ffmpeg, tmp_path / "other")
    air_take(other, Footage(seconds=5, first=5000), media_folder)
    pieces = [
        (show.broadcast_id, 3 * TICKS + 100, 5 * TICKS + 7),
        (other.broadcast_id, TICKS, 3 * TICKS + 44_000),
        (show.broadcast_id, 0, TICKS // 2),
    ]
    work = clip_of(show, pieces, "两场各一段")
    expected = [
        wanted(show, pieces[0][1], pieces[0][2]),
        wanted(other, pieces[1][1], pieces[1][2]),
        wanted(show, pieces[2][1], pieces[2][2]),
    ]
    pictures = read_pictures(path_of(show, work))
    assert [p.number for p in pictures] == [n for piece in expected for n in piece]
    # End to end: no gap and no overlap at the joins.
    steps = {round(b.seconds - a.seconds, 3) for a, b in pairwise(pictures)}
    assert steps == {0.04}
    assert work.broadcast_id is None
    assert [row[1] for row in work.making["pieces"]] == [key for key, _, _ in pieces]
    assert [row[0] for row in work.making["pieces"]] == [
        0, len(expected[0]) * 3600, len(expected[0] + expected[1]) * 3600,
    ]  # fmt: skip
    assert work.making["copied"] + work.making["encoded"] == len(pictures)
    with database.transaction() as session:
        resource = session.scalars(select(Resource).where(Resource.work_id == work.id)).one()
        assert {row[0] for row in resource.intervals} == {
            f"take:{show.takes[0].take_id}", f"take:{other.takes[0].take_id}",
        }  # fmt: skip


def test_a_clip_of_a_clip_and_of_its_show(show: Show) -> None:
    first = clip(show, 2 * TICKS + 100, 8 * TICKS)
    shown = wanted(show, 2 * TICKS + 100, 8 * TICKS)
    pieces = [(first.id, TICKS, 3 * TICKS + 3600), (show.broadcast_id, 0, TICKS)]
    second = clip_of(show, pieces, "选中选")
    expected = shown[25:76] + wanted(show, 0, TICKS)
    assert numbers(path_of(show, second)) == expected
    # Its footage is the show's, where the show has it.
    with show.database.transaction() as session:
        resource = session.scalars(select(Resource).where(Resource.work_id == second.id)).one()
        begin = {number: tick for tick, number in show.frames()}[shown[0]]
    take = f"take:{show.takes[0].take_id}"
    offset = show.takes[0].air_start
    assert resource.intervals[0][0] == take
    assert resource.intervals == [
        [take, 0 - offset, TICKS - offset],
        [take, begin + TICKS - offset, begin + 3 * TICKS + 3600 - offset],
    ]
    assert second.broadcast_id == show.broadcast_id


def test_most_of_it_is_copied(show: Show) -> None:
    work = clip(show, TICKS + 9000, 8 * TICKS)
    made = work.making
    assert made["missing"] == 0
    assert made["copied"] + made["encoded"] == len(wanted(show, TICKS + 9000, 8 * TICKS))
    # Two groups of two seconds at most are encoded, at the two ends.
    assert made["encoded"] <= 100 < made["copied"] + 25
