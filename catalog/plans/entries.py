"""Values kept by hand, with their evidence; a correction replaces, and what it replaced stays.

Of a target the ledger answers, an entry says what Xitai does not hold (things from before it, or
from elsewhere): it is added to the ledger's number. Of a share (其中音视频 50%) an entry is the
count (60 条), never the percentage; of a percentage that is no share of another target it is the
percentage.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog.audit import Actor, note
from catalog.centres import within
from catalog.clock import china_date
from catalog.errors import Missing, Refused
from catalog.models import Centre, Entry, Plan, Target
from catalog.plans.fields import clean_amount, clean_year
from catalog.plans.periods import PERIODS, span_of

EVIDENCE_MAX: Final = 20
TEXT_MAX: Final = 500
EVIDENCE_PREFIX: Final = "evidence/"
"""Where the files of entries are in storage; an entry cannot point anywhere else."""


def set_entry(
    session: Session,
    actor: Actor,
    plan: Plan,
    centre: Centre,
    code: str,
    value: Decimal | int | str,
    *,
    year: int | None = None,
    period: str = "",
    evidence: Sequence[Mapping[str, Any]] = (),
    now: dt.datetime | None = None,
) -> Entry:
    """Keep a value; the same value and evidence again makes no new row.

    ``evidence``: [{"kind": "file|link|note", "text": …, "key": …}]; at least one is needed.
    Raises Refused entry_value, entry_period, entry_evidence, entry_unit, plan_target_unknown.
    """
    now = now or dt.datetime.now(dt.UTC)
    target = _target(plan, code)
    if all(unit.centre_id != centre.id or unit.who != target.who for unit in plan.units):
        raise Refused("entry_unit", centre=centre.name, who=target.who)
    year = plan.year if year is None else clean_year(year)
    try:
        number = clean_amount(value)
    except Refused as error:
        raise Refused("entry_value", reason=error.facts["reason"]) from None
    if target.unit == "%" and target.parent is None and number > 100:
        raise Refused("entry_percent", indicator=target.indicator)
    shown = _evidence(evidence)
    # Two corrections of one value wait for each other here.
    session.get_one(Plan, plan.id, with_for_update=True)
    standing = entries_of(session, plan, year=year, code=code, centre_path=centre.path)
    standing = [entry for entry in standing if entry.centre_id == centre.id]
    _check_period(target, period, year, standing, china_date(now))
    before = next((entry for entry in standing if entry.period == period), None)
    if before is not None and (before.value, before.evidence) == (number, shown):
        return before
    entry = Entry(
        plan_id=plan.id,
        centre_id=centre.id,
        code=code,
        year=year,
        period=period,
        value=number,
        evidence=shown,
        entered_by=actor.user_id,
        entered_name=actor.name[:100],
        entered_at=now,
    )
    session.add(entry)
    session.flush()
    if before is not None:
        before.replaced_by = entry.id
    _noted(session, actor, "entry.set", entry, before=None if before is None else before.value)
    return entry


def withdraw_entry(session: Session, actor: Actor, plan: Plan, entry_id: int) -> Entry:
    """Take a value back (entered for the wrong line); the row stays."""
    entry = get_entry(session, actor, plan, entry_id)
    if entry.replaced_by is not None:
        raise Refused("entry_replaced")
    if entry.withdrawn_at is None:
        entry.withdrawn_at = dt.datetime.now(dt.UTC)
        _noted(session, actor, "entry.withdraw", entry)
    return entry


def get_entry(session: Session, actor: Actor, plan: Plan, entry_id: int) -> Entry:
    """An entry of the plan within the actor's reach. Raises Missing("entry_unknown")."""
    query = (
        select(Entry)
        .join(Centre, Centre.id == Entry.centre_id)
        .where(Entry.id == entry_id, Entry.plan_id == plan.id, within(actor.centre_path))
    )
    entry = session.scalars(query).first()
    if entry is None:
        raise Missing("entry_unknown")
    return entry


