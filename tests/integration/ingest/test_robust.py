"""Rows 6, 14 to 18, 20 and 33 of the reliability table, against a listening node."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import itertools
import os
import signal
import struct
import subprocess
import termios
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from infra.ids import secret_token
from infra.settings import Settings
from ingest import feed_server
from ingest.disk import MIB, DiskRules
from ingest.main import Ingest
from ingest.rtmp import Limits, messages
from ingest.rtmp_server import STRANGERS_PER_ADDRESS
from tests.integration.ingest.conftest import TOKEN, Node
from tests.support.ledger import MemoryLedger
from tests.support.publisher import (
    PublishRefused,
    Pusher,
    Tag,
    ffmpeg_push_argv,
    is_frame,
    publishing,
    read_tags,
    repeat,
    until,
)


def raw_request(take_id: str) -> bytes:
    head = f"GET /takes/{take_id}.flv HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
    return f"{head}\r\n".encode()


async def test_a_flood_of_slow_handshakes_keeps_nobody_out(node: Node, tags: list[Tag]) -> None:
    """Row 6."""
    port = node.ingest.rtmp_port
    slow: list[asyncio.StreamWriter] = []
    for _ in range(500):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"\x03" + bytes(100))
        slow.append(writer)
    key, _grant = node.ledger.feed()
    async with asyncio.timeout(5), publishing(port, key) as pusher:
        await pusher.push(until(tags, 1000), speed=None)
        await node.wait(lambda: node.ledger.opened, 2)
        assert len(node.ingest.rtmp.connections) <= STRANGERS_PER_ADDRESS + 1
    await node.wait(lambda: not node.ingest.rtmp.connections, 6)  # setup_seconds is 3 here
    for writer in slow:
        writer.close()


async def test_a_second_publisher_takes_over_at_its_keyframe(node: Node, tags: list[Tag]) -> None:
    """Row 14: the first one's take ends clean when the second has a keyframe, not before."""
    key, _ = node.ledger.feed()
    port = node.ingest.rtmp_port
    async with publishing(port, key) as first, publishing(port, key) as second:
        pushing = asyncio.create_task(first.push(repeat(tags)))
        await node.wait(lambda: node.ledger.opened)
        async with node.client(10) as client:
            following = asyncio.create_task(client.get(node.take_url(node.ledger.opened[0])))
            keyless = [t for t in until(tags, 900) if t.ts_ms == 0 or t.payload[:1] != b"\x17"]
            keyless = [t for t in keyless if t.payload[:2] != b"\x17\x01"]
            await second.push(keyless)
            assert not first.closed.is_set()
            assert len(node.ledger.opened) == 1
            await second.push([t for t in tags if t.ts_ms >= 1000], speed=None)
            await node.wait(lambda: len(node.ledger.opened) == 2, 2)
            await pushing
            assert first.closed.is_set()
            body = (await following).content
        assert not second.closed.is_set()
        old = (await node.closed())[0]
        assert (old.ended_by, old.drop) == ("taken_over", False)
        assert body == node.log(old.take_id).read_bytes()
        assert node.ledger.states[old.broadcast_id] == "live"


async def test_wrong_keys_are_slow_and_the_owner_is_not(node: Node, tags: list[Tag]) -> None:
    """Row 15."""
    port = node.ingest.rtmp_port
    key, _ = node.ledger.feed()
    loop = asyncio.get_running_loop()

    async def guess() -> float:
        begun = loop.time()
        pusher = await Pusher.connect(port, secret_token())
        try:
            await pusher.publish()
        except PublishRefused:
            return loop.time() - begun
        finally:
            await pusher.close()
        raise AssertionError("a wrong key was let in")

    async def guess_many(count: int) -> list[float]:
        return [await guess() for _ in range(count)]

    async with publishing(port, key) as pusher:
        showing = asyncio.create_task(pusher.push(until(repeat(tags), 60_000)))
        alone = await guess()
        assert 0.5 <= alone < 2.5
        guessing = [asyncio.create_task(guess_many(4)) for _ in range(250)]
        await asyncio.sleep(1)
        for _ in range(3):
            async with publishing(port, key) as again:  # the owner comes back amid the noise
                await again.close()
        await asyncio.gather(*guessing)
        assert not pusher.closed.is_set()
        showing.cancel()
        await asyncio.gather(showing, return_exceptions=True)
    assert len(node.ledger.opened) == 1


