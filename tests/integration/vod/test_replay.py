"""Replays: views over the rows, from the first segment on, complete the moment the show is."""

from __future__ import annotations

import datetime as dt
import time
from pathlib import Path

import m3u8
import pytest
from sqlalchemy import delete, event, insert, select, update

from catalog.air import renditions
from catalog.broadcasts import end_broadcast, finalize
from catalog.models import AirItem, Broadcast, InitSection, Rendition, Segment
from infra.database import Database
from infra.settings import Settings
from infra.tables import Job
from tests.integration.vod.show import START_US, Show, air_take, new_show
from tests.support.media import Footage, read_numbers
from transcode.hls.head import decode_head, encode_head
from transcode.hls.playlist import write_live, write_multivariant, write_plain, write_replay
from vod.compaction import clean_up, compact
from vod.replay import head_from_catalogue, media, outline
from vod.shelf import ReplayShelf

THREE_HOURS = 5_400


@pytest.fixture
def show(
    settings: Settings, database: Database, ffmpeg: str, media_folder: Path, tmp_path: Path
) -> Show:
    """Two takes of one encoder, with one init section a rung."""
    made = new_show(settings, database, ffmpeg, tmp_path)
    air_take(made, Footage(seconds=6), media_folder)
    air_take(made, Footage(seconds=5, first=1000), media_folder)
    return made


@pytest.fixture
def shelf() -> ReplayShelf:
    return ReplayShelf()


def text(shelf: ReplayShelf, show: Show, name: str = "v360") -> str:
    with show.database.transaction() as session:
        found = shelf.media(session, show.token, name)
    assert found is not None
    return write_replay(found.replay, found.rendition).decode()


def playable(show: Show, text: str, name: str, folder: Path) -> Path:
    """The playlist with its files beside it, as the edge would answer."""
    folder.mkdir()
    (folder / "replay.m3u8").write_text(text)
    with show.database.transaction() as session:
        (rung,) = [r for r in renditions(session, show.token) if r.name == name]
        rows = [
            *(
                (f"init{i.number}.mp4", i.storage_key, i.byte_offset or 0, i.size_bytes)
                for i in session.scalars(
                    select(InitSection).where(InitSection.rendition_id == rung.id)
                )
            ),
            *(
                (f"s{s.msn}.m4s", s.storage_key, s.byte_offset, s.size_bytes)
                for s in session.scalars(select(Segment).where(Segment.rendition_id == rung.id))
            ),
        ]
        if rung.compacted_key:
            joined = show.storage.get(rung.compacted_key)
            (folder / rung.compacted_key.rsplit("/", 1)[-1]).write_bytes(joined)
            return folder / "replay.m3u8"
    for file, key, offset, size in rows:
        (folder / file).write_bytes(show.storage.open_range(key, offset, offset + size))
    return folder / "replay.m3u8"


def test_growing_replay_is_an_event_that_only_grows(
    show: Show, shelf: ReplayShelf, media_folder: Path
) -> None:
    before = text(shelf, show)
    assert "#EXT-X-PLAYLIST-TYPE:EVENT\n" in before
    assert "#EXT-X-ENDLIST" not in before
    air_take(show, Footage(seconds=4, first=2000), media_folder)
    after = text(shelf, show)
    assert after.startswith(before)
    # Read anew by another process, it says the same.
    assert text(ReplayShelf(), show) == after
    show.end()
    assert text(shelf, show) == after + "#EXT-X-ENDLIST\n"


def test_replay_plays_every_frame_before_and_after_compaction(
    show: Show, shelf: ReplayShelf, tmp_path: Path
) -> None:
    numbers = [number for _, number in show.frames()]
    show.end()
    small = playable(show, text(shelf, show), "v360", tmp_path / "small")
    assert read_numbers(small) == numbers
    compact(show.tools, show.broadcast_id)
    clean_up(show.tools, show.broadcast_id)
    joined = text(shelf, show)
    assert "#EXT-X-PLAYLIST-TYPE:VOD\n" in joined
    assert "#EXT-X-BYTERANGE:" in joined
    # The addresses that players still hold go on answering the same bytes.
    assert read_numbers(playable(show, joined, "v360", tmp_path / "joined")) == numbers
    assert m3u8.loads(joined).segments[3].discontinuity


def test_end_without_a_live_job_is_final(show: Show, shelf: ReplayShelf) -> None:
    """The live job of a show may have failed for good: its replay ends all the same."""
    show.end(final=False)
    with show.database.transaction() as session:
        jobs = session.scalars(select(Job).where(Job.kind == "live")).all()
        assert [job.state for job in jobs] == ["queued"]
    assert "#EXT-X-ENDLIST" not in text(shelf, show)
    with show.database.transaction() as session:
        session.execute(update(Job).where(Job.kind == "live").values(state="failed"))
    assert text(shelf, show).endswith("#EXT-X-ENDLIST\n")


