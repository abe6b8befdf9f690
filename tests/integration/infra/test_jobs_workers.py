"""Jobs under real workers, queue and database, while each of these is killed, wiped or stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import sqlalchemy as sa

from catalog import migrate
from infra.database import Database
from infra.embedded import postgres
from infra.embedded import redis as embedded_redis
from infra.embedded.running import start, stop
from infra.jobs import cancel, enqueue, install_nudger, nudge
from infra.processes.command import Command
from infra.queue import KEY_PREFIX, CeleryNudger, broker_url, connect_queue, run_worker
from infra.redis import connect
from infra.settings import Settings
from infra.tables import Job

pytestmark = pytest.mark.faults

ROOT = Path(__file__).parents[3]
WORKERS = ("live", "vod")


class House:
    """PostgreSQL, Redis, a worker for live, one for vod, and beat: each can be killed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = Settings(data=folder)
        self.servers: dict[str, subprocess.Popen[bytes]] = {}
        self.parts: dict[str, subprocess.Popen[bytes]] = {}
        self._commands: dict[str, Command] = {}
        self._log = (folder / "parts.log").open("ab")
        self.start_server("postgres")
        postgres.ensure_database(self.settings)
        migrate.upgrade(self.settings.resolved_database_url)
        self.start_server("redis")
        self.database = Database(self.settings.resolved_database_url, name="test")
        connect_queue(self.settings)

    def start_server(self, name: str) -> None:
        module = postgres if name == "postgres" else embedded_redis
        command = self._commands[name] = module.prepare(self.settings)
        self.servers[name] = start(
            command, lambda: module.is_ready(self.settings), output=self._log
        )

    def start_part(self, name: str) -> None:
        argv = ["beat"] if name == "beat" else ["worker", name.partition("-")[0]]
        self.parts[name] = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.infra.job_worker", *argv],
            cwd=ROOT,
            env={**os.environ, "XITAI_DATA": str(self.folder)},
            stdout=self._log,
            stderr=self._log,
        )

    def kill(self, name: str) -> None:
        process = self.parts.pop(name, None) or self.servers.pop(name)
        process.kill()
        process.wait()

    def terminate(self, name: str) -> float:
        """Stop a part in an orderly way; how long it took."""
        process = self.parts.pop(name)
        began = time.monotonic()
        process.terminate()
        assert process.wait(20) == 0
        return time.monotonic() - began

    def make_whole(self) -> None:
        """Start what is not running."""
        for server in ("postgres", "redis"):
            if server not in self.servers:
                self.start_server(server)
        for part in (*WORKERS, "beat"):
            if part not in self.parts or self.parts[part].poll() is not None:
                self.start_part(part)

    def close(self) -> None:
        install_nudger(None)
        for process in self.parts.values():
            process.kill()
            process.wait()
        self.database.close()
        for name, process in self.servers.items():
            module = postgres if name == "postgres" else embedded_redis
            t = time.monotonic()
            stop(process, module.prepare(self.settings))
            print("STOP", name, time.monotonic() - t)
        self._log.close()

    # -- jobs

    def promise(self, name: str, kind: str = "short", queue: str = "vod", **args: Any) -> int:
        with self.database.transaction() as session:
            return enqueue(
                session,
                kind=kind,
                queue=queue,
                args={"folder": str(self.folder), "name": name, **args},
                max_attempts=3,
            ).id

    def traces(self, name: str) -> list[str]:
        """What a job's handler has noted: `word attempt`."""
        try:
            lines = (self.folder / name).read_text().splitlines()
        except FileNotFoundError:
            return []
        return [line.rpartition(" ")[0] for line in lines]

    def job(self, job_id: int) -> Job:
        with self.database.transaction() as session:
            return session.scalars(sa.select(Job).where(Job.id == job_id)).one()

    def await_trace(self, name: str, trace: str, *, times: int = 1) -> None:
        wait_for(lambda: self.traces(name).count(trace) >= times, 15, lambda: self.traces(name))

    def await_state(self, job_id: int, state: str, seconds: float = 15) -> Job:
        wait_for(lambda: self.job(job_id).state == state, seconds, lambda: self.job(job_id).state)
        return self.job(job_id)

    def end_show(self, name: str) -> None:
        (self.folder / f"{name}.over").touch()


def wait_for(true: Callable[[], bool], seconds: float, tell: Callable[[], object]) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, tell()
        time.sleep(0.02)


