"""The MP4 of a work, on a wish: whole, kept for a while, never of what is not ready."""

from __future__ import annotations

import datetime as dt
import threading
from pathlib import Path

import pytest

from catalog.models import Broadcast, Extra, Work
from catalog.resources import register_recording
from infra.database import Database
from infra.jobs import JobFailed, JobRunner
from infra.settings import Settings
from infra.tables import Job
from tests.integration.vod.show import Show, air_take, new_show
from tests.support.media import Footage, read_beeps, read_numbers
from vod.clips import make_clip, request_clip
from vod.encode import silent
from vod.masters import KEEP, drop_masters, make_master, master_key, request_master


@pytest.fixture
def show(settings: Settings, database: Database, ffmpeg: str, tmp_path: Path) -> Show:
    return new_show(settings, database, ffmpeg, tmp_path)


def recording(show: Show) -> str:
    """The id of the show's recording."""
    show.end()
    with show.database.transaction() as session:
        broadcast = session.get_one(Broadcast, show.broadcast_id)
        resource = register_recording(session, broadcast)
        assert resource is not None
        assert resource.work_id is not None
        return resource.work_id


def test_a_recordings_mp4_is_made_once_and_put_away(
    show: Show, database: Database, settings: Settings, media_folder: Path
) -> None:
    air_take(show, Footage(seconds=6, b_frames=2, preset="veryfast"), media_folder)
    work_id = recording(show)
    with database.transaction() as session:
        work = session.get_one(Work, work_id)
        assert master_key(session, work) is None
        job = request_master(session, work)
        assert request_master(session, work).id == job.id
    assert JobRunner(database, settings, threading.Event()).look(job.id) == "done"
    with database.transaction() as session:
        key = master_key(session, session.get_one(Work, work_id))
        facts = session.get_one(Extra, (show.token, "master")).facts
    path = show.storage.local_path(key or "")
    assert path is not None
    assert read_numbers(path) == [number for _, number in show.frames()]
    assert len(read_beeps(path)) == len(read_beeps(show.takes[0].path))
    head = path.read_bytes()[:4096]
    assert head.index(b"moov") < 64, "it can be looked at while it is fetched"
    assert facts["bytes"] == path.stat().st_size
    # Not made again while it is there; after a week it makes room.
    assert make_master(show.tools, work_id, silent) == {"key": key}
    now = dt.datetime.now(dt.UTC)
    with database.transaction() as session:
        assert drop_masters(session, show.storage, now) == 0
        assert drop_masters(session, show.storage, now + KEEP + dt.timedelta(hours=1)) == 1
        assert master_key(session, session.get_one(Work, work_id)) is None
    assert not path.exists()
    assert list((show.settings.data / "tmp").iterdir()) == []


def test_settings_that_changed_in_the_middle_do_not_split_it(
    show: Show, media_folder: Path
) -> None:
    air_take(show, Footage(seconds=4), media_folder)
    air_take(show, Footage(seconds=4, first=500, preset="veryfast", b_frames=2), media_folder)
    work_id = recording(show)
    key = make_master(show.tools, work_id, silent)["key"]
    path = show.storage.local_path(key)
    assert path is not None
    assert read_numbers(path) == [number for _, number in show.frames()]


def test_a_clip_has_its_own_and_the_unready_have_none(show: Show, media_folder: Path) -> None:
    air_take(show, Footage(seconds=4), media_folder)
    with show.database.transaction() as session:
        work, _ = request_clip(
            session, pieces=[(show.broadcast_id, 90_000, 270_000)], title="段", created_by=None
        )
    with pytest.raises(JobFailed) as caught:
        make_master(show.tools, work.id, silent)
    assert (caught.value.code, caught.value.retry) == ("work_gone", False)
    make_clip(show.tools, work.id)
    with show.database.transaction() as session:
        made = session.get_one(Work, work.id)
        assert master_key(session, made) == made.mp4_key
        assert session.query(Job).where(Job.kind == "master").count() == 0
    assert make_master(show.tools, work.id, silent) == {"key": made.mp4_key}
