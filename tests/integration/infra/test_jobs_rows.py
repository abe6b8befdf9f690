"""Job rows on a real PostgreSQL: promises, claims, leases, fences, the reconciler, the runner."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa

from infra.database import Database, DatabaseAway
from infra.jobs import (
    JobCancelled,
    JobContext,
    JobFailed,
    JobHandover,
    JobRunner,
    JobWaits,
    LeaseLost,
    cancel,
    enqueue,
    install_nudger,
    job_handler,
    rows,
    try_again,
)
from infra.jobs.owner import is_gone, this_host, this_process
from infra.reconciler import forget_old, reconcile
from infra.settings import Settings
from infra.tables import Job

SECOND = dt.timedelta(seconds=1)


class Nudges(list[tuple[int, str]]):
    def __call__(self, job_id: int, queue: str) -> None:
        self.append((job_id, queue))


@pytest.fixture(autouse=True)
def nudges() -> Iterator[Nudges]:
    nudges = Nudges()
    install_nudger(nudges)
    yield nudges
    install_nudger(None)


def promise(database: Database, kind: str = "none", **more: Any) -> int:
    more.setdefault("args", {})
    with database.transaction() as session:
        return enqueue(session, kind=kind, queue="vod", **more).id


def read(database: Database, job_id: int) -> Job:
    with database.transaction() as session:
        job = session.get(Job, job_id)
        assert job is not None
        return job


def change(database: Database, job_id: int, **values: object) -> None:
    with database.transaction() as session:
        session.execute(sa.update(Job).where(Job.id == job_id).values(**values))


def take(
    database: Database, job_id: int, owner: str = "elsewhere:1:1", lease: float = 15
) -> rows.Claim | None:
    with database.transaction() as session:
        return rows.claim(session, job_id, owner, lease)


def held(database: Database, job_id: int, owner: str = "elsewhere:1:1") -> rows.Claim:
    found = take(database, job_id, owner)
    assert found is not None
    return found


def let_run_out(database: Database, job_id: int) -> None:
    change(database, job_id, lease_until=sa.func.now() - SECOND)


# -- promises


def test_the_queue_hears_of_a_promise_after_the_commit_only(
    database: Database, nudges: Nudges
) -> None:
    with database.transaction() as session:
        job = enqueue(session, kind="none", queue="vod", args={"a": 1}, title="戏")
        assert nudges == []
    assert nudges == [(job.id, "vod")]
    with pytest.raises(ZeroDivisionError), database.transaction() as session:
        enqueue(session, kind="none", queue="vod", args={})
        raise ZeroDivisionError
    assert len(nudges) == 1
    kept = read(database, job.id)
    assert (kept.state, kept.attempt, kept.args, kept.title) == ("queued", 0, {"a": 1}, "戏")


def test_one_open_job_a_key(database: Database) -> None:
    with ThreadPoolExecutor(4) as pool:
        ids = set(pool.map(lambda _: promise(database, unique_key="live:b1"), range(12)))
    (first,) = ids
    mine = held(database, first)
    assert promise(database, unique_key="live:b1") == first
    with database.transaction() as session:
        assert rows.complete(session, mine, {})
    assert promise(database, unique_key="live:b1") != first


# -- claims


def test_of_many_workers_one_gets_the_job(database: Database) -> None:
    for _ in range(5):
        job_id = promise(database)
        with ThreadPoolExecutor(8) as pool:
            claims = list(pool.map(lambda n: take(database, job_id, f"w:{n}:1"), range(8)))  # noqa: B023
        (winner,) = [claim for claim in claims if claim is not None]
        assert winner.attempt == 1
        job = read(database, job_id)
        assert (job.state, job.lease_owner, job.attempt) == ("running", winner.owner, 1)
        assert job.lease_until is not None
        assert job.started_at is not None


def test_what_cannot_be_claimed(database: Database) -> None:
    later = promise(database, not_before=dt.datetime.now(dt.UTC) + 100 * SECOND)
    assert take(database, later) is None
    running = promise(database)
    held(database, running)
    assert take(database, running) is None
    cancelled = promise(database)
    with database.transaction() as session:
        assert cancel(session, cancelled) == "cancelled"
    assert take(database, cancelled) is None
    assert take(database, 10**12) is None


def test_a_lease_that_ran_out_is_taken_over_and_the_old_owner_is_fenced_off(
    database: Database,
) -> None:
    job_id = promise(database)
    old = held(database, job_id, "old:1:1")
    let_run_out(database, job_id)
    new = held(database, job_id, "new:2:2")
    assert new.attempt == 2
    acts: list[Callable[..., object]] = [
        lambda s: rows.renew(s, old, 15),
        lambda s: rows.complete(s, old, {"by": "old"}),
        lambda s: rows.fail(s, old, "x", "x"),
        lambda s: rows.retry(s, old, 1, "x", "x"),
        lambda s: rows.hand_over(s, old),
        lambda s: rows.give_in(s, old),
        lambda s: rows.let_go(s, old),
        lambda s: rows.is_ours(s, old),
    ]
    for act in acts:
        with database.transaction() as session:
            assert not act(session)
    with database.transaction() as session:
        assert rows.complete(session, new, {"by": "new"})
    job = read(database, job_id)
    assert (job.state, job.result, job.lease_owner) == ("done", {"by": "new"}, None)


def test_the_same_owner_is_fenced_off_by_the_attempt(database: Database) -> None:
    job_id = promise(database)
    old = held(database, job_id)
    let_run_out(database, job_id)
    held(database, job_id)
    with database.transaction() as session:
        assert not rows.complete(session, old, {})


def test_a_late_renewal_keeps_a_job_nobody_has_taken(database: Database) -> None:
    job_id = promise(database)
    mine = held(database, job_id)
    let_run_out(database, job_id)
    with database.transaction() as session:
        assert rows.renew(session, mine, 15, progress_permille=250, note="一" * 300) is False
    job = read(database, job_id)
    assert (job.progress_permille, len(job.note)) == (250, 200)
    assert take(database, job_id, "other:1:1") is None


def test_a_handover_does_not_count_as_an_attempt(database: Database) -> None:
    job_id = promise(database, max_attempts=1)
    for _ in range(3):
        mine = held(database, job_id)
        assert mine.attempt == 1
        with database.transaction() as session:
            assert rows.hand_over(session, mine)
    assert read(database, job_id).state == "queued"


def test_cancelling(database: Database) -> None:
    job_id = promise(database)
    mine = held(database, job_id)
    with database.transaction() as session:
        assert cancel(session, job_id) == "running"
        assert rows.renew(session, mine, 15) is True
        assert rows.give_in(session, mine)
    with database.transaction() as session:
        assert cancel(session, job_id) == "cancelled"
        assert cancel(session, 10**12) is None


def test_trying_again(database: Database, nudges: Nudges) -> None:
    job_id = promise(database, max_attempts=1)
    mine = held(database, job_id)
    with database.transaction() as session:
        assert not try_again(session, job_id)
        assert rows.fail(session, mine, "bad_input", "The file is damaged.")
    nudges.clear()
    with database.transaction() as session:
        assert try_again(session, job_id)
    assert nudges == [(job_id, "vod")]
    job = read(database, job_id)
    assert (job.state, job.attempt, job.error, job.ended_at) == ("queued", 0, None, None)
    assert held(database, job_id).attempt == 1


# -- the reconciler


def test_the_reconciler_nudges_what_is_due(database: Database, nudges: Nudges) -> None:
    queued = promise(database)
    promise(database, not_before=dt.datetime.now(dt.UTC) + 100 * SECOND)
    retried = promise(database)
    with database.transaction() as session:
        rows.retry(session, held(database, retried), 0, "x", "x")
    held(database, promise(database))
    lapsed = promise(database)
    held(database, lapsed)
    let_run_out(database, lapsed)
    nudges.clear()
    found = reconcile(database, nudges)
    assert nudges == [(queued, "vod"), (retried, "vod"), (lapsed, "vod")]
    assert (found.nudged, found.failed, found.cancelled) == (3, 0, 0)


def test_hints_do_not_pile_up_behind_busy_workers(database: Database, nudges: Nudges) -> None:
    ids = [promise(database) for _ in range(3)]
    nudges.clear()
    assert reconcile(database, nudges, queue_length=lambda _: 3).nudged == 0
    assert reconcile(database, nudges, queue_length=lambda _: 2).nudged == len(ids)
    assert reconcile(database, nudges, queues=["edit"]).nudged == 0


def test_the_reconciler_closes_what_nobody_may_claim(database: Database, nudges: Nudges) -> None:
    exhausted = promise(database, max_attempts=1)
    unwanted = promise(database)
    for job_id in (exhausted, unwanted):
        held(database, job_id)
    with database.transaction() as session:
        cancel(session, unwanted)
    assert reconcile(database, nudges).failed == 0
    for job_id in (exhausted, unwanted):
        let_run_out(database, job_id)
    found = reconcile(database, nudges)
    assert (found.failed, found.cancelled, found.nudged) == (1, 1, 0)
    job = read(database, exhausted)
    assert (job.state, job.error_code) == ("failed", "worker_lost")
    assert read(database, unwanted).state == "cancelled"


def test_the_lease_of_a_dead_process_of_this_host_ends_at_once(
    database: Database, nudges: Nudges
) -> None:
    script = "from infra.jobs.owner import this_process; print(this_process())"
    dead = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.strip()
    ids = [promise(database) for _ in range(3)]
    for job_id, owner in zip(ids, (dead, this_process(), "elsewhere:1:1"), strict=True):
        held(database, job_id, owner)
    nudges.clear()
    assert reconcile(database, nudges).freed == 1
    assert nudges == [(ids[0], "vod")]


def test_telling_the_dead_from_the_living() -> None:
    mine = this_process()
    assert len(mine) <= 64
    assert not is_gone(mine)
    pid = os.getpid()
    assert is_gone(f"{this_host()}:{pid}:1")  # the pid was used again
    for unknown in (f"other:{pid}:1", "", "x", f"{this_host()}:x:1", f"{this_host()}:{pid}:"):
        assert not is_gone(unknown)
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        zombie = f"{this_host()}:{child.pid}:"
        stat = f"/proc/{child.pid}/stat"
        with open(stat) as file:
            start = file.read().rpartition(")")[2].split()[19]
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert is_gone(zombie + start)  # and nobody has buried it yet


def test_old_rows_are_forgotten(database: Database) -> None:
    ids = [promise(database) for _ in range(4)]
    day = dt.timedelta(days=1)
    for job_id, state, age in zip(
        ids, ("done", "failed", "failed", "done"), (31, 31, 181, 29), strict=True
    ):
        change(database, job_id, state=state, ended_at=sa.func.now() - age * day)
    assert forget_old(database) == 2
    with database.transaction() as session:
        assert set(session.scalars(sa.select(Job.id))) == {ids[1], ids[3]}


# -- the runner


class Script:
    """What the handler of kind `scripted` does next."""

    run: Callable[[JobContext], dict[str, Any] | None]


@job_handler(
    "scripted", lease_seconds=1.5, renew_seconds=0.1, stall_seconds=30, backoff_seconds=(0, 900)
)
def _scripted(ctx: JobContext) -> dict[str, Any] | None:
    return Script.run(ctx)


@job_handler("hanging", lease_seconds=1.5, renew_seconds=0.1, stall_seconds=0.3)
def _hanging(ctx: JobContext) -> dict[str, Any] | None:
    return Script.run(ctx)


@pytest.fixture
def stopping() -> threading.Event:
    return threading.Event()


@pytest.fixture
def runner(database: Database, settings: Settings, stopping: threading.Event) -> JobRunner:
    return JobRunner(database, settings, stopping)


def scripted(database: Database, run: Callable[[JobContext], Any], **more: Any) -> int:
    Script.run = run
    return promise(database, "scripted", **more)


def beat_until_raised(ctx: JobContext) -> None:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        ctx.heartbeat(0.25, "working")
        time.sleep(0.01)
    pytest.fail("nothing stopped the handler")


def test_a_job_is_done_once_however_often_it_is_looked_at(
    database: Database, runner: JobRunner
) -> None:
    begun = []

    def run(ctx: JobContext) -> dict[str, Any]:
        begun.append(ctx.attempt)
        time.sleep(0.1)
        return {"answer": ctx.args["n"] + 1}

    job_id = scripted(database, run, args={"n": 41}, title="t")
    with ThreadPoolExecutor(6) as pool:
        outcomes = list(pool.map(lambda _: runner.look(job_id), range(12)))
    assert sorted(outcomes, key=str) == [None] * 11 + ["done"]
    assert begun == [1]
    job = read(database, job_id)
    assert (job.state, job.result, job.progress_permille) == ("done", {"answer": 42}, 1000)


def test_the_lease_is_kept_while_the_handler_works(
    database: Database, runner: JobRunner, nudges: Nudges
) -> None:
    def run(ctx: JobContext) -> None:
        for _ in range(20):
            ctx.heartbeat(0.5, "halfway")
            time.sleep(0.1)
            assert reconcile(database, Nudges()).nudged == 0
        job = read(database, ctx.job_id)
        assert (job.progress_permille, job.note) == (500, "halfway")

    assert runner.look(scripted(database, run)) == "done"


def test_failing_attempts_are_repeated_then_the_job_has_failed(
    database: Database, runner: JobRunner, nudges: Nudges
) -> None:
    def run(_: JobContext) -> None:
        raise JobFailed("no_signal", "The encoder sent nothing.")

    job_id = scripted(database, run, max_attempts=2)
    nudges.clear()
    assert runner.look(job_id) == "to be retried"
    assert nudges == [(job_id, "vod")]
    job = read(database, job_id)
    assert (job.state, job.error_code) == ("queued", "no_signal")
    assert runner.look(job_id) == "failed"
    job = read(database, job_id)
    assert (job.state, job.error, job.attempt) == ("failed", "The encoder sent nothing.", 2)
    assert runner.look(job_id) is None


def test_the_second_pause_is_longer(database: Database, runner: JobRunner) -> None:
    def run(_: JobContext) -> None:
        raise ZeroDivisionError

    job_id = scripted(database, run)
    assert runner.look(job_id) == "to be retried"
    assert runner.look(job_id) == "to be retried"
    assert runner.look(job_id) is None
    job = read(database, job_id)
    assert (job.state, job.error_code) == ("queued", "internal")
    assert job.not_before is not None
    assert job.not_before > dt.datetime.now(dt.UTC) + 800 * SECOND


def test_a_result_that_cannot_be_kept_is_a_failure(database: Database, runner: JobRunner) -> None:
    job_id = scripted(database, lambda _: {"file": object()}, max_attempts=1)
    assert runner.look(job_id) == "failed"
    assert read(database, job_id).error_code == "internal"


def test_bad_input_is_not_tried_again(database: Database, runner: JobRunner) -> None:
    def run(_: JobContext) -> None:
        raise JobFailed("bad_input", "The file is damaged.", retry=False)

    job_id = scripted(database, run)
    assert runner.look(job_id) == "failed"
    assert read(database, job_id).attempt == 1


def test_a_running_job_learns_that_it_is_cancelled(database: Database, runner: JobRunner) -> None:
    def run(ctx: JobContext) -> None:
        with database.transaction() as session:
            cancel(session, ctx.job_id)
        with pytest.raises(JobCancelled):
            beat_until_raised(ctx)
        raise JobCancelled

    job_id = scripted(database, run)
    assert runner.look(job_id) == "cancelled"
    job = read(database, job_id)
    assert (job.state, job.progress_permille, job.note) == ("cancelled", 250, "working")


@pytest.mark.parametrize("outcome", ["waits", "fails", "hands over"])
def test_a_wish_to_cancel_that_comes_too_late_for_a_heartbeat_is_obeyed(
    database: Database, runner: JobRunner, outcome: str
) -> None:
    """Put back into the queue it would never be claimed again, nor end."""
    verdict = {
        "waits": JobWaits(60.0), "fails": JobFailed("x", "没做成"), "hands over": JobHandover(),
    }[outcome]  # fmt: skip

    def run(ctx: JobContext) -> None:
        with database.transaction() as session:
            cancel(session, ctx.job_id)
        raise verdict

    job_id = scripted(database, run)
    runner.look(job_id)
    job = read(database, job_id)
    assert job.state == "cancelled"
    assert job.ended_at is not None


def test_a_handler_that_lost_its_lease_learns_of_it_and_changes_nothing(
    database: Database, runner: JobRunner
) -> None:
    def run(ctx: JobContext) -> None:
        change(database, ctx.job_id, lease_owner="thief:1:1", attempt=ctx.attempt + 1)
        assert ctx.lost.wait(5)
        with pytest.raises(LeaseLost):
            ctx.heartbeat()
        with pytest.raises(LeaseLost), database.transaction() as session:
            ctx.fence(session)
        ctx.heartbeat()

    job_id = scripted(database, run)
    assert runner.look(job_id) == "lost"
    job = read(database, job_id)
    assert (job.state, job.lease_owner, job.attempt) == ("running", "thief:1:1", 2)


def test_a_stopping_worker_hands_over_and_takes_nothing_new(
    database: Database, runner: JobRunner, stopping: threading.Event, nudges: Nudges
) -> None:
    def run(ctx: JobContext) -> None:
        stopping.set()
        with pytest.raises(JobHandover):
            ctx.heartbeat()
        raise JobHandover

    job_id = scripted(database, run)
    nudges.clear()
    assert runner.look(job_id) == "handed over"
    assert nudges == [(job_id, "vod")]
    assert read(database, job_id).attempt == 0
    assert runner.look(job_id) is None
    assert read(database, job_id).state == "queued"


def test_a_hung_handler_is_given_up(
    database: Database, settings: Settings, stopping: threading.Event
) -> None:
    begun, release = threading.Event(), threading.Event()

    def run(ctx: JobContext) -> None:
        begun.set()
        release.wait(60)
        ctx.heartbeat()

    Script.run = run
    job_id = promise(database, "hanging")
    runner = JobRunner(database, settings, stopping)
    with ThreadPoolExecutor(1) as pool:
        outcome = pool.submit(runner.look, job_id)
        assert begun.wait(20)
        deadline = time.monotonic() + 30
        while (taken := take(database, job_id, "next:1:1")) is None:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert taken.attempt == 2
        release.set()
        assert outcome.result() == "lost"


def test_a_job_without_a_handler_waits_for_a_worker_that_has_one(
    database: Database, runner: JobRunner
) -> None:
    job_id = promise(database, "from_the_future")
    assert runner.look(job_id) is None
    assert read(database, job_id).state == "queued"


def test_a_database_that_is_away_is_told(settings: Settings) -> None:
    away = Database("postgresql+psycopg://x@127.0.0.1:9/x")
    with pytest.raises(DatabaseAway):
        JobRunner(away, settings, threading.Event()).look(1)
    away.close()


def test_kinds_are_registered_once_and_leases_outlive_renewals() -> None:
    with pytest.raises(ValueError, match="two handlers"):
        job_handler("scripted")(_scripted)
    with pytest.raises(ValueError, match="two renewals"):
        job_handler("x", lease_seconds=5, renew_seconds=2)
