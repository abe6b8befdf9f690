"""Which centre stands in which group of a plan: as level and name say, until somebody says."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog.centres import centres_within
from catalog.models import Centre, Plan, PlanUnit
from catalog.plans.templates import Group, group_of_words, groups_of, templates


def groups_in(plan: Plan) -> Mapping[str, Group]:
    """The groups of a plan, in the order of its targets: of a shipped one as it says."""
    shipped = templates().get(plan.code)
    known = shipped.groups if shipped else {}
    return {
        target.who: known.get(target.who) or group_of_words(target.who) for target in plan.targets
    }


def units_of(
    session: Session, plan: Plan, *, centre_path: str | None = None
) -> dict[str, list[Centre]]:
    """Group → its centres, every group of the plan, also those nobody stands in."""
    found: dict[str, list[Centre]] = {who: [] for who in groups_in(plan)}
    query = (
        select(PlanUnit.who, Centre)
        .join(Centre, Centre.id == PlanUnit.centre_id)
        .where(PlanUnit.plan_id == plan.id)
        .order_by(Centre.path)
    )
    for who, centre in session.execute(query):
        if centre_path is None or centre.path.startswith(centre_path):
            found.setdefault(who, []).append(centre)
    return found


def assign(session: Session, plan: Plan) -> list[tuple[str, str]]:
    """Put the centres that stand in no group where they belong; (who, centre id) of each."""
    owner = session.get_one(Centre, plan.owner_id)
    groups = groups_in(plan)
    placed = {unit.centre_id for unit in plan.units}
    added = []
    for centre in centres_within(session, owner.path):
        if centre.id in placed:
            continue
        fitting = groups_of(
            groups, name=centre.name, level=centre.level, is_owner=centre.id == owner.id
        )
        added += [(who, centre.id) for who in sorted(fitting)]
    plan.units.extend(
        PlanUnit(plan_id=plan.id, centre_id=centre_id, who=who) for who, centre_id in added
    )
    session.flush()
    return added
