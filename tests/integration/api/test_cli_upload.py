"""`xitai upload`: stopped in the middle and run again, here and over the network."""

from __future__ import annotations

import datetime as dt
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from catalog.accounts import issue_token
from catalog.centres import add_centre
from catalog.models import Credential, Upload
from infra.database import Database
from infra.processes.up import child_environment
from infra.settings import Settings
from tests.support.library_stage import web
from tests.support.pages_server import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

DATA = random.Random(17).randbytes(40 << 20)


@pytest.fixture
def site(settings: Settings, redis_client: object) -> Iterator[tuple[str, Settings]]:
    roomy = settings.model_copy(update={"disk_log_only_bytes": 0})
    with web(roomy) as address:
        yield address, roomy.model_copy(update={"http": address.removeprefix("http://")})


def start(settings: Settings, *words: str, **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "api.cli", "upload", *words],
        env=child_environment(settings) | more, cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def run(settings: Settings, *words: str, **more: str) -> tuple[int, list[Any], str]:
    with start(settings, *words, "--json", **more) as running:
        out, err = running.communicate(timeout=90)
    return running.returncode, [json.loads(line) for line in out.splitlines()], err


def test_stopped_and_run_again(
    site: tuple[str, Settings], database: Database, tmp_path: Path
) -> None:
    address, settings = site
    # The server shows the name with a single space, and knows it again all the same.
    film = tmp_path / "卡录  01.mp4"
    film.write_bytes(DATA)
    with database.transaction() as session:
        centre = add_centre(session, "勐海县文化馆")
        token = issue_token(session, role="staff", centre=centre, now=dt.datetime.now(dt.UTC))
    far = ("--server", address)
    running = start(settings, str(film), *far, XITAI_TOKEN=token)
    assert running.stderr is not None
    for line in running.stderr:
        if "20%" in line or "40%" in line:
            break
    running.kill()
    running.communicate()
    code, told, err = run(settings, str(film), *far, "--title", "春晚", XITAI_TOKEN=token)
    assert code == 0, err
    assert told[0]["stage"] == "checking"
    assert told[0]["file"] == str(film)
    first = err.splitlines()[0]
    assert int(first.split("%")[0]) > 20, "it began anew"
    with database.transaction() as session:
        upload = session.scalars(select(Upload)).one()
        assert (upload.state, upload.size_bytes) == ("received", len(DATA))
        assert upload.claimed_sha256 is not None
    assert (settings.uploads_dir / f"{upload.id}.part").read_bytes() == DATA


def test_here_without_a_token(
    site: tuple[str, Settings], database: Database, tmp_path: Path
) -> None:
    _, settings = site
    good, empty = tmp_path / "一.mp4", tmp_path / "空.mp4"
    good.write_bytes(DATA[:100_000])
    empty.touch()
    code, told, _ = run(settings, str(good), str(empty), "--title", "两个")
    assert code == 1
    assert [row["stage"] for row in told] == ["checking", "refused"]
    assert told[1]["error_code"] == "upload_empty"
    with database.transaction() as session:
        assert session.scalars(select(Upload.title)).one() == "两个（1）"
        # What was lent is taken back.
        assert session.scalar(select(func.count()).select_from(Credential)) == 0


def test_nothing_runs_here(bare_settings: Settings, tmp_path: Path) -> None:
    film = tmp_path / "三.mp4"
    film.write_bytes(b"x")
    code, told, err = run(bare_settings, str(film))
    assert (code, told) == (1, [])
    assert json.loads(err)["error"]["code"] == "not_running"
    code, told, err = run(bare_settings, str(film), "--server", "http://127.0.0.1:9")
    assert (code, told) == (2, [])
