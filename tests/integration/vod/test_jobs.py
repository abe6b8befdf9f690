"""The jobs as a worker runs them: what is promised after a show, and what becomes of it."""

from __future__ import annotations

import datetime as dt
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

import vod.jobs
from api.handlers import PERIODIC
from catalog.models import Broadcast, Resource, Take, Work
from infra.database import Database
from infra.jobs import JobRunner, cancel, enqueue, try_again
from infra.settings import Settings
from infra.tables import Job
from tests.integration.vod.show import Show, air_take, key_of, new_show
from tests.support.media import Footage
from vod.clips import make_clip, request_clip
from vod.encode import Beat
from vod.posters import CANDIDATES, candidate_slots, poster_key
from vod.tools import Tools


@pytest.fixture
def show(
    settings: Settings, database: Database, ffmpeg: str, media_folder: Path, tmp_path: Path
) -> Show:
    made = new_show(settings, database, ffmpeg, tmp_path)
    air_take(made, Footage(seconds=6), media_folder)
    return made


@pytest.fixture
def runner(database: Database, settings: Settings) -> JobRunner:
    return JobRunner(database, settings, threading.Event())


def open_jobs(show: Show) -> dict[str, int]:
    with show.database.transaction() as session:
        rows = session.scalars(select(Job).where(Job.state == "queued", Job.kind != "live"))
        return {job.kind: job.id for job in rows}


def after_show(show: Show) -> int:
    with show.database.transaction() as session:
        broadcast = session.get_one(Broadcast, show.broadcast_id)
        return enqueue(
            session, kind="after_show", queue="vod", args={"broadcast_id": broadcast.id}
        ).id


def test_after_the_show_everything_is_done_once(show: Show, runner: JobRunner) -> None:
    show.end()
    assert runner.look(after_show(show)) == "done"
    assert runner.look(after_show(show)) == "done"
    jobs = open_jobs(show)
    assert set(jobs) == {"poster", "compact", "ship_take", "storyboard", "stills"}
    for kind in ("poster", "ship_take"):
        assert runner.look(jobs[kind]) == "done", kind
    for kind in ("compact", "compact_cleanup"):
        job = open_jobs(show)[kind]
        assert runner.look(job) is None, f"{kind} is not due yet"
        with show.database.transaction() as session:
            session.get_one(Job, job).not_before = None
        assert runner.look(job) == "done", kind
    with show.database.transaction() as session:
        kinds = session.scalars(select(Resource.kind).order_by(Resource.kind)).all()
        assert kinds == ["finished", "raw"]
        assert session.get_one(Take, show.takes[0].take_id).storage_key is not None
        recording = session.scalars(select(Work).where(Work.kind == "recording")).one()
        assert recording.state == "ready"
    assert [key.removeprefix(f"live/{show.token}/") for key in show.storage.list("live/")] == [
        "a/replay1.mp4",
        "poster.jpg",
        "v360/replay1.mp4",
    ]


def test_show_that_goes_on_has_no_after(show: Show, runner: JobRunner) -> None:
    assert runner.look(after_show(show)) == "done"
    assert open_jobs(show) == {}


def test_poster_is_a_picture_and_not_the_black_beginning(show: Show, runner: JobRunner) -> None:
    with show.database.transaction() as session:
        job = vod.jobs.promise_poster(session, session.get_one(Broadcast, show.broadcast_id))
    assert runner.look(job.id) == "done"
    data = np.frombuffer(show.storage.get(poster_key(show.token)), dtype=np.uint8)
    picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape == (360, 640, 3)
    assert picture.mean() > 40
    with show.database.transaction() as session:
        assert session.get_one(Broadcast, show.broadcast_id).poster_at is not None


def test_poster_of_a_show_without_pictures_yet_is_tried_again(
    settings: Settings, database: Database, ffmpeg: str, tmp_path: Path, runner: JobRunner
) -> None:
    show = new_show(settings, database, ffmpeg, tmp_path)
    with database.transaction() as session:
        job = vod.jobs.promise_poster(session, session.get_one(Broadcast, show.broadcast_id))
    assert runner.look(job.id) == "to be retried"


