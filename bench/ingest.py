"""What ingest costs: CPU-seconds per stream-minute, next to nginx-rtmp with the same publishers.

    python -m bench.ingest [--publishers 50] [--seconds 30] [--json FILE]

One paced pusher process plays real AVC/AAC tags over all connections, one send per tag. Ingest
writes its logs to disk, nobody reads; with ``--readers`` each feed has one reader that follows its
tail, as the live job does. nginx-rtmp runs with and without HLS if Debian's module can be
installed; else these lines say that they were skipped.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

import psutil
import uvloop

from infra.ffmpeg import ffmpeg_path
from infra.settings import Settings
from ingest import flv
from ingest.rtmp.client import ClientSession, Habits, PublishStarted

BITRATE = "3800k"  # with sound and overhead, 4 Mbit/s
FOOTAGE_SECONDS = 20
WARM_SECONDS = 4.0
TOKEN = "bench"
NGINX_MODULE = Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")


# --- the pusher ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Script:
    """Prepared once, so that the pusher costs as little as it can: chunks by time."""

    head: list[tuple[int, int, bytes]]
    frames: list[tuple[int, int, bytes]]
    length_ms: int
    bytes_per_second: float


def prepare(ffmpeg: str, folder: Path) -> Script:
    """Real encoded footage as tags (kind, ts_ms, payload)."""
    path = folder / "footage.flv"
    argv = [
        ffmpeg, "-hide_banner", "-loglevel", "error", "-nostdin", "-y",
        "-f", "lavfi", "-i", "testsrc2=s=1280x720:r=25,noise=alls=20:allf=t",
        "-f", "lavfi", "-i", "sine=f=440:r=44100",
        "-t", str(FOOTAGE_SECONDS), "-c:v", "libx264", "-preset", "ultrafast", "-g", "50",
        "-b:v", BITRATE, "-minrate", BITRATE, "-maxrate", BITRATE, "-bufsize", "1000k",
        "-x264-params", "nal-hrd=cbr", "-pix_fmt", "yuv420p",
        "-c:a", "aac", "-b:a", "128k", "-f", "flv", str(path),
    ]  # fmt: skip
    subprocess.run(argv, check=True)
    data = path.read_bytes()
    head: list[tuple[int, int, bytes]] = []
    frames: list[tuple[int, int, bytes]] = []
    for tag in flv.scan(data):
        body = tag.offset + flv.TAG_HEADER_SIZE
        item = (tag.kind, tag.timestamp_ms, data[body : body + tag.size])
        coded = flv.classify(tag.kind, item[2]).is_coded
        (frames if coded else head).append(item)
    length = max(stamp for _, stamp, _ in frames) + 40
    return Script([h for h in head if h[1] == 0], frames, length, len(data) * 1000 / length)


async def _publish(
    port: int, key: str, script: Script, seconds: float, delay: float
) -> tuple[int, float]:
    """One connection; returns (tags sent, worst lateness in seconds)."""
    await asyncio.sleep(delay)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    session = ClientSession("live", key, habits=Habits(chunk_size=4096))
    started = False
    writer.write(session.bytes_to_send())
    while not started:
        data = await reader.read(65536)
        if not data:
            raise ConnectionError("the server closed the connection")
        started = any(isinstance(e, PublishStarted) for e in session.receive_data(data))
        writer.write(session.bytes_to_send())
    drain = asyncio.create_task(reader.read(-1))
    loop = asyncio.get_running_loop()
    for kind, stamp, payload in script.head:
        writer.write(session.encode_tag(kind, stamp, payload))
    begun = loop.time()
    sent, worst = 0, 0.0
    for lap in itertools.count():
        base = lap * script.length_ms
        for kind, stamp, payload in script.frames:
            due = (base + stamp) / 1000
            if due > seconds:
                session.finish()
                writer.write(session.bytes_to_send())
                writer.close()
                drain.cancel()
                return sent, worst
            ahead = due - (loop.time() - begun)
            if ahead > 0:
                await asyncio.sleep(ahead)
            worst = max(worst, -ahead)
            writer.write(session.encode_tag(kind, base + stamp, payload))
            sent += 1
    raise AssertionError


def _push(port: int, keys: list[str], script: Script, seconds: float) -> None:
    async def run() -> None:
        # Spread over a frame's time, as independent encoders are.
        step = 1.0 / len(keys)
        results = await asyncio.gather(
            *(_publish(port, key, script, seconds, i * step) for i, key in enumerate(keys))
        )
        worst = max(late for _, late in results)
        print(f"    pusher: {sum(n for n, _ in results)} tags, worst lateness {worst:.2f} s")

    uvloop.run(run())


# --- the servers -----------------------------------------------------------------------------


Ports: TypeAlias = "multiprocessing.Queue[tuple[int, int, list[str]]]"
"""RTMP port, HTTP port, stream keys."""


def _serve(folder: str, count: int, ports: Ports) -> None:
    """An ingest process with a ledger in memory."""
    from ingest.disk import DiskRules
    from ingest.main import Ingest
    from tests.support.ledger import MemoryLedger

    async def run() -> None:
        settings = Settings(data=Path(folder), rtmp="127.0.0.1:0", ingest_http="127.0.0.1:0")
        ledger = MemoryLedger()
        keys = [ledger.feed()[0] for _ in range(count)]
        rules = DiskRules(warn_bytes=0, log_only_bytes=0)
        ingest = Ingest(settings, token=TOKEN, ledger=lambda *_node: ledger, disk_rules=rules)
        await ingest.start()
        ports.put((ingest.rtmp_port, ingest.http_port, keys))
        await asyncio.Event().wait()

    import structlog

    structlog.configure(processors=[], logger_factory=structlog.ReturnLoggerFactory())
    uvloop.run(run())


@dataclass(slots=True)
class Result:
    name: str
    cpu_seconds_per_stream_minute: float | None
    note: str = ""


def _cpu(processes: list[psutil.Process]) -> float:
    total = 0.0
    for process in processes:
        times = process.cpu_times()
        total += times.user + times.system
    return total


def measure(
    name: str, processes: list[psutil.Process], port: int, keys: list[str], script: Script,
    seconds: float,
) -> Result:  # fmt: skip
    """Push for ``seconds`` after a warm-up and read the CPU clocks of ``processes``."""
    pusher = multiprocessing.Process(
        target=_push, args=(port, keys, script, seconds + WARM_SECONDS + 2)
    )
    pusher.start()
    time.sleep(WARM_SECONDS)
    before, begun = _cpu(processes), time.monotonic()
    time.sleep(seconds)
    used, took = _cpu(processes) - before, time.monotonic() - begun
    pusher.join()
    if pusher.exitcode:
        return Result(name, None, "the pusher failed")
    return Result(name, used / (took / 60 * len(keys)))


def bench_ingest(script: Script, count: int, seconds: float, folder: Path, readers: bool) -> Result:
    ports: Ports = multiprocessing.Queue()
    server = multiprocessing.Process(target=_serve, args=(str(folder / "xitai"), count, ports))
    server.start()
    following: list[subprocess.Popen[bytes]] = []
    try:
        port, http_port, keys = ports.get(timeout=30)
        name = "xitai ingest, log on disk" + (", one tail reader a feed" if readers else "")
        if readers:
            argv = [sys.executable, "-m", "bench.ingest", "--follow", f"{http_port}"]
            following.append(subprocess.Popen([*argv, str(folder / "xitai" / "feeds"), str(count)]))
        return measure(name, [psutil.Process(server.pid)], port, keys, script, seconds)
    finally:
        for process in following:
            process.terminate()
            process.wait()
        server.terminate()
        server.join()
        shutil.rmtree(folder / "xitai", ignore_errors=True)


async def _follow(http_port: int, feeds: Path, count: int) -> None:
    """Read every take's tail and throw it away."""
    seen: set[str] = set()
    tasks = []

    async def one(take: str) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", http_port)
        request = f"GET /takes/{take}.flv HTTP/1.1\r\nHost: x\r\n"
        request += f"Authorization: Bearer {TOKEN}\r\n\r\n"
        writer.write(request.encode())
        while await reader.read(1 << 18):
            pass

    while True:
        for path in feeds.glob("*.flv") if feeds.exists() else ():
            if path.stem not in seen and len(seen) < count:
                seen.add(path.stem)
                tasks.append(asyncio.create_task(one(path.stem)))
        await asyncio.sleep(0.2)


