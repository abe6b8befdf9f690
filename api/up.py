"""The parts of `xitai up`: what runs besides the servers, in what order, and how it is asked."""

from __future__ import annotations

import sys
from functools import partial

from catalog.accounts import ensure_setup_link
from infra.database import Database
from infra.health import PARTS
from infra.instance import http_url
from infra.processes.checks import Check, SignOfLife, both, http_answers, http_ok, tcp_accepts
from infra.processes.command import Command
from infra.processes.plan import PartSpec
from infra.processes.supervisor import Part
from infra.processes.up import child_environment, embedded_names, run_up
from infra.settings import Settings

MIGRATE = "migrate"
INGEST, WEB, WORKER_LIVE, WORKER_EDIT, WORKER_WORK, BEAT = PARTS

STALL_SECONDS = 45.0

# Order of the stop: no new work, encoders are told, what they sent is worked off, the face last.
_STOP_STAGES = {
    BEAT: 0, INGEST: 0, WORKER_LIVE: 1, WORKER_EDIT: 1, WORKER_WORK: 1, WEB: 2, MIGRATE: 3
}  # fmt: skip


def run(settings: Settings) -> int:
    """Run everything on this machine; returns the exit code."""
    return run_up(settings, make_parts=make_parts, greeting=greeting)


def greeting(settings: Settings) -> str | None:
    """On the very first start, the one-time link that makes the first account."""
    database = Database(settings.resolved_database_url, name="up", pool_size=1)
    try:
        with database.transaction() as session:
            link = ensure_setup_link(session, http_url(settings))
    finally:
        database.close()
    return link and f"首次使用：打开此链接创建第一个工作人员账号（只能用一次）\n{link}"


def make_parts(settings: Settings) -> list[Part]:
    """The parts for settings whose ports are fixed."""
    servers = embedded_names(settings)
    environment = child_environment(settings)
    make = partial(_make, settings, environment)
    needs = (*servers, MIGRATE)
    return [
        make(MIGRATE, servers, ("catalog.migrate",), 10.0, once=True),
        make(
            INGEST,
            needs,
            ("api.cli", "ingest"),
            15.0,
            is_ready=both(http_ok(settings.ingest_http), tcp_accepts(settings.rtmp)),
            # Not the RTMP port: each question would look like a visitor.
            is_alive=http_answers(settings.ingest_http),
        ),
        make(
            WEB,
            needs,
            ("api.cli", "web"),
            10.0,
            is_ready=http_ok(settings.http),
            is_alive=http_answers(settings.http),
        ),
        make(WORKER_LIVE, needs, ("api.cli", "worker", "--part", "live"), 20.0),
        make(WORKER_EDIT, needs, ("api.cli", "worker", "--part", "edit"), 20.0),
        make(WORKER_WORK, needs, ("api.cli", "worker", "--part", "work"), 20.0),
        make(BEAT, needs, ("api.cli", "beat"), 10.0),
    ]


def _make(
    settings: Settings,
    environment: dict[str, str],
    name: str,
    needs: tuple[str, ...],
    words: tuple[str, ...],
    stop_seconds: float,
    *,
    is_ready: Check | None = None,
    is_alive: Check | None = None,
    once: bool = False,
) -> Part:
    """One part; without ``is_ready`` it is asked for its sign of life in Redis."""
    command = Command(
        name, (sys.executable, "-m", *words), env=environment, stop_seconds=stop_seconds
    )
    spec = PartSpec(
        name,
        needs=needs,
        stop_stage=_STOP_STAGES[name],
        stop_seconds=stop_seconds,
        stall_seconds=None if once else STALL_SECONDS,
    )
    if once or is_ready is not None:
        return Part(spec, lambda _failures: command, is_ready, is_alive, once=once)
    sign = SignOfLife(settings, name)

    def start(_failures: int) -> Command:
        sign.forget()
        return command

    return Part(spec, start, is_ready=sign)
