"""Logs and metrics: what must never be in them, and that numbers of all processes add up."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.metrics import forget_dead
from infra.settings import Settings
from infra.telemetry import configure_logging, get_logger, hide_secrets, make_formatter

ROOT = Path(__file__).parents[3]
KEY = "q3Vd9-_kXx2LrT0aBcDeFg"


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        (f"rtmp://host:1935/live/{KEY}", "rtmp://host:1935/live/[hidden]"),
        (f"-i 'rtmps://h/live/{KEY}?a=b' x", "-i 'rtmps://h/live/[hidden]' x"),
        (f"Authorization: Bearer {KEY}", "Authorization: Bearer [hidden]"),
        (f"GET /takes/a.flv?from_ms=2&k={KEY} 200", "GET /takes/a.flv?from_ms=2&k=[hidden] 200"),
        (f"http://h/setup/{KEY} once", "http://h/setup/[hidden] once"),
        ("postgresql://u:pa$$w@h/db", "postgresql://u:[hidden]@h/db"),
        (f"s3 ?X-Amz-Credential={KEY}&x=1", "s3 ?X-Amz-Credential=[hidden]&x=1"),
        ("rtmp://host/live is where to push", "rtmp://host/live is where to push"),
        ("http://h:80/hls/abc/main.m3u8?_HLS_msn=2", "http://h:80/hls/abc/main.m3u8?_HLS_msn=2"),
    ],
)
def test_secrets_are_taken_out_of_text(text: str, hidden: str) -> None:
    assert hide_secrets(text) == hidden


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What is logged as JSON, with the process's logging put back afterwards."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    settings = Settings(log_json=True)
    handler.setFormatter(make_formatter(settings, "web"))
    configure_logging(settings, "web", handlers=[handler])
    yield written
    root.handlers[:] = before
    root.setLevel(level)
    logging.captureWarnings(False)


def test_every_line_is_tagged_and_clean(lines: io.StringIO) -> None:
    log = get_logger("x")
    log.info("published", stream_key=KEY, args=["-i", f"rtmp://h/live/{KEY}"], size=3)
    logging.getLogger("foreign").warning("at %s", f"rtmp://h/live/{KEY}")
    try:
        raise ValueError(f"no rtmp://h/live/{KEY}")
    except ValueError:
        log.exception("failed", error=ValueError(f"?k={KEY}"))
    text = lines.getvalue()
    assert KEY not in text
    events = [json.loads(line) for line in text.splitlines()]
    assert [event["part"] for event in events] == ["web"] * 3
    assert events[0]["args"] == ["-i", "rtmp://h/live/[hidden]"]
    assert events[0]["size"] == 3
    assert events[1]["event"] == "at rtmp://h/live/[hidden]"
    assert "ValueError" in events[2]["exception"]


def test_chatter_of_libraries_is_left_out(lines: io.StringIO) -> None:
    logging.getLogger("httpx").info("HTTP Request: GET …")
    assert lines.getvalue() == ""


COUNT = """
import os, sys, time
from infra import metrics
metrics.play_events.labels(kind="start").inc(int(sys.argv[1]))
metrics.takes_open.inc()
if sys.argv[1] == "3":
    print("counted", flush=True)
    time.sleep(60)
"""


def test_numbers_of_several_processes_add_up_and_the_dead_hold_nothing(tmp_path: Path) -> None:
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", COUNT, "4"], cwd=ROOT, env=environment, check=True)
    assert done.returncode == 0
    living = subprocess.Popen(
        [sys.executable, "-c", COUNT, "3"], cwd=ROOT, env=environment, stdout=subprocess.PIPE
    )
    with living:
        assert living.stdout is not None
        living.stdout.readline()
        read = "from infra import metrics; print(metrics.render()[0].decode())"
        shown = subprocess.run(
            [sys.executable, "-c", read],
            cwd=ROOT,
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        living.kill()
    assert 'xitai_play_events_total{kind="start"} 7.0' in shown
    assert "xitai_takes_open 1.0" in shown


def test_only_live_gauges_of_the_dead_are_removed(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    kept = {f"gauge_livesum_{os.getpid()}.db", f"counter_{dead.pid}.db"}
    for name in kept | {f"gauge_livesum_{dead.pid}.db"}:
        (tmp_path / name).touch()
    forget_dead(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == kept


def test_settings_quote_awkward_folders() -> None:
    settings = Settings(data=Path("/tmp/戏 台+%"), database_url=None, redis_url=None)
    host = settings.resolved_database_url.partition("host=")[2]
    assert urllib.parse.unquote_plus(host) == str(settings.run_dir)