def _install_nginx_rtmp() -> str | None:
    """Why nginx-rtmp can't be measured, or None when it can."""
    if NGINX_MODULE.exists() and shutil.which("nginx"):
        return None
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return "libnginx-mod-rtmp is not installed, and only root on Debian can install it"
    argv = ["apt-get", "install", "-y", "-q", "--no-install-recommends", "libnginx-mod-rtmp"]
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(argv, capture_output=True, check=False, env=quiet)
    if done.returncode or not NGINX_MODULE.exists():
        return "libnginx-mod-rtmp could not be installed"
    return None


@contextlib.contextmanager
def _nginx(folder: Path, port: int, *, hls: bool) -> Iterator[list[psutil.Process]]:
    home = folder / "nginx"
    (home / "hls").mkdir(parents=True)
    on = f"hls on; hls_path {home}/hls; hls_fragment 2s; hls_playlist_length 30s;" if hls else ""
    (home / "nginx.conf").write_text(
        f"load_module {NGINX_MODULE};\nuser root;\nworker_processes 1;\ndaemon off;\n"
        f"pid {home}/pid;\nerror_log {home}/error.log error;\n"
        "events { worker_connections 1024; }\n"
        f"rtmp {{ server {{ listen 127.0.0.1:{port}; chunk_size 4096; access_log off;"
        f" application live {{ live on; {on} }} }} }}\n"
    )
    server = subprocess.Popen(
        ["nginx", "-p", str(home), "-c", str(home / "nginx.conf")], stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        yield psutil.Process(server.pid).children()
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(home, ignore_errors=True)


def bench_nginx(script: Script, count: int, seconds: float, folder: Path, hls: bool) -> Result:
    name = "nginx-rtmp, HLS on" if hls else "nginx-rtmp, no HLS"
    why = _install_nginx_rtmp()
    if why is not None:
        return Result(name, None, f"skipped: {why}")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with _nginx(folder, port, hls=hls) as processes:
        keys = [f"stream{i}" for i in range(count)]
        return measure(name, processes, port, keys, script, seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--publishers", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--readers", action="store_true", help="also with one tail reader a feed")
    parser.add_argument("--only", choices=["xitai", "nginx"])
    parser.add_argument("--json", type=Path, help="write the results there too")
    parser.add_argument("--follow", nargs=3, metavar="X", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.follow:
        port, feeds, count = options.follow
        asyncio.run(_follow(int(port), Path(feeds), int(count)))
        return
    count, seconds = options.publishers, options.seconds
    with tempfile.TemporaryDirectory(prefix="xitai-bench-") as name:
        folder = Path(name)
        script = prepare(ffmpeg_path(Settings()), folder)
        rate = script.bytes_per_second * 8 / 1e6
        print(f"{count} publishers, {rate:.2f} Mbit/s each, {seconds:g} s")
        results: list[Result] = []
        if options.only != "nginx":
            results.append(bench_ingest(script, count, seconds, folder, readers=False))
            if options.readers:
                results.append(bench_ingest(script, count, seconds, folder, readers=True))
        if options.only != "xitai":
            results.append(bench_nginx(script, count, seconds, folder, hls=True))
            results.append(bench_nginx(script, count, seconds, folder, hls=False))
    for result in results:
        cost = result.cpu_seconds_per_stream_minute
        shown = "-" if cost is None else f"{cost:.3f} CPU-s per stream-minute"
        print(f"{result.name:48} {shown} {result.note}")
    if options.json:
        options.json.write_text(json.dumps([asdict(result) for result in results]))


if __name__ == "__main__":
    main()
