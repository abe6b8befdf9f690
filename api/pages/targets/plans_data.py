"""Plans as the desk shows them: the list, one plan with its targets and groups, the editor."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any, Final

from sqlalchemy.orm import Session

from api.pages.targets.data import card_of
from api.pages.targets.view import PlanCard
from api.rights import covers, may
from catalog.audit import Actor
from catalog.centres import centres_within
from catalog.models import Centre, Plan, Target
from catalog.plans.amounts import OP_WORDS, number_text
from catalog.plans.fields import PER_WORDS
from catalog.plans.measures import switches_of
from catalog.plans.queries import FIGURES, MEASURES, query_of, query_text
from catalog.plans.service import get_plan, plans_seen
from catalog.plans.templates import templates

PERIOD_WORDS: Final = {"year": "全年", "quarter": "每季度", "month": "每月"}
AREAS: Final = {
    "": "不分",
    "media": "资源与直录播",
    "platform": "平台与活动",
    "library": "图书馆",
    "money": "经费",
    "training": "培训",
}
LEVELS: Final = {
    "province": "省",
    "prefecture": "州市",
    "county": "县",
    "station": "站",
}
_DEPTH_MAX: Final = 3
_BLANK_MILES: Final = 2


@dataclass(frozen=True, slots=True)
class TemplateCard:
    code: str
    title: str
    about: str
    year: int
    targets: int
    loaded: str
    """Id of the plan it has been loaded as; empty: not yet."""


@dataclass(frozen=True, slots=True)
class PlanRow:
    card: PlanCard
    owner: str
    targets: int
    version: int
    withdrawn: bool


@dataclass(frozen=True, slots=True)
class PlansView:
    plans: tuple[PlanRow, ...]
    put_away: tuple[PlanRow, ...]
    may_change: bool


@dataclass(frozen=True, slots=True)
class NewPlanView:
    templates: tuple[TemplateCard, ...]
    owners: tuple[tuple[str, str], ...]
    this_year: int


@dataclass(frozen=True, slots=True)
class TargetRow:
    code: str
    indicator: str
    asked: str
    how: str
    by_ledger: bool
    depth: int
    note: str
    exceptions: str


@dataclass(frozen=True, slots=True)
class GroupRow:
    """One group of units: what is asked of it, and who stands in it."""

    who: str
    targets: tuple[TargetRow, ...]
    centres: tuple[str, ...]
    counted: int | None
    """How many such units the document counts."""


@dataclass(frozen=True, slots=True)
class MileRow:
    by: dt.date
    share: str
    do: str


@dataclass(frozen=True, slots=True)
class PlanView:
    card: PlanCard
    owner: str
    code: str
    version: int
    withdrawn: bool
    groups: tuple[GroupRow, ...]
    miles: tuple[MileRow, ...]
    switches: tuple[str, ...]
    notes: tuple[str, ...]
    may_change: bool


def plans_page(session: Session, actor: Actor) -> PlansView:
    change = may(actor.role, "plan.change")
    every = plans_seen(session, actor.centre_path, withdrawn=change)
    rows = [_row(session, plan) for plan in every]
    return PlansView(
        plans=tuple(row for row in rows if not row.withdrawn),
        put_away=tuple(row for row in rows if row.withdrawn),
        may_change=change,
    )


def _row(session: Session, plan: Plan) -> PlanRow:
    owner = session.get_one(Centre, plan.owner_id)
    return PlanRow(
        card_of(plan), owner.name, len(plan.targets), plan.version, plan.withdrawn_at is not None
    )


def new_plan_page(session: Session, actor: Actor, now: dt.datetime) -> NewPlanView:
    """The shipped plans, and which of the person's centres may keep a new one."""
    loaded = {plan.code: plan.id for plan in plans_seen(session, actor.centre_path)}
    owners = sorted(centres_within(session, actor.centre_path), key=lambda c: c.path.count("/"))
    return NewPlanView(
        templates=tuple(
            TemplateCard(
                code=one.code,
                title=one.title,
                about=" · ".join(part for part in (one.issuer, one.document) if part),
                year=one.year,
                targets=len(one.targets),
                loaded=loaded.get(one.code, ""),
            )
            for one in templates().values()
        ),
        owners=tuple((centre.id, centre.name) for centre in owners),
        this_year=now.year,
    )


def plan_page(session: Session, actor: Actor, plan_id: str) -> PlanView:
    plan = get_plan(session, actor, plan_id)
    owner = session.get_one(Centre, plan.owner_id)
    return PlanView(
        card=card_of(plan),
        owner=owner.name,
        code=plan.code,
        version=plan.version,
        withdrawn=plan.withdrawn_at is not None,
        groups=_groups(session, plan),
        miles=tuple(
            MileRow(
                dt.date.fromisoformat(mile["by"]),
                f"{mile['progress_pct']}%" if mile.get("progress_pct") else "",
                mile.get("do", ""),
            )
            for mile in plan.milestones
            if mile.get("by")
        ),
        switches=switch_words(plan.switches),
        notes=tuple(str(note) for note in plan.notes),
        may_change=may_change(actor, owner),
    )


def may_change(actor: Actor, owner: Centre) -> bool:
    """A plan from above is read; one's own is written."""
    return may(actor.role, "plan.change") and covers(actor.centre_path, owner.path)


