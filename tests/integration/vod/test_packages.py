"""Submission packages: bags that others can verify, with masters that are the footage itself."""

from __future__ import annotations

import datetime as dt
import hashlib
import threading
import zipfile
from pathlib import Path
from typing import Any

import bagit
import pytest
from openpyxl import load_workbook
from sqlalchemy import select

from catalog.audit import SYSTEM, Actor
from catalog.errors import Refused
from catalog.models import Broadcast, Centre, Resource, Take, Work
from catalog.records import service
from catalog.resources import register_clip, register_recording, register_take
from catalog.sharing import packages
from infra.database import Database
from infra.jobs import JobRunner, cancel
from infra.settings import Settings
from infra.storage import NotFound
from infra.tables import Job
from tests.integration.vod.show import Show, air_take, new_show
from tests.support.media import Footage, read_beeps, read_numbers
from vod.clips import make_clip, request_clip
from vod.packages import make_package
from vod.shipping import ship_take

ADMIN = Actor(None, "管理员", "admin")
TICKS = 90_000


@pytest.fixture
def show(settings: Settings, database: Database, ffmpeg: str, tmp_path: Path) -> Show:
    return new_show(settings, database, ffmpeg, tmp_path)


@pytest.fixture
def runner(database: Database, settings: Settings) -> JobRunner:
    return JobRunner(database, settings, threading.Event())


def registered(show: Show) -> dict[str, str]:
    """Kind → id of the show's records: recording, take, clip; and a news item without media."""
    show.end()
    with show.database.transaction() as session:
        work, _ = request_clip(
            session, pieces=[(show.broadcast_id, TICKS, 3 * TICKS)],
            title="片段", created_by=None,
        )  # fmt: skip
    make_clip(show.tools, work.id)
    for take in show.takes:
        ship_take(show.tools, take.take_id)
    with show.database.transaction() as session:
        register_recording(session, session.get_one(Broadcast, show.broadcast_id))
        register_take(session, session.get_one(Take, show.takes[0].take_id))
        register_clip(session, session.get_one(Work, work.id))
        home = session.get_one(Centre, "c1")
        service.create(session, SYSTEM, kind="news", centre=home, fields={"title": "=信息"})
    with show.database.transaction() as session:
        return {row.kind: row.id for row in session.scalars(select(Resource))}


def promised(show: Show, **choice: Any) -> int:
    with show.database.transaction() as session:
        home = session.get_one(Centre, "c1")
        job, _ = packages.request_package(session, ADMIN, centre=home, **choice)
        return job.id


def result_of(show: Show, job_id: int) -> Job:
    with show.database.transaction() as session:
        return session.get_one(Job, job_id)


def unpacked(show: Show, job: Job, folder: Path) -> Path:
    key = packages.key_of(job)
    assert key is not None
    path = folder / "package.zip"
    show.storage.fetch(key, path)
    with zipfile.ZipFile(path) as found:
        found.extractall(folder)
    (bag,) = (child for child in folder.iterdir() if child.is_dir())
    return bag


def numbers(show: Show) -> list[int]:
    return [number for _, number in show.frames()]


def test_a_package_is_a_bag_with_masters_and_their_list(
    show: Show, runner: JobRunner, media_folder: Path, tmp_path: Path
) -> None:
    air_take(show, Footage(seconds=6), media_folder)
    ids = registered(show)
    job_id = promised(show, resource_ids=list(ids.values()))
    assert runner.look(job_id) == "done"
    job = result_of(show, job_id)
    assert (job.result["records"], job.result["files"], job.result["missing"]) == (4, 3, [])
    folder = tmp_path / "got"
    folder.mkdir()
    where = unpacked(show, job, folder)
    bag = bagit.Bag(str(where))
    bag.validate()
    assert bag.info["Source-Organization"] == "县文化馆"
    assert set(bag.payload_files()) == {
        f"data/finished/{ids['finished']}.mp4", f"data/micro/{ids['micro']}.mp4",
        f"data/raw/{ids['raw']}.mp4", "data/catalogue.xlsx",
    }  # fmt: skip
    recording = where / "data" / "finished" / f"{ids['finished']}.mp4"
    # Frame for frame what was on air, with its sound where it was.
    assert read_numbers(recording) == numbers(show)
    assert read_numbers(where / "data" / "raw" / f"{ids['raw']}.mp4") == numbers(show)
    beeps, aired = read_beeps(recording), read_beeps(show.takes[0].path)
    assert len(beeps) == len(aired)
    assert all(abs(a - b) < 0.03 for a, b in zip(beeps, aired, strict=True))
    sheet = load_workbook(where / "data" / "catalogue.xlsx")["资源"]
    rows = list(sheet.iter_rows(values_only=True))
    at = rows[0].index("文件")
    files = {str(row[0]): row[at] for row in rows[1:]}
    assert files[ids["finished"]] == f"data/finished/{ids['finished']}.mp4"
    assert files[ids["news"]] == "（无文件）"
    # One changed bit, and the bag says so.
    clip = where / "data" / "micro" / f"{ids['micro']}.mp4"
    clip.write_bytes(clip.read_bytes()[:-1] + b"\0")
    with pytest.raises(bagit.BagValidationError):
        bag.validate()


