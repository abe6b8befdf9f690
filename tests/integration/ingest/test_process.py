"""`run_ingest` as a process, with PostgreSQL and Redis: kills, stops, staff, and the catalogue."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest
import redis
from sqlalchemy import select

from catalog import broadcasts
from catalog.models import Broadcast, Centre, Take
from infra.database import Database
from infra.instance import internal_token
from infra.redis import CONTROL_CHANNEL, feed_key
from infra.settings import Settings
from infra.tables import Job
from ingest import flv
from tests.support.media import read_numbers
from tests.support.publisher import (
    PublishRefused,
    Pusher,
    Tag,
    is_frame,
    publishing,
    read_tags,
    repeat,
    until,
)

PROGRAM = """
import sys
from pathlib import Path
from infra.settings import Settings
from ingest.main import run_ingest
run_ingest(Settings(data=Path(sys.argv[1]), rtmp=sys.argv[2], ingest_http=sys.argv[3],
    database_url=sys.argv[4], redis_url=sys.argv[5], disk_warn_bytes=0, disk_log_only_bytes=0))
"""


@dataclass
class Machine:
    """Where ingest runs: started, killed and started again by the tests."""

    settings: Settings
    database: Database
    port: int
    stack: ExitStack

    def start(self) -> psutil.Process:
        argv = [sys.executable, "-c", PROGRAM, str(self.settings.data)]
        argv += [f"127.0.0.1:{self.port}", "127.0.0.1:0"]
        argv += [self.settings.resolved_database_url, self.settings.resolved_redis_url]
        log = (self.settings.data / "ingest.log").open("ab")
        process = subprocess.Popen(argv, stdout=log, stderr=log, cwd=Path.cwd())
        log.close()
        self.stack.callback(process.wait)
        self.stack.callback(process.kill)
        return psutil.Process(process.pid)

    def broadcast(self) -> broadcasts.NewBroadcast:
        with self.database.transaction() as session:
            if session.get(Centre, "c1") is None:
                session.add(Centre(id="c1", name="文化馆", path="c1/"))
                session.flush()
            return broadcasts.create_broadcast(session, title="春晚", centre_id="c1")

    def takes(self) -> list[Take]:
        with self.database.transaction() as session:
            return list(session.scalars(select(Take).order_by(Take.seq)))

    def state(self, broadcast_id: str) -> str:
        with self.database.transaction() as session:
            return session.scalars(
                select(Broadcast.state).where(Broadcast.id == broadcast_id)
            ).one()

    async def wait(self, what: Callable[[], object], seconds: float = 10.0) -> None:
        async with asyncio.timeout(seconds):
            while not await asyncio.to_thread(what):
                await asyncio.sleep(0.05)

    async def connect(self, key: str, seconds: float = 10.0) -> Pusher:
        """As encoders do: try again until the server is there."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                pusher = await Pusher.connect(self.port, key)
            except OSError:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.1)
                continue
            await pusher.publish()
            return pusher


@pytest.fixture
def machine(
    settings: Settings, database: Database, cleanup: ExitStack, unused_port: int
) -> Machine:
    settings.data.mkdir(parents=True)
    return Machine(settings, database, unused_port, cleanup)


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


async def test_a_broadcast_from_publish_to_end(
    machine: Machine, tags: list[Tag], redis_client: redis.Redis
) -> None:
    """Row 17 too: back within the grace time is the same broadcast with a gap."""
    machine.start()
    new = machine.broadcast()
    pusher = await machine.connect(new.stream_key)
    pushing = asyncio.create_task(pusher.push(until(repeat(tags), 4000)))
    await machine.wait(machine.takes)
    [take] = machine.takes()
    assert machine.state(new.broadcast.id) == "live"
    assert take.codecs["video"] == "h264"
    await machine.wait(lambda: redis_client.get(feed_key(new.feed.id)))
    letter = redis_client.get(feed_key(new.feed.id))
    assert isinstance(letter, bytes)
    health = json.loads(letter)
    assert health["take_id"] == take.id
    assert 0 < redis_client.ttl(feed_key(new.feed.id)) <= 10
    with machine.database.transaction() as session:
        assert [job.kind for job in session.scalars(select(Job))] == ["live"]
    await pushing
    pusher.abort()
    await pusher.close()
    await machine.wait(lambda: machine.state(new.broadcast.id) == "interrupted")
    [take] = machine.takes()
    assert (take.state, take.ended_by, take.video_frames) == ("closed", "peer_closed", 100)

    again = await machine.connect(new.stream_key)
    await again.push(until(tags, 2000))
    await machine.wait(lambda: machine.state(new.broadcast.id) == "live")
    with machine.database.transaction() as session:
        broadcasts.end_broadcast(session, new.broadcast.id, _now())
    await asyncio.wait_for(again.closed.wait(), 3)
    assert any("Unpublish" in status.code for status in again.statuses)
    await again.close()
    await machine.wait(lambda: machine.takes()[1].state == "closed")
    first, second = machine.takes()
    assert second.ended_by == "broadcast_ended"
    [gap] = broadcasts.gaps([first, second], open_ended=False)
    assert gap.seconds is not None
    assert 0 < gap.seconds < 5
    late = await Pusher.connect(machine.port, new.stream_key)
    with pytest.raises(PublishRefused, match="ended"):
        await late.publish()
    await late.close()
    log = (machine.settings.data / "ingest.log").read_text()
    assert new.stream_key not in log
    assert "Traceback" not in log


