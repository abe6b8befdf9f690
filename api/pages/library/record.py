"""One record as its page shows it: media, facts, review, history, plays, its reports."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.pages.library import cards as library_cards
from api.pages.library import counting as library_counting
from api.pages.library.cards import Shown
from api.pages.library.view import Change, Decision, Fact, Person, RecordView, ReviewBox, Version
from api.pages.view import WorkDesk
from api.pages.watching import desk_of
from api.pages.words import clock, size
from api.rights import may
from api.sentences import sentence
from catalog.audit import Actor
from catalog.minutes import TICKS_A_MS
from catalog.models import Broadcast, Centre, Resource, ResourceVersion, Review, Work
from catalog.records import kinds
from catalog.records.fields import FIELDS, content_hash
from catalog.records.review import may_decide, reviews_of
from catalog.records.service import children, history
from catalog.records.service import get as get_record
from catalog.records.states import TRANSITIONS, step_of

CHILD_OF: Final = {"course": "lesson", "exhibition": "image"}
VIA: Final = {
    "desk": "页面",
    "api": "接口",
    "import": "表格导入",
    "cli": "命令行",
    "system": "自动",
}
MEDIA_LABELS: Final = {
    "storage_key": "文件",
    "media_type": "文件类型",
    "size_bytes": "文件大小",
    "sha256": "校验码",
    "duration_ticks": "时长",
    "technical": "技术信息",
    "intervals": "录像内容",
    "event_date": "日期",
    "kind": "种类",
}
_TECHNICAL: Final = {
    "width": "宽",
    "height": "高",
    "lessons_planned": "计划章数",
    "taken_at": "拍摄时间",
    "camera": "相机",
    "at_ticks": "在节目里的位置",
}


def record(session: Session, actor: Actor, resource_id: str) -> RecordView:
    """All a person of the desk may know of one record. Raises Missing."""
    resource = get_record(session, actor, resource_id)
    kids = children(session, actor, resource.id) if resource.kind in CHILD_OF else []
    parent = session.get(Resource, resource.parent_id) if resource.parent_id else None
    around = [resource, *kids, *([parent] if parent else [])]
    shown = library_cards.look_up(session, around)
    broadcast = shown.broadcasts.get(resource.broadcast_id or "")
    off_air = resource.kind != "raw" and broadcast is not None and broadcast.off_air_at is not None
    media = library_cards.media(resource, shown)
    return RecordView(
        card=library_cards.card(resource, shown),
        version=resource.version,
        media=media,
        facts=facts(session, resource, shown),
        description=resource.description,
        body=resource.body,
        people=people(resource),
        keywords=tuple(resource.keywords),
        counts_as=library_counting.counts_as(resource, kids),
        review=_review(session, actor, resource),
        history=tuple(_version(session, row) for row in history(session, resource.id)),
        figures=library_counting.figures(session, media.item_id) if media.item_id else None,
        reports=library_counting.reports(session, actor, resource),
        children=tuple(library_cards.card(kid, shown) for kid in kids),
        child_kind=CHILD_OF.get(resource.kind, ""),
        parent=library_cards.card(parent, shown) if parent else None,
        technical=_technical(resource),
        withdrawn_at=resource.withdrawn_at or (broadcast.off_air_at if broadcast else None),
        withdrawn_why=resource.withdrawn_why,
        off_air=off_air,
        mp4=_mp4(session, shown.works.get(resource.work_id or "")),
        rights=_rights(actor, resource, off_air),
    )


def _mp4(session: Session, work: Work | None) -> WorkDesk | None:
    return desk_of(session, work) if work is not None and work.state == "ready" else None


def _rights(actor: Actor, resource: Resource, off_air: bool) -> frozenset[str]:
    found = set()
    if may(actor.role, "resource.change"):
        found.add("change")
        if (resource.state, "submit") in TRANSITIONS:
            found.add("submit")
    if may(actor.role, "resource.withdraw"):
        if (resource.state, "withdraw") in TRANSITIONS:
            found.add("withdraw")
        elif not off_air:
            found.add("restore")
    if may(actor.role, "takedown") and resource.kind != "raw":
        if off_air:
            found.add("put_back")
        elif resource.state != "withdrawn":
            found.add("takedown")
    return frozenset(found)


# --- what it is ------------------------------------------------------------------------------


def people(resource: Resource) -> tuple[Person, ...]:
    """Those who had a part in it, in the order they were entered."""
    return tuple(
        Person(row["name"], row["role"], kinds.PEOPLE_ROLES.get(row["role"], row["role"]))
        for row in resource.people
    )


def facts(session: Session, resource: Resource, shown: Shown) -> tuple[Fact, ...]:
    """The record in plain words, as it stands on the desk."""
    found = list(public_facts(resource, shown))
    found += [
        Fact("权利人", resource.rights_holder),
        Fact("授权到期", said_day(resource.licence_until) if resource.licence_until else ""),
        Fact("来源", resource.source),
    ]
    if resource.origin:
        found.append(Fact("原创/优化", kinds.ORIGINS[resource.origin]))
    if resource.kind == "image":
        ledger = kinds.LEDGERS.get(resource.ledger or "", "")
        found.append(Fact("图片归类", ledger))
        found.append(Fact("确认计数", "已确认" if resource.confirmed_at else "还没确认"))
    broadcast = shown.broadcasts.get(resource.broadcast_id or "")
    if broadcast is not None:
        found.append(Fact("所属直播", broadcast.title, f"/desk/b/{broadcast.id}"))
    for key in resource.lineage:
        source = session.get(Resource, key)
        if source is not None:
            found.append(Fact("由何而来", source.title, f"/desk/library/{key}"))
    if resource.contract:
        found.append(Fact("合同", resource.contract))
    return tuple(found)


def public_facts(resource: Resource, shown: Shown) -> tuple[Fact, ...]:
    """What anyone may know of a published record."""
    languages = "、".join(kinds.LANGUAGES.get(code, code) for code in resource.languages)
    return (
        Fact("单位", resource.centre.name),
        Fact("日期", said_day(resource.event_date)),
        Fact("门类", shown.genres.get(resource.genre_id or "", "")),
        Fact("地点", resource.place),
        Fact("语种", languages),
        Fact("使用范围", kinds.LICENCES.get(resource.licence, resource.licence)),
    )


def bytes_text(count: int) -> str:
    """A file's size: 640 KB, 2.4 MB, 1.2 GB; "" for none."""
    if count >= 10**9:
        return size(count)
    if count >= 10**6:
        return f"{count / 10**6:.1f} MB"
    return f"{-(-count // 1000)} KB" if count else ""


