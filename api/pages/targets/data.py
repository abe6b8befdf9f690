"""指标 read from the catalogue: the table, one centre, one number, what is owed.

Every function takes a session and who asks; what is out of their reach raises Missing.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from sqlalchemy.orm import Session

from api.pages.targets import number, shape, view
from api.pages.view import OwedLine
from api.rights import covers, may
from catalog.audit import Actor
from catalog.clock import china_date
from catalog.errors import Missing
from catalog.models import Centre, Plan, Target
from catalog.plans.compute import monthly, report_of
from catalog.plans.entries import entries_of
from catalog.plans.matrix import matrix, owed, owed_text, trend
from catalog.plans.queries import query_of, query_text
from catalog.plans.report import Line, PlanReport
from catalog.plans.service import get_plan, plans_seen
from catalog.returns.sentences import shown_unit

MEAN_WORDS: Final = ("平均完成率", "节点要求")
GROWTH_WORDS: Final = ("累计", "节点要求", "目标", "实际")


@dataclass(frozen=True, slots=True)
class CentreView:
    plan: view.PlanCard
    year: int
    centre_name: str
    back: str
    progress: view.ProgressView
    groups: tuple[tuple[str, tuple[view.CellView, ...]], ...]


def card_of(plan: Plan) -> view.PlanCard:
    about = " · ".join(part for part in (plan.issuer, plan.document) if part)
    return view.PlanCard(plan.id, plan.title, about, plan.year)


def chosen_plan(session: Session, actor: Actor, asked: view.Asked, today: dt.date) -> Plan | None:
    """The plan asked for; else this year's, else the latest there is."""
    if asked.plan:
        return get_plan(session, actor, asked.plan)
    seen = plans_seen(session, actor.centre_path)
    seen.sort(key=lambda plan: (plan.year != (asked.year or today.year), -plan.year))
    return seen[0] if seen else None


def root_of(session: Session, actor: Actor, plan: Plan) -> Centre:
    """Whose numbers of a plan a person looks at: their own subtree, inside the plan's."""
    owner = session.get_one(Centre, plan.owner_id)
    mine = actor.centre_path
    if mine is None or covers(mine, owner.path):
        return owner
    return session.get_one(Centre, mine.rstrip("/").rpartition("/")[2])


def centre_in(session: Session, actor: Actor, plan: Plan, centre_id: str) -> Centre:
    """A centre both the person and the plan reach. Raises Missing."""
    centre = session.get(Centre, centre_id)
    owner = session.get_one(Centre, plan.owner_id)
    if (
        centre is None
        or not covers(actor.centre_path, centre.path)
        or not covers(owner.path, centre.path)
    ):
        raise Missing("centre_unknown", centre=centre_id)
    return centre


# ---- the table ----------------------------------------------------------------------------------


def matrix_page(
    session: Session, actor: Actor, asked: view.Asked, now: dt.datetime
) -> view.MatrixView | None:
    """None: there is no plan yet."""
    today = china_date(now)
    plan = chosen_plan(session, actor, asked, today)
    if plan is None:
        return None
    year = asked.year or plan.year
    asked = view.Asked(plan.id, year, asked.by, asked.show)
    report = report_of(
        session, plan, root_of(session, actor, plan), year, cut_off=now, detail=False
    )
    tables = shape.tables_of(report, today, asked.by)
    due = tables[0][1].milestone if tables else None
    plans = plans_seen(session, actor.centre_path)
    years = sorted({year, plan.year, today.year, *(other.year for other in plans)}, reverse=True)
    return view.MatrixView(
        plan=card_of(plan),
        root_name=report.root_name,
        year=year,
        by=asked.by.isoformat() if asked.by else "",
        show=asked.show,
        plans=tuple((other.id, f"{other.year} · {other.title}") for other in plans),
        years=tuple((one, f"{one} 年") for one in years),
        miles=shape.miles_of(report, today),
        by_choices=_by_choices(report),
        progress=shape.progress_of(report, report.total.progress, due),
        tallies=shape.tallies_of(tables, asked),
        groups=shape.groups_of(report, tables, asked.show, plan.year),
        cut_off=report.cut_off,
        rule_version=report.rule_version,
        plan_version=report.plan_version,
        all_href=view.matrix_path(asked, show=""),
        trend_href="/desk/targets/trend?" + urlencode({"plan": plan.id, "year": year}),
        notes=report.notes,
    )


def _by_choices(report: PlanReport) -> tuple[tuple[str, str], ...]:
    dated = sorted((m for m in report.milestones if m.progress_pct is not None), key=lambda m: m.by)
    days = tuple(
        (m.by.isoformat(), f"{m.by.month}月{m.by.day}日 · {shape.percent_text(m)}") for m in dated
    )
    return (("", "今天该到的"), *days)


def trend_page(
    session: Session, actor: Actor, plan_id: str, year: int | None, now: dt.datetime
) -> view.ChartView:
    """The curve of the whole: a report as of the end of every month."""
    plan = get_plan(session, actor, plan_id)
    reports = monthly(session, plan, root_of(session, actor, plan), year or plan.year, now=now)
    milestones = reports[-1][1].milestones if reports else ()
    return shape.trend_chart(trend(reports), milestones, MEAN_WORDS)


