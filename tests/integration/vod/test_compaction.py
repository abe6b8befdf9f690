"""Compaction: killed anywhere, done again, and every byte is still what it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs
from sqlalchemy import select

from catalog.air import init_sections, listed_segments, renditions
from catalog.models import Broadcast
from infra.database import Database
from infra.settings import Settings
from infra.storage import StorageFull
from infra.tables import Job
from tests.integration.vod.show import Show, air_take, new_show
from tests.support.media import Footage, read_numbers
from transcode.fmp4.boxes import FREE
from vod import compaction
from vod.compaction import CompactionError, clean_up, compact, join, plan, switch, verify
from vod.replay import media as replay_media
from vod.replay import outline


class Killed(Exception):
    """Stands for SIGKILL: nothing after it runs."""


@pytest.fixture
def show(
    settings: Settings, database: Database, ffmpeg: str, media_folder: Path, tmp_path: Path
) -> Show:
    made = new_show(settings, database, ffmpeg, tmp_path)
    air_take(made, Footage(seconds=6, b_frames=2, preset="veryfast"), media_folder)
    air_take(made, Footage(seconds=6, first=1000), media_folder)
    made.end()
    return made


def media(show: Show) -> dict[tuple[str, str, int], bytes]:
    """Every init section and segment, as the edge would serve them."""
    found: dict[tuple[str, str, int], bytes] = {}
    with show.database.transaction() as session:
        for rung in renditions(session, show.token):
            for init in init_sections(session, rung.id):
                at = init.byte_offset or 0
                found[rung.name, "init", init.number] = show.storage.open_range(
                    init.storage_key, at, at + init.size_bytes
                )
            for row in listed_segments(session, show.token, rung.id):
                end = row.byte_offset + row.size_bytes
                found[rung.name, "segment", row.msn] = show.storage.open_range(
                    row.storage_key, row.byte_offset, end
                )
    return found


def keys(show: Show) -> list[str]:
    return [key.removeprefix(f"live/{show.token}/") for key in show.storage.list("live/")]


def test_compacted_show_is_the_same_show(show: Show) -> None:
    before = media(show)
    assert len({number for rung, kind, number in before if (rung, kind) == ("v360", "init")}) == 2
    compact(show.tools, show.broadcast_id)
    assert media(show) == before
    assert len(keys(show)) > 10
    assert clean_up(show.tools, show.broadcast_id)["deleted"] == len(before)
    assert keys(show) == ["a/replay1.mp4", "v360/replay1.mp4"]
    assert media(show) == before


def test_cleanup_is_promised_for_later(show: Show) -> None:
    compact(show.tools, show.broadcast_id)
    compact(show.tools, show.broadcast_id)
    with show.database.transaction() as session:
        jobs = session.scalars(select(Job).where(Job.kind == "compact_cleanup")).all()
        (job,) = jobs
        assert job.not_before is not None
        assert job.not_before - job.created_at > compaction.CLEANUP_DELAY * 0.9


def test_joined_file_plays_by_itself(
    settings: Settings, database: Database, ffmpeg: str, media_folder: Path, tmp_path: Path
) -> None:
    show = new_show(settings, database, ffmpeg, tmp_path)
    air_take(show, Footage(seconds=6), media_folder)
    show.end()
    compact(show.tools, show.broadcast_id)
    path = show.storage.local_path(f"live/{show.token}/v360/replay1.mp4")
    assert path is not None
    assert read_numbers(path) == list(range(150))


STEPS: list[tuple[str, Callable[[pytest.MonkeyPatch], None]]] = [
    ("while joining", lambda patch: _die_in_join(patch)),
    ("after joining", lambda patch: _die_at(patch, "verify")),
    ("after the check", lambda patch: _die_at(patch, "switch")),
    ("inside the transaction", lambda patch: _die_after(patch, "switch")),
    ("after the switch of the first rung", lambda patch: _die_at_second(patch, "join")),
    ("before the clean-up is promised", lambda patch: _die_at(patch, "promise_cleanup")),
]


def _die_at(patch: pytest.MonkeyPatch, name: str) -> None:
    def dead(*_args: object, **_kwargs: object) -> None:
        raise Killed

    patch.setattr(compaction, name, dead)


def _die_after(patch: pytest.MonkeyPatch, name: str) -> None:
    real = getattr(compaction, name)

    def dying(*args: object, **kwargs: object) -> None:
        real(*args, **kwargs)
        raise Killed

    patch.setattr(compaction, name, dying)


def _die_at_second(patch: pytest.MonkeyPatch, name: str) -> None:
    real, calls = getattr(compaction, name), []

    def dying(*args: object, **kwargs: object) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise Killed
        real(*args, **kwargs)

    patch.setattr(compaction, name, dying)


def _die_in_join(patch: pytest.MonkeyPatch) -> None:
    def dying(storage: object, rung: compaction.Plan, told: object = None) -> None:
        def killed(_done: int) -> None:
            raise Killed

        join(storage, rung, killed)  # type: ignore[arg-type]

    patch.setattr(compaction, "join", dying)


@pytest.mark.parametrize(("when", "kill"), STEPS, ids=[when for when, _ in STEPS])
def test_killed_and_done_again(
    show: Show, when: str, kill: Callable[[pytest.MonkeyPatch], None]
) -> None:
    before = media(show)
    with pytest.MonkeyPatch.context() as patch:
        kill(patch)
        with pytest.raises(Killed):
            compact(show.tools, show.broadcast_id)
    assert media(show) == before
    # A clean-up at the worst moment deletes nothing that a row names.
    clean_up(show.tools, show.broadcast_id)
    assert media(show) == before
    compact(show.tools, show.broadcast_id)
    clean_up(show.tools, show.broadcast_id)
    assert media(show) == before
    assert keys(show) == ["a/replay1.mp4", "v360/replay1.mp4"]


def test_cleanup_killed_half_way_goes_on(show: Show) -> None:
    compact(show.tools, show.broadcast_id)
    before = media(show)
    real, count = show.storage.delete, [0]

    def dying(key: str) -> None:
        count[0] += 1
        if count[0] == 4:
            raise Killed
        real(key)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(show.storage, "delete", dying)
        with pytest.raises(Killed):
            clean_up(show.tools, show.broadcast_id)
    assert media(show) == before
    clean_up(show.tools, show.broadcast_id)
    assert keys(show) == ["a/replay1.mp4", "v360/replay1.mp4"]


def test_two_workers_at_once_switch_once(show: Show) -> None:
    before = media(show)
    with show.database.transaction() as session:
        first, second = plan(session, show.token), plan(session, show.token)
    for rung in first:
        join(show.storage, rung)
    for rung in second:
        join(show.storage, rung)
    switched = []
    for rung in [*first, *second]:
        verify(show.storage, rung)
        with show.database.transaction() as session:
            switched.append(switch(session, rung))
    assert switched == [True, True, False, False]
    assert media(show) == before


def test_damaged_copy_is_never_switched_to(show: Show) -> None:
    before = media(show)
    with show.database.transaction() as session:
        rung = plan(session, show.token)[0]
    join(show.storage, rung)
    data = bytearray(show.storage.get(rung.target))
    data[100] ^= 1
    show.storage.put_bytes(rung.target, bytes(data))
    with pytest.raises(CompactionError):
        verify(show.storage, rung)
    show.storage.put_bytes(rung.target, bytes(data[:-1]))
    with pytest.raises(CompactionError):
        verify(show.storage, rung)
    assert media(show) == before


def test_small_files_stay_when_the_joined_one_is_gone(show: Show) -> None:
    compact(show.tools, show.broadcast_id)
    show.storage.delete(f"live/{show.token}/v360/replay1.mp4")
    there = keys(show)
    with pytest.raises(CompactionError):
        clean_up(show.tools, show.broadcast_id)
    assert [key for key in keys(show) if key.startswith("v360")] == [
        key for key in there if key.startswith("v360")
    ]


def test_room_for_the_feed_log_is_not_taken(show: Show) -> None:
    there = keys(show)
    low = show.settings.model_copy(update={"disk_log_only_bytes": 1 << 60})
    with pytest.raises(StorageFull):
        compact(replace(show.tools, settings=low), show.broadcast_id)
    assert keys(show) == there


def test_running_broadcast_is_left_alone(
    settings: Settings, database: Database, ffmpeg: str, media_folder: Path, tmp_path: Path
) -> None:
    show = new_show(settings, database, ffmpeg, tmp_path)
    air_take(show, Footage(seconds=6), media_folder)
    there = keys(show)
    assert compact(show.tools, show.broadcast_id) == {"compacted": []}
    assert clean_up(show.tools, show.broadcast_id) == {"deleted": 0}
    assert keys(show) == there


def test_replay_goes_over_to_byte_ranges(show: Show) -> None:
    with show.database.transaction() as session:
        whole = outline(session, show.token)
        assert whole is not None
        small = replay_media(session, whole, "v360")
    compact(show.tools, show.broadcast_id)
    with show.database.transaction() as session:
        whole = outline(session, show.token)
        assert whole is not None
        joined = replay_media(session, whole, "v360")
    assert small is not None
    assert joined is not None
    assert (small.replay.event, joined.replay.event) == (True, False)
    assert joined.rendition.file == "replay1.mp4"
    segments = joined.rendition.segments
    assert [structs.replace(s, offset=0) for s in segments] == small.rendition.segments
    at, init = 0, -1
    for segment in segments:
        if segment.init != init:
            init = segment.init
            assert joined.rendition.inits[init].offset == at
            at += joined.rendition.inits[init].size + len(FREE)
        assert segment.offset == at, "a box of nothing keeps the ranges apart"
        at += segment.size + len(FREE)
    assert at - len(FREE) == show.storage.size(f"live/{show.token}/v360/replay1.mp4")


def test_switch_refuses_rows_it_did_not_join(show: Show) -> None:
    with show.database.transaction() as session:
        rung = plan(session, show.token)[0]
    join(show.storage, rung)
    short = compaction.Plan(rung.rendition_id, rung.name, rung.target, rung.sources[:-1])
    with pytest.raises(CompactionError), show.database.transaction() as session:
        switch(session, short)
    with show.database.transaction() as session:
        assert plan(session, show.token)[0] == rung
        assert session.get_one(Broadcast, show.broadcast_id).finalized_at is not None