@contextmanager
def stopped(process: subprocess.Popen[bytes]) -> Iterator[None]:
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    house = House(tmp_path_factory.mktemp("house"))
    try:
        house.make_whole()
        yield house
    finally:
        house.close()


@pytest.fixture
def house(whole: House) -> House:
    """A house in which everything runs, and the nudger is not sulking."""
    whole.make_whole()
    connect_queue(whole.settings)
    return whole


def test_jobs_are_done_and_their_results_kept(house: House) -> None:
    quick = house.promise("quick")
    again = house.promise("again", failures=1)
    bad = house.promise("bad", bad=True)
    job = house.await_state(quick, "done")
    assert (job.result, job.attempt, job.progress_permille) == ({"attempt": 1}, 1, 1000)
    # Sooner than the reconciler would: the worker nudges short pauses itself.
    assert house.await_state(again, "done", 4).attempt == 2
    failed = house.await_state(bad, "failed")
    assert (failed.error_code, failed.error) == ("bad_input", "The file is damaged.")


def test_a_killed_live_worker_is_followed_within_seconds(house: House) -> None:
    job_id = house.promise("show", "live", "live")
    house.await_trace("show", "begin 1")
    time.sleep(0.3)
    house.kill("live")
    killed = time.monotonic()
    house.start_part("live")
    house.await_trace("show", "begin 2")
    # About 1.7 s on an idle machine, nearly all of it Python's imports.
    assert time.monotonic() - killed < 6
    house.end_show("show")
    assert house.await_state(job_id, "done").attempt == 2


def test_a_killed_live_worker_without_a_successor_here_is_followed_elsewhere(
    house: House,
) -> None:
    house.start_part("live-2")
    job_id = house.promise("moved", "live", "live")
    house.await_trace("moved", "begin 1")
    owner = house.job(job_id).lease_owner or ""
    first = next(n for n, p in house.parts.items() if f":{p.pid}:" in owner)
    killed = time.monotonic()
    house.kill(first)
    house.await_trace("moved", "begin 2")
    assert time.monotonic() - killed < 8
    house.end_show("moved")
    house.await_state(job_id, "done")
    for name in ("live", "live-2"):
        if name in house.parts:
            house.kill(name)


@pytest.mark.parametrize("victim", ["worker", "child"])
def test_a_killed_worker_or_child_costs_one_attempt(house: House, victim: str) -> None:
    job_id = house.promise(f"victim-{victim}", seconds=0.8)
    house.await_trace(f"victim-{victim}", "begin 1")
    if victim == "worker":
        house.kill("vod")
        house.start_part("vod")
    else:
        children = psutil.Process(house.parts["vod"].pid).children()
        assert [f":{child.pid}:" in (house.job(job_id).lease_owner or "") for child in children]
        for child in children:
            child.kill()
    job = house.await_state(job_id, "done")
    assert job.attempt == 2
    assert house.traces(f"victim-{victim}") == ["begin 1", "begin 2", "done 2"]


def test_a_wiped_redis_loses_no_job(house: House) -> None:
    ids = [house.promise(f"wiped-{n}", seconds=0.2) for n in range(6)]
    house.await_trace("wiped-0", "begin 1")
    client = connect(house.settings)
    assert client.llen(KEY_PREFIX + "vod") > 0
    client.flushall()
    client.close()
    for job_id in ids:
        house.await_state(job_id, "done")
    for n in range(6):
        assert house.traces(f"wiped-{n}") == ["begin 1", "done 1"]


def test_a_killed_redis_disturbs_no_running_job_and_loses_none(house: House) -> None:
    live = house.promise("through", "live", "live")
    house.await_trace("through", "begin 1")
    house.kill("redis")
    began = time.monotonic()
    ids = [house.promise(f"dark-{n}", seconds=0.05) for n in range(3)]
    # A promise must not wait for a broker that is away; two more know already that it is.
    assert time.monotonic() - began < 3
    time.sleep(1)
    house.start_server("redis")
    for job_id in ids:
        house.await_state(job_id, "done", 20)
    house.end_show("through")
    house.await_state(live, "done")
    assert house.traces("through") == ["begin 1", "done 1"]
    for n in range(3):
        assert house.traces(f"dark-{n}") == ["begin 1", "done 1"]