def test_slates_are_left_out(show: Show, shelf: ReplayShelf) -> None:
    whole = m3u8.loads(text(shelf, show))
    with show.database.transaction() as session:
        session.execute(
            update(AirItem)
            .where(AirItem.token == show.token, AirItem.msn == 1)
            .values(source="slate", take_id=None, run_id=None)
        )
    cut = m3u8.loads(text(ReplayShelf(), show))
    assert [s.uri for s in cut.segments] == [s.uri for s in whole.segments if s.uri != "s1.m4s"]
    assert [s.uri for s in cut.segments if s.discontinuity] == ["s2.m4s", "s3.m4s"]


def test_slate_at_the_end_of_what_was_read_is_remembered(
    show: Show, shelf: ReplayShelf, media_folder: Path
) -> None:
    with show.database.transaction() as session:
        last = session.scalars(
            select(AirItem).where(AirItem.token == show.token).order_by(AirItem.msn.desc()).limit(1)
        ).one()
        last.source = "slate"
        msn = last.msn
    text(shelf, show)
    air_take(show, Footage(seconds=4, first=2000), media_folder)
    with show.database.transaction() as session:
        session.execute(update(AirItem).where(AirItem.msn == msn + 1).values(discontinuity=False))
    assert text(shelf, show) == text(ReplayShelf(), show)
    grown = m3u8.loads(text(shelf, show))
    assert f"s{msn + 1}.m4s" in [s.uri for s in grown.segments if s.discontinuity]


def test_rung_that_lacks_a_slot_keeps_its_number_as_a_gap(show: Show) -> None:
    with show.database.transaction() as session:
        (rung,) = [r for r in renditions(session, show.token) if r.name == "v360"]
        session.execute(delete(Segment).where(Segment.rendition_id == rung.id, Segment.msn == 1))
    found = m3u8.loads(text(ReplayShelf(), show))
    assert [s.gap_tag for s in found.segments[:3]] == [None, True, None]
    assert len(found.segment_map) == 1


def test_unknown_tokens_and_rungs_have_no_replay(show: Show, shelf: ReplayShelf) -> None:
    with show.database.transaction() as session:
        assert shelf.media(session, "nosuchtoken", "v360") is None
        assert shelf.media(session, show.token, "v9000") is None
        assert outline(session, "nosuchtoken") is None
        whole = outline(session, show.token)
    assert whole is not None
    master = write_multivariant(whole.replay().renditions, "replay.m3u8")
    assert [p.uri for p in m3u8.loads(master.decode()).playlists] == [
        "v360/replay.m3u8",
        "a/replay.m3u8",
    ]


# --- sizes -----------------------------------------------------------------------------------


@pytest.fixture
def long_show(settings: Settings, database: Database, ffmpeg: str, tmp_path: Path) -> Show:
    """Three hours in four rungs, rows only."""
    show = new_show(settings, database, ffmpeg, tmp_path)
    with database.transaction() as session:
        broadcast = session.get_one(Broadcast, show.broadcast_id)
        broadcast.state = "live"
        broadcast.target_duration = 3
        items = [
            {
                "token": show.token, "msn": n, "source": "feed", "take_start_ms": n * 2000,
                "start_ticks": n * 180_000, "duration_ticks": 180_000,
                "pdt_us": START_US + n * 2_000_000, "discontinuity": False,
            }
            for n in range(THREE_HOURS)
        ]  # fmt: skip
        session.execute(insert(AirItem), items)
        for name in ("v1080", "v720", "v480", "a"):
            rung = Rendition(
                token=show.token, name=name, kind="audio" if name == "a" else "video",
                copied=False, codecs="avc1.640028,mp4a.40.2", bandwidth=1, average_bandwidth=1,
                height=None if name == "a" else int(name[1:]),
            )  # fmt: skip
            session.add(rung)
            session.flush()
            session.add(
                InitSection(
                    rendition_id=rung.id, number=0, sha256="0" * 64, size_bytes=1000,
                    storage_key=f"live/{show.token}/{name}/init0.mp4",
                )
            )  # fmt: skip
            parts = [[45_000, 100_000, int(n == 0)] for n in range(4)]
            segments = [
                {
                    "rendition_id": rung.id, "msn": n, "init_number": 0,
                    "storage_key": f"live/{show.token}/{name}/{n:08d}.m4s",
                    "size_bytes": 400_000, "duration_ticks": 180_000, "parts": parts,
                }
                for n in range(THREE_HOURS)
            ]  # fmt: skip
            session.execute(insert(Segment), segments)
    return show