# ---- one centre, one number ---------------------------------------------------------------------


def centre_page(
    session: Session,
    actor: Actor,
    plan_id: str,
    centre_id: str,
    year: int | None,
    now: dt.datetime,
) -> CentreView:
    plan = get_plan(session, actor, plan_id)
    centre = centre_in(session, actor, plan, centre_id)
    today, year = china_date(now), year or plan.year
    report = report_of(session, plan, centre, year, cut_off=now, detail=False)
    found = matrix(report, today)
    unit = next((u for u in report.units if u.centre_id == centre.id), report.total)
    return CentreView(
        plan=card_of(plan),
        year=year,
        centre_name=centre.name,
        back=view.matrix_path(view.Asked(plan.id, year)),
        progress=shape.progress_of(report, unit.progress, found.milestone),
        groups=shape.goals_of(report, centre.id, today, plan.year),
    )


def number_page(
    session: Session,
    actor: Actor,
    plan_id: str,
    centre_id: str,
    code: str,
    *,
    year: int | None,
    total: bool,
    now: dt.datetime,
) -> number.NumberView:
    """One number of a centre, or (``total``) of its whole subtree, with its rows."""
    plan = get_plan(session, actor, plan_id)
    centre = centre_in(session, actor, plan, centre_id)
    today, year = china_date(now), year or plan.year
    report = report_of(session, plan, centre, year, cut_off=now)
    line = line_of(report, centre.id, code, total)
    rows, more = number.rows_of(line)
    target = next((t for t in plan.targets if t.code == code), None)
    kept = entries_of(session, plan, year=year, centre_path=centre.path, code=code, history=True)
    kept = [entry for entry in kept if entry.centre_id == centre.id]
    unit = shown_unit(line)
    return number.NumberView(
        plan=card_of(plan),
        year=year,
        centre_id=centre.id,
        centre_name=report.root_name,
        cell=shape.cell_of(report, line, today, plan.year, total),
        asked=number.asked_text(line),
        source=number.SOURCES[line.source],
        counted=_counted(target),
        unit=unit,
        note=line.note,
        rows=rows,
        more=more,
        parts=number.parts_of(line.cells, year, today),
        chart=number.chart_of(line, report.milestones, _last(report, today), GROWTH_WORDS),
        entries=number.entry_views(kept, unit),
        may_enter=may(actor.role, "entry.set") and not total,
        periods=number.periods_of(line.period),
        is_total=total,
    )


def line_of(report: PlanReport, centre_id: str, code: str, total: bool) -> Line:
    """Raises Missing when the plan asks no such thing of the centre."""
    units = [report.total] if total else [u for u in report.units if u.centre_id == centre_id]
    for unit in units:
        for line in unit.lines:
            if line.code == code:
                return line
    raise Missing("plan_target_unknown", target=code)


def _last(report: PlanReport, today: dt.date) -> dt.date:
    """Up to when a curve of the report's year is drawn."""
    return min(today, dt.date(report.year, 12, 31))


def _counted(target: Target | None) -> str:
    return query_text(query_of(target.query)) if target and target.query else ""


# ---- 今年还欠 -----------------------------------------------------------------------------------


def owed_reports(session: Session, actor: Actor, now: dt.datetime) -> list[tuple[Plan, PlanReport]]:
    """This year's plans with their numbers."""
    return [
        (
            plan,
            report_of(
                session, plan, root_of(session, actor, plan), plan.year, cut_off=now, detail=False
            ),
        )
        for plan in plans_seen(session, actor.centre_path, year=china_date(now).year)
    ]


def owed_line(session: Session, actor: Actor, now: dt.datetime) -> OwedLine | None:
    """今年还欠 in one line, for the desk's first page; None without a plan for this year."""
    today = china_date(now)
    found = owed_reports(session, actor, now)
    if not found:
        return None
    one = [
        (report, report.root_id)
        for _, report in found
        if len(report.units) == 1 and report.units[0].centre_id == report.root_id
    ]
    items = [
        (unit.centre_id, line)
        for _, report in found
        for unit in report.units
        for line in owed(report, unit.centre_id, today)
    ]
    late = sum(line.status == "late" for _, line in items)
    if len(one) == len(found):
        text = " ".join(owed_text(report, centre_id, today) for report, centre_id in one)
    else:
        centres = {centre_id for centre_id, line in items if line.status == "late"}
        text = shape.owed_summary(len(items), late, len(centres))
    return OwedLine(text, "late" if late else "behind" if items else "met")


def owed_page(session: Session, actor: Actor, now: dt.datetime) -> tuple[view.OwedPlan, ...]:
    """What is still owed this year, plan by plan and centre by centre."""
    today = china_date(now)
    return tuple(
        shape.owed_plan(card_of(plan), report, today, plan.year)
        for plan, report in owed_reports(session, actor, now)
    )
