"""Frozen returns: a plan's numbers at a cut-off, kept as they were handed in.

A return is never changed (the database sees to it): a correction is the next revision, which
says why it is there. ``numbers`` is the whole report with its evidence, its sentences and the
returns of units below it was compared with; ``sha256`` is over its canonical form.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session, defer

from catalog.audit import Actor, note
from catalog.centres import within
from catalog.clock import china_year
from catalog.errors import Missing, Refused
from catalog.models import Centre, Plan, Return
from catalog.plans.compute import report_of
from catalog.plans.report import PlanReport, from_json, to_json
from catalog.returns.differences import Difference, differences, unit_differences
from catalog.returns.names import names_of
from catalog.returns.sentences import broadcast_sentences, sum_sentence, unit_sentences
from catalog.returns.shown import Stamp
from infra.ids import public_id

WHY_MAX: Final = 500
SHAPE: Final = "xitai-return-1"
YEARS: Final = range(2000, 2201)


def freeze(
    session: Session,
    actor: Actor,
    plan: Plan,
    centre: Centre,
    year: int,
    cut_off: dt.datetime,
    why: str = "",
    *,
    now: dt.datetime | None = None,
) -> Return:
    """Freeze what ``centre`` and those under it have done of ``plan`` in ``year``.

    Raises Refused return_cut_off (in the future), return_cut_off_early (before the year),
    return_empty (the plan asks nothing of them), return_why (a further revision without a
    reason), return_same (nothing has changed, the cut-off neither); Missing centre_unknown.
    """
    now = now or dt.datetime.now(dt.UTC)
    _check(actor, centre, cut_off, now, year, why)
    # One at a time of a plan, and no target changes while its numbers are taken.
    session.scalars(select(Plan.id).where(Plan.id == plan.id).with_for_update()).one()
    before = latest(session, plan.id, centre.id, year)
    if before is not None and not why.strip():
        raise Refused("return_why", revision=before.revision)
    report = report_of(session, plan, centre, year, cut_off=cut_off)
    if not report.units:
        raise Refused("return_empty", centre=centre.name)
    if before is not None and _says_the_same(before, report):
        raise Refused("return_same", revision=before.revision)
    numbers = numbers_of(report, names_of(plan), built_on(session, report))
    made = Return(
        id=public_id(),
        plan_id=plan.id,
        centre_id=centre.id,
        year=year,
        revision=before.revision + 1 if before else 1,
        cut_off=cut_off,
        rule_version=report.rule_version,
        plan_version=report.plan_version,
        numbers=numbers,
        sha256=digest(numbers),
        why=why.strip(),
        frozen_by=actor.user_id,
        frozen_name=actor.name[:100],
        frozen_at=now,
    )
    session.add(made)
    session.flush()
    note(
        session, actor, "return.freeze", "return", made.id, centre_id=centre.id,
        plan=plan.code, year=year, revision=made.revision, sha256=made.sha256, why=made.why,
    )  # fmt: skip
    return made


def _check(
    actor: Actor, centre: Centre, cut_off: dt.datetime, now: dt.datetime, year: int, why: str
) -> None:
    if actor.centre_path is not None and not centre.path.startswith(actor.centre_path):
        raise Missing("centre_unknown", centre=centre.name)
    if cut_off > now:
        raise Refused("return_cut_off")
    if year not in YEARS:
        raise Refused("return_year", year=year)
    if cut_off < china_year(year)[0]:
        raise Refused("return_cut_off_early", year=year)
    if len(why) > WHY_MAX:
        raise Refused("return_why_long", most=WHY_MAX)


def _says_the_same(before: Return, report: PlanReport) -> bool:
    """Whether a revision would add nothing: the same cut-off, the same numbers and rows."""
    old = report_in(before)
    return old.cut_off == report.cut_off and not differences(old, report)


# --- what is kept ----------------------------------------------------------------------------


def numbers_of(
    report: PlanReport, names: Mapping[str, str], below: list[dict[str, Any]]
) -> dict[str, Any]:
    """What a return keeps: plain JSON."""
    return {
        "shape": SHAPE,
        "report": to_json(report),
        "names": [[code, name] for code, name in names.items()],
        "sentences": {
            "units": unit_sentences(report, names),
            "sum": sum_sentence(report.total.broadcasts),
            "broadcasts": broadcast_sentences(report.total.broadcasts),
        },
        "built_on": below,
    }


def canonical(numbers: Mapping[str, Any]) -> bytes:
    """One form of bytes for equal numbers: sorted keys, no spaces, UTF-8."""
    return json.dumps(
        numbers, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False
    ).encode()


def digest(numbers: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical(numbers)).hexdigest()


def intact(kept: Return) -> bool:
    """Whether a return is what was frozen."""
    return digest(kept.numbers) == kept.sha256


def report_in(kept: Return) -> PlanReport:
    """The report a return froze."""
    return from_json(kept.numbers["report"])


def names_in(kept: Return) -> dict[str, str]:
    """What its sentences call the indicators."""
    return dict(kept.numbers["names"])


def stamp_of(kept: Return) -> Stamp:
    return Stamp(
        return_id=kept.id,
        revision=kept.revision,
        cut_off=kept.cut_off,
        frozen_at=kept.frozen_at,
        frozen_name=kept.frozen_name,
        sha256=kept.sha256,
        why=kept.why,
    )


# --- finding them ----------------------------------------------------------------------------


def latest(session: Session, plan_id: str, centre_id: str, year: int) -> Return | None:
    """The newest revision of a return."""
    query = (
        select(Return)
        .where(Return.plan_id == plan_id, Return.centre_id == centre_id, Return.year == year)
        .order_by(Return.revision.desc())
        .limit(1)
    )
    return session.scalars(query).one_or_none()


def before(session: Session, kept: Return) -> Return | None:
    """The revision before this one."""
    query = select(Return).where(
        Return.plan_id == kept.plan_id,
        Return.centre_id == kept.centre_id,
        Return.year == kept.year,
        Return.revision == kept.revision - 1,
    )
    return session.scalars(query).one_or_none()


def load(session: Session, actor: Actor, return_id: str) -> Return:
    """A return of the actor's subtree. Raises Missing("return_unknown")."""
    query = (
        select(Return)
        .join(Centre, Centre.id == Return.centre_id)
        .where(Return.id == return_id, within(actor.centre_path))
    )
    found = session.scalars(query).one_or_none()
    if found is None:
        raise Missing("return_unknown")
    return found