def seconds_of(work: object) -> float:
    began = time.perf_counter()
    assert callable(work)
    work()
    return time.perf_counter() - began


def test_three_hours_are_playable_at_once(long_show: Show) -> None:
    """The end of a show costs the same whatever its length: one row, and the last segments."""
    show = long_show
    cold = ReplayShelf()
    first = seconds_of(lambda: text(cold, show, "v1080"))
    warm = ReplayShelf()
    text(warm, show, "v1080")
    statements: list[str] = []

    def note(_c: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    with show.database.transaction() as session:
        end_broadcast(session, show.broadcast_id, dt.datetime.now(dt.UTC))
        finalize(session, show.broadcast_id, dt.datetime.now(dt.UTC))
    event.listen(show.database.engine, "before_cursor_execute", note)
    try:
        ended = seconds_of(lambda: text(warm, show, "v1080"))
    finally:
        event.remove(show.database.engine, "before_cursor_execute", note)
    assert not [s for s in statements if "FROM air_items LEFT OUTER JOIN segments" in s]
    kept = seconds_of(lambda: text(warm, show, "v1080"))
    print(f"cold {first:.3f} s, at the end {ended:.3f} s, kept {kept:.4f} s")
    assert text(warm, show, "v1080").endswith("#EXT-X-ENDLIST\n")
    assert first < 1.0
    assert ended < 0.5


def test_compacting_three_hours_of_rows_is_one_short_transaction(long_show: Show) -> None:
    from vod.compaction import plan, switch

    show = long_show
    with show.database.transaction() as session:
        broadcast = session.get_one(Broadcast, show.broadcast_id)
        broadcast.finalized_at = dt.datetime.now(dt.UTC)
        rungs = plan(session, show.token)

    def switch_one() -> None:
        with show.database.transaction() as session:
            assert switch(session, rungs[0])

    took = seconds_of(switch_one)
    print(f"switching {THREE_HOURS} rows: {took:.3f} s")
    assert took < 3.0


def test_shelf_is_bounded(long_show: Show) -> None:
    shelf = ReplayShelf(max_segments=2 * THREE_HOURS)
    for name in ("v1080", "v720", "v480", "a"):
        text(shelf, long_show, name)
    assert [key[1] for key in shelf._kept] == ["v480", "a"]
    assert shelf._held == 2 * THREE_HOURS


# --- the live head from rows -----------------------------------------------------------------


def test_live_head_from_rows_is_the_last_minute(long_show: Show) -> None:
    with long_show.database.transaction() as session:
        broadcast = session.get_one(Broadcast, long_show.broadcast_id)
        began = time.perf_counter()
        head = head_from_catalogue(session, broadcast, now_us=5)
        took = time.perf_counter() - began
    print(f"live head from rows: {took:.4f} s")
    assert head == decode_head(encode_head(head))
    assert (head.state, head.version, head.media_sequence) == ("live", 0, THREE_HOURS - 30)
    for rung in head.renditions:
        assert [s.msn for s in rung.segments] == list(range(THREE_HOURS - 30, THREE_HOURS))
        assert rung.next_msn == THREE_HOURS
        assert rung.open_pdt_us == START_US + THREE_HOURS * 2_000_000
        # Four target durations of three seconds: the parts of the last six segments.
        assert [len(s.parts) for s in rung.segments] == [0] * 24 + [4] * 6
        assert [p.offset for p in rung.segments[-1].parts] == [0, 100_000, 200_000, 300_000]
        assert write_live(head, rung).count(b"EXT-X-PART:") == 24
        assert write_plain(head, rung).count(b"#EXTINF") == 30
    write_multivariant(head.renditions, "live.m3u8")
    assert took < 0.5


def test_live_head_counts_the_discontinuities_before_it(show: Show) -> None:
    with show.database.transaction() as session:
        head = head_from_catalogue(session, session.get_one(Broadcast, show.broadcast_id))
    assert head.discontinuity_sequence == 0
    assert [s.disc for s in head.renditions[0].segments].count(True) == 1
    whole = len(head.renditions[0].segments)
    with show.database.transaction() as session:
        found = outline(session, show.token)
        assert found is not None
        replay = media(session, found, "v360")
    assert replay is not None
    assert len(replay.rendition.segments) == whole


def test_head_of_a_broadcast_that_has_not_begun(
    settings: Settings, database: Database, ffmpeg: str, tmp_path: Path
) -> None:
    show = new_show(settings, database, ffmpeg, tmp_path)
    with database.transaction() as session:
        head = head_from_catalogue(session, session.get_one(Broadcast, show.broadcast_id))
        assert outline(session, show.token) is None
    assert (head.state, head.renditions) == ("waiting", [])