def _groups(session: Session, plan: Plan) -> tuple[GroupRow, ...]:
    names = {
        centre.id: centre.name
        for centre in session.query(Centre).where(
            Centre.id.in_([unit.centre_id for unit in plan.units])
        )
    }
    depths = depths_of(plan.targets)
    made = []
    for who in dict.fromkeys(target.who for target in plan.targets):
        listed = [target for target in plan.targets if target.who == who]
        standing = sorted(names[u.centre_id] for u in plan.units if u.who == who)
        counted = max((t.units for t in listed if t.units is not None), default=None)
        rows = tuple(_target(target, depths[target.code]) for target in listed)
        made.append(GroupRow(who, rows, tuple(standing), counted))
    return tuple(made)


def depths_of(targets: Sequence[Target]) -> dict[str, int]:
    """Code → how deep it stands under what it is 其中 of."""
    parents = {target.code: target.parent for target in targets}
    found = {}
    for code in parents:
        depth, above = 0, parents[code]
        while above in parents and depth < _DEPTH_MAX:
            depth, above = depth + 1, parents[above]
        found[code] = depth
    return found


def _target(target: Target, depth: int) -> TargetRow:
    value = number_text(Fraction(target.value))
    every = PERIOD_WORDS.get(target.period, target.period)
    per = "" if target.per == "per_unit" else f"，{PER_WORDS[target.per]}"
    return TargetRow(
        code=target.code,
        indicator=target.indicator,
        asked=f"{every}{OP_WORDS.get(target.op, target.op)} {value} {target.unit}{per}",
        how=query_text(query_of(target.query)) if target.query else "手工填报，附证据",
        by_ledger=target.query is not None,
        depth=depth,
        note=target.note,
        exceptions="、".join(f"{name} {value}" for name, value in target.overrides.items()),
    )


def switch_words(raw: Mapping[str, Any]) -> tuple[str, ...]:
    """What this plan decides, each switch in a sentence."""
    read = switches_of(raw)
    return (
        "素材只算节目信号，机位和补拍不算"
        if read.programme_only
        else "素材含节目信号、各机位和补拍",
        "展播、重播也算一场（推广服务点）" if read.reshown else "展播、重播不算场次和时长",
        f"点击量报“{FIGURES[read.clicks]}”",
        "占比按目标数算" if read.share_of == "target" else "占比按实际数算",
        f"微视频最长 {read.micro_max_minutes} 分钟",
        "“更新”也算改过的资源" if read.edits else "“更新”只算新发布的资源",
    )


# ---- groups of centres --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class UnitChoice:
    id: str
    name: str
    level: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class UnitsGroup:
    who: str
    chosen: int
    counted: int | None
    choices: tuple[UnitChoice, ...]


@dataclass(frozen=True, slots=True)
class UnitsView:
    card: PlanCard
    groups: tuple[UnitsGroup, ...]


def units_page(session: Session, plan: Plan) -> UnitsView:
    """Who stands in which group; every centre of the owner's subtree may."""
    owner = session.get_one(Centre, plan.owner_id)
    centres = centres_within(session, owner.path)
    made = []
    for who in dict.fromkeys(target.who for target in plan.targets):
        standing = {unit.centre_id for unit in plan.units if unit.who == who}
        counted = [t.units for t in plan.targets if t.who == who and t.units is not None]
        choices = tuple(
            UnitChoice(c.id, c.name, LEVELS.get(c.level, c.level), c.id in standing)
            for c in centres
        )
        made.append(UnitsGroup(who, len(standing), max(counted, default=None), choices))
    return UnitsView(card_of(plan), tuple(made))


# ---- the editor ---------------------------------------------------------------------------------

MEASURE_CHOICES: Final = (("", "手工填报，附证据"), *MEASURES.items())


def target_form(target: Target) -> dict[str, Any]:
    """A target as the fields of the editor's form."""
    query = target.query or {}
    return {
        "code": target.code,
        "who": target.who,
        "indicator": target.indicator,
        "unit": target.unit,
        "op": target.op,
        "value": f"{target.value.normalize():f}",
        "per": target.per,
        "period": target.period,
        "parent": target.parent or "",
        "denominator": target.denominator or "",
        "area": target.area,
        "level": target.level,
        "note": target.note,
        "overrides": "\n".join(f"{name} {value}" for name, value in target.overrides.items()),
        "measure": query.get("measure", ""),
        "mode": query.get("mode", "any"),
        "origin": query.get("origin", "any"),
        "ledger": query.get("ledger", "any"),
        "scope": query.get("scope", "own"),
        "kinds": tuple(query.get("kinds", ())),
        "av_only": "1" if query.get("av_only") else "",
        "title_has": "、".join(query.get("title_has", ())),
        "min_lessons": str(query.get("min_lessons", "") or ""),
        "figure": query.get("figure", "") or "",
    }


def blank_target(who: str) -> dict[str, Any]:
    """A new target's form."""
    return {"who": who, "op": ">=", "per": "per_unit", "period": "year", "kinds": ()}


def head_form(plan: Plan) -> dict[str, Any]:
    """A plan's head as the fields of its form."""
    kept = {
        "title": plan.title,
        "issuer": plan.issuer,
        "document": plan.document,
        "issued_on": plan.issued_on,
        "year": plan.year,
        "milestones": plan.milestones,
        "switches": asdict(switches_of(plan.switches)),
        "notes": plan.notes,
    }
    return head_again(kept, str(plan.version))


def head_again(fields: Mapping[str, Any], version: str) -> dict[str, Any]:
    """The head's form with what was typed; always with empty rows for further milestones."""
    blank: list[dict[str, Any]] = [{}] * _BLANK_MILES
    return {
        **fields,
        "notes": "\n".join(str(note) for note in fields["notes"]),
        "milestones": [*fields["milestones"], *blank],
        "version": version,
    }
