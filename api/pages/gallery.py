"""Samples for /desk/components: every component, every state, no database."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from math import sin
from typing import Any

from api.pages.checks import Light, light
from api.pages.library.ask import Ask, facet, pager
from api.pages.library.view import Card, Listing
from api.pages.view import (
    AirState,
    BroadcastCard,
    ClipCard,
    FeedHealth,
    HealthPoint,
    JobLine,
    JobRow,
    JobState,
)
from api.pages.words import Translate
from catalog.records import kinds

LONG_TITLE = "二〇二六年勐海县勐混镇曼蚌村傣族泼水节暨乡村春节联欢晚会与非遗展演现场直播第一场"


def samples(_: Translate) -> dict[str, Any]:
    """What components.html shows."""
    now = datetime.now(UTC)
    return {
        "cards": cards(now),
        "clip": ClipCard("c1", "象脚鼓舞", 204_000),
        "good": health(),
        "lights": lights(_),
        "jobs": jobs(now),
        "long_title": LONG_TITLE,
        **library(),
    }


def library() -> dict[str, Any]:
    """Records in each state, a facet with a value chosen, the middle of many pages."""
    ask = Ask(path="/desk/components", words="泼水节", kind=("finished",), page=2)
    counted = [(kind, 40 - 9 * n) for n, kind in enumerate(kinds.KINDS) if n < 5]
    shown = facet(ask, "kind", "种类", counted, kinds.KINDS)
    pages = pager(ask, 100)
    looks = zip(("finished", "image", "document", "audio"), kinds.STATES, strict=False)
    records = tuple(
        Card(
            f"r-{kind}",
            LONG_TITLE if kind == "finished" else "勐海象脚鼓制作技艺",
            kind,
            kinds.KINDS[kind],
            state,
            kinds.STATES[state],
            "勐海县文化馆",
            date(2026, 2, 3),
            "#main",
            genre="非遗",
            length_ms=6_132_000 if kind == "finished" else None,
        )
        for kind, state in looks
    )
    return {
        "ask": ask,
        "records": records,
        "facet": shown,
        "pager": pages,
        "listing": Listing(ask, records, 100, True, (shown,), pages),
    }


def cards(now: datetime) -> tuple[BroadcastCard, ...]:
    """One broadcast in each state."""

    def card(id: str, title: str, state: AirState, hours: float) -> BroadcastCard:
        at = now + timedelta(hours=hours)
        return BroadcastCard(
            id,
            title,
            "勐海县文化馆",
            state,
            at,
            viewers=1286 if state == "live" else 0,
            plays=8412 if state == "ended" else 0,
            duration_ms=6_132_000 if state == "ended" else None,
            ended_at=at + timedelta(hours=2) if state == "ended" else None,
        )

    return (
        card("b-live", "勐混镇乡村春晚", "live", -1),
        card("b-lost", "打洛镇边境村晚", "interrupted", -0.5),
        card("b-soon", LONG_TITLE, "waiting", 3),
        card("b-over", "布朗山茶歌会", "ended", -26),
    )


def health(**changes: Any) -> FeedHealth:
    """A healthy 720p25 feed, but for `changes`."""
    history = tuple(
        HealthPoint(i, int(2_450_000 + 180_000 * sin(i / 5) + 90_000 * sin(i * 1.7)), 25.0)
        for i in range(120)
    )
    base: dict[str, Any] = {
        "connected": True,
        "bitrate_bps": 2_480_000,
        "fps": 25.0,
        "audio_bps": 128_000,
        "width": 1280,
        "height": 720,
        "video_codec": "H.264",
        "audio_codec": "AAC",
        "encoder": "OBS 31.0",
        "rtt_ms": 38,
        "late_ms": 240,
        "key_interval_ms": 2000,
        "log_bytes": 1_120_000_000,
        "disk_free_bytes": 214_000_000_000,
        "history": history,
        "lag_ms": 620,
        "speed": 1.0,
        "viewers": 1286,
    }
    return FeedHealth(**(base | changes))


def lights(_: Translate) -> tuple[Light, ...]:
    """The lamp in each of its colours."""
    return (
        light(FeedHealth(connected=False), "waiting", _),
        light(health(), "waiting", _),
        light(health(key_interval_ms=10_000, disk_free_bytes=12_000_000_000), "live", _),
        light(health(audio_codec=None, late_ms=9_000), "live", _),
        light(FeedHealth(connected=False), "interrupted", _),
    )


def jobs(now: datetime) -> tuple[JobRow, ...]:
    """A job in each state."""

    def job(
        id: str, kind: str, state: JobState, subject: str = "勐混镇乡村春晚", **more: Any
    ) -> JobRow:
        return JobRow(id, kind, subject, state, now - timedelta(minutes=4), **more)

    return (
        job("j1", "clip", "running", progress=0.42, eta_s=95, note="正在拼接", href="/clips/c1"),
        job(
            "j7", "chunks", "running", progress=0.031, note="已完成 1/62 段", href="/works/w-whole"
        ),
        job("j2", "ship_take", "running", note="已保存 1.1 GB"),
        job("j3", "compact", "queued"),
        job(
            "j4",
            "clip",
            "failed",
            "1998 年傣族泼水节文艺晚会录像带转录（上集）DSC_20190214_193000_0001_FINAL.MP4",
            attempt=3,
            error="磁盘满了，没有剪成。原来的录像都在；腾出空间后点“再试一次”。",
        ),
        job("j5", "poster", "done", finished_at=now - timedelta(minutes=3)),
        job("j6", "clip", "cancelled"),
    )


def job_lines(now: datetime) -> tuple[JobLine, ...]:
    """What a job says that was tried again."""
    said = (
        "开始",
        "正在读取原片的结构",
        "已完成 1/62 段",
        "第 4 段：第 1 次没有成功：编码失败：FFmpeg ended with code 187: Conversion failed!",
        "[vost#0:0/libx264 @ 0x55d0c0] Error submitting video frame to the encoder: out of memory",
        "第 4 段：第 2 次开始",
    )
    return tuple(JobLine(now - timedelta(seconds=90 - 9 * n), text) for n, text in enumerate(said))