async def test_killed_ingest_loses_at_most_a_second(machine: Machine, tags: list[Tag]) -> None:
    """Row 32: kill -9, start again, the publisher returns; the log is whole up to the kill."""
    process = machine.start()
    new = machine.broadcast()
    pusher = await machine.connect(new.stream_key)
    stream = list(until(repeat(tags), 3500))
    await pusher.push(stream)
    [take] = machine.takes()
    process.kill()
    process.wait()
    await pusher.close()
    assert machine.takes()[0].state == "open"
    machine.start()
    again = await machine.connect(new.stream_key)
    await machine.wait(lambda: machine.takes()[0].state == "closed")
    recovered = machine.takes()[0]
    assert recovered.ended_by == "ingest_died"
    path = machine.settings.feeds_dir / f"{take.id}.flv"
    assert recovered.size_bytes == path.stat().st_size
    sent = [tag.payload for tag in stream if tag.kind == flv.VIDEO and is_frame(tag)]
    kept = [tag.payload for tag in read_tags(path) if tag.kind == flv.VIDEO and is_frame(tag)]
    assert kept == sent[: len(kept)]
    assert len(sent) - len(kept) <= 25
    assert recovered.video_frames == len(kept)
    numbers = await asyncio.to_thread(read_numbers, path)
    assert numbers == [number % 100 for number in range(len(kept))]
    await again.push(until(tags, 1000))
    await machine.wait(lambda: len(machine.takes()) == 2)
    first, second = machine.takes()
    # The old take is read where the new process listens.
    assert first.node_url == second.node_url
    token = internal_token(machine.settings)
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as client:
        body = (await client.get(f"{first.node_url}/takes/{first.id}.flv")).content
        assert body == path.read_bytes()
        index = (await client.get(f"{first.node_url}/takes/{first.id}/index")).json()
        assert index["closed"]
        assert len(index["entries"]) in (3, 4)
    await again.finish()


async def test_sigterm_asks_publishers_to_return_and_is_quick(
    machine: Machine, tags: list[Tag]
) -> None:
    """Row 40's part of it: within 5 s, every take closed and booked, encoders told."""
    process = machine.start()
    shows = [machine.broadcast() for _ in range(3)]
    pushers = [await machine.connect(show.stream_key) for show in shows]
    async with asyncio.TaskGroup() as group:
        for pusher in pushers:
            group.create_task(pusher.push(until(tags, 1500)))
    await machine.wait(lambda: len(machine.takes()) == 3)
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    await asyncio.to_thread(process.wait, 10)
    assert time.monotonic() - begun < 5
    for pusher in pushers:
        await asyncio.wait_for(pusher.closed.wait(), 2)
        assert pusher.reconnect_requested
        await pusher.close()
    assert {(take.state, take.ended_by) for take in machine.takes()} == {
        ("closed", "ingest_stopped")
    }
    assert {machine.state(show.broadcast.id) for show in shows} == {"interrupted"}
    log = (machine.settings.data / "ingest.log").read_text()
    assert "Traceback" not in log


async def test_staff_drop_a_publisher_through_redis(
    machine: Machine, tags: list[Tag], redis_client: redis.Redis
) -> None:
    machine.start()
    new = machine.broadcast()
    pusher = await machine.connect(new.stream_key)
    await pusher.push(until(tags, 1500))
    await machine.wait(machine.takes)
    letter = {"op": "drop", "broadcast_id": new.broadcast.id, "feed_id": new.feed.id}
    redis_client.publish(CONTROL_CHANNEL, b"not json")
    redis_client.publish(CONTROL_CHANNEL, json.dumps(letter))
    await asyncio.wait_for(pusher.closed.wait(), 2)
    await pusher.close()
    await machine.wait(lambda: machine.takes()[0].state == "closed")
    assert machine.takes()[0].ended_by == "dropped_by_staff"
    async with publishing(machine.port, new.stream_key):
        with machine.database.transaction() as session:
            broadcasts.rotate_key(session, new.broadcast.id)
        await machine.wait(lambda: not _connections(machine.port), 4)


def _connections(port: int) -> list[object]:
    found = psutil.net_connections("tcp")
    return [c for c in found if c.laddr and c.laddr[1] == port and c.status == "ESTABLISHED"]


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


async def test_ffmpeg_faster_than_real_time_loses_nothing(
    machine: Machine, footage: Path, ffmpeg: str
) -> None:
    """Half an hour in seconds: it closes with megabytes under way, which no answer may reset."""
    machine.start()
    new = machine.broadcast()
    await (await machine.connect(new.stream_key)).close()
    url = f"rtmp://127.0.0.1:{machine.port}/live/{new.stream_key}"
    argv = [ffmpeg, "-hide_banner", "-loglevel", "error", "-nostdin", "-stream_loop", "449"]
    argv += ["-i", str(footage), "-c", "copy", "-f", "flv", url]
    encoder = await asyncio.create_subprocess_exec(*argv)
    assert await asyncio.wait_for(encoder.wait(), 60) == 0
    await machine.wait(lambda: machine.takes() and machine.takes()[0].state == "closed")
    [take] = machine.takes()
    assert take.ended_by == "unpublished"
    assert take.video_frames == 45_000
