"""A 资源库 with something of everything in it, and a web process of our own that shows it."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy
from sqlalchemy.orm import Session

from catalog import accounts
from catalog.audit import Actor
from catalog.centres import add_centre
from catalog.models import Broadcast, Centre, Resource, User, Work
from catalog.outside import enter
from catalog.records import review, service
from catalog.records.fields import content_hash
from catalog.records.genres import genres
from infra.database import Database
from infra.ids import public_id, secret_token
from infra.settings import Settings
from infra.storage import open_storage
from tests.support.pages_server import ROOT, free_port
from vod import record_files

LONG = "二〇二六年勐海县勐混镇曼蚌村傣族泼水节暨乡村春节联欢晚会与非遗展演现场直播第一场"
PASSWORD = "correct-horse-9"
_START_S = 40.0
_TICKS = 90_000


@dataclass
class Stage:
    """Who and what there is; `people` maps a role to the session of its browser."""

    site: str = ""
    people: dict[str, str] = field(default_factory=dict)
    records: dict[str, str] = field(default_factory=dict)
    actors: dict[str, Actor] = field(default_factory=dict)


def picture(hue: int, width: int = 1600, height: int = 1067) -> bytes:
    """A JPEG that looks like something: hills under a sky of one hue."""
    rows = numpy.linspace(0, 1, height)[:, None]
    sky = numpy.zeros((height, width, 3), numpy.uint8)
    sky[:] = (hue, 70, 200)
    sky[..., 2] = (235 - 120 * rows).astype(numpy.uint8)
    image = cv2.cvtColor(sky, cv2.COLOR_HSV2BGR)
    cv2.circle(image, (int(width * 0.7), int(height * 0.32)), height // 9, (190, 225, 250), -1)
    across = numpy.arange(width)
    for n, shade in enumerate((110, 75, 40)):
        low = height * (0.62 + 0.13 * n)
        edge = low - height * 0.07 * numpy.sin(across / width * (5 + 3 * n) + hue / 9)
        points = numpy.stack([across, edge], 1).astype(numpy.int32)
        points = numpy.vstack([points, [[width, height], [0, height]]])
        cv2.fillPoly(image, [points], (shade, shade + 12, shade + 22))
    return bytes(cv2.imencode(".jpg", image)[1].tobytes())


def seed(database: Database, settings: Settings, *, empty: bool = False) -> Stage:
    """Centres, people of every role, and (unless empty) records of every kind and state."""
    stage = Stage()
    with database.transaction() as session:
        prefecture = add_centre(session, "西双版纳州文化馆", level="prefecture")
        county = add_centre(session, "勐海县文化馆", parent=prefecture)
        other = add_centre(session, "勐腊县文化馆", parent=prefecture)
        _people(session, stage, county, prefecture)
        if not empty:
            _records(session, stage, settings, county, other)
    return stage


def _people(session: Session, stage: Stage, county: Centre, prefecture: Centre) -> None:
    cast = {
        "staff": ("岩温罕", county),
        "reviewer_1": ("玉香", county),
        "reviewer_2": ("李建国", county),
        "reviewer_3": ("刀志明", county),
        "supervisor": ("周敏", prefecture),
        "admin": ("馆长", prefecture),
    }
    now = dt.datetime.now(dt.UTC)
    for role, (name, centre) in cast.items():
        user: User = accounts.create_user(
            session, login=role, name=name, role=role, centre=centre, password=PASSWORD
        )
        stage.people[role] = accounts.open_session(session, user, now)
        path = None if role == "admin" else centre.path
        stage.actors[role] = Actor(user.id, name, role, path)


def approve(session: Session, stage: Stage, resource_id: str, steps: int = 3) -> None:
    """Submit, and let so many of the three reviewers approve."""
    review.submit(session, stage.actors["staff"], resource_id)
    for step in range(1, steps + 1):
        who = stage.actors[f"reviewer_{step}"]
        seen = content_hash(service.get(session, who, resource_id))
        review.decide(session, who, resource_id, step, "approve", seen, "看过，可以。")


def _records(
    session: Session, stage: Stage, settings: Settings, county: Centre, other: Centre
) -> None:
    staff = stage.actors["staff"]
    genre = {row.name: row.id for row in genres(session)}
    storage = open_storage(settings)

    def make(
        name: str, kind: str, title: str, *, steps: int | None = 3, hue: int | None = None,
        centre: Centre = county, **fields: Any,
    ) -> Resource:  # fmt: skip
        actor = staff if centre is county else stage.actors["admin"]
        given = {"event_date": "2026-02-03", "place": "勐混镇曼蚌村", **fields}
        made = service.create(
            session, actor, kind=kind, centre=centre, fields={"title": title, **given}
        )
        if hue is not None:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "picture"
                path.write_bytes(picture(hue))
                service.attach(session, actor, made.id, record_files.keep(storage, "image", path))
        stage.records[name] = made.id
        if steps is not None:
            approve(session, stage, made.id, steps) if steps else review.submit(
                session, staff, made.id
            )
        return made

    show = _show(session, county)
    stage.records["evening"] = show.id
    assert show.ended_at is not None
    enter(
        session, staff, show.id, platform="微信视频号", clicks=12_840, link="https://example.com/v/1",
        seen_at=show.ended_at, now=show.ended_at,
    )  # fmt: skip
    people = [
        {"name": "岩罕恩", "role": "performer"},
        {"name": "玉儿甩", "role": "performer"},
        {"name": "王丽华", "role": "director"},
    ]
    make(
        "show", "finished", "勐混镇乡村春晚", steps=None, broadcast_id=show.id, people=people,
        languages=["khb", "zh"], keywords=["泼水节", "象脚鼓", "村晚"],
        genre_id=genre.get("歌舞") or next(iter(genre.values()), None),
        description="象脚鼓舞、布朗弹唱、傣族武术，还有村里小朋友的合唱。演出约两小时。",
        rights_holder="勐海县文化馆", licence="nation", source="戏台直播",
    )  # fmt: skip
    _footage(session, stage.records["show"], show)
    approve(session, stage, stage.records["show"])
    make("long", "micro", LONG, steps=1, people=people[:1])
    make("song", "audio", "布朗弹唱《茶山敬酒歌》", steps=None, keywords=["布朗弹唱"])
    make("paper", "document", "勐海象脚鼓制作技艺调查报告", steps=2)
    make("news", "news", "县文化馆送戏下乡走进布朗山", body="一月二十日，县文化馆……\n" * 6)
    course = make("course", "course", "象脚鼓入门", description="八节课，从站姿学到完整的一段。")
    for n, title in enumerate(("认识象脚鼓", "站姿与持鼓", "基本鼓点", "边走边打"), start=1):
        make(
            f"lesson{n}", "lesson", title, parent_id=course.id, position=n, steps=3 if n < 4 else 0
        )
    wall = make(
        "wall", "exhibition", "茶山四季：布朗山摄影展",
        description="二十年里，馆里的人背着相机走遍了布朗山的寨子。",
    )  # fmt: skip
    for n, (title, hue) in enumerate((("春分", 40), ("采茶", 15), ("雨季", 100), ("围火", 4))):
        make(
            f"picture{n}", "image", title, hue=hue, parent_id=wall.id, position=n + 1,
            ledger="exhibition", confirmed=n != 3, description="布朗山老曼峨",
        )  # fmt: skip
    make("gone", "news", "已经过时的通知", steps=None)
    service.withdraw(session, staff, stage.records["gone"], "活动取消")
    make("far", "news", "勐腊县的消息", steps=None, centre=other)


def _show(session: Session, centre: Centre) -> Broadcast:
    """It was to go on for four hours, and has fallen short of half of that."""
    began = dt.datetime(2026, 2, 3, 12, 0, tzinfo=dt.UTC)
    show = Broadcast(
        id=public_id(),
        centre_id=centre.id,
        title="勐混镇乡村春晚",
        media_token=secret_token(),
        state="ended",
        planned_at=began,
        planned_end_at=began + dt.timedelta(hours=4),
        started_at=began,
        ended_at=began + dt.timedelta(hours=2),
        finalized_at=began + dt.timedelta(hours=3),
    )
    session.add(show)
    session.flush()
    return show


def _footage(session: Session, resource_id: str, show: Broadcast) -> None:
    """The recording behind a finished record, as if it had been broadcast."""
    ticks = 6132 * _TICKS
    work = Work(
        id=public_id(),
        centre_id=show.centre_id,
        broadcast_id=show.id,
        kind="recording",
        state="ready",
        title=show.title,
        media_token=show.media_token,
        duration_ticks=ticks,
    )
    session.add(work)
    session.flush()
    resource = session.get_one(Resource, resource_id)
    resource.work_id = work.id
    resource.duration_ticks = ticks
    resource.intervals = [["take:x", 0, ticks]]
    session.flush()


@contextmanager
def web(settings: Settings) -> Iterator[str]:
    """A web process on these settings; its address."""
    port = free_port()
    env = os.environ | {
        "XITAI_DATA": str(settings.data),
        "XITAI_HTTP": f"127.0.0.1:{port}",
        "XITAI_DATABASE_URL": str(settings.database_url),
        "XITAI_REDIS_URL": str(settings.redis_url),
    }
    settings.data.mkdir(parents=True, exist_ok=True)
    log = (settings.data / "web.log").open("wb")
    with log:
        server = subprocess.Popen(
            [sys.executable, "-m", "api.cli", "web"], cwd=ROOT, env=env, stdout=log, stderr=log
        )
        address = f"http://127.0.0.1:{port}"
        try:
            _wait(address, server, settings.data / "web.log")
            yield address
        finally:
            server.terminate()
            server.wait(20)


def _wait(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()[-2000:]
        try:
            urllib.request.urlopen(f"{address}/desk/sign-in", timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise AssertionError(f"no answer within {_START_S} s: {log.read_text()[-2000:]}")