async def test_the_publish_check(node: Node) -> None:
    """Ended broadcasts, other applications, and a database that is away."""
    port = node.ingest.rtmp_port
    key, grant = node.ledger.feed()
    for state, code in (("ended", "Denied"), ("cancelled", "Denied")):
        node.ledger.states[grant.broadcast_id] = state
        pusher = await Pusher.connect(port, key)
        with pytest.raises(PublishRefused, match=f"{code}: .*{state}"):
            await pusher.publish()
        await pusher.close()
    node.ledger.states[grant.broadcast_id] = "interrupted"
    other = await Pusher.connect(port, key, app="vod")
    with pytest.raises(PublishRefused, match="application 'live'"):
        await other.publish()
    await other.close()
    async with publishing(port, key):
        node.ledger.away = True
        async with publishing(port, key):  # it was good before
            pass
        stranger = await Pusher.connect(port, secret_token())
        with pytest.raises(PublishRefused, match="Try again"):
            await stranger.publish()
        await stranger.close()
        node.ledger.away = False


async def test_a_database_that_is_away_costs_nothing(node: Node, tags: list[Tag]) -> None:
    key, _ = node.ledger.feed()
    async with publishing(node.ingest.rtmp_port, key) as pusher:
        node.ledger.away = True
        await pusher.push(tags, speed=None)
        await pusher.finish()
        await asyncio.sleep(0.5)
        assert not node.ledger.opened
        node.ledger.away = False
    [meta] = await node.closed()
    assert meta.counts.video_frames == 100
    assert node.ledger.opened == [meta.take_id]


async def test_a_frozen_publisher_is_noticed_and_may_return(
    node: Node, footage: Path, ffmpeg: str
) -> None:
    """Row 16: SIGSTOP; idle_seconds is 2 here and 8 in earnest."""
    key, _ = node.ledger.feed()
    argv = ffmpeg_push_argv(ffmpeg, footage, node.url(key), loop=True)
    encoder = await asyncio.create_subprocess_exec(*argv, stderr=subprocess.DEVNULL)
    await node.wait(lambda: node.ledger.opened)
    await asyncio.sleep(0.5)
    encoder.send_signal(signal.SIGSTOP)
    [meta] = await node.closed(1, 4)
    assert (meta.ended_by, meta.drop) == ("idle", True)
    assert node.ledger.states[meta.broadcast_id] == "interrupted"
    again = await asyncio.create_subprocess_exec(*argv, stderr=subprocess.DEVNULL)
    await node.wait(lambda: len(node.ledger.opened) == 2)
    assert node.ledger.states[meta.broadcast_id] == "live"
    for process in (encoder, again):
        process.kill()
        await process.wait()
    await node.closed(2)


@pytest.mark.parametrize(
    ("app", "name"),
    [
        ("live", "../../x"),
        ("live", "a\0b"),
        ("live", "k" * 4096),
        ("live", "-i"),
        ("../live", "k" * 22),
        ("live", "%2e%2e%2fetc"),
        ("live", ""),
    ],
)
async def test_hostile_names_write_nothing(node: Node, app: str, name: str) -> None:
    """Row 18."""
    before = sorted(node.folder.parent.rglob("*"))
    pusher = await Pusher.connect(node.ingest.rtmp_port, name, app=app)
    with pytest.raises(PublishRefused):
        await pusher.publish(4)
    await pusher.close()
    assert sorted(node.folder.parent.rglob("*")) == before


