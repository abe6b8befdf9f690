"""What waits for review, who did what, and where records are handed on to."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session, joinedload

from api.pages.library import cards
from api.pages.library.ask import Choice
from api.pages.library.record import label_of
from api.pages.library.view import AuditRow, Fact, Waiting
from api.rights import ROLE_NAMES, may
from api.sentences import sentence
from catalog.audit import Actor
from catalog.centres import within
from catalog.models import AuditEntry, Broadcast, Centre, Resource, User
from catalog.records import kinds
from catalog.records.reach import resources_of
from catalog.records.review import may_decide_all
from catalog.records.states import REVIEW_STATES, step_of

QUEUE_MAX: Final = 200
AUDIT_PAGE: Final = 50

ACTIONS: Final = {
    "resource.create": "登记资源",
    "resource.change": "修改资源",
    "resource.submit": "送审",
    "resource.withdraw": "撤下",
    "resource.restore": "恢复",
    "review.approve": "审核通过",
    "review.return": "审核退回",
    "takedown": "紧急下架",
    "takedown.undo": "解除下架",
    "genre.add": "增加门类",
    "genre.retire": "停用门类",
    "sheet.import": "表格导入",
    "package.make": "打交付包",
    "webhook.add": "增加对接地址",
    "webhook.change": "修改对接地址",
    "webhook.remove": "删除对接地址",
    "webhook.gone": "对接地址失效",
    "plan.create": "新建方案",
    "plan.change": "修改方案",
    "plan.units": "修改方案单位",
    "plan.targets": "修改方案指标",
    "plan.withdraw": "撤下方案",
    "plan.restore": "恢复方案",
    "entry.set": "填报数值",
    "entry.withdraw": "撤回填报",
    "return.freeze": "上报定稿",
    "return.bring_in": "导入往年数据",
    "past_broadcast.set": "登记往年直播",
    "outside.enter": "登记外部点击量",
    "broadcast.create": "安排直播",
    "broadcast.end": "结束直播",
    "broadcast.key": "更换推流码",
    "broadcast.standing": "改怎么计数",
    "clip.make": "剪微视频",
    "master.make": "合成 MP4",
    "form.make": "做手机版",
    "programme.set": "改节目单",
    "mark.add": "打点",
    "mark.remove": "撤回打点",
    "act.save": "确认节目段",
    "still.ask": "请挑图片",
    "still.confirm": "确认图片",
    "still.dismiss": "不要图片",
    "still.undo": "撤回图片的选择",
    "upload.begin": "开始上传",
    "upload.remove": "取消上传",
    "upload.insist": "收下重复的文件",
    "upload.refuse": "没有收下文件",
    "job.retry": "重做任务",
    "job.cancel": "取消任务",
    "user.create": "开账号",
    "user.password": "改密码",
    "user.disable": "停用账号",
    "user.enable": "启用账号",
    "token.create": "开接口凭证",
    "token.revoke": "收回接口凭证",
    "centre.create": "增加单位",
    "centre.level": "改单位级别",
    "centre.reviewers": "改审核人数",
}
"""Every code the audit log has (catalog.audit.note)."""
OBJECTS: Final = {
    "resource": "资源",
    "broadcast": "直播",
    "work": "作品",
    "genre": "门类",
    "plan": "方案",
    "return": "上报",
    "webhook": "对接地址",
    "user": "账号",
    "centre": "单位",
    "token": "接口凭证",
    "job": "任务",
    "item": "直播或作品",
    "past_broadcast": "往年直播",
    "upload": "上传",
}
_DETAILS: Final = {
    "why": "原因",
    "step": "步骤",
    "version": "版本",
    "fields": "改了",
    "round": "轮次",
    "name": "名称",
    "url": "地址",
    "title": "名称",
    "year": "年份",
    "revision": "第几次",
    "code": "指标",
    "value": "数值",
    "rows": "行数",
    "made": "新登记",
    "changed": "改动",
    "lines": "节目数",
    "acts": "段数",
    "pictures": "图片数",
    "count": "张数",
    "label": "名称",
}


def waiting(session: Session, actor: Actor) -> tuple[Waiting, ...]:
    """Records in review within reach: those that wait for this person first, oldest first."""
    query = (
        select(Resource)
        .join(Centre, Centre.id == Resource.centre_id)
        .where(Resource.state.in_(REVIEW_STATES), resources_of(actor))
        .options(joinedload(Resource.centre))
        .order_by(Resource.changed_at, Resource.id)
        .limit(QUEUE_MAX)
    )
    found = list(session.scalars(query))
    shown = cards.look_up(session, found)
    senders = _names(session, {r.submitted_by for r in found if r.submitted_by})
    judge = may(actor.role, "review.decide")
    refused = may_decide_all(session, actor, found) if judge else {}
    sent = _sent_at(session, [resource.id for resource in found])
    rows = []
    for resource in found:
        step = kinds.STEPS[step_of(resource.state)]
        why = refused[resource.id] if judge else "not_allowed"
        facts: dict[str, str | int] = {"step": step, "people": resource.centre.reviewers}
        rows.append(
            Waiting(
                card=cards.card(resource, shown),
                step_name=step,
                sent_by=senders.get(resource.submitted_by or "", ""),
                sent_at=sent.get(resource.id),
                mine=why is None,
                why_not=sentence(why, facts) if why and judge else "",
                wall_href=_wall(resource),
            )
        )
    rows.sort(key=lambda row: not row.mine)
    return tuple(rows)


def _wall(resource: Resource) -> str:
    hangs = resource.kind == "image" and resource.parent_id
    return f"/desk/exhibitions/{resource.parent_id}" if hangs else ""


def _sent_at(session: Session, ids: list[str]) -> dict[str, dt.datetime]:
    """Record → when it was last submitted."""
    query = (
        select(AuditEntry.object_id, AuditEntry.at)
        .where(
            AuditEntry.object_kind == "resource",
            AuditEntry.object_id.in_(ids),
            AuditEntry.action == "resource.submit",
        )
        .ext(distinct_on(AuditEntry.object_id))
        .order_by(AuditEntry.object_id, AuditEntry.id.desc())
    )
    return {row.object_id: row.at for row in session.execute(query)}


def _names(session: Session, ids: set[str]) -> dict[str, str]:
    query = select(User.id, User.display_name).where(User.id.in_(ids))
    return {row.id: row.display_name for row in session.execute(query)} if ids else {}


# --- who did what ----------------------------------------------------------------------------


def audit(
    session: Session, actor: Actor, *, action: str, words: str, before: int | None
) -> tuple[tuple[AuditRow, ...], int | None]:
    """Entries of the actor's centres, the newest first, and where the next page begins."""
    query = select(AuditEntry).order_by(AuditEntry.id.desc()).limit(AUDIT_PAGE + 1)
    if actor.centre_path is not None:
        inside = select(Centre.id).where(within(actor.centre_path))
        query = query.where(AuditEntry.centre_id.in_(inside))
    if action in ACTIONS:
        query = query.where(AuditEntry.action == action)
    if words:
        query = query.where(
            AuditEntry.by_name.contains(words, autoescape=True) | (AuditEntry.object_id == words)
        )
    if before is not None:
        query = query.where(AuditEntry.id < before)
    found = list(session.scalars(query))
    names = _object_names(session, found[:AUDIT_PAGE])
    rows = tuple(_audit_row(row, names) for row in found[:AUDIT_PAGE])
    return rows, rows[-1].id if len(found) > AUDIT_PAGE else None


