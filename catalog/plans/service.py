"""Plans as people keep them: loaded from a template, made, changed, withdrawn; never deleted."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, case, func, or_, select
from sqlalchemy.orm import Session, selectinload

from catalog.audit import Actor, note
from catalog.centres import within
from catalog.errors import Missing, Refused
from catalog.models import Centre, Plan, PlanUnit, Target
from catalog.plans.fields import clean_code, clean_head, clean_targets, clean_text
from catalog.plans.templates import template
from catalog.plans.units import assign
from infra.ids import public_id


def plans_seen(
    session: Session, centre_path: str | None, *, year: int | None = None, withdrawn: bool = False
) -> list[Plan]:
    """Plans kept by a centre above or inside the subtree at ``centre_path``; newest year first."""
    query = (
        select(Plan)
        .join(Centre, Centre.id == Plan.owner_id)
        .where(_seen_from(centre_path))
        .order_by(Plan.year.desc(), Plan.code, Plan.id)
    )
    if year is not None:
        query = query.where(Plan.year == year)
    if not withdrawn:
        query = query.where(Plan.withdrawn_at.is_(None))
    return list(session.scalars(query))


def _seen_from(path: str | None) -> ColumnElement[bool]:
    if path is None:
        return within(None)
    return or_(within(path), _above(path))


def _above(path: str) -> ColumnElement[bool]:
    """Condition on ``Centre``: the one at ``path``, or one above it."""
    return func.starts_with(path, Centre.path)


def get_plan(session: Session, actor: Actor, wanted: str) -> Plan:
    """A plan the actor sees, by id or code. Raises Missing("plan_unknown")."""
    # Of several of one code the nearest: one's own, then from there up, then from there down.
    far = func.length(Centre.path)
    nearest = case((_above(actor.centre_path or ""), -far), else_=far)
    query = (
        select(Plan)
        .join(Centre, Centre.id == Plan.owner_id)
        .where(or_(Plan.id == wanted, Plan.code == wanted), _seen_from(actor.centre_path))
        .order_by((Plan.id == wanted).desc(), Plan.withdrawn_at.is_(None).desc(), nearest, Plan.id)
        .options(selectinload(Plan.targets), selectinload(Plan.units))
        .limit(1)
    )
    found = session.scalars(query).first()
    if found is None:
        raise Missing("plan_unknown", plan=wanted[:60])
    return found


def own_plan(session: Session, actor: Actor, wanted: str) -> Plan:
    """A plan the actor may change: kept inside their subtree; held until the transaction ends."""
    plan = get_plan(session, actor, wanted)
    owner = session.get_one(Centre, plan.owner_id)
    if actor.centre_path is not None and not owner.path.startswith(actor.centre_path):
        raise Refused("plan_not_yours", title=plan.title, centre=owner.name)
    session.refresh(plan, with_for_update=True)
    return plan


def load_template(session: Session, actor: Actor, name: str, owner: Centre) -> Plan:
    """A shipped plan as this centre's own, its units assigned by level and name.

    Raises Missing("plan_template_unknown"), Refused("plan_exists", plan=…, title=…).
    """
    shipped = template(name)
    plan = create_plan(
        session,
        actor,
        owner,
        code=shipped.code,
        title=shipped.title,
        year=shipped.year,
        issuer=shipped.issuer,
        document=shipped.document,
        issued_on=shipped.issued_on,
        switches=shipped.switches,
        milestones=shipped.milestones,
        notes=shipped.notes,
    )
    plan.targets = _targets(plan.id, shipped.targets)
    session.flush()
    assign(session, plan)
    return plan


def create_plan(
    session: Session, actor: Actor, owner: Centre, *, code: str, title: str, year: int, **head: Any
) -> Plan:
    """An empty plan. ``head``: issuer, document, issued_on, switches, milestones, notes.

    A centre may keep several plans of one year, each under a code of its own.
    """
    fields = clean_head({"title": title, "year": year, **head})
    code = clean_code(code)
    # Two that load the same template at once wait here for each other.
    session.get_one(Centre, owner.id, with_for_update=True)
    before = session.scalars(select(Plan).where(Plan.owner_id == owner.id, Plan.code == code))
    for other in before:
        shown = "plan_exists_withdrawn" if other.withdrawn_at else "plan_exists"
        raise Refused(shown, plan=code, title=other.title, year=other.year)
    plan = Plan(id=public_id(), owner_id=owner.id, code=code, created_by=actor.user_id, **fields)
    session.add(plan)
    session.flush()
    note(session, actor, "plan.create", "plan", plan.id, centre_id=owner.id, code=code, **fields)
    return plan


def change_plan(
    session: Session,
    actor: Actor,
    plan_id: str,
    changes: Mapping[str, Any],
    *,
    expect_version: int | None = None,
) -> Plan:
    """Change title, issuer, document, issued_on, year, switches, milestones, notes.

    Raises Refused("plan_changed") when somebody else changed it first.
    """
    plan = _held(session, actor, plan_id, expect_version)
    cleaned = clean_head(changes)
    before = {name: getattr(plan, name) for name in cleaned}
    changed = {
        name: [before[name], cleaned[name]] for name in cleaned if before[name] != cleaned[name]
    }
    if changed:
        for name in changed:
            setattr(plan, name, cleaned[name])
        _new_version(session, actor, plan, "plan.change", changes=changed)
    return plan


def set_targets(
    session: Session,
    actor: Actor,
    plan_id: str,
    targets: Sequence[Mapping[str, Any]],
    *,
    expect_version: int | None = None,
) -> Plan:
    """Replace all targets, in this order. Fields as of the Target row (code, who, …)."""
    plan = _held(session, actor, plan_id, expect_version)
    _replace_targets(session, actor, plan, targets)
    return plan


def put_target(
    session: Session,
    actor: Actor,
    plan_id: str,
    fields: Mapping[str, Any],
    *,
    expect_version: int | None = None,
) -> Plan:
    """Add the target of that code, or change the fields given of it."""
    plan = _held(session, actor, plan_id, expect_version)
    code = clean_code(fields.get("code"))
    rows = [target_fields(target) for target in plan.targets]
    known = next((row for row in rows if row["code"] == code), None)
    if known is None:
        rows.append({**fields, "code": code})
    else:
        known.update(fields, code=code)
    _replace_targets(session, actor, plan, rows)
    return plan


def drop_target(
    session: Session, actor: Actor, plan_id: str, code: str, *, expect_version: int | None = None
) -> Plan:
    """Take a target off the plan; entries made for it stay in the table."""
    plan = _held(session, actor, plan_id, expect_version)
    if all(target.code != code for target in plan.targets):
        raise Missing("plan_target_unknown", target=code[:60])
    rows = [target_fields(target) for target in plan.targets if target.code != code]
    _replace_targets(session, actor, plan, rows)
    return plan


def set_units(
    session: Session, actor: Actor, plan_id: str, groups: Mapping[str, Sequence[str]]
) -> Plan:
    """Say which centres stand in which groups: {who: [centre id, …]}; groups not named stay."""
    plan = _held(session, actor, plan_id, None)
    owner = session.get_one(Centre, plan.owner_id)
    wanted = {
        (clean_text(who, "who", 100, needed=True), centre_id)
        for who, ids in groups.items()
        for centre_id in ids
    }
    known = set(session.scalars(select(Centre.id).where(within(owner.path))))
    for _, centre_id in sorted(wanted):
        if centre_id not in known:
            raise Missing("centre_unknown", centre=centre_id[:200])
    before = {(unit.who, unit.centre_id) for unit in plan.units if unit.who in groups}
    if wanted != before:
        plan.units = [
            *(unit for unit in plan.units if (unit.who, unit.centre_id) not in before - wanted),
            *(
                PlanUnit(plan_id=plan.id, centre_id=centre_id, who=who)
                for who, centre_id in sorted(wanted - before)
            ),
        ]
        gone, new = sorted(before - wanted), sorted(wanted - before)
        _new_version(session, actor, plan, "plan.units", removed=gone, added=new)
    return plan


def assign_units(session: Session, actor: Actor, plan_id: str) -> Plan:
    """Put every centre of the owner's subtree that is in no group where level and name say."""
    plan = _held(session, actor, plan_id, None)
    added = assign(session, plan)
    if added:
        _new_version(session, actor, plan, "plan.units", added=added)
    return plan


