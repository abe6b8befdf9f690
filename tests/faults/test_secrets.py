"""Row 19: the stream key is told once, and then nothing holds or says it: no answer, no log, no
argument list, no row, no file. Nor does anything but its own file hold the internal token."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import psutil
import pytest
import redis
from fastapi.routing import APIRoute
from sqlalchemy import text

from api.routes import PREFIX, ROUTERS
from bench.footage import Encoder
from bench.instance import Instance, throwaway
from infra.database import Database
from infra.instance import internal_token, load_instance
from infra.redis import connect
from infra.settings import Settings
from tests.support.media import Footage, make_footage
from tests.support.show import Show, wait_for

PASSWORD = "horse staple 元宵 47"
FORM = {"login": "li.na", "password": PASSWORD, "name": "李娜", "centre": "勐海县文化馆"}
OURS = {"sec-fetch-site": "same-origin"}

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(240)]


class Secrets:
    """Looks for what must not be there; collects every place where it is."""

    def __init__(self, **secrets: str) -> None:
        # Half of a key is as telling, and a mistyped key is nearly the right one.
        self._needles = {name: secret[:16].encode() for name, secret in secrets.items()}
        self.found: list[str] = []
        self.places = 0

    def look(self, place: str, content: bytes | str) -> None:
        self.places += 1
        data = content.encode() if isinstance(content, str) else content
        self.found += [f"{name} in {place}" for name, n in self._needles.items() if n in data]


@pytest.fixture
def instance() -> Iterator[Instance]:
    with throwaway({"XITAI_RUNGS": "v360,a", "XITAI_LOG_LEVEL": "DEBUG"}) as running:
        yield running


@pytest.fixture
def web(instance: Instance) -> Iterator[httpx.Client]:
    """A browser that is signed in as the first administrator."""
    # It is written just after the line that says "ready".
    link = re.compile(rb"http://\S+/setup/\S+")
    wait_for(lambda: link.search(instance.log_path.read_bytes()), 10, "the link for the first user")
    with httpx.Client(
        base_url=instance.url, trust_env=False, timeout=20, follow_redirects=True, headers=OURS
    ) as client:
        made = client.post(link.findall(instance.log_path.read_bytes())[0].decode(), data=FORM)
        assert made.status_code == 200, made.text
        yield client


def test_the_key_is_told_once_and_never_again(
    instance: Instance, web: httpx.Client, ffmpeg: str, media_folder: Path
) -> None:
    source = make_footage(ffmpeg, media_folder / "secrets.flv", Footage(6, size=(640, 360)))
    settings = Settings(data=instance.data)
    with Show(instance, "元宵晚会") as show:
        key = str(show.made["publish"]["stream_key"])
        told = Secrets(key=key, token=internal_token(settings))
        wrong_key(show, key, source)
        show.publish(source)
        show.on_air()
        # The right key, while another holds the line: taken over, which is told in the log.
        show.publish(source)
        wait_for(lambda: len(show.shown()["takes"]) == 2, 20, "the second encoder on air")
        show.on_air(3)
        listed = command_lines(instance, told)
        assert any("-copyts" in words for words in listed), "FFmpeg was looked at too"
        look_at_answers(web, show, told)
        assert look_at_redis(settings, told) > 5
        assert look_at_rows(settings, told) > 15
        show.drop()
        show.end()
        show.final_replay()
        look_at_answers(web, show, told)
        look_at_redis(settings, told)
        look_at_rows(settings, told)
        show.client.close()
    instance.stop()
    look_at_files(instance, told)
    assert told.found == []
    assert told.places > 300


def wrong_key(show: Show, key: str, source: Path) -> None:
    """A key with a slip of the finger at its end."""
    slip = show.target.replace(key, key[:-1] + ("A" if key[-1] != "A" else "B"))
    before = show.made["publish"]["rtmp_url"]
    assert slip.startswith(before)
    encoder = Encoder(slip, source)
    assert encoder.process.wait(20) != 0


def command_lines(instance: Instance, told: Secrets) -> list[list[str]]:
    """Arguments of all the instance runs; the test's own encoders are not among them."""
    found = []
    for process in instance.processes():
        try:
            words = process.cmdline()
            environment = process.environ()
        except psutil.Error:
            continue
        told.look(f"arguments of {' '.join(words[:4])}", "\0".join(words))
        told.look(f"environment of {' '.join(words[:4])}", repr(environment))
        found.append(words)
    return found


