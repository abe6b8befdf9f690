"""The edge with a real Redis: news by subscription, and Redis stopped, killed and emptied."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import redis

from infra.embedded import redis as embedded_redis
from infra.embedded.running import running
from infra.redis import air_key, connect, connect_async, part_key
from infra.settings import Settings
from tests.support.edge_rig import Rig
from tests.support.heads import FakeBroadcast
from transcode.hls.head import AirHead, encode_head
from transcode.hls.playlist import write_live

TOKEN = "R" * 22
LIVE = f"/hls/{TOKEN}/v480/live.m3u8"


class Server:
    """A Redis of the test's own, which may be stopped and killed."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._open()

    def _open(self) -> None:
        command = embedded_redis.prepare(self.settings)
        self._running = running(command, lambda: embedded_redis.is_ready(self.settings))
        self.process = self._running.__enter__()
        self.client: redis.Redis = connect(self.settings)

    def publish(self, head: AirHead) -> None:
        data = encode_head(head)
        with self.client.pipeline() as pipe:
            pipe.set(air_key(head.token), data, ex=3600)
            pipe.publish(air_key(head.token), data)
            pipe.execute()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def start_again(self) -> None:
        self._open()

    def close(self) -> None:
        self.client.close()
        self._running.__exit__(None, None, None)


@pytest.fixture
def server(bare_settings: Settings) -> Iterator[Server]:
    made = Server(bare_settings)
    yield made
    made.close()


@pytest.fixture
async def rig(server: Server, tmp_path: Path) -> AsyncIterator[Rig]:
    client = connect_async(server.settings)
    made = Rig(tmp_path / "storage", clock=time.monotonic, client=client)
    yield made
    await made.close()
    await client.aclose()


def broadcast(parts: int = 10) -> FakeBroadcast:
    made = FakeBroadcast(TOKEN)
    for _ in range(parts):
        made.add_part()
    return made


async def until_served(rig: Rig, head: AirHead, seconds: float = 5) -> None:
    """Wait until the playlist is the one of ``head``."""
    wanted = write_live(head, head.renditions[0])
    deadline = time.monotonic() + seconds
    while (await rig.get(LIVE)).body != wanted:
        assert time.monotonic() < deadline, "the edge did not catch up"
        await asyncio.sleep(0.02)


async def test_news_come_by_subscription(server: Server, rig: Rig) -> None:
    show = broadcast()
    server.publish(show.head)
    await until_served(rig, show.head)
    held = rig.held(f"{LIVE}?_HLS_msn=2&_HLS_part=2")
    await asyncio.sleep(0.05)
    assert not held.done()
    server.client.set(part_key(TOKEN, "v480", 2, 2), b"bytes of the part")
    server.publish(show.add_part())
    answer = await asyncio.wait_for(held, 1)
    assert answer.body == write_live(show.head, show.head.renditions[0])
    part = await rig.get(f"/hls/{TOKEN}/v480/p2.2.m4s")
    assert part.body == b"bytes of the part"


async def test_a_killed_redis_costs_nothing_but_the_time_it_is_away(
    server: Server, rig: Rig
) -> None:
    show = broadcast()
    server.publish(show.head)
    await until_served(rig, show.head)
    server.kill()
    await asyncio.sleep(0.3)
    assert (await rig.get(LIVE)).status == 200
    held = rig.held(f"{LIVE}?_HLS_msn=2&_HLS_part=2")
    server.start_again()
    server.client.flushall()
    server.publish(show.add_part())
    assert (await asyncio.wait_for(held, 5)).status == 200
    await until_served(rig, show.head)
    # The subscription is back too: no request has to come for the next head to be known.
    show.add_part()
    server.publish(show.head)
    await asyncio.sleep(0.2)
    assert rig.state.streams[TOKEN].head == show.head


async def test_a_stopped_redis_holds_nobody_up(server: Server, rig: Rig) -> None:
    show = broadcast()
    server.publish(show.head)
    await until_served(rig, show.head)
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        assert (await rig.get(LIVE)).status == 200
        assert (await rig.get(f"/hls/{TOKEN}/main.m3u8")).status == 200
        assert time.monotonic() - began < 0.1
    finally:
        os.kill(server.process.pid, signal.SIGCONT)
    server.publish(show.add_part())
    await until_served(rig, show.head)
