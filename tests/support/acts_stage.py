"""A short real show with what the pages of acts are about: media, programme list, marks, proposals,
the peaks and kinds of its sound, its storyboard; and a web process that shows it."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psycopg

from catalog import accounts, acts
from catalog.acts import Line, Proposal
from catalog.audit import SYSTEM, Actor
from catalog.models import Broadcast, Centre
from infra.database import Database
from infra.settings import Settings
from tests.integration.vod.show import Show, air_take, new_show
from tests.support.library_stage import web
from tests.support.media import Footage
from vod.acts.grid import PEAKS_PER_SECOND
from vod.storyboard import keep_extra, make_storyboard

SECOND = 90_000
SECONDS = 40
LONG = "二〇二六年勐海县勐混镇曼蚌村傣族泼水节暨乡村春节联欢晚会与非遗展演现场直播第一场"
LINES = (
    Line("开场舞《象脚鼓舞》", "舞蹈", "曼蚌村文艺队", 0, 9 * SECOND),
    Line("布朗弹唱《茶山敬酒歌》", "弹唱", "岩罕恩、玉儿甩", 10 * SECOND),
    Line(LONG, "小品", "勐混镇文化站"),
    Line("孔雀舞", "舞蹈", "小卜少"),
)


@dataclass
class ActsStage:
    """Where it is, who may come in, and the programmes by name."""

    settings: Settings
    shows: dict[str, Show] = field(default_factory=dict)
    session: str = ""
    site: str = ""
    staff: Actor = SYSTEM

    def url(self, name: str, page: str = "acts") -> str:
        return f"{self.site}/desk/programmes/{self.shows[name].broadcast_id}/{page}"


def make(
    settings: Settings, database: Database, ffmpeg: str, folder: Path, media: Path
) -> ActsStage:
    """`full`: with proposals; `bare`: footage alone; `live`: on the air; `before`: yet to come."""
    stage = ActsStage(settings)
    for name in ("full", "bare", "live", "before"):
        show = stage.shows[name] = new_show(settings, database, ffmpeg, folder)
        if name != "before":
            air_take(show, Footage(seconds=SECONDS, size=(320, 180)), media)
        if name in ("full", "bare"):
            show.end()
    with database.transaction() as session:
        user = accounts.create_user(
            session, login="staff", name="岩温罕", role="staff",
            centre=session.get_one(Centre, "c1"), password="correct-horse-9",
        )  # fmt: skip
        stage.session = accounts.open_session(session, user, dt.datetime.now(dt.UTC))
        stage.staff = Actor(user.id, user.display_name, "staff", "c1/")
        for name, show in stage.shows.items():
            row = session.get_one(Broadcast, show.broadcast_id)
            row.title = "勐混镇乡村春晚" if name != "bare" else LONG
    token = stage.shows["full"].token
    with database.transaction() as session:
        for name in ("live", "before"):
            acts.set_programme(session, stage.staff, stage.shows[name].token, LINES)
        entries = acts.set_programme(session, stage.staff, token, LINES)
        acts.add_mark(session, stage.staff, token, 10 * SECOND, "布朗弹唱《茶山敬酒歌》")
        acts.add_mark(session, stage.staff, token, 31 * SECOND, "孔雀舞")
        starts = (0, 10, 20, 31, SECONDS)
        acts.propose(
            session, token,
            [
                Proposal(
                    start * SECOND, end * SECOND, entry.title, sure,
                    [("applause", 600), ("listed", 300), ("silence", 200)], entry.id,
                )
                for start, end, entry, sure in zip(
                    starts, starts[1:], entries, (950, 700, 300, 900), strict=False
                )
            ],
        )  # fmt: skip
    draw(stage.shows["full"])
    return stage


def draw(show: Show) -> None:
    """What the timeline is drawn from: a storyboard as its job makes it, a sound that swells and
    fades, and its kinds."""
    make_storyboard(show.tools, show.token)
    rng = np.random.default_rng(4)
    at = np.arange(SECONDS * PEAKS_PER_SECOND) / PEAKS_PER_SECOND
    loud = 0.25 + 0.6 * np.abs(np.sin(at / 3.1)) * rng.uniform(0.5, 1, at.size)
    peaks = np.clip(loud * 255, 0, 255).astype(np.uint8).tobytes()
    sounds = [
        [start * SECOND, end * SECOND, kind]
        for start, end, kind in (
            (0, 8, "music"), (8, 9.5, "applause"), (9.5, 11, "speech"), (11, 19, "song"),
            (19, 20, "applause"), (20, 31, "speech"), (31, 38, "music"), (38, 40, "applause"),
        )
    ]  # fmt: skip
    base = f"extras/{show.token}"
    show.storage.put_bytes(f"{base}/waveform", peaks)
    show.storage.put_bytes(f"{base}/analysis", json.dumps({"sounds": sounds}).encode())
    with show.database.transaction() as session:
        facts = {"per_second": PEAKS_PER_SECOND}
        keep_extra(session, show.token, "waveform", f"{base}/waveform", facts)
        keep_extra(session, show.token, "analysis", f"{base}/analysis", {})


@contextmanager
def acts_site(servers: Settings, folder: Path, ffmpeg: str, media: Path) -> Iterator[ActsStage]:
    """A stage of its own with a web process over it."""
    with psycopg.connect(
        host=str(servers.run_dir), user="postgres", dbname="postgres", autocommit=True
    ) as connection:
        connection.execute(
            b"CREATE DATABASE acts_stage OWNER xitai TEMPLATE template STRATEGY wal_log"
        )
    settings = Settings(
        data=folder / "data",
        database_url=f"postgresql+psycopg://xitai@/acts_stage?host={servers.run_dir}",
        redis_url=servers.resolved_redis_url,
    )
    database = Database(settings.resolved_database_url, name="stage")
    try:
        stage = make(settings, database, ffmpeg, folder, media)
        with web(settings) as stage.site:
            yield stage
    finally:
        database.close()
