"""Plans over the API: templates, targets, units, values by hand, the report and the matrix."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from api import answers_plans as told
from api.auth import Db, actor, own_centre, require
from catalog.accounts import Identity
from catalog.centres import get_centre
from catalog.clock import china_date
from catalog.errors import Refused
from catalog.models import Centre, Plan
from catalog.plans import matrix as views
from catalog.plans import service
from catalog.plans.compute import report_of
from catalog.plans.entries import entries_of, set_entry, withdraw_entry
from catalog.plans.fields import FIRST_YEAR, LAST_YEAR, TARGETS_MAX
from catalog.plans.report import PlanReport, to_json
from catalog.plans.templates import templates
from catalog.plans.units import units_of

router = APIRouter(tags=["plans"])

Sees = Annotated[Identity, Depends(require("plan.see"))]
Changes = Annotated[Identity, Depends(require("plan.change"))]
Enters = Annotated[Identity, Depends(require("entry.set"))]
Year = Annotated[int | None, Query(ge=FIRST_YEAR, le=LAST_YEAR)]
CentreName = Annotated[str | None, Query(max_length=200, description="Id or name.")]

JSON = dict[str, Any]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Load(Body):
    template: str = Field(max_length=60)
    centre: str | None = Field(default=None, max_length=200)


class Head(Body):
    issuer: str = Field(default="", max_length=1000)
    document: str = Field(default="", max_length=1000)
    issued_on: str = Field(default="", max_length=100)
    switches: JSON = Field(default_factory=dict)
    milestones: list[JSON] = Field(default_factory=list, max_length=200)
    notes: list[str] = Field(default_factory=list, max_length=200)


class NewPlan(Head):
    code: str = Field(max_length=1000)
    title: str = Field(max_length=1000)
    year: int
    centre: str | None = Field(default=None, max_length=200)


class PlanChange(Head):
    """Only what is given is changed."""

    title: str = Field(default="", max_length=1000)
    year: int = 0
    expect_version: int | None = None


class Targets(Body):
    targets: list[JSON] = Field(max_length=TARGETS_MAX)
    expect_version: int | None = None


class Units(Body):
    units: dict[str, list[str]] = Field(description="Group → ids or names of its centres.")


class Proof(Body):
    kind: Literal["link", "note"] = Field(description="Files are handed in at the desk.")
    text: str = Field(max_length=1000)


class NewEntry(Body):
    code: str = Field(max_length=60)
    value: str | int | float = Field(description="Text keeps every digit.")
    centre: str | None = Field(default=None, max_length=200)
    year: int | None = None
    period: str = Field(default="", max_length=10)
    evidence: list[Proof] = Field(max_length=50)


@router.get("/plans")
def listing(
    who: Sees, session: Db, year: Year = None, withdrawn: bool = False
) -> list[told.PlanBrief]:
    """The plans that concern the caller's centres, newest year first."""
    found = service.plans_seen(session, who.centre_path, year=year, withdrawn=withdrawn)
    return [told.brief(plan) for plan in found]


@router.get("/plans/templates")
def shipped(who: Sees) -> list[told.TemplateAnswer]:
    """The plans that come with Xitai."""
    return [told.shipped(template) for template in templates().values()]


@router.post("/plans/load", status_code=201)
def load(body: Load, who: Changes, session: Db) -> told.PlanFull:
    """A shipped plan as a centre's own."""
    owner = own_centre(session, who, body.centre)
    return _full(session, service.load_template(session, actor(who), body.template, owner))


@router.post("/plans", status_code=201)
def create(body: NewPlan, who: Changes, session: Db) -> told.PlanFull:
    """An empty plan."""
    owner = own_centre(session, who, body.centre)
    fields = body.model_dump(exclude={"centre"})
    return _full(session, service.create_plan(session, actor(who), owner, **fields))


@router.get("/plans/{plan_id}")
def show(plan_id: str, who: Sees, session: Db) -> told.PlanFull:
    """All of a plan, by its id or code."""
    return _full(session, service.get_plan(session, actor(who), plan_id))


@router.patch("/plans/{plan_id}")
def change(plan_id: str, body: PlanChange, who: Changes, session: Db) -> told.PlanFull:
    """Change the head of a plan; only what is given."""
    changes = body.model_dump(exclude={"expect_version"}, exclude_unset=True)
    plan = service.change_plan(
        session, actor(who), plan_id, changes, expect_version=body.expect_version
    )
    return _full(session, plan)


@router.put("/plans/{plan_id}/targets")
def targets(plan_id: str, body: Targets, who: Changes, session: Db) -> told.PlanFull:
    """Replace all targets."""
    plan = service.set_targets(
        session, actor(who), plan_id, body.targets, expect_version=body.expect_version
    )
    return _full(session, plan)