def revision(
    session: Session, actor: Actor, plan: Plan, centre: Centre, year: int, number: int
) -> Return:
    """The return of that number. Raises Missing("return_unknown")."""
    query = select(Return.id).where(
        Return.plan_id == plan.id,
        Return.centre_id == centre.id,
        Return.year == year,
        Return.revision == number,
    )
    return load(session, actor, session.scalar(query) or "")


def listed(
    session: Session,
    centre_path: str | None,
    *,
    plan_id: str | None = None,
    centre_id: str | None = None,
    year: int | None = None,
    limit: int = 200,
) -> list[tuple[Return, Centre, Plan]]:
    """Returns of a subtree, newest first, without their numbers."""
    query = (
        select(Return, Centre, Plan)
        .join(Centre, Centre.id == Return.centre_id)
        .join(Plan, Plan.id == Return.plan_id)
        .where(within(centre_path))
        .options(defer(Return.numbers, raiseload=True))
        .order_by(Return.frozen_at.desc(), Return.revision.desc())
        .limit(limit)
    )
    for column, wanted in (
        (Return.plan_id, plan_id),
        (Return.centre_id, centre_id),
        (Return.year, year),
    ):
        if wanted is not None:
            query = query.where(column == wanted)
    return [(kept, centre, plan) for kept, centre, plan in session.execute(query)]


# --- roll-ups and corrections -----------------------------------------------------------------


def corrections(session: Session, kept: Return) -> list[Difference]:
    """How a return differs from the revision before it; of the first, nothing."""
    older = before(session, kept)
    return [] if older is None else differences(report_in(older), report_in(kept))


def built_on(session: Session, report: PlanReport) -> list[dict[str, Any]]:
    """The latest returns of the units below, and where this report says otherwise.

    A roll-up counts from the ledger itself, so that a linked broadcast is one; what units have
    handed in is named with its hash, and every number that is not theirs is listed.
    """
    newest = (
        select(func.max(Return.revision))
        .where(
            Return.plan_id == report.plan_id,
            Return.year == report.year,
            Return.centre_id == Centre.id,
        )
        .correlate(Centre)
        .scalar_subquery()
    )
    query = (
        select(Return, Centre.path)
        .join(Centre, Centre.id == Return.centre_id)
        .where(
            Return.plan_id == report.plan_id,
            Return.year == report.year,
            Centre.path.startswith(report.total.path, autoescape=True),
            Centre.id != report.root_id,
            Return.revision == newest,
        )
        .order_by(Centre.path)
    )
    found: list[dict[str, Any]] = []
    spoken_for = "-"
    for kept, path in session.execute(query):
        # Of a county whose prefecture has handed in one, the prefecture's speaks.
        if not path.startswith(spoken_for):
            spoken_for = path
            found.append(_compared(kept, report))
    return found


def _compared(kept: Return, report: PlanReport) -> dict[str, Any]:
    ours = {unit.centre_id: unit for unit in report.units}
    theirs = report_in(kept)
    differs = [
        difference
        for unit in theirs.units
        for difference in unit_differences(unit, ours.get(unit.centre_id))
    ]
    return {
        "id": kept.id,
        "centre_id": kept.centre_id,
        "centre_name": theirs.root_name,
        "revision": kept.revision,
        "cut_off": kept.cut_off.astimezone(dt.UTC).isoformat(),
        "sha256": kept.sha256,
        "differs": [
            {
                "centre_name": d.centre_name,
                "what": d.what,
                "code": d.code,
                "name": d.name,
                "theirs": d.old,
                "ours": d.new,
            }
            for d in differs
        ],
    }
