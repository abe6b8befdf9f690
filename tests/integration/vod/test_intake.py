"""Files that have come in: taken once, handed over, refused with a reason, looked after."""

from __future__ import annotations

import datetime as dt
import hashlib
import threading
from pathlib import Path

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

import vod.intake
from catalog import intakes
from catalog.audit import SYSTEM
from catalog.errors import Refused
from catalog.models import AuditEntry, Resource, Upload, Work
from catalog.uploads import promise_intake
from infra.database import Database
from infra.jobs import JobFailed, JobRunner
from infra.settings import Settings
from infra.storage import StorageFull
from infra.tables import Job
from tests.support.library_stage import picture
from tests.support.media import Footage, make_footage
from tests.support.uploads import Desk, sha256
from vod.intake_jobs import look_after
from vod.tools import Tools


@pytest.fixture
def desk(settings: Settings, database: Database) -> Desk:
    return Desk.of(settings, database)


@pytest.fixture
def film(ffmpeg: str, media_folder: Path) -> Path:
    return make_footage(ffmpeg, media_folder / "intake.mp4", Footage(seconds=3, size=(320, 180)))


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def count(desk: Desk, what: type[Work | Resource | Upload]) -> int:
    with desk.tools.database.transaction() as session:
        return session.scalar(select(func.count()).select_from(what)) or 0


def test_a_recording_becomes_a_work(desk: Desk, film: Path) -> None:
    upload = desk.arrive(film, "春晚.mov", claimed_sha256=sha256(film))
    made = desk.take_in(upload)
    row = desk.row(upload)
    assert (row.state, row.work_id, row.sha256) == ("registered", made["work_id"], sha256(film))
    assert row.storage_key == f"originals/{upload}/original.mp4"
    kept = desk.tools.storage.get(row.storage_key)
    assert hashlib.sha256(kept).hexdigest() == sha256(film)
    told = row.technical["probe"]
    assert (told["video"]["codec"], told["video"]["width"]) == ("h264", 320)
    assert told["duration_ticks"] == pytest.approx(3 * 90_000, abs=9_000)
    with desk.tools.database.transaction() as session:
        work = session.scalars(select(Work)).one()
        assert (work.kind, work.state, work.master_key) == ("upload", "making", row.storage_key)
        assert session.scalars(select(Job.kind)).all() == ["chunks"]
    # What came in is gone from where it came in.
    assert desk.folder.ids() == []
    assert desk.beats > 3


def test_a_photograph_becomes_a_picture(desk: Desk) -> None:
    upload = desk.arrive(picture(40, 800, 600), "春分.jpg", purpose="photo")
    made = desk.take_in(upload)
    row = desk.row(upload)
    assert (row.state, row.resource_id) == ("registered", made["resource_id"])
    with desk.tools.database.transaction() as session:
        resource = session.scalars(select(Resource)).one()
        assert (resource.kind, resource.confirmed_at, resource.sha256) == (
            "image",
            None,
            row.sha256,
        )
    assert desk.folder.ids() == []


def test_not_what_was_sent(desk: Desk, film: Path) -> None:
    assert desk.refused(film, claimed_sha256="0" * 64) == "upload_changed"
    assert desk.refused(film, size_bytes=film.stat().st_size + 1) == "upload_size"
    with desk.tools.database.transaction() as session:
        noted = session.scalars(select(AuditEntry).order_by(AuditEntry.id)).all()
        assert [(e.action, e.details) for e in noted] == [
            ("upload.refuse", {"code": "upload_changed"}),
            ("upload.refuse", {"code": "upload_size"}),
        ]


def test_the_same_file_again(desk: Desk, film: Path) -> None:
    first = desk.arrive(film, title="春晚")
    work_id = desk.take_in(first)["work_id"]
    again = desk.arrive(film)
    with pytest.raises(JobFailed, match="春晚"):
        desk.take_in(again)
    row = desk.row(again)
    assert (row.state, row.error_code) == ("refused", "upload_duplicate")
    assert row.sha256 == sha256(film)
    assert row.technical["same"] == {"kind": "work", "id": work_id, "title": "春晚"}
    # Kept for a while: somebody may insist, and need not send it again.
    assert desk.folder.part(again).exists()
    later = now() + intakes.KEEP_DUPLICATE + dt.timedelta(hours=1)
    with desk.tools.database.transaction() as session, pytest.raises(Refused) as gone:
        intakes.insist(session, SYSTEM, again, later)
    assert gone.value.code == "upload_not_kept"
    with desk.tools.database.transaction() as session:
        intakes.insist(session, SYSTEM, again, now())
    assert desk.take_in(again)["work_id"] != work_id
    assert count(desk, Work) == 2


