"""What is left of a take after its process died at any byte."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from ingest import flv
from ingest.log import INDEX_RECORD, LogShelf, read_index, read_meta, write_meta
from ingest.recovery import ENDED_BY, recover
from tests.unit.ingest_log.conftest import WALL_US, Stage
from tests.unit.ingest_log.tags import headers, show


def crash(stage: Stage, seconds: int = 6, checkpoint_after: int | None = 3) -> bytes:
    """Play, leaving the take open; returns the whole log."""
    stage.play([*headers(), *show(checkpoint_after or 1)])
    log = stage.owner.opened[0]
    log.flush()
    if checkpoint_after is not None:
        log.sync(checkpoint=True)
    start = (checkpoint_after or 1) * 1000
    stage.now += 0.04
    stage.play(show(seconds - start // 1000, start_ms=start))
    log.flush()
    return stage.files().flv.read_bytes()


@pytest.mark.parametrize("checkpoint_after", [None, 3])
def test_cut_anywhere_the_log_ends_at_a_whole_tag(
    tmp_path: Path, checkpoint_after: int | None
) -> None:
    rng = random.Random(7)
    for attempt in range(12):
        stage = Stage(tmp_path / str(attempt))
        whole = crash(stage, checkpoint_after=checkpoint_after)
        files = stage.files()
        synced = read_meta(files.meta)
        assert synced is not None
        cut = rng.randrange(synced.counts.size, len(whole))
        tail = rng.choice([b"", bytes(500), rng.randbytes(300)])
        files.flv.write_bytes(whole[:cut] + tail)
        index = files.idx.read_bytes()
        known = sum(e.offset < synced.counts.size for e in read_index(files.idx, 0))
        torn = rng.randrange(known * INDEX_RECORD.size, len(index))
        files.idx.write_bytes(index[:torn] + bytes(rng.choice([0, 30])))
        [meta] = recover(LogShelf(stage.folder))
        expected = [tag for tag in flv.scan(whole) if tag.end <= cut]
        assert meta.counts.size == expected[-1].end == files.flv.stat().st_size
        assert files.flv.read_bytes() == whole[: meta.counts.size]
        frames = [t for t in expected if t.kind == flv.VIDEO and not t.is_sequence_header]
        assert meta.counts.video_frames == len(frames)
        assert meta.counts.last_video_ms == frames[-1].timestamp_ms
        keys = [(t.timestamp_ms, t.offset) for t in frames if t.is_keyframe]
        entries = read_index(files.idx, 0)
        assert [(e.ts_ms, e.offset) for e in entries] == keys
        arrivals = [e.arrival_us for e in entries]
        assert arrivals == sorted(arrivals)
        assert abs(arrivals[-1] - arrivals[0] - (keys[-1][0] - keys[0][0]) * 1000) < 200_000
        assert (meta.state, meta.ended_by, meta.drop) == ("closed", ENDED_BY, True)
        arrived = meta.counts.last_arrival_us - WALL_US
        assert abs(arrived - meta.counts.end_ms * 1000) < 300_000


def test_recovering_twice_changes_nothing(stage: Stage) -> None:
    crash(stage)
    [first] = recover(LogShelf(stage.folder))
    log = stage.files().flv.read_bytes()
    [second] = recover(LogShelf(stage.folder))
    assert first == second
    assert stage.files().flv.read_bytes() == log


def test_a_take_that_was_booked_is_left_alone(stage: Stage) -> None:
    stage.play([*headers(), *show(1)])
    stage.stop()
    log = stage.owner.closed[0]
    log.meta.booked = "closed"
    write_meta(log.files.meta, log.meta)
    assert recover(LogShelf(stage.folder)) == []


@pytest.mark.parametrize("left", ["empty meta", "no meta", "nothing beside the log but an index"])
def test_a_lost_meta_is_made_anew_from_the_log(stage: Stage, left: str) -> None:
    whole = crash(stage)
    files = stage.files()
    head = files.pre.read_bytes()
    if left == "empty meta":
        files.meta.write_bytes(b"")
    else:
        files.meta.unlink()
    if left.startswith("nothing"):
        files.pre.unlink()
    files.flv.write_bytes(whole + bytes(700))
    shelf = LogShelf(stage.folder)
    [meta] = recover(shelf)
    assert files.flv.read_bytes() == whole
    assert files.pre.read_bytes() == head
    assert (meta.counts.video_frames, meta.counts.last_video_ms) == (150, 5960)
    assert (meta.state, meta.ended_by, meta.drop) == ("closed", ENDED_BY, True)
    assert meta.first_arrival_us == WALL_US
    assert (meta.codecs["video"], meta.codecs["audio"]) == ("h264", "aac")
    assert list(shelf.readable()) == [meta.take_id]


def test_a_log_of_zeros_is_not_said_to_be_here(stage: Stage) -> None:
    whole = crash(stage)
    files = stage.files()
    files.meta.write_bytes(b"")
    files.flv.write_bytes(bytes(len(whole)))
    shelf = LogShelf(stage.folder)
    assert recover(shelf) == []
    assert list(shelf.readable()) == []


def test_a_log_without_meta_is_not_touched(tmp_path: Path) -> None:
    shelf = LogShelf(tmp_path)
    stray = tmp_path / "abcdef0123.flv"
    stray.write_bytes(b"FLV")
    assert recover(shelf) == []
    assert stray.read_bytes() == b"FLV"
