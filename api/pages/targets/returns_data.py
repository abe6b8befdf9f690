"""年报 as the desk shows it: the list, a preview of what would be frozen, one frozen revision."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy.orm import Session

from api.pages import view
from api.pages.cards import job_row
from api.pages.targets.data import centre_in, chosen_plan, root_of
from api.pages.targets.view import Asked
from api.rights import covers, may
from catalog.audit import Actor
from catalog.centres import centres_within
from catalog.clock import CHINA, china_date
from catalog.models import Centre, Plan, Return
from catalog.plans.amounts import rate_text
from catalog.plans.compute import report_of
from catalog.plans.report import PlanReport
from catalog.plans.service import plans_seen
from catalog.returns import freeze
from catalog.returns.differences import WORDS as DIFFERENCES
from catalog.returns.names import names_of
from catalog.returns.papers import YEARS_MAX
from catalog.returns.sentences import broadcast_sentences, sum_sentence, unit_sentences
from catalog.returns.shown import shown, units_of
from infra.tables import Job

FORMATS: Final = (
    ("xlsx", "Excel 自查明细表"),
    ("docx", "Word 自查报告"),
    ("csv", "CSV 数据"),
    ("json", "JSON 数据"),
)
LONG_LINES: Final = 1_500
"""Lines from which on a file takes so long that people want to see it get on."""
SENTENCES_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class ReturnRow:
    id: str
    centre: str
    plan: str
    year: int
    revision: int
    cut_off: dt.datetime
    by: str
    at: dt.datetime
    why: str
    latest: bool


@dataclass(frozen=True, slots=True)
class ReturnsView:
    rows: tuple[ReturnRow, ...]
    older: tuple[ReturnRow, ...]
    """Revisions that others have followed."""
    may_freeze: bool
    may_enter: bool
    has_plan: bool


@dataclass(frozen=True, slots=True)
class LineRow:
    indicator: str
    depth: int
    target: str
    actual: str
    percent: str
    state: str
    unit: str
    note: str


@dataclass(frozen=True, slots=True)
class UnitTable:
    name: str
    mean: str
    lines: tuple[LineRow, ...]


@dataclass(frozen=True, slots=True)
class Preview:
    """What a return of this plan, centre and year would say now."""

    plan_id: str
    centre_id: str
    centre: str
    year: int
    plans: tuple[tuple[str, str], ...]
    centres: tuple[tuple[str, str], ...]
    years: tuple[tuple[int, str], ...]
    since: list[tuple[int, str]]
    """Earlier years a file may begin with."""
    units: tuple[UnitTable, ...]
    sentences: tuple[str, ...]
    last: ReturnRow | None
    """The newest revision, when there is one: another one says why."""
    may_freeze: bool
    now_day: str
    formula: str
    owed: int


@dataclass(frozen=True, slots=True)
class Change:
    centre: str
    what: str
    name: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Below:
    """A return of a unit below that this one was compared with."""

    id: str
    name: str
    revision: int
    hash: str
    differs: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class ReturnView:
    row: ReturnRow
    plan_id: str
    centre_id: str
    rule_version: str
    plan_version: int
    hash: str
    intact: bool
    units: tuple[UnitTable, ...]
    sentences: tuple[str, ...]
    sum_sentence: str
    broadcasts: tuple[str, ...]
    changes: tuple[Change, ...]
    below: tuple[Below, ...]
    revisions: tuple[ReturnRow, ...]
    long: bool


def returns_page(session: Session, actor: Actor) -> ReturnsView:
    rows = _rows(freeze.listed(session, actor.centre_path))
    return ReturnsView(
        rows=tuple(row for row in rows if row.latest),
        older=tuple(row for row in rows if not row.latest),
        may_freeze=may(actor.role, "return.freeze"),
        may_enter=may(actor.role, "entry.set"),
        has_plan=bool(plans_seen(session, actor.centre_path)),
    )


def _rows(found: Sequence[tuple[Return, Centre, Plan]]) -> list[ReturnRow]:
    seen: set[tuple[str, str, int]] = set()
    made = []
    for kept, centre, plan in sorted(found, key=lambda row: -row[0].revision):
        key = (kept.plan_id, kept.centre_id, kept.year)
        made.append(_row(kept, centre, plan, latest=key not in seen))
        seen.add(key)
    return sorted(made, key=lambda row: row.at, reverse=True)


def _row(kept: Return, centre: Centre, plan: Plan, *, latest: bool) -> ReturnRow:
    return ReturnRow(
        id=kept.id,
        centre=centre.name,
        plan=plan.title,
        year=kept.year,
        revision=kept.revision,
        cut_off=kept.cut_off,
        by=kept.frozen_name,
        at=kept.frozen_at,
        why=kept.why,
        latest=latest,
    )


# ---- before it is frozen ------------------------------------------------------------------------


def preview_page(
    session: Session,
    actor: Actor,
    plan_id: str,
    centre_id: str,
    year: int | None,
    now: dt.datetime,
) -> Preview | None:
    """None: there is no plan. Raises Missing for what is out of reach."""
    plan = chosen_plan(session, actor, Asked(plan_id, year), china_date(now))
    if plan is None:
        return None
    centre = (
        centre_in(session, actor, plan, centre_id) if centre_id else root_of(session, actor, plan)
    )
    year = year or plan.year
    report = report_of(session, plan, centre, year, cut_off=now)
    names = names_of(plan)
    last = freeze.latest(session, plan.id, centre.id, year)
    owner = session.get_one(Centre, plan.owner_id)
    reach = [
        one for one in centres_within(session, actor.centre_path) if covers(owner.path, one.path)
    ]
    return Preview(
        plan_id=plan.id,
        centre_id=centre.id,
        centre=centre.name,
        year=year,
        plans=tuple(
            (one.id, f"{one.year} · {one.title}") for one in plans_seen(session, actor.centre_path)
        ),
        centres=tuple((one.id, one.name) for one in reach),
        years=tuple(
            (one, f"{one} 年") for one in sorted({year, plan.year, now.year}, reverse=True)
        ),
        since=[(one, f"{one} 年起") for one in range(year - 1, year - YEARS_MAX, -1)],
        units=_tables(report),
        sentences=_said(report, names),
        last=_row(last, centre, plan, latest=True) if last else None,
        may_freeze=may(actor.role, "return.freeze"),
        now_day=china_date(now).isoformat(),
        formula=report.total.progress.formula,
        owed=sum(line.owed > 0 for unit in report.units for line in unit.lines),
    )


def _said(report: PlanReport, names: dict[str, str]) -> tuple[str, ...]:
    broadcasts = report.total.broadcasts
    every = [
        *unit_sentences(report, names),
        *([sum_sentence(broadcasts)] if broadcasts else []),
        *broadcast_sentences(broadcasts),
    ]
    return tuple(every[:SENTENCES_MAX])


def _tables(report: PlanReport) -> tuple[UnitTable, ...]:
    return tuple(
        UnitTable(
            name=unit.centre_name if unit is not report.total else f"{unit.centre_name}（合计）",
            mean=rate_text(unit.progress.mean_percent),
            lines=tuple(_lines(unit.lines)),
        )
        for unit in units_of(report)
        if unit.lines
    )


def _lines(lines: Sequence[Any]) -> Iterator[LineRow]:
    for line in lines:
        told = shown(line)
        yield LineRow(
            indicator=line.indicator,
            depth=line.depth,
            target=told.target_text,
            actual=told.actual_text,
            percent=told.rate_text,
            state=told.state,
            unit=told.unit,
            note=told.note,
        )


# ---- one frozen revision ------------------------------------------------------------------------


def return_page(session: Session, actor: Actor, return_id: str) -> ReturnView:
    """Raises Missing."""
    kept = freeze.load(session, actor, return_id)
    centre, plan = session.get_one(Centre, kept.centre_id), session.get_one(Plan, kept.plan_id)
    report = freeze.report_in(kept)
    said = kept.numbers["sentences"]
    siblings = _rows(
        freeze.listed(
            session, actor.centre_path, plan_id=plan.id, centre_id=centre.id, year=kept.year
        )
    )
    return ReturnView(
        row=_row(kept, centre, plan, latest=all(kept.revision >= s.revision for s in siblings)),
        plan_id=plan.id,
        centre_id=centre.id,
        rule_version=kept.rule_version,
        plan_version=kept.plan_version,
        hash=kept.sha256,
        intact=freeze.intact(kept),
        units=_tables(report),
        sentences=tuple(said["units"][:SENTENCES_MAX]),
        sum_sentence=said["sum"] if report.total.broadcasts else "",
        broadcasts=tuple(said["broadcasts"][:SENTENCES_MAX]),
        changes=tuple(
            Change(d.centre_name, DIFFERENCES[d.what], d.name, d.old, d.new)
            for d in freeze.corrections(session, kept)
        ),
        below=tuple(_below(one) for one in kept.numbers["built_on"]),
        revisions=tuple(siblings),
        long=sum(len(unit.lines) for unit in report.units) > LONG_LINES,
    )


def _below(one: dict[str, Any]) -> Below:
    return Below(
        id=one["id"],
        name=one["centre_name"],
        revision=one["revision"],
        hash=one["sha256"],
        differs=tuple(
            Change(d["centre_name"], DIFFERENCES[d["what"]], d["name"], d["theirs"], d["ours"])
            for d in one["differs"]
        ),
    )


# ---- files that take their time -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FileJob:
    row: view.JobRow
    name: str
    href: str
    """Where the file is, once it is there."""


def file_job(job: Job, now: dt.datetime) -> FileJob:
    """A report job, and its file when it is done."""
    ready = job.state == "done" and "key" in job.result
    return FileJob(
        row=job_row(job, now),
        name=str(job.result.get("name", "")) if ready else "",
        href=f"/api/v1/returns/jobs/{job.id}/file" if ready else "",
    )


def cut_off_of(day: str, now: dt.datetime) -> dt.datetime:
    """The end of a day in China, or this instant for today and for no day at all."""
    try:
        asked = dt.date.fromisoformat(day)
    except ValueError:
        return now
    if asked == china_date(now):
        return now
    return dt.datetime.combine(asked + dt.timedelta(days=1), dt.time(), CHINA)
