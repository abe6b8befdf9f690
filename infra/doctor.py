"""What is missing or weak on this machine, in plain words, measured where it can be."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal

import psutil

from infra.database import Database, DatabaseAway
from infra.doctor_words import GIB, say
from infra.embedded import postgres
from infra.embedded import redis as embedded_redis
from infra.embedded.folders import SetupError
from infra.ffmpeg import FfmpegError, ffmpeg_abilities, ffmpeg_path
from infra.instance import load_instance, split_address
from infra.redis import RedisAway, connect
from infra.settings import Settings
from infra.storage import AlreadyThere, Storage, StorageError, open_storage

Level = Literal["ok", "note", "weak", "missing"]

MEASURE_SECONDS: Final = 4
"""Length of the test picture; a machine slower than real time takes longer, up to the limit."""
MEASURE_LIMIT_SECONDS: Final = 30
LITTLE_MEMORY_BYTES: Final = 3 * GIB
OLDEST_FFMPEG: Final = 6
# A machine that also ingests, packages and serves should not encode all the time.
ENCODE_SHARE: Final = 0.8


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at."""

    level: Level
    title: str
    advice: str = ""
    """What to do about it; empty when there is nothing to do."""


More = Callable[[str], Iterable[Finding]]
"""What another part of the house looks at, told in a language."""


def run_doctor(
    settings: Settings, lang: str = "zh", *, measure: bool = True, more: Sequence[More] = ()
) -> list[Finding]:
    """Look at everything; takes some seconds, most of them for the measurement.

    ``lang``: "zh" or "en". Works whether or not the instance runs.
    """
    findings: list[Finding] = []
    running = load_instance(settings) is not None
    if running:
        findings.append(Finding("ok", say("running", lang, data=settings.data)))
    findings += _memory(lang)
    findings += _disk(settings, lang)
    if not running:
        findings += _ports(settings, lang)
    findings += _database(settings, lang, running)
    findings += _redis(settings, lang, running)
    findings += _storage(settings, lang)
    for look in more:
        findings += look(lang)
    findings += _ffmpeg(settings, lang, measure)
    return findings


def is_well(findings: list[Finding]) -> bool:
    """Nothing that Xitai cannot do without is missing."""
    return all(finding.level != "missing" for finding in findings)


def tell_doctor(
    settings: Settings,
    lang: str = "zh",
    *,
    as_json: bool = False,
    measure: bool = True,
    more: Sequence[More] = (),
) -> int:
    """Write what was found to stdout; the exit code: 1 if something is missing."""
    findings = run_doctor(settings, lang, measure=measure, more=more)
    if as_json:
        whole = {"ok": is_well(findings), "findings": [asdict(finding) for finding in findings]}
        sys.stdout.write(json.dumps(whole, ensure_ascii=False, indent=2) + "\n")
    else:
        for finding in findings:
            sys.stdout.write(f"{_MARKS[finding.level]} {finding.title}\n")
            if finding.advice:
                sys.stdout.write(f"    {finding.advice}\n")
    return 0 if is_well(findings) else 1


_MARKS: Final[dict[Level, str]] = {"ok": "✓", "note": "·", "weak": "!", "missing": "✗"}


# --- the machine -----------------------------------------------------------------------------


def _memory(lang: str) -> Iterator[Finding]:
    total = psutil.virtual_memory().total
    words = say("machine", lang, cores=os.cpu_count() or 1, memory=f"{total / GIB:.1f}")
    if total < LITTLE_MEMORY_BYTES:
        yield Finding("weak", words, say("machine.little", lang))
    else:
        yield Finding("ok", words)


def _disk(settings: Settings, lang: str) -> Iterator[Finding]:
    folder = settings.data
    while not folder.exists():
        folder = folder.parent
    if not os.access(folder, os.W_OK | os.X_OK):
        yield Finding(
            "missing",
            say("disk.readonly", lang, data=settings.data),
            say("disk.readonly.advice", lang),
        )
        return
    free = shutil.disk_usage(folder).free
    # 6 Mbit/s as received, and about as much again for what is made of it.
    hours = free / (2 * 6_000_000 / 8 * 3600)
    words = say("disk", lang, free=f"{free / GIB:.0f}", hours=f"{hours:.0f}")
    if free < settings.disk_log_only_bytes:
        yield Finding("missing", words, say("disk.full", lang))
    elif free < settings.disk_warn_bytes:
        yield Finding("weak", words, say("disk.full", lang))
    else:
        yield Finding("ok", words)


def _ports(settings: Settings, lang: str) -> Iterator[Finding]:
    for address, flag in ((settings.http, "--http"), (settings.rtmp, "--rtmp")):
        try:
            host, port = split_address(address)
        except ValueError:
            yield Finding(
                "missing",
                say("port.wrong", lang, address=address),
                say("port.wrong.advice", lang, flag=flag),
            )
            continue
        reason = _cannot_listen(host, port)
        if reason is None:
            yield Finding("ok", say("port", lang, address=address))
        else:
            yield Finding(
                "missing",
                say("port.taken", lang, address=address, reason=reason),
                say("port.taken.advice", lang, flag=flag),
            )


def _cannot_listen(host: str, port: int) -> str | None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as e:
            return e.strerror or str(e)
    return None


# --- the servers -----------------------------------------------------------------------------


def _database(settings: Settings, lang: str, running: bool) -> Iterator[Finding]:
    if settings.embedded_database and not running:
        yield from _embedded("PostgreSQL", postgres.binaries, lang)
        return
    database = Database(settings.resolved_database_url, name="doctor", pool_size=1)
    yield _reach("PostgreSQL", "XITAI_DATABASE_URL", database.ping, lang)
    database.close()