def withdraw_plan(session: Session, actor: Actor, plan_id: str) -> Plan:
    """Out of the lists; entries and returns stay."""
    plan = _held(session, actor, plan_id, None)
    if plan.withdrawn_at is None:
        plan.withdrawn_at = dt.datetime.now(dt.UTC)
        note(session, actor, "plan.withdraw", "plan", plan.id, centre_id=plan.owner_id)
    return plan


def restore_plan(session: Session, actor: Actor, plan_id: str) -> Plan:
    """Back into the lists."""
    plan = _held(session, actor, plan_id, None)
    if plan.withdrawn_at is not None:
        plan.withdrawn_at = None
        note(session, actor, "plan.restore", "plan", plan.id, centre_id=plan.owner_id)
    return plan


def target_fields(target: Target) -> dict[str, Any]:
    """A target as ``set_targets`` takes it; the value as text, exact."""
    return {
        "code": target.code,
        "who": target.who,
        "indicator": target.indicator,
        "unit": target.unit,
        "value": f"{target.value.normalize():f}",
        "level": target.level,
        "units": target.units,
        "op": target.op,
        "per": target.per,
        "period": target.period,
        "parent": target.parent,
        "denominator": target.denominator,
        "area": target.area,
        "overrides": dict(target.overrides),
        "query": target.query,
        "aliases": list(target.aliases),
        "note": target.note,
    }


