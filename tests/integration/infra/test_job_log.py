"""A job's log as its runner writes it, and jobs that wait for others."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from infra.database import Database
from infra.jobs import JobContext, JobFailed, JobRunner, JobWaits, enqueue, rows, try_again
from infra.jobs.handlers import _HANDLERS, JobFunction, job_handler
from infra.jobs.log import LINE_MAX, LINES_MAX, lines, say
from infra.reconciler import forget_old
from infra.settings import Settings
from infra.tables import Job, JobLine


@pytest.fixture
def kind() -> Iterator[str]:
    yield "told"
    _HANDLERS.pop("told", None)


@pytest.fixture
def runner(database: Database, settings: Settings) -> JobRunner:
    return JobRunner(database, settings, threading.Event())


def promised(database: Database, kind: str, function: JobFunction) -> int:
    job_handler(kind, lease_seconds=0.6, renew_seconds=0.1, backoff_seconds=(0.0,))(function)
    with database.transaction() as session:
        return enqueue(session, kind=kind, queue="vod", args={}).id


def said(database: Database, job_id: int) -> list[tuple[int, str]]:
    with database.transaction() as session:
        return [(line.attempt, line.text) for line in lines(session, job_id)]


def test_it_tells_what_was_done_and_why_it_failed(
    database: Database, runner: JobRunner, kind: str
) -> None:
    go_on = threading.Event()

    def work(ctx: JobContext) -> None:
        for note in ("正在读取", "正在读取", "正在转码"):
            ctx.heartbeat(0.5, note)
            go_on.wait(0.3)
        raise JobFailed("encode_failed", "编码失败：last words\nof FFmpeg\n", retry=ctx.attempt < 2)

    job_id = promised(database, kind, work)
    assert runner.look(job_id) == "to be retried"
    assert runner.look(job_id) == "failed"
    assert said(database, job_id) == [
        (1, "正在读取"),
        (1, "正在转码"),
        (1, "第 1 次没有成功：编码失败：last words"),
        (1, "of FFmpeg"),
        (2, "第 2 次开始"),
        (2, "正在读取"),
        (2, "正在转码"),
        (2, "失败：编码失败：last words"),
        (2, "of FFmpeg"),
    ]
    with database.transaction() as session:
        assert try_again(session, job_id)
    assert said(database, job_id)[-1] == (0, "重新排队")


def test_it_is_bounded_and_keeps_the_newest(database: Database) -> None:
    with database.transaction() as session:
        job_id = enqueue(session, kind="any", queue="vod", args={}).id
        other = enqueue(session, kind="any", queue="vod", args={}).id
        say(session, other, 1, "a neighbour's")
        for number in range(LINES_MAX + 50):
            say(session, job_id, 1, f"line {number}\0 " + "x" * 2 * LINE_MAX)
    found = said(database, job_id)
    assert len(found) == LINES_MAX
    assert found[0][1].startswith("line 50 ")
    assert all(len(text) <= LINE_MAX for _, text in found)
    assert len(said(database, other)) == 1


def test_it_goes_with_its_job(database: Database) -> None:
    with database.transaction() as session:
        job = enqueue(session, kind="any", queue="vod", args={})
        say(session, job.id, 1, "said")
        job.state = "done"
        job.ended_at = sa.func.now() - sa.text("interval '400 days'")
    assert forget_old(database) == 1
    with database.transaction() as session:
        assert session.scalars(sa.select(JobLine)).all() == []


def test_one_that_waits_is_put_back_and_woken(
    database: Database, runner: JobRunner, kind: str
) -> None:
    looks: list[int] = []

    def work(ctx: JobContext) -> dict[str, int]:
        looks.append(ctx.attempt)
        if len(looks) == 2:
            # Woken while it looks: what it did not see, it sees at once after.
            with database.transaction() as session:
                rows.wake(session, ctx.job_id)
        if len(looks) < 4:
            raise JobWaits(60.0)
        return {"looks": len(looks)}

    job_id = promised(database, kind, work)
    assert runner.look(job_id) == "waiting"
    assert runner.look(job_id) is None, "not due before it is woken"
    with database.transaction() as session:
        rows.wake(session, job_id)
    assert runner.look(job_id) == "waiting"
    assert runner.look(job_id) == "waiting", "woken meanwhile"
    assert runner.look(job_id) is None
    with database.transaction() as session:
        assert rows.report(session, job_id, at=1.0, permille=420, note="已完成 3/7 段")
        job = session.get_one(Job, job_id)
        assert (job.state, job.progress_permille, job.attempt) == ("queued", 420, 0)
        rows.wake(session, job_id)
    assert runner.look(job_id) == "done"
    # However often it looked, it was tried once.
    assert looks == [1, 1, 1, 1]
    assert said(database, job_id) == [(0, "已完成 3/7 段")]
    with database.transaction() as session:
        assert not rows.report(session, job_id, at=2.0, permille=1, note="late")
