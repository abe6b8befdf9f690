"""The life of an uploaded work: watched while it grows, cancelled, failed, taken up again."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

import api.jobs
from api import answers_uploads
from api.library import CatalogueLibrary
from api.pages import cards
from catalog.audit import SYSTEM
from catalog.models import AirItem, Broadcast, Chunk, Rendition, Resource, Upload, Work
from catalog.resources import clip_footage, register_upload, timeline_of_upload
from infra.database import Database
from infra.jobs import JobWaits, rows
from infra.jobs import log as job_log
from infra.settings import Settings
from infra.tables import Job
from tests.integration.vod.uploaded import Studio, times_in
from tests.support.media import Footage, iter_pictures, make_footage
from tests.support.playlist_rules import PlaylistHistory
from transcode.hls.playlist import write_multivariant, write_replay
from vod.chunked import jobs as chunk_jobs
from vod.chunked import rows as chunk_rows
from vod.chunked import whole
from vod.chunked.make import make_chunk
from vod.chunked.rows import made_of
from vod.encode import EncodeError

FOOTAGE = Footage(6, size=(320, 180), gop_seconds=1, preset="ultrafast", audio=True)


@pytest.fixture
def studio(settings: Settings, database: Database) -> Studio:
    changed = settings.model_copy(update={"chunk_seconds": 2, "disk_log_only_bytes": 0})
    return Studio(changed, database)


@pytest.fixture
def original(ffmpeg: str, media_folder: Path) -> Path:
    return make_footage(ffmpeg, media_folder / "chunked-life.mp4", FOOTAGE)


def planned(studio: Studio, original: Path) -> str:
    """A work whose chunks are promised, and none is made."""
    work_id = studio.upload(original)
    ((job_id, _),) = studio.due()
    assert studio.look(job_id) == "waiting"
    return work_id


def test_it_can_be_watched_while_it_grows(
    studio: Studio, original: Path, database: Database, tmp_path: Path
) -> None:
    work_id = planned(studio, original)
    token = studio.work(work_id).media_token
    library, history = CatalogueLibrary(database), PlaylistHistory()
    entry = library.lookup(token)
    assert entry is not None
    assert (entry.state, entry.replay, entry.final) == ("waiting", None, False)
    first, second, *rest = [job for job, kind in studio.due() if kind == "chunk"]
    # The second is made first: it stands only behind the first.
    assert studio.look(second) == "done"
    assert studio.rungs(work_id) == []
    seen = []
    for moment, job in enumerate([first, *rest]):
        assert studio.look(job) == "done"
        entry = library.lookup(token)
        assert entry is not None
        assert entry.replay is not None
        assert (entry.state, entry.final) == ("ended", False)
        seen.append(_read(library, token, history, float(moment)))
    assert studio.run(work_id).state == "ready"
    entry = library.lookup(token)
    assert entry is not None
    assert entry.final
    seen.append(_read(library, token, history, 100.0))
    assert history.violations == []
    assert [text.count("#EXTINF") for text in seen] == sorted(t.count("#EXTINF") for t in seen)
    assert seen[0].count("#EXTINF") == 2
    assert all("#EXT-X-PLAYLIST-TYPE:EVENT" in text for text in seen)
    assert ["#EXT-X-ENDLIST" in text for text in seen] == [False] * (len(seen) - 1) + [True]
    # A player gets what stood then, and all of it now.
    assert numbers(library, studio, token, seen[0], tmp_path / "begun") == list(range(100))
    assert numbers(library, studio, token, seen[-1], tmp_path / "whole") == list(range(150))
    # Its segments are ranges of a few objects, and each is found by its own name.
    keys = {key for key in studio.storage.list(f"works/{token}/") if key.endswith(".mp4")}
    assert len(keys) == 2 * len(studio.chunks(work_id))
    for name in ("init0.mp4", "s0.m4s", "s2.m4s"):
        place = library.media(token, "a", name)
        assert place is not None
        assert place.size is not None
        data = studio.storage.open_range(place.key, place.offset, place.offset + place.size)
        assert data[4:8] == (b"ftyp" if name.startswith("init") else b"moof")


def numbers(
    library: CatalogueLibrary, studio: Studio, token: str, playlist: str, folder: Path
) -> list[int | None]:
    """The pictures FFmpeg's HLS demuxer gets of a playlist, its files as the edge finds them."""
    folder.mkdir()
    (folder / "replay.m3u8").write_text(playlist)
    (rung,) = [name for name in ("v180",) if library.replay(token, name)]
    for name in {"init0.mp4", *re.findall(r"^s\d+\.m4s$", playlist, re.MULTILINE)}:
        place = library.media(token, rung, name)
        assert place is not None
        assert place.size is not None
        data = studio.storage.open_range(place.key, place.offset, place.offset + place.size)
        (folder / name).write_bytes(data)
    options = {"allowed_extensions": "ALL", "live_start_index": "0", "max_reload": "1"}
    options["extension_picky"] = "0"
    return [p.number for p in iter_pictures(folder / "replay.m3u8", options=options)]