def test_a_hung_redis_disturbs_no_running_job_and_loses_none(house: House) -> None:
    live = house.promise("hung", "live", "live")
    house.await_trace("hung", "begin 1")
    with stopped(house.servers["redis"]):
        began = time.monotonic()
        job_id = house.promise("hung-vod")
        assert time.monotonic() - began < 5
        time.sleep(max(0.0, 8 - (time.monotonic() - began)))
    house.await_state(job_id, "done", 20)
    house.end_show("hung")
    house.await_state(live, "done")
    assert house.traces("hung") == ["begin 1", "done 1"]
    assert house.traces("hung-vod") == ["begin 1", "done 1"]


def test_a_killed_postgres_disturbs_no_running_job(house: House) -> None:
    live = house.promise("steady", "live", "live")
    short = house.promise("steady-vod", seconds=1.0)
    house.await_trace("steady", "begin 1")
    house.await_trace("steady-vod", "begin 1")
    house.kill("postgres")
    # The short job's handler comes to its end while the database is away.
    time.sleep(1.5)
    house.start_server("postgres")
    house.database.wait_ready(10)
    job = house.await_state(short, "done")
    assert job.attempt <= 2  # its last transaction may have met the dead server
    house.end_show("steady")
    assert house.await_state(live, "done").attempt == 1
    assert house.traces("steady") == ["begin 1", "done 1"]
    assert house.traces("steady-vod")[-1] == f"done {job.attempt}"


def test_many_messages_one_job(house: House) -> None:
    house.start_part("vod-2")
    second = psutil.Process(house.parts["vod-2"].pid)
    wait_for(lambda: len(second.children()) > 0, 10, lambda: "no pool")
    ids = [house.promise(f"double-{n}", seconds=0.05) for n in range(3)]
    for _ in range(5):
        for job_id in ids:
            nudge(job_id, "vod")
    for job_id in ids:
        house.await_state(job_id, "done")
    time.sleep(0.3)
    for n in range(3):
        assert house.traces(f"double-{n}") == ["begin 1", "done 1"]
    assert house.terminate("vod-2") < 6


def test_cancelling_running_and_queued_jobs(house: House) -> None:
    running = house.promise("unwanted", seconds=60)
    queued = house.promise("never", seconds=60)
    house.await_trace("unwanted", "begin 1")
    with house.database.transaction() as session:
        assert cancel(session, queued) == "cancelled"
        assert cancel(session, running) == "running"
    house.await_state(running, "cancelled", 6)
    assert house.traces("unwanted") == ["begin 1", "cancelled 1"]
    assert house.traces("never") == []


def test_a_stopping_worker_hands_its_jobs_over(house: House) -> None:
    ids = {queue: house.promise(f"relay-{queue}", "live", queue) for queue in WORKERS}
    for queue in WORKERS:
        house.await_trace(f"relay-{queue}", "begin 1")
    for queue in WORKERS:
        assert house.terminate(queue) < 6
    for queue, job_id in ids.items():
        assert house.traces(f"relay-{queue}") == ["begin 1", "handover 1"]
        job = house.job(job_id)
        assert (job.state, job.attempt, job.lease_owner) == ("queued", 0, None)
        house.start_part(queue)
    for queue, job_id in ids.items():
        house.await_trace(f"relay-{queue}", "begin 1", times=2)
        house.end_show(f"relay-{queue}")
        assert house.await_state(job_id, "done").attempt == 1


def test_hung_jobs_are_given_up_and_their_process_is_ended(house: House) -> None:
    job_id = house.promise("deaf", "deaf")
    assert house.await_state(job_id, "done", 25).attempt == 2


def test_the_nudger_never_raises_and_waits_for_nobody(house: House) -> None:
    away = house.settings.model_copy(update={"redis_url": "redis://127.0.0.1:9/0"})
    nudger = CeleryNudger(away)
    began = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda n: nudger(n, "vod"), range(4)))
    assert time.monotonic() - began < 5


def test_workers_for_queues_that_cannot_be(house: House) -> None:
    for queues in ([], ["live", "vod"], ["other"]):
        with pytest.raises(ValueError, match="queue"):
            run_worker(house.settings, queues, "x", [])


@pytest.mark.parametrize(
    ("redis", "broker"),
    [
        ("unix:///run/r.sock?db=2", "redis+socket:///run/r.sock?virtual_host=2"),
        ("unix:///run/r.sock", "redis+socket:///run/r.sock?virtual_host=0"),
        ("redis://:pw@h:6379/1", "redis://:pw@h:6379/1"),
        ("rediss://h/0?ssl_cert_reqs=required", "rediss://h/0?ssl_cert_reqs=required"),
    ],
)
def test_broker_urls(redis: str, broker: str) -> None:
    assert broker_url(redis) == broker
