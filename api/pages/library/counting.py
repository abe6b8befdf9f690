"""How a record counts, in words: the rule for its kind, its plays, and the reports it stands in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import cast, func, select
from sqlalchemy.dialects.postgresql import JSONPATH
from sqlalchemy.orm import Session

from api.pages.library.view import Figures, Report
from catalog.audit import Actor
from catalog.centres import within
from catalog.clock import china_date
from catalog.minutes import minutes_text
from catalog.models import Centre, Plan, Resource, Return
from catalog.plays import counts
from catalog.records import kinds

REPORTS_MAX: Final = 20

_WHY: Final = {
    "robot": "搜索引擎和程序",
    "rate": "同一个人看得太密（每分钟 60 次以上）",
    "double_click": "30 秒内重复点开",
}


def counts_as(resource: Resource, children: Sequence[Resource] = ()) -> str:
    """One or two sentences: what this record adds to, and when it does not. Pure."""
    if resource.state == "withdrawn":
        return "已经撤下，现在哪里都不计数。"
    year = resource.event_date.year
    length = minutes_text(resource.duration_ticks)
    if resource.kind in ("finished", "raw") and not resource.duration_ticks:
        return "还没有对应的录像，不计分钟。"
    match resource.kind:
        case "finished":
            book = kinds.ORIGINS.get(resource.origin or "", "原创")
            return (
                f"成片 {length} 分钟，记在 {year} 年的{book}账上。"
                "中断和垫片不算；和别的成片重叠的部分只算一次。"
            )
        case "raw":
            return f"素材 {length} 分钟，记在 {year} 年。备用信号和重复的文件不算。"
        case "micro":
            book = f"{length} 分钟记在优化账上，不再当成片算。" if resource.duration_ticks else ""
            return f"微视频 1 条。{book}{_first(resource)}"
        case "image":
            return _image(resource, year)
        case "course":
            done = sum(child.state == "published" for child in children)
            return f"全部章节都发布才算一门课。现在 {len(children)} 章里发布了 {done} 章。"
        case "lesson":
            return f"章节 1 章。{_first(resource)}"
        case _:
            return f"信息资源 1 条。{_first(resource)}"


def _first(resource: Resource) -> str:
    at = resource.first_published_at
    if at is None:
        return "第一次发布的那个月起算。"
    day = china_date(at)
    return f"从第一次发布的 {day.year} 年 {day.month} 月算起。"


def _image(resource: Resource, year: int) -> str:
    ledger = kinds.LEDGERS.get(resource.ledger or "")
    if ledger is None:
        return "还没有归到直播图片或展览图片，现在不计数。"
    if resource.confirmed_at is None:
        return f"{ledger}，还没有人确认，现在不计数。"
    return f"{ledger} 1 幅，记在 {year} 年。同一张图重复上传只算一幅。"


def figures(session: Session, item_id: str) -> Figures:
    """Plays of a work, and what the rules left out of them."""
    found = counts(session, [item_id])[item_id]
    excluded: dict[str, Any] = found.excluded
    return Figures(
        views=found.page_views,
        starts=found.play_starts,
        effective=found.effective_plays,
        devices=found.devices,
        completed=found.completed,
        watched_ms=found.watched_ms,
        peak=found.peak_viewers,
        excluded=tuple(
            (_WHY.get(why, why), total) for why, row in excluded.items() if (total := _sum(row))
        ),
    )


def _sum(row: Any) -> int:
    return sum(row.values()) if isinstance(row, dict) else int(row)


def reports(session: Session, actor: Actor, resource: Resource) -> tuple[Report, ...]:
    """The frozen returns that have this record, or its broadcast, among their evidence."""
    wanted = [key for key in (resource.id, resource.broadcast_id) if key]
    path = "$.units[*].lines[*] ? (exists (@.evidence[*] ? (@.id == $a || @.id == $b)))"
    names = func.jsonb_build_object("a", wanted[0], "b", wanted[-1])
    lines = func.jsonb_path_query_array(
        Return.numbers,
        cast(f"{path}.indicator", JSONPATH),
        names,
    )
    query = (
        select(Return.id, Return.year, Return.revision, Plan.title, lines)
        .join(Plan, Plan.id == Return.plan_id)
        .join(Centre, Centre.id == Return.centre_id)
        .where(within(actor.centre_path), Return.year == resource.event_date.year)
        .where(func.jsonb_array_length(lines) > 0)
        .order_by(Return.frozen_at.desc())
        .limit(REPORTS_MAX)
    )
    return tuple(
        Report(
            title=title,
            year=year,
            revision=revision,
            href=f"/desk/returns/{key}",
            lines=tuple(dict.fromkeys(str(name) for name in found)),
        )
        for key, year, revision, title, found in session.execute(query)
    )
