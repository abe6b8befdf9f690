"""What the desk is told of a feed."""

from __future__ import annotations

from ingest.disk import DiskLevel, DiskRules
from ingest.health import Meter, unstable
from tests.unit.ingest_log.conftest import WALL_US, Stage
from tests.unit.ingest_log.tags import headers, metadata, show


def watch(stage: Stage, meter: Meter, disk: DiskLevel = DiskLevel.OK) -> dict[str, object]:
    stage.now += 0.04
    return meter.sample(stage.now, WALL_US, disk=disk, free_bytes=10**9, rtt_ms=1.5)


def test_rates_and_a_quiet_desk(stage: Stage) -> None:
    meter = Meter(stage.recorder, stage.now)
    stage.play([metadata(framerate=25), *headers()])
    health: dict[str, object] = {}
    for second in range(8):
        stage.play(show(1, start_ms=second * 1000))
        health = watch(stage, meter)
    assert health["state"] == "receiving"
    assert 24 <= float(str(health["fps"])) <= 26
    assert health["key_interval_ms"] == 1000
    assert health["warnings"] == []
    assert health["dropped"] == 0
    assert health["rtt_ms"] == 1.5
    assert len(meter.history) == 8
    assert health["derived_media_paused"] is False


def test_warnings(stage: Stage) -> None:
    meter = Meter(stage.recorder, stage.now)
    stage.play([metadata(framerate=25, videocodecid=7), headers()[0]])
    for second in range(12):
        frames = show(1, start_ms=second * 1000, key_every=10**9, with_sound=False)
        frames = frames if second % 6 == 0 else [f for f in frames if f.payload[0] != 0x17]
        stage.play(frames)
        if second == 9:
            stage.now += 3  # the uplink stands still
        health = watch(stage, meter, DiskLevel.LOG_ONLY)
    warnings = health["warnings"]
    assert isinstance(warnings, list)
    wanted = {"keyframe_interval_long", "no_audio", "uplink_late", "disk_log_only"}
    assert wanted <= set(warnings)
    assert health["derived_media_paused"] is True


def test_frames_the_encoder_left_out_are_counted(stage: Stage) -> None:
    meter = Meter(stage.recorder, stage.now)
    stage.play([metadata(framerate=25), *headers()])
    for second in range(10):
        frames = show(1, start_ms=second * 1000)
        if second == 5:
            frames = [f for f in frames if f.payload[0] == 0x17 or f.kind == 8]
        stage.play(frames)
        health = watch(stage, meter)
    assert 20 <= int(str(health["dropped"])) <= 26
    assert "dropped_frames" in str(health["warnings"])


def test_a_steady_bitrate_with_long_gops_is_stable() -> None:
    assert not unstable([4000, 900, 900, 900, 900] * 6)
    assert not unstable([1000] * 29)
    assert unstable([1000] * 20 + [100] * 5 + [1000] * 5)


def test_disk_levels() -> None:
    rules = DiskRules(warn_bytes=300, log_only_bytes=200, floor_bytes=100)
    levels = [rules.level(free) for free in (300, 299, 199, 99)]
    assert levels == [DiskLevel.OK, DiskLevel.LOW, DiskLevel.LOG_ONLY, DiskLevel.FULL]