def test_two_of_the_same_at_once(desk: Desk, film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both looked before either was registered: one of them is."""
    one, two = desk.arrive(film), desk.arrive(film)
    honest = vod.intake._check_twin
    both = threading.Barrier(2, timeout=30)

    def together(tools: Tools, found: object) -> None:
        honest(tools, found)  # type: ignore[arg-type]
        both.wait()

    monkeypatch.setattr(vod.intake, "_check_twin", together)
    said: list[str] = []

    def take(upload: str) -> None:
        try:
            said.append("taken" if desk.take_in(upload)["taken"] else "gone")
        except JobFailed as why:
            said.append(why.code)

    threads = [threading.Thread(target=take, args=(upload,)) for upload in (one, two)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said) == ["taken", "upload_duplicate"]
    assert count(desk, Work) == 1


def test_removed_while_it_is_taken_in(
    desk: Desk, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = desk.arrive(film)
    honest = desk.tools.storage.put_file

    def put_and_remove(key: str, path: Path) -> int:
        size = honest(key, path)
        with desk.tools.database.transaction() as session:
            intakes.remove(session, SYSTEM, upload, now())
        return size

    monkeypatch.setattr(type(desk.tools.storage), "put_file", lambda _s, k, p: put_and_remove(k, p))
    assert desk.take_in(upload) == {"taken": False}
    assert count(desk, Work) == 0
    assert list(desk.tools.storage.list("originals/")) == []
    assert desk.folder.ids() == []


def test_no_room_is_our_fault_and_said(
    desk: Desk, film: Path, settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = desk.arrive(film)
    job_id = promised(database, upload)

    def full(_tools: Tools, _size: int) -> None:
        raise StorageFull("full")

    monkeypatch.setattr(Tools, "require_room", full)
    runner = JobRunner(database, settings, threading.Event())
    for ended in ("to be retried", "to be retried", "failed"):
        with database.transaction() as session:
            session.execute(text("UPDATE jobs SET not_before = NULL"))
        assert runner.look(job_id) == ended
    row = desk.row(upload)
    assert (row.state, row.error_code) == ("received", "storage_full")
    monkeypatch.undo()
    with database.transaction() as session:
        intakes.look_again(session, SYSTEM, upload, now())
        again = session.scalars(select(Job.id).where(Job.kind == "intake", Job.state == "queued"))
        job_id = again.one()
    assert runner.look(job_id) == "done"
    assert desk.row(upload).state == "registered"


def promised(database: Database, upload_id: str) -> int:
    with database.transaction() as session:
        return promise_intake(session, session.get_one(Upload, upload_id)).id


# --- looking after ---------------------------------------------------------------------------


def test_what_beat_looks_after(desk: Desk, film: Path) -> None:
    old = now() - dt.timedelta(days=8)
    data = film.read_bytes()
    whole = desk.arrive(data, state="receiving")
    abandoned = desk.arrive(data[:100], state="receiving", size_bytes=len(data), changed_at=old)
    coming = desk.arrive(data[:100], state="receiving", size_bytes=len(data))
    lost = desk.arrive(data, changed_at=now() - dt.timedelta(minutes=5))
    twin = desk.arrive(data, state="refused", error_code="upload_duplicate")
    stale = desk.arrive(data, state="refused", error_code="upload_duplicate", changed_at=old)
    done = desk.arrive(data, state="registered")
    found = look_after(desk.tools, now())
    assert found == {"finished": 1, "expired": 1, "left": 1, "deleted": 3}
    assert desk.folder.ids() == sorted([whole, coming, lost, twin])
    assert desk.row(whole).state == "received"
    assert desk.row(abandoned).error_code == "upload_expired"
    assert desk.row(lost).error_code == "upload_left"
    assert {desk.row(one).state for one in (stale, done)} == {"refused", "registered"}
    with desk.tools.database.transaction() as session:
        assert jobs_of(session) == [whole]
    # Once more changes nothing.
    again = look_after(desk.tools, now())
    assert again == {"finished": 0, "expired": 0, "left": 0, "deleted": 0}


def jobs_of(session: Session) -> list[str]:
    return [str(args["upload_id"]) for args in session.scalars(select(Job.args))]
