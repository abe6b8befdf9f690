"""`xitai up` as a process: what is killed comes back, what is stopped is gone, all of it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psutil
import pytest

from infra.embedded import postgres
from infra.embedded import redis as embedded_redis
from infra.instance import Instance, load_instance
from infra.processes.up import PortInUse, fix_ports
from infra.settings import Settings

pytestmark = pytest.mark.faults

ROOT = Path(__file__).parents[2]


def wait_for(what: Callable[[], bool], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


class Up:
    """One running instance."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.folder = folder
        self.settings = Settings(data=folder / "data")
        self.errors = folder / "stderr"
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.up_program", str(folder), *words],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def ready(self) -> str:
        """Wait for the line; returns the URL."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.fullmatch(r"ready (http://127\.0\.0\.1:\d+)\n", line)
        assert found, f"{line!r}\n{self.errors.read_text()}"
        return found[1]

    @property
    def instance(self) -> Instance:
        found = load_instance(self.settings)
        assert found is not None
        return found

    def has_another(self, name: str, pid: int) -> bool:
        """Whether the part runs as another process than ``pid``."""
        return self.instance.pids.get(name) not in (None, pid)

    def family(self) -> list[psutil.Process]:
        """All processes of the instance, the supervisor included."""
        own = psutil.Process(self.process.pid)
        return [own, *own.children(recursive=True)]

    def lines(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().split() if path.exists() else []


@contextmanager
def up(folder: Path, *words: str) -> Iterator[Up]:
    started = Up(folder, *words)
    family: list[psutil.Process] = []
    try:
        yield started
    finally:
        if started.process.poll() is None:
            family = started.family()
            started.process.kill()
        started.process.communicate()
        psutil.wait_procs(family, timeout=20)


def gone(family: list[psutil.Process]) -> bool:
    return not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in family)


def test_ready_then_stopped_in_order_with_nothing_left(tmp_path: Path) -> None:
    with up(tmp_path, "with-child") as instance:
        url = instance.ready()
        assert urllib.request.urlopen(url).status == 200
        assert instance.instance.http_url == url
        assert set(instance.instance.pids) == {"postgres", "redis", "ingest", "web"}
        family = instance.family()
        assert int(instance.lines("grandchild")[0]) in {p.pid for p in family}
        instance.process.send_signal(signal.SIGTERM)
        rest, _ = instance.process.communicate(timeout=15)
        assert instance.process.returncode == 0
        assert rest == ""
        assert instance.lines("order") == ["ingest", "web"]
        assert gone(family)
        assert load_instance(instance.settings) is None
        log = (tmp_path / "data" / "logs" / "xitai.log").read_text()
        assert "database system is shut down" in log
        assert "a greeting" in instance.errors.read_text()
        assert "a greeting" not in log


def test_killed_parts_come_back_where_they_were(tmp_path: Path) -> None:
    with up(tmp_path) as instance:
        instance.ready()
        answers: dict[str, Callable[[], bool]] = {
            "redis": lambda: embedded_redis.is_ready(instance.settings),
            "postgres": lambda: postgres.is_ready(instance.settings),
            "ingest": lambda: instance.lines("starts").count("ingest") == 2,
            "web": lambda: instance.lines("starts").count("web") == 2,
        }
        for name, answer in answers.items():
            before = instance.instance
            os.kill(before.pids[name], signal.SIGKILL)
            killed = before.pids.pop(name)
            wait_for(partial(instance.has_another, name, killed))
            wait_for(answer)
            after = instance.instance
            assert after.http_url == before.http_url
            assert after.pids.items() >= before.pids.items()


def test_a_dead_parts_children_die_too(tmp_path: Path) -> None:
    with up(tmp_path, "with-child") as instance:
        instance.ready()
        grandchild = psutil.Process(int(instance.lines("grandchild")[0]))
        os.kill(instance.instance.pids["ingest"], signal.SIGKILL)
        wait_for(lambda: gone([grandchild]))


def test_a_killed_supervisor_leaves_nothing_and_the_next_one_starts(tmp_path: Path) -> None:
    with up(tmp_path, "with-child", "stubborn") as instance:
        instance.ready()
        family = instance.family()
        assert len(family) > 6
        instance.process.kill()
        # The next one waits until the guardian is through with the first one's parts.
        with up(tmp_path) as second:
            second.ready()
            assert gone(family)


def test_a_part_that_will_not_stop_is_killed(tmp_path: Path) -> None:
    with up(tmp_path, "stubborn") as instance:
        instance.ready()
        family = instance.family()
        instance.process.send_signal(signal.SIGINT)
        assert instance.process.wait(10) == 0
        assert instance.lines("order") == ["web"]
        assert gone(family)


def test_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    with up(tmp_path) as instance:
        instance.ready()
        os.kill(instance.instance.pids["ingest"], signal.SIGSTOP)
        instance.process.send_signal(signal.SIGINT)
        wait_for(lambda: "stopping" in instance.errors.read_text())
        begin = time.monotonic()
        instance.process.send_signal(signal.SIGINT)
        assert instance.process.wait(5) == 0
        assert time.monotonic() - begin < 0.9


def test_two_on_one_folder_is_refused_in_a_plain_sentence(tmp_path: Path) -> None:
    with up(tmp_path) as instance:
        instance.ready()
        second = subprocess.run(
            [sys.executable, "-m", "tests.support.up_program", str(tmp_path)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert second.returncode == 2
        assert second.stdout == ""
        assert "already runs" in second.stderr
        assert "Traceback" not in second.stderr


def test_a_part_that_never_starts_ends_the_start(tmp_path: Path) -> None:
    with up(tmp_path, "hopeless") as instance:
        assert instance.process.wait(30) == 1
        errors = instance.errors.read_text()
        assert "hopeless does not start" in errors
        assert "no luck" in errors
        assert "Traceback" not in errors


def test_a_taken_port_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortInUse, match=rf"Port {port} .*--rtmp"):
            fix_ports(Settings(http="127.0.0.1:0", rtmp=f"127.0.0.1:{port}"))
