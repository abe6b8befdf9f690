"""The 开播检查 light: which colour, and why."""

from __future__ import annotations

from typing import Any

import pytest

from api.pages.checks import light
from api.pages.gallery import health
from api.pages.view import AirState, FeedHealth, Level


def same(text: str) -> str:
    return text


@pytest.mark.parametrize(
    ("changes", "level", "word"),
    [
        ({}, "good", None),
        ({"key_interval_ms": 10_000}, "warn", "关键帧间隔太长（10 秒）"),
        ({"fps": 8.0}, "warn", "画面不连贯"),
        ({"bitrate_bps": 300_000}, "warn", "画质偏低（300 kb/s）"),
        ({"late_ms": 3_000}, "warn", "网络有点吃力"),
        ({"late_ms": 12_000}, "bad", "网络太慢"),
        ({"audio_codec": None}, "bad", "没有声音"),
        ({"video_codec": None}, "bad", "没有画面"),
        ({"lag_ms": 6_000}, "warn", "服务器忙"),
        ({"disk_free_bytes": 12 * 10**9}, "warn", "还剩 12.0 GB"),
        ({"disk_free_bytes": 10**9}, "bad", "只剩 1.0 GB"),
        ({"codes": ("rung_dropped",)}, "warn", "少提供了一档"),
        ({"codes": ("no_audio",)}, "warn", "好几秒没有声音"),
        ({"codes": ("no_audio",), "audio_codec": None}, "bad", "没有声音"),
        ({"codes": ("keyframe_interval_long",), "key_interval_ms": 9_000}, "warn", "9 秒"),
        ({"codes": ("open_gop",)}, "warn", "关键帧不能直接起播"),
        ({"codes": ("disk_log_only",)}, "bad", "暂停生成回看"),
        ({"codes": ("waiting_storage",)}, "bad", "存储暂时写不进去，观众画面会停住"),
        # It lags because it waits: one reason, not two.
        ({"codes": ("waiting_database",), "lag_ms": 20_000}, "bad", "数据库暂时连不上"),
        ({"codes": ("waiting_disk",)}, "bad", "磁盘快满了，观众画面会停住"),
        ({"codes": ("unheard_of",)}, "warn", "unheard_of"),
    ],
)
def test_light(changes: dict[str, Any], level: Level, word: str | None) -> None:
    seen = light(health(**changes), "live", same)
    assert seen.level == level
    assert [str(word) in reason.text for reason in seen.reasons] == ([True] if word else [])


@pytest.mark.parametrize(
    ("state", "level"),
    [("waiting", "idle"), ("live", "bad"), ("interrupted", "bad"), ("ended", "idle")],
)
def test_light_without_a_feed(state: AirState, level: Level) -> None:
    assert light(FeedHealth(connected=False), state, same).level == level


def test_the_worst_reason_comes_first() -> None:
    seen = light(health(key_interval_ms=10_000, audio_codec=None), "live", same)
    assert [reason.level for reason in seen.reasons] == ["bad", "warn"]
