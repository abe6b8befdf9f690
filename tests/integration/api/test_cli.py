"""The command line, as other programs use it: one JSON document, exit codes, plain refusals."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from catalog.models import Broadcast, Feed
from infra.database import Database
from infra.processes.up import child_environment
from infra.settings import Settings
from tests.support.plays import watch
from tests.support.stage import SECOND, Stage

ROOT = Path(__file__).parents[3]


class Cli:
    """Runs `xitai` on the test's database."""

    def __init__(self, settings: Settings) -> None:
        self.environment = child_environment(settings)

    def run(self, *argv: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "api.cli", *argv],
            env=self.environment,
            cwd=ROOT,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def json(self, *argv: str, stdin: str = "") -> Any:
        done = self.run(*argv, "--json", stdin=stdin)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def refused(self, *argv: str) -> tuple[int, Any]:
        done = self.run(*argv, "--json")
        assert done.stdout == ""
        return done.returncode, json.loads(done.stderr)["error"]


@pytest.fixture
def cli(settings: Settings) -> Cli:
    return Cli(settings)


def test_a_broadcast_from_the_command_line(cli: Cli, database: Database) -> None:
    made = cli.json("broadcast", "create", "--title", "元宵晚会", "--planned", "2026-02-02T19:30")
    assert made["planned_at"] == "2026-02-02T11:30:00Z"  # without an offset it is China's time
    assert set(made["publish"]) == {"rtmp_url", "stream_key"}
    with database.transaction() as session:
        broadcast = session.get_one(Broadcast, made["id"])
        feed = session.query(Feed).one()
        stage = Stage(session, broadcast, feed, "")
        for number in range(2):
            take = stage.open(at_us=1_770_000_000_000_000 + number * 20_000_000)
            stage.slots(take, stage.run(take), [2 * SECOND] * 2)
            stage.close(take, end_ms=5_000)
    shown = cli.json("broadcast", "show", made["id"])
    assert (shown["state"], len(shown["takes"]), len(shown["gaps"])) == ("live", 2, 1)
    assert (shown["finished_seconds"], shown["raw_seconds"]) == (8.0, 10.0)
    assert shown["gaps"][0]["seconds"] == 15.0
    assert shown["replay_hls_url"].endswith("/replay.m3u8")
    assert "stream_key" not in json.dumps(shown)
    rotated = cli.json("broadcast", "rotate-key", made["id"])
    assert rotated["publish"]["stream_key"] != made["publish"]["stream_key"]
    assert cli.json("broadcast", "end", made["id"])["state"] == "ended"
    assert [item["id"] for item in cli.json("broadcast", "list")["items"]] == [made["id"]]
    assert "已结束" in cli.run("broadcast", "list").stdout
    assert "成片      0.1 分钟" in cli.run("broadcast", "show", made["id"]).stdout


def test_minutes_are_written_whole_or_not_at_all(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "2026.xlsx"
    cli.json("broadcast", "create", "--title", "x")
    told = cli.json("export", "minutes", "--year", "2026", "--out", str(out))
    assert told == {"year": 2026, "broadcasts": 0, "out": str(out)}
    assert openpyxl.load_workbook(out).sheetnames == ["汇总", "明细"]
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".xlsx"] == ["2026.xlsx"]
    code, error = cli.refused(
        "export", "minutes", "--year", "2026", "--out", str(tmp_path / "no" / "x.xlsx")
    )
    assert (code, error["code"]) == (1, "out_unwritable")
    code, error = cli.refused(
        "export", "minutes", "--year", "2026", "--out", str(out), "--centre", "没有"
    )
    assert (code, error["code"]) == (1, "centre_unknown")
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_plays_are_rolled_up_once(cli: Cli, database: Database) -> None:
    item = cli.json("broadcast", "create", "--title", "元宵")["id"]
    with database.transaction() as session:
        watch(session, item, "a")
    assert cli.json("plays", "roll-up") == {"changed": 1}
    assert cli.json("plays", "roll-up", "--since", "2026-01-01") == {"changed": 0}
    assert cli.run("plays", "roll-up", "--until", "2026-01-01").returncode == 2


def test_accounts_and_tokens(cli: Cli) -> None:
    made = cli.json(
        *("admin", "create-user", "--login", "li.na", "--role", "admin"),
        *("--centre", "勐海县文化馆", "--password-stdin"),
        stdin="correct-horse-9\n",
    )
    assert (made["login"], made["centre"]) == ("li.na", "勐海县文化馆")
    assert cli.json("admin", "token", "--role", "staff")["role"] == "staff"
    assert len(cli.run("admin", "token", "--role", "staff").stdout.strip()) == 22
    code, error = cli.refused("admin", "token", "--role", "king")
    assert (code, error["code"]) == (1, "role_unknown")
    bounded = ("admin", "token", "--role", "admin", "--centre", "勐海县文化馆")
    code, error = cli.refused(*bounded)
    assert (code, error["code"]) == (1, "token_admin_centre")


def test_refusals_are_one_sentence_and_misuse_is_two(cli: Cli, tmp_path: Path) -> None:
    code, error = cli.refused("broadcast", "show", "nothing")
    assert (code, error["code"]) == (1, "broadcast_not_found")
    plain = cli.run("broadcast", "show", "nothing")
    assert (plain.returncode, plain.stdout) == (1, "")
    assert plain.stderr == "没有找到这场直播，请检查编号。\n"
    code, error = cli.refused("broadcast", "create", "--title", " ")
    assert (code, error["code"]) == (1, "title_empty")
    code, error = cli.refused(
        "clip", "create", "--broadcast", "x", "--in", "3", "--out", "2", "--title", "x"
    )
    assert (code, error["code"]) == (1, "clip_range")
    for misuse in (
        ("broadcast", "create"),
        ("broadcast", "create", "--title", "x", "--planned", "soon"),
        ("worker", "--queues", "live,vod"),
        ("worker",),
        ("nothing",),
    ):
        assert cli.run(*misuse).returncode == 2, misuse


def test_where_nothing_runs_it_says_so(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("XITAI_")}
    done = subprocess.run(
        [sys.executable, "-m", "api.cli", "broadcast", "list", "--data", str(tmp_path)],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("这个数据文件夹上没有运行中的 Xitai")