@router.put("/plans/{plan_id}/units")
def units(plan_id: str, body: Units, who: Changes, session: Db) -> told.PlanFull:
    """Say which centres stand in which groups; groups not named stay as they are."""
    by = actor(who)
    service.own_plan(session, by, plan_id)
    wanted = {
        group: [get_centre(session, name).id for name in names]
        for group, names in body.units.items()
    }
    return _full(session, service.set_units(session, by, plan_id, wanted))


@router.post("/plans/{plan_id}/units/assign")
def assign(plan_id: str, who: Changes, session: Db) -> told.PlanFull:
    """Put centres that stand in no group where their level and name say."""
    return _full(session, service.assign_units(session, actor(who), plan_id))


@router.post("/plans/{plan_id}/withdraw")
def withdraw(plan_id: str, who: Changes, session: Db) -> told.PlanBrief:
    """Out of the lists; nothing is deleted."""
    return told.brief(service.withdraw_plan(session, actor(who), plan_id))


@router.post("/plans/{plan_id}/restore")
def restore(plan_id: str, who: Changes, session: Db) -> told.PlanBrief:
    """Back into the lists."""
    return told.brief(service.restore_plan(session, actor(who), plan_id))


# --- values by hand ---------------------------------------------------------------------------


@router.get("/plans/{plan_id}/entries")
def entries(
    plan_id: str,
    who: Sees,
    session: Db,
    year: Year = None,
    code: Annotated[str | None, Query(max_length=60)] = None,
    history: bool = False,
) -> list[told.EntryAnswer]:
    """Values of the caller's centres; with ``history`` those replaced and taken back too."""
    plan = service.get_plan(session, actor(who), plan_id)
    found = entries_of(
        session, plan, year=year, centre_path=who.centre_path, code=code, history=history
    )
    return [told.entry(kept) for kept in found]


@router.post("/plans/{plan_id}/entries", status_code=201)
def enter(plan_id: str, body: NewEntry, who: Enters, session: Db) -> told.EntryAnswer:
    """Keep a value; of a target the ledger answers, what Xitai does not hold."""
    by = actor(who)
    plan = service.get_plan(session, by, plan_id)
    kept = set_entry(
        session,
        by,
        plan,
        own_centre(session, who, body.centre),
        body.code,
        str(body.value),
        year=body.year,
        period=body.period,
        evidence=[proof.model_dump() for proof in body.evidence],
    )
    return told.entry(kept)


@router.post("/plans/{plan_id}/entries/{entry_id}/withdraw")
def take_back(plan_id: str, entry_id: int, who: Enters, session: Db) -> told.EntryAnswer:
    """Take a value back."""
    by = actor(who)
    plan = service.get_plan(session, by, plan_id)
    return told.entry(withdraw_entry(session, by, plan, entry_id))


# --- what is owed and done --------------------------------------------------------------------


@router.get("/plans/{plan_id}/report")
def report(
    plan_id: str,
    who: Sees,
    session: Db,
    centre: CentreName = None,
    year: Year = None,
    cut_off: AwareDatetime | None = None,
) -> JSON:
    """Every line with its evidence; fractions are [numerator, denominator]."""
    now = dt.datetime.now(dt.UTC)
    at = cut_off or now
    if at > now:
        raise Refused("return_cut_off")
    if at.year < FIRST_YEAR:
        raise Refused("return_year", year=at.year)
    return to_json(_report(session, who, plan_id, centre, year, at, detail=True)[1])


@router.get("/plans/{plan_id}/matrix")
def matrix(
    plan_id: str,
    who: Sees,
    session: Db,
    centre: CentreName = None,
    year: Year = None,
    milestone: dt.date | None = None,
) -> told.MatrixAnswer:
    """Centres × indicators, the most urgent first."""
    now = dt.datetime.now(dt.UTC)
    _, found = _report(session, who, plan_id, centre, year, now, detail=False)
    return told.table(views.matrix(found, china_date(now), milestone=milestone))


@router.get("/plans/{plan_id}/owed")
def owed(
    plan_id: str, who: Sees, session: Db, centre: CentreName = None, year: Year = None
) -> told.OwedList:
    """What one centre still owes this year."""
    now = dt.datetime.now(dt.UTC)
    root, found = _report(session, who, plan_id, centre, year, now, detail=False)
    today = china_date(now)
    text = views.owed_text(found, root.id, today)
    return told.owing(text, views.owed(found, root.id, today))


def _report(
    session: Session,
    who: Identity,
    plan_id: str,
    centre: str | None,
    year: int | None,
    cut_off: dt.datetime,
    *,
    detail: bool,
) -> tuple[Centre, PlanReport]:
    plan = service.get_plan(session, actor(who), plan_id)
    root = own_centre(session, who, centre)
    return root, report_of(session, plan, root, year or plan.year, cut_off=cut_off, detail=detail)


def _full(session: Session, plan: Plan) -> told.PlanFull:
    return told.full(plan, units_of(session, plan))