def _read(library: CatalogueLibrary, token: str, history: PlaylistHistory, at: float) -> str:
    """The picture's playlist, all of them held against the rules."""
    entry = library.lookup(token)
    assert entry is not None
    assert entry.replay is not None
    main = write_multivariant(entry.replay.renditions, "replay.m3u8").decode()
    history.add(f"http://x/hls/{token}/replay.m3u8", main, at)
    texts = {}
    for rung in entry.replay.renditions:
        replay = library.replay(token, rung.name)
        assert replay is not None
        found = replay.rendition(rung.name)
        assert found is not None
        texts[rung.name] = write_replay(replay, found).decode()
        history.add(f"http://x/hls/{token}/{rung.name}/replay.m3u8", texts[rung.name], at)
    return next(text for name, text in texts.items() if name != "a")


def test_original_and_work_are_one_footage_in_the_catalogue(
    studio: Studio, original: Path, database: Database
) -> None:
    work = studio.run(studio.upload(original))
    clock = timeline_of_upload(work.id)
    with database.transaction() as session:
        upload = session.scalars(select(Upload).where(Upload.work_id == work.id)).one()
        raw, finished = session.scalars(select(Resource).order_by(Resource.kind.desc())).all()
        assert (raw.kind, finished.kind) == ("raw", "finished")
        assert raw.intervals == finished.intervals == [[clock, 0, work.duration_ticks]]
        assert (raw.storage_key, raw.sha256) == (upload.storage_key, upload.sha256)
        assert upload.resource_id == raw.id
        assert finished.work_id == work.id
        assert finished.lineage == [raw.id]
        assert finished.state == "draft"
        clip = Work(edit_list=[[work.id, 90_000, 270_000]], kind="clip", making={})
        assert clip_footage(session, clip) == {clock: ((90_000, 270_000),)}
        # Doing it again finds the same records.
        register_upload(session, upload, session.get_one(Work, work.id))
        assert len(session.scalars(select(Resource)).all()) == 2
    assert studio.storage.size(f"works/{work.media_token}/poster.jpg")
    assert work.poster_key == f"works/{work.media_token}/poster.jpg"
    assert work.duration_ticks == 6 * 90_000


def test_a_file_known_by_its_sum_is_that_footage(
    studio: Studio, original: Path, database: Database
) -> None:
    first = studio.run(studio.upload(original))
    again = studio.upload(original)
    with database.transaction() as session:
        known = session.scalars(select(Upload).where(Upload.work_id == first.id)).one()
        session.scalars(select(Upload).where(Upload.work_id == again)).one().sha256 = known.sha256
    studio.run(again)
    with database.transaction() as session:
        records = session.scalars(select(Resource)).all()
        assert len(records) == 4
        assert {interval[0] for record in records for interval in record.intervals} == {
            timeline_of_upload(first.id)
        }


# --- stopping --------------------------------------------------------------------------------


def test_cancelling_any_part_leaves_nothing_but_the_original(
    studio: Studio, original: Path, database: Database
) -> None:
    work_id = planned(studio, original)
    first, second, *_ = [job for job, kind in studio.due() if kind == "chunk"]
    studio.look(first)
    work = studio.work(work_id)
    with database.transaction() as session:
        answer = api.jobs.cancel(session, None, second)
        # Whichever part one takes hold of, it is the whole.
        assert (answer.kind, answer.state) == ("chunks", "cancelled")
    assert studio.work(work_id).state == "failed"
    assert [kind for _, kind in studio.due()] == ["chunks_end"]
    with database.transaction() as session:
        for table in (AirItem, Rendition):
            assert session.scalars(select(table).where(table.token == work.media_token)).all() == []
        assert session.scalars(select(Chunk)).all() == []
        assert session.scalars(select(Resource)).all() == []
    assert CatalogueLibrary(database).lookup(work.media_token) is None
    studio.run(work_id)
    assert list(studio.storage.list(f"works/{work.media_token}/")) == []
    assert studio.storage.size(work.master_key or "") == original.stat().st_size
    # Trying again begins anew, and comes to the same end.
    ((whole_job,),) = [[job.id for job in studio.jobs(work_id, "chunks")]]
    with database.transaction() as session:
        assert api.jobs.retry(session, None, whole_job).state == "queued"
    assert studio.run(work_id).state == "ready"


