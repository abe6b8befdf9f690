"""A desk with pictures to choose among: shows with proposals, photographs and searches in every
state, and an exhibition to hang."""

from __future__ import annotations

import datetime as dt
import tempfile
from pathlib import Path

from sqlalchemy.orm import Session

from catalog.models import AirItem, Broadcast, Centre, Feed, Resource, Still, Take
from catalog.records import files, service
from infra.database import Database
from infra.ids import public_id, secret_token
from infra.jobs import enqueue
from infra.settings import Settings
from infra.storage import Storage, open_storage
from tests.support.library_stage import LONG, Stage, picture
from tests.support.scenes import Scene
from vod import record_files
from vod.stills.frames import jpeg, small_jpeg

TICKS = 90_000
BEGAN = dt.datetime(2026, 2, 3, 11, 30, tzinfo=dt.UTC)
COUNT = 9


def seed_stills(database: Database, settings: Settings, stage: Stage) -> None:
    """Add to a stage of ``library_stage.seed``; names the shows in ``stage.records``."""
    storage = open_storage(settings)
    with database.transaction() as session:
        centre = session.get_one(Broadcast, _any_show(session)).centre
        for name, title in (
            ("many", "勐混镇乡村春晚·图片"), ("titled", LONG), ("none", "还没挑过的一场"),
            ("searching", "正在挑的一场"), ("failed", "没挑成的一场"), ("silent", "没有画面的一场"),
        ):  # fmt: skip
            show = _show(session, centre, title, aired=name != "silent")
            stage.records[name] = show.id
            if name in ("many", "titled"):
                _stills(session, storage, show, COUNT if name == "many" else 3)
            if name in ("searching", "failed"):
                job = enqueue(
                    session, kind="stills", queue="vod", title=title, broadcast_id=show.id,
                    args={"token": show.media_token, "count": 24}, centre_id=centre.id,
                )  # fmt: skip
                job.state = "running" if name == "searching" else "failed"
                job.started_at = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=40)
                job.progress_permille, job.note = 400, "已挑出 7 张"
                job.lease_until = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
                if name == "failed":
                    job.error_code, job.error = "storage_full", "存储空间已满，请先腾出空间再重试。"
                    job.ended_at = dt.datetime.now(dt.UTC)
        bare = service.create(
            session, stage.actors["staff"], kind="exhibition", centre=centre,
            fields={"title": "还没挂图的展览", "event_date": "2026-02-03"},
        )  # fmt: skip
        stage.records["bare"] = bare.id
        # Said behind the catalogue's back: a change would reopen its review.
        hung = session.get_one(Resource, stage.records["picture1"])
        hung.people = [{"name": "岩香", "role": "photographer"}]
        for number in range(2):
            _photo(session, storage, stage, stage.records["many"], f"摄影师的照片 {number + 1}")


def _any_show(session: Session) -> str:
    return session.query(Broadcast).limit(1).one().id


def _show(session: Session, centre: Centre, title: str, *, aired: bool) -> Broadcast:
    show = Broadcast(
        id=public_id(),
        centre_id=centre.id,
        title=title,
        media_token=secret_token(),
        state="ended",
        started_at=BEGAN,
        ended_at=BEGAN + dt.timedelta(hours=2),
        finalized_at=BEGAN + dt.timedelta(hours=2),
    )
    session.add(show)
    session.flush()
    if aired:
        us = round(BEGAN.timestamp() * 1e6)
        feed = Feed(id=public_id(), broadcast_id=show.id, key_hash=secret_token())
        session.add(feed)
        session.flush()
        take = Take(
            id=public_id(), broadcast_id=show.id, feed_id=feed.id, seq=1, state="closed",
            node_url="http://127.0.0.1:9", first_arrival_us=us, last_arrival_us=us + 7200 * 10**6,
            end_ms=7_200_000,
        )  # fmt: skip
        session.add(take)
        session.flush()
        session.add(
            AirItem(
                token=show.media_token, msn=0, source="feed", take_id=take.id, take_start_ms=0,
                start_ticks=0, duration_ticks=7200 * TICKS, pdt_us=us,
            )
        )  # fmt: skip
    session.flush()
    return show


def _stills(session: Session, storage: Storage, show: Broadcast, count: int) -> None:
    for number in range(count):
        rgb = Scene(number + 20, size=(960, 540), light=0.3 if number % 4 == 3 else 1.0)(number)
        at = (number * 613 + 95) * TICKS
        base = f"works/{show.media_token}/stills/{at}"
        storage.put_bytes(f"{base}.jpg", jpeg(rgb))
        storage.put_bytes(f"{base}-small.jpg", small_jpeg(rgb, files.SMALL_EDGE))
        session.add(
            Still(
                token=show.media_token, at_ticks=at, score=900 - number, width=960, height=540,
                phash=f"{number * 0x0123456789ABCDEF % 2**64:016x}", storage_key=f"{base}.jpg",
                small_key=f"{base}-small.jpg",
            )
        )  # fmt: skip


def _photo(session: Session, storage: Storage, stage: Stage, show: str, title: str) -> None:
    actor = stage.actors["staff"]
    centre = session.get_one(Broadcast, show).centre
    made = service.create(
        session, actor, kind="image", centre=centre,
        fields={"title": title, "broadcast_id": show, "event_date": "2026-02-03"},
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture"
        path.write_bytes(picture(30 + len(title), 800, 1200))
        service.attach(session, actor, made.id, record_files.keep(storage, "image", path))
