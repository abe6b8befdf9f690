"""Answers as a person at a terminal reads them: times in China, lengths in minutes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Final

from api.answers import BroadcastBrief, BroadcastFull
from catalog.clock import CHINA
from catalog.minutes import TICKS_A_SECOND, minutes_text

STATES: Final = {
    "ready": "未开始",
    "live": "直播中",
    "interrupted": "信号中断",
    "ended": "已结束",
    "cancelled": "已取消",
}


REASONS: Final = {"robot": "机器人", "rate": "过于频繁", "double_click": "30 秒内重复"}


def told_broadcast(found: BroadcastFull) -> str:
    """A broadcast on a few lines."""
    lines = [
        f"{found.title}  {found.id}  {STATES.get(found.state, found.state)}",
        f"文化馆    {found.centre}",
        f"开始      {_when(found.started_at)}",
        f"结束      {_when(found.ended_at)}",
        f"成片      {_minutes(found.finished_seconds)} 分钟",
        f"素材      {_minutes(found.raw_seconds)} 分钟，{len(found.takes)} 段",
    ]
    for gap in found.gaps:
        length = "仍在中断" if gap.seconds is None else f"{gap.seconds:.1f} 秒"
        lines.append(f"中断      {_when(gap.started_at)}，{length}")
    counted = found.plays
    lines += [
        f"播放      {counted.play_starts} 次，有效 {counted.effective_plays} 次",
        f"观众      {counted.devices} 台设备，最多同时 {counted.peak_viewers} 人",
        f"看完      {counted.completed} 次",
        *_left_out(counted.excluded),
        f"观看地址  {found.watch_url}",
        f"回看地址  {found.replay_hls_url or '—'}",
    ]
    return "\n".join(lines)


def told_list(found: Sequence[BroadcastBrief]) -> str:
    """One broadcast a line."""
    if not found:
        return "还没有直播。"
    return "\n".join(
        f"{item.id}  {STATES.get(item.state, item.state)}  "
        f"{_when(item.started_at or item.planned_at)}  {item.title}"
        for item in found
    )


def _left_out(excluded: Mapping[str, Mapping[str, int]]) -> list[str]:
    """What was not counted, and why; no line where nothing was."""
    starts = {
        reason: found.get("play_starts", 0) + found.get("page_views", 0)
        for reason, found in excluded.items()
    }
    parts = [f"{REASONS.get(reason, reason)} {number} 次" for reason, number in starts.items()]
    return [f"未计入    {'，'.join(parts)}"] if parts else []


def _when(at: dt.datetime | None) -> str:
    return "—" if at is None else f"{at.astimezone(CHINA):%Y-%m-%d %H:%M:%S}"


def _minutes(length_seconds: float) -> str:
    return minutes_text(round(length_seconds * TICKS_A_SECOND))
