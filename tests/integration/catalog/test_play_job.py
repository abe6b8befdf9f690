"""The roll-up as beat promises it and a worker does it."""

from __future__ import annotations

import threading

from sqlalchemy import select

import catalog.play_jobs  # noqa: F401 (registers its handler)
from api.handlers import HANDLER_MODULES, PERIODIC
from catalog.models import PlayDay
from infra.database import Database
from infra.jobs import JobRunner, enqueue
from infra.settings import Settings
from infra.tables import Job
from tests.support.plays import watch
from tests.support.stage import make_stage


def test_the_promised_job_rolls_up(database: Database, settings: Settings) -> None:
    assert "catalog.play_jobs" in HANDLER_MODULES["worker-work"]
    promised = next(each for each in PERIODIC if each.kind == "plays")
    with database.transaction() as session:
        item = make_stage(session).broadcast.id
        watch(session, item, "a")
        job = enqueue(session, kind=promised.kind, queue=promised.queue, args={})
    runner = JobRunner(database, settings, threading.Event())
    assert runner.look(job.id) == "done"
    with database.transaction() as session:
        assert session.get_one(Job, job.id).result == {"changed": 1}
        assert session.scalars(select(PlayDay.item_id)).all() == [item]
