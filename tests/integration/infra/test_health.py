"""Signs of life through a real Redis, and what the doctor finds."""

from __future__ import annotations

import asyncio
import time

import redis

from infra.database import Database
from infra.doctor import Finding, is_well, run_doctor
from infra.health import AWAY, OK, UNKNOWN, keep_alive, read_health, start_keep_alive
from infra.processes.checks import SignOfLife
from infra.redis import connect_async
from infra.settings import Settings


def test_a_part_is_alive_while_it_says_so(
    settings: Settings, database: Database, redis_client: redis.Redis
) -> None:
    def health() -> dict[str, str]:
        return read_health(settings, database=database, client=redis_client)

    assert health() == {"postgres": OK, "redis": OK} | dict.fromkeys(
        ("ingest", "web", "worker-live", "worker-edit", "worker-work", "beat"), AWAY
    )
    sign = SignOfLife(settings, "beat")
    assert not sign()
    end = start_keep_alive(settings, "beat")
    deadline = time.monotonic() + 5
    while health()["beat"] != OK:
        assert time.monotonic() < deadline
    assert sign()
    assert health()["web"] == AWAY
    end()
    assert health()["beat"] == AWAY


async def test_the_same_on_an_event_loop(settings: Settings, redis_client: redis.Redis) -> None:
    client = connect_async(settings)
    task = asyncio.create_task(keep_alive(client, "ingest"))
    sign = SignOfLife(settings, "ingest")
    async with asyncio.timeout(5):
        while not await asyncio.to_thread(sign):
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task])
    assert not await asyncio.to_thread(sign)
    await client.aclose()
    redis_client.ping()


def test_a_new_process_is_not_taken_for_the_old_one(
    settings: Settings, redis_client: redis.Redis
) -> None:
    end = start_keep_alive(settings, "web")
    sign = SignOfLife(settings, "web")
    deadline = time.monotonic() + 5
    while not sign():
        assert time.monotonic() < deadline
    sign.forget()
    assert not sign()
    end()
    redis_client.ping()


def test_without_redis_nobody_knows(settings: Settings) -> None:
    dark = settings.model_copy(update={"redis_url": "unix:///nowhere/redis.sock"})
    health = read_health(dark)
    assert health["postgres"] == OK
    assert health["redis"] == AWAY
    assert health["web"] == UNKNOWN
    assert not SignOfLife(dark, "web")()


def titles(findings: list[Finding], level: str) -> str:
    return "\n".join(finding.title for finding in findings if finding.level == level)


def test_the_doctor_finds_what_is_there(settings: Settings) -> None:
    findings = run_doctor(settings, "en", measure=True)
    assert is_well(findings)
    well = titles(findings, "ok")
    assert "PostgreSQL answers" in well
    assert "Redis answers" in well
    assert "FFmpeg" in well
    assert any("real time" in finding.title for finding in findings)


def test_the_doctor_names_what_is_missing(settings: Settings, bare_settings: Settings) -> None:
    ill = settings.model_copy(
        update={
            "redis_url": "unix:///nowhere/redis.sock",
            "ffmpeg": "/nowhere/ffmpeg",
            "rtmp": "127.0.0.1:notaport",
        }
    )
    findings = run_doctor(ill, "zh", measure=False)
    assert not is_well(findings)
    missing = titles(findings, "missing")
    assert "连不上 Redis" in missing
    assert "FFmpeg 不能运行" in missing
    assert "地址写法不对" in missing
    assert all(finding.advice for finding in findings if finding.level == "missing")
    assert is_well(run_doctor(bare_settings, measure=False))