def said_day(day: dt.date) -> str:
    return f"{day.year}年{day.month}月{day.day}日"


def _technical(resource: Resource) -> tuple[Fact, ...]:
    found = [Fact("编号", resource.id), Fact("版本", str(resource.version))]
    if resource.sha256:
        found.append(Fact("SHA-256", resource.sha256))
    if resource.media_type:
        found.append(Fact("类型", resource.media_type))
    if resource.size_bytes:
        found.append(Fact("大小", bytes_text(resource.size_bytes)))
    for name, value in resource.technical.items():
        if isinstance(value, bool):
            continue  # how its files are kept
        said_ = clock(value // TICKS_A_MS) if name == "at_ticks" else str(value)
        found.append(Fact(_TECHNICAL.get(name, name), said_))
    return tuple(found)


# --- what was done to it ---------------------------------------------------------------------


def _review(session: Session, actor: Actor, resource: Resource) -> ReviewBox:
    step = step_of(resource.state)
    now = content_hash(resource)
    centre = session.get_one(Centre, resource.centre_id)
    why = None
    allowed = False
    if step:
        name = kinds.STEPS[step]
        why = may_decide(session, actor, resource) if may(actor.role, "review.decide") else ""
        allowed = why is None
        why = sentence(why, {"step": name, "people": centre.reviewers}) if why else ""
    return ReviewBox(
        step=step,
        step_name=kinds.STEPS.get(step, ""),
        may_decide=allowed,
        why_not=why or "",
        seen_hash=now,
        decisions=tuple(_decision(row, now) for row in reviews_of(session, resource.id)),
        reviewers=min(3, max(1, centre.reviewers)),
    )


def _decision(row: Review, now: str) -> Decision:
    return Decision(
        round=row.round,
        step=row.step,
        step_name=kinds.STEPS[row.step],
        approved=row.decision == "approve",
        by=row.by_name,
        at=row.at,
        note=row.note,
        same=row.seen_hash == now,
    )


def label_of(name: str) -> str:
    """What a field is called on our pages."""
    return FIELDS[name].label if name in FIELDS else MEDIA_LABELS.get(name, name)


def _version(session: Session, row: ResourceVersion) -> Version:
    changes = []
    for name, (before, after) in row.changes.items():
        was, now = said(session, name, before), said(session, name, after)
        # Where a file lies is nobody's business, and what was left empty says nothing.
        if name != "storage_key" and (was or now):
            changes.append(Change(label_of(name), was, now))
    return Version(row.version, row.at, row.by_name, VIA.get(row.via, row.via), tuple(changes))


_NAMES: Final[Mapping[str, Mapping[str, str]]] = {
    "licence": kinds.LICENCES,
    "origin": kinds.ORIGINS,
    "ledger": kinds.LEDGERS,
    "kind": kinds.KINDS,
}


def said(session: Session, name: str, value: Any) -> str:
    """A field's value in words, for the history."""
    if value is None or value == "" or value == [] or value == {}:
        return ""
    if name == "genre_id":
        return library_cards.genre_names(session).get(value, str(value))
    if name in ("parent_id", "broadcast_id"):
        return _title_of(session, name, str(value))
    if name in _NAMES:
        return _NAMES[name].get(value, str(value))
    if name == "languages":
        return "、".join(kinds.LANGUAGES.get(code, code) for code in value)
    if name == "people":
        return "、".join(
            f"{kinds.PEOPLE_ROLES.get(row['role'], row['role'])} {row['name']}" for row in value
        )
    if isinstance(value, bool):
        return "是" if value else "否"
    if name == "intervals":
        return f"{len(value)} 段"
    if name == "duration_ticks":
        return str(dt.timedelta(seconds=value // 90_000))
    if name == "size_bytes":
        return bytes_text(value)
    if name == "sha256":
        return f"{value[:12]}…"
    if isinstance(value, list):
        return "、".join(str(item) for item in value)
    if isinstance(value, dict):
        return "、".join(f"{_TECHNICAL.get(k, k)} {v}" for k, v in value.items())
    return str(value)


def _title_of(session: Session, name: str, key: str) -> str:
    if name == "broadcast_id":
        broadcast = session.get(Broadcast, key)
        return broadcast.title if broadcast else key
    found = session.scalar(select(Resource.title).where(Resource.id == key))
    return found or key