def test_cancelling_while_a_chunk_is_made_stops_it(
    studio: Studio, original: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chunk is stopped at a beat; what it had put is gone, and cleaning up waits for it."""
    work_id = planned(studio, original)
    token = studio.work(work_id).media_token
    job_id = next(job for job, kind in studio.due() if kind == "chunk")
    put = type(studio.storage).put_file

    def put_and_cancel(self: object, key: str, path: Path, **how: bool) -> int:
        size = put(self, key, path, **how)  # type: ignore[arg-type]
        with database.transaction() as session:
            if session.get_one(Work, work_id).state == "making":
                api.jobs.cancel(session, None, studio.jobs(work_id, "chunks")[0].id)
                assert whole_says(studio, "chunks_end") is None
        return size

    monkeypatch.setattr(type(studio.storage), "put_file", put_and_cancel)
    assert studio.look(job_id) == "cancelled"
    monkeypatch.undo()
    assert studio.work(work_id).state == "failed"
    assert list(studio.storage.list(f"works/{token}/")) == []
    studio.run(work_id)
    assert studio.due() == []


def test_cancelling_during_a_look_of_the_whole_is_not_lost(
    studio: Studio, original: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    work_id = planned(studio, original)
    (job,) = studio.jobs(work_id, "chunks")
    looking = whole.bring_about

    def look(*given: object) -> dict[str, object]:
        try:
            return looking(*given)  # type: ignore[arg-type]
        except JobWaits:
            with database.transaction() as session:
                assert api.jobs.cancel(session, None, job.id).state == "running"
            raise

    monkeypatch.setattr(chunk_jobs, "bring_about", look)
    assert studio.look(job.id) == "cancelled"
    assert studio.work(work_id).state == "failed"
    assert studio.chunks(work_id) == []
    assert [kind for _, kind in studio.due()] == ["chunks_end"]


def test_a_chunk_of_an_earlier_try_is_not_taken_for_one_of_the_next(
    studio: Studio, original: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled, begun anew and divided otherwise, while a worker that was lost goes on."""
    work_id = planned(studio, original)
    put = type(studio.storage).put_file

    def put_later(self: object, key: str, path: Path, **how: bool) -> int:
        size = put(self, key, path, **how)  # type: ignore[arg-type]
        with database.transaction() as session:
            chunk = session.get_one(Chunk, (work_id, 1))
            chunk.plan = {**chunk.plan, "cuts": [*chunk.plan["cuts"][:-1], chunk.end_ticks + 3600]}
        return size

    monkeypatch.setattr(type(studio.storage), "put_file", put_later)
    job_id = studio.jobs(work_id)[1].id
    assert studio.look(job_id) == "cancelled"
    assert studio.chunks(work_id)[1].state == "waiting"
    assert list(studio.storage.list(f"works/{studio.work(work_id).media_token}/")) == []


def whole_says(studio: Studio, kind: str) -> str | None:
    """What a look at the first open job of a kind comes to; None when there is none."""
    for job_id, found in studio.due():
        if found == kind:
            return studio.look(job_id)
    return None


def test_a_chunk_given_up_fails_the_whole_and_a_retry_makes_only_the_rest(
    studio: Studio, original: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    work_id = planned(studio, original)
    making = make_chunk
    sick = {2}

    def make(tools: object, asked: str, number: int, beat: object) -> dict[str, object]:
        if number in sick:
            words = "FFmpeg ended with code 1\nlast words of FFmpeg"
            raise EncodeError(words)
        return making(tools, asked, number, beat)  # type: ignore[arg-type]

    monkeypatch.setattr(chunk_jobs, "make_chunk", make)
    work = studio.run(work_id)
    assert work.state == "failed"
    (job,) = studio.jobs(work_id, "chunks")
    assert (job.state, job.error_code) == ("failed", "chunk_failed")
    assert (job.error or "").startswith("第 3 段没有做成")
    shown = cards.job_row(job, dt.datetime.now(dt.UTC))
    # One plain sentence; what FFmpeg said is in the log. The work has no page any more.
    assert shown.error == "第 3 段没有做成，做好的各段保留 7 天，可以再试一次。编码没有成功。"
    assert shown.href is None
    assert CatalogueLibrary(database).lookup(work.media_token) is None
    with database.transaction() as session:
        lines = [text for _, text in api.jobs.log(session, None, job.id)]
    assert "第 3 段：last words of FFmpeg" in lines
    assert sum("第 3 段：第" in line and "次没有成功" in line for line in lines) == 2
    kept = {c.number: made_of(c) for c in studio.chunks(work_id) if c.state == "done"}
    assert kept
    assert 2 not in kept
    sick.clear()
    with database.transaction() as session:
        # The failed part's own button is the whole's.
        part = next(j for j in studio.jobs(work_id) if j.state == "failed")
        assert api.jobs.retry(session, None, part.id).id == job.id
    assert studio.run(work_id).state == "ready"
    now = {c.number: made_of(c) for c in studio.chunks(work_id)}
    assert {number: now[number] for number in kept} == kept


def test_a_work_nobody_works_on_any_more_is_settled(
    studio: Studio, original: Path, database: Database
) -> None:
    work_id = planned(studio, original)
    with database.transaction() as session:
        for job_id, _ in studio.due():
            rows.cancel(session, job_id)
    with database.transaction() as session:
        assert whole.settle(session) == 1
    assert studio.work(work_id).state == "failed"
    studio.run(work_id)
    assert list(studio.storage.list(f"works/{studio.work(work_id).media_token}/")) == []


def test_what_was_made_of_a_failed_work_is_put_away_after_a_week(
    studio: Studio, original: Path, database: Database
) -> None:
    work_id = planned(studio, original)
    studio.look(studio.jobs(work_id)[0].id)
    (job,) = studio.jobs(work_id, "chunks")
    with database.transaction() as session:
        session.get_one(Job, studio.jobs(work_id)[1].id).state = "failed"
    studio.look(job.id)
    work = studio.work(work_id)
    assert work.state == "failed"
    folder = f"works/{work.media_token}/"
    studio.run(work_id)
    now = dt.datetime.now(dt.UTC)
    with database.transaction() as session:
        assert whole.put_away(session, now + whole.KEPT - dt.timedelta(hours=1)) == 0
    assert list(studio.storage.list(folder)) != []
    with database.transaction() as session:
        assert whole.put_away(session, now + whole.KEPT + dt.timedelta(hours=1)) == 1
        assert whole.put_away(session, now + whole.KEPT + dt.timedelta(hours=1)) == 0
    studio.run(work_id)
    assert list(studio.storage.list(folder)) == []
    with database.transaction() as session:
        assert api.jobs.retry(session, None, job.id).state == "queued"
    assert studio.run(work_id).state == "ready"


def test_files_of_lost_attempts_do_not_stay(studio: Studio, original: Path) -> None:
    work_id = planned(studio, original)
    token = studio.work(work_id).media_token
    lost = f"works/{token}/a/c00001-abcdefgh.mp4"
    studio.storage.put_bytes(lost, b"half of it")
    other = f"works/{token}/storyboard/s0.jpg"
    studio.storage.put_bytes(other, b"not ours")
    studio.run(work_id)
    left = set(studio.storage.list(f"works/{token}/"))
    assert lost not in left
    assert other in left


# --- progress --------------------------------------------------------------------------------


def test_progress_is_that_of_the_whole(studio: Studio, original: Path, database: Database) -> None:
    work_id = planned(studio, original)
    chunks = studio.chunks(work_id)
    total = sum(c.end_ticks - c.start_ticks for c in chunks)
    done, last = 0, 0
    for number in range(1, len(chunks) + 1):
        waiting = [job for job, kind in studio.due() if kind == "chunk"]
        # A few at a time: other work is not kept waiting for the last of them.
        assert len(waiting) == min(chunk_rows.AHEAD, len(chunks) - number + 1)
        assert studio.look(waiting[0]) == "done"
        done += chunks[number - 1].end_ticks - chunks[number - 1].start_ticks
        (whole_job,) = studio.jobs(work_id, "chunks")
        span = chunk_rows.MADE_PERMILLE - chunk_rows.PLANNED_PERMILLE
        assert whole_job.progress_permille == chunk_rows.PLANNED_PERMILLE + span * done // total
        assert whole_job.progress_permille > last
        assert whole_job.note == f"已完成 {number}/{len(chunks)} 段"
        assert whole_job.pace[-1][1] == whole_job.progress_permille
        last = whole_job.progress_permille
    with database.transaction() as session:
        shown = api.jobs.listed(session, None, housekeeping=False)
        assert [job.kind for job in shown] == ["chunks"]
        assert len(api.jobs.listed(session, None)) == len(chunks) + 1
        lines = [line.text for line in job_log.lines(session, shown[0].id)]
    assert lines[-1] == f"已完成 {len(chunks)}/{len(chunks)} 段"
    assert f"共 {len(chunks)} 段，清晰度：180" in lines
    studio.run(work_id)
    (whole_job,) = studio.jobs(work_id, "chunks")
    assert (whole_job.state, whole_job.progress_permille) == ("done", 1000)
    assert whole_job.result["pictures"] == 150


def test_a_running_chunk_counts_by_its_share(
    studio: Studio, original: Path, database: Database
) -> None:
    work_id = planned(studio, original)
    before = _permille(studio, work_id)
    with database.transaction() as session:
        job = session.get_one(Job, studio.jobs(work_id)[0].id)
        job.state, job.progress_permille = "running", 500
        job.lease_until = dt.datetime.now(dt.UTC) + dt.timedelta(minutes=1)
        job.lease_owner = "nobody"
    half = _permille(studio, work_id)
    first = studio.chunks(work_id)[0]
    share = (first.end_ticks - first.start_ticks) / (6 * 90_000)
    assert half - before == pytest.approx(975 * share / 2, abs=2)


def test_the_upload_is_told_the_same_progress(
    studio: Studio, original: Path, database: Database
) -> None:
    """Also within a chunk, and of a work that is a single one."""
    work_id = planned(studio, original)
    with database.transaction() as session:
        job = session.get_one(Job, studio.jobs(work_id)[0].id)
        job.state, job.progress_permille = "running", 500
        job.lease_until = dt.datetime.now(dt.UTC) + dt.timedelta(minutes=1)
        chunk_rows.tell(session, work_id)
    with database.transaction() as session:
        upload = session.scalars(select(Upload).where(Upload.work_id == work_id)).one()
        (told,) = answers_uploads.told(
            session, SYSTEM, [upload], offset=lambda _: 0, days=7, files_path=""
        )
        (whole_job,) = studio.jobs(work_id, "chunks")
        assert told.stage == "making"
        assert told.progress == (whole_job.progress_permille or 0) / 1000
        assert told.progress > chunk_rows.PLANNED_PERMILLE / 1000


def _permille(studio: Studio, work_id: str) -> int:
    with studio.database.transaction() as session:
        return chunk_rows.overall(session, work_id)[0]


def test_how_fast_the_original_was_read_says_nothing_about_the_rest(
    studio: Studio, original: Path, database: Database
) -> None:
    work_id = planned(studio, original)
    now = dt.datetime.now(dt.UTC).timestamp()
    with database.transaction() as session:
        job = session.get_one(Job, studio.jobs(work_id, "chunks")[0].id)
        # A big file: a minute for its packets, a hundredth of the whole.
        job.pace = [[now - 60, 0.0], [now - 40, 4.0], [now - 11, 9.0]]
    with database.transaction() as session:
        assert chunk_rows.tell(session, work_id)
    (job,) = studio.jobs(work_id, "chunks")
    assert [permille for _, permille in job.pace] == [chunk_rows.PLANNED_PERMILLE]
    assert api.jobs.seconds_left(job, dt.datetime.now(dt.UTC)) is None


# --- places ----------------------------------------------------------------------------------


def test_of_a_show_that_was_taken_down_nothing_is_sent(
    studio: Studio, original: Path, database: Database
) -> None:
    with database.transaction() as session:
        broadcast = Broadcast(
            id="b1", centre_id="c1", title="村晚", media_token="t" * 22, state="ended"
        )
        session.add(broadcast)
    work = studio.run(studio.upload(original, broadcast_id="b1"))
    library = CatalogueLibrary(database)
    assert library.off_air((work.media_token,)) == set()
    with database.transaction() as session:
        session.get_one(Broadcast, "b1").off_air_at = dt.datetime.now(dt.UTC)
    assert library.off_air((work.media_token,)) == {work.media_token}
    entry = library.lookup(work.media_token)
    assert entry is not None
    assert entry.state == "blocked"


def test_sound_alone_is_a_work_too(studio: Studio, ffmpeg: str, media_folder: Path) -> None:
    path = make_footage(
        ffmpeg, media_folder / "alone.m4a", replace(FOOTAGE, video=False, sample_rate=48_000)
    )
    work = studio.run(studio.upload(path))
    assert work.state == "ready"
    assert studio.rungs(work.id) == ["a"]
    assert len(studio.chunks(work.id)) > 1
    assert work.poster_key is None


def test_the_pictures_are_the_originals(studio: Studio, original: Path, tmp_path: Path) -> None:
    work = studio.run(studio.upload(original))
    (name,) = [name for name in studio.rungs(work.id) if name != "a"]
    joined = studio.joined(work.id, name, tmp_path)
    assert [p.number for p in iter_pictures(joined)] == list(range(150))
    assert times_in(joined) == [n * 3600 for n in range(150)]
