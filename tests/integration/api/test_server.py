"""The web process itself: it serves, holds, and stops at once with 503 for what it held."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import redis

from infra.processes.up import child_environment
from infra.redis import air_key
from infra.settings import Settings
from transcode.hls.head import (
    AirHead,
    HeadPart,
    HeadRendition,
    HeadSegment,
    encode_head,
)

ROOT = Path(__file__).parents[3]
TOKEN = "t" * 22
HELD = 20


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def web_settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"http": f"127.0.0.1:{free_port()}"})


@pytest.fixture
def web(web_settings: Settings, redis_client: redis.Redis) -> Iterator[subprocess.Popen[bytes]]:
    web_settings.data.mkdir(parents=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "api.cli", "web"],
        env=child_environment(web_settings),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    deadline = time.monotonic() + 30
    url = f"http://{web_settings.http}/healthz"
    while True:
        try:
            httpx.get(url, timeout=2)
            break
        except httpx.TransportError:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
    yield process
    if process.poll() is None:
        process.kill()
    process.communicate()


def live_head() -> bytes:
    """A head with one segment, and one part of the next."""
    part = HeadPart(dur=45_000, size=10, offset=0, independent=True)
    rung = HeadRendition(
        name="v720",
        kind="video",
        bandwidth=2_000_000,
        average_bandwidth=1_800_000,
        codecs="avc1.64001f",
        next_msn=1,
        width=1280,
        height=720,
        frame_rate=25.0,
        segments=[HeadSegment(msn=0, dur=180_000, pdt_us=1, parts=[part] * 4)],
        parts=[part],
        open_pdt_us=2,
    )
    return encode_head(
        AirHead(
            token=TOKEN,
            version=1,
            state="live",
            target_duration=2,
            part_target_us=500_000,
            media_sequence=0,
            discontinuity_sequence=0,
            renditions=[rung],
        )
    )


def test_held_reloads_are_answered_when_it_stops(
    web: subprocess.Popen[bytes], web_settings: Settings, redis_client: redis.Redis
) -> None:
    redis_client.set(air_key(TOKEN), live_head(), ex=60)
    root = f"http://{web_settings.http}"
    url = f"{root}/hls/{TOKEN}/v720/live.m3u8"
    assert httpx.get(url).status_code == 200
    answers: list[int] = []
    client = httpx.Client(timeout=10, limits=httpx.Limits(max_connections=HELD))

    def hold() -> None:
        answers.append(client.get(f"{url}?_HLS_msn=1&_HLS_part=1").status_code)

    holders = [threading.Thread(target=hold) for _ in range(HELD)]
    for holder in holders:
        holder.start()
    idle = socket.create_connection(("127.0.0.1", int(web_settings.http.rsplit(":", 1)[1])))
    deadline = time.monotonic() + 5
    while f"xitai_edge_held_requests {HELD}.0" not in httpx.get(f"{root}/metrics").text:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert answers == []
    began = time.monotonic()
    web.send_signal(signal.SIGTERM)
    assert web.wait(timeout=8) == 0
    assert time.monotonic() - began < 3
    for holder in holders:
        holder.join(timeout=5)
    assert answers == [503] * HELD
    idle.close()
    client.close()


def test_a_taken_port_is_said_and_ends_it(settings: Settings) -> None:
    settings.data.mkdir(parents=True)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        found = subprocess.run(
            [sys.executable, "-m", "api.cli", "web", "--http", address],
            env=child_environment(settings),
            cwd=ROOT,
            capture_output=True,
            timeout=30,
            check=False,
        )
    assert found.returncode == 1
    assert address in found.stderr.decode() or address in found.stdout.decode()


def test_nothing_secret_is_in_the_process_list(web: subprocess.Popen[bytes]) -> None:
    argv = Path(f"/proc/{web.pid}/cmdline").read_bytes().split(b"\0")
    assert argv[1:4] == [b"-m", b"api.cli", b"web"]
    limits = Path(f"/proc/{web.pid}/limits").read_text()
    soft = int(next(row for row in limits.splitlines() if "open files" in row).split()[3])
    hard = int(next(row for row in limits.splitlines() if "open files" in row).split()[4])
    assert soft == min(hard, 65_536)
    assert os.getpid() != web.pid