def _object_names(session: Session, rows: list[AuditEntry]) -> dict[str, str]:
    ids = {kind: {r.object_id for r in rows if r.object_kind == kind} for kind in OBJECTS}
    names: dict[str, str] = {}
    for kind, table in (("resource", Resource), ("broadcast", Broadcast)):
        if ids[kind]:
            columns: Any = table
            query = select(columns.id, columns.title).where(columns.id.in_(ids[kind]))
            names |= {row.id: row.title for row in session.execute(query)}
    return names


def _audit_row(row: AuditEntry, names: dict[str, str]) -> AuditRow:
    pages = {"resource": "/desk/library/", "broadcast": "/desk/b/"}
    known = row.object_id in names
    return AuditRow(
        id=row.id,
        at=row.at,
        by=row.by_name,
        role=ROLE_NAMES.get(row.role, row.role),
        action=ACTIONS.get(row.action, row.action),
        what=OBJECTS.get(row.object_kind, row.object_kind),
        object_name=names.get(row.object_id, row.object_id),
        href=f"{pages[row.object_kind]}{row.object_id}" if known else "",
        details=tuple(
            Fact(_DETAILS[name], _plain(name, value))
            for name, value in row.details.items()
            if name in _DETAILS and value not in (None, "", [], {})
        ),
    )


def _plain(name: str, value: Any) -> str:
    if name == "fields":
        return "、".join(dict.fromkeys(label_of(str(key)) for key in value))
    if name == "step" and value in kinds.STEPS:
        return kinds.STEPS[value]
    if isinstance(value, list):
        return "、".join(str(item) for item in value)
    return str(value)[:300]


def actions() -> tuple[Choice, ...]:
    return tuple(Choice(code, name) for code, name in ACTIONS.items())
