"""The HLS edge on Granian against one nginx worker, and 2 000 held blocking reloads.

    python -m bench.edge [--seconds 2] [--connections 64] [--held 2000] [--rounds 5]

Both servers send the same playlist bytes and the same 1 MiB segments, one after the other in
every round, under the same load (wrk; without it, or without nginx, that part says "skipped").
A real Redis publishes the heads. Times of the held reloads are taken from the moment before the
head is published to the last byte of the last response in another process (one clock:
CLOCK_MONOTONIC), and in the server from the head's arrival to its last send.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import resource
import select
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import redis
import uvloop
from granian.constants import HTTPModes, Interfaces
from granian.server.embed import Server

from api.edge.app import Edge
from api.edge.library import LibraryEntry, MediaFile
from api.edge.state import EdgeState
from api.edge.stream import Stream
from infra.embedded import redis as embedded_redis
from infra.embedded.running import running
from infra.redis import air_key, connect, connect_async
from infra.settings import Settings
from infra.storage.folder import FolderStorage
from tests.support.heads import FakeBroadcast
from transcode.hls.head import AirHead, encode_head, segment_key
from transcode.hls.replay import Replay

TOKEN: Final = "B" * 22
SEGMENT_BYTES: Final = 1 << 20
PLAYLIST: Final = f"/hls/{TOKEN}/v480/live.m3u8"
SEGMENT: Final = f"/hls/{TOKEN}/v480/s1.m4s"
PLAYLIST_GOAL: Final = 0.5
SEGMENT_GOAL: Final = 0.9
RELEASE_GOAL_MS: Final = 50.0

NGINX = """
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log crit;
user root;
events {{ worker_connections 8192; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000;
  {tuning}
  types {{ application/vnd.apple.mpegurl m3u8; video/mp4 m4s mp4; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    root {folder}/www;
    add_header Access-Control-Allow-Origin *;
    location ~ m3u8$ {{ add_header Cache-Control no-cache; add_header Access-Control-Allow-Origin *; }}
  }}
}}
"""  # noqa: E501

HELD_OPEN: Final = "open_file_cache max=100 inactive=60s;"
"""nginx keeping the few files of this bench open: faster than it serves as it comes, and no more
than an edge whose files live for seconds could ever use. Shown beside the goal, not the goal."""


class NoLibrary:
    """Everything the bench asks for is in the head."""

    def lookup(self, token: str) -> LibraryEntry | None:
        return None

    def replay(self, token: str, rendition: str) -> Replay | None:
        return None

    def media(self, token: str, rendition: str, name: str) -> MediaFile | None:
        return None

    def off_air(self, tokens: tuple[str, ...]) -> set[str]:
        return set()


class TimedState(EdgeState):
    """Notes when a head arrived and when the last answer after it was sent."""

    arrived = 0.0
    last_sent = 0.0

    def apply(self, stream: Stream, head: AirHead, *, from_redis: bool) -> bool:
        self.arrived = time.monotonic()
        return super().apply(stream, head, from_redis=from_redis)

    def count(self, kind: str, status: int, size: int, answers: int = 1) -> None:
        super().count(kind, status, size, answers)
        self.last_sent = time.monotonic()


# --- the server's process ---------------------------------------------------------------------


async def serve(settings: Settings, port: int) -> None:
    state = TimedState(connect_async(settings), NoLibrary())

    async def behind(scope: Any, receive: Any, send: Any) -> None:
        known = {"held": state.held, "arrived": state.arrived, "last_sent": state.last_sent}
        body = json.dumps(known).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    server = Server(
        Edge(behind, state, FolderStorage(settings.data / "storage")),
        address="127.0.0.1",
        port=port,
        interface=Interfaces.ASGINL,
        http=HTTPModes.http1,
        websockets=False,
        backlog=4096,
        backpressure=16_384,
        log_enabled=False,
    )
    await server.serve()


# --- the clients ------------------------------------------------------------------------------


def hold_and_time(port: int, count: int) -> None:
    """Open ``count`` blocking reloads, say "ready", and print when the last was answered."""
    head_path = sys.stdin.readline().strip()
    request = f"GET {head_path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()
    epoll = select.epoll()
    sockets: dict[int, socket.socket] = {}
    for _ in range(count):
        made = socket.create_connection(("127.0.0.1", port))
        made.sendall(request)
        made.setblocking(False)
        sockets[made.fileno()] = made
        epoll.register(made.fileno(), select.EPOLLIN)
    print("ready", flush=True)
    answers: list[bytes] = []
    begun: dict[int, bytes] = {}
    first = 0.0
    size = 0
    while len(answers) < count:
        events = epoll.poll(20, count)
        first = first or time.monotonic()
        for number, _ in events:
            data = sockets[number].recv(65536)
            if begun:
                data = begun.pop(number, b"") + data
            # All answers are alike: the first whole one tells how long they are.
            if not size and _is_whole(data):
                size = len(data)
            if data and len(data) != size:
                begun[number] = data
            else:
                answers.append(data)
    last = time.monotonic()
    bad = sum(not answer.startswith(b"HTTP/1.1 200") for answer in answers)
    print(json.dumps({"first": first, "last": last, "bad": bad}), flush=True)


def _is_whole(data: bytes) -> bool:
    head, found, body = data.partition(b"\r\n\r\n")
    match = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    return bool(found) and match is not None and len(body) >= int(match[1])


def wrk(url: str, seconds: int, connections: int) -> float:
    """Requests a second; errors end the bench."""
    done = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", url],
        capture_output=True,
        text=True,
        check=True,
    )
    if "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise SystemExit(f"errors from {url}:\n{done.stdout}")
    match = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    assert match is not None
    return float(match[1])


# --- the bench --------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])


@contextlib.contextmanager
def edge_server(folder: Path) -> Iterator[int]:
    port = free_port()
    with child("serve", str(folder), str(port)):
        wait_for(port)
        yield port


@contextlib.contextmanager
def nginx_server(folder: Path, files: dict[str, bytes], tuning: str = "") -> Iterator[int | None]:
    """One nginx worker over ``files`` (path → bytes) on the port given; None without nginx."""
    binary = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if binary is None:
        yield None
        return
    for path, data in files.items():
        at = folder / "www" / path[1:]
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_bytes(data)
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, port=port, tuning=tuning))
    process = subprocess.Popen([binary, "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        wait_for(port)
        yield port
    finally:
        process.terminate()
        process.wait(10)


@contextlib.contextmanager
def child(*args: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.edge", *args],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_for(port: int) -> None:
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise SystemExit(f"nothing answers on port {port}")


def facts(port: int) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/facts", timeout=5) as answer:
        return dict(json.load(answer))


def publish(client: redis.Redis, head: AirHead) -> float:
    """As the live job does; the time just before."""
    data = encode_head(head)
    began = time.monotonic()
    with client.pipeline() as pipe:
        pipe.set(air_key(head.token), data, ex=3600)
        pipe.publish(air_key(head.token), data)
        pipe.execute()
    return began


def bench_held(port: int, client: redis.Redis, show: FakeBroadcast, count: int) -> bool:
    video = show.head.renditions[0]
    path = f"{PLAYLIST}?_HLS_msn={video.next_msn}&_HLS_part={len(video.parts)}"
    with child("hold", str(port), str(count)) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(path + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "ready\n"
        while facts(port)["held"] < count:
            time.sleep(0.05)
        began = publish(client, show.add_part())
        seen = json.loads(process.stdout.readline())
    server = facts(port)
    whole = (seen["last"] - began) * 1000
    print(
        f"held reloads: {count} answered; publish to last byte at the client {whole:.1f} ms "
        f"(first byte {(seen['first'] - began) * 1000:.1f} ms); in the server, head to last send "
        f"{(server['last_sent'] - server['arrived']) * 1000:.1f} ms; not 200: {seen['bad']}"
    )
    return whole <= RELEASE_GOAL_MS and not seen["bad"]


def compare(
    name: str,
    path: str,
    goal: float,
    edge_port: int,
    nginx_ports: tuple[int | None, int | None],
    args: argparse.Namespace,
) -> bool:
    """``nginx_ports``: as it comes, and with its files held open."""
    if shutil.which("wrk") is None:
        print(f"{name}: skipped, no wrk")
        return True
    ours: list[float] = []
    plain: list[float] = []
    tuned: list[float] = []
    for _ in range(args.rounds):
        for port, rates in zip((edge_port, *nginx_ports), (ours, plain, tuned), strict=True):
            if port is not None:
                url = f"http://127.0.0.1:{port}{path}"
                rates.append(wrk(url, args.seconds, args.connections))
    edge = statistics.median(ours)
    if not plain:
        print(f"{name}: edge {edge:.0f}/s; nginx skipped, not installed")
        return True
    # Round by round, because a shared machine is not the same from one minute to the next.
    ratios = [one / other for one, other in zip(ours, plain, strict=True)]
    ratio = statistics.median(ratios)
    held_open = statistics.median(one / other for one, other in zip(ours, tuned, strict=True))
    print(
        f"{name}: edge {edge:.0f}/s, nginx {statistics.median(plain):.0f}/s, ratio {ratio:.2f} "
        f"({min(ratios):.2f} to {max(ratios):.2f}; goal {goal}); beside nginx with its files held "
        f"open {held_open:.2f}"
    )
    return ratio >= goal


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--held", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16_384), hard))
    folder = Path(tempfile.mkdtemp(prefix="xitai-bench-"))
    try:
        return run(folder, args)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run(folder: Path, args: argparse.Namespace) -> int:
    settings = Settings(data=folder)
    show = FakeBroadcast(TOKEN)
    for _ in range(58):
        show.add_part()
    segment = os.urandom(SEGMENT_BYTES)
    storage = FolderStorage(settings.data / "storage")
    oldest = show.head.renditions[0].segments[0]
    first = oldest.msn
    storage.put_bytes(segment_key(TOKEN, "v480", first, oldest.run), segment)
    command = embedded_redis.prepare(settings)
    holds = []
    with running(command, lambda: embedded_redis.is_ready(settings)):
        client = connect(settings)
        publish(client, show.head)
        with edge_server(folder) as port:
            url = f"http://127.0.0.1:{port}{PLAYLIST}"
            with urllib.request.urlopen(url, timeout=5) as answer:
                playlist = answer.read()
            path = SEGMENT.replace("s1.", f"s{first}.")
            print(f"playlist of {len(playlist)} bytes, segments of {SEGMENT_BYTES >> 20} MiB")
            files = {PLAYLIST: playlist, path: segment}
            with (
                nginx_server(folder / "plain", files) as plain,
                nginx_server(folder / "tuned", files, HELD_OPEN) as tuned,
            ):
                ports = (plain, tuned)
                holds.append(compare("playlist", PLAYLIST, PLAYLIST_GOAL, port, ports, args))
                holds.append(compare("segment", path, SEGMENT_GOAL, port, ports, args))
            for _ in range(args.rounds):
                holds.append(bench_held(port, client, show, args.held))
        client.close()
    print("all goals held" if all(holds) else "a goal was missed")
    return 0 if all(holds) else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        uvloop.run(serve(Settings(data=Path(sys.argv[2])), int(sys.argv[3])))
    elif sys.argv[1:2] == ["hold"]:
        hold_and_time(int(sys.argv[2]), int(sys.argv[3]))
    else:
        raise SystemExit(main())
