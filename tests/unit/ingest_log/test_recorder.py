"""When takes begin, what they hold, and when they end."""

from __future__ import annotations

import errno
import os
from typing import NoReturn

import pytest

from ingest import flv
from ingest import log as log_module
from ingest.log import read_index
from ingest.publisher import CUTS_MAX, EARLY_MAX
from ingest.rtmp.events import MediaTag
from tests.unit.ingest_log.conftest import WALL_US, Stage
from tests.unit.ingest_log.tags import (
    AAC_MONO_HEADER,
    AVC_HEADER,
    headers,
    inter,
    key,
    metadata,
    show,
    sound,
)

OTHER_AVC_HEADER = AVC_HEADER[:-1] + b"\x81"


def test_a_take_begins_with_headers_and_a_keyframe(stage: Stage) -> None:
    stage.play([metadata(width=640, height=360, framerate=25), *headers(), *show(3)])
    stage.stop()
    kinds = [(tag.kind, tag.is_sequence_header, tag.is_keyframe) for tag in stage.tags()[:4]]
    assert kinds == [
        (flv.SCRIPT, False, False),
        (flv.VIDEO, True, False),
        (flv.AUDIO, True, False),
        (flv.VIDEO, False, True),
    ]
    head = stage.files().pre.read_bytes()
    assert stage.files().flv.read_bytes().startswith(head)
    [meta] = stage.metas
    assert meta.counts.video_frames == 75
    assert meta.counts.end_ms == 3000
    assert (meta.ended_by, meta.drop, meta.state) == ("unpublished", True, "closed")
    entries = read_index(stage.files().idx, 0)
    assert [entry.ts_ms for entry in entries] == [0, 1000, 2000]
    offsets = [tag.offset for tag in stage.tags() if tag.is_keyframe]
    assert [entry.offset for entry in entries] == offsets
    arrivals = [entry.arrival_us for entry in entries]
    assert arrivals == [WALL_US + second * 1_000_000 for second in range(3)]
    assert meta.first_arrival_us == WALL_US


def test_frames_before_the_first_keyframe_are_not_kept(stage: Stage) -> None:
    stage.play([*headers(), *[inter(at) for at in range(0, 2000, 40)]])
    assert not stage.owner.opened
    stage.play([sound(1999), sound(2010), key(2000), sound(2035), inter(2040)], paced=False)
    stage.stop()
    media = [tag for tag in stage.tags() if not tag.is_sequence_header]
    assert media[0].is_keyframe
    assert [(tag.kind, tag.timestamp_ms) for tag in media] == [
        (flv.VIDEO, 0),
        (flv.AUDIO, 10),
        (flv.AUDIO, 35),
        (flv.VIDEO, 40),
    ]
    assert stage.recorder.unkeyed_frames == 50


def test_waiting_for_a_keyframe_is_bounded(stage: Stage) -> None:
    stage.play([*headers(), *show(30, key_every=10**9)[1:]])
    assert not stage.owner.opened
    assert len(stage.recorder._early) <= EARLY_MAX
    assert not stage.recorder._held


def test_a_picture_waits_for_a_sound_header_but_not_long(stage: Stage) -> None:
    stage.play([headers()[0], *show(2, with_sound=False)])
    stage.stop()
    assert stage.metas[0].counts.video_frames == 50
    assert stage.metas[0].first_arrival_us == WALL_US  # of the first frame, not of the decision


def test_metadata_without_sound_means_no_wait(stage: Stage) -> None:
    stage.play([metadata(videocodecid=7), headers()[0], key(0)])
    assert stage.owner.opened


def test_sound_alone_becomes_a_take_and_loses_nothing(stage: Stage) -> None:
    stage.play([headers()[1], *show(4, picture=False)])
    stage.stop()
    frames = [t for t in stage.tags() if t.kind == flv.AUDIO and not t.is_sequence_header]
    assert len(frames) == 160
    entries = read_index(stage.files().idx, 0)
    assert len(entries) == 20  # one in 200 ms
    assert stage.metas[0].counts.video_frames == 0


def test_a_picture_that_joins_sound_begins_another_take(stage: Stage) -> None:
    stage.play([headers()[1], *show(3, picture=False)])
    stage.play([headers()[0], *show(2, start_ms=3000)])
    stage.stop()
    first, second = stage.metas
    assert (first.ended_by, first.drop) == ("codec_change", False)
    assert second.counts.video_frames == 50


@pytest.mark.parametrize("repeats", [1, 5])
def test_the_same_header_again_is_nothing(stage: Stage, repeats: int) -> None:
    for second in range(repeats):
        stage.play([*headers(), *show(1, start_ms=second * 1000)])
    stage.stop()
    assert len(stage.metas) == 1
    assert sum(tag.is_sequence_header for tag in stage.tags()) == 2


