"""A real web process killed in the middle of uploads: what it said it had, it has."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest
from sqlalchemy import select

from api.uploads.names import PATH
from catalog.accounts import issue_token
from catalog.centres import home_centre
from catalog.models import Upload
from infra.database import Database
from infra.settings import Settings
from tests.support.pages_server import ROOT, free_port
from tests.support.tus import HEAD, creating, patching

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(180)]

DATA = random.Random(99).randbytes(24 << 20)
KILLS = 3


class Web:
    """`xitai web` on the test's database, started again as often as it is killed."""

    def __init__(self, settings: Settings, workers: int = 1) -> None:
        self.port = free_port()
        self._environment = os.environ | {
            "XITAI_DATA": str(settings.data),
            "XITAI_HTTP": f"127.0.0.1:{self.port}",
            "XITAI_DATABASE_URL": str(settings.database_url),
            "XITAI_REDIS_URL": str(settings.redis_url),
            "XITAI_WEB_WORKERS": str(workers),
            "XITAI_DISK_LOG_ONLY_BYTES": "0",
        }
        self.url = f"http://127.0.0.1:{self.port}"
        settings.data.mkdir(parents=True, exist_ok=True)
        self.log = (settings.data / "web.log").open("ab")
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "api.cli", "web"], cwd=ROOT, env=self._environment,
            stdout=self.log, stderr=self.log,
        )  # fmt: skip
        deadline = time.monotonic() + 40
        while time.monotonic() < deadline:
            with suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/healthz", trust_env=False).status_code < 600:
                    return
            time.sleep(0.1)
        raise AssertionError("the web process did not start")

    def kill(self) -> None:
        for child in psutil.Process(self.process.pid).children():
            child.kill()
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def half_patch(self, headers: dict[str, str], path: str, length: int, data: bytes) -> None:
        """A PATCH that promises ``length`` bytes and brings ``data``; left open."""
        told = {"host": "x", "content-length": str(length), **headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in told.items())
        self.left = socket.create_connection(("127.0.0.1", self.port))
        self.left.sendall(f"PATCH {path} HTTP/1.1\r\n{lines}\r\n".encode() + data)


@pytest.fixture
def web(settings: Settings, redis_client: object) -> Iterator[Web]:
    made = Web(settings)
    yield made
    made.kill()
    made.log.close()


@pytest.fixture
def who(database: Database) -> dict[str, str]:
    with database.transaction() as session:
        token = issue_token(
            session, role="staff", centre=home_centre(session, None), now=dt.datetime.now(dt.UTC)
        )
    return {"authorization": f"Bearer {token}"}


def offset(web: Web, who: dict[str, str], path: str) -> int:
    told = httpx.head(f"{web.url}{path}", headers={**HEAD, **who}, trust_env=False)
    assert told.status_code == 200, told.status_code
    return int(told.headers["upload-offset"])


def create(web: Web, who: dict[str, str], size: int) -> str:
    made = httpx.post(f"{web.url}{PATH}", headers={**creating(size), **who}, trust_env=False)
    assert made.status_code == 201, made.text
    return made.headers["location"]


def patch(web: Web, who: dict[str, str], path: str, at: int, data: bytes) -> int:
    answer = httpx.patch(
        f"{web.url}{path}", headers={**patching(at, data=data), **who}, content=data,
        trust_env=False, timeout=30,
    )  # fmt: skip
    assert answer.status_code == 204, answer.text
    return int(answer.headers["upload-offset"])


def test_killed_in_the_middle_of_pieces(
    web: Web, who: dict[str, str], settings: Settings, database: Database
) -> None:
    dice = random.Random(5)
    path = create(web, who, len(DATA))
    at = 0
    for number in range(KILLS):
        piece = DATA[at : at + dice.randrange(1, len(DATA) // KILLS // 2)]
        at = patch(web, who, path, at, piece)
        # The next one is under way when it is killed; with a checksum it counts not at all.
        rest = DATA[at : at + len(DATA) // KILLS // 2]
        summed = number % 2 == 0
        told = {**patching(at, data=rest if summed else None), **who}
        sent = dice.randrange(0, len(rest))
        web.half_patch(told, path, len(rest), rest[:sent])
        time.sleep(dice.random() * 0.2)
        web.kill()
        web.left.close()
        web.start()
        found = offset(web, who, path)
        assert found >= at, "what a 204 promised is gone"
        assert found == at if summed else found <= at + sent
        at = found
    while at < len(DATA):
        at = patch(web, who, path, at, DATA[at : at + (4 << 20)])
    part = settings.data / "uploads" / f"{path.rpartition('/')[2]}.part"
    assert hashlib.sha256(part.read_bytes()).digest() == hashlib.sha256(DATA).digest()
    with database.transaction() as session:
        assert session.scalars(select(Upload.state)).one() == "received"


def test_a_large_piece_takes_little_memory(
    web: Web, who: dict[str, str], settings: Settings, tmp_path: Path
) -> None:
    """One PATCH of 200 MB, and the pages answer meanwhile."""
    size = 200 << 20
    path = create(web, who, size)
    process = psutil.Process(web.process.pid)
    before = process.memory_info().rss
    peak, slowest = 0, 0.0

    def body() -> Iterator[bytes]:
        nonlocal peak, slowest
        for number in range(size // len(DATA) + 1):
            left = size - number * len(DATA)
            for at in range(0, min(left, len(DATA)), 1 << 20):
                yield DATA[at : min(at + (1 << 20), left)]
            peak = max(peak, process.memory_info().rss)
            began = time.monotonic()
            httpx.get(f"{web.url}/desk/sign-in", trust_env=False)
            slowest = max(slowest, time.monotonic() - began)

    told = {**patching(0), "content-length": str(size), **who}
    answer = httpx.patch(
        f"{web.url}{path}", headers=told, content=body(), trust_env=False, timeout=60
    )
    assert answer.status_code == 204
    assert peak - before < 64 << 20
    assert slowest < 2.0
    assert offset(web, who, path) == size


def test_two_processes_do_not_write_at_once(
    settings: Settings, redis_client: object, who: dict[str, str]
) -> None:
    """The lock is the kernel's: it holds between the processes of one port."""
    web = Web(settings, workers=2)
    try:
        path = create(web, who, 100_000)
        web.half_patch({**patching(0), **who}, path, 50_000, DATA[:10_000])
        time.sleep(0.3)
        said = set()
        for _ in range(12):
            # A connection each: the kernel spreads them over the processes.
            answer = httpx.patch(
                f"{web.url}{path}", headers={**patching(0), **who}, content=b"x", trust_env=False
            )
            said.add(answer.status_code)
            if answer.status_code != 423:
                break
        # It is locked at first; the silent connection gives way within seconds.
        assert 423 in said
        web.left.close()
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and offset(web, who, path) < 10_000:
            time.sleep(0.2)
        assert patch(web, who, path, 10_000, DATA[10_000:100_000]) == 100_000
        part = settings.data / "uploads" / f"{path.rpartition('/')[2]}.part"
        assert part.read_bytes() == DATA[:100_000]
    finally:
        web.kill()
        web.log.close()