def _held(session: Session, actor: Actor, plan_id: str, expect_version: int | None) -> Plan:
    plan = own_plan(session, actor, plan_id)
    if expect_version is not None and plan.version != expect_version:
        raise Refused("plan_changed", title=plan.title)
    return plan


def _replace_targets(
    session: Session, actor: Actor, plan: Plan, rows: Sequence[Mapping[str, Any]]
) -> None:
    before = {target.code: target_fields(target) for target in plan.targets}
    order = [target.code for target in plan.targets]
    cleaned = clean_targets(rows)
    after = {row["code"]: {**row, "value": f"{row['value'].normalize():f}"} for row in cleaned}
    changed = {
        code: [before.get(code), after.get(code)]
        for code in [*before, *(code for code in after if code not in before)]
        if before.get(code) != after.get(code)
    }
    if not changed and order == list(after):
        return
    kept = {target.code: target for target in plan.targets}
    for position, row in enumerate(cleaned):
        target = kept.pop(row["code"], None)
        if target is None:
            plan.targets.append(Target(plan_id=plan.id, position=position, **row))
            continue
        target.position = position
        for name, value in row.items():
            setattr(target, name, value)
    for gone in kept.values():
        plan.targets.remove(gone)
    _new_version(session, actor, plan, "plan.targets", changes=changed)
    session.refresh(plan, ["targets"])


def _targets(plan_id: str, rows: Sequence[Mapping[str, Any]]) -> list[Target]:
    return [
        Target(plan_id=plan_id, position=position, **row)
        for position, row in enumerate(clean_targets(rows))
    ]


def _new_version(session: Session, actor: Actor, plan: Plan, action: str, **details: Any) -> None:
    plan.version += 1
    session.flush()
    note(
        session,
        actor,
        action,
        "plan",
        plan.id,
        centre_id=plan.owner_id,
        version=plan.version,
        **details,
    )