def test_a_show_of_two_encoders_becomes_one_file(
    show: Show, runner: JobRunner, media_folder: Path, tmp_path: Path
) -> None:
    air_take(show, Footage(seconds=4, b_frames=2, preset="veryfast"), media_folder)
    air_take(show, Footage(seconds=4, first=1000), media_folder)
    ids = registered(show)
    job_id = promised(show, resource_ids=[ids["finished"]])
    assert runner.look(job_id) == "done"
    folder = tmp_path / "got"
    folder.mkdir()
    bag = unpacked(show, result_of(show, job_id), folder)
    assert read_numbers(bag / "data" / "finished" / f"{ids['finished']}.mp4") == numbers(show)


def test_damage_and_loss_are_not_handed_on_in_silence(
    show: Show, runner: JobRunner, media_folder: Path
) -> None:
    air_take(show, Footage(seconds=6), media_folder)
    ids = registered(show)
    with show.database.transaction() as session:
        key = session.scalars(select(Work.mp4_key).where(Work.kind == "clip")).one() or ""
    path = show.storage.local_path(key)
    assert path is not None
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + b"\0")
    job_id = promised(show, resource_ids=[ids["micro"]])
    assert runner.look(job_id) == "failed"
    assert "校验值不符" in (result_of(show, job_id).error or "")
    path.unlink()
    with pytest.raises(NotFound):
        make_package(show.tools, 1, [ids["micro"]], "馆", lambda *_: None)
    # In the last attempt what is there is packed, and what is not is named.
    made = make_package(show.tools, 1, [ids["micro"]], "馆", lambda *_: None, forgiving=True)
    assert (made["files"], made["missing"]) == (0, [ids["micro"]])
    path.write_bytes(whole)
    digest = hashlib.sha256(whole).hexdigest()
    with show.database.transaction() as session:
        assert session.scalars(select(Work.sha256).where(Work.mp4_key == key)).one() == digest


def test_a_cancelled_package_leaves_nothing(show: Show, media_folder: Path) -> None:
    air_take(show, Footage(seconds=6), media_folder)
    ids = registered(show)
    calls = 0

    class Stop(Exception):
        pass

    def beat(share: float | None, note: str | None) -> None:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise Stop

    with pytest.raises(Stop):
        make_package(show.tools, 1, list(ids.values()), "馆", beat)
    assert list(show.storage.list(packages.PREFIX)) == []
    assert list((show.settings.data / "tmp").iterdir()) == []
    job_id = promised(show, resource_ids=[ids["news"]])
    with show.database.transaction() as session:
        assert cancel(session, job_id) == "cancelled"


def test_what_may_be_packed(show: Show, media_folder: Path) -> None:
    with show.database.transaction() as session:
        home = session.get_one(Centre, "c1")
        other = Centre(id="c2", name="外县文化馆", path="c2/")
        session.add(other)
        session.flush()
        day = dt.date(2025, 5, 1)
        rows = [
            Resource(id=key, centre_id=centre, kind="news", title=key, state=state, event_date=at)
            for key, centre, state, at in (
                ("own", "c1", "published", day), ("draft", "c1", "draft", day),
                ("old", "c1", "published", dt.date(2024, 5, 1)),
                ("gone", "c1", "withdrawn", day), ("far", "c2", "published", day),
            )
        ]  # fmt: skip
        session.add_all(rows)
        session.flush()
        job, count = packages.request_package(session, ADMIN, centre=home, year=2025)
        assert (job.args["resource_ids"], count) == (["own"], 1)
        _, count = packages.request_package(session, ADMIN, centre=home, resource_ids=["draft"])
        assert count == 1
        for choice, code in (
            ({}, "package_choice"),
            ({"year": 2025, "words": "x"}, "package_choice"),
            ({"year": 2020}, "package_empty"),
            ({"resource_ids": []}, "package_empty"),
            ({"resource_ids": ["own", "far"]}, "package_unknown"),
            ({"resource_ids": ["gone"]}, "package_unknown"),
            ({"resource_ids": [str(n) for n in range(2001)]}, "package_too_many"),
        ):
            with pytest.raises(Refused) as refused:
                packages.request_package(session, ADMIN, centre=home, **choice)
            assert refused.value.code == code


def test_packages_are_kept_for_two_weeks(show: Show) -> None:
    with show.database.transaction() as session:
        home = session.get_one(Centre, "c1")
        session.add(
            Resource(
                id="r", centre_id="c1", kind="news", title="信息", event_date=dt.date(2025, 5, 1)
            )
        )
        session.flush()
        job, _ = packages.request_package(session, ADMIN, centre=home, resource_ids=["r"])
        now = dt.datetime.now(dt.UTC)
        keys = [f"packages/{job.id}-a.zip", "packages/999999-b.zip"]
        assert packages.outdated(session, keys, now) == keys[1:]
        job.state, job.ended_at = "done", now
        session.flush()
        assert packages.outdated(session, keys, now + dt.timedelta(days=13)) == keys[1:]
        assert packages.outdated(session, keys, now + dt.timedelta(days=15)) == keys