def entries_of(
    session: Session,
    plan: Plan,
    *,
    year: int | None = None,
    centre_path: str | None = None,
    code: str | None = None,
    history: bool = False,
) -> list[Entry]:
    """Entries that stand, newest first; with ``history`` those replaced or withdrawn too."""
    query = (
        select(Entry)
        .join(Centre, Centre.id == Entry.centre_id)
        .where(Entry.plan_id == plan.id, within(centre_path))
        .order_by(Entry.id.desc())
    )
    if year is not None:
        query = query.where(Entry.year == year)
    if code is not None:
        query = query.where(Entry.code == code)
    if not history:
        query = query.where(Entry.replaced_by.is_(None), Entry.withdrawn_at.is_(None))
    return list(session.scalars(query))


def target_named(plan: Plan, centre_id: str, name: str) -> Target | None:
    """The target of this centre's groups that a return calls ``name`` (an alias, the indicator,
    or the code itself)."""
    groups = {unit.who for unit in plan.units if unit.centre_id == centre_id}
    asked = [target for target in plan.targets if target.who in groups]
    for fits in (
        lambda target: target.code == name,
        lambda target: name in target.aliases,
        lambda target: target.indicator == name,
    ):
        found = next((target for target in asked if fits(target)), None)
        if found is not None:
            return found
    return None


def _target(plan: Plan, code: str) -> Target:
    found = next((target for target in plan.targets if target.code == code), None)
    if found is None:
        raise Missing("plan_target_unknown", target=code[:60])
    return found


def _check_period(
    target: Target, period: str, year: int, standing: Sequence[Entry], today: dt.date
) -> None:
    """A value of a year is given whole or in parts, never both: the parts would count twice."""
    months, quarters = PERIODS["month"], PERIODS["quarter"]
    allowed = {"month": months, "quarter": (*quarters, *months)}.get(
        target.period, ("", *quarters, *months)
    )
    if period not in allowed:
        asked = {"month": "按月", "quarter": "按季度或按月"}.get(
            target.period, "按年、按季度或按月"
        )
        raise Refused("entry_period", indicator=target.indicator, asked=asked)
    if span_of(period, year)[0] > today:
        raise Refused("entry_future")
    if any(_grain(entry.period) != _grain(period) for entry in standing):
        raise Refused("entry_period_mixed", indicator=target.indicator)


def _grain(period: str) -> str:
    return period[:1] if period.startswith("Q") else ("month" if period else "year")


def _evidence(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    made: list[dict[str, str]] = []
    if len(rows) > EVIDENCE_MAX:
        raise Refused("entry_evidence_many", most=EVIDENCE_MAX)
    for row in rows:
        kind = str(row.get("kind", "note"))
        said = " ".join(str(row.get("text") or "").replace("\x00", "").split())
        key = str(row.get("key") or "")
        if len(said) > TEXT_MAX:
            raise Refused("entry_evidence_long", most=TEXT_MAX)
        match kind:
            case "note" if said:
                made.append({"kind": kind, "text": said})
            case "link" if said.startswith(("https://", "http://")):
                made.append({"kind": kind, "text": said})
            case "file" if key.startswith(EVIDENCE_PREFIX):
                made.append({"kind": kind, "text": said or "附件", "key": key})
            case "note" if not said:
                continue  # an empty line of the form
            case _:
                raise Refused("entry_evidence_bad")
    if not made:
        raise Refused("entry_evidence")
    return made


def _noted(
    session: Session, actor: Actor, action: str, entry: Entry, *, before: Decimal | None = None
) -> None:
    note(
        session,
        actor,
        action,
        "plan",
        entry.plan_id,
        centre_id=entry.centre_id,
        entry=entry.id,
        code=entry.code,
        year=entry.year,
        period=entry.period,
        value=str(entry.value),
        before=None if before is None else str(before),
    )