def test_poster_of_a_show_on_air_is_made_anew_from_its_newest_pictures(show: Show) -> None:
    now = dt.datetime.now(dt.UTC)
    with show.database.transaction() as session:
        broadcast = session.get_one(Broadcast, show.broadcast_id)
        broadcast.state = "live"
        assert vod.jobs.renew_posters(session, now) == 1
        assert "poster" in open_kinds(session)
        broadcast.poster_at = now
        session.flush()
        assert vod.jobs.renew_posters(session, now + dt.timedelta(minutes=2)) == 0
        assert vod.jobs.renew_posters(session, now + dt.timedelta(minutes=4)) == 1
        broadcast.state = "ended"
        session.flush()
        assert vod.jobs.renew_posters(session, now + dt.timedelta(hours=1)) == 0
        slots = candidate_slots(session, show.token)
        assert candidate_slots(session, show.token, newest=True) == slots[-CANDIDATES:]


def open_kinds(session: Session) -> set[str]:
    return set(session.scalars(select(Job.kind).where(Job.state == "queued")))


def order(show: Show, end: int = 360_000) -> tuple[str, int]:
    with show.database.transaction() as session:
        work, job = request_clip(
            session, pieces=[(show.broadcast_id, 90_000, end)], title="片段",
            created_by=None,
        )  # fmt: skip
        return work.id, job.id


def state_of(show: Show, work_id: str) -> str:
    with show.database.transaction() as session:
        return session.get_one(Work, work_id).state


def test_clip_job(show: Show, runner: JobRunner) -> None:
    work_id, job_id = order(show)
    assert runner.look(job_id) == "done"
    assert state_of(show, work_id) == "ready"
    with show.database.transaction() as session:
        result = session.get_one(Job, job_id).result
    assert (result["frames"], result["frames_missing"], result["seconds"]) == (75, 0, 3.0)


def test_clip_that_was_cancelled_while_it_waited_is_settled(show: Show, runner: JobRunner) -> None:
    waiting, _ = order(show)
    work_id, job_id = order(show)
    periodic = next(each for each in PERIODIC if each.kind == "settle")
    with show.database.transaction() as session:
        cancel(session, job_id)
        settling = enqueue(session, kind=periodic.kind, queue=periodic.queue, args={})
    assert runner.look(settling.id) == "done"
    with show.database.transaction() as session:
        assert session.get_one(Job, settling.id).result["clips"] == 1
    assert (state_of(show, work_id), state_of(show, waiting)) == ("failed", "making")


def test_clip_that_failed_can_be_made_after_all(show: Show, runner: JobRunner) -> None:
    key = key_of(show, "v360", 1)
    data = show.storage.get(key)
    show.storage.put_bytes(key, data[: len(data) // 2])
    work_id, job_id = order(show)
    with show.database.transaction() as session:
        session.get_one(Job, job_id).max_attempts = 1
    assert runner.look(job_id) == "failed"
    assert state_of(show, work_id) == "failed"
    with show.database.transaction() as session:
        assert session.get_one(Job, job_id).error_code == "media_missing"
        assert try_again(session, job_id)
    show.storage.put_bytes(key, data)
    assert runner.look(job_id) == "done"
    assert state_of(show, work_id) == "ready"


def test_stopping_worker_hands_the_clip_over(
    show: Show, database: Database, settings: Settings, runner: JobRunner
) -> None:
    work_id, job_id = order(show)
    stopping = threading.Event()
    worker = JobRunner(database, settings, stopping)

    def stopped(tools: Tools, work_id: str, beat: Beat) -> dict[str, object]:
        stopping.set()
        return make_clip(tools, work_id, beat)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vod.jobs, "make_clip", stopped)
        assert worker.look(job_id) == "handed over"
    assert state_of(show, work_id) == "making"
    assert runner.look(job_id) == "done"
    assert state_of(show, work_id) == "ready"