async def test_a_blocked_reader_costs_the_publisher_nothing(
    node: Node, tags: list[Tag], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 20, for feed readers: 30 that never read; bounded memory, then cut off."""
    monkeypatch.setattr(feed_server, "STALL_SECONDS", 1.0)
    key, _ = node.ledger.feed()
    async with publishing(node.ingest.rtmp_port, key) as pusher:
        await pusher.push(until(tags, 1000), speed=None)
        await node.wait(lambda: node.ledger.opened)
        take = node.ledger.opened[0]
        blocked = []
        for _ in range(30):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", node.ingest.http_port, limit=1
            )
            writer.write(raw_request(take))
            await reader.read(1)
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            blocked.append(writer)
        process = psutil.Process()
        before = process.memory_info().rss
        loop = asyncio.get_running_loop()
        begun = loop.time()
        many = [t for t in until(repeat(tags), 500_000) if t.ts_ms >= 1000]
        sent = await pusher.push(many, speed=None)
        took = loop.time() - begun
        assert sent == len(many)
        await node.wait(lambda: not node.ingest.feed_server._readers, 10)
        grown = process.memory_info().rss - before
        assert grown < 60 * MIB, f"{grown} bytes for {sent} tags in {took:.1f} s"
        for writer in blocked:
            writer.close()
        await pusher.finish()
    await node.closed(1, 20)


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A tmpfs of a few megabytes; skips where mounting is not allowed."""
    folder.mkdir()
    options = ["-o", f"size={megabytes}m"]
    done = subprocess.run(
        ["mount", "-t", "tmpfs", *options, "tmpfs", str(folder)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"a tmpfs can't be mounted here: {done.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


async def test_a_full_disk_and_a_freed_one(tmp_path: Path, tags: list[Tag]) -> None:
    """Row 33: the publisher stays on, the gap is told, recording resumes by itself."""
    with small_disk(tmp_path / "disk", 24) as disk:
        settings = Settings(data=disk / "data", rtmp="127.0.0.1:0", ingest_http="127.0.0.1:0")
        ledger = MemoryLedger()
        ingest = Ingest(
            settings,
            token=TOKEN,
            ledger=lambda *_node: ledger,
            limits=Limits(),
            disk_rules=DiskRules(warn_bytes=0, log_only_bytes=0, floor_bytes=4 * MIB),
        )
        await ingest.start()
        node = Node(ingest, ledger, settings.feeds_dir)
        key, _ = ledger.feed()
        async with publishing(ingest.rtmp_port, key) as pusher:
            showing = asyncio.create_task(pusher.push(repeat(tags)))
            await node.wait(lambda: ledger.opened)
            ballast = disk / "ballast"
            with ballast.open("wb") as file, contextlib.suppress(OSError):
                while True:
                    file.write(bytes(MIB // 4))
                    file.flush()
            [meta] = await node.closed()
            assert (meta.ended_by, meta.drop) == ("disk_full", True)
            ingest.disk.look()
            late = await Pusher.connect(ingest.rtmp_port, ledger.feed()[0])
            with pytest.raises(PublishRefused, match="disk is full"):
                await late.publish()
            await late.close()
            assert not pusher.closed.is_set()
            [health] = [ingest.hub._measure_one(p, 0.0, 0) for p in ingest.hub.places()]
            assert health["state"] == "unrecorded"
            assert "disk_full" in health["warnings"]
            ballast.unlink()
            await node.wait(lambda: len(ledger.opened) == 2)
            await asyncio.sleep(1)
            showing.cancel()
            await asyncio.gather(showing, return_exceptions=True)
            await pusher.finish()
        first, second = await node.closed(2)
        for taken in (first, second):
            logged = read_tags(node.log(taken.take_id))
            assert sum(t.kind == 9 for t in logged) == taken.counts.video_frames + 1
            assert node.log(taken.take_id).stat().st_size == taken.counts.size
        await ingest.stop()


async def test_a_peer_that_never_reads_is_cut_off(node: Node) -> None:
    """Pings without end, answers never read: the output is bounded."""
    key, _ = node.ledger.feed()
    async with publishing(node.ingest.rtmp_port, key) as pusher:
        transport = pusher.writer.transport
        transport.pause_reading()  # type: ignore[attr-defined]
        ping = messages.user_control(messages.PING_REQUEST, os.urandom(4))
        with contextlib.suppress(OSError):
            for _ in range(4000):
                for _ in range(500):
                    pusher.session.send_message(ping, 2)
                pusher.writer.write(pusher.session.bytes_to_send())
                await asyncio.wait_for(pusher.writer.drain(), 5)
                if not node.ingest.rtmp.connections:
                    break
        await node.wait(lambda: not node.ingest.rtmp.connections, 10)


async def test_an_encoder_that_hangs_up_with_answers_unread_loses_nothing(
    node: Node, tags: list[Tag]
) -> None:
    """Its reset meets our acknowledgement; all that had arrived by then is read and kept."""
    key, _ = node.ledger.feed()
    stream = list(until(repeat(tags), 240_000))  # 18 MB, seven acknowledgement windows
    async with publishing(node.ingest.rtmp_port, key) as pusher:
        pusher.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await pusher.push(stream, speed=None)
        sock = pusher.writer.transport.get_extra_info("socket")
        while struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))[0]:
            await asyncio.sleep(0)  # until everything is in the server's socket
        pusher.abort()
        [meta] = await node.closed()
    assert meta.counts.video_frames == sum(t.kind == 9 and is_frame(t) for t in stream)


@pytest.mark.slow
async def test_memory_is_flat_over_an_hour_of_stream(node: Node, tags: list[Tag]) -> None:
    """Faster than real time, with a reader that follows; frames cut short to spare the disk."""
    small = [t if not is_frame(t) else t._replace(payload=t.payload[:400]) for t in tags]
    key, _ = node.ledger.feed()
    process = psutil.Process()
    async with publishing(node.ingest.rtmp_port, key) as pusher:
        stream = repeat(small)
        await pusher.push(itertools.takewhile(lambda t: t.ts_ms < 600_000, stream), speed=None)
        await node.wait(lambda: node.ledger.opened)
        take = node.ledger.opened[0]
        async with node.client(60) as client:
            following = asyncio.create_task(_count(client, node.take_url(take)))
            await asyncio.sleep(1)
            before = process.memory_info().rss
            rest = itertools.takewhile(lambda t: t.ts_ms < 3_600_000, stream)
            await pusher.push(rest, speed=None)
            await pusher.finish()
            [meta] = await node.closed(1, 60)
            received = await following
        grown = process.memory_info().rss - before
    assert meta.ended_by == "unpublished"
    assert meta.counts.end_ms > 3_590_000
    assert received == meta.counts.size
    assert grown < 12 * MIB, f"{grown} bytes over 50 minutes of stream"


async def _count(client: httpx.AsyncClient, url: str) -> int:
    total = 0
    async with client.stream("GET", url) as answer:
        async for piece in answer.aiter_raw():
            total += len(piece)
    return total


async def test_readers_that_go_away_are_no_fault(
    node: Node, tags: list[Tag], caplog: pytest.LogCaptureFixture
) -> None:
    """FFmpeg killed, a probe that has read enough: both hang up in the middle of a take."""
    key, _ = node.ledger.feed()
    async with publishing(node.ingest.rtmp_port, key) as pusher:
        await pusher.push(until(tags, 1000), speed=None)
        await node.wait(lambda: node.ledger.opened)
        request = raw_request(node.ledger.opened[0])
        for _ in range(3):
            reader, writer = await asyncio.open_connection("127.0.0.1", node.ingest.http_port)
            writer.write(request)
            await reader.read(1)
            # Unread bytes make it a reset, as when a process is killed.
            writer.transport.abort()
        await pusher.push((t for t in until(repeat(tags), 60_000) if t.ts_ms >= 1000), speed=None)
        await node.wait(lambda: not node.ingest.feed_server._readers, 10)
        await pusher.finish()
    [meta] = await node.closed()
    # And from a log that is complete, more than the sockets' buffers hold.
    for _ in range(3):
        reader, writer = await asyncio.open_connection("127.0.0.1", node.ingest.http_port)
        writer.write(request)
        await reader.read(1)
        writer.transport.abort()
    await node.wait(lambda: not node.ingest.feed_server._readers, 10)
    assert meta.counts.size > 4 * MIB
    assert [r for r in caplog.records if r.levelname in ("ERROR", "CRITICAL")] == []