def _redis(settings: Settings, lang: str, running: bool) -> Iterator[Finding]:
    if settings.embedded_redis and not running:
        yield from _embedded("Redis", embedded_redis.binary, lang)
        return
    client = connect(settings)
    yield _reach("Redis", "XITAI_REDIS_URL", client.ping, lang)
    client.close()


def _embedded(name: str, find: Callable[[], Path], lang: str) -> Iterator[Finding]:
    try:
        find()
    except SetupError as e:
        yield Finding("missing", say("embedded.missing", lang, name=name), str(e))
    else:
        yield Finding("ok", say("embedded", lang, name=name))


_AWAY: Final[tuple[type[Exception], ...]] = (*DatabaseAway, *RedisAway)


def _reach(name: str, variable: str, ping: Callable[[], object], lang: str) -> Finding:
    try:
        ping()
    except _AWAY:
        return Finding(
            "missing",
            say("server.away", lang, name=name),
            say("server.away.advice", lang, variable=variable),
        )
    return Finding("ok", say("server", lang, name=name))


def _storage(settings: Settings, lang: str) -> Iterator[Finding]:
    if not settings.resolved_storage_url.startswith("s3:"):
        return
    key = f"doctor/{os.getpid()}-{time.time_ns()}"
    try:
        storage = open_storage(settings)
        storage.put_bytes(key, b"first", if_absent=True)
        kept = _refuses_second(storage, key) and storage.get(key) == b"first"
        storage.delete(key)
    except (StorageError, ValueError) as e:
        yield Finding(
            "missing", say("storage.away", lang), say("storage.away.advice", lang, reason=e)
        )
        return
    if kept:
        yield Finding("ok", say("storage", lang))
    else:
        yield Finding("weak", say("storage.rewrites", lang), say("storage.rewrites.advice", lang))


def _refuses_second(storage: Storage, key: str) -> bool:
    """Conditional writes: what exists is not written over."""
    try:
        storage.put_bytes(key, b"second", if_absent=True)
    except AlreadyThere:
        return True
    return False


# --- FFmpeg ----------------------------------------------------------------------------------


def _ffmpeg(settings: Settings, lang: str, measure: bool) -> Iterator[Finding]:
    path = ffmpeg_path(settings)
    try:
        abilities = ffmpeg_abilities(path)
    except FfmpegError as e:
        yield Finding("missing", say("ffmpeg.missing", lang), str(e))
        return
    if abilities.missing:
        yield Finding(
            "missing",
            say("ffmpeg.lacks", lang, what=", ".join(abilities.missing)),
            say("ffmpeg.lacks.advice", lang),
        )
        return
    major = abilities.version.lstrip("n").split(".")[0]
    old = major.isdigit() and int(major) < OLDEST_FFMPEG
    yield Finding(
        "weak" if old else "ok",
        say("ffmpeg", lang, version=abilities.version),
        say("ffmpeg.old", lang) if old else "",
    )
    if measure:
        yield _measure(path, lang)


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast this machine encodes, as multiples of real time."""

    one: float
    """1080p25 decoded and one 720p rung made of it."""
    two: float
    """The same with a 480p rung as well."""


def measure_speed(path: str) -> Speed | None:
    """Encode a moving test picture as a live job would. None: FFmpeg failed."""
    source = _encode_source(path)
    if source is None:
        return None
    one = _time(path, source, (720,))
    two = _time(path, source, (720, 480))
    return Speed(one, two) if one and two else None


def _encode_source(path: str) -> bytes | None:
    """A few seconds of 1080p25 as an encoder would send them, so that decoding counts too."""
    argv = [
        *(path, "-hide_banner", "-loglevel", "error", "-f", "lavfi"),
        *("-i", f"testsrc2=s=1920x1080:r=25:d={MEASURE_SECONDS},noise=alls=6:allf=t"),
        *("-c:v", "libx264", "-preset", "ultrafast", "-b:v", "6M", "-g", "50"),
        *("-pix_fmt", "yuv420p", "-f", "mpegts", "-"),
    ]
    return _run(argv, b"")


def _time(path: str, source: bytes, heights: tuple[int, ...]) -> float | None:
    """Times real time at which the rungs are made. Bicubic, veryfast: as live jobs do it."""
    names = [f"v{height}" for height in heights]
    graph = f"[0:v]split={len(heights)}" + "".join(f"[s{name}]" for name in names)
    for name, height in zip(names, heights, strict=True):
        graph += f";[s{name}]scale=-2:{height}:flags=bicubic[{name}]"
    argv = [path, "-hide_banner", "-loglevel", "error", "-i", "-", "-filter_complex", graph]
    for name in names:
        argv += ["-map", f"[{name}]", "-c:v", "libx264", "-preset", "veryfast"]
        argv += ["-b:v", "2M", "-g", "50", "-f", "null", "-"]
    begin = time.monotonic()
    if _run(argv, source) is None:
        return None
    return MEASURE_SECONDS / (time.monotonic() - begin)


def _run(argv: list[str], data: bytes) -> bytes | None:
    try:
        done = subprocess.run(
            argv, input=data, capture_output=True, timeout=MEASURE_LIMIT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _measure(path: str, lang: str) -> Finding:
    speed = measure_speed(path)
    if speed is None or speed.one < 1 / ENCODE_SHARE:
        shown = f"{speed.one:.1f}" if speed else "<1"
        return Finding("weak", say("speed.slow", lang, one=shown), say("speed.slow.advice", lang))
    shows = int(speed.two * ENCODE_SHARE)
    words = say("speed", lang, one=f"{speed.one:.1f}", two=f"{speed.two:.1f}")
    if shows < 1:
        return Finding("note", words, say("speed.one", lang))
    return Finding("ok", words, say("speed.two", lang, shows=shows))