def look_at_answers(web: httpx.Client, show: Show, told: Secrets) -> None:
    """Pages, API, playlists, media, health and metrics, headers included."""

    def get(path: str, **headers: str) -> httpx.Response:
        answer = web.get(path, headers=headers)
        told.look(f"{answer.status_code} {path}", answer.content)
        told.look(f"headers of {path}", repr(answer.headers))
        assert answer.status_code < 500, path
        return answer

    pages = ["/", f"/b/{show.id}", "/desk", f"/desk/b/{show.id}", f"/desk/b/{show.id}/health"]
    for path in [*pages, "/desk/jobs", "/desk/new", "/healthz", "/metrics", "/nothing"]:
        get(path)
    assert "元宵晚会" in get(f"/desk/b/{show.id}").text
    bearer = f"Bearer {show.instance.run('admin', 'token', '--role', 'admin')['token']}"
    asked = 0
    for route in (route for router in ROUTERS for route in router.routes):
        assert isinstance(route, APIRoute)
        if "GET" in (route.methods or ()):
            path = route.path.replace("{broadcast_id}", show.id)
            path = PREFIX + re.sub(r"\{\w+\}", "0" * 16, path)
            asked += get(path, authorization=bearer).status_code == 200
    assert asked >= 4
    for name in ("main", "plain", "replay"):
        master = get(show.url(name))
        for line in master.text.splitlines():
            if line.endswith(".m3u8"):
                playlist(get, urljoin(show.url(name), line))
    running = load_instance(Settings(data=show.instance.data))
    assert running is not None
    for path in ("/healthz", "/metrics", "/takes/0000000000000000.flv"):
        get(running.ingest_url + path)
    told.look("broadcast show", repr(show.shown()))
    told.look("broadcast list", repr(show.instance.run("broadcast", "list")))


def playlist(get: Any, url: str) -> None:
    """A media playlist, its init section and its newest segment."""
    lines = get(url).text.splitlines()
    files = [line for line in lines if line and not line.startswith("#")]
    files += re.findall(r'URI="([^"]+)"', "\n".join(lines))[:2]
    for name in files[-3:]:
        get(urljoin(url, name))


def look_at_redis(settings: Settings, told: Secrets) -> int:
    client = connect(settings)
    try:
        keys = list(client.scan_iter(count=1000))
        for key in keys:
            told.look(f"redis {key!r}", key + repr(_value(client, key)).encode())
            told.look(f"redis dump {key!r}", client.dump(key) or b"")
        return len(keys)
    finally:
        client.close()


def _value(client: redis.Redis, key: bytes) -> object:
    """What a key holds, in clear: a dump may be compressed."""
    match client.type(key):
        case b"string":
            return client.get(key)
        case b"list":
            return client.lrange(key, 0, -1)
        case b"hash":
            return client.hgetall(key)
        case b"set":
            return client.smembers(key)
        case b"zset":
            return client.zrange(key, 0, -1, withscores=True)
        case b"stream":
            return client.xrange(key)
    return None


def look_at_rows(settings: Settings, told: Secrets) -> int:
    """Every row of every table, as text; how many tables there are."""
    database = Database(settings.resolved_database_url, name="test")
    try:
        with database.transaction() as session:
            tables = session.scalars(
                text("SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
                     " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')")
            ).all()  # fmt: skip
            for table in tables:
                rows = session.scalars(text(f"SELECT t::text FROM {table} t")).all()
                told.look(f"table {table}", "\n".join(rows))
            return len(tables)
    finally:
        database.close()


def look_at_files(instance: Instance, told: Secrets) -> None:
    """Everything on disk: logs, feed logs, media, PostgreSQL's own files, stderr."""
    logs = list((instance.data / "logs").rglob("*"))
    assert any(path.stat().st_size for path in logs)
    told.look("stderr", instance.log_path.read_bytes())
    own = instance.data / "secret" / "internal_token"
    assert own.stat().st_mode & 0o077 == 0
    began = time.monotonic()
    for path in instance.data.rglob("*"):
        if path.is_file() and path != own:
            told.look(str(path.relative_to(instance.data)), path.read_bytes())
    print(f"{told.places} places, files in {time.monotonic() - began:.1f} s")