def test_another_picture_header_cuts_at_its_keyframe(stage: Stage) -> None:
    stage.play([*headers(), *show(2)])
    changed = MediaTag(flv.VIDEO, 2000, OTHER_AVC_HEADER)
    stage.play([changed, inter(2000), sound(2000), key(2040), sound(2050)])
    stage.stop()
    first, second = stage.metas
    assert first.ended_by == "codec_change"
    assert first.counts.video_frames == 50
    assert first.counts.last_audio_ms == 2000
    assert second.counts.video_frames == 1
    assert OTHER_AVC_HEADER in stage.files(1).pre.read_bytes()
    assert stage.recorder.unkeyed_frames == 0 or stage.recorder.unkeyed_frames == 1


def test_another_sound_header_cuts_at_the_next_keyframe_and_loses_nothing(stage: Stage) -> None:
    stage.play([*headers(), *show(1)])
    stage.play([MediaTag(flv.AUDIO, 1000, AAC_MONO_HEADER), sound(1000), inter(1000), key(1040)])
    stage.stop()
    first, second = stage.metas
    assert first.counts.video_frames == 26
    assert second.counts.video_frames == 1
    assert AAC_MONO_HEADER in stage.files(1).pre.read_bytes()


def test_an_encoder_that_changes_at_every_keyframe_keeps_its_take(stage: Stage) -> None:
    stage.play([*headers(), *show(1)])
    for second in range(1, 20):
        header = AVC_HEADER if second % 2 == 0 else OTHER_AVC_HEADER
        at = second * 1000
        stage.play([MediaTag(flv.VIDEO, at, header), *show(1, start_ms=at)])
        stage.now += 0.04
    stage.stop()
    assert len(stage.metas) == CUTS_MAX + 1
    assert stage.recorder.flapping
    assert sum(meta.counts.video_frames for meta in stage.metas) == 500


def test_empty_messages_and_late_metadata(stage: Stage) -> None:
    stage.play([*headers(), *show(1), MediaTag(flv.VIDEO, 1000, b"")])
    stage.play([metadata(width=1), *show(1, start_ms=1000)])
    stage.stop()
    assert all(tag.size for tag in stage.tags())
    [script] = [tag for tag in stage.tags() if tag.kind == flv.SCRIPT]
    assert script.timestamp_ms == 0


def test_a_full_disk_closes_the_take_and_another_begins_when_there_is_room(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.play([*headers(), *show(2)])
    stage.owner.opened[0].flush()
    kept = stage.owner.opened[0].flushed
    real = os.writev

    def full(fd: int, buffers: list[bytes]) -> int:
        real(fd, [buffers[0][:7]])  # a torn write, as a full disk makes it
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "writev", full)
    stage.owner.opened[0].watchers.add(lambda: None)  # flush after each read
    stage.play(show(1, start_ms=2000))
    [meta] = stage.metas
    assert (meta.ended_by, meta.drop) == ("disk_full", True)
    assert meta.counts == kept
    assert stage.files().flv.stat().st_size == kept.size
    assert stage.recorder.failure == "disk_full"
    assert stage.recorder.log is None
    monkeypatch.undo()
    stage.owner.room = False
    stage.play(show(3, start_ms=3000))
    assert len(stage.owner.opened) == 1
    stage.owner.room = True
    stage.play(show(2, start_ms=6000))
    assert not stage.recorder.failure
    stage.stop()
    assert [meta.counts.video_frames for meta in stage.metas] == [50, 50]


def test_no_files_are_left_when_a_take_cannot_begin(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_fd: int, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    stage.play([*headers(), *show(1)])
    assert stage.recorder.failure == "disk_full"
    assert not list(stage.folder.iterdir())
    monkeypatch.undo()
    stage.play(show(3, start_ms=1000))
    assert len(stage.owner.opened) == 1


def test_a_cut_that_finds_no_room_is_an_interruption(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.play([*headers(), *show(1)])
    with monkeypatch.context() as patch:
        patch.setattr(log_module, "_create", _no_descriptors)
        stage.now += 0.04
        changed = MediaTag(flv.VIDEO, 1000, OTHER_AVC_HEADER)
        stage.play([changed, *show(1, start_ms=1000)])
    [meta] = stage.metas
    assert (meta.ended_by, meta.drop) == ("disk_error", True)
    assert stage.recorder.log is None
    assert len(stage.owner.opened) == 1
    stage.now += 0.04
    stage.play(show(2, start_ms=2000))
    assert len(stage.owner.opened) == 2


def test_a_newcomer_without_room_takes_nothing_over(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_module, "_create", _no_descriptors)
    stage.play([*headers(), *show(1)])
    assert stage.owner.begins == 0
    assert stage.recorder.failure == "disk_error"


def _no_descriptors(*_args: object) -> NoReturn:
    raise OSError(errno.EMFILE, "Too many open files")


def test_names_are_synced_with_the_first_bytes(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power loss must not take the names of files whose bytes were synced."""
    synced: list[str] = []
    monkeypatch.setattr(log_module, "sync_file", lambda path, _flags=0: synced.append(path.name))
    stage.play([*headers(), *show(1)])
    log = stage.owner.opened[0]
    log.flush()
    assert synced == []  # never in the event loop
    log.sync(checkpoint=True)
    names = [log.files.pre.name, stage.folder.name]
    assert synced == names
    stage.now += 0.04
    stage.play(show(1, start_ms=1000))
    log.flush()
    log.sync(checkpoint=False)
    assert synced == names
